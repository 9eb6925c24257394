// What a Worker calls without the plugin: functions of the package, and objects by RPC.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { KEEPALIVE, RELEASES, Stream, ask, changed, frame, start, until } from "./harness.mjs";

const options = { timeout: 60_000 };
const classes = ["ByVariable", "ByEnvironment", "ByOption", "InMemory", "Wrong"];
/** Of the Worker: its subclasses have others. */
const vars = { SAACMS_REALTIME_MAX_EVENTS: "4", SAACMS_REALTIME_GREETING: "false" };
const namespaces = { SAACMS_REALTIME: "SaacmsRealtimeDO", ...Object.fromEntries(classes.map((name) => [name, name])) };

for (const release of RELEASES) {
  describe(`a Worker in ${release}`, options, () => {
    let worker;
    before(async () => (worker = await start({ release, main: "calls.mjs", namespaces, vars })), options);
    after(() => worker.stop());

    const call = async (path, body) => {
      const { status, text } = await ask(`${worker.url}/${path}`, { method: "POST", body: JSON.stringify(body) });
      return status === 204 ? undefined : JSON.parse(text);
    };
    const open = (name, id, headers) => Stream.open(`${worker.url}/subscribe/${name}/${id}`, headers);

    for (const how of ["publish/SAACMS_REALTIME", "rpc/SAACMS_REALTIME", "named/SAACMS_REALTIME"]) {
      test(`${how.split("/")[0]} reaches clients, and rejects with the reason of a refusal`, options, async () => {
        const id = how.replace("/", "-");
        const stream = await open("SAACMS_REALTIME", id);
        const event = changed(id, "v1", { text: "Grüße" });
        assert.equal(await call(`${how}/${id}`, event), undefined);
        await stream.has(KEEPALIVE + frame(event));
        const error = await call(`${how}/${id}`, { type: "changed", slug: "posts", id });
        assert.match(error.message, /refused with 400: `record` is missing/);
        stream.leave();

        await call(`${how}/${id}`, changed(id, "v2"));
        const back = await open("SAACMS_REALTIME", id, { "last-event-id": "v1" });
        await back.is(KEEPALIVE + frame(changed(id, "v2")));
        back.leave();
      });
    }

    test("an event about another record is refused by RPC, too", options, async () => {
      assert.equal(await call("rpc/SAACMS_REALTIME/mine", changed("mine", "v1")), undefined);
      const error = await call("rpc/SAACMS_REALTIME/mine", changed("theirs", "v1"));
      assert.match(error.message, /refused with 409/);
    });

    for (const name of ["ByVariable", "ByOption", "InMemory"]) {
      test(`a subclass has its own settings: ${name}`, options, async () => {
        for (const etag of ["v1", "v2", "v3"]) await call(`rpc/${name}/1`, changed("1", etag));
        const back = await open(name, "1", { "last-event-id": "v2" });
        await back.has(KEEPALIVE + frame(changed("1", "v3")));
        const lost = await open(name, "1", { "last-event-id": "v1" });
        await lost.has("saacms-resync");
        if (name !== "ByVariable") await lost.has(KEEPALIVE.repeat(2));
        for (const stream of [back, lost]) stream.leave();
      });
    }

    test("a subclass that passes no environment on has the Worker's settings", options, async () => {
      const etags = ["v1", "v2", "v3", "v4", "v5", "v6"];
      for (const etag of etags) await call("rpc/ByEnvironment/1", changed("1", etag));
      const back = await open("ByEnvironment", "1", { "last-event-id": "v2" });
      await back.is(KEEPALIVE + etags.slice(2).map((etag) => frame(changed("1", etag))).join(""));
      const lost = await open("ByEnvironment", "1", { "last-event-id": "v1" });
      await lost.has("saacms-resync");
      const inMemory = await open("InMemory", "greeted");
      await inMemory.has(KEEPALIVE);
      assert.equal(inMemory.place, undefined);
      for (const stream of [back, lost, inMemory]) stream.leave();
    });

    test("a subclass that keeps no storage is told what to write", options, async () => {
      await call("rpc/InMemory/other", changed("other", "v1"));
      const said = await call("warnings");
      assert.ok(said.some((text) => text.includes("super(ctx, { ...env, retention, heartbeatMs })")), said.join("\n"));
    });

    test("a setting of a subclass that makes no sense is named", options, async () => {
      const error = await call("rpc/Wrong/1", changed("1", "v1"));
      assert.match(error.message, /retention has no member `events`, only maxEvents, maxAgeMs/);
    });

    test("a method of a subclass can be called", options, async () => {
      const stream = await open("ByVariable", "counted");
      await until("it is counted", async () => (await call("count/ByVariable/counted")) === 1);
      stream.leave();
    });

    test("an object tells its number of clients by RPC", options, async () => {
      const count = () => call("subscribers/SAACMS_REALTIME/many");
      assert.equal(await count(), 0);
      const streams = [await open("SAACMS_REALTIME", "many"), await open("SAACMS_REALTIME", "many")];
      assert.equal(await count(), 2);
      for (const stream of streams) stream.leave();
      await until("none is left", async () => {
        await call("rpc/SAACMS_REALTIME/many", changed("many", "v1"));
        return (await count()) === 0;
      });
    });

    test("what an object refuses is logged with its problem", options, async () => {
      await call("warnings");
      const refused = { type: "changed", slug: "posts", id: "refused" };
      await call("publish/SAACMS_REALTIME/refused", refused);
      const said = await call("warnings");
      assert.equal(said.length, 1, said.join("\n"));
      assert.match(said[0], /^saacms-realtime: refused, 400: \{.*`record` is missing/);
    });

    test("options of the plugin reach an object, and others than it runs with are logged", options, async () => {
      await call("options/SAACMS_REALTIME/told", { retention: { maxEvents: 1 } });
      for (const etag of ["v1", "v2", "v3"]) await call("rpc/SAACMS_REALTIME/told", changed("told", etag));
      const lost = await open("SAACMS_REALTIME", "told", { "last-event-id": "v1" });
      await lost.has("saacms-resync");
      lost.leave();

      await call("warnings");
      for (const _ of [1, 2]) await call("options/SAACMS_REALTIME/told", { retention: { maxEvents: 2 } });
      const said = await call("warnings");
      assert.equal(said.length, 1);
      assert.match(said[0], /runs with retention\.maxEvents = 1, .*; retention\.maxEvents = 2, .* counts after its next start/);
    });
  });
}
