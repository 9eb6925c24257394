// LiveRecord against the real hub: in a page, in a worker, in Node, in seven tabs.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { LiveRecord } from '../../client/client.js';
import { edits, startHub } from './helpers/hub.mjs';
import { launch, openPage } from './helpers/page.mjs';
import { startProxy } from './helpers/proxy.mjs';
import { until } from './helpers/until.mjs';

const timeout = 90_000;
const PATH = '/api/saacms/v1/posts/1/subscribe';
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(() => browser?.close(), { timeout });

/** A page of the hub's origin with a client, whose `load` asks the test's store. `seen` is what it did. */
async function openClient(t, hub, { origin = hub.origin, store = () => null, setup } = {}) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await setup?.(page);
  await page.exposeFunction('store', store);
  await page.goto(`${origin}/readyz`); // any document without a policy of its own
  await page.evaluate(async (path) => {
    const { LiveRecord } = await import('/client.js');
    window.seen = { shown: [], states: [], loads: [] };
    window.record = new LiveRecord(path, {
      load({ reason }) { seen.loads.push(reason); return store(reason); },
      show(record) { seen.shown.push(record && record.n); },
    });
    record.addEventListener('state', ({ detail }) => seen.states.push(detail.state));
  }, PATH);
  const seen = () => page.evaluate(() => ({ ...seen, state: record.state }));
  return {
    page,
    seen,
    is: (state) => until(async () => (await seen()).state === state, `the client is ${state}`),
    shows: (n) => until(async () => (await seen()).shown.at(-1) === n, `the client shows ${n}`),
  };
}

const publish = async (hub, n) => assert.equal((await hub.publish({ record: { n }, etag: `v${n}` })).status, 204);

test('a client loads once, follows, and after a restart loads once more', { timeout }, async (t) => {
  const first = await startHub(t);
  let stored = 1;
  const client = await openClient(t, first, { store: () => ({ n: stored }) });
  await client.is('live');
  await client.shows(1);
  await publish(first, 2);
  await client.shows(2);

  await first.kill();
  await client.is('waiting');
  stored = 3; // an edit that no hub carries
  const second = await startHub(t, { port: first.port });
  await client.shows(3);
  await publish(second, 4);
  await client.shows(4);
  const { shown, loads } = await client.seen();
  assert.deepEqual(shown, [1, 2, 3, 4]);
  assert.deepEqual(loads, ['no-place', 'buffer-miss']);
});

test('502 for 7 seconds ends nothing', { timeout }, async (t) => {
  const hub = await startHub(t);
  const proxy = await startProxy(t, hub.port);
  const client = await openClient(t, hub, { origin: proxy.origin, store: () => undefined, setup: (page) => page.clock.install() });
  await client.is('live');
  await publish(hub, 1);
  await client.shows(1);

  proxy.refuse(502);
  await client.is('waiting');
  const before = proxy.connections();
  for (let second = 0; second < 7; second += 1) await client.page.clock.runFor(1_000);
  await until(() => proxy.connections() > before, 'it tried again');
  assert.equal((await client.seen()).state, 'waiting');
  await publish(hub, 2);
  proxy.heal();
  await until(async () => {
    await client.page.clock.runFor(500);
    return (await client.seen()).state === 'live';
  }, 'it is live again');
  await client.shows(2);
  const { shown, loads } = await client.seen();
  assert.deepEqual(shown, [1, 2], 'what it missed was replayed');
  // It may have polled: the pauses may have grown to more than 10 seconds in all.
  assert.deepEqual(loads.filter((reason) => reason !== 'polling'), ['no-place']);
});

test('a drain that a stalled neighbour holds up ends nothing', { timeout }, async (t) => {
  const flags = ['--drain-timeout', '2s'];
  const first = await startHub(t, { flags });
  const client = await openClient(t, first, { store: () => ({ n: 0 }) });
  await client.is('live');

  // A neighbour on the same record that never reads: its end waits for megabytes that nobody takes.
  const neighbour = net.connect(first.port, '127.0.0.1').pause();
  t.after(() => neighbour.destroy());
  neighbour.on('error', () => {});
  neighbour.write(`GET ${PATH} HTTP/1.1\r\nHost: hub\r\n\r\n`);
  await until(async () => (await (await fetch(`${first.origin}/healthz`)).json()).subscribers === 2, 'the neighbour is there');
  for (let n = 1; n <= 12; n += 1) assert.equal((await first.publish({ record: { n, pad: 'x'.repeat(900_000) }, etag: `v${n}` })).status, 204);
  await client.shows(12);

  const began = Date.now();
  await first.terminate();
  assert.ok(Date.now() - began >= 1_500, 'the neighbour held it up');
  await client.is('waiting');
  const second = await startHub(t, { port: first.port, flags });
  await client.is('live');
  await publish(second, 13);
  await client.shows(13);
});

test('a refetch that an event overtakes is dropped', { timeout }, async (t) => {
  const hub = await startHub(t);
  let answer;
  const slow = new Promise((resolve) => { answer = resolve; });
  const client = await openClient(t, hub, { store: () => slow });
  await until(async () => (await client.seen()).loads.length === 1, 'the load is on its way');
  await publish(hub, 2);
  await client.shows(2);
  answer({ n: 1 });
  await publish(hub, 3);
  await client.shows(3);
  const { shown, loads } = await client.seen();
  assert.deepEqual([shown, loads], [[2, 3], ['no-place']]);
});

test('a client that missed more than the history holds loads, once', { timeout }, async (t) => {
  const hub = await startHub(t, { flags: ['--max-events', '2'] });
  const proxy = await startProxy(t, hub.port);
  const client = await openClient(t, hub, { origin: proxy.origin, store: (reason) => ({ n: reason === 'no-place' ? 0 : 9 }) });
  await client.shows(0);
  await publish(hub, 1);
  await client.shows(1);
  proxy.cut();
  await client.is('waiting');
  for (let n = 2; n <= 9; n += 1) await publish(hub, n);
  proxy.heal();
  await client.shows(9);
  const { shown, loads } = await client.seen();
  assert.deepEqual([shown, loads], [[0, 1, 9], ['no-place', 'buffer-miss']]);
});

test('a refusal is shown with the reason of the hub', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, `${hub.origin}/?base=/elsewhere`);
  await live.state('Refused');
  assert.match(await live.text('#state-detail'), /^404 .*api\/saacms\/v1/);
});

test('of seven tabs the seventh waits, polls, and connects when another closes', { timeout }, async (t) => {
  const site = await startHub(t); // serves the pages, so that they load while all connections to the hub are taken
  const hub = await startHub(t, { flags: ['--cors-origin', site.origin] });
  const context = await browser.newContext();
  t.after(() => context.close());
  const url = `${site.origin}/?origin=${encodeURIComponent(hub.origin)}`;
  const tabs = [];
  for (let tab = 0; tab < 6; tab += 1) {
    tabs.push(await openPage(t, browser, url, { context }));
    await tabs[tab].state('Live');
  }
  const seventh = await openPage(t, browser, url, { context });
  await seventh.state('Waiting');
  assert.match(await seventh.text('#state-detail'), /six streams/);
  await seventh.state('Polling');

  await tabs[0].page.close();
  await seventh.state('Live');
  await edits(hub, 1, 1);
  await seventh.counted('events', 1);
});

test('a client works in a worker', { timeout }, async (t) => {
  const hub = await startHub(t);
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(`${hub.origin}/readyz`);
  const shown = page.evaluate(([client, url]) => new Promise((resolve) => {
    const source = `import { LiveRecord } from '${client}';
      const record = new LiveRecord('${url}', { load: () => ({ n: 0 }), show: (record) => postMessage(record.n) });`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' });
    const numbers = [];
    worker.onmessage = ({ data }) => { numbers.push(data); if (data === 2) resolve(numbers); };
  }), [`${hub.origin}/client.js`, hub.origin + PATH]);
  await until(async () => (await (await fetch(`${hub.origin}/healthz`)).json()).subscribers === 1, 'the worker subscribes');
  await publish(hub, 1);
  await publish(hub, 2);
  const numbers = (await shown).filter((n) => n !== 0); // the load and the first event may come in any order
  assert.deepEqual(numbers, [1, 2]);
});

test('a client works in Node', { timeout }, async (t) => {
  const hub = await startHub(t);
  const proxy = await startProxy(t, hub.port);
  const shown = [];
  const record = new LiveRecord(new URL(PATH, proxy.origin), { load: () => undefined, show: ({ n }) => shown.push(n) });
  t.after(() => record.close());
  await until(() => record.state === 'live', 'it is live');
  await publish(hub, 1);
  await until(() => shown.length === 1, 'the first event');
  proxy.cut();
  await until(() => record.state === 'waiting', 'the cut');
  await publish(hub, 2);
  proxy.heal();
  await until(() => shown.length === 2, 'the second event');
  assert.equal(proxy.streams().at(-1).lastEventId, 'v1');
  record.close();
  await until(async () => (await (await fetch(`${hub.origin}/healthz`)).json()).subscribers === 0, 'close ends the connection');
  assert.deepEqual(shown, [1, 2]);
});

test('a connection that goes silent is given up after two and a half heartbeats', { timeout }, async (t) => {
  const site = await startHub(t); // serves the page only
  const hub = await startHub(t, { flags: ['--cors-origin', site.origin, '--heartbeat', '1s'] });
  const proxy = await startProxy(t, hub.port);
  const live = await openPage(t, browser, `${site.origin}/?origin=${encodeURIComponent(proxy.origin)}`);
  await live.state('Live');
  await edits(hub, 1, 1);
  await live.counted('events', 1);

  // Nobody closes the connection: only the heartbeats are missing.
  proxy.stall();
  await live.state('Waiting');
  assert.match(await live.text('#state-detail'), /no byte for 2.5 s/);
  await edits(hub, 2, 2);
  proxy.heal();
  await live.counted('events', 2);
  assert.equal(await live.count('resyncs'), 0);
});
