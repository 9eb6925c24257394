// The Worker's settings: what each one changes, and what happens where one makes no sense.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { KEEPALIVE, Stream, ask, changed, frame, publish, start, until } from "./harness.mjs";

const API = "/api/saacms/v1";
const options = { timeout: 60_000 };

describe("settings", options, () => {
  test("without storage a restart is answered with a resync", options, async () => {
    const worker = await start({ vars: { SAACMS_REALTIME_STORAGE: "off" } });
    try {
      for (const etag of ["v1", "v2"]) await publish(worker.url + API, changed("off", etag));
      await worker.restart();
      const back = await Stream.open(`${worker.url}${API}/posts/off/subscribe`, { "last-event-id": "v1" });
      await back.has("saacms-resync");
      back.leave();
    } finally {
      await worker.stop();
    }
  });

  test("events that were not stored leave no gap in what is stored before and after", options, async () => {
    const worker = await start();
    try {
      const post = (etag) => publish(worker.url + API, changed("between", etag));
      for (const etag of ["v1", "v2"]) assert.equal((await post(etag)).status, 204);
      worker.configure({ SAACMS_REALTIME_STORAGE: "off" });
      await worker.restart();
      assert.equal((await post("v3")).status, 204);
      worker.configure({});
      await worker.restart();
      assert.equal((await post("v4")).status, 204);
      const back = await Stream.open(`${worker.url}${API}/posts/between/subscribe`, { "last-event-id": "v2" });
      await back.is(`${KEEPALIVE}event: saacms-resync\nid: v4\ndata: {"reason":"buffer-miss"}\n\n`);
      back.leave();
    } finally {
      await worker.stop();
    }
  });

  test("a class without SQLite keeps events in memory", options, async () => {
    const worker = await start({ sql: false });
    try {
      for (const etag of ["v1", "v2"]) {
        assert.equal((await publish(worker.url + API, changed("kv", etag))).status, 204);
      }
      const back = await Stream.open(`${worker.url}${API}/posts/kv/subscribe`, { "last-event-id": "v1" });
      await back.is(KEEPALIVE + frame(changed("kv", "v2")));
      back.leave();
    } finally {
      await worker.stop();
    }
  });

  test("fewer slots than before keep the newest events", options, async () => {
    const worker = await start({ vars: { SAACMS_REALTIME_MAX_EVENTS: "10" } });
    try {
      const events = Array.from({ length: 14 }, (_, number) => changed("less", `v${number}`));
      for (const event of events) await publish(worker.url + API, event);
      worker.configure({ SAACMS_REALTIME_MAX_EVENTS: "4" });
      await worker.restart();
      const back = await Stream.open(`${worker.url}${API}/posts/less/subscribe`, { "last-event-id": "v10" });
      await back.is(KEEPALIVE + events.slice(11).map(frame).join(""));
      back.leave();
    } finally {
      await worker.stop();
    }
  });

  test("a store of an older release is read, and no client has a gap", options, async () => {
    const worker = await start({ main: "older.mjs", vars: { SAACMS_REALTIME_MAX_EVENTS: "3" } });
    try {
      const { epoch, ids } = JSON.parse((await ask(`${worker.url}/rows`)).text);
      const block = (id, record) => `event: changed\nid: ${id}\ndata: {"v":${record}}\n\n`;
      const rows = ids.map((id, index) => block(id, index + 4));
      const answer = async (id, expected) => {
        const stream = await Stream.open(`${worker.url}/subscribe`, { "last-event-id": id });
        await stream.is(KEEPALIVE + expected);
        stream.leave();
      };
      const miss = (id) => `event: saacms-resync\nid: ${id}\ndata: {"reason":"buffer-miss"}\n\n`;

      const replays = async (rows) => {
        await answer("v4", rows.slice(1).join(""));
        await answer(ids[1], rows.slice(2).join(""));
        for (const number of [4, 5, 6]) await answer(`${epoch}.${number}`, rows.slice(number - 3).join(""));
      };
      await replays(rows);
      await answer(`${epoch}.3`, rows.join(""));
      await answer(`${epoch}.2`, miss(ids[2]));
      // A resync of the older release could be called by the time after the newest one.
      const after = new Date(Date.parse(ids[2]) + 1).toISOString();
      await answer(after, miss(ids[2]));

      // The clock is behind these times, so no event may get one of them again.
      const event = { type: "changed", slug: "posts", id: "older", record: { v: 7 } };
      const live = await Stream.open(`${worker.url}/subscribe`);
      await live.is(KEEPALIVE);
      assert.equal(live.place, `${epoch}.6`);
      assert.equal((await publish(worker.url, event)).status, 204);
      const next = block(`${epoch}.7`, 7);
      await live.has(next);
      await answer(ids[2], next);
      await answer(after, miss(`${epoch}.7`));

      await worker.restart();
      await answer(`${epoch}.6`, next);
      await answer(ids[2], next);
      assert.equal((await ask(`${worker.url}/subscribe`, { method: "HEAD" })).headers.get("saacms-last-event-id"), `${epoch}.7`);
      live.leave();
    } finally {
      await worker.stop();
    }
  });

  test("an idle stream is ended gracefully, and its client resumes without a gap", options, async () => {
    const worker = await start({
      vars: { SAACMS_REALTIME_IDLE_TIMEOUT: "400ms", SAACMS_REALTIME_RETRY: "1s", SAACMS_REALTIME_HEARTBEAT: "0" },
    });
    try {
      const url = `${worker.url}${API}/posts/idle/subscribe`;
      const stream = await Stream.open(url);
      await until("the stream ended", () => stream.ended);
      const [, id] = stream.text.match(/^:keepalive\n\nid: (.*)\n\nretry: 1000\n\n$/) ?? [];
      assert.ok(id, stream.text);
      await publish(worker.url + API, changed("idle", "v1"));
      const back = await Stream.open(url, { "last-event-id": id });
      await back.has(KEEPALIVE + frame(changed("idle", "v1")));
      await until("it ended too", () => back.ended);
      assert.ok(back.text.endsWith("id: v1\n\nretry: 1000\n\n"), back.text);
    } finally {
      await worker.stop();
    }
  });

  test("a stream stays open whose host does not pass last event IDs on, however idle it is", options, async () => {
    const vars = { SAACMS_REALTIME_IDLE_TIMEOUT: "200ms", SAACMS_REALTIME_HEARTBEAT: "100ms" };
    const worker = await start({ main: "host.mjs", vars });
    try {
      const stream = await Stream.open(`${worker.url}/posts/plain/subscribe`);
      const resumed = await Stream.open(`${worker.url}/posts/plain/subscribe`, { "last-event-id": stream.place ?? "x" });
      await until("a stream that can resume ended", () => resumed.ended);
      await stream.has(KEEPALIVE.repeat(5));
      assert.ok(!stream.ended);
      stream.leave();
    } finally {
      await worker.stop();
    }
  });

  test("a page may publish straight to an object if its origin is listed", options, async () => {
    const worker = await start({ main: "host.mjs", vars: { SAACMS_REALTIME_CORS_ORIGIN: "https://app.example" } });
    try {
      const post = (origin) =>
        ask(`${worker.url}/posts/o/pass/publish`, { method: "POST", body: JSON.stringify(changed("o", "v1")), headers: { origin } });
      assert.equal((await post("https://app.example")).status, 204);
      assert.equal((await post("https://other.example")).status, 403);
    } finally {
      await worker.stop();
    }
  });

  test("without a token subscribing works, and nobody publishes", options, async () => {
    const worker = await start({ vars: { SAACMS_REALTIME_OPEN_PUBLISH: "" } });
    try {
      const stream = await Stream.open(`${worker.url}${API}/posts/1/subscribe`);
      await stream.has(KEEPALIVE);
      stream.leave();
      const answer = await publish(worker.url + API, changed("1", "v1"));
      assert.equal(answer.status, 403);
      assert.match(answer.text, /publishing/);
    } finally {
      await worker.stop();
    }
  });

  test("a full record is refused with 429, and its Retry-After reaches the client", options, async () => {
    const worker = await start({ vars: { SAACMS_REALTIME_MAX_SUBSCRIBERS_PER_TOPIC: "1" } });
    try {
      const url = `${worker.url}${API}/posts/full/subscribe`;
      const stream = await Stream.open(url);
      const answer = await ask(url, { headers: { accept: "text/event-stream, */*" } });
      assert.equal(answer.status, 429);
      assert.match(answer.headers.get("retry-after"), /^\d+$/);
      stream.leave();
    } finally {
      await worker.stop();
    }
  });

  test("an invalid setting is a server error", options, async () => {
    const worker = await start({ vars: { SAACMS_REALTIME_MAX_EVENTS: "-1" } });
    try {
      const answer = await ask(`${worker.url}${API}/posts/1/subscribe`);
      assert.ok(answer.status >= 500, answer.text);
    } finally {
      await worker.stop();
    }
  });
});
