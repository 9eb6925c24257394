// What an object stores: how long, how much, and what a wake-up reads of it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";

import { HERE, KEEPALIVE, Socket, Stream, ask, changed, frame, publish, sleep, start, stores, until } from "./harness.mjs";

const API = "/api/saacms/v1";
const SECRET = "the text of the record";
const options = { timeout: 60_000 };

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
      assert.ok(stores(worker, SECRET), "it is stored");
      const before = await place(`${api}/posts/old/subscribe`);
      assert.match(before, /\.130$/);
      await until("nothing of the record is stored but the newest ID", () => !stores(worker, SECRET) && stores(worker, "v129"));

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
      assert.ok(stores(worker, SECRET));
      await worker.restart();
      const back = await Stream.open(`${worker.url}${API}/posts/young/subscribe`, { "last-event-id": `v${last - 1}` });
      await back.is(KEEPALIVE + frame(changed("young", `v${last}`, SECRET)));
      back.leave();
      await until("nothing of the record is stored", () => !stores(worker, SECRET));
    }));

  test("go with STORAGE=off at the first request", options, () =>
    withWorker({}, async (worker) => {
      await publishMany(worker.url + API, "off");
      worker.configure({ SAACMS_REALTIME_STORAGE: "off" });
      await worker.restart();
      await place(`${worker.url}${API}/posts/off/subscribe`);
      await until("nothing of the record is stored", () => !stores(worker, SECRET));
    }));

  describe("are read at a wake-up as far as they are needed", options, () => {
    /** What a search for the newest event reads of 101 slots, and the table's row in the schema. */
    const SEARCH = 12;
    const url = (worker, what) => `${worker.url}/wake/${what}`;
    const post = async (worker, ...etags) => {
      for (const etag of etags) assert.equal((await publish(`${worker.url}/wake`, changed("wake", etag))).status, 204);
    };
    const names = (count, name = "v") => Array.from({ length: count }, (_, number) => name + number);
    const rows = async (worker) => JSON.parse((await ask(`${worker.url}/rows/x`)).text);
    const counts = async (worker, least) => {
      const { rowsRead, rowsWritten } = await rows(worker);
      assert.equal(rowsWritten, 0);
      assert.ok(least <= rowsRead && rowsRead <= least + SEARCH, `${rowsRead} rows are read for ${least}`);
    };

    for (const count of [1, 60, 101, 150, 201, 202, 203]) {
      test(`by a client that names none, and by one that names one, after ${count} events`, options, () =>
        withWorker({ main: "failing.mjs" }, async (worker) => {
          const etags = names(count);
          await post(worker, ...etags);
          await worker.restart();
          const fresh = await Stream.open(url(worker, "subscribe"));
          await fresh.is(KEEPALIVE);
          assert.match(fresh.place, new RegExp(`\\.${count}$`));
          assert.equal(await place(url(worker, "subscribe")), fresh.place);
          await counts(worker, 1);

          // The ring is read in addition: at most 100 events, and the one before them.
          const missed = etags.slice(-101);
          const back = await Stream.open(url(worker, "subscribe"), { "last-event-id": missed[0] });
          await back.is(KEEPALIVE + missed.slice(1).map((etag) => frame(changed("wake", etag))).join(""));
          await counts(worker, missed.length);

          await post(worker, "next");
          for (const stream of [fresh, back]) await stream.has(frame(changed("wake", "next")));
          await fresh.is(KEEPALIVE + frame(changed("wake", "next")));
          for (const stream of [fresh, back]) stream.leave();
        }));
    }

    test("and none that are too old", options, () =>
      withWorker({ main: "failing.mjs", vars: { SAACMS_REALTIME_MAX_AGE: "2s" } }, async (worker) => {
        await post(worker, ...names(130, "old"));
        await sleep(2_100);
        await post(worker, ...names(4, "young"));
        await worker.restart();
        await rows(worker);
        const back = await Stream.open(url(worker, "subscribe"), { "last-event-id": "old129" });
        await back.is(KEEPALIVE + names(4, "young").map((etag) => frame(changed("wake", etag))).join(""));
        await counts(worker, 5);
        const missed = await Stream.open(url(worker, "subscribe"), { "last-event-id": "old128" });
        await missed.has("saacms-resync");
        for (const stream of [back, missed]) stream.leave();
      }));

    test("also if they are in slots of another number, which are put in order once", options, () =>
      withWorker({ main: "failing.mjs", vars: { SAACMS_REALTIME_MAX_EVENTS: "50" } }, async (worker) => {
        await post(worker, ...names(80));
        worker.configure({});
        await worker.restart();
        await rows(worker);
        for (const _ of ["out of order", "in order"]) {
          const fresh = await Stream.open(url(worker, "subscribe"));
          assert.match(fresh.place ?? (await place(url(worker, "subscribe"))), /\.80$/);
          fresh.leave();
        }
        const { rowsRead, rowsWritten } = await rows(worker);
        assert.ok(rowsWritten > 0 && rowsRead < 4 * 51, `${rowsWritten} written, ${rowsRead} read`);
        await worker.restart();
        const back = await Stream.open(url(worker, "subscribe"), { "last-event-id": "v40" });
        await back.is(KEEPALIVE + names(80).slice(41).map((etag) => frame(changed("wake", etag))).join(""));
        await counts(worker, 51);
        back.leave();
      }));
  });
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
      for (let number = 0; number < 60; number++) await publish(`${worker.url}/large`, event(number));
      worker.configure({ SAACMS_REALTIME_MAX_HISTORY_BYTES: "64KiB" });
      await worker.restart();
      const url = `${worker.url}/large/subscribe`;
      const known = await Stream.open(url, { "last-event-id": "v56" });
      await known.is(KEEPALIVE + [57, 58, 59].map((number) => frame(event(number))).join(""));
      const missed = await Stream.open(url, { "last-event-id": "v55" });
      await missed.has("saacms-resync");
      const { rowsRead } = JSON.parse((await ask(`${worker.url}/rows/x`)).text);
      assert.ok(rowsRead <= 4 + 12, `${rowsRead} rows are read`);
      for (const stream of [known, missed]) stream.leave();
    }));
});

describe("the histories of an isolate's objects", options, () => {
  test("have a bound, as objects without streams are freed and read back", options, () =>
    withWorker({ main: "memory.mjs", extra: { "spy.mjs": join(HERE, "workers/spy.mjs") }, vars: { SAACMS_REALTIME_OPEN_PUBLISH: "true" } }, async (worker) => {
      const api = worker.url + API;
      const text = "h".repeat(1_000_000);
      const stream = await Stream.open(`${api}/posts/h0/subscribe`);
      for (let record = 0; record < 40; record++) {
        for (const etag of ["v1", "v2", "v3", "v4"]) {
          assert.equal((await publish(api, changed(`h${record}`, etag, text))).status, 204);
        }
      }
      const memory = Number((await ask(`${worker.url}/memory`)).text);
      assert.ok(memory <= 64 << 20, `${memory} bytes for 160 MB of histories`);
      for (const id of ["h0", "h1", "h39"]) {
        const back = await Stream.open(`${api}/posts/${id}/subscribe`, { "last-event-id": "v2" });
        await back.is(KEEPALIVE + frame(changed(id, "v3", text)) + frame(changed(id, "v4", text)));
        back.leave();
      }
      await stream.has(frame(changed("h0", "v4", text)));
      await publish(api, changed("h0", "v5"));
      await stream.has(frame(changed("h0", "v5")));
      stream.leave();
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

  test("frees an object that has nothing but WebSockets, which stay open and miss nothing", options, () =>
    withWorker(settings, async (worker) => {
      const api = worker.url + API;
      const sockets = [];
      const wave = async (name) => {
        for (let record = 0; record < 15; record++) {
          const id = `${name}-${record}`;
          const socket = await Socket.open(`${api}/posts/${id}/subscribe`);
          sockets.push({ id, socket });
          for (const etag of ["v1", "v2", "v3", "v4"]) {
            assert.equal((await publish(api, changed(id, etag, "m".repeat(100_000)))).status, 204);
          }
          await socket.has("id: v4\n");
        }
        return Number((await ask(`${worker.url}/memory`)).text);
      };
      const [first, second] = [await wave("first"), await wave("second")];
      assert.ok(second <= first + (2 << 20), `${first} bytes, then ${second}`);
      for (const { id, socket } of sockets) {
        await publish(api, changed(id, "v5"));
        await socket.has("id: v5\n");
        assert.deepEqual(socket.ids, ["v1", "v2", "v3", "v4", "v5"]);
        socket.leave();
      }
    }));

  test("says so at its first object, and that one without storage is never freed", options, () =>
    withWorker({ ...settings, sql: false }, async (worker) => {
      for (const id of ["1", "2"]) await publish(worker.url + API, changed(id, "v1"));
      const said = JSON.parse((await ask(`${worker.url}/warnings`)).text).filter((text) => text.includes("FinalizationRegistry"));
      assert.equal(said.length, 1, said.join("\n"));
      assert.match(said[0], /one without storage stays in memory for ever; set compatibility_date to 2025-05-05/);
      const back = await Stream.open(`${worker.url}${API}/posts/1/subscribe`, { "last-event-id": "v1" });
      await publish(worker.url + API, changed("1", "v2"));
      await back.is(KEEPALIVE + frame(changed("1", "v2")));
      back.leave();
    }));

  test("frees an object after its streams have left, too", options, () =>
    withWorker({ ...settings, vars: { ...settings.vars, SAACMS_REALTIME_HEARTBEAT: "100ms" } }, async (worker) => {
      const api = worker.url + API;
      const memory = async () => Number((await ask(`${worker.url}/memory`)).text);
      const wave = async (name) => {
        for (let record = 0; record < 12; record++) {
          const id = `${name}-${record}`;
          const stream = await Stream.open(`${api}/posts/${id}/subscribe`);
          for (const etag of ["v1", "v2", "v3", "v4"]) {
            assert.equal((await publish(api, changed(id, etag, "m".repeat(100_000)))).status, 204);
          }
          await stream.has("id: v4\n");
          stream.leave();
        }
        // An object hears that its client is gone, and waits a second for calls that are on their way.
        await sleep(2_000);
        return memory();
      };
      const sizes = [];
      for (const name of ["first", "second", "third"]) sizes.push(await wave(name));
      assert.ok(sizes[2] <= sizes[0] + (2 << 20), `${sizes} bytes`);
    }));
});
