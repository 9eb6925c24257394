// The golden vectors against the plugin in Node: its frames, and who is registered where.
//
// Contexts give the handler nothing but parameters, as the plugin reads nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, mock, test } from "node:test";
import { pathToFileURL } from "node:url";

import { ROUTE } from "./behaviour.mjs";
import { KEEPALIVE, PACKAGE, VECTORS } from "./harness.mjs";
import { Heartbeats } from "./heartbeats.mjs";

const { PublishError, SaacmsRealtimeDO, realtime } = await import(pathToFileURL(join(PACKAGE, "node.js")));
const options = { timeout: 60_000 };
const read = (name) => JSON.parse(readFileSync(join(VECTORS, name), "utf8"));

/** The contract refuses these keys; the plugin takes anything. */
const REFUSED_KEYS = { "g-s-020": "a slug or an ID must not be empty" };

// A clock that only steps advance. Timers of the test runner are not touched.
const real = { setTimeout, clearTimeout, now: Date.now };
let now = 0;
let timers = [];
let timerCount = 0;
before(() => {
  Date.now = () => now;
  globalThis.setTimeout = (run, millis) => {
    timers.push({ id: ++timerCount, at: now + millis, run });
    return timerCount;
  };
  globalThis.clearTimeout = (id) => (timers = timers.filter((timer) => timer.id !== id));
  mock.method(console, "warn", () => {});
});
after(() => {
  Date.now = real.now;
  Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
  mock.restoreAll();
});

async function settle() {
  for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
}

async function advance(ms) {
  const end = now + ms;
  for (;;) {
    const [due] = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
    if (due === undefined) break;
    timers = timers.filter((timer) => timer !== due);
    now = Math.max(now, due.at);
    due.run();
    await settle();
  }
  now = end;
}

function startAt(ms) {
  now = ms;
  timers = [];
}

/** What a stream brings, without the place that only ours tells. */
class Reader {
  #text = "";
  #reader;

  constructor(response) {
    this.#reader = response.body.getReader();
    this.#run().catch(() => {});
  }

  async #run() {
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return;
      this.#text += decoder.decode(value, { stream: true });
    }
  }

  take() {
    const text = this.#text.replace(/^(:keepalive\n\n)id: [0-9a-f]{16}\.\d+\n\n/, "$1");
    this.#text = "";
    return text;
  }

  cancel() {
    return this.#reader.cancel();
  }
}

const open = async (plugin, collection, id) =>
  new Reader(await plugin.routes[ROUTE]({ req: { param: (name) => ({ collection, id })[name] } }));

/** The member that the contract refuses, where the plugin takes anything. */
function refusedMember({ slug, id, etag, type, ...rest }) {
  const bytes = (text) => Buffer.byteLength(text);
  const isKey = (text, most, no) => text !== "" && bytes(text) <= most && !no.test(text) && ![".", ".."].includes(text);
  if (!isKey(slug, 128, /[\p{Cc}:/]/u)) return "`slug`";
  if (!isKey(id, 512, /\p{Cc}/u)) return "`id`";
  if (type !== "deleted" && etag != null && (/\p{Cc}|^ | $/u.test(etag) || bytes(etag) > 512)) return "`etag`";
  if (depth(rest) > 128) return "nested";
  return undefined;
}

const depth = (value) =>
  typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0;

describe("frames.json", options, () => {
  for (const body of ["null", "[]", "true", "7", '"text"', "{}"]) {
    test(`${body} is refused`, options, () =>
      assert.rejects(realtime().services.realtime.publish(JSON.parse(body)), PublishError));
  }

  for (const golden of read("frames.json").cases.filter(({ class: kind }) => kind !== "quirk")) {
    test(`${golden.id} ${golden.name}`, options, async () => {
      startAt(golden.now_ms);
      const event = JSON.parse(golden.event);
      const plugin = realtime();
      const refused = refusedMember(event);
      if (refused !== undefined) {
        const said = (error) => error instanceof PublishError && error.status === 400 && error.message.includes(refused);
        return assert.rejects(plugin.services.realtime.publish(event), said);
      }

      const reader = await open(plugin, event.slug, event.id);
      await plugin.services.realtime.publish(event);
      await settle();
      assert.equal(reader.take(), KEEPALIVE + golden.frame);
      await reader.cancel();
    });
  }
});

/** A binding to objects in this process. */
function namespace({ max_events, max_age_ms, heartbeat_ms }) {
  const objects = new Map();
  const config = { retention: { maxEvents: max_events, maxAgeMs: max_age_ms }, heartbeatMs: heartbeat_ms };
  return {
    objects,
    idFromName: (name) => ({ name, toString: () => name }),
    get({ name }) {
      if (!objects.has(name)) objects.set(name, new SaacmsRealtimeDO(config));
      return objects.get(name);
    },
  };
}

for (const target of ["isolate", "binding"]) {
  describe(`registry.json, target ${target}`, options, () => {
    const cases = read("registry.json").cases.filter((golden) => golden.target === target && golden.class !== "quirk");
    for (const golden of cases.filter(({ id }) => !(id in REFUSED_KEYS))) {
      test(`${golden.id} ${golden.name}`, options, async () => {
        startAt(golden.start_ms);
        const binding = target === "binding" ? namespace(golden.config) : undefined;
        const { heartbeat_ms: heartbeatMs, max_events: maxEvents, max_age_ms: maxAgeMs } = golden.config;
        const given = binding ? { binding } : { heartbeatMs, retention: { maxEvents, maxAgeMs } };
        const plugins = Array.from({ length: golden.isolates }, () => realtime(given));
        const readers = new Map();
        const heartbeats = new Heartbeats(heartbeatMs);

        for (const [index, step] of golden.steps.entries()) {
          const where = `step ${index}: ${JSON.stringify(step).slice(0, 300)}`;
          const plugin = plugins[step.isolate ?? 0];
          if (step.op === "subscribe") readers.set(step.sub, await open(plugin, step.slug, step.id));
          else if (step.op === "cancel") await readers.get(step.sub)?.cancel();
          else if (step.op === "advance") await advance(step.ms);
          else if (step.error === undefined) await plugin.services.realtime.publish(JSON.parse(step.event));
          else await assert.rejects(plugin.services.realtime.publish(JSON.parse(step.event)), PublishError, where);

          await settle();
          const texts = [...readers].map(([sub, reader]) => [sub, reader.take()]).filter(([, text]) => text !== "");
          if (step.op === "advance") {
            assert.deepEqual(Object.fromEntries(texts), heartbeats.advance(step.ms), where);
          } else {
            const blocks = texts.map(([sub, text]) => [sub, text.split("\n\n").slice(0, -1).map(nameOf)]);
            assert.deepEqual(Object.fromEntries(blocks), step.received, where);
            if (step.op === "cancel") heartbeats.gone(step.sub);
            Object.keys(step.received).forEach((sub) => heartbeats.wrote(sub));
          }

          for (const { slug, id, subscribers } of step.state.keys) {
            const object = binding?.objects.get(`${slug}:${id}`);
            const count = binding ? (object?.__subscriberCount() ?? 0) : plugin.services.realtime.__subscriberCount(slug, id);
            assert.equal(count, subscribers, `${slug}:${id}, ${where}`);
          }
        }
        for (const reader of readers.values()) await reader.cancel();
      });
    }
  });
}

/** What the vectors call a block. */
function nameOf(block) {
  if (block === ":keepalive") return "keepalive";
  const [, type, id] = block.match(/^event: (.*)\nid: (.*)\n/);
  return `${type} ${id}`;
}
