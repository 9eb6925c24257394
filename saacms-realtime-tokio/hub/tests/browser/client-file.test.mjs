// `GET /client.js` and `GET /websocket.js`: the browser client as the hub serves it.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { startHub } from './helpers/hub.mjs';

const timeout = 60_000;
const FILES = new URL('../../client/', import.meta.url);

for (const name of ['client.js', 'websocket.js']) {
  test(`${name} is served as a module that caches and other origins may keep`, { timeout }, async (t) => {
    const { origin } = await startHub(t);
    const response = await fetch(`${origin}/${name}`, { headers: { Origin: 'https://cms.example' } });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), await readFile(new URL(name, FILES), 'utf8'));
    assert.equal(response.headers.get('content-type'), 'text/javascript; charset=utf-8');
    assert.equal(response.headers.get('cache-control'), 'public, max-age=3600');
    assert.equal(response.headers.get('access-control-allow-origin'), '*');
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');

    const etag = response.headers.get('etag');
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const cached = await fetch(`${origin}/${name}?x=1`, { headers: { 'If-None-Match': known } });
      assert.deepEqual([cached.status, cached.headers.get('etag'), await cached.text()], [304, etag, ''], known);
    }
    const other = await fetch(`${origin}/${name}`, { headers: { 'If-None-Match': '"other"' } });
    assert.equal(other.status, 200);
    await other.text();
  });
}

test('HEAD and other methods are answered as for the page', { timeout }, async (t) => {
  const { origin } = await startHub(t);
  for (const path of ['/', '/client.js', '/websocket.js']) {
    const head = await fetch(origin + path, { method: 'HEAD' });
    assert.deepEqual([head.status, await head.text()], [200, ''], path);
    assert.ok(Number(head.headers.get('content-length')) > 1_000, path);
    const post = await fetch(origin + path, { method: 'POST' });
    assert.deepEqual([post.status, post.headers.get('allow')], [405, 'GET, HEAD'], path);
    await post.text();
  }
});
