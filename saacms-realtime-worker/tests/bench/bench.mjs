// Compares the object's speed with a plain JavaScript one, in the same workerd and the same entry.
// `worker.sh bench [--rounds N] [--streams 1|100|1000 ...]`; prints Markdown tables.
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { HERE, Stream, changed, sleep, start, within } from "../harness.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    streams: { type: "string", multiple: true, default: ["1", "100", "1000"] },
  },
});
const ROUNDS = Number(values.rounds);
const KINDS = { PLAIN: "plain JavaScript", MEMORY: "ours, storage off", SAACMS_REALTIME: "ours, SQLite", WEBSOCKET: "ours, SQLite, by WebSockets" };
const bindingOf = (kind) => (kind === "WEBSOCKET" ? "SAACMS_REALTIME" : kind);
const EVENTS = { 1: 1_000, 100: 300, 1_000: 60 };
/** The events that are published with a pause before each. */
const LONE = 15;
// The frame has 300 bytes.
const record = { text: "x".repeat(248) };

const { version } = JSON.parse(readFileSync(join(HERE, "node_modules/workerd/package.json"), "utf8"));

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
let agent;

const worker = await start({
  main: "bench.mjs",
  extra: { "plain.mjs": join(HERE, "bench/plain.mjs") },
  namespaces: { SAACMS_REALTIME: "SaacmsRealtimeDO", MEMORY: "MemoryDO", PLAIN: "PlainDO" },
});
let port;

/** A stream over a bare socket, cheap to read, so that the client is not what is measured. */
function subscribe(path, isWebSocket, done) {
  return within("a stream", (resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      // The server's messages are its text with a short header each, as no compression is offered.
      const how = isWebSocket
        ? "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        : "accept: text/event-stream\r\n";
      socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n${how}\r\n`);
    });
    let tail = "";
    let open = false;

    socket.on("data", (data) => {
      if (!open && (open = true)) resolve(socket);
      tail = (tail + data.toString("latin1", Math.max(0, data.length - 400))).slice(-400);
      const at = tail.indexOf("id: l");
      if (at < 0 || tail.indexOf("\n", at) < 0) return;
      const name = tail.slice(at + 4, tail.indexOf("\n", at));
      tail = "";
      done(name);
    });
    socket.on("error", reject);
  });
}

function post(path, event) {
  return within("a publish", (resolve, reject) => {
    const request = http.request({ port, path, agent, method: "POST" }, (response) => {
      response.resume();
      response.on("end", () => (response.statusCode === 204 ? resolve() : reject(new Error(response.statusCode))));
    });
    request.on("error", reject);
    request.end(JSON.stringify(event));
  });
}

const ticks = () => {
  const fields = readFileSync(`/proc/${worker.process.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
};

/** Measures in a new workerd, which holds no sockets of clients that have left. */
async function measure(kind, streams, round) {
  await worker.restart();
  ({ port } = new URL(worker.url));
  agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let number = 0; number < 300; number++) {
    await post(`/${bindingOf(kind)}/warm/publish`, changed("warm", `v${number}`, record));
  }
  agent.destroy();
  const name = `${kind.toLowerCase()}${streams}r${round}`;
  const base = `/${bindingOf(kind)}/${name}`;
  const missing = {};
  const sockets = [];
  const finish = {};
  const done = (id) => {
    missing[id] = (missing[id] ?? streams) - 1;
    if (missing[id] === 0) finish[id]();
  };
  const allHave = (id, run) =>
    within(`all streams to have ${id}`, (resolve, reject) => {
      finish[id] = resolve;
      run().catch(reject);
    }, 120_000);
  while (sockets.length < streams) {
    const batch = Array.from({ length: Math.min(50, streams - sockets.length) }, () => subscribe(`${base}/subscribe`, kind === "WEBSOCKET", done));
    sockets.push(...(await Promise.all(batch)));
  }
  const times = [];
  const lone = [];
  let began, cpu;
  async function publishAll() {
    cpu = process.platform === "linux" ? ticks() : NaN;
    // A new connection, because the runtime closes one that was idle for some seconds.
    agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    began = performance.now();
    for (let number = 1; number <= EVENTS[streams]; number++) {
      const at = performance.now();
      await post(`${base}/publish`, changed(name, number === EVENTS[streams] ? "last" : `v${number}`, record));
      times.push(performance.now() - at);
    }
  }
  await allHave("last", publishAll);
  const seconds = (performance.now() - began) / 1_000;
  const micros = process.platform === "linux" ? ticks() - cpu : NaN;
  for (let number = 0; number < LONE; number++) {
    await sleep(50);
    const at = performance.now();
    await allHave(`lone${number}`, () => post(`${base}/publish`, changed(name, `lone${number}`, record)));
    lone.push(performance.now() - at);
  }
  agent.destroy();
  for (const socket of sockets) socket.destroy();
  const deliveries = streams * EVENTS[streams];
  return { rate: deliveries / seconds, latency: median(times), lone: median(lone), cpu: micros / deliveries };
}

console.log(`workerd ${version}, ${cpus().length} cores, ${ROUNDS} interleaved rounds, medians; frames of 300 bytes, one publisher that waits for each 204. Ratios are to plain JavaScript in the same round: median (least to most).\n`);
console.log("| streams | object | deliveries/s | ratio | CPU of workerd per delivery, µs | publish to 204, p50, ms | ratio | lone event until all have it, p50, ms | ratio |");
console.log("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
for (const streams of values.streams.map(Number)) {
  const results = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of Object.keys(KINDS)) results[kind].push(await measure(kind, streams, round));
  }
  for (const [kind, title] of Object.entries(KINDS)) {
    const of = (name) => median(results[kind].map((result) => result[name]));
    /** The ratio to plain JavaScript in the same round: median, minimum and maximum. */
    const beside = (name) => {
      const ratios = results[kind].map((result, round) => result[name] / results.PLAIN[round][name]);
      return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
    };
    console.log(`| ${streams} | ${title} | ${Math.round(of("rate")).toLocaleString("en")} | ${beside("rate")} | ${of("cpu").toFixed(1)} | ${of("latency").toFixed(2)} | ${beside("latency")} | ${of("lone").toFixed(2)} | ${beside("lone")} |`);
  }
}

console.log("\n| first answer, ms | in a fresh isolate | of the next fresh objects |\n| --- | --- | --- |");
const firsts = Object.fromEntries(Object.keys(KINDS).filter((kind) => bindingOf(kind) === kind).map((kind) => [kind, { isolate: [], object: [] }]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [kind, { isolate, object }] of Object.entries(firsts)) {
    await worker.restart();
    for (const times of [isolate, object, object, object]) {
      const at = performance.now();
      const stream = await Stream.open(`${worker.url}/${kind}/cold${isolate.length}${object.length}/subscribe`);
      times.push(performance.now() - at);
      stream.leave();
    }
  }
}
for (const [kind, { isolate, object }] of Object.entries(firsts)) {
  console.log(`| ${KINDS[kind]} | ${median(isolate).toFixed(1)} | ${median(object).toFixed(1)} |`);
}
await worker.stop();
