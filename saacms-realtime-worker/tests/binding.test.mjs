// The plugin with a binding, in Node: what reaches the object, and what comes back.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, mock, test } from "node:test";
import { pathToFileURL } from "node:url";

import { ROUTE, Reader } from "./behaviour.mjs";
import { PACKAGE, changed } from "./harness.mjs";

const { PublishError, SaacmsRealtimeDO, publish, realtime, subscribe } = await import(pathToFileURL(join(PACKAGE, "node.js")));
const options = { timeout: 30_000 };

/** A binding to objects in this process, which keeps the requests that it passes on. */
function namespace() {
  const objects = new Map();
  const requests = [];
  return {
    requests,
    idFromName: (name) => ({ name, toString: () => name }),
    get: ({ name }) => ({
      async fetch(request) {
        requests.push(request);
        if (!objects.has(name)) objects.set(name, new SaacmsRealtimeDO({ heartbeatMs: 0 }));
        return objects.get(name).fetch(request);
      },
    }),
  };
}

function host(given = {}) {
  const binding = namespace();
  const plugin = realtime({ binding, ...given });
  const open = async (req) => plugin.routes[ROUTE]({ req: { param: (name) => ({ collection: "posts", id: "1" })[name], ...req } });
  return { binding, open, publish: plugin.services.realtime.publish };
}

const URL_ = "https://host/api/saacms/v1/posts/1/subscribe";
const replayOf = (etag) => `:keepalive\n\nevent: changed\nid: ${etag}\ndata: {"v":"${etag}"}\n\n`;

/** Runs with what `console.warn` is given kept. */
async function warnings(run) {
  const warn = mock.method(console, "warn", () => {});
  try {
    await run();
    return warn.mock.calls.map(({ arguments: [text] }) => text);
  } finally {
    warn.mock.restore();
  }
}

describe("a client that asks for a WebSocket", options, () => {
  const headers = { upgrade: "websocket", origin: "https://page.example" };

  test("reaches the object with its page and the host that it addresses", options, async () => {
    const { open, binding } = host();
    const url = URL_.replace("https://host", "https://host.example:8443");
    await open({ raw: new Request(url, { headers }) });
    await open({ header: (name) => ({ ...headers, host: "other.example" })[name.toLowerCase()], url });
    await open({ header: (name) => ({ ...headers, host: "x y" })[name.toLowerCase()], url: "/relative" });
    const asked = binding.requests.map(({ url, headers }) => [new URL(url).host, headers.get("upgrade"), headers.get("origin")]);
    assert.deepEqual(asked, [
      ["host.example:8443", "websocket", "https://page.example"],
      ["other.example", "websocket", "https://page.example"],
      ["saacms-realtime-do", "websocket", "https://page.example"],
    ]);
  });

  test("gets an event stream where the platform keeps no WebSockets", options, async () => {
    const { open } = host();
    const response = await open({ raw: new Request(URL_, { headers: { ...headers, origin: "https://host" } }) });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type"), /^text\/event-stream/);
    await response.body.cancel();
  });

  test("reaches the object without a host to which nothing can be sent", options, async () => {
    for (const wrong of ["host.example:99999", "[", "1.2.3.4.5.6"]) {
      const { open, binding } = host();
      await open({ header: (name) => ({ ...headers, host: wrong })[name.toLowerCase()], url: `https://${wrong}/x` });
      assert.equal(new URL(binding.requests[0].url).host, "saacms-realtime-do", wrong);
    }
  });

  test("no other client tells its page", options, async () => {
    const { open, binding } = host();
    await open({ raw: new Request(URL_, { headers: { origin: "https://page.example" } }) });
    for (const method of ["HEAD", "POST"]) {
      await open({ raw: new Request(URL_, { method, headers }) });
      await open({ header: (name) => headers[name.toLowerCase()], url: URL_, method });
    }
    for (const { url, headers } of binding.requests) {
      assert.deepEqual([new URL(url).host, headers.get("origin"), headers.get("upgrade")], ["saacms-realtime-do", null, null]);
    }
    assert.deepEqual(binding.requests.map(({ method }) => method), ["GET", "HEAD", "HEAD", "GET", "GET"]);
  });
});

describe("the last event ID of a client", options, () => {
  const headers = { "last-event-id": "v1" };
  const contexts = {
    "a Request": { raw: new Request(URL_, { headers }) },
    "the query of a Request": { raw: new Request(`${URL_}?x=1&lastEventId=v1`) },
    "a function for headers": { header: (name) => headers[name.toLowerCase()] },
    "a function for headers, and a URL": { header: () => undefined, url: `${URL_}?lastEventId=%76%31` },
    "functions for headers and the query": { header: () => undefined, query: (name) => ({ lastEventId: "v1" })[name] },
    "headers of the request itself": { headers: new Headers(headers), url: URL_ },
  };
  for (const [name, req] of Object.entries(contexts)) {
    test(`reaches the object from ${name}`, options, async () => {
      const { open, publish } = host();
      for (const etag of ["v1", "v2"]) await publish(changed("1", etag));
      const stream = new Reader(await open(req));
      await stream.is(replayOf("v2"));
      await stream.leave();
    });
  }

  test("is passed on in any alphabet, and an empty one too", options, async () => {
    const { open, publish } = host();
    for (const etag of ["日本", "v2"]) await publish(changed("1", etag));
    const bytes = Buffer.from("日本").toString("latin1");
    for (const text of [bytes, "日本"]) {
      const stream = new Reader(await open({ header: (name) => ({ "last-event-id": text })[name] }));
      await stream.is(replayOf("v2"));
      await stream.leave();
    }
    const empty = new Reader(await open({ header: (name) => ({ "last-event-id": "" })[name] }));
    await empty.has("saacms-resync");
    await empty.leave();
  });

  test("is not known from parameters alone: that is logged once", options, async () => {
    const { open, publish } = host();
    for (const etag of ["v1", "v2"]) await publish(changed("1", etag));
    const said = await warnings(async () => {
      for (const _ of [1, 2]) {
        const stream = new Reader(await open({}));
        await stream.is(":keepalive\n\n");
        await stream.leave();
      }
    });
    assert.equal(said.length, 1);
    assert.match(said[0], /neither `req\.raw` nor `req\.header`.*no replay/);
  });
});

test("the signal of a request reaches the object", options, async () => {
  const { binding, open } = host();
  const client = new AbortController();
  const response = await open({ raw: new Request(URL_, { signal: client.signal }) });
  const [{ signal }] = binding.requests;
  assert.equal(signal.aborted, false);
  client.abort();
  assert.equal(signal.aborted, true);
  await response.body.cancel().catch(() => {});
});

test("a client that reads problem documents is answered by a status", options, async () => {
  const { binding, open } = host();
  const accept = "text/event-stream, application/problem+json";
  for (const [sent, passed] of [[accept, accept], ["application/json", "text/event-stream"], [undefined, "text/event-stream"]]) {
    const response = await open({ header: (name) => ({ accept: sent })[name] });
    assert.equal(binding.requests.at(-1).headers.get("accept"), passed);
    await response.body.cancel();
  }
});

describe("a refused event", options, () => {
  const refused = [
    ["null", null, 400, /not a JSON object/],
    ["one without a record", { type: "changed", slug: "posts", id: "1" }, 400, /`record` is missing/],
    ["one of another type", { type: "created", slug: "posts", id: "1", record: 1 }, 400, /"snapshot", "changed" or "deleted"/],
    ["one whose collection has a colon", { type: "deleted", slug: "posts:1", id: "2" }, 400, /`slug`/],
    ["one that is too large", changed("1", "v1", "x".repeat(1 << 20)), 413, /limit of 1048576 bytes/],
  ];
  for (const [name, event, status, detail] of refused) {
    test(`is an error with the reason: ${name}`, options, async () => {
      for (const binding of [namespace(), undefined]) {
        const { publish, stop } = realtime({ binding }).services.realtime;
        await assert.rejects(publish(event), (error) => {
          assert.ok(error instanceof PublishError);
          assert.equal(error.status, status);
          assert.match(error.message, detail);
          assert.match(error.problem.detail, detail);
          return true;
        });
        stop();
      }
    });
  }

  test("is logged instead if the host says so", options, async () => {
    const { publish } = host({ onRefused: "warn" });
    const said = await warnings(() => publish({ type: "changed", slug: "posts", id: "1" }));
    // By the object, which is in this process here, and by the host.
    assert.equal(said.length, 2);
    for (const text of said) assert.match(text, /`record` is missing/);
  });

  test("and one that no object answers", options, async () => {
    const binding = { idFromName: () => ({}), get: () => ({ fetch: () => Promise.reject(new Error("overloaded")) }) };
    await assert.rejects(realtime({ binding }).services.realtime.publish(changed("1", "v1")), /overloaded/);
    const lenient = realtime({ binding, onRefused: "warn" }).services.realtime;
    assert.match((await warnings(() => lenient.publish(changed("1", "v1"))))[0], /overloaded/);
  });
});

test("no key can be that of another record's object", options, async () => {
  const { binding, open } = host();
  const response = await open({ param: (name) => ({ collection: "posts:1", id: "2" })[name] });
  assert.equal(response.status, 400);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.equal(binding.requests.length, 0);
});

test("a host without the plugin subscribes and publishes by its environment", options, async () => {
  const env = { SAACMS_REALTIME: namespace() };
  for (const etag of ["v1", "v2"]) await publish(env, changed("1", etag));
  const request = new Request(URL_, { headers: { "last-event-id": "v1" } });
  const stream = new Reader(await subscribe(request, env, "posts", "1"));
  await stream.is(replayOf("v2"));
  await stream.leave();
  await assert.rejects(publish(env, { type: "deleted", slug: "posts" }), PublishError);
  await assert.rejects(publish({}, changed("1", "v1")), /env\.SAACMS_REALTIME is not the binding/);
  await assert.rejects(subscribe(request, { SAACMS_REALTIME_BINDING: "ROOMS" }, "posts", "1"), /env\.ROOMS is not the binding/);
});

describe("an option that makes no sense is an error that says what does", options, () => {
  const wrong = [
    [{ heartbeatMs: 1 }, /^heartbeatMs: .*must be 10 to 2073600000 ms, or 0 for off/],
    [{ heartbeatMs: "30" }, /^heartbeatMs must be a number/],
    [{ retention: { maxEvents: -1 } }, /^retention\.maxEvents = "-1": must be a whole number/],
    [{ retention: { maxAge: 1 } }, /^retention has no member `maxAge`, only maxEvents, maxAgeMs/],
    [{ retention: 5 }, /^retention must be an object/],
  ];
  for (const [given, message] of wrong) {
    test(JSON.stringify(given), () => {
      assert.throws(() => realtime(given), { message });
      assert.throws(() => realtime({ ...given, binding: namespace() }), { message });
      assert.throws(() => new SaacmsRealtimeDO(given), { message });
      const ofPlatform = () => new SaacmsRealtimeDO({ id: {}, storage: {} }, { OTHER: "x", ...given });
      // A Worker may have a variable of this name for something else.
      if (given.retention === 5) ofPlatform();
      else assert.throws(ofPlatform, { message });
    });
  }

  test("others", () => {
    assert.throws(() => realtime({ onRefused: "ignore" }), /onRefused must be "throw" or "warn"/);
    assert.throws(() => realtime({ heartbeat: 5 }), /no member `heartbeat`, only binding, bindingName,/);
    assert.throws(() => realtime({ binding: {} }), /options\.binding is not the binding of a Durable Object/);
    assert.throws(() => new SaacmsRealtimeDO({ maxEvents: 5 }), /no member `maxEvents`, only retention, heartbeatMs, now/);
    assert.throws(() => new SaacmsRealtimeDO({ now: 5 }), /now must be a function/);
    const third = () => new SaacmsRealtimeDO({ id: {}, storage: {} }, {}, { retention: { maxEvents: 5 } });
    assert.throws(third, /a third argument has no effect; write super\(ctx, \{ \.\.\.env, retention, heartbeatMs \}\)/);
  });
});
