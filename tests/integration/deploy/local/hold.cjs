// Fills many HTTP/2 streams with bodies that never end, until standard input is closed.
"use strict";
const fs = require("node:fs");
const http2 = require("node:http2");

const asked = JSON.parse(process.argv[2]);
const ca = fs.readFileSync(asked.root);
const body = Buffer.alloc(asked.length, "x");
for (let each = 0; each < asked.connections; each += 1) {
  const session = http2.connect(`https://127.0.0.1:${asked.port}`, { ca, servername: asked.host });
  session.on("error", () => {});
  session.on("connect", () => {
    for (let stream = 0; stream < asked.streams; stream += 1) {
      const request = session.request({ ":method": "POST", ":path": asked.path, ":authority": asked.host });
      request.on("error", () => {});
      request.write(body);
    }
  });
}
process.stdin.on("end", () => process.exit(0)).resume();
