// The router in front of the objects, over HTTP.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, test } from "node:test";

import { KEEPALIVE, Stream, ask, changed, publish, start } from "./harness.mjs";

const API = "/api/saacms/v1";
const options = { timeout: 60_000 };

describe("the router", options, () => {
  const token = "0123456789abcdef";
  let worker, api;
  before(async () => {
    worker = await start({
      vars: {
        SAACMS_REALTIME_OPEN_PUBLISH: "",
        SAACMS_REALTIME_PUBLISH_TOKEN: token,
        SAACMS_REALTIME_CORS_ORIGIN: "https://app.example",
        SAACMS_REALTIME_EVENT_IDS: "position",
      },
    });
    api = worker.url + API;
  });
  after(() => worker.stop());

  const authorization = `Bearer ${token}`;

  test("a publish needs the token", options, async () => {
    const event = changed("t", "v1");
    assert.equal((await publish(api, event)).status, 401);
    assert.equal((await publish(api, event, { headers: { authorization: "Bearer nope" } })).status, 403);
    assert.equal((await publish(api, event, { headers: { authorization } })).status, 204);
  });

  test("probes of health are answered without an object", options, async () => {
    for (const path of ["/healthz", "/readyz"]) {
      const answer = await ask(worker.url + path);
      assert.equal(answer.status, 200, path);
      assert.equal(JSON.parse(answer.text).status, "ok");
    }
  });

  test("a body over the limit is refused before its end, which may never be sent", options, async () => {
    const { hostname, port } = new URL(worker.url);
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    const request = http.request({ hostname, port, path: `${API}/publish`, method: "POST", headers });
    request.on("error", () => {}); // the router does not read the rest
    const answered = once(request, "response");
    for (let n = 0; n < 20; n++) request.write("x".repeat(1 << 16));
    const [answer] = await answered;
    assert.equal(answer.statusCode, 413);
    request.destroy();
  });

  test("NDJSON has one result per line, in order, and a bad line fails alone", options, async () => {
    const lines = [changed("n1", "a"), changed("n2", "b"), "nope", changed("n1", "c")];
    const body = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
    const answer = await ask(`${api}/publish`, {
      method: "POST", body, headers: { authorization, "content-type": "application/x-ndjson" },
    });
    assert.equal(answer.status, 200);
    const results = answer.text.trim().split("\n").map((line) => JSON.parse(line).status);
    assert.deepEqual(results, [204, 204, 400, 204]);
  });

  test("a position resumes across a restart, as the ring keeps its epoch", options, async () => {
    const stream = await Stream.open(`${api}/posts/pos/subscribe`);
    for (const etag of ["x", "y"]) await publish(api, changed("pos", etag), { headers: { authorization } });
    await stream.has('{"v":"y"}');
    const ids = [...stream.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
    assert.match(stream.place, /^[0-9a-f]{16}\.0$/);
    await worker.restart();
    api = worker.url + API;
    const back = await Stream.open(`${api}/posts/pos/subscribe`, { "last-event-id": ids[0] });
    await back.is(`${KEEPALIVE}event: changed\nid: ${ids[1]}\ndata: {"v":"y"}\n\n`);
    back.leave();
  });

  test("a head tells the heartbeat and the position, from which a page subscribes", options, async () => {
    const subscribe = `${api}/posts/head/subscribe`;
    const head = async () => (await ask(subscribe, { method: "HEAD", headers: { origin: "https://app.example" } })).headers;
    const before = await head();
    assert.equal(before.get("saacms-heartbeat"), "30000");
    assert.match(before.get("saacms-last-event-id"), /^[0-9a-f]{16}\.0$/);
    assert.match(before.get("access-control-expose-headers"), /Saacms-Last-Event-ID/);

    // The page reads its store here, and the record changes before it subscribes.
    await publish(api, changed("head", "x"), { headers: { authorization } });
    const place = before.get("saacms-last-event-id");
    const page = await Stream.open(subscribe, { "last-event-id": place });
    const next = place.replace(/0$/, "1");
    await page.is(`${KEEPALIVE}event: changed\nid: ${next}\ndata: {"v":"x"}\n\n`);
    assert.equal((await head()).get("saacms-last-event-id"), next);
    page.leave();
  });

  test("the router answers by the same HTTP contract as the other adapters", options, async () => {
    const subscribe = `${api}/posts/1/subscribe`;
    const status = async (url, init) => (await ask(url, init)).status;
    assert.equal(await status(subscribe, { method: "HEAD" }), 200);
    assert.equal(await status(subscribe, { method: "OPTIONS" }), 204);
    assert.equal(await status(subscribe, { method: "DELETE" }), 405);
    assert.equal(await status(subscribe, { headers: { accept: "application/json" } }), 406);
    assert.equal(await status(`${api}/posts/1`), 404);
    assert.equal(await status(`${api}/po%3Ast/1/subscribe`), 400);

    const preflight = await ask(subscribe, { method: "OPTIONS", headers: { origin: "https://app.example" } });
    assert.equal(preflight.headers.get("access-control-allow-origin"), "https://app.example");

    const stream = await Stream.open(subscribe, { origin: "https://app.example" });
    assert.equal(stream.headers["access-control-allow-origin"], "https://app.example");
    stream.leave();
  });
});
