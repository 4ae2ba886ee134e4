// Checks custom resources against their operators' published types: [{id, object}] in, [{id, error}] out.
// The packages' validators judge values; TypeScript, for which these are object literals, refuses fields that do not exist.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PACKAGES = {
  "cert-manager.io": "cert-manager",
  "external-secrets.io": "external-secrets",
  "gateway.envoyproxy.io": "envoy-gateway",
  "gateway.networking.k8s.io": "gateway-api",
  "kafka.strimzi.io": "strimzi-kafka-operator",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
  "postgresql.cnpg.io": "cloudnative-pg",
};
const here = import.meta.dirname;
const given = JSON.parse(readFileSync(0, "utf8"));
const errors = [];
const lines = [];

for (const { id, object } of given) {
  const [group, version] = object.apiVersion.split("/");
  const path = `@kubernetes-models/${PACKAGES[group]}/${group}/${version}/${object.kind}`;
  try {
    const module = await import(path);
    new module[object.kind](object).validate();
    lines.push({ id, text: `export const o${lines.length}: import("${path}").I${object.kind} = ${JSON.stringify(object)};` });
  } catch (error) {
    errors.push({ id, error: error.message });
  }
}

const folder = mkdtempSync(join(here, "node_modules", ".check-"));
try {
  writeFileSync(join(folder, "objects.ts"), lines.map(({ text }) => text).join("\n") + "\n");
  const options = ["--noEmit", "--skipLibCheck", "--strict", "--module", "nodenext", "--pretty", "false", "objects.ts"];
  const tsc = spawnSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), ...options], { cwd: folder, encoding: "utf8" });
  for (const line of (tsc.stdout + tsc.stderr).split("\n").filter(Boolean)) {
    const found = /^objects\.ts\((\d+),\d+\): error (.*)$/.exec(line);
    if (found) errors.push({ id: lines[found[1] - 1].id, error: found[2] });
    else if (!line.startsWith(" ")) errors.push({ id: "tsc", error: line });
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(JSON.stringify(errors));
