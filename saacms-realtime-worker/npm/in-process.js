// Records that this process serves: the module's objects, without a storage.
import { refusalOfEvent } from "./binding.js";
import { subscribePath } from "./client-request.js";
import { warnEachMinute } from "./log.js";
import { RecordObject, keyProblem } from "./record.js";
import { PublishError, refuse } from "./refused.js";
import { checkedVariables } from "./settings.js";

const MAX_RECORDS = 100_000;
const MAX_HISTORY_BYTES = 256 * 1024 * 1024;
/** A record without clients is remembered for the age of its events, but at least this long. */
const MIN_IDLE_MS = 60_000;
const DEFAULT_MAX_AGE_MS = 3_600_000;
const LONGEST_TICK_MS = 10_000;

/** Options for tests and for the runtime: `limits`, and `ticks` if timers end with their request. */
export class LocalRecords {
  /** By key, in the order of their last use. */
  #records = new Map();
  #historyBytes = 0;
  #isStopped = false;
  #env;
  #idleMs;
  #tickMs;
  #limits;
  #warnOfLimit;

  constructor(options, { ticks = false, limits } = {}) {
    this.#env = { SAACMS_REALTIME_STORAGE: "off", ...checkedVariables(options) };
    this.#idleMs = Math.max(options.retention?.maxAgeMs ?? DEFAULT_MAX_AGE_MS, MIN_IDLE_MS);
    this.#limits = { records: MAX_RECORDS, historyBytes: MAX_HISTORY_BYTES, ...limits };
    this.#warnOfLimit = warnEachMinute(
      `this process remembers at most ${this.#limits.records} records and ${this.#limits.historyBytes} bytes of ` +
        "history: the record used longest ago was forgotten, and its clients are told to refetch; fewer or smaller " +
        "events per record (retention) make room for more records",
    );
    if (ticks) this.#tickMs = Math.min(options.heartbeatMs || LONGEST_TICK_MS, LONGEST_TICK_MS);
  }

  /** Opens a stream. It is answered at once, and not by a promise, as by the plugin. */
  subscribe(slug, id, client) {
    const problem = keyProblem(slug, id);
    if (problem !== undefined) return refuse(problem);

    const record = this.#use(slug, id);
    const { accept, header, method = "GET", signal } = client;
    let leave;
    const response = record.object.fetch({
      method,
      url: `https://record/${subscribePath(client)}`,
      headers: { get: (name) => ({ accept, "last-event-id": header })[name] ?? null },
      // The object's callback must not be called once its memory is free.
      signal: { addEventListener: (_, gone) => (leave = () => record.isForgotten || gone()) },
    });

    if (leave !== undefined && signal) {
      // Servers cancel the stream at the same moment, which is no error; what follows it would be one.
      // A request that is aborted may have no more timers where timers end with their request.
      const later = () => (this.#tickMs === undefined ? setTimeout(leave, 0) : leave());
      if (signal.aborted) later();
      else signal.addEventListener("abort", later, { once: true });
    }
    if (this.#isStopped) record.object.stop();
    if (leave !== undefined && this.#tickMs !== undefined) this.#startTicks(record);
    return response;
  }

  /** The event is with its streams when this returns its promise, as with the plugin. */
  async publish(event) {
    const { slug, id } = event ?? {};
    const isNew = !this.#records.has(`${slug}:${id}`);
    // The object of a record that is known refuses such an event by itself.
    const refusal = isNew ? refusalOfEvent(event) : undefined;
    if (refusal !== undefined) throw await PublishError.of(refusal);

    const record = this.#use(slug, id);
    const refused = record.object.publish(event);
    if (refused !== undefined) {
      if (isNew) this.#forget(record);
      throw await PublishError.of(refused);
    }

    const { historyBytes } = record.object;
    this.#historyBytes += historyBytes - record.historyBytes;
    record.historyBytes = historyBytes;
    this.#makeRoom(record);
  }

  subscribers(slug, id) {
    return this.#records.get(`${slug}:${id}`)?.object.subscribers ?? 0;
  }

  /** The number of records that are remembered. */
  get size() {
    return this.#records.size;
  }

  stop() {
    this.#isStopped = true;
    for (const { object } of this.#records.values()) object.stop();
  }

  /** The record of a key, which is now the last one used. */
  #use(slug, id) {
    const key = `${slug}:${id}`;
    const now = Date.now();
    const record = this.#records.get(key) ?? {
      key,
      object: new RecordObject({ id: { name: key } }, this.#env, { atOnce: true }),
      historyBytes: 0,
      isForgotten: false,
    };
    record.usedAt = now;
    this.#records.delete(key);
    this.#records.set(key, record);
    this.#forgetIdle(now);
    return record;
  }

  /** Looks at the records used longest ago: two each time, so that more are looked at than come. */
  #forgetIdle(now) {
    let looks = 2;
    for (const record of this.#records.values()) {
      if (looks-- === 0 || now - record.usedAt <= this.#idleMs) return;
      if (record.object.subscribers === 0) {
        this.#forget(record);
      } else {
        record.usedAt = now;
        this.#records.delete(record.key);
        this.#records.set(record.key, record);
      }
    }
  }

  get #isOver() {
    return this.#records.size > this.#limits.records || this.#historyBytes > this.#limits.historyBytes;
  }

  /** Forgets records other than `current` while there is too much: those without clients first. */
  #makeRoom(current) {
    for (const sparesClients of [true, false]) {
      for (const record of this.#isOver ? [...this.#records.values()] : []) {
        if (!this.#isOver) return;
        if (record === current || (sparesClients && record.object.subscribers > 0)) continue;
        this.#warnOfLimit();
        this.#forget(record);
      }
    }
  }

  #forget(record) {
    record.isForgotten = true;
    this.#records.delete(record.key);
    this.#historyBytes -= record.historyBytes;
    record.object.free();
  }

  /** A timer that belongs to the request of a stream, and keeps that request alive even if nothing is due. */
  #startTicks(record) {
    const timer = setInterval(() => {
      if (record.isForgotten || record.object.subscribers === 0) clearInterval(timer);
      else if (!this.#isStopped) record.object.tick();
    }, this.#tickMs);
  }
}
