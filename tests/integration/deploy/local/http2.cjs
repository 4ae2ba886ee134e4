// One request over HTTP/2, told by a line of JSON on standard input; says what came back as JSON.
// It sends the whole body whatever is answered meanwhile, and a stream that is reset counts as no answer.
const http2 = require("node:http2");
const fs = require("node:fs");

const asked = JSON.parse(fs.readFileSync(0, "utf8"));
let told = false;
const tell = (answer) => {
  if (told) return;
  told = true;
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
};
const read = (file) => (file ? fs.readFileSync(file) : undefined);

const connection = http2.connect(`https://127.0.0.1:${asked.port}`, {
  ca: read(asked.root),
  cert: read(asked.certificate),
  key: read(asked.key),
  servername: asked.sni,
  maxSendHeaderBlockLength: 1024 * 1024,
});
connection.on("error", (error) => tell({ error: `connection: ${error.message}` }));
connection.setTimeout(asked.seconds * 1000, () => tell({ error: "no answer in time" }));

const request = connection.request({
  ":method": asked.method,
  ":path": asked.path,
  ":authority": asked.host,
  ...asked.headers,
});
const parts = [];
let answer;
request.on("response", ({ ":status": status, ...headers }) => {
  answer = { status, headers: Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, String(v)])) };
});
request.on("data", (part) => parts.push(part));
request.on("error", (error) => tell({ error: `stream: ${error.message}` }));
request.on("close", () => {
  if (!answer || request.rstCode !== 0) tell({ error: `reset: ${request.rstCode}` });
  else tell({ ...answer, body: Buffer.concat(parts).toString("base64") });
});
if (asked.unfinished) request.write(Buffer.alloc(asked.length, "x"));
else request.end(asked.length ? Buffer.alloc(asked.length, "x") : undefined);
