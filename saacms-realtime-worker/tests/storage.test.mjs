// What an object stores: how long, how much, and what a wake-up reads of it.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { HERE, KEEPALIVE, Stream, ask, changed, frame, publish, start, until } from "./harness.mjs";

const API = "/api/saacms/v1";
const SECRET = "the text of the record";
const options = { timeout: 60_000 };

/** The files of all databases: the databases themselves and their logs. */
const files = (worker) =>
  readdirSync(join(worker.folder, "store"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath ?? entry.path, entry.name)));

const has = (worker, text) => files(worker).some((bytes) => bytes.includes(text));

async function withWorker(settings, run) {
  const worker = await start(settings);
  try {
    await run(worker);
  } finally {
    await worker.stop();
  }
}

const place = async (url) => (await ask(url, { method: "HEAD" })).headers.get("saacms-last-event-id");

/** Events of many sizes, more than there are slots: rows are written over and pages are divided. */
async function publishMany(api, id) {
  for (let number = 0; number < 130; number++) {
    const record = { text: SECRET + "x".repeat((number * 137) % 6_000) };
    assert.equal((await publish(api, changed(id, `v${number}`, record))).status, 204);
  }
}

describe("stored events", options, () => {
  test("go once the newest is too old, and a client that was up to date is not told to refetch", options, () =>
    withWorker({ vars: { SAACMS_REALTIME_MAX_AGE: "2s" } }, async (worker) => {
      const api = worker.url + API;
      await publishMany(api, "old");
      assert.ok(has(worker, SECRET), "it is stored");
      const before = await place(`${api}/posts/old/subscribe`);
      assert.match(before, /\.130$/);
      await until("nothing of the record is stored but the newest ID", () => !has(worker, SECRET) && has(worker, "v129"));

      await worker.restart();
      const url = `${worker.url}${API}/posts/old/subscribe`;
      assert.equal(await place(url), before);
      const streams = [];
      for (const id of ["v129", before]) streams.push(await Stream.open(url, { "last-event-id": id }));
      await publish(worker.url + API, changed("old", "next"));
      for (const stream of streams) await stream.is(KEEPALIVE + frame(changed("old", "next")));

      const missed = await Stream.open(url, { "last-event-id": "v128" });
      await missed.has("saacms-resync");
      await worker.restart();
      const back = await Stream.open(`${worker.url}${API}/posts/old/subscribe`, { "last-event-id": "v129" });
      await back.has("id: next\n");
      for (const stream of [...streams, missed, back]) stream.leave();
    }));

  test("stay while there are younger ones, although the alarm was set for the first", options, () =>
    withWorker({ vars: { SAACMS_REALTIME_MAX_AGE: "3s" } }, async (worker) => {
      const api = worker.url + API;
      await publish(api, changed("young", "v1", SECRET));
      const end = Date.now() + 4_500;
      let last = 1;
      await until("the alarm has fired", async () => {
        assert.equal((await publish(api, changed("young", `v${++last}`, SECRET))).status, 204);
        return Date.now() > end;
      });
      assert.ok(has(worker, SECRET));
      await worker.restart();
      const back = await Stream.open(`${worker.url}${API}/posts/young/subscribe`, { "last-event-id": `v${last - 1}` });
      await back.is(KEEPALIVE + frame(changed("young", `v${last}`, SECRET)));
      back.leave();
      await until("nothing of the record is stored", () => !has(worker, SECRET));
    }));

  test("go with STORAGE=off at the first request", options, () =>
    withWorker({}, async (worker) => {
      await publishMany(worker.url + API, "off");
      worker.configure({ SAACMS_REALTIME_STORAGE: "off" });
      await worker.restart();
      await place(`${worker.url}${API}/posts/off/subscribe`);
      await until("nothing of the record is stored", () => !has(worker, SECRET));
    }));

  test("are read once at a wake-up, and no more", options, () =>
    withWorker({ main: "failing.mjs" }, async (worker) => {
      const post = (etag) => publish(`${worker.url}/wake`, changed("wake", etag));
      for (let number = 0; number < 150; number++) assert.equal((await post(`v${number}`)).status, 204);
      await worker.restart();
      const back = await Stream.open(`${worker.url}/wake/subscribe`, { "last-event-id": "v148" });
      await back.is(KEEPALIVE + frame(changed("wake", "v149")));
      const rows = JSON.parse((await ask(`${worker.url}/rows/x`)).text);
      // 101 events, and the table's row in the schema.
      assert.deepEqual(rows, { rowsWritten: 0, rowsRead: 102 });
      back.leave();
    }));
});

describe("the bytes of a history", options, () => {
  const record = "y".repeat(20_000);
  const event = (number) => changed("large", `v${number}`, record);

  test("are bounded, in memory, in the storage and after a restart", options, () =>
    withWorker({ main: "failing.mjs", vars: { SAACMS_REALTIME_MAX_HISTORY_BYTES: "64KiB" } }, async (worker) => {
      for (let number = 0; number < 10; number++) {
        assert.equal((await publish(`${worker.url}/large`, event(number))).status, 204);
      }
      const { bytes } = JSON.parse((await ask(`${worker.url}/large/frames`)).text);
      assert.ok(bytes > 60_000 && bytes <= 64 * 1_024, `${bytes} bytes are stored`);

      for (const _ of ["at first", "after a restart"]) {
        const url = `${worker.url}/large/subscribe`;
        const known = await Stream.open(url, { "last-event-id": "v6" });
        await known.is(KEEPALIVE + [7, 8, 9].map((number) => frame(event(number))).join(""));
        const missed = await Stream.open(url, { "last-event-id": "v5" });
        await missed.is(`${KEEPALIVE}event: saacms-resync\nid: v9\ndata: {"reason":"buffer-miss"}\n\n`);
        for (const stream of [known, missed]) stream.leave();
        await worker.restart();
      }
    }));

  test("are bounded as they are read back, if more was stored", options, () =>
    withWorker({ main: "failing.mjs" }, async (worker) => {
      for (let number = 0; number < 10; number++) await publish(`${worker.url}/large`, event(number));
      worker.configure({ SAACMS_REALTIME_MAX_HISTORY_BYTES: "64KiB" });
      await worker.restart();
      const url = `${worker.url}/large/subscribe`;
      const known = await Stream.open(url, { "last-event-id": "v6" });
      await known.is(KEEPALIVE + [7, 8, 9].map((number) => frame(event(number))).join(""));
      const missed = await Stream.open(url, { "last-event-id": "v5" });
      await missed.has("saacms-resync");
      for (const stream of [known, missed]) stream.leave();
    }));
});

describe("a Worker whose compatibility date has no FinalizationRegistry", options, () => {
  const settings = {
    main: "memory.mjs",
    extra: { "spy.mjs": join(HERE, "workers/spy.mjs") },
    date: "2025-04-01",
    vars: { SAACMS_REALTIME_OPEN_PUBLISH: "true" },
  };

  test("frees an object that has no stream, so its memory does not grow with the records", options, () =>
    withWorker(settings, async (worker) => {
      const api = worker.url + API;
      const memory = async () => Number((await ask(`${worker.url}/memory`)).text);
      const wave = async (name) => {
        for (let record = 0; record < 60; record++) {
          for (const etag of ["v1", "v2", "v3", "v4"]) {
            const event = changed(`${name}-${record}`, etag, "m".repeat(100_000));
            assert.equal((await publish(api, event)).status, 204);
          }
        }
        return memory();
      };
      const [first, second] = [await wave("first"), await wave("second")];
      assert.ok(second <= first + (2 << 20), `${first} bytes, then ${second}`);

      const back = await Stream.open(`${api}/posts/first-0/subscribe`, { "last-event-id": "v3" });
      await back.is(KEEPALIVE + frame(changed("first-0", "v4", "m".repeat(100_000))));
      await publish(api, changed("first-0", "v5"));
      await back.has(frame(changed("first-0", "v5")));
      back.leave();
    }));
});
