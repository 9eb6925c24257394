// LiveRecord over WebSockets in a browser. One file for each browser calls `socketTests`, so that they run at once.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PATH, launchBrowser, openClient as open } from './clients.mjs';
import { startHub } from './hub.mjs';
import { startSockets } from './sockets.mjs';
import { until } from './until.mjs';

const timeout = 90_000;
const GREETING = ':keepalive\n\n';
const event = (n, more) => `event: changed\nid: v${n}\ndata: ${JSON.stringify({ n, ...more })}\n\n`;

export function socketTests(name) {
  let browser;
  before(async () => { browser = await launchBrowser(name); }, { timeout });
  after(() => browser?.close(), { timeout });

  const openClient = (t, origin, options) => open(t, browser, origin, { store: () => undefined, ...options });

  test('a client follows by WebSocket, comes back with its place, and closes it', { timeout }, async (t) => {
    const hub = await startSockets(t);
    const client = await openClient(t, hub.origin, { transport: 'auto' });
    const first = await hub.socket(1);
    assert.deepEqual([first.origin, first.lastEventId], [hub.origin, null]);
    first.send(`${GREETING}id: 00000000000000aa.0\n\n`);
    await client.is('live');
    const [head, tail] = [event(1).slice(0, 20), event(1).slice(20)];
    first.send(head);
    first.send(tail + event(2));
    await client.shows(2);

    first.cut();
    const second = await hub.socket(2);
    assert.equal(second.lastEventId, 'v2');
    second.send(GREETING + event(3));
    await client.shows(3);

    second.send('id: a+b\n\nretry: 1500\n\n');
    second.close(1001);
    const third = await hub.socket(3);
    assert.equal(third.lastEventId, 'a+b');
    const { states, shown } = await client.seen();
    const { reason, retryIn } = states.at(-1);
    assert.equal(reason, 'the stream ended');
    assert.ok(retryIn >= 1_500, `${retryIn}`);
    assert.deepEqual(shown, [1, 2, 3]);

    third.send(GREETING);
    await client.is('live');
    await client.page.evaluate(() => record.close());
    await until(() => third.closed !== undefined, 'the client closes it');
    assert.notEqual(third.closed, 'cut');
    assert.equal(hub.streams.length, 0);
  });

  test('what was read is acknowledged, and a reader that is refused for that comes back', { timeout }, async (t) => {
    const hub = await startSockets(t);
    const client = await openClient(t, hub.origin, { transport: 'websocket' });
    const first = await hub.socket(1);
    const texts = [GREETING, event(1), event(2, { pad: 'é'.repeat(150_000) }), event(3, { pad: 'x'.repeat(3_000_000) })];
    for (const text of texts) first.send(text);
    await client.shows(3);
    const bytes = texts.slice(1).map((text) => Buffer.byteLength(text));
    await until(() => first.received.length === 2, 'both acknowledgements');
    assert.deepEqual(first.received, [`read ${bytes[0] + bytes[1]}`, `read ${bytes[0] + bytes[1] + bytes[2]}`]);

    first.close(1013, 'read more slowly');
    const second = await hub.socket(2);
    assert.equal(second.lastEventId, 'v3');
    assert.equal((await client.seen()).states.at(-1).reason, 'read more slowly');
  });

  test('pings keep a quiet WebSocket, and one that does not answer them is given up', { timeout }, async (t) => {
    const hub = await startSockets(t);
    const client = await openClient(t, hub.origin, { transport: 'auto', speed: 50 });
    const first = await hub.socket(1);
    first.send(GREETING + event(1));
    await client.shows(1);
    for (let count = 1; count <= 4; count += 1) {
      await until(() => first.received.length === count, `ping ${count}`);
      first.send(GREETING);
    }
    assert.deepEqual(new Set(first.received), new Set(['ping']));

    const second = await hub.socket(2);
    assert.equal((await client.seen()).states.at(-1).reason, 'no byte for 75 s');
    assert.equal(second.lastEventId, 'v1');
  });

  for (const refuse of ['stream', 403, 404, 426, 503]) {
    test(`auto takes an event stream where the WebSocket is answered by ${refuse}, for all records of the hub`, { timeout }, async (t) => {
      const hub = await startSockets(t, { refuse });
      const client = await openClient(t, hub.origin, { transport: 'auto' });
      await client.is('live');
      assert.equal(hub.upgrades(), 1);
      hub.streams[0].write(event(1));
      await client.shows(1);
      hub.streams[0].destroy();
      await until(() => hub.streams.length === 2, 'it comes back');
      await client.page.evaluate((path) => { window.other = follow(path); }, PATH.replace('posts/1', 'pages/2'));
      await until(() => hub.streams.length === 3, 'another record');
      assert.equal(hub.upgrades(), 1);
    });
  }

  test('auto takes an event stream where a WebSocket is never answered', { timeout }, async (t) => {
    const hub = await startSockets(t, { refuse: 'silence' });
    const client = await openClient(t, hub.origin, { transport: 'auto', speed: 10 });
    await client.is('live');
    assert.equal(hub.upgrades(), 1);
  });

  test('auto takes an event stream from the server, which has no WebSockets', { timeout }, async (t) => {
    const hub = await startHub(t);
    const client = await openClient(t, hub.origin, { transport: 'auto' });
    await client.is('live');
    assert.equal((await hub.publish({ record: { n: 1 }, etag: 'v1' })).status, 204);
    await client.shows(1);
    await until(async () => (await (await fetch(`${hub.origin}/healthz`)).json()).subscribers === 1, 'one stream is left');
  });

  test('a client in a worker follows by WebSocket', { timeout }, async (t) => {
    const hub = await startSockets(t);
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(`${hub.origin}/readyz`);
    await page.evaluate((client, url) => {
      const source = `import { LiveRecord } from '${client}';
        new LiveRecord('${url}', { load: () => undefined, show: (record) => postMessage(record.n), transport: 'auto' });`;
      const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' });
      window.numbers = [];
      worker.onmessage = ({ data }) => { numbers.push(data); };
    }, `${hub.origin}/client.js`, hub.origin + PATH);
    (await hub.socket(1)).send(GREETING + event(1));
    await until(async () => (await page.evaluate(() => numbers)).length === 1, 'the event');
    assert.equal(hub.streams.length, 0);
  });
}
