// The code of hosts of the plugin with one import changed: in Node, Bun, Deno and Workers.
import assert from "node:assert/strict";
import http from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { KEEPALIVE, PACKAGE, RELEASES, Socket, Stream, ask, start, until, within } from "./harness.mjs";
import { bundle, install, program, run } from "./installed.mjs";

const API = "/api/saacms/v1";
const options = { timeout: 60_000 };

let installed;
before(() => (installed = install()), options);
after(() => installed.remove());

const worker = (main, options) => async () => start({ bundle: await bundle(installed.folder, main), ...options });
const bun = program("@oven", "bin/bun");
const deno = program("@deno", "deno");

/** The status of a HEAD with headers that `fetch` does not send. */
const headStatus = (url, headers) =>
  within(`an answer of ${url}`, (resolve, reject) => {
    const request = http.request(url, { method: "HEAD", agent: false, headers });
    request.once("error", reject);
    request.once("response", ({ statusCode }) => {
      resolve(statusCode);
      request.destroy();
    });
    request.end();
  });

const HOSTS = {
  Node: { host: () => run(installed.folder, process.execPath, "node.mjs"), counts: true },
  Bun: { host: () => run(installed.folder, bun, "bun.mjs"), counts: true, missing: bun === undefined },
  Deno: {
    host: () => run(installed.folder, deno, "run", "--no-prompt", "--allow-net", "--allow-read", "deno.mjs"),
    counts: true,
    missing: deno === undefined,
  },
};
for (const release of RELEASES) {
  HOSTS[`${release} with Durable Objects`] = { host: worker("worker.mjs", { release }), counts: false };
  HOSTS[`${release} with one isolate`] = { host: worker("isolate.mjs", { release, namespaces: {} }), counts: true };
}

for (const [name, { host, counts, missing }] of Object.entries(HOSTS)) {
  const skip = missing ? "npm has none for this machine" : false;
  describe(`a host in ${name}`, { ...options, skip }, () => {
    let server;
    before(async () => (server = await host()), options);
    after(() => server?.stop());

    const open = (id, headers, query = "") => Stream.open(`${server.url}${API}/posts/${id}/subscribe${query}`, headers);
    const save = async (id, record) => {
      const body = JSON.stringify(record);
      const answer = await ask(`${server.url}${API}/posts/${id}`, { method: "PUT", body });
      assert.equal(answer.status, 204, answer.text);
    };
    const frame = (record) => `event: changed\nid: ${record.etag}\ndata: ${JSON.stringify(record)}\n\n`;
    /** Comments come when they come. */
    const events = (stream) => stream.text.replaceAll(KEEPALIVE, "");
    const gets = (stream, text) =>
      until(`the stream has ${JSON.stringify(text)}, it is ${JSON.stringify(stream.text)}`, () => events(stream).length >= text.length)
        .then(() => assert.equal(events(stream), text));

    test("a client gets what is saved", options, async () => {
      const stream = await open("live");
      assert.equal(stream.status, 200);
      assert.match(stream.headers["content-type"], /^text\/event-stream/);
      await stream.has(KEEPALIVE);
      const records = [{ etag: "v1", title: "Grüße 🎉" }, { etag: "v2" }];
      for (const record of records) await save("live", record);
      await gets(stream, records.map(frame).join(""));
      assert.equal((await ask(`${server.url}${API}/posts/live`, { method: "DELETE" })).status, 204);
      await until("it is told of the end", () => /event: deleted\nid: .*\ndata: {"id":"live"}\n\n/.test(stream.text));
      stream.leave();
    });

    test("a client that reconnects is replayed what it missed", options, async () => {
      const records = ["v1", "v2", "v3", "é4"].map((etag) => ({ etag }));
      const stream = await open("back");
      for (const record of records) await save("back", record);
      await gets(stream, records.map(frame).join(""));
      stream.leave();

      const back = await open("back", { "last-event-id": "v1" });
      await gets(back, records.slice(1).map(frame).join(""));
      const query = await open("back", {}, "?lastEventId=v3");
      await gets(query, frame(records[3]));

      // The bytes of the ID, as a client's header carries them.
      const bytes = Buffer.from("é4").toString("latin1");
      const current = await open("back", { "last-event-id": bytes });
      await save("back", { etag: "v5" });
      await gets(current, frame({ etag: "v5" }));
      for (const stream of [back, query, current]) stream.leave();
    });

    test("a client that missed too much is told to refetch", options, async () => {
      // The host keeps three events.
      for (const etag of ["v1", "v2", "v3", "v4", "v5"]) await save("lost", { etag });
      const resync = 'event: saacms-resync\nid: v5\ndata: {"reason":"buffer-miss"}\n\n';
      for (const id of ["v1", "nobody"]) {
        const lost = await open("lost", { "last-event-id": id });
        await gets(lost, resync);
        await save("lost", { etag: "v5" });
        await gets(lost, resync + frame({ etag: "v5" }));
        lost.leave();
      }
    });

    test("silent streams are kept alive, after some clients have left, too", options, async () => {
      const streams = [];
      for (let number = 0; number < 40; number++) streams.push(await open("many"));
      for (const stream of streams) await stream.has(KEEPALIVE.repeat(3));
      for (const stream of streams.splice(0, 5)) stream.leave();
      const lengths = streams.map((stream) => stream.text.length);
      for (const [index, stream] of streams.entries()) {
        await until("it is kept alive", () => stream.text.length >= lengths[index] + 3 * KEEPALIVE.length);
      }
      await save("many", { etag: "v1" });
      for (const stream of streams) await gets(stream, frame({ etag: "v1" }));
      for (const stream of streams) stream.leave();
    });

    test("a client that asks for a WebSocket gets one where there are objects, and an event stream elsewhere", options, async () => {
      const url = `${server.url}${API}/posts/socket/subscribe`;
      await save("socket", { etag: "v1" });
      const socket = await Socket.ask(url, { last: "v1" });
      if (counts) {
        assert.equal(socket.status, 200);
        assert.match(socket.headers["content-type"], /^text\/event-stream/);
        return;
      }

      await save("socket", { etag: "v2" });
      await socket.is(KEEPALIVE + frame({ etag: "v2" }));
      socket.leave();
      const own = await Socket.open(url, { headers: { origin: server.url } });
      own.leave();
      const refused = await Socket.ask(url, { headers: { origin: "https://evil.example" } });
      assert.equal(refused.status, 403);
      assert.match(refused.text, /foreign-page/);
    });

    test("the package's client follows a record", options, async () => {
      const { LiveRecord } = await import(pathToFileURL(join(PACKAGE, "client.js")));
      const shown = [];
      const live = new LiveRecord(`${server.url}${API}/posts/client/subscribe`, {
        load: () => ({ etag: "loaded" }),
        show: (record) => shown.push(record?.etag ?? null),
      });
      await until("it is live, with what it loaded", () => live.state === "live" && shown.length === 1);
      for (const etag of ["v1", "v2"]) await save("client", { etag });
      assert.equal((await ask(`${server.url}${API}/posts/client`, { method: "DELETE" })).status, 204);
      await until("it shows each change", () => shown.length === 4);
      assert.deepEqual(shown, ["loaded", "v1", "v2", null]);
      live.close();
    });

    test("a HEAD tells what a stream would, and opens none", options, async () => {
      const url = `${server.url}${API}/posts/head/subscribe`;
      const { status, headers } = await ask(url, { method: "HEAD" });
      assert.equal(status, 200);
      assert.equal(headers.get("saacms-heartbeat"), "200");
      assert.match(headers.get("saacms-last-event-id"), /^[0-9a-f]{16}\.0$/);
      assert.equal(await headStatus(url, { upgrade: "websocket", connection: "upgrade" }), 200);
      assert.equal((await ask(`${server.url}/clients/posts/head`)).text, "0");
    });

    test("a client that leaves is forgotten", { ...options, skip: !counts && "its objects count" }, async () => {
      const clients = async () => Number((await ask(`${server.url}/clients/posts/gone`)).text);
      const streams = [await open("gone"), await open("gone")];
      await until("two are counted", async () => (await clients()) === 2);
      streams[0].leave();
      await until("one is left", async () => (await clients()) === 1);
      streams[1].leave();
      await until("none is left", async () => (await clients()) === 0);
    });
  });
}
