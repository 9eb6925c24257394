// The client's stream: attempts, pauses, refusals, dead connections, the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveRecord } from '../../client/client.js';
import { FakeClock, HEARTBEAT, World, settle } from './world.mjs';

test('all three event types are shown as they come', async () => {
  const world = new World();
  assert.equal(world.record.state, 'connecting');
  await world.request.open();
  assert.equal(world.record.state, 'live');
  await world.request.event('snapshot', 'v1', { n: 1 });
  await world.request.send('event: changed\nid: v2\ndata: {"n":9007199254740993}\n\n');
  await world.request.event('deleted', 'v3', { id: '1' });
  assert.deepEqual(world.shown.map(({ type, id }) => `${type} ${id}`), ['snapshot v1', 'changed v2', 'deleted v3']);
  assert.equal(world.shown[1].data, '{"n":9007199254740993}', 'the text as it was written');
  assert.equal(world.shown[2].record, null);
  assert.equal(world.record.lastEventId, 'v3');
});

test('events of other types are ignored, but their IDs count', async () => {
  const world = await World.live();
  await world.request.event('something-new', 'v2', {});
  assert.equal(world.shown.length, 1);
  assert.equal(world.record.lastEventId, 'v2');
});

test('a broken stream resumes after its last event ID', async () => {
  const world = await World.live();
  assert.equal(world.request.lastEventId, null);
  await world.request.break();
  assert.equal(world.record.state, 'waiting');
  await world.clock.advance(1_000);
  assert.equal(world.requests.length, 2);
  assert.equal(world.request.lastEventId, 'v1');
  await world.request.open();
  await world.request.event('changed', 'v2', { n: 2 });
  assert.deepEqual(world.records, [{ n: 1 }, { n: 2 }]);
});

test('half an event at the end of a stream is neither shown nor a place', async () => {
  const world = await World.live();
  await world.request.send('event: changed\nid: v2\ndata: {"n":2}\n');
  await world.request.break();
  assert.equal(world.shown.length, 1);
  assert.equal(world.record.lastEventId, 'v1');
});

test('a block with only an ID is a place', async () => {
  const world = new World();
  await world.request.open(':keepalive\n\nid: 00000000000000aa.7\n\n');
  assert.equal(world.record.lastEventId, '00000000000000aa.7');
  await world.request.break();
  await world.clock.advance(1_000);
  assert.equal(world.request.lastEventId, '00000000000000aa.7');
});

test('an ID goes into the header as UTF-8, and into the query where a header cannot hold it', async () => {
  const odd = new World({ lastEventId: 'é🚀' });
  assert.equal(Buffer.from(odd.request.lastEventId, 'latin1').toString(), 'é🚀');
  const control = new World({ lastEventId: 'a\u0001&b' });
  assert.equal(control.request.lastEventId, null);
  assert.ok(control.request.url.endsWith('/subscribe?lastEventId=a%01%26b'));
});

test('every status is survived, with growing pauses', async () => {
  const world = await World.live();
  await world.request.end();
  const gaps = [];
  const statuses = [500, 502, 503, 504, 429, 410, 204, 301, 418];
  for (const status of statuses) {
    const before = world.requests.length;
    const since = world.clock.now();
    while (world.requests.length === before) await world.clock.advance(250);
    gaps.push(world.request.at - since);
    await world.request.answer(status);
    assert.ok(['waiting', 'polling'].includes(world.record.state), `${status}: ${world.record.state}`);
  }
  assert.deepEqual(gaps, [1, 2, 4, 8, 16, 30, 30, 30, 30].map((seconds) => seconds * 1000));
  await world.clock.advance(30_000);
  await world.request.open();
  assert.equal(world.record.state, 'live');
});

test('pauses are jittered between a half and the whole', async () => {
  const pauses = [];
  for (const random of [0, 0.5, 1]) {
    const world = new World();
    world.random = random;
    await world.request.answer(502);
    pauses.push(Math.round(world.states.at(-1).retryIn));
  }
  assert.deepEqual(pauses, [1000, 750, 500]);
});

test('a steady stream ends the growth of pauses, and a short one does not', async () => {
  const world = new World();
  for (const expected of [1_000, 2_000, 4_000]) {
    await world.request.open();
    await world.request.break();
    assert.equal(world.states.at(-1).retryIn, expected);
    await world.clock.advance(expected);
  }
  await world.request.open(undefined, {});
  await world.clock.advance(5_000);
  await world.request.break();
  assert.equal(world.states.at(-1).retryIn, 1_000);
});

test('an HTML page in place of a stream is no stream', async () => {
  const world = new World();
  await world.request.answer(200, { headers: { 'Content-Type': 'text/html' }, body: '<!doctype html>' });
  assert.equal(world.record.state, 'waiting');
  assert.equal(world.states.at(-1).reason, 'the answer is not a stream');
  assert.ok(world.request.signal.aborted, 'its connection is free again');
});

for (const status of [400, 401, 403, 404, 406]) {
  test(`${status} is a refusal, with the problem's text and long pauses`, async () => {
    const world = new World();
    await world.request.problem(status, `why ${status}`);
    assert.equal(world.record.state, 'refused');
    const { problem, ...detail } = world.states.at(-1);
    assert.deepEqual(detail, { state: 'refused', reason: `why ${status}`, status, retryIn: 15_000 });
    assert.equal(problem.detail, `why ${status}`);

    // Polling begins meanwhile, and does not hide the refusal.
    await world.clock.advance(14_999);
    assert.equal(world.requests.length, 1);
    assert.equal(world.record.state, 'refused');
    assert.equal(world.loads.length, 1);
    await world.clock.advance(1);
    await world.request.open();
    assert.equal(world.record.state, 'live');
  });
}

test('a refusal without a problem document names its status', async () => {
  const world = new World();
  await world.request.answer(403, { headers: { 'Content-Type': 'text/html' }, body: '<h1>No</h1>' });
  assert.match(world.states.at(-1).reason, /^403/);
});

test('Retry-After is kept to, with jitter on top', async () => {
  const world = new World();
  world.random = 0.5;
  await world.request.problem(503, 'draining', { 'Retry-After': '8' });
  assert.equal(world.states.at(-1).retryIn, 9_000);
});

test('retry: is kept to on the stream that carried it, and not after', async () => {
  const world = await World.live();
  await world.request.send('retry: 12000\n\n');
  await world.request.end();
  assert.equal(world.states.at(-1).retryIn, 12_000);
  await world.clock.advance(12_000);
  await world.request.open();
  await world.request.break();
  assert.equal(world.states.at(-1).retryIn, 2_000);
});

test('a hub cannot send a client away for a day', async () => {
  const world = await World.live();
  await world.request.send('retry: 86400000\n\n');
  await world.request.end();
  assert.equal(world.states.at(-1).retryIn, 300_000);
});

test('a draining hub that answers with nothing but retry: is not live', async () => {
  const world = new World();
  await world.request.open('retry: 3000\n\n');
  await world.request.end();
  assert.deepEqual(world.states.map(({ state }) => state), ['waiting']);
  assert.equal(world.states[0].retryIn, 3_000);
  assert.equal(world.loads.length, 0);
});

test('a refusal within the stream is a refusal', async () => {
  const world = new World();
  await world.request.open('retry: 7000\nevent: saacms-unavailable\ndata: {"status":503,"detail":"full"}\n\n');
  assert.equal(world.record.state, 'waiting');
  assert.deepEqual(world.states.map(({ reason, retryIn }) => [reason, retryIn]), [['full', 7_000]]);
});

test('a connection without a byte for two and a half heartbeats is dead', async () => {
  const world = await World.live();
  await world.clock.advance(2 * HEARTBEAT);
  await world.request.send(':keepalive\n\n');
  await world.clock.advance(2.5 * HEARTBEAT - 1);
  assert.equal(world.record.state, 'live');
  await world.clock.advance(1);
  assert.equal(world.record.state, 'waiting');
  assert.equal(world.states.at(-1).reason, 'no byte for 2.5 s');
  assert.ok(world.requests[0].signal.aborted);
  await world.clock.advance(1_000);
  assert.equal(world.request.lastEventId, 'v1');
});

test('half an event counts as a byte', async () => {
  const world = await World.live();
  for (const byte of 'data: x') {
    await world.clock.advance(2 * HEARTBEAT);
    await world.request.send(byte);
  }
  assert.equal(world.record.state, 'live');
});

test('without the header of heartbeats a silent connection is not dead', async () => {
  const world = new World();
  await world.request.open(undefined, {});
  await world.clock.advance(24 * 3_600_000);
  assert.equal(world.record.state, 'live');
  assert.equal(world.requests.length, 1);
});

test('an attempt that is not answered for a minute is given up', async () => {
  const world = new World();
  await world.clock.advance(59_999);
  assert.equal(world.requests.length, 1);
  await world.clock.advance(1_001);
  assert.equal(world.requests.length, 2);
  assert.ok(world.requests[0].signal.aborted);
});

test('an attempt that is queued waits after 5 seconds, polls after 10, and is live once it is answered', async () => {
  const world = new World();
  await world.clock.advance(4_999);
  assert.equal(world.record.state, 'connecting');
  await world.clock.advance(1);
  assert.equal(world.record.state, 'waiting');
  await world.clock.advance(5_000);
  assert.equal(world.record.state, 'polling');
  await world.request.open();
  assert.equal(world.record.state, 'live');
  assert.equal(world.requests.length, 1, 'it kept its place in the queue');
});

test('a request that cannot be made is tried again', async () => {
  const world = new World();
  await world.request.fail();
  assert.equal(world.states.at(-1).reason, 'fetch failed');
  await world.clock.advance(1_000);
  assert.equal(world.requests.length, 2);
});

test('close ends the stream, the timers and a running load, for good', async () => {
  const world = new World();
  await world.request.open();
  assert.equal(world.loads.length, 1);
  world.record.close();
  world.record.close();
  assert.deepEqual(world.states.map(({ state }) => state), ['live', 'closed']);
  assert.ok(world.request.signal.aborted && world.load.signal.aborted);
  await world.load.answer({ late: true });
  await world.clock.advance(3_600_000);
  assert.deepEqual([world.shown.length, world.requests.length, world.loads.length, world.clock.waiting], [0, 1, 1, 0]);
});

test('close in the middle of a burst shows nothing more', async () => {
  const shown = [];
  const world = new World({ show: (record) => { shown.push(record.n); if (record.n === 2) world.record.close(); } });
  await world.request.open();
  const burst = [1, 2, 3].map((n) => `event: changed\nid: v${n}\ndata: {"n":${n}}\n\n`).join('');
  await world.request.send(burst);
  assert.deepEqual(shown, [1, 2]);
  assert.equal(world.clock.waiting, 0);
});

test('close works in every state, from a listener too', async () => {
  for (const state of ['waiting', 'polling', 'refused', 'live']) {
    const world = new World();
    world.record.addEventListener('state', ({ detail }) => { if (detail.state === state) world.record.close(); });
    if (state === 'refused') await world.request.problem(403, 'no');
    if (state === 'live') await world.request.open();
    await world.clock.advance(60_000);
    assert.equal(world.record.state, 'closed');
    assert.deepEqual([world.requests.length, world.clock.waiting, world.shown.length], [1, 0, 0], state);
  }
});

test('an exception in show is reported, and the stream goes on', async (t) => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  t.after(() => { delete globalThis.reportError; });
  const shown = [];
  const world = new World({ show: (record) => { shown.push(record.n); if (record.n === 1) throw new Error('a bug of the page'); } });
  await world.request.open();
  await world.request.event('changed', 'v1', { n: 1 });
  await world.request.event('changed', 'v2', { n: 2 });
  assert.deepEqual([reported, shown], [['a bug of the page'], [1, 2]]);
});

test('load and show must be functions', () => {
  assert.throws(() => new LiveRecord('x', { show() {} }), /`load`/);
  assert.throws(() => new LiveRecord('x'), TypeError);
});

test('without a clock or fetch of its own it uses those of the platform, in Node too', async (t) => {
  const real = globalThis.fetch;
  t.after(() => { globalThis.fetch = real; });
  const asked = [];
  globalThis.fetch = async (url) => { asked.push(url); return new Response('', { status: 500 }); };
  const record = new LiveRecord('http://hub.example/x', { load() {}, show() {} });
  await settle();
  assert.equal(record.state, 'waiting');
  record.close();
  assert.deepEqual(asked, ['http://hub.example/x']);
  assert.equal(typeof globalThis.document, 'undefined');
  assert.equal(new FakeClock().waiting, 0);
});
