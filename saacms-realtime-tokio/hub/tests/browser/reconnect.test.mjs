// The page after a broken connection, a restart of the hub, or too long an absence.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { edits, startHub } from './helpers/hub.mjs';
import { launch, openPage } from './helpers/page.mjs';
import { startProxy } from './helpers/proxy.mjs';
import { until } from './helpers/until.mjs';

const timeout = 120_000;
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(() => browser?.close(), { timeout });

const shown = (live) => live.page.locator('#resync').isVisible();

for (const kind of ['etag', 'position']) {
  test(`the page reconnects by itself after a cut and gets what it missed, in order, none twice (${kind} ids)`, { timeout }, async (t) => {
    const hub = await startHub(t, { flags: ['--event-ids', kind] });
    const proxy = await startProxy(t, hub.port);
    const live = await openPage(t, browser, proxy.origin);
    await live.state('Live');
    await edits(hub, 1, 3);
    await live.counted('events', 3);

    proxy.cut();
    await live.state('Waiting');
    await edits(hub, 4, 8);
    proxy.heal();
    await live.state('Live');
    await live.counted('events', 8);
    await edits(hub, 9, 9);
    await live.counted('events', 9);

    assert.deepEqual((await live.frames()).map(({ data }) => JSON.parse(data).n), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const ids = await live.ids();
    assert.equal(new Set(ids).size, 9);
    assert.equal(await live.count('replayed'), 5);
    assert.equal(await live.count('resyncs'), 0);

    // It resumed with its last event ID in the header.
    const streams = proxy.streams();
    assert.equal(streams[0].lastEventId, undefined);
    assert.equal(streams.at(-1).lastEventId, ids[2]);
    assert.ok(streams.every(({ path }) => !path.includes('lastEventId')));
  });
}

test('a page whose connection is cut repeatedly misses nothing', { timeout }, async (t) => {
  const hub = await startHub(t);
  const proxy = await startProxy(t, hub.port);
  const live = await openPage(t, browser, proxy.origin);
  await live.state('Live');
  for (let round = 0; round < 3; round += 1) {
    await edits(hub, round * 10 + 1, round * 10 + 5);
    await live.counted('events', round * 10 + 5);
    proxy.cut();
    await live.state('Waiting');
    await edits(hub, round * 10 + 6, round * 10 + 10);
    proxy.heal();
    await live.counted('events', round * 10 + 10);
  }
  assert.deepEqual(await live.ids(), Array.from({ length: 30 }, (_, i) => `v${i + 1}`));
  assert.equal(await live.count('resyncs'), 0);
});

test('a page that connects again resumes, and reconnects with its newest ID', { timeout }, async (t) => {
  const hub = await startHub(t);
  const proxy = await startProxy(t, hub.port);
  const live = await openPage(t, browser, proxy.origin);
  await live.state('Live');
  await edits(hub, 1, 2);
  await live.counted('events', 2);
  await live.button('Disconnect');
  await edits(hub, 3, 4);
  await live.button('Connect');
  await live.counted('events', 4);
  proxy.cut();
  await live.state('Waiting');
  await edits(hub, 5, 6);
  proxy.heal();
  await live.counted('events', 6);
  assert.deepEqual(await live.ids(), ['v1', 'v2', 'v3', 'v4', 'v5', 'v6']);
  const named = proxy.streams().map(({ lastEventId }) => lastEventId);
  assert.deepEqual(named, [undefined, 'v2', 'v4']);
});

for (const [kind, reason] of [['etag', 'buffer-miss'], ['position', 'restarted']]) {
  test(`after a crash and restart the page reconnects and is told once to refetch (${kind} ids)`, { timeout }, async (t) => {
    const flags = ['--event-ids', kind];
    const first = await startHub(t, { flags });
    const live = await openPage(t, browser, first.origin);
    await live.state('Live');
    await edits(first, 1, 3);
    await live.counted('events', 3);

    await first.kill();
    await live.state('Waiting');
    const second = await startHub(t, { port: first.port, flags });
    await live.state('Live');
    await live.counted('resyncs', 1);
    assert.ok(await shown(live));
    assert.equal(await live.text('#resync-reason'), reason);
    assert.equal(await live.text('#record-mark'), 'stale');

    // The page resumes from the ID of the resync: later events are replayed, without a second resync.
    await live.button('Disconnect');
    await edits(second, 4, 5);
    await live.button('Connect');
    await live.counted('events', 5);
    assert.ok(!await shown(live));
    assert.equal((await live.record()).n, 5);
    assert.equal(await live.count('resyncs'), 1);
    assert.deepEqual((await live.frames()).map(({ type }) => type),
      ['changed', 'changed', 'changed', 'saacms-resync', 'changed', 'changed']);
  });
}

test('a page that misses more than the history holds gets exactly one resync', { timeout }, async (t) => {
  const hub = await startHub(t, { flags: ['--max-events', '3'] });
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await edits(hub, 1, 1);
  await live.counted('events', 1);

  await live.stayAway(600);
  await live.state('Away');
  await live.flood(10);
  await until(async () => (await live.text('#flood-text')).startsWith('10 of 10 published'), 'the flood is over');
  await live.button('Connect now');
  await live.counted('resyncs', 1);
  assert.ok(await shown(live));
  assert.equal(await live.count('events'), 1, 'nothing is replayed beside a resync');

  await edits(hub, 2, 2);
  await live.counted('events', 2);
  assert.ok(!await shown(live));

  await live.stayAway(600);
  await live.state('Away');
  await edits(hub, 3, 5);
  await live.button('Connect now');
  await live.counted('events', 5);
  assert.deepEqual((await live.frames()).map(({ id, mark }) => (mark === 'resync' ? mark : `${id} ${mark}`)),
    ['v1 live', 'resync', 'v2 live', 'v3 replayed', 'v4 replayed', 'v5 replayed']);
  assert.equal(await live.count('resyncs'), 1);
});

test('a page that missed nothing is not resynced, though its last event has left the history', { timeout }, async (t) => {
  const hub = await startHub(t, { flags: ['--max-age', '1s'] });
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await edits(hub, 1, 2);
  await live.counted('events', 2);
  await live.button('Disconnect');
  // Another reader shows when the events have expired: the first ID then leads to a resync.
  await until(async () => {
    const stop = new AbortController();
    const response = await fetch(`${hub.base}/posts/1/subscribe?lastEventId=v1`, { signal: stop.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('\ndata: ')) text += (await reader.read()).value;
    stop.abort();
    return text.includes('saacms-resync');
  }, 'the history expires');
  await live.button('Connect');
  await live.state('Live');
  await edits(hub, 3, 3);
  await live.counted('events', 3);
  assert.equal(await live.count('resyncs'), 0);
});

test('after a graceful restart the page follows the new hub', { timeout }, async (t) => {
  const first = await startHub(t);
  const proxy = await startProxy(t, first.port);
  const live = await openPage(t, browser, proxy.origin);
  await live.state('Live');
  await edits(first, 1, 2);
  await live.counted('events', 2);

  assert.equal(await first.terminate(), 'exit 0');
  await live.state('Waiting');
  const [stream] = proxy.streams();
  assert.match(stream.response, /\nretry: \d+\n\n\r\n0\r\n\r\n$/, 'the stream says how long to wait, and ends, it does not break');

  const second = await startHub(t, { port: first.port });
  await live.state('Live');
  await live.counted('resyncs', 1);
  await edits(second, 3, 3);
  await live.counted('events', 3);
  assert.equal(proxy.streams().at(-1).lastEventId, 'v2');
});

test('an answer other than a stream does not end the subscription', { timeout }, async (t) => {
  const hub = await startHub(t);
  const proxy = await startProxy(t, hub.port);
  const live = await openPage(t, browser, proxy.origin);
  await live.state('Live');
  await edits(hub, 1, 2);
  await live.counted('events', 2);

  proxy.refuse(503);
  await until(async () => (await live.text('#state-detail')).startsWith('503'), '503 is noticed', 20_000);
  await edits(hub, 3, 4);
  proxy.heal();
  await live.counted('events', 4);
  await live.state('Live');
  assert.deepEqual(await live.ids(), ['v1', 'v2', 'v3', 'v4']);
  assert.equal(proxy.streams().at(-1).lastEventId, 'v2');
});

test('a page resumes from an ID with every odd character in it', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  const odd = ['W/"a b+c&d=e%41?#"', 'é🚀~\u00a0x', '1'.repeat(512)];
  let events = 0;
  for (const etag of odd) {
    assert.equal((await hub.publish({ record: { etag }, etag })).status, 204);
    await live.counted('events', events += 1);
    assert.equal(await live.text('#last-id'), etag);
    await live.button('Disconnect');
    await hub.publish({ record: { after: etag } });
    await live.button('Connect');
    await live.counted('events', events += 1);
  }
  assert.equal(await live.count('resyncs'), 0);
});
