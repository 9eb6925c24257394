// The package as npm would publish it: its files, its size, its types.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { HERE } from "./harness.mjs";
import { install } from "./installed.mjs";

const KIB = 1_024;
const options = { timeout: 60_000 };

describe("the package", options, () => {
  let installed, at;
  before(() => {
    installed = install();
    at = (path) => join(installed.folder, "node_modules/@saacms/realtime", path);
  });
  after(() => installed.remove());

  test("its module has at most 150 KiB when compressed, and all of it at most 200", () => {
    const module = gzipSync(readFileSync(at("module.wasm")), { level: 9 }).length;
    assert.ok(module <= 150 * KIB, `module.wasm has ${(module / KIB).toFixed(1)} KiB`);
    assert.ok(installed.size <= 200 * KIB, `the archive has ${(installed.size / KIB).toFixed(1)} KiB`);
  });

  test("it has what its exports name, and nothing of the build", () => {
    const { exports, version, repository, license } = JSON.parse(readFileSync(at("package.json"), "utf8"));
    const files = installed.files.map(({ path }) => path);
    const named = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? [entry] : Object.values(entry)));
    for (const path of named) assert.ok(files.includes(path.slice(2)), `${path} of ${files}`);
    for (const path of ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "module.wasm"]) assert.ok(files.includes(path), path);
    assert.deepEqual(files.filter((path) => /\.(mjs|map|bak)$|^\./.test(path)), []);
    assert.match(version, /^(?!0\.0\.0$)\d+\.\d+\.\d+/);
    assert.equal(license, "MIT OR Apache-2.0");
    assert.match(repository.url, /github\.com/);
  });

  test("the plugin has the version of the package", async () => {
    const { realtime } = await import(pathToFileURL(at("node.js")));
    const { version } = JSON.parse(readFileSync(at("package.json"), "utf8"));
    assert.equal(realtime().version, version);
  });

  test("its client is the one that the program serves", () => {
    const source = join(HERE, "../../saacms-realtime-tokio/hub/client");
    for (const name of ["client.js", "websocket.js", "client.d.ts"]) {
      assert.equal(readFileSync(at(name), "utf8"), readFileSync(join(source, name), "utf8"));
    }
  });

  const projects = {
    "a Worker": { file: "worker.ts", types: "@cloudflare/workers-types", libraries: "es2022", module: ["esnext", "bundler"] },
    "a host in Node": { file: "node.ts", types: "node", libraries: "es2022", module: ["nodenext", "nodenext"] },
  };
  for (const [name, { file, types, libraries, module: [module, resolution] }] of Object.entries(projects)) {
    test(`its types are right for ${name}, libraries checked`, options, () => {
      cpSync(join(HERE, "types", file), join(installed.folder, file));
      const flags = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022", "--lib", libraries, "--types", types, "--module", module, "--moduleResolution", resolution];
      const tsc = join(HERE, "node_modules/typescript/bin/tsc");
      const { status, stdout } = spawnSync(process.execPath, [tsc, ...flags, file], { cwd: installed.folder, encoding: "utf8" });
      assert.equal(status, 0, stdout);
    });
  }
});
