// The class and the router that a Worker imports: the WebAssembly module, and its recovery.
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

// Errors in timers and in stream callbacks arrive here.
addEventListener("error", (event) => void note(event.error));

function guarded(call) {
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

export class SaacmsRealtimeDO {
  #ctx;
  #env;
  #object;
  #life;

  constructor(ctx, env) {
    this.#ctx = ctx;
    this.#env = env;
    this.#object = guarded(() => new module.SaacmsRealtimeDO(ctx, env));
    this.#life = life;
  }

  fetch(request) {
    return guarded(() => {
      if (this.#life !== life) {
        this.#object = new module.SaacmsRealtimeDO(this.#ctx, this.#env);
        this.#life = life;
      }
      return this.#object.fetch(request);
    });
  }
}

export default {
  fetch(request, env, ctx) {
    return guarded(() => module.fetch(request, env, ctx));
  },
};
