// The client's parser (WHATWG HTML, 9.2.6), through the client.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from './world.mjs';

/** What a client shows of a stream that arrives in these pieces. */
async function shown(...pieces) {
  const world = new World();
  await world.request.open('');
  for (const piece of pieces) await world.request.send(piece);
  return world.shown.map(({ type, id, data }) => [type, id, data]);
}

const TEXT = '\ufeff:keepalive\r\n\r\nevent: changed\rid: W/"é🚀"\ndata: {"a":\r\ndata: "b"}\n\revent:deleted\nid\ndata:{"id":"1"}\n\n';
const EVENTS = [['changed', 'W/"é🚀"', '{"a":\n"b"}'], ['deleted', '', '{"id":"1"}']];

test('a stream is read the same however it is cut into pieces', async () => {
  const bytes = new TextEncoder().encode(TEXT);
  assert.deepEqual(await shown(bytes), EVENTS);
  for (let cut = 1; cut < bytes.length; cut += 1) {
    assert.deepEqual(await shown(bytes.slice(0, cut), bytes.slice(cut)), EVENTS, `cut at ${cut}`);
  }
  assert.deepEqual(await shown(...Array.from(bytes, (byte) => Uint8Array.of(byte))), EVENTS);
});

test('CR, LF and CRLF end lines, in one piece and across two', async () => {
  const event = [['changed', 'v1', '1']];
  for (const end of ['\r', '\n', '\r\n']) assert.deepEqual(await shown(`event: changed${end}id: v1${end}data: 1${end}${end}`), event);
  assert.deepEqual(await shown('event: changed\r', '\nid: v1\r', '\ndata: 1\r', '\n\r', '\n'), event);
  assert.deepEqual(await shown('event: changed\r', 'id: v1\r', 'data: 1\r', '\r'), event);
});

test('one blank after the colon is dropped, and no more', async () => {
  assert.deepEqual(await shown('event:changed\nid:  v1\ndata:  1\n\n'), [['changed', ' v1', ' 1']]);
});

test('an ID outlives its block, NUL voids it, and an empty one resets it', async () => {
  const block = (id) => `event: changed\n${id}data: 1\n\n`;
  const ids = (await shown(block('id: a\n') + block('') + block('id: b\0\n') + block('id: c\n') + block('id:\n'))).map(([, id]) => id);
  assert.deepEqual(ids, ['a', 'a', 'a', 'c', '']);
});

test('fields without a meaning, and a retry that is no number, are ignored', async () => {
  const world = new World();
  await world.request.open('Event: deleted\nfoo: bar\nretry: 1e9\nretry: -1\nretry:\nevent: changed\nid: v1\ndata: 1\n\n');
  assert.deepEqual(world.shown.map(({ type }) => type), ['changed']);
  await world.request.end();
  assert.equal(world.states.at(-1).retryIn, 1_000);
});

test('an event without data is no event', async () => {
  assert.deepEqual(await shown('event: changed\nid: v1\n\ndata: 1\n\n'), []);
});

test('bytes that are not UTF-8 are replaced', async () => {
  const bytes = Uint8Array.from([...new TextEncoder().encode('event: changed\nid: a'), 0xff, ...new TextEncoder().encode('\ndata: 1\n\n')]);
  assert.deepEqual(await shown(bytes), [['changed', 'a\ufffd', '1']]);
});

test('an event of 4 MB in small pieces is read in linear time', { timeout: 20_000 }, async () => {
  const data = JSON.stringify('x'.repeat(4_000_000));
  const bytes = new TextEncoder().encode(`event: changed\nid: v1\ndata: ${data}\n\n`);
  const world = new World();
  await world.request.open('');
  const body = [];
  for (let at = 0; at < bytes.length; at += 65_536) body.push(bytes.slice(at, at + 65_536));
  for (const piece of body) await world.request.send(piece);
  assert.equal(world.shown[0].data, data);
});
