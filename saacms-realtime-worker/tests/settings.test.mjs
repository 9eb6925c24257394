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
