// Objects that have nothing but WebSockets sleep, and continue each WebSocket when they wake.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { KEEPALIVE, RELEASES, Socket, ask, changed, frame, publish, sleep, start, until } from "./harness.mjs";

const API = "/api/saacms/v1";
const MIB = 1 << 20;
/** The platform evicts an object that has had nothing to do for 10 s. */
const ASLEEP_AFTER = 12_000;
const options = { timeout: 90_000, concurrency: true };
const namespaces = { SAACMS_REALTIME: "SaacmsRealtimeDO", MEMORY: "InMemory" };

describe("an object with nothing but WebSockets", options, () => {
  for (const release of RELEASES) {
    test(`sleeps in ${release}, and its WebSockets miss nothing`, options, async () => {
      const vars = { SAACMS_REALTIME_OPEN_PUBLISH: "true" };
      const worker = await start({ release, main: "sockets.mjs", namespaces, vars });
      try {
        await sleeps(worker);
      } finally {
        await worker.stop();
      }
    });
  }

  test("sleeps, and is read back, in a Worker whose compatibility date has no FinalizationRegistry", options, async () => {
    const vars = { SAACMS_REALTIME_OPEN_PUBLISH: "true" };
    const worker = await start({ main: "sockets.mjs", namespaces, vars, date: "2025-04-01" });
    try {
      await sleeps(worker);
    } finally {
      await worker.stop();
    }
  });
});

async function sleeps(worker) {
  const api = (binding) => `${worker.url}/${binding}${API}`;
  const open = (id, { binding = "SAACMS_REALTIME", ...more } = {}) => Socket.open(`${api(binding)}/posts/${id}/subscribe`, more);
  const post = async (id, etag, binding = "SAACMS_REALTIME") =>
    assert.equal((await publish(api(binding), changed(id, etag))).status, 204);
  const lives = async (id) => Number((await ask(`${worker.url}/lives/SAACMS_REALTIME/${id}`)).text);
  const large = (id, number) => changed(id, `l${number}`, { text: "x".repeat(100 << 10) });

  // An ordinary record, one that never had an event, one without storage.
  const [plain, second] = [await open("plain"), await open("plain")];
  await post("plain", "v1");
  const quiet = await open("quiet");
  const memory = await open("memory", { binding: "MEMORY" });
  await post("memory", "v1", "MEMORY");
  // One whose client has not read yet, and one whose client reads while the object sleeps.
  const full = await open("full", { tells: false });
  for (let number = 0; number < 20; number++) await publish(api("SAACMS_REALTIME"), large("full", number));
  const reader = await open("reader", { tells: false });
  for (let number = 0; number < 8; number++) await publish(api("SAACMS_REALTIME"), large("reader", number));
  const rude = await open("rude");
  await post("rude", "v1");

  for (const socket of [plain, second, memory, rude]) await socket.has("id: v1");
  await until("all that there is room for", () => full.read >= MIB && reader.ids.length === 8);
  const records = ["plain", "quiet", "memory", "full", "reader", "rude"];
  for (const id of records) assert.equal(await lives(id), 1, id);

  await sleep(ASLEEP_AFTER);
  plain.send("ping");
  await until("the platform has answered", () => plain.text.endsWith(KEEPALIVE));
  for (const id of records) assert.equal(await lives(id), 1, `nothing has woken ${id}`);

  await post("plain", "v2");
  for (const socket of [plain, second]) {
    await socket.has("id: v2");
    assert.equal(socket.text.replace(KEEPALIVE.repeat(2), KEEPALIVE).replaceAll(KEEPALIVE, ""), frame(changed("plain", "v1")) + frame(changed("plain", "v2")));
  }
  assert.equal(await lives("plain"), 2, "it was asleep");

  await post("quiet", "v1");
  await quiet.is(KEEPALIVE + frame(changed("quiet", "v1")));
  assert.equal(await lives("quiet"), 2);
  const [backToQuiet, later] = [await open("quiet", { last: quiet.place }), await open("quiet", { last: "v1" })];
  await backToQuiet.is(KEEPALIVE + frame(changed("quiet", "v1")));
  await later.is(KEEPALIVE);

  await post("memory", "v2", "MEMORY");
  await memory.is(KEEPALIVE + frame(changed("memory", "v1")) + frame(changed("memory", "v2")));
  assert.equal(await lives("memory"), 2);
  const lost = await open("memory", { binding: "MEMORY", last: "v1" });
  await lost.has("saacms-resync");

  // Its message wakes the object, which continues the replay.
  while (full.ids.length < 20) {
    const before = full.read;
    full.send(`read ${full.read}`);
    await until("more came", () => full.read > before);
    await sleep(20);
  }
  assert.deepEqual(full.ids, Array.from({ length: 20 }, (_, number) => `l${number}`));

  // What it tells while the object sleeps counts when it wakes: there is room for 1 MiB again.
  reader.send(`read ${reader.read}`);
  await sleep(100);
  for (let number = 8; number < 17; number++) await publish(api("SAACMS_REALTIME"), large("reader", number));
  await until("there was room for them", () => reader.ids.length === 17);

  rude.send("hello");
  await rude.hasClosed(1008);
  const count = await ask(`${worker.url}/count/SAACMS_REALTIME/rude`);
  assert.equal(count.text, "0");

  for (const socket of [plain, second, quiet, memory, full, reader, backToQuiet, later, lost]) socket.leave();
}
