import { Holders } from "./holders.js";
import { warnOnce } from "./log.js";
import { RecordObject } from "./record.js";
import { PublishError } from "./refused.js";
import { runtime } from "./runtime.js";
import { checkMembers, checkedVariables, linesOf, shown } from "./settings.js";

const USAGE = "new SaacmsRealtimeDO(ctx, env) or new SaacmsRealtimeDO({ retention, heartbeatMs, now })";

/** Reads the arguments of the constructor: those of the platform, or the plugin's options. */
function read([ctx, env = runtime.env, ...others]) {
  if (others.length > 0) {
    throw new TypeError(`${USAGE}: a third argument has no effect; write super(ctx, { ...env, retention, heartbeatMs })`);
  }

  const isState = typeof ctx === "object" && ctx !== null && ("id" in ctx || "storage" in ctx);
  if (!isState) {
    const options = ctx ?? {};
    checkMembers(`The argument of ${USAGE}`, options, ["retention", "heartbeatMs", "now"]);
    return { options, env: { ...env, SAACMS_REALTIME_STORAGE: "off" } };
  }

  // `super(ctx, { ...env, retention: { … } })`. A variable of a Worker may have this name by chance.
  const { retention, heartbeatMs, now } = env ?? {};
  const isOption = typeof retention === "object";
  return { ctx, env, options: { retention: isOption ? retention : undefined, heartbeatMs, now } };
}

/** Without this the module does not hear that an object was evicted, and its memory would never be free again. */
const hearsOfEviction = typeof FinalizationRegistry === "function";

const warnOfDate = warnOnce(
  "this Worker has no FinalizationRegistry, so an object is read back from its storage for each request that comes " +
    "while it has no stream, and one without storage stays in memory for ever; set compatibility_date to 2025-05-05 " +
    "or later, or the flag enable_weak_ref",
);

const holders = new Holders();

/**
 * The class of the Durable Object, over the platform's base class where there is one.
 *
 * The module's object is created at the first request, which may tell options of the plugin.
 */
export const durableObject = (Base, { onlyInMemory = () => {} } = {}) =>
  class SaacmsRealtimeDO extends Base {
    #ctx;
    #env;
    #now;
    #object;
    /** The options that it starts with, as lines of variables; `undefined` for those that its storage keeps. */
    #lines;
    /** The options that it runs with. */
    #runsWith;
    /** The options that were told last, as JSON. */
    #told;
    #hasWarned = false;
    /** Requests that are not answered yet. */
    #requests = 0;
    /** Its name among the holders, if it is one. */
    #holder;

    constructor(...given) {
      const { options, ctx, env } = read(given);
      super(given[0], env);
      this.#ctx = ctx;
      const { now } = options;
      if (now !== undefined && typeof now !== "function") throw new TypeError("now must be a function");
      this.#now = now;

      const variables = checkedVariables(options);
      this.#env = Object.keys(variables).length === 0 ? env : { ...env, ...variables };
      if (ctx === undefined) onlyInMemory();
      else if (hearsOfEviction) this.#holder = new WeakRef(this);
    }

    /** The module's object. `told` are the plugin's options, if a request told them. */
    #use(told) {
      const text = JSON.stringify(told);
      const isNew = told !== undefined && text !== this.#told;
      const lines = isNew ? linesOf(told) : undefined;
      this.#told = text ?? this.#told;

      if (this.#object === undefined) {
        this.#lines ??= lines;
        this.#object = new RecordObject(this.#ctx, this.#env, { now: this.#now, told: this.#lines });
        this.#runsWith = this.#object.options;
        if (!hearsOfEviction && this.#ctx !== undefined) {
          warnOfDate();
          this.#object.onUnused(() => this.#freeIfUnused());
        }
      }

      if (isNew && lines !== this.#runsWith) this.#keep(lines);
      if (this.#holder !== undefined) holders.use(this.#holder, this.#object.historyBytes, (other) => other.#freeIfUnused());
      return this.#object;
    }

    /** Keeps options for the next start: once, because two hosts with different ones may take turns. */
    #keep(lines) {
      if (this.#hasWarned) return;
      this.#hasWarned = true;
      console.warn(
        `saacms-realtime: this object runs with ${shown(this.#runsWith)}, as its storage or its first request said; ` +
          `${shown(lines)}, of another host, counts after its next start`,
      );
      this.#lines = lines;
      this.#object.keepOptions(lines);
    }

    /** The module's object for a call that nobody waits for. */
    #wake() {
      this.#answered(Promise.resolve());
      return this.#use();
    }

    // Not `async`, so that a panic ends the call that it happened in.
    fetch(request) {
      // Only a Worker of the same account can set `cf`: the platform sets that of a client.
      const answer = this.#use(request.cf?.saacmsRealtime).fetch(request);
      return this.#answered(answer instanceof Promise ? answer : Promise.resolve(answer));
    }

    #answered(answer) {
      this.#requests++;
      return answer.finally(() => {
        this.#requests--;
        if (!hearsOfEviction) this.#freeIfUnused();
      });
    }

    /** Frees the module's object, if it can be read back. Returns whether it did. */
    #freeIfUnused() {
      const isFree = this.#requests === 0 && this.#object?.freeIfUnused() === true;
      if (isFree) this.#object = undefined;
      return isFree;
    }

    /** The platform calls this at the time that the object has set, to forget events that are too old. */
    alarm() {
      this.#wake().alarm();
    }

    // The platform calls these of WebSockets that it keeps, also to wake the object.
    webSocketMessage(socket, message) {
      this.#wake().webSocketMessage(socket, message);
    }

    webSocketClose(socket) {
      this.#wake().webSocketClose(socket);
    }

    webSocketError(socket) {
      this.#wake().webSocketError(socket);
    }

    /** Ends every stream and WebSocket with a farewell, after which its client comes back. */
    drain() {
      this.#wake().drain();
    }

    async publish(event) {
      const refusal = this.#use().publish(event);
      this.#answered(Promise.resolve());
      if (refusal !== undefined) throw await PublishError.of(refusal);
    }

    stop() {
      this.#object?.stop();
    }

    __subscriberCount() {
      return this.#use().subscribers;
    }

    __heartbeatActive() {
      return this.#use().isTimed;
    }

    __bufferSize() {
      return this.#use().replayable;
    }
  };
