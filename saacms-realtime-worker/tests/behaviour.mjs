// What a host and its clients see of the plugin: the list holds for `@saacms/plugin-realtime` where its
// behaviour is right, and for the package in its place.
import assert from "node:assert/strict";

import { sleep, until } from "./harness.mjs";

export const ROUTE = "GET /api/saacms/v1/:collection/:id/subscribe";
const KEEPALIVE = ":keepalive\n\n";
const HEARTBEAT = 25;
/** Longer than any test, for those that count bytes. */
const NEVER = 60_000;

const changed = (etag, { slug = "posts", id = "1", record = { v: etag } } = {}) => ({
  type: "changed", slug, id, record, etag,
});
const frame = ({ type, etag, record }) => `event: ${type}\nid: ${etag}\ndata: ${JSON.stringify(record)}\n\n`;

/** Reads a stream as far as it goes. The place that only our streams tell is in `place`. */
export class Reader {
  text = "";
  ended = false;
  #reader;

  constructor(response) {
    assert.equal(response.status, 200);
    this.headers = response.headers;
    this.#reader = response.body.getReader();
    this.#run().catch(() => {}).finally(() => (this.ended = true));
  }

  async #run() {
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return;
      this.text += decoder.decode(value, { stream: true });
      this.text = this.text.replace(/^(:keepalive\n\n)id: ([0-9a-f]{16}\.\d+)\n\n/, (_, greeting, place) => {
        this.place = place;
        return greeting;
      });
    }
  }

  async is(text) {
    await until(`the stream has ${text.length} bytes, it is ${JSON.stringify(this.text)}`, () => this.text.length >= text.length);
    assert.equal(this.text, text);
  }

  has(text) {
    return until(`the stream has ${JSON.stringify(text)}, it is ${JSON.stringify(this.text)}`, () => this.text.includes(text));
  }

  leave() {
    return this.#reader.cancel();
  }
}

const context = (collection, id, req = {}) => ({ req: { param: (name) => ({ collection, id })[name], ...req } });

/** A plugin without a binding, and shorthands for its route and its services. */
export function host({ realtime }, options = { heartbeatMs: NEVER }) {
  const plugin = realtime(options);
  const { publish, stop, __subscriberCount: count } = plugin.services.realtime;
  const open = async (slug, id, req) => new Reader(await plugin.routes[ROUTE](context(slug, id, req)));
  return { plugin, open, publish, stop, count };
}

/** Calls a Durable Object as a host does. */
function object({ SaacmsRealtimeDO }, config) {
  const it = new SaacmsRealtimeDO(config);
  return {
    it,
    async open(lastEventId) {
      const headers = { Accept: "text/event-stream" };
      if (lastEventId !== undefined) headers["Last-Event-ID"] = lastEventId;
      return new Reader(await it.fetch(new Request("https://object/subscribe", { headers })));
    },
    async publish(...events) {
      for (const event of events) {
        const body = JSON.stringify(event);
        const response = await it.fetch(new Request("https://object/publish", { method: "POST", body }));
        assert.equal(response.status, 204);
      }
    },
  };
}

/** Each entry: a sentence, and a check that gets the package. */
export const BEHAVIOUR = {
  "the plugin has a name, a version, one route and one service": (library) => {
    const { plugin, stop } = host(library);
    assert.equal(plugin.name, "@saacms/plugin-realtime");
    assert.match(plugin.version, /^\d+\.\d+\.\d+$/);
    assert.deepEqual(Object.keys(plugin.routes), [ROUTE]);
    assert.deepEqual(Object.keys(plugin.services), ["realtime"]);
    stop();
  },

  "realtime() needs no options": (library) => host(library, undefined).stop(),

  "a stream has the headers of an event stream and begins with a comment": async (library) => {
    const { open, stop } = host(library);
    const stream = await open("posts", "1");
    assert.equal(stream.headers.get("content-type"), "text/event-stream");
    assert.equal(stream.headers.get("cache-control"), "no-cache, no-transform");
    await stream.is(KEEPALIVE);
    await stream.leave();
    stop();
  },

  "without a binding the handler answers at once, by no promise": (library) => {
    const { plugin, stop } = host(library);
    const response = plugin.routes[ROUTE](context("posts", "1"));
    assert.ok(response instanceof Response);
    stop();
    return response.body.cancel();
  },

  "events have the plugin's format": async (library) => {
    const { open, publish, stop } = host(library);
    const stream = await open("posts", "1");
    const events = [
      changed("v1", { record: { title: "Grüße 🎉", lines: "a\nb\r\n", n: [1, 2.5, null, true] } }),
      { ...changed('W/"2"', { record: null }), type: "snapshot" },
      changed("v3", { record: "text" }),
    ];
    for (const event of events) await publish(event);
    await stream.is(KEEPALIVE + events.map(frame).join(""));
    await stream.leave();
    stop();
  },

  "an event without an ETag is called by its time, and a deleted one carries only its ID": async (library) => {
    const { open, publish, stop } = host(library);
    const stream = await open("posts", "1");
    const before = Date.now();
    await publish({ type: "changed", slug: "posts", id: "1", record: {} });
    await sleep(5);
    await publish({ type: "deleted", slug: "posts", id: "1" });
    await stream.has('data: {"id":"1"}\n\n');
    const times = [...stream.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
    assert.equal(times.length, 2);
    for (const time of times) {
      assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.ok(Date.parse(time) >= before && Date.parse(time) <= Date.now(), time);
    }
    assert.match(stream.text, /event: changed\nid: [^\n]+\ndata: \{\}\n\nevent: deleted\nid: [^\n]+\ndata: \{"id":"1"\}\n\n$/);
    await stream.leave();
    stop();
  },

  "every client of a record gets its events, and no other client": async (library) => {
    const { open, publish, stop } = host(library);
    const mine = [await open("posts", "1"), await open("posts", "1")];
    const others = [await open("posts", "2"), await open("pages", "1")];
    await publish(changed("v1"));
    await publish(changed("v2", { id: "2" }));
    await publish(changed("v3", { slug: "pages" }));
    for (const stream of mine) await stream.is(KEEPALIVE + frame(changed("v1")));
    await others[0].is(KEEPALIVE + frame(changed("v2")));
    await others[1].is(KEEPALIVE + frame(changed("v3")));
    for (const stream of [...mine, ...others]) await stream.leave();
    stop();
  },

  "an event without clients is no error": async (library) => {
    const { publish, stop } = host(library);
    assert.equal(await publish(changed("v1")), undefined);
    stop();
  },

  "two plugins share nothing": async (library) => {
    const [a, b] = [host(library), host(library)];
    const [inA, inB] = [await a.open("posts", "1"), await b.open("posts", "1")];
    await a.publish(changed("v1"));
    await inA.is(KEEPALIVE + frame(changed("v1")));
    assert.deepEqual([a.count("posts", "1"), b.count("posts", "1")], [1, 1]);
    await inA.leave();
    assert.deepEqual([a.count("posts", "1"), b.count("posts", "1")], [0, 1]);
    assert.equal(inB.text, KEEPALIVE);
    await inB.leave();
    a.stop();
    b.stop();
  },

  "clients are counted, and forgotten when they leave": async (library) => {
    const { open, publish, count, stop } = host(library);
    assert.equal(count("posts", "1"), 0);
    const streams = [await open("posts", "1"), await open("posts", "1"), await open("posts", "2")];
    assert.deepEqual([count("posts", "1"), count("posts", "2"), count("posts", "3")], [2, 1, 0]);
    await streams[0].leave();
    assert.equal(count("posts", "1"), 1);
    await publish(changed("v1"));
    await streams[1].has(frame(changed("v1")));
    for (const stream of streams.slice(1)) await stream.leave();
    assert.deepEqual([count("posts", "1"), count("posts", "2")], [0, 0]);
    stop();
  },

  "silent streams get comments until stop(), and events after it": async (library) => {
    const { open, publish, stop } = host(library, { heartbeatMs: HEARTBEAT });
    const streams = [await open("posts", "1"), await open("posts", "2")];
    for (const stream of streams) await stream.has(KEEPALIVE.repeat(3));
    stop();
    await sleep(2 * HEARTBEAT);
    const { length } = streams[0].text;
    await sleep(6 * HEARTBEAT);
    assert.equal(streams[0].text.length, length, "no comment after stop()");

    const late = await open("posts", "1");
    await publish(changed("v1"));
    for (const stream of [streams[0], late]) await stream.has(frame(changed("v1")));
    await sleep(6 * HEARTBEAT);
    assert.equal(late.text, KEEPALIVE + frame(changed("v1")), "nor for a stream that came later");
    for (const stream of [...streams, late]) await stream.leave();
  },

  "with a binding the record's object is asked": async (library) => {
    const asked = [];
    const binding = {
      idFromName: (name) => ({ name, toString: () => `id of ${name}` }),
      get: (id) => ({
        async fetch(request) {
          asked.push({ id: String(id), method: request.method, path: new URL(request.url).pathname, accept: request.headers.get("accept"), body: await request.text() });
          return request.method === "POST" ? new Response(null, { status: 204 }) : new Response("the object's stream", { headers: { "content-type": "text/event-stream" } });
        },
      }),
    };
    const { plugin, publish, count, stop } = host(library, { binding });
    const response = await plugin.routes[ROUTE](context("posts", "1"));
    assert.equal(await response.text(), "the object's stream");
    const event = changed("v1");
    await publish(event);
    assert.deepEqual(
      asked.map(({ body, ...request }) => request),
      [
        { id: "id of posts:1", method: "GET", path: "/subscribe", accept: "text/event-stream" },
        { id: "id of posts:1", method: "POST", path: "/publish", accept: asked[1].accept },
      ],
    );
    assert.deepEqual(JSON.parse(asked[1].body), event);
    assert.equal(count("posts", "1"), 0, "the object counts");
    stop();
  },

  "an object streams what is published to it": async (library) => {
    const { it, open, publish } = object(library);
    const stream = await open();
    await publish(changed("v1"), changed("v2"));
    await stream.is(KEEPALIVE + frame(changed("v1")) + frame(changed("v2")));
    assert.equal(it.__subscriberCount(), 1);
    await stream.leave();
    assert.equal(it.__subscriberCount(), 0);
  },

  "an object replays what a client missed": async (library) => {
    const { it, open, publish } = object(library);
    const events = ["v1", "v2", "v3"].map((etag) => changed(etag));
    await publish(...events);
    assert.equal(it.__bufferSize(), 3);
    const back = await open("v1");
    await back.is(KEEPALIVE + frame(events[1]) + frame(events[2]));
    await publish(changed("v4"));
    await back.has(frame(changed("v4")));
    const current = await open("v4");
    await current.is(KEEPALIVE);
    for (const stream of [back, current]) await stream.leave();
  },

  "an object tells a client to refetch where it does not know its last event ID": async (library) => {
    const { open, publish } = object(library);
    await publish(changed("v1"), changed("v2"));
    const lost = await open("nobody");
    await lost.is(`${KEEPALIVE}event: saacms-resync\nid: v2\ndata: {"reason":"buffer-miss"}\n\n`);
    await lost.leave();
  },

  "an object keeps as many events as it is told": async (library) => {
    const { it, open, publish } = object(library, { retention: { maxEvents: 2 } });
    await publish(...["v1", "v2", "v3", "v4"].map((etag) => changed(etag)));
    assert.equal(it.__bufferSize(), 2);
    const [back, lost] = [await open("v3"), await open("v1")];
    await back.is(KEEPALIVE + frame(changed("v4")));
    await lost.has("saacms-resync");
    for (const stream of [back, lost]) await stream.leave();
  },

  "an object keeps events as long as it is told, by the clock that it is given": async (library) => {
    let now = 1_800_000_000_000;
    const { open, publish } = object(library, { retention: { maxAgeMs: 1_000 }, now: () => now });
    await publish(changed("v1"), changed("v2"), changed("v3"));
    now += 1_000;
    const back = await open("v2");
    await back.is(KEEPALIVE + frame(changed("v3")));
    now += 1;
    const lost = await open("v2");
    await lost.has("saacms-resync");
    for (const stream of [back, lost]) await stream.leave();
  },

  "an object's heartbeat runs from its first stream to its last": async (library) => {
    const { it, open, publish } = object(library, { heartbeatMs: HEARTBEAT });
    assert.equal(it.__heartbeatActive(), false);
    await publish(changed("v1"));
    assert.equal(it.__heartbeatActive(), false, "an event starts none");
    const streams = [await open(), await open()];
    assert.equal(it.__heartbeatActive(), true);
    for (const stream of streams) await stream.has(KEEPALIVE.repeat(3));
    await streams[0].leave();
    assert.equal(it.__heartbeatActive(), true);
    await streams[1].leave();
    assert.equal(it.__heartbeatActive(), false);

    const back = await open();
    assert.equal(it.__heartbeatActive(), true);
    it.stop();
    assert.equal(it.__heartbeatActive(), false);
    await back.leave();
  },

  "an object answers nothing but streams and publishes": async (library) => {
    const { it } = object(library);
    const status = async (method, headers) => (await it.fetch(new Request("https://object/subscribe", { method, headers }))).status;
    assert.equal(await status("GET", { Accept: "text/html" }), 404);
    assert.equal(await status("DELETE"), 404);
  },

  "two objects share nothing": async (library) => {
    const [a, b] = [object(library), object(library)];
    const stream = await b.open();
    await a.publish(changed("v1"));
    await stream.is(KEEPALIVE);
    assert.equal(b.it.__bufferSize(), 0);
    await stream.leave();
  },
};
