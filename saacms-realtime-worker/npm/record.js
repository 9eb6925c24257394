// The object of one record in the WebAssembly module, and its recovery.
//
// A panic in the module is a bug. It ends the instance and loses its memory. The next call starts a
// new one: objects are read back from their storage, and streams of the old instance are cut, so that
// their clients reconnect.
import * as module from "./module.js";

let life = 0;
let broken = false;

function note(error) {
  if (error instanceof WebAssembly.RuntimeError) broken = true;
  return error;
}

// Errors in timers and in stream callbacks arrive here, in a Worker.
globalThis.addEventListener?.("error", (event) => void note(event.error));

export function guarded(call) {
  if (broken) {
    module.__wbg_reset_state();
    broken = false;
    life++;
  }
  try {
    const answer = call();
    return answer instanceof Promise
      ? answer.catch((error) => {
          throw note(error);
        })
      : answer;
  } catch (error) {
    throw note(error);
  }
}

/** The problem document of a key that no record can have. */
export const keyProblem = (slug, id) => guarded(() => module.keyProblem(slug, id));

const encoder = new TextEncoder();
const bodyOf = (event) => encoder.encode(String(JSON.stringify(event))).buffer;

/** Makes room for `bytes` in the module's memory. */
export const reserve = (bytes) => guarded(() => module.reserve(bytes));

/** Throws if a variable of `env` is invalid. May be called outside of a request. */
export function checkVariables(env) {
  guarded(() => new module.SaacmsRealtimeDO({}, env).free());
}

/** The response by which an object without a record refuses an event, or nothing. */
export function refusalOfNobody(event) {
  return guarded(() => {
    const object = new module.SaacmsRealtimeDO({}, { SAACMS_REALTIME_STORAGE: "off" });
    const response = object.publish(bodyOf(event));
    object.free();
    return response;
  });
}

/**
 * `now` is the clock, if it is not the platform's; `atOnce` says that streams get no turns. `told` are
 * options as lines of variables; without them, those count that the storage has kept.
 */
export class RecordObject {
  #ctx;
  #create;
  #object;
  #life;
  #told;

  constructor(ctx, env, { now, told, atOnce = false } = {}) {
    this.#ctx = ctx;
    this.#told = told;
    this.#create = () => {
      this.#object = new module.SaacmsRealtimeDO(ctx, env, this.#told);
      if (now !== undefined) this.#object.setClock(now);
      if (atOnce) this.#object.serveAtOnce();
      this.#life = life;
    };
    guarded(this.#create);
  }

  #use(call) {
    return this.#guarded(() => {
      if (this.#life !== life) this.#create();
      return call(this.#object);
    });
  }

  #guarded(call) {
    try {
      const answer = guarded(call);
      return answer instanceof Promise ? answer.catch((error) => this.#failed(error)) : answer;
    } catch (error) {
      return this.#failed(error);
    }
  }

  /**
   * After a panic the object does not know which WebSockets lack an event, and the platform would go on
   * answering their pings: they are closed, so that their clients come back.
   */
  #failed(error) {
    if (broken) {
      for (const socket of this.#ctx?.getWebSockets?.("saacms-realtime") ?? []) {
        try {
          socket.close(1012, "the object was restarted; come back");
        } catch {
          // It has ended already.
        }
      }
    }
    throw error;
  }

  fetch(request) {
    return this.#use((object) => object.fetch(request));
  }

  /** Returns the response that refuses the event, or nothing. */
  publish(event) {
    const body = bodyOf(event);
    return this.#use((object) => object.publish(body));
  }

  /** Calls `unused` after the last stream has left. */
  onUnused(unused) {
    this.#use((object) => object.onUnused(unused));
  }

  /** Frees the object's memory if another one can read it back. Returns whether it did. */
  freeIfUnused() {
    return this.#use((object) => {
      const isUnused = object.canBeReadBack();
      if (isUnused) object.free();
      return isUnused;
    });
  }

  /** The options that the object runs with, as lines of variables. */
  get options() {
    return this.#use((object) => object.options());
  }

  /** Keeps other options for the object's next start. */
  keepOptions(told) {
    this.#told = told;
    this.#use((object) => object.keepOptions(told));
  }

  webSocketMessage(socket, message) {
    this.#use((object) => object.webSocketMessage(socket, message));
  }

  webSocketClose(socket) {
    this.#use((object) => object.webSocketClose(socket));
  }

  webSocketError(socket) {
    this.#use((object) => object.webSocketError(socket));
  }

  drain() {
    this.#use((object) => object.drain());
  }

  alarm() {
    this.#use((object) => object.alarm());
  }

  get subscribers() {
    return this.#use((object) => object.subscribers());
  }

  get replayable() {
    return this.#use((object) => object.replayable());
  }

  get historyBytes() {
    return this.#use((object) => object.historyBytes());
  }

  get isTimed() {
    return this.#use((object) => object.isTimed());
  }

  stop() {
    this.#use((object) => object.stop());
  }

  tick() {
    this.#use((object) => object.tick());
  }

  /** Cuts every stream, and frees the object's memory. It must not be used again. */
  free() {
    this.#use((object) => {
      object.cutAll();
      object.stop();
      // Later, because a timer of its streams may be about to call it.
      setTimeout(() => this.#life === life && object.free(), 1_000).unref?.();
    });
  }
}
