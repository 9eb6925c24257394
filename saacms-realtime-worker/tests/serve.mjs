// Starts the built Worker in workerd on this machine, until it is interrupted.
import { parseArgs } from "node:util";

import { start } from "./harness.mjs";

const { values } = parseArgs({
  options: { port: { type: "string", default: "8787" }, "until-eof": { type: "boolean" } },
});
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  console.error(`serve: --port must be 0 to 65535, not ${values.port}`);
  process.exit(2);
}
const vars = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name.startsWith("SAACMS_REALTIME_")),
);
const worker = await start({ address: `127.0.0.1:${port}`, vars, log: values["until-eof"] ? "ignore" : "inherit" });
console.log(`Worker on ${worker.url}

  curl -N ${worker.url}/api/saacms/v1/posts/1/subscribe
  curl ${worker.url}/api/saacms/v1/publish -d \\
    '{"type":"changed","slug":"posts","id":"1","record":{"title":"Hello"},"etag":"v1"}'
`);
const stop = () => worker.stop().then(() => process.exit(0));
if (values["until-eof"]) process.stdin.on("end", stop).resume();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
worker.process.once("exit", (code) => process.exit(code ?? 1));
