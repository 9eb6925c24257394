// The types beside the client.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

for (const libraries of ['es2022,dom', 'es2022,webworker']) {
  test(`the client's types fit its use, with the libraries ${libraries}`, { timeout: 90_000 }, () => {
    const flags = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', libraries];
    const { status, stdout } = spawnSync(process.execPath, [at('node_modules/typescript/bin/tsc'), ...flags, at('types/use.ts')], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });
}
