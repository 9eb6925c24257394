// Streams over WebSockets: the same bytes as an event stream, and what only a WebSocket has.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import {
  KEEPALIVE, NEWEST, RELEASES, Socket, Stream, ask, changed, frame, publish, sleep, start, until,
} from "./harness.mjs";

const API = "/api/saacms/v1";
const options = { timeout: 60_000 };
const namespaces = { SAACMS_REALTIME: "SaacmsRealtimeDO", FEW: "Few", IMPATIENT: "Impatient" };
const main = "sockets.mjs";
const vars = { SAACMS_REALTIME_OPEN_PUBLISH: "true", SAACMS_REALTIME_CORS_ORIGIN: "https://a.example" };

/** An event whose frame has about 100 KiB. */
const large = (id, number) => changed(id, `l${number}`, { text: "x".repeat(100 << 10) });
const MIB = 1 << 20;

/** Pings, and waits for the answer. Workerd ends a connection late on which it has received nothing. */
async function ping(socket) {
  socket.send("ping");
  await socket.is(KEEPALIVE.repeat(2));
}

for (const release of RELEASES) {
  describe(`a WebSocket in ${release}`, options, () => {
    let worker, api;
    before(async () => {
      worker = await start({ release, main, namespaces, vars });
      api = `${worker.url}/SAACMS_REALTIME${API}`;
    });
    after(() => worker.stop());
    const url = (id) => `${api}/posts/${id}/subscribe`;

    test("it gets the bytes of an event stream, by the same last event ID", options, async () => {
      const events = ["v1", "v2", "v3"].map((etag) => changed("a", etag));
      for (const event of events) assert.equal((await publish(api, event)).status, 204);
      for (const last of [undefined, "v1", "v3", "nobody", ""]) {
        const stream = await Stream.open(url("a"), last === undefined ? {} : { "last-event-id": last });
        const socket = await Socket.open(url("a"), { last });
        const event = changed("a", `live-${last}`);
        await publish(api, event);
        await stream.has(frame(event));
        await socket.is(stream.text);
        assert.equal(socket.place, stream.place);
        for (const client of [stream, socket]) client.leave();
      }
      const byHeader = await Socket.open(url("a"), { headers: { "last-event-id": "v2" } });
      await byHeader.has(KEEPALIVE + frame(events[2]));
      byHeader.leave();
    });

    test("the platform answers pings", options, async () => {
      const socket = await Socket.open(url("ping"));
      await socket.is(KEEPALIVE);
      await ping(socket);
      socket.leave();
    });

    test("a message that is none of ours closes it, with a reason", options, async () => {
      for (const message of ["", "pong", "read", "read -1", "read 1e3", "x".repeat(100_000), Buffer.from("ping"), "read 999999"]) {
        const socket = await Socket.open(url("bad"));
        const other = await Socket.open(url("bad"));
        socket.send(message);
        await socket.hasClosed(1008);
        assert.match(socket.closed.reason, /`read <n>`/);
        await publish(api, changed("bad", "v1"));
        await other.has("id: v1");
        other.leave();
      }
    });

    test("a client that closes it, or is gone, is forgotten", options, async () => {
      const count = async () => Number((await ask(`${worker.url}/count/SAACMS_REALTIME/gone`)).text);
      const [closes, gone, stays] = [await Socket.open(url("gone")), await Socket.open(url("gone")), await Socket.open(url("gone"))];
      assert.equal(await count(), 3);
      closes.web.close(1000, "done");
      await until("its close is answered", () => closes.closed !== undefined);
      assert.equal(await count(), 2);
      gone.leave();
      await until("the other is forgotten", async () => (await count()) === 1);
      await publish(api, changed("gone", "v1"));
      await stays.is(KEEPALIVE + frame(changed("gone", "v1")));
      stays.leave();
    });

    test("it survives no restart, and its client continues where it was", options, async () => {
      const socket = await Socket.open(url("kept"));
      for (const etag of ["v1", "v2"]) await publish(api, changed("kept", etag));
      await socket.has("id: v2");
      await worker.restart();
      api = `${worker.url}/SAACMS_REALTIME${API}`;
      await until("it is broken", () => socket.ended);
      const back = await Socket.open(url("kept"), { last: "v1" });
      await back.is(KEEPALIVE + frame(changed("kept", "v2")));
      back.leave();
    });
  });
}

describe("who gets a WebSocket", options, () => {
  let worker;
  before(async () => (worker = await start({ main, namespaces, vars })));
  after(() => worker.stop());
  const url = (id, binding = "SAACMS_REALTIME") => `${worker.url}/${binding}${API}/posts/${id}/subscribe`;

  test("a page of another origin gets none, unless it is listed", options, async () => {
    const own = worker.url;
    for (const origin of [own, own.replace("http:", "https:"), "https://a.example", undefined]) {
      const socket = await Socket.open(url("page"), { headers: origin === undefined ? {} : { origin } });
      await socket.is(KEEPALIVE);
      socket.leave();
    }
    for (const origin of ["https://evil.example", "null", "http://127.0.0.1", "https://a.example.evil"]) {
      const refused = await Socket.ask(url("page"), { headers: { origin } });
      assert.equal(refused.status, 403, origin);
      assert.match(refused.headers["content-type"], /application\/problem\+json/);
      assert.match(refused.text, /foreign-page/);
    }
  });

  test("refusals are statuses, whatever the client accepts", options, async () => {
    const status = async (at, headers) => (await Socket.ask(at, { headers })).status;
    assert.equal(await status(url("x"), { accept: "text/html" }), 406);
    assert.equal(await status(url("x").replace("/posts/", "/po:sts/")), 400);
    assert.equal(await status(url("x").replace("/subscribe", "/nothing")), 404);

    const open = [await Socket.open(url("full", "FEW")), await Stream.open(url("full", "FEW")), await Socket.open(url("full", "FEW"))];
    const accept = "text/event-stream";
    const refused = await Socket.ask(url("full", "FEW"), { headers: { accept } });
    assert.equal(refused.status, 429);
    assert.match(refused.text, /too-many-subscribers-of-topic/);
    assert.match((await ask(url("full", "FEW"), { headers: { accept } })).text, /saacms-unavailable/);
    const count = async () => Number((await ask(`${worker.url}/count/FEW/full`)).text);
    assert.equal(await count(), 3);
    open[0].leave();
    await until("there is room", async () => (await count()) === 2);
    open.push(await Socket.open(url("full", "FEW")));
    for (const client of open) client.leave();
  });

  test("a request that is no GET, or asks for another protocol, gets what it got before", options, async () => {
    const head = await ask(url("x"), { method: "HEAD" });
    assert.equal(head.status, 200);
    const post = await ask(url("x"), { method: "POST" });
    assert.equal(post.status, 405);
  });
});

describe("flow control", options, () => {
  let worker;
  before(async () => (worker = await start({ main, namespaces, vars })));
  after(() => worker.stop());
  const api = (binding) => `${worker.url}/${binding}${API}`;
  const url = (id, binding = "SAACMS_REALTIME") => `${api(binding)}/posts/${id}/subscribe`;

  test("a client that does not tell what it has read gets 1 MiB and one message, and the rest once it does", options, async () => {
    const silent = await Socket.open(url("flow"), { tells: false });
    const other = await Socket.open(url("flow"));
    for (let number = 0; number < 30; number++) await publish(api("SAACMS_REALTIME"), large("flow", number));
    const all = Array.from({ length: 30 }, (_, number) => `l${number}`);
    await until("the other has all", () => other.ids.length === 30);
    assert.deepEqual(other.ids, all);
    assert.ok(silent.read >= MIB && silent.read < MIB + (101 << 10), `${silent.read}`);

    while (silent.ids.length < 30) {
      const before = silent.read;
      silent.send(`read ${silent.read}`);
      await until("more came", () => silent.read > before);
      await sleep(20);
    }
    assert.deepEqual(silent.ids, all);
    for (const socket of [silent, other]) socket.leave();
  });

  test("a replay that is larger than 1 MiB goes on as it is read", options, async () => {
    for (let number = 0; number < 30; number++) await publish(api("SAACMS_REALTIME"), large("replay", number));
    const back = await Socket.open(url("replay"), { last: "l0" });
    await until("it has the rest", () => back.ids.length === 29);
    assert.equal(back.ids.at(-1), "l29");
    back.leave();
  });

  test("a client that never reads is closed, its bytes are bounded, and others miss nothing", options, async () => {
    const stuck = await Socket.open(url("stuck", "IMPATIENT"));
    stuck.pause();
    const pings = setInterval(() => stuck.send("ping"), 200);
    const other = await Socket.open(url("stuck", "IMPATIENT"));
    for (let number = 0; number < 30; number++) await publish(api("IMPATIENT"), large("stuck", number));
    await until("the other has all", () => other.ids.length === 30);
    await sleep(1_200);
    other.send("ping");
    await sleep(50);
    await publish(api("IMPATIENT"), changed("stuck", "end"));
    await other.has("id: end");
    clearInterval(pings);
    stuck.resume();
    await stuck.hasClosed(1013);
    assert.match(stuck.closed.reason, /1 MiB/);
    assert.ok(stuck.read < MIB + (101 << 10), `${stuck.read}`);

    const back = await Socket.open(url("stuck", "IMPATIENT"), { last: stuck.ids.at(-1) });
    await until("the rest", () => back.ids.at(-1) === "end");
    assert.deepEqual([...stuck.ids, ...back.ids], other.ids);
    for (const socket of [other, back]) socket.leave();
  });

  test("a client that is silent is closed at the next event", options, async () => {
    const [silent, pinging] = [await Socket.open(url("silent", "IMPATIENT")), await Socket.open(url("silent", "IMPATIENT"))];
    await ping(silent);
    await sleep(1_100);
    await ping(pinging);
    await publish(api("IMPATIENT"), changed("silent", "v1"));
    await pinging.has("id: v1");
    await silent.hasClosed(1013);
    assert.match(silent.closed.reason, /`ping`/);
    assert.equal(silent.text, KEEPALIVE.repeat(2), "it comes back for the event");
    pinging.leave();
  });
});

describe("many WebSockets", options, () => {
  test("1,000 of them, with streams among them, get every event in order", options, async () => {
    const worker = await start({ release: NEWEST, main, namespaces, vars });
    try {
      const api = `${worker.url}/SAACMS_REALTIME${API}`;
      const open = (last) => Socket.open(`${api}/posts/many/subscribe`, { last });
      const clients = [];
      for (let batch = 0; batch < 20; batch++) {
        clients.push(...(await Promise.all(Array.from({ length: 50 }, () => open()))));
        clients.push(await Stream.open(`${api}/posts/many/subscribe`));
      }
      const late = [];
      let next = 0;
      await Promise.all(Array.from({ length: 4 }, async () => {
        while (next < 60) {
          const number = next++;
          assert.equal((await publish(api, changed("many", `v${number}`))).status, 204);
          if (number % 20 === 10) late.push(await open("v0"));
        }
      }));
      const { ids } = await until("one has all", () => clients.find((client) => client.ids.length >= 60));
      assert.deepEqual(ids.toSorted(), Array.from({ length: 60 }, (_, number) => `v${number}`).toSorted());
      for (const client of clients) {
        await until("it has all", () => client.ids.length >= 60);
        assert.deepEqual(client.ids, ids);
      }
      for (const socket of late) {
        await until("the late one has all", () => socket.ids.at(-1) === ids.at(-1));
        assert.deepEqual(socket.ids, ids.slice(ids.indexOf("v0") + 1));
      }
      assert.equal((await ask(`${worker.url}/count/SAACMS_REALTIME/many`)).text, String(clients.length + late.length));
      for (const client of [...clients, ...late]) client.leave();
    } finally {
      await worker.stop();
    }
  });
});

describe("a subclass with WebSockets of its own", options, () => {
  test("keeps them, and they count nowhere", options, async () => {
    const worker = await start({ main, namespaces: { SAACMS_REALTIME: "Mixed" }, vars });
    try {
      const api = `${worker.url}/SAACMS_REALTIME${API}`;
      const own = await Socket.open(`${worker.url}/own/SAACMS_REALTIME/mixed`);
      const socket = await Socket.open(`${api}/posts/mixed/subscribe`);
      own.send("read 1");
      await own.is("read 1 1");
      await publish(api, changed("mixed", "v1"));
      await socket.is(KEEPALIVE + frame(changed("mixed", "v1")));
      own.send("bye");
      await own.is("read 1 1bye 1");
      for (const client of [own, socket]) client.leave();
    } finally {
      await worker.stop();
    }
  });
});

describe("the end of an object's streams", options, () => {
  test("a drain says farewell, and its clients resume from it", options, async () => {
    const worker = await start({ main, namespaces, vars });
    try {
      const api = `${worker.url}/SAACMS_REALTIME${API}`;
      const url = `${api}/posts/drain/subscribe`;
      await publish(api, changed("drain", "v1"));
      const clients = [await Socket.open(url), await Stream.open(url)];
      for (const client of clients) await client.is(KEEPALIVE);
      await ping(clients[0]);
      assert.equal((await ask(`${worker.url}/drain/SAACMS_REALTIME/drain`)).status, 204);
      for (const client of clients) {
        await until("it has ended", () => client.ended);
        assert.match(client.text, /\n\nid: v1\n\nretry: ([3-9]|1[0-2])\d{3}\n\n$/);
      }
      assert.equal(clients[0].closed.code, 1001);

      await publish(api, changed("drain", "v2"));
      const back = await Socket.open(url, { last: "v1" });
      await back.is(KEEPALIVE + frame(changed("drain", "v2")));
      back.leave();
    } finally {
      await worker.stop();
    }
  });

  test("after a panic all are closed at once, and their clients miss nothing", options, async () => {
    const worker = await start({ main: "failing.mjs" });
    try {
      const at = `${worker.url}/panic`;
      const clients = [await Socket.open(`${at}/subscribe`), await Socket.open(`${at}/subscribe`)];
      for (const client of clients) await ping(client);
      for (const etag of ["v1", "v2"]) assert.equal((await publish(at, changed("panic", etag))).status, 204);
      for (const client of clients) await client.has("id: v2");
      await ask(`${worker.url}/mode/panics`);
      assert.ok((await publish(at, changed("panic", "v3"))).status >= 500);
      for (const client of clients) await client.hasClosed(1012);
      assert.equal((await publish(at, changed("panic", "v4"))).status, 204);
      const back = await Socket.open(`${at}/subscribe`, { headers: { "last-event-id": "v1" } });
      await back.is(KEEPALIVE + frame(changed("panic", "v2")) + frame(changed("panic", "v4")));
      back.leave();
    } finally {
      await worker.stop();
    }
  });
});
