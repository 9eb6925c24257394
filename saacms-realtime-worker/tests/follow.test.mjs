// The package's client follows a record of a Worker by WebSocket, in each runtime.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";

import { changed, publish, start, until } from "./harness.mjs";
import { install, program } from "./installed.mjs";

const API = "/api/saacms/v1";
const options = { timeout: 60_000 };
const bun = program("@oven", "bin/bun");
const deno = program("@deno", "deno");
const RUNTIMES = {
  // Without the flag, Node has a WebSocket from 22 on.
  Node: [process.execPath, "--experimental-websocket"],
  Bun: bun && [bun],
  Deno: deno && [deno, "run", "--allow-net", "--allow-read"],
};

describe("the package's client by WebSocket", options, () => {
  let installed, worker;
  before(async () => {
    installed = install();
    worker = await start();
  }, options);
  after(async () => {
    installed.remove();
    await worker?.stop();
  });

  for (const [name, runtime] of Object.entries(RUNTIMES)) {
    const skip = runtime === undefined ? "npm has none for this machine" : false;
    test(`follows a record in ${name}`, { ...options, skip }, async (t) => {
      const url = `${worker.url}${API}/posts/${name}/subscribe`;
      const [command, ...flags] = runtime;
      const client = spawn(command, [...flags, "follow.mjs", url], {
        cwd: installed.folder,
        env: { ...process.env, NO_COLOR: "1" },
        stdio: ["ignore", "pipe", "inherit"],
      });
      t.after(() => {
        client.kill();
        return once(client, "exit");
      });
      let printed = "";
      client.stdout.on("data", (data) => (printed += data));
      const prints = (text) => until(`it prints ${JSON.stringify(text)}, it has ${JSON.stringify(printed)}`, () => printed === text);

      await prints('live\n"loaded"\n');
      for (const etag of ["v1", "v2"]) {
        assert.equal((await publish(`${worker.url}${API}`, changed(name, etag))).status, 204);
      }
      await prints('live\n"loaded"\n{"v":"v1"}\n{"v":"v2"}\n');
    });
  }
});
