// Records that this process serves: the module's objects, without a storage.
import { refusalOfEvent } from "./binding.js";
import { subscribePath } from "./client-request.js";
import { warnEachMinute } from "./log.js";
import { RecordObject, keyProblem, reserve } from "./record.js";
import { PublishError, refuse } from "./refused.js";
import { checkedVariables } from "./settings.js";

const MIB = 1024 * 1024;
const MAX_BYTES = 256 * MIB;
/** What a record costs besides its history, as measured. */
const RECORD_BYTES = 4 * 1024;
/** A record without clients is remembered for the age of its events, but at least this long. */
const MIN_IDLE_MS = 60_000;
const DEFAULT_MAX_AGE_MS = 3_600_000;
const LONGEST_TICK_MS = 10_000;

/** Options for tests and for the runtime: `maxBytes`, and `ticks` if timers end with their request. */
export class LocalRecords {
  /** By key, in the order of their last use. */
  #records = new Map();
  /** The bytes of all records, and those for which there is room in the module's memory. */
  #bytes = 0;
  #roomBytes = 0;
  #isStopped = false;
  #env;
  #idleMs;
  #tickMs;
  #maxBytes;
  #warnOfLimit;

  constructor(options, { ticks = false, maxBytes = MAX_BYTES } = {}) {
    this.#env = { SAACMS_REALTIME_STORAGE: "off", ...checkedVariables(options) };
    this.#idleMs = Math.max(options.retention?.maxAgeMs ?? DEFAULT_MAX_AGE_MS, MIN_IDLE_MS);
    this.#maxBytes = maxBytes;
    this.#warnOfLimit = warnEachMinute(
      `this process remembers at most ${maxBytes} bytes of records: the record used longest ago was forgotten, and ` +
        "its clients are told to refetch; fewer events per record (retention) make room for more records",
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

    this.#count(record);
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
    const known = this.#records.get(key);
    const record = known ?? {
      key,
      object: new RecordObject({ id: { name: key } }, this.#env, { atOnce: true }),
      bytes: 0,
      isForgotten: false,
    };
    record.usedAt = now;
    this.#records.delete(key);
    this.#records.set(key, record);
    this.#forgetIdle(now);
    // A stream of a record without events counts, too: its ID is any that a client names.
    if (known === undefined) this.#count(record);
    return record;
  }

  /** Counts the bytes of a record, and forgets others if there is no room. */
  #count(record) {
    const bytes = RECORD_BYTES + record.object.historyBytes;
    this.#bytes += bytes - record.bytes;
    record.bytes = bytes;
    this.#makeRoom(record);
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
    return this.#bytes > this.#maxBytes;
  }

  /** Forgets records other than `current` while there is too much: those without clients first. */
  #makeRoom(current) {
    if (this.#bytes > this.#roomBytes) {
      const more = Math.max(MIB, Math.floor(this.#bytes / 4));
      reserve(more);
      this.#roomBytes = this.#bytes + more;
    }

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
    this.#bytes -= record.bytes;
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
