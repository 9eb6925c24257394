// Options of the plugin hold in every life of an object, however it is woken.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { KEEPALIVE, Stream, ask, changed, frame, publish, sleep, start, stores, until } from "./harness.mjs";

const options = { timeout: 60_000 };
const SECRET = "the text of the record";

async function withWorker(settings, run) {
  const worker = await start({ main: "calls.mjs", ...settings });
  const call = async (path, body) => {
    const { status, text } = await ask(`${worker.url}/${path}`, { method: "POST", body: JSON.stringify(body) });
    return status === 204 || text === "" ? undefined : JSON.parse(text);
  };
  const host = {
    worker,
    /** As a host with the plugin. */
    plugin: (id, given, ...etags) =>
      etags.reduce((done, etag) => done.then(() => call(`options/SAACMS_REALTIME/${id}`, { ...given, event: changed(id, etag, SECRET) })), Promise.resolve()),
    /** As a Worker without it. */
    rpc: (id, ...etags) =>
      etags.reduce((done, etag) => done.then(() => call(`rpc/SAACMS_REALTIME/${id}`, changed(id, etag, SECRET))), Promise.resolve()),
    /** What a client is sent at once that names this ID. */
    resume: async (id, last) => {
      const stream = await Stream.open(`${worker.url}/subscribe/SAACMS_REALTIME/${id}`, { "last-event-id": last });
      await until("it is answered", () => stream.text.length > KEEPALIVE.length);
      stream.leave();
      return stream.text;
    },
    warnings: () => call("warnings"),
    tell: (id, told) => ask(`${worker.url}/told/SAACMS_REALTIME/${id}`, { method: "POST", body: JSON.stringify(told) }),
  };
  try {
    await run(host);
  } finally {
    await worker.stop();
  }
}

const replay = (id, ...etags) => KEEPALIVE + etags.map((etag) => frame(changed(id, etag, SECRET))).join("");
const many = { retention: { maxEvents: 6 } };
const vars = { SAACMS_REALTIME_MAX_EVENTS: "2" };

describe("options of the plugin", options, () => {
  test("hold if an object is woken by RPC", options, () =>
    withWorker({ vars }, async ({ worker, plugin, rpc, resume }) => {
      await plugin("rpc", many, "v1", "v2", "v3", "v4");
      for (const etag of ["v5", "v6"]) {
        await worker.restart();
        await rpc("rpc", etag);
      }
      await worker.restart();
      assert.equal(await resume("rpc", "v1"), replay("rpc", "v2", "v3", "v4", "v5", "v6"));
    }));

  test("hold if an object is woken by its alarm", options, () =>
    withWorker({ vars: { SAACMS_REALTIME_MAX_AGE: "1s" } }, async ({ worker, plugin, rpc, resume }) => {
      const began = Date.now();
      const at = (millis) => sleep(Math.max(0, began + millis - Date.now()));
      const given = { retention: { maxAgeMs: 4_000 } };
      await plugin("alarm", given, "v1");
      await at(2_500);
      await plugin("alarm", given, "v2");
      await worker.restart();
      // The alarm was set for the first event. To an object with the age of its variable, the second is
      // too old by then.
      await at(4_700);
      assert.ok(stores(worker, SECRET), "the second event is young");
      const options = "SAACMS_REALTIME_MAX_AGE=4000ms";
      await until("nothing of the record is stored, but the options", () => !stores(worker, SECRET) && stores(worker, options));

      // They outlive the events.
      await worker.restart();
      await rpc("alarm", "v3", "v4");
      await sleep(1_200);
      assert.equal(await resume("alarm", "v3"), replay("alarm", "v4"));
    }));

  test("are kept with the first event: an object without events stores nothing", options, () =>
    withWorker({ vars }, async ({ worker, rpc, resume, tell }) => {
      assert.equal((await tell("none", many)).status, 200);
      assert.ok(!stores(worker, "MAX_EVENTS"));
      await rpc("none", "v1", "v2", "v3", "v4");
      await worker.restart();
      assert.equal(await resume("none", "v1"), replay("none", "v2", "v3", "v4"), "told before the first event");
    }));

  test("are forgotten as soon as a host has none, and change at an object's start", options, () =>
    withWorker({ vars }, async ({ worker, plugin, rpc, resume }) => {
      await plugin("change", many, "v1", "v2", "v3", "v4");
      await worker.restart();
      await plugin("change", {}, "v5");
      assert.match(await resume("change", "v1"), /saacms-resync/);
      await worker.restart();
      await rpc("change", "v6");
      assert.match(await resume("change", "v3"), /saacms-resync/);
      assert.equal(await resume("change", "v4"), replay("change", "v5", "v6"));
      await worker.restart();
      await plugin("change", { retention: { maxEvents: 1 } }, "v7");
      assert.match(await resume("change", "v5"), /saacms-resync/);
    }));

  test("of two hosts that differ are logged once, and the other's count after the next start", options, () =>
    withWorker({ vars }, async ({ worker, plugin, rpc, resume, warnings }) => {
      await plugin("two", { retention: { maxEvents: 1 } }, "v1");
      await warnings();
      for (const round of [2, 3, 4]) {
        await plugin("two", many, `v${round}a`);
        await plugin("two", { retention: { maxEvents: 1 } }, `v${round}b`);
      }
      const said = await warnings();
      assert.equal(said.length, 1, said.join("\n"));
      assert.match(said[0], /runs with retention\.maxEvents = 1, .*; retention\.maxEvents = 6, .* after its next start/);
      await worker.restart();
      await rpc("two", "v5", "v6", "v7");
      assert.equal(await resume("two", "v4b"), replay("two", "v5", "v6", "v7"));
    }));

  test("that make no sense are refused, and are not kept", options, () =>
    withWorker({ vars }, async ({ worker, plugin, resume, tell }) => {
      await plugin("bad", many, "v1", "v2", "v3", "v4");
      const garbage = ["x", 5, [], { retention: { maxEvents: -1 } }, { retention: { maxEvents: "6" } }, { heartbeatMs: 1 }, { more: 1 },
        { retention: { maxEvents: 5, maxBytes: 1 } }, { retention: "SAACMS_REALTIME_STORAGE=off" }, null];
      for (const told of garbage) {
        await worker.restart();
        const { status } = await tell("bad", told);
        assert.equal(status, 500, JSON.stringify(told));
        assert.equal(await resume("bad", "v1"), replay("bad", "v2", "v3", "v4"), JSON.stringify(told));
      }
    }));

  test("hold after STORAGE=off and on again as soon as they are told again", options, () =>
    withWorker({ vars }, async ({ worker, plugin, rpc, resume }) => {
      await plugin("off", many, "v1", "v2", "v3", "v4");
      worker.configure({ ...vars, SAACMS_REALTIME_STORAGE: "off" });
      await worker.restart();
      await plugin("off", many, "v5");
      assert.match(await resume("off", "v4"), /saacms-resync/);
      worker.configure(vars);
      await worker.restart();
      await rpc("off", "v6");
      assert.match(await resume("off", "v4"), /saacms-resync/);
      await worker.restart();
      await plugin("off", many, "v7", "v8", "v9", "v10");
      await worker.restart();
      await rpc("off", "v11");
      assert.equal(await resume("off", "v6"), replay("off", "v7", "v8", "v9", "v10", "v11"));
    }));

  test("cost a row with the first event, and none later", options, () =>
    withWorker({ main: "failing.mjs" }, async ({ worker }) => {
      const told = { headers: { "x-told": JSON.stringify(many) } };
      const written = async () => JSON.parse((await ask(`${worker.url}/rows/x`)).text).rowsWritten;
      const post = async (etag, init, id = "cost") => {
        assert.equal((await publish(`${worker.url}/${id}`, changed(id, etag), init)).status, 204);
        return written();
      };
      const without = await post("v1", {}, "without");
      assert.equal(await post("v1", told), without + 1);
      for (const etag of ["v2", "v3", "v4"]) assert.equal(await post(etag, told), 1);
      for (const init of [told, {}, told]) {
        await worker.restart();
        assert.equal(await post("v5", init), 1, "a wake-up writes none");
      }
      await worker.restart();
      const other = { headers: { "x-told": JSON.stringify({ heartbeatMs: 50_000, ...many }) } };
      assert.equal(await post("v6", other), 2, "others are written once");
      assert.equal(await post("v7", other), 1);
    }));
});
