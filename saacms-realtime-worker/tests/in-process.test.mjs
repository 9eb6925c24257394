// The plugin without a binding: what the process remembers, and how much.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, mock, test } from "node:test";
import { pathToFileURL } from "node:url";

import { Reader, host } from "./behaviour.mjs";
import { KEEPALIVE, PACKAGE, changed, frame, until } from "./harness.mjs";

const library = await import(pathToFileURL(join(PACKAGE, "node.js")));
const { LocalRecords } = await import(pathToFileURL(join(PACKAGE, "in-process.js")));
const options = { timeout: 30_000 };
const client = { accept: "text/event-stream" };
const resume = (header) => ({ ...client, header });
const resync = (id) => `${KEEPALIVE}event: saacms-resync\nid: ${id}\ndata: {"reason":"buffer-miss"}\n\n`;

/** Runs with a clock that only `advance` moves. */
async function withClock(run) {
  const { now } = Date;
  let time = 1_800_000_000_000;
  Date.now = () => time;
  try {
    await run((ms) => (time += ms));
  } finally {
    Date.now = now;
  }
}

test("history is replayed as by an object, by the options of the plugin", options, async () => {
  const { open, publish, stop } = host(library, { retention: { maxEvents: 2 }, heartbeatMs: 0 });
  const events = ["v1", "v2", "v3", "v4"].map((etag) => changed("1", etag));
  for (const event of events) await publish(event);
  const header = (id) => ({ header: (name) => ({ "last-event-id": id })[name] });
  const back = await open("posts", "1", header("v3"));
  await back.is(KEEPALIVE + frame(events[3]));
  const edge = await open("posts", "1", header("v2"));
  await edge.is(KEEPALIVE + events.slice(2).map(frame).join(""));
  const lost = await open("posts", "1", header("v1"));
  await lost.is(resync("v4"));
  for (const stream of [back, edge, lost]) await stream.leave();
  stop();
});

test("a client that does not read costs no memory of its own, and is told when it missed something", options, async () => {
  const records = new LocalRecords({ heartbeatMs: 0 });
  const slow = records.subscribe("posts", "1", client);
  const healthy = new Reader(records.subscribe("posts", "1", client));
  await healthy.has(KEEPALIVE);
  const record = { text: "x".repeat(100_000) };
  for (let number = 0; number < 200; number++) {
    await records.publish(changed("1", `v${number}`, record));
    await healthy.has(`id: v${number}\n`);
  }
  assert.ok(!healthy.text.includes("saacms-resync"));

  const late = new Reader(slow);
  await late.has("saacms-resync");
  await late.has('"reason":"lagged"');
  assert.ok(late.text.length < 400_000, `its queue held ${late.text.length} bytes of ${healthy.text.length}`);
  await records.publish(changed("1", "last"));
  await late.has("id: last\n");
  for (const stream of [healthy, late]) await stream.leave();
});

test("a client whose request is aborted is forgotten, although nobody cancels its stream", options, async () => {
  const records = new LocalRecords({ heartbeatMs: 0 });
  const gone = new AbortController();
  const response = records.subscribe("posts", "1", { ...client, signal: gone.signal });
  assert.equal(records.subscribers("posts", "1"), 1);
  gone.abort();
  await until("it is forgotten", () => records.subscribers("posts", "1") === 0);
  await assert.rejects(response.text(), /the stream was cut/);

  const before = records.subscribe("posts", "1", { ...client, signal: AbortSignal.abort() });
  await until("a request that was aborted before is, too", () => records.subscribers("posts", "1") === 0);
  await before.body.cancel().catch(() => {});
});

test("a refused event leaves nothing behind", options, async () => {
  const records = new LocalRecords({ heartbeatMs: 0 });
  await assert.rejects(records.publish({ type: "changed", slug: "posts", id: "1" }));
  assert.equal(records.size, 0);
});

describe("a record without clients", options, () => {
  test("is forgotten when its events are too old to be replayed", options, () =>
    withClock(async (advance) => {
      const records = new LocalRecords({ heartbeatMs: 0, retention: { maxAgeMs: 120_000 } });
      const watched = new Reader(records.subscribe("posts", "watched", client));
      await records.publish(changed("old", "v1"));
      advance(100_000);
      await records.publish(changed("young", "v1"));
      assert.equal(records.size, 3);
      advance(20_001);
      for (const etag of ["v1", "v2"]) await records.publish(changed("new", etag));
      assert.equal(records.size, 3, "one is forgotten, one is new");
      assert.equal(records.subscribers("posts", "watched"), 1);

      const back = new Reader(records.subscribe("posts", "old", resume("v1")));
      await back.has("saacms-resync");
      for (const stream of [watched, back]) await stream.leave();
    }));

  test("is forgotten when there are too many, the one used longest ago first", options, async () => {
    const warn = mock.method(console, "warn", () => {});
    const records = new LocalRecords({ heartbeatMs: 0 }, { maxBytes: 15_000 });
    const watched = new Reader(records.subscribe("posts", "a", client));
    await records.publish(changed("c", "v0"));
    for (const id of ["b", "c", "d"]) await records.publish(changed(id, "v1"));
    assert.equal(records.size, 3);
    warn.mock.restore();
    assert.deepEqual(warn.mock.callCount(), 1);
    assert.match(warn.mock.calls[0].arguments[0], /at most 15000 bytes of records.*\(1 since the last line\)/);
    const back = new Reader(records.subscribe("posts", "c", resume("v1")));
    await back.is(KEEPALIVE);
    const lost = new Reader(records.subscribe("posts", "b", resume("v1")));
    await lost.has("saacms-resync");
    assert.equal(watched.ended, false);
    for (const stream of [watched, back, lost]) await stream.leave();
  });

  test("is forgotten when clients name ever new ones", options, async () => {
    const warn = mock.method(console, "warn", () => {});
    const records = new LocalRecords({ heartbeatMs: 0 }, { maxBytes: 100_000 });
    for (let number = 0; number < 200; number++) {
      await records.subscribe("posts", `any-${number}`, client).body.cancel();
    }
    warn.mock.restore();
    assert.ok(records.size <= 25, `${records.size} are remembered`);
  });

  test("is forgotten when histories are too large, and then those with clients, which reconnect", options, async () => {
    const records = new LocalRecords({ heartbeatMs: 0 }, { maxBytes: 58_000 });
    const record = { text: "x".repeat(10_000) };
    const watched = new Reader(records.subscribe("posts", "watched", client));
    await records.publish(changed("watched", "v1", record));
    await records.publish(changed("idle", "v1", record));
    for (const etag of ["v1", "v2"]) await records.publish(changed("busy", etag, record));
    assert.equal(records.size, 3);
    await records.publish(changed("busy", "v3", record));
    assert.equal(records.size, 2, "the idle one is forgotten");
    assert.equal(watched.ended, false);
    await records.publish(changed("busy", "v4", record));
    await until("the stream is cut", () => watched.ended);
    assert.equal(records.size, 1);

    // No client misses anything without being told.
    const back = new Reader(records.subscribe("posts", "watched", resume("v1")));
    await back.has("saacms-resync");
    await back.leave();
  });
});
