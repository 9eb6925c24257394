// The client over WebSockets: what they carry, pings, acknowledgements, how they end, when `auto` does without them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveRecord } from '../../client/client.js';
// Here, so that the client's own import takes no time.
import '../../client/websocket.js';
import { World, frame, settle } from './world.mjs';

const KIB = 1024;
const PING_EVERY = 30_000;

let hosts = 0;
/** The URL of a record of a host that no other test has. */
const newUrl = () => `http://hub-${hosts += 1}.example/api/saacms/v1/posts/1/subscribe`;

/** A client whose first attempt is on its way. */
async function world(options) {
  const world = new World({ url: newUrl(), transport: 'websocket', ...options });
  await settle();
  return world;
}

/** A client that is live by WebSocket, and has shown the event `v1`. */
async function live(options) {
  const client = await world(options);
  await client.socket.open();
  await client.socket.event('changed', 'v1', { n: 1 });
  return client;
}

// -- What they carry ----------------------------------------------------------------------------------------------------

test('messages are shown as an event stream is', async () => {
  const client = await world();
  assert.equal(client.record.state, 'connecting');
  await client.socket.open(':keepalive\n\nid: 00000000000000aa.7\n\n');
  assert.equal(client.record.state, 'live');
  assert.equal(client.record.lastEventId, '00000000000000aa.7');
  assert.equal(client.load.reason, 'no-place');

  await client.socket.message(frame('snapshot', 'v1', { n: 1 }) + frame('changed', 'v2', { n: 2 }));
  await client.socket.event('deleted', 'v3', { id: '1' });
  assert.deepEqual(client.records, [{ n: 1 }, { n: 2 }, null]);
  await client.socket.event('saacms-resync', 'v9', { reason: 'buffer-miss' });
  assert.equal(client.load.reason, 'buffer-miss');
  assert.equal(client.record.lastEventId, 'v9');
  assert.equal(client.requests.length, 0);
});

test('messages may cut an event anywhere, and may be bytes', async () => {
  const client = await live();
  const text = frame('changed', 'é🚀', { title: 'Grüße' });
  for (const character of text) await client.socket.message(character);
  const bytes = new TextEncoder().encode(frame('changed', 'v3', { title: '🚀' }));
  assert.equal(client.socket.binaryType, 'arraybuffer');
  for (const byte of bytes) await client.socket.message(Uint8Array.of(byte).buffer);
  await client.socket.message('');
  assert.deepEqual(client.records.slice(1), [{ title: 'Grüße' }, { title: '🚀' }]);
});

test('a message of 8 MB is one event', async () => {
  const client = await live();
  const record = 'x'.repeat(8_000_000);
  await client.socket.event('changed', 'v2', record);
  assert.equal(client.records[1], record);
});

test('half an event at the end of a WebSocket is neither shown nor a place', async () => {
  const client = await live();
  await client.socket.message('event: changed\nid: v2\ndata: {"n":2}\n');
  await client.socket.break();
  assert.equal(client.shown.length, 1);
  assert.equal(client.record.lastEventId, 'v1');
});

test('the last event ID goes into the query of ws: or wss:', async () => {
  const client = await live();
  assert.match(client.socket.url, /^ws:\/\/hub-\d+\.example\/api\/saacms\/v1\/posts\/1\/subscribe$/);
  await client.socket.break();
  await client.clock.advance(1_000);
  assert.ok(client.socket.url.endsWith('/subscribe?lastEventId=v1'));

  const url = 'https://hub.example:8443/live/posts/%C3%A9/subscribe?key=a%20b#part';
  const odd = await world({ url, lastEventId: 'W/"é🚀"+ &\u0001' });
  const query = 'key=a%20b&lastEventId=W%2F%22%C3%A9%F0%9F%9A%80%22%2B%20%26%01';
  assert.equal(odd.socket.url, `wss://hub.example:8443/live/posts/%C3%A9/subscribe?${query}`);
});

// -- Pings and acknowledgements -----------------------------------------------------------------------------------------

test('a ping goes out every 30 seconds, also while events arrive', async () => {
  const client = await live();
  for (let n = 1; n <= 4; n += 1) {
    await client.clock.advance(PING_EVERY - 1);
    assert.equal(client.socket.sent.length, n - 1);
    await client.socket.event('changed', `v${n}`, { n });
    await client.clock.advance(1);
    assert.deepEqual(client.socket.sent, Array(n).fill('ping'));
    await client.socket.message(':keepalive\n\n');
  }
  assert.equal(client.record.state, 'live');
});

test('a WebSocket without a message for two and a half pings is dead', async () => {
  const client = await live();
  await client.clock.advance(2.5 * PING_EVERY - 1);
  assert.equal(client.record.state, 'live');
  await client.clock.advance(1);
  assert.equal(client.record.state, 'waiting');
  assert.equal(client.states.at(-1).reason, 'no byte for 75 s');
  assert.ok(client.sockets[0].isClosed);
  await client.clock.advance(1_000);
  assert.ok(client.socket.url.endsWith('?lastEventId=v1'));
  await client.clock.advance(5_000);
  assert.deepEqual(client.sockets[0].sent, ['ping', 'ping'], 'and is sent nothing more');
});

test('the object is told what was read once it is 256 KiB more, in bytes of UTF-8', async () => {
  const client = await world();
  await client.socket.open(':keepalive\n\nid: v0\n\n');
  let read = ':keepalive\n\nid: v0\n\n'.length;
  const receive = (bytes) => {
    read += bytes;
    return client.socket.message(`:${'é'.repeat((bytes - 2) / 2)}\n`);
  };
  await receive(256 * KIB - read - 2);
  await client.socket.message(':');
  assert.deepEqual(client.socket.sent, []);
  await client.socket.message('\n');
  read += 2;
  assert.deepEqual(client.socket.sent, ['read 262144']);
  for (let n = 0; n < 7; n += 1) await receive(64 * KIB);
  assert.deepEqual(client.socket.sent, ['read 262144', 'read 524288']);
  await receive(200 * KIB);
  assert.deepEqual(client.socket.sent.at(-1), `read ${read}`);
});

test('a message of megabytes is acknowledged once', async () => {
  const client = await live();
  const text = frame('changed', 'v2', 'x'.repeat(3_000_000));
  await client.socket.message(text);
  // Without the greeting, which reads as an answer to a ping does.
  assert.deepEqual(client.socket.sent, [`read ${frame('changed', 'v1', { n: 1 }).length + text.length}`]);
});

test('answers to pings are not counted as read, because the object does not send them', async () => {
  const client = await live();
  const before = frame('changed', 'v1', { n: 1 }).length;
  for (let n = 0; n < 30_000; n += 1) client.socket.onmessage({ data: ':keepalive\n\n' });
  await settle();
  assert.deepEqual(client.socket.sent, []);
  const text = frame('changed', 'v2', 'x'.repeat(256 * KIB));
  await client.socket.message(text);
  assert.deepEqual(client.socket.sent, [`read ${before + text.length}`]);
});

// -- How they end -------------------------------------------------------------------------------------------------------

test('a farewell names the place and the pause', async () => {
  const client = await live();
  await client.socket.message('id: v5\n\nretry: 12000\n\n');
  await client.socket.end(1001);
  assert.equal(client.record.state, 'waiting');
  assert.deepEqual(client.states.at(-1), { state: 'waiting', reason: 'the stream ended', retryIn: 12_000 });
  await client.clock.advance(12_000);
  assert.ok(client.socket.url.endsWith('?lastEventId=v5'));
});

for (const [code, text, reason] of [[1013, 'read more slowly', 'read more slowly'], [1008, '', 'the WebSocket ended with code 1008'], [1006, '', 'the WebSocket ended with code 1006']]) {
  test(`code ${code} ends a stream with a reason, and the client comes back with its place`, async () => {
    const client = await live();
    await client.clock.advance(5_000);
    await client.socket.end(code, text);
    assert.deepEqual(client.states.at(-1), { state: 'waiting', reason, retryIn: 1_000 });
    await client.clock.advance(1_000);
    assert.ok(client.socket.url.endsWith('?lastEventId=v1'));
    await client.socket.open();
    assert.equal(client.record.state, 'live');
  });
}

test('a WebSocket that fails is tried again, at growing intervals', async () => {
  const client = await world();
  const at = [];
  for (let n = 0; n < 6; n += 1) {
    await client.socket.break();
    assert.equal(client.states.at(-1).reason, 'the WebSocket failed');
    const { retryIn } = client.states.at(-1);
    at.push(retryIn);
    await client.clock.advance(retryIn);
  }
  assert.deepEqual(at, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
  assert.equal(client.sockets.length, 7);
  assert.equal(client.requests.length, 0);
});

test('an error that has a text is told with it', async () => {
  const client = await world();
  client.socket.onerror({ message: 'non-101 status code' });
  await settle();
  assert.equal(client.states.at(-1).reason, 'the WebSocket failed: non-101 status code');
});

test('a WebSocket that never opens, or opens and stays silent, is given up', async () => {
  for (const accepts of [false, true]) {
    const client = await world();
    if (accepts) await client.socket.accept();
    await client.clock.advance(7_999);
    assert.equal(client.socket.isClosed, false);
    await client.clock.advance(1);
    assert.equal(client.socket.isClosed, true);
    assert.equal(client.states.at(-1).reason, 'the WebSocket said nothing within 8 s');
    await client.clock.advance(1_000);
    assert.equal(client.sockets.length, 2);
  }
});

test('one that closes before its first message is no stream', async () => {
  const client = await world();
  await client.socket.accept();
  await client.socket.end(1000);
  assert.deepEqual(client.states.map(({ state, reason }) => [state, reason]), [['waiting', 'the WebSocket ended with code 1000']]);
  assert.equal(client.loads.length, 0);
});

test('close ends the WebSocket and leaves no timer, whatever it is doing', async () => {
  const steps = {
    'before the module is there': () => {},
    connecting: () => settle(),
    'open and silent': async (client) => { await settle(); await client.socket.accept(); },
    live: async (client) => { await settle(); await client.socket.open(); },
    'after a ping': async (client) => { await settle(); await client.socket.open(); await client.clock.advance(PING_EVERY); },
    waiting: async (client) => { await settle(); await client.socket.break(); },
    polling: async (client) => { await settle(); await client.clock.advance(10_500); },
  };
  for (const [name, step] of Object.entries(steps)) {
    for (const transport of ['websocket', 'auto']) {
      const client = new World({ url: newUrl(), transport });
      await step(client);
      const made = client.requests.length;
      client.record.close();
      await settle();
      assert.deepEqual([client.record.state, client.clock.waiting], ['closed', 0], name);
      assert.ok(client.sockets.every(({ isClosed }) => isClosed), name);
      assert.ok(client.sockets.every(({ onmessage, onclose }) => !onmessage && !onclose), name);
      assert.ok(client.requests.every(({ signal }) => signal.aborted), name);

      await client.clock.advance(600_000);
      assert.ok(client.sockets.length <= 2 && client.requests.length === made, `${name}: nothing is opened after that`);
    }
  }
});

// -- When `auto` does without them --------------------------------------------------------------------------------------

test('auto prefers a WebSocket', async () => {
  const client = await live({ transport: 'auto' });
  assert.deepEqual(client.records, [{ n: 1 }]);
  assert.equal(client.requests.length, 0);
});

test('auto takes an event stream where a WebSocket is refused, and remembers that for the host', async () => {
  const url = newUrl();
  const client = await world({ url, transport: 'auto' });
  await client.socket.break();
  assert.equal(client.states.length, 0, 'within the same attempt');
  await client.request.open();
  assert.equal(client.record.state, 'live');
  await client.request.event('changed', 'v1', { n: 1 });
  await client.request.break();
  await client.clock.advance(1_000);
  assert.equal(client.request.lastEventId, 'v1');
  assert.equal(client.sockets.length, 1);

  const sibling = await world({ url: url.replace('posts/1', 'pages/2'), transport: 'auto' });
  assert.deepEqual([sibling.sockets.length, sibling.requests.length], [0, 1]);
  const stranger = await world({ url: newUrl(), transport: 'auto' });
  assert.deepEqual([stranger.sockets.length, stranger.requests.length], [1, 0]);
  const forced = await world({ url });
  assert.deepEqual([forced.sockets.length, forced.requests.length], [1, 0], 'where it is the only way, it is tried');
});

test('auto takes an event stream where a WebSocket opens and stays silent, before it polls', async () => {
  const client = await world({ transport: 'auto' });
  await client.socket.accept();
  await client.clock.advance(8_000);
  assert.ok(client.socket.isClosed);
  await client.request.open();
  assert.equal(client.record.state, 'live');
  assert.deepEqual(client.states.map(({ state, reason }) => [state, reason]), [['waiting', 'no answer yet'], ['live', undefined]]);
});

test('auto remembers nothing of a host that does not answer, and tells a refusal as a status', async () => {
  const client = await world({ transport: 'auto' });
  const answers = [
    (request) => request.fail(),
    (request) => request.problem(503, 'draining', { 'Retry-After': '1' }),
    (request) => request.answer(200, { headers: { 'Content-Type': 'text/html' }, body: '<!doctype html>' }),
    (request) => request.problem(403, 'not for this origin'),
  ];
  for (const [index, answer] of answers.entries()) {
    assert.equal(client.sockets.length, index + 1);
    await client.socket.break();
    await answer(client.request);
    await client.clock.advance(client.states.at(-1).retryIn);
  }
  assert.equal(client.sockets.length, 5);
  const refused = client.states.find(({ status }) => status === 403);
  assert.deepEqual([refused.state, refused.reason], ['refused', 'not for this origin']);
});

test('where a WebSocket has worked, auto tries it three times more before it takes an event stream', async () => {
  const client = await live({ transport: 'auto' });
  await client.clock.advance(5_000);
  await client.socket.end(1001);
  for (const pause of [1_000, 2_000]) {
    await client.clock.advance(pause);
    await client.socket.break();
    assert.equal(client.requests.length, 0);
  }
  await client.clock.advance(4_000);
  await client.socket.break();
  assert.equal(client.requests.length, 1);
  await client.request.fail();
  await client.clock.advance(8_000);
  await client.socket.open();
  assert.equal(client.record.state, 'live');
});

test('without WebSockets on the platform, auto takes an event stream, and websocket says so', async () => {
  const { WebSocket: real } = globalThis;
  delete globalThis.WebSocket;
  try {
    const client = await world({ transport: 'auto', WebSocket: undefined });
    assert.equal(client.requests.length, 1);
    const options = { load() {}, show() {} };
    assert.throws(() => new LiveRecord(newUrl(), { ...options, transport: 'websocket' }), /there is no WebSocket here/);
    assert.throws(() => new LiveRecord(newUrl(), { ...options, transport: 'socket' }), /`transport` must be "sse", "websocket" or "auto"/);
  } finally {
    if (real) globalThis.WebSocket = real;
  }
});

test('a page that may not open a WebSocket takes an event stream', async () => {
  class Forbidden { constructor() { throw new DOMException('The page is secure', 'SecurityError'); } }
  const client = await world({ transport: 'auto', WebSocket: Forbidden });
  assert.equal(client.requests.length, 1);
  const forced = await world({ WebSocket: Forbidden });
  assert.equal(forced.states.at(-1).reason, 'The page is secure');
});
