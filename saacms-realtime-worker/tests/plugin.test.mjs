// The plugin's behaviour: of the package, and of the plugin itself where SAACMS_SEED names its folder.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { BEHAVIOUR } from "./behaviour.mjs";
import { PACKAGE } from "./harness.mjs";

const options = { timeout: 30_000 };
const libraries = { "the package": join(PACKAGE, "node.js") };
if (process.env.SAACMS_SEED) libraries["the plugin"] = join(process.env.SAACMS_SEED, "index.js");

for (const [name, path] of Object.entries(libraries)) {
  describe(name, options, async () => {
    const library = await import(pathToFileURL(path));
    for (const [sentence, check] of Object.entries(BEHAVIOUR)) test(sentence, options, () => check(library));

    test("an open stream keeps no process alive", options, async () => {
      const script = `
        import { realtime } from ${JSON.stringify(pathToFileURL(path).href)};
        const plugin = realtime({ heartbeatMs: 20 });
        const [route] = Object.values(plugin.routes);
        const response = route({ req: { param: () => "x" } });
        const reader = response.body.getReader();
        const decoder = new TextDecoder();
        let text = "";
        const keepAlive = setInterval(() => text.split(":keepalive").length > 4 && clearInterval(keepAlive), 10);
        (async () => { for (;;) text += decoder.decode((await reader.read()).value); })();
        process.on("exit", () => console.log(text.split(":keepalive").length));
      `;
      const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "ignore"] });
      let said = "";
      child.stdout.on("data", (data) => (said += data));
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      const [code] = await once(child, "close");
      clearTimeout(timer);
      assert.equal(code, 0);
      assert.ok(Number(said) > 4, `heartbeats came while it lived: ${said}`);
    });
  });
}
