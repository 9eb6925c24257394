// When the client loads the record, and which answers it shows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from './world.mjs';

test('a stream without a place loads the record, once', async () => {
  const world = new World();
  assert.equal(world.loads.length, 0, 'not before the stream begins, or an edit in between would be lost');
  await world.request.open();
  assert.deepEqual(world.loads.map(({ reason }) => reason), ['no-place']);
  await world.load.answer({ n: 1 });
  assert.deepEqual(world.shown, [{ record: { n: 1 }, type: 'loaded' }]);
  await world.clock.advance(2_000);
  assert.equal(world.loads.length, 1);
});

test('a stream that resumes does not load', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(1_000);
  await world.request.open();
  assert.equal(world.loads.length, 1, 'that of the first stream');
  assert.ok(world.loads[0].signal.aborted);

  const rendered = new World({ lastEventId: 'v1' });
  await rendered.request.open();
  assert.equal(rendered.loads.length, 0);
});

test('a client that is cut before it has a place loads again', async () => {
  const world = new World();
  await world.request.open();
  await world.load.answer({ n: 1 });
  await world.request.break();
  await world.clock.advance(1_000);
  await world.request.open();
  assert.equal(world.loads.length, 2);
});

test('a resync loads, with the reason of the hub', async () => {
  const world = await World.live();
  await world.request.resync('restarted', 'v9');
  assert.equal(world.load.reason, 'restarted');
  assert.equal(world.record.lastEventId, 'v9');
  await world.load.answer({ n: 9 });
  assert.deepEqual(world.records, [{ n: 1 }, { n: 9 }]);
});

test('a restarted hub costs one load, not two', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(1_000);
  const before = world.loads.length;
  await world.request.open();
  await world.request.resync('restarted', 'v1');
  assert.equal(world.loads.length, before + 1);
});

test('the answer of a load that an event overtook is dropped', async () => {
  const world = new World();
  await world.request.open();
  const load = world.load;
  await world.request.event('changed', 'v2', { n: 2 });
  assert.ok(load.signal.aborted);
  await load.answer({ n: 1 });
  assert.deepEqual(world.records, [{ n: 2 }]);
  await world.clock.advance(2_000);
  assert.equal(world.loads.length, 1, 'the event carried the whole record');
});

test('a second resync drops the load of the first', async () => {
  const world = await World.live();
  await world.request.resync('lagged', 'v5');
  const [first] = world.loads.slice(-1);
  await world.request.resync('lagged', 'v9');
  assert.ok(first.signal.aborted);
  await world.load.answer({ n: 9 });
  await first.answer({ n: 5 });
  assert.deepEqual(world.records, [{ n: 1 }, { n: 9 }]);
});

test('an event that is not JSON is loaded instead', async () => {
  const world = await World.live();
  await world.request.send('event: changed\nid: v2\ndata: {"n":\n\n');
  assert.equal(world.load.reason, 'unreadable');
  assert.equal(world.shown.length, 1);
});

test('a load that fails is repeated with growing pauses until it succeeds', async () => {
  const world = new World();
  await world.request.open(undefined, {});
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    await world.load.fail();
    const count = world.loads.length;
    await world.clock.advance(seconds * 1000 - 1);
    assert.equal(world.loads.length, count);
    await world.clock.advance(1);
    assert.equal(world.loads.length, count + 1);
    assert.equal(world.load.reason, 'no-place');
  }
  assert.equal(world.errors.length, 7);
  assert.equal(world.record.state, 'live');
  await world.load.answer({ n: 1 });
  await world.clock.advance(3_600_000);
  assert.equal(world.loads.length, 8);
  assert.deepEqual(world.records, [{ n: 1 }]);
});

test('a load that throws at once counts as failed', async () => {
  const world = new World({ load() { throw new Error('a bug'); } });
  await world.request.open();
  assert.deepEqual(world.errors.map(({ message }) => message), ['a bug']);
});

test('an event makes a failed load needless', async () => {
  const world = new World();
  await world.request.open(undefined, {});
  await world.load.fail();
  await world.request.event('changed', 'v1', { n: 1 });
  await world.clock.advance(60_000);
  assert.equal(world.loads.length, 1);
});

test('a load is aborted after 10 seconds, and its late answer dropped', async () => {
  const world = new World();
  await world.request.open(undefined, {});
  const [slow] = world.loads;
  await world.clock.advance(9_999);
  assert.ok(!slow.signal.aborted);
  await world.clock.advance(1);
  assert.ok(slow.signal.aborted);
  assert.equal(slow.signal.reason.name, 'TimeoutError');
  assert.equal(world.errors[0].name, 'TimeoutError');
  await slow.answer({ n: 'late' });
  await world.clock.advance(1_000);
  await world.load.answer({ n: 'fresh' });
  assert.deepEqual(world.records, [{ n: 'fresh' }]);
});

test('at most one load is awaited at any time', async () => {
  const world = new World();
  const running = () => world.loads.filter(({ signal }) => !signal.aborted).length;
  await world.request.open(undefined, {});
  await world.request.resync('lagged', 'v1');
  assert.equal(running(), 1);
  await world.request.break();
  await world.clock.advance(40_000);
  assert.ok(running() <= 1);
});

test('a load that is needed survives a cut', async () => {
  const world = await World.live();
  await world.request.resync('lagged', 'v5');
  await world.load.fail();
  await world.request.break();
  await world.clock.advance(1_000);
  await world.request.open();
  assert.equal(world.request.lastEventId, 'v5');
  assert.equal(world.load.reason, 'lagged');
  await world.load.answer({ n: 5 });
  assert.deepEqual(world.records, [{ n: 1 }, { n: 5 }]);
});

test('null shows that there is no record, and undefined shows nothing', async () => {
  const world = new World();
  await world.request.open();
  await world.load.answer(undefined);
  assert.deepEqual(world.shown, []);
  await world.request.resync('lagged', 'v1');
  await world.load.answer(null);
  assert.deepEqual(world.shown, [{ record: null, type: 'loaded' }]);
});

test('without a stream for 10 seconds it polls, at growing intervals', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(9_999);
  assert.equal(world.record.state, 'waiting');
  const before = world.loads.length;
  await world.clock.advance(1);
  assert.equal(world.record.state, 'polling');
  assert.equal(world.load.reason, 'polling');
  assert.equal(world.states.at(-1).reason, 'network error', 'why there is no stream');

  const times = [];
  for (let polls = 1; polls <= 6; polls += 1) {
    times.push(world.load.at);
    await world.load.answer({ polls });
    const { length } = world.loads;
    while (world.loads.length === length) await world.clock.advance(1_000);
  }
  const gaps = times.slice(1).map((at, index) => (at - times[index]) / 1000);
  assert.deepEqual(gaps, [5, 10, 20, 40, 60]);
  assert.equal(world.loads.length, before + 7);
});

test('polling goes on while loads fail, and ends when a stream opens', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(10_000);
  await world.load.fail();
  await world.clock.advance(5_000);
  await world.load.answer({ n: 2 });
  while (world.requests.length < 5) await world.clock.advance(1_000);
  await world.request.open(undefined, {});
  assert.equal(world.record.state, 'live');
  await world.load.answer({ n: 2 });
  const { length } = world.loads;
  await world.clock.advance(3_600_000);
  assert.equal(world.loads.length, length);
});

test('intervals of polling are jittered', async () => {
  const world = await World.live();
  await world.request.break();
  world.random = 0.5;
  await world.clock.advance(10_000);
  const { length } = world.loads;
  await world.load.answer({ n: 1 });
  await world.clock.advance(3_749);
  assert.equal(world.loads.length, length);
  await world.clock.advance(1);
  assert.equal(world.loads.length, length + 1);
});

test('after polling, a replay from before it is not asked for: no older record follows a newer one', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(10_000);
  await world.load.answer({ n: 3 });
  assert.equal(world.record.lastEventId, '');
  while (world.request.lastEventId !== null) await world.clock.advance(1_000);
  await world.request.open();
  assert.equal(world.load.reason, 'no-place');
  await world.load.answer({ n: 4 });
  assert.deepEqual(world.records, [{ n: 1 }, { n: 3 }, { n: 4 }]);
});

test('an attempt that names a place from before polling is given up when a poll shows a record', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(1_000);
  const queued = world.request;
  assert.equal(queued.lastEventId, 'v1');
  await world.clock.advance(9_000);
  await world.load.answer({ n: 3 });
  assert.ok(queued.signal.aborted);
  await world.clock.advance(2_000);
  assert.equal(world.request.lastEventId, null);
});

test('a poll that shows nothing keeps the place', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(10_000);
  await world.load.answer(undefined);
  assert.equal(world.record.lastEventId, 'v1');
});

test('a poll that is on its way when the stream resumes is dropped', async () => {
  const world = await World.live();
  await world.request.break();
  await world.clock.advance(1_000);
  await world.clock.advance(9_000);
  const poll = world.load;
  await world.request.open();
  await world.request.event('changed', 'v2', { n: 2 });
  assert.ok(poll.signal.aborted);
  await poll.answer({ n: 'old' });
  assert.deepEqual(world.records, [{ n: 1 }, { n: 2 }]);
});

test('with versions, an event that is older than what a load answered is not shown', async () => {
  const world = new World({ version: ({ n }) => n });
  await world.request.open();
  await world.load.answer({ n: 5 });
  await world.request.event('changed', 'v4', { n: 4 });
  await world.request.event('changed', 'v5', { n: 5 });
  await world.request.event('changed', 'v6', { n: 6 });
  assert.deepEqual(world.records.map(({ n }) => n), [5, 5, 6]);
  assert.equal(world.record.lastEventId, 'v6');
});

test('a record without a version is shown, and a deleted one has none', async () => {
  const world = new World({ version: ({ n }) => n });
  await world.request.open();
  await world.request.event('changed', 'v5', { n: 5 });
  await world.request.event('deleted', 'v6', { id: '1' });
  await world.request.event('changed', 'v7', { n: 1 });
  await world.request.event('changed', 'v8', {});
  assert.deepEqual(world.records, [{ n: 5 }, null, { n: 1 }, {}]);
});
