// LiveRecord in Chromium against the Worker in workerd, by WebSocket. SAACMS_WORKER_PACKAGE names the built Worker.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from '../../../../saacms-realtime-worker/tests/harness.mjs';
import { PATH, launchBrowser, openClient } from './helpers/clients.mjs';
import { freePort, startHub } from './helpers/hub.mjs';

const timeout = 90_000;
let browser;
before(async () => { browser = await launchBrowser('chrome'); }, { timeout });
after(() => browser?.close(), { timeout });

/** Starts the Worker for pages of `origin`. */
async function startWorker(t, origin) {
  const vars = { SAACMS_REALTIME_CORS_ORIGIN: origin, SAACMS_REALTIME_OPEN_PUBLISH: 'true' };
  const worker = await start({ main: 'lives.mjs', address: `127.0.0.1:${await freePort()}`, vars });
  t.after(() => worker.stop());
  worker.lives = async () => Number(await (await fetch(`${worker.url}/lives`)).text());
  worker.publish = async (n) => {
    const body = JSON.stringify({ type: 'changed', slug: 'posts', id: '1', record: { n }, etag: `v${n}` });
    const { status } = await fetch(`${worker.url}/api/saacms/v1/publish`, { method: 'POST', body });
    assert.equal(status, 204);
  };
  return worker;
}

test('an event wakes an object that sleeps, and reaches a page by the WebSocket that it had', { timeout }, async (t) => {
  const site = await startHub(t); // serves the page and the client only
  const worker = await startWorker(t, site.origin);
  const options = { url: worker.url + PATH, store: () => undefined, transport: 'auto' };
  const client = await openClient(t, browser, site.origin, options);
  await client.is('live');
  await worker.publish(1);
  await client.shows(1);
  assert.equal(await worker.lives(), 1);

  // Real time: the runtime evicts an object that has been idle for 10 seconds.
  await new Promise((resolve) => { setTimeout(resolve, 13_000); });
  await worker.publish(2);
  await client.shows(2);
  assert.equal(await worker.lives(), 2, 'it slept, and woke once');
  assert.deepEqual((await client.seen()).states.map(({ state }) => state), ['live'], 'without a reconnection');

  // As a deploy does, and with an event that nobody is there to hear.
  await worker.restart();
  await worker.publish(3);
  await client.shows(3);
  const { shown, loads } = await client.seen();
  assert.deepEqual([shown, loads], [[1, 2, 3], ['no-place']], 'what it missed was replayed');
});
