// LiveRecord in a browser against the real hub. One file for each browser calls `clientTests`, so that they run at once.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PATH, launchBrowser, openClient as open } from './clients.mjs';
import { startHub } from './hub.mjs';
import { startProxy } from './proxy.mjs';
import { until } from './until.mjs';

const timeout = 90_000;
export function clientTests(name) {
  let browser;
  before(async () => { browser = await launchBrowser(name); }, { timeout });
  after(() => browser?.close(), { timeout });

  const openClient = (t, origin, options) => open(t, browser, origin, options);
  const publish = async (hub, n) => assert.equal((await hub.publish({ record: { n }, etag: `v${n}` })).status, 204);
  const subscribers = async (hub) => (await (await fetch(`${hub.origin}/healthz`)).json()).subscribers;

  test('a client loads once, follows, and after a restart loads once more', { timeout }, async (t) => {
    const first = await startHub(t);
    let stored = 1;
    const client = await openClient(t, first.origin, { store: () => ({ n: stored }) });
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

  test('over a crash and a deployment of a hub with a folder a client goes on, and loads nothing', { timeout }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'hub-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const flags = ['--data-dir', join(folder, 'data')];
    let hub = await startHub(t, { flags });
    const client = await openClient(t, hub.origin, { store: () => ({ n: 0 }) });
    await client.is('live');
    await client.shows(0);

    for (const [end, n] of [['kill', 1], ['terminate', 3]]) {
      await publish(hub, n);
      await client.shows(n);
      await hub[end]();
      await client.is('waiting');
      hub = await startHub(t, { port: hub.port, flags });
      await publish(hub, n + 1); // most likely before the client is back
      await client.shows(n + 1);
    }
    const { shown, loads } = await client.seen();
    assert.deepEqual(shown, [0, 1, 2, 3, 4]);
    assert.deepEqual(loads, ['no-place']);
  });

  test('502 for 7 seconds ends nothing', { timeout }, async (t) => {
    const hub = await startHub(t);
    const proxy = await startProxy(t, hub.port);
    const client = await openClient(t, proxy.origin, { store: () => undefined });
    await client.is('live');
    await publish(hub, 1);
    await client.shows(1);

    proxy.refuse(502);
    await client.is('waiting');
    await publish(hub, 2);
    // Real time: how long a browser holds on to the connections that a proxy ended is part of the test.
    await new Promise((resolve) => { setTimeout(resolve, 7_000); });
    const { states } = await client.seen();
    assert.ok(states.filter(({ status }) => status === 502).length >= 2, 'it tried again');
    proxy.heal();
    await client.is('live');
    await client.shows(2);

    const { shown, loads } = await client.seen();
    assert.deepEqual(shown, [1, 2], 'what it missed was replayed');
    // It may have polled: the pauses may have grown to more than 10 seconds in all.
    assert.deepEqual(loads.filter((reason) => reason !== 'polling'), ['no-place']);
  });

  test('a drain that a stalled neighbour holds up ends nothing', { timeout }, async (t) => {
    const flags = ['--drain-timeout', '2s'];
    const first = await startHub(t, { flags });
    const client = await openClient(t, first.origin, { store: () => ({ n: 0 }) });
    await client.is('live');

    // A neighbour on the same record that never reads: its end waits for megabytes that nobody takes.
    const neighbour = net.connect(first.port, '127.0.0.1').pause();
    t.after(() => neighbour.destroy());
    neighbour.on('error', () => {});
    neighbour.write(`GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await until(async () => await subscribers(first) === 2, 'the neighbour is there');
    for (let n = 1; n <= 12; n += 1) {
      assert.equal((await first.publish({ record: { n, pad: 'x'.repeat(900_000) }, etag: `v${n}` })).status, 204);
    }
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
    const client = await openClient(t, hub.origin, { store: () => slow });
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
    const client = await openClient(t, proxy.origin, { store: (reason) => ({ n: reason === 'no-place' ? 0 : 9 }) });
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

  test('a refusal is told with the reason of the hub', { timeout }, async (t) => {
    const hub = await startHub(t);
    const client = await openClient(t, hub.origin, { url: '/api/saacms/v1/a%3Ab/1/subscribe' });
    await client.is('refused');
    const [{ status, reason, problem }] = (await client.seen()).states;
    assert.deepEqual([status, problem.title, reason], [400, 'Invalid resource key', 'the collection must not contain `:` or `/`']);
  });

  test('of seven tabs the seventh waits, polls, and connects when another closes', { timeout }, async (t) => {
    const site = await startHub(t); // serves the pages, so that they load while all connections to the hub are taken
    const hub = await startHub(t, { flags: ['--cors-origin', site.origin] });
    const context = await browser.createBrowserContext();
    t.after(() => context.close());
    const open = () => openClient(t, site.origin, { url: hub.origin + PATH, context });
    const tabs = [];
    for (let tab = 0; tab < 6; tab += 1) {
      tabs.push(await open());
      await tabs[tab].is('live');
    }

    const seventh = await open();
    await seventh.is('polling');
    const { states } = await seventh.seen();
    assert.deepEqual(states.map(({ state }) => state), ['waiting', 'polling']);
    assert.match(states[0].reason, /six streams/);
    for (const [index, seconds] of [5, 10].entries()) {
      const late = states[index].at / 1_000 - seconds;
      // Timers of a page that is not in front may run once in a second only.
      assert.ok(late >= -0.1 && late < 2, `${states[index].state} ${late} s late`);
    }

    await tabs[0].page.close();
    await seventh.is('live');
    await publish(hub, 1);
    await seventh.shows(1);
  });

  test('a client works in a worker', { timeout }, async (t) => {
    const hub = await startHub(t);
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(`${hub.origin}/readyz`);
    await page.evaluate((client, url) => {
      const source = `import { LiveRecord } from '${client}';
        const record = new LiveRecord('${url}', { load: () => ({ n: 0 }), show: (record) => postMessage(record.n) });`;
      const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' });
      window.numbers = [];
      worker.onmessage = ({ data }) => { numbers.push(data); };
    }, `${hub.origin}/client.js`, hub.origin + PATH);
    await until(async () => await subscribers(hub) === 1, 'the worker subscribes');
    await publish(hub, 1);
    await publish(hub, 2);
    // The load and the first event may come in any order.
    const shown = async () => (await page.evaluate(() => numbers)).filter((n) => n !== 0);
    await until(async () => (await shown()).length === 2, 'both events');
    assert.deepEqual(await shown(), [1, 2]);
  });

  test('a connection that goes silent is given up after two and a half heartbeats', { timeout }, async (t) => {
    const site = await startHub(t); // serves the page only
    const hub = await startHub(t, { flags: ['--cors-origin', site.origin, '--heartbeat', '1s'] });
    const proxy = await startProxy(t, hub.port);
    const client = await openClient(t, site.origin, { url: proxy.origin + PATH, store: () => undefined });
    await client.is('live');
    await publish(hub, 1);
    await client.shows(1);

    // Nobody closes the connection: only the heartbeats are missing.
    proxy.stall();
    await client.is('waiting');
    assert.equal((await client.seen()).states.at(-1).reason, 'no byte for 2.5 s');
    await publish(hub, 2);
    proxy.heal();
    await client.shows(2);
    assert.deepEqual((await client.seen()).shown, [1, 2]);
  });
}
