// The golden vectors against the object in workerd, byte for byte. SAACMS_VECTORS names another
// directory with the same file names.
//
// Where the contract differs from the plugin, the contract's answer is expected: a write postpones
// the heartbeat (so heartbeats are computed here, per stream), ETags have at most 512 bytes, the
// query may name the last event ID, an object has two paths.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { KEEPALIVE, VECTORS, ask, start } from "./harness.mjs";
import { Heartbeats } from "./heartbeats.mjs";

const options = { timeout: 120_000 };
const read = (name) => JSON.parse(readFileSync(join(VECTORS, name), "utf8"));

let worker;
before(async () => (worker = await start({ main: "vectors.mjs" })), options);
after(() => worker.stop());

/**
 * Runs the steps of a case as the plugin, or with our defaults (quiet resume and greetings), with event
 * streams or with WebSockets.
 */
async function run(name, { config, start_ms, steps }, { ours = false, websocket = false } = {}) {
  const body = JSON.stringify({ config, start_ms, steps, ours, websocket });
  const answer = await ask(`${worker.url}/${name}`, { method: "POST", body });
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text);
}

/** ETags over 512 bytes are refused, so the case runs with a shorter one. */
function withShortEtags(golden) {
  let text = JSON.stringify(golden);
  for (const { event } of golden.steps) {
    if (event === undefined) continue;
    // An event may be any JSON, `null` too.
    const etag = JSON.parse(event)?.etag;
    if (typeof etag === "string" && Buffer.byteLength(etag) > 512) {
      text = text.replaceAll(JSON.stringify(etag).slice(1, -1), "a shorter one");
    }
  }
  return JSON.parse(text);
}

/** Where the plugin gives a time a second time, the object calls the event by its position. */
class Times {
  static #ID = /^id: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|[0-9a-f]{16}\.\d+)$/gm;
  #given = new Set();
  #ofPosition = new Map();

  static #ids(bytes) {
    return [...(bytes ?? "").matchAll(Times.#ID)].map(([, id]) => id);
  }

  /** The object's bytes, with the plugin's time for each position that stands for a repeated one. */
  replace(golden, actual) {
    const times = Times.#ids(golden);
    let count = 0;
    return actual.replace(Times.#ID, (line, id) => {
      const time = times[count++];
      if (id.includes("T")) return line;
      const known = this.#ofPosition.get(id);
      if (known === undefined ? !this.#given.has(time) : known !== time) return line;
      this.#ofPosition.set(id, time);
      return `id: ${time}`;
    });
  }

  /** What the plugin gave in a step: only after it are these times repeated. */
  add(outs) {
    for (const bytes of Object.values(outs)) Times.#ids(bytes).forEach((time) => this.#given.add(time));
  }
}

/** `hasTimers` is false for WebSockets: these have no heartbeats. */
function check(golden, results, hasTimers = true) {
  const heartbeats = new Heartbeats(golden.config.heartbeat_ms);
  const times = new Times();
  for (const [index, step] of golden.steps.entries()) {
    const { out, status, timers } = results[index];
    const where = `step ${index}: ${JSON.stringify(step).slice(0, 300)}`;
    if (step.op === "advance") {
      const due = heartbeats.advance(step.ms);
      assert.deepEqual(out, hasTimers ? due : {}, where);
    } else {
      const retimed = Object.entries(out).map(([sub, bytes]) => [sub, times.replace(step.out[sub], bytes)]);
      assert.deepEqual(Object.fromEntries(retimed), step.out, where);
      times.add(step.out);
      if (step.op === "cancel") heartbeats.gone(step.sub);
      Object.keys(step.out).forEach((sub) => heartbeats.wrote(sub));
    }
    // What the plugin throws at, as `null`, is refused.
    if (step.op === "publish") assert.equal(status, step.error === undefined ? 204 : 400, where);
    assert.equal(timers > 0, step.state.heartbeat && hasTimers, `a timer runs, ${where}`);
    assert.equal(heartbeats.streams, step.state.subscribers, where);
  }
}

/**
 * Removes what our defaults add to a step: the place of a client that named none, which must be
 * there. A resync of the plugin may be spared, or have another name: core's test of these files
 * checks which.
 */
function withoutOurs(golden, results) {
  return results.map((result, index) => {
    const { op, sub, last_event_id, out } = golden.steps[index];
    if (op !== "subscribe") return result;
    const got = result.out[sub];
    if (last_event_id === null) {
      const text = got.replace(/^(:keepalive\n\n)id: [0-9a-f]{16}\.\d+\n\n/, "$1");
      assert.notEqual(text, got, `a place, step ${index}`);
      return { ...result, out: { ...result.out, [sub]: text } };
    }
    assert.ok(!got.startsWith(`${KEEPALIVE}id: `), `no place, step ${index}`);
    return out[sub].includes("saacms-resync") ? { ...result, out } : result;
  });
}

describe("replay.json", options, () => {
  for (const golden of read("replay.json").cases.filter(({ class: kind }) => kind === "core")) {
    test(`${golden.id} ${golden.name}`, options, async () => {
      const short = withShortEtags(golden);
      check(short, await run(golden.id, short));
      check(short, withoutOurs(short, await run(`${golden.id}, our defaults`, short, { ours: true })));
    });

    test(`${golden.id} ${golden.name}, over a WebSocket`, options, async () => {
      const short = withShortEtags(golden);
      const over = (ours) => run(`${golden.id}, WebSocket, ${ours}`, short, { ours, websocket: true });
      check(short, await over(false), false);
      check(short, withoutOurs(short, await over(true)), false);
    });
  }
});

describe("registry.json, target do", options, () => {
  const cases = read("registry.json").cases.filter(({ target, class: kind }) => target === "do" && kind !== "quirk");
  for (const golden of cases) {
    test(`${golden.id} ${golden.name}`, options, async () => {
      const keyOf = (step) => {
        const { slug, id } = (step.event === undefined ? step : JSON.parse(step.event)) ?? {};
        return slug === undefined ? undefined : `${slug}:${id}`;
      };
      const home = new Map();

      for (const step of golden.steps) if (step.sub && keyOf(step)) home.set(step.sub, keyOf(step));
      // `stop` is a method of the plugin's object that no request can call.
      const steps = golden.steps.filter(({ op }) => op !== "stop");
      const keys = new Set(steps.map(keyOf).filter(Boolean));

      for (const key of keys) {
        // An event that names no record is sent to every object.
        const isOfNobody = (step) => step.event !== undefined && keyOf(step) === undefined;
        const own = (step) =>
          step.op === "advance" || isOfNobody(step) || keyOf(step) === key || (step.op === "cancel" && home.get(step.sub) === key);
        const part = steps.filter(own).map((step) => ({ last_event_id: null, ...step }));
        const results = await run(`${golden.id}/${key}`, { ...golden, steps: part });
        const heartbeats = new Heartbeats(golden.config.heartbeat_ms);

        for (const [index, step] of part.entries()) {
          const where = `${key}, step ${index}: ${JSON.stringify(step).slice(0, 300)}`;
          const received = {};
          for (const [sub, bytes] of Object.entries(results[index].out)) {
            received[sub] = bytes.split("\n\n").slice(0, -1).map((block) => {
              if (block === ":keepalive") return "keepalive";
              const [, type, id] = block.match(/^event: (.*)\nid: (.*)\n/);
              return `${type} ${id}`;
            });
          }

          const mine = ([sub]) => home.get(sub) === key;
          const expected = Object.fromEntries(Object.entries(step.received).filter(mine));
          if (step.op === "advance") {
            const beats = Object.entries(heartbeats.advance(step.ms));
            const due = beats.map(([sub, bytes]) => [sub, Array(bytes.length / KEEPALIVE.length).fill("keepalive")]);
            assert.deepEqual(received, Object.fromEntries(due), where);
          } else {
            assert.deepEqual(received, expected, where);
            if (step.op === "cancel") heartbeats.gone(step.sub);
            Object.keys(expected).forEach((sub) => heartbeats.wrote(sub));
          }

          assert.equal(results[index].timers > 0, heartbeats.streams > 0, `a timer runs, ${where}`);
          const state = step.state.keys.find(({ slug, id }) => `${slug}:${id}` === key);
          if (state) assert.equal(heartbeats.streams, state.subscribers, where);
        }
      }
    });
  }
});

describe("http.json, target do", options, () => {
  // Where the contract differs, for the reason in the quirk or given here.
  const HEAD = { status: 200, isHead: true }; // Q52: the headers of the stream and the position
  const CONTRACT = {
    "g-h-003": HEAD,
    "g-h-004": HEAD,
    "g-h-005": HEAD,
    "g-h-001": { status: 200, body: KEEPALIVE }, // Q51: a missing Accept header accepts everything
    "g-h-014": { status: 200, body: KEEPALIVE }, // Q51: media types are case-insensitive
    "g-h-015": { status: 200, body: KEEPALIVE }, // Q51: text/* is a range
    "g-h-017": { status: 404 }, // Q51: weight 0 excludes
    "g-h-019": { status: 404 }, // Q51: another media type
    "g-h-021": { status: 404 }, // Q50: a path of its own
    "g-h-023": { status: 404 }, // Q50
    "g-h-024": { status: 404 }, // Q50
    "g-h-026": { status: 404 }, // Q50: posts to /subscribe
    "g-h-027": { status: 404 },
    "g-h-028": { status: 404 },
    "g-h-029": { status: 404 },
    // Contract, section 1: without the header, the query names the last event ID.
    "g-h-034": { status: 200, body: `${KEEPALIVE}event: changed\nid: e2\ndata: {"v":"e2"}\n\n` },
  };
  const config = { max_events: 100, max_age_ms: 3_600_000, heartbeat_ms: 30_000 };

  for (const golden of read("http.json").cases.filter(({ target }) => target === "do")) {
    test(`${golden.id} ${golden.name}`, options, async () => {
      const { now_ms: start_ms, setup, request, expect, id } = golden;
      const steps = [...setup.map((event) => ({ op: "publish", event })), { op: "request", request }];
      const result = (await run(id, { config, start_ms, steps })).at(-1);
      const other = golden.quirks.length > 0 || id === "g-h-034" ? CONTRACT[id] : undefined;
      const expected = other ?? expect;
      assert.equal(result.status, expected.status);

      if (expected.isHead) assert.match(result.headers["saacms-last-event-id"], /^[0-9a-f]{16}\.0$/);
      if (expected.status === 200) {
        assert.equal(result.out.request, expected.body);
        assert.equal(result.headers["content-type"], "text/event-stream");
        assert.equal(result.headers["cache-control"], "no-cache, no-transform");
        // The runtime drops `connection` from every answer, as it belongs to the edge.
      }
      const isStream = expected.status === 200 && !expected.isHead;
      assert.equal(result.timers > 0, isStream, "a heartbeat runs with a stream");
    });
  }
});
