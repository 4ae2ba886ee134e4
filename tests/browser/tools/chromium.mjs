// Unpacks the Chromium of an npm package, and the libraries and fonts it needs, into TMPDIR; says where it is.
import chromium, { inflate } from "@sparticuz/chromium";
import { fileURLToPath } from "node:url";

const program = await chromium.executablePath();
await inflate(fileURLToPath(new URL("../bin/al2023.tar.br", import.meta.resolve("@sparticuz/chromium"))));
console.log(program);
