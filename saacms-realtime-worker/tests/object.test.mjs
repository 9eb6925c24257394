// The object over HTTP, called by the router and by a host application.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import {
  KEEPALIVE, RELEASES, Stream, ask, changed, frame, publish, sleep, start, until,
} from "./harness.mjs";

const API = "/api/saacms/v1";
const options = { timeout: 60_000 };

for (const release of RELEASES) {
  describe(`in ${release}`, options, () => {
    let worker, api;
    before(async () => {
      worker = await start({ release, vars: { SAACMS_REALTIME_HEARTBEAT: "300ms", SAACMS_REALTIME_STALL_TIMEOUT: "1500ms" } });
      api = worker.url + API;
    });
    after(() => worker.stop());

    const subscribe = (id, headers) => Stream.open(`${api}/posts/${id}/subscribe`, headers);

    test("published events are streamed and replayed", options, async () => {
      const events = ["v1", "v2", "v3"].map((etag) => changed("a", etag));
      const live = await subscribe("a");
      await live.is(KEEPALIVE);
      assert.equal((await publish(api, events[0])).status, 204);
      await live.has(frame(events[0]));

      for (const event of events.slice(1)) assert.equal((await publish(api, event)).status, 204);
      await live.has(frame(events[1]) + frame(events[2]));

      const back = await subscribe("a", { "last-event-id": "v1" });
      await back.has(KEEPALIVE + frame(events[1]) + frame(events[2]));

      const lost = await subscribe("a", { "last-event-id": "nobody" });
      await lost.has(`${KEEPALIVE}event: saacms-resync\nid: v3\ndata: {"reason":"buffer-miss"}\n\n`);

      const query = await Stream.open(`${api}/posts/a/subscribe?lastEventId=v2`);
      await query.has(KEEPALIVE + frame(events[2]));
      assert.equal(live.headers["content-type"], "text/event-stream");
      assert.equal(live.headers["cache-control"], "no-cache, no-transform");
      assert.equal(live.headers["x-accel-buffering"], "no");
      for (const stream of [live, back, lost, query]) stream.leave();
    });

    test("a silent stream is kept alive, and a write postpones the heartbeat", options, async () => {
      const stream = await subscribe("beat");
      await stream.has(KEEPALIVE.repeat(3));
      const event = changed("beat", "x");

      // Three heartbeats long, writes are more frequent than heartbeats.
      const deadline = Date.now() + 900;
      while (Date.now() < deadline) {
        await publish(api, event);
        await sleep(50);
      }
      const tail = stream.text.slice(stream.text.indexOf("event: "));
      assert.ok(!tail.slice(0, tail.lastIndexOf("event: ")).includes(KEEPALIVE), tail);
      await until("the heartbeat is back", () => stream.text.endsWith(KEEPALIVE));
      stream.leave();
    });

    test("a client that never reads costs a bounded number of bytes and does not affect others", options, async () => {
      const slow = await subscribe("slow");
      await slow.has(KEEPALIVE);

      slow.pause();
      const healthy = await subscribe("slow");
      const record = { text: "x".repeat(200_000) };
      for (let number = 0; number < 60; number++) {
        assert.equal((await publish(api, changed("slow", `v${number}`, record))).status, 204);
      }

      const ids = (stream) => [...stream.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
      await until("the healthy client has all", () => ids(healthy).includes("v59"));
      assert.deepEqual(ids(healthy), Array.from({ length: 60 }, (_, number) => `v${number}`));

      // The slow client reads nothing, so it is cut, and reconnects with its last event ID.
      slow.resume();
      await until("the slow client was cut or has all", () => slow.ended || ids(slow).includes("v59"));

      const last = ids(slow).at(-1);
      const whole = slow.text.slice(0, slow.text.lastIndexOf("\n\n") + 2);
      assert.ok(whole.length > 100_000, "what the socket held arrived");

      const back = await subscribe("slow", { "last-event-id": last });
      await until("the rest", () => ids(back).includes("v59") || last === "v59");
      for (const stream of [healthy, back]) stream.leave();
    });

    test("a slow client that continues reading misses nothing", options, async () => {
      const slow = await subscribe("pause");
      await slow.has(KEEPALIVE);
      slow.pause();
      const record = { text: "y".repeat(100_000) };
      for (let number = 0; number < 50; number++) await publish(api, changed("pause", `v${number}`, record));
      slow.resume();
      const ids = () => [...slow.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
      await until("all arrived", () => ids().includes("v49"));
      assert.deepEqual(ids(), Array.from({ length: 50 }, (_, number) => `v${number}`));
      slow.leave();
    });

    test("a client that leaves is forgotten", options, async () => {
      const stream = await subscribe("gone");
      await stream.has(KEEPALIVE);
      stream.leave();
      // The object cannot be asked for its subscribers; leaving.test.mjs checks that no timer is
      // left. Here, publishing and reconnecting must still work.
      await sleep(700);
      assert.equal((await publish(api, changed("gone", "v1"))).status, 204);
      const back = await subscribe("gone", { "last-event-id": "v0" });
      await back.has("saacms-resync");
      back.leave();
    });

    test("the ring survives a restart", options, async () => {
      const events = Array.from({ length: 120 }, (_, number) => changed("kept", `v${number}`));
      for (const event of events) assert.equal((await publish(api, event)).status, 204);
      await worker.restart();
      api = worker.url + API;

      // The last 100 of 120 events are replayed: v20 to v119. v19, the one before, is still known.
      const back = await subscribe("kept", { "last-event-id": "v100" });
      await back.has(KEEPALIVE + events.slice(101).map(frame).join(""));

      const edge = await subscribe("kept", { "last-event-id": "v19" });
      await edge.has(KEEPALIVE + events.slice(20).map(frame).join(""));

      const miss = await subscribe("kept", { "last-event-id": "v18" });
      await miss.has(`${KEEPALIVE}event: saacms-resync\nid: v119\n`);

      const next = changed("kept", "w");
      await publish(api, next);
      for (const stream of [back, edge, miss]) await stream.has(frame(next));
      assert.equal((await publish(api, { ...changed("kept", "w"), id: "other" })).status, 204);
      for (const stream of [back, edge, miss]) stream.leave();
    });
  });
}

describe("the object", options, () => {
  let worker;
  before(async () => (worker = await start({ main: "host.mjs" })));
  after(() => worker.stop());
  const url = (id, what) => `${worker.url}/posts/${id}/${what}`;
  const post = (id, event) => ask(url(id, "publish"), { method: "POST", body: JSON.stringify(event) });

  test("a host that calls the object as the plugin does gets a replay", options, async () => {
    const events = ["v1", "v2"].map((etag) => changed("p", etag));
    for (const event of events) assert.equal((await post("p", event)).status, 204);
    const stream = await Stream.open(url("p", "subscribe"), { "last-event-id": "v1" });
    await stream.is(KEEPALIVE + frame(events[1]));
    stream.leave();
  });

  test("an event about another record is refused", options, async () => {
    assert.equal((await post("mine", changed("mine", "v1"))).status, 204);
    const answer = await post("mine", changed("theirs", "v1"));
    assert.equal(answer.status, 409);
    assert.match(answer.text, /other-record/);
  });

  test("bad events are refused and nothing is sent", options, async () => {
    const stream = await Stream.open(url("bad", "subscribe"));
    for (const body of ["", "nope", "null", "[]", "{}", '{"type":"changed","slug":"posts","id":"bad"}']) {
      const answer = await ask(url("bad", "publish"), { method: "POST", body });
      assert.equal(answer.status, 400, body);
    }
    const large = JSON.stringify(changed("bad", "v", "x".repeat(1 << 20)));
    assert.equal((await ask(url("bad", "publish"), { method: "POST", body: large })).status, 413);
    assert.equal((await post("bad", changed("bad", "good"))).status, 204);
    await stream.is(KEEPALIVE + frame(changed("bad", "good")));
    stream.leave();
  });
});

describe("failures", options, () => {
  let worker;
  before(async () => (worker = await start({ main: "failing.mjs" })));
  after(() => worker.stop());
  const mode = (name) => ask(`${worker.url}/mode/${name}`);
  const post = (id, event) => publish(`${worker.url}/${id}`, event);
  const subscribe = (id, headers) => Stream.open(`${worker.url}/${id}/subscribe`, headers);

  test("an event that cannot be stored is refused and reaches no client", options, async () => {
    const stream = await subscribe("full");
    assert.equal((await post("full", changed("full", "v1"))).status, 204);
    await mode("fails");
    const answer = await post("full", changed("full", "v2"));
    assert.equal(answer.status, 500);
    assert.match(answer.text, /not-stored/);
    await mode("works");
    assert.equal((await post("full", changed("full", "v3"))).status, 204);
    await stream.is(KEEPALIVE + frame(changed("full", "v1")) + frame(changed("full", "v3")));
    stream.leave();
  });

  test("a publish writes and reads one row, whether its slot is new or not", options, async () => {
    const rows = async () => JSON.parse((await ask(`${worker.url}/rows/x`)).text);
    await post("cost", changed("cost", "first"));
    await rows();
    for (let number = 0; number < 150; number++) {
      assert.equal((await post("cost", changed("cost", `v${number}`))).status, 204);
      assert.deepEqual(await rows(), { rowsWritten: 1, rowsRead: 1 }, `event ${number}`);
    }
  });

  test("after a panic the object keeps working, and its clients reconnect", options, async () => {
    const stream = await subscribe("panic");
    for (const etag of ["v1", "v2"]) {
      assert.equal((await post("panic", changed("panic", etag))).status, 204);
    }
    await stream.has(frame(changed("panic", "v2")));
    await mode("panics");
    assert.ok((await post("panic", changed("panic", "v3"))).status >= 500);
    assert.equal((await post("panic", changed("panic", "v4"))).status, 204);
    await until("the stream from before the panic was cut", () => stream.ended);
    const back = await subscribe("panic", { "last-event-id": "v1" });
    await back.is(KEEPALIVE + frame(changed("panic", "v2")) + frame(changed("panic", "v4")));
    back.leave();
  });
});

describe("many streams", options, () => {
  test("1,000 streams on one object all get every event", options, async () => {
    const worker = await start();
    try {
      const url = `${worker.url}${API}/posts/many/subscribe`;
      const streams = [];
      for (let batch = 0; batch < 20; batch++) {
        streams.push(...(await Promise.all(Array.from({ length: 50 }, () => Stream.open(url)))));
      }
      const events = Array.from({ length: 5 }, (_, number) => changed("many", `v${number}`));
      for (const event of events) assert.equal((await publish(worker.url + API, event)).status, 204);
      const expected = KEEPALIVE + events.map(frame).join("");
      for (const stream of streams) await stream.is(expected);
      for (const stream of streams) stream.leave();
    } finally {
      await worker.stop();
    }
  });

  test("a burst reaches 1,000 streams whole and in order, with late joiners and stalled readers", options, async () => {
    const worker = await start();
    try {
      const api = worker.url + API;
      const open = (headers) => Stream.open(`${api}/posts/burst/subscribe`, headers);
      const streams = [];
      for (let batch = 0; batch < 20; batch++) {
        streams.push(...(await Promise.all(Array.from({ length: 50 }, () => open()))));
      }

      // Stalled readers from the middle, so that others come before and after them in a round.
      const stuck = streams.splice(500, 10);
      for (const stream of stuck) stream.pause();
      const record = { text: "z".repeat(2_000) };
      let next = 0;
      const late = [];

      // A burst has several publishers. The object decides the order.
      await Promise.all(Array.from({ length: 4 }, async () => {
        while (next < 200) {
          const number = next++;
          assert.equal((await publish(api, changed("burst", `v${number}`, record))).status, 204);
          // Only while v0 is among the last 100 events, which are replayed.
          if (number % 20 === 10 && number < 80) late.push(await open({ "last-event-id": "v0" }));
        }
      }));

      const ids = (stream) => [...stream.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
      const all = ids(await until("one has all", () => streams.find((stream) => ids(stream).length >= 200)));
      assert.deepEqual(all.toSorted(), Array.from({ length: 200 }, (_, number) => `v${number}`).toSorted());

      for (const stream of streams) {
        await until("it has all", () => stream.text.length >= 200 * 2_000 && ids(stream).length >= 200);
        assert.deepEqual(ids(stream), all);
      }

      for (const stream of late) {
        await until("the late joiner has all", () => ids(stream).at(-1) === all.at(-1));
        assert.deepEqual(ids(stream), all.slice(all.indexOf("v0") + 1));
      }

      for (const stream of stuck) stream.resume();
      for (const stream of stuck) {
        await until("the stalled reader has all", () => ids(stream).length >= 200);
        assert.deepEqual(ids(stream), all);
      }
      for (const stream of [...streams, ...late, ...stuck]) stream.leave();
    } finally {
      await worker.stop();
    }
  });
});
