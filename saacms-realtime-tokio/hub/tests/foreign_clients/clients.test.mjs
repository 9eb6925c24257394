// What clients of other projects see of a drain, a crash, a cut, and refusals. Each has a proxy of its own, which records
// what it asks for.

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { startHub } from '../browser/helpers/hub.mjs';
import { startProxy } from '../browser/helpers/proxy.mjs';
import { until } from '../browser/helpers/until.mjs';
import { CLIENTS } from './clients.mjs';

const PATH = '/api/saacms/v1/posts/1/subscribe';
const WAIT_MS = 45_000;

/** A test that gets a function `start(hub)`: it starts every client, each through a proxy of its own. */
function scenario(name, run) {
  test(name, { timeout: 120_000 }, async (t) => {
    const closes = [];
    // Registered first, as these run in their order: before the hub is killed, and while the streams are whole.
    t.after(() => { for (const close of closes) close(); });
    await run(t, async (hub, path = PATH) => {
      const started = [];
      for (const [client, { start, ...traits }] of Object.entries(CLIENTS)) {
        const proxy = await startProxy(t, hub.port);
        const seen = { events: [], statuses: [], ended: false };
        closes.push(start(proxy.origin + path, seen));
        started.push({ name: client, ...traits, proxy, seen });
      }
      return started;
    });
  });
}

/** Opens a stream that nobody reads. Not by `fetch`: it ends one whose response is garbage. */
function openStream(t, hub, path) {
  const socket = net.connect(hub.port, '127.0.0.1').pause();
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
}

/** Waits until all clients fulfil a condition, and names those that do not. */
async function untilAll(clients, condition, what) {
  const late = () => clients.filter((client) => !condition(client));
  await until(() => late().length === 0, what, WAIT_MS).catch((error) => {
    const seen = late().map(({ name, seen, proxy }) => `${name}: ${JSON.stringify(seen)} ${JSON.stringify(proxy.streams().map(place))}`);
    throw new Error(`${error.message}, but\n${seen.join('\n')}`);
  });
}

const publish = async (hub, id) => assert.equal((await hub.publish({ record: { id }, etag: id })).status, 204);
const subscribers = async (hub) => (await (await fetch(`${hub.origin}/healthz`)).json()).subscribers;
const allSubscribe = (hub, clients) => until(async () => await subscribers(hub) === clients.length, 'all are subscribed', WAIT_MS);

/** The events of a record, in order, and resyncs. */
const records = ({ seen }) => seen.events
  .filter(({ type }) => type !== 'saacms-unavailable')
  .map(({ type, id }) => (type === 'changed' ? id : type));
const refusals = ({ seen }) => seen.events.filter(({ type }) => type === 'saacms-unavailable').map(({ data }) => JSON.parse(data));
const hasSeen = (id) => ({ seen }) => seen.events.some((event) => event.id === id);

/** The last event ID of a request: event-source-polyfill can name it only in the query. */
const place = ({ path, lastEventId }) => lastEventId ?? new URL(path, 'http://hub').searchParams.get('lastEventId') ?? undefined;

scenario('over a drain that lasts, every client comes back with its place, and is told to refetch', async (t, start) => {
  const flags = ['--drain-timeout', '5s'];
  const first = await startHub(t, { flags });
  const clients = await start(first);
  await allSubscribe(first, clients);
  for (const id of ['v1', 'v2']) await publish(first, id);
  await untilAll(clients, hasSeen('v2'), 'v2');

  // A reader that never reads holds the drain up: whoever comes back meanwhile finds a hub that takes nobody.
  openStream(t, first, '/api/saacms/v1/large/1/subscribe');
  await until(async () => await subscribers(first) === clients.length + 1, 'the reader that never reads');
  for (let n = 0; n < 12; n += 1) await first.publish({ slug: 'large', record: 'x'.repeat(900_000) });

  assert.equal(await first.terminate(), 'exit 0');
  const second = await startHub(t, { port: first.port, flags });
  await allSubscribe(second, clients);
  await publish(second, 'v3');
  await untilAll(clients, hasSeen('v3'), 'v3');

  for (const client of clients) {
    const { name, proxy, seen, isEventSource } = client;
    assert.deepEqual(records(client), ['v1', 'v2', 'saacms-resync', 'v3'], name);
    assert.equal(place(proxy.streams().at(-1)), 'v2', name);
    assert.ok(!seen.ended, name);
    // Told within a stream where they could not bear a status; curl's caller reads it.
    const told = isEventSource ? refusals(client).map(({ status }) => status) : seen.statuses;
    assert.ok(told.length >= 1 && told.every((status) => status === 503), `${name}: ${told}`);
    assert.ok(!isEventSource || seen.statuses.length === 0, `${name}: ${seen.statuses}`);
  }
});

scenario('over a crash, every client comes back with its place, and is told to refetch', async (t, start) => {
  const first = await startHub(t);
  const clients = await start(first);
  await allSubscribe(first, clients);
  for (const id of ['v1', 'v2']) await publish(first, id);
  await untilAll(clients, hasSeen('v2'), 'v2');

  await first.kill();
  const second = await startHub(t, { port: first.port });
  await publish(second, 'v3');
  await allSubscribe(second, clients);
  await publish(second, 'v4');
  await untilAll(clients, hasSeen('v4'), 'v4');
  for (const client of clients) {
    assert.deepEqual(records(client), ['v1', 'v2', 'saacms-resync', 'v4'], client.name);
    assert.equal(place(client.proxy.streams().at(-1)), 'v2', client.name);
  }
});

scenario('over a cut, what was missed is replayed; before the first event, to clients that keep their place', async (t, start) => {
  const hub = await startHub(t);
  const clients = await start(hub);
  const cut = async (...ids) => {
    for (const { proxy } of clients) proxy.cut();
    for (const id of ids) await publish(hub, id);
    await until(async () => await subscribers(hub) === 0, 'the hub notices');
    for (const { proxy } of clients) proxy.heal();
    await allSubscribe(hub, clients);
  };
  await allSubscribe(hub, clients);
  await until(() => clients.every(({ proxy }) => /\nid: /.test(proxy.streams()[0]?.response)), 'each has got its place');

  await cut('v1', 'v2');
  await publish(hub, 'v3');
  await untilAll(clients, hasSeen('v3'), 'v3');
  await cut('v4', 'v5');
  await untilAll(clients, hasSeen('v5'), 'v5');
  for (const client of clients) {
    const missed = client.keepsPlace ? ['v1', 'v2'] : []; // as CONTRACT.md says of these clients
    assert.deepEqual(records(client), [...missed, 'v3', 'v4', 'v5'], client.name);
    assert.equal(place(client.proxy.streams().at(-1)), 'v3', client.name);
  }
});

scenario('where a record has all the readers that it may have, every client learns why, and goes on asking', async (t, start) => {
  const hub = await startHub(t, { flags: ['--max-subscribers-per-topic', '1'] });
  openStream(t, hub, PATH);
  await until(async () => await subscribers(hub) === 1, 'the one reader is there');

  const clients = await start(hub);
  const told = (client) => (client.isEventSource ? refusals(client).map(({ status }) => status) : client.seen.statuses);
  await untilAll(clients, (client) => told(client).includes(429), 'each is told');
  for (const { name, seen, isEventSource } of clients) {
    assert.ok(!seen.ended, `${name} has given up`);
    assert.ok(!isEventSource || seen.statuses.length === 0, `${name}: ${seen.statuses}`);
  }
});

scenario('at 404 a client gives up, or asks again for ever', async (t, start) => {
  const hub = await startHub(t);
  const clients = await start(hub, '/api/saacms/v1/posts/subscribe');
  const isDone = ({ at404, seen }) => (at404 === 'ends' ? seen.ended : seen.statuses.length >= 3);
  await untilAll(clients, isDone, 'each does what it does');
  for (const { name, at404, seen } of clients) {
    assert.equal(seen.ended, at404 === 'ends', name);
    assert.ok(seen.statuses.every((status) => status === 404), `${name}: ${seen.statuses}`);
    assert.deepEqual(seen.events, [], name);
  }
});
