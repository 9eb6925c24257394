// The package in a Worker.
// Not by name: a release that lacks one of these names would refuse the whole module.
import * as platform from "cloudflare:workers";

import { durableObject } from "./durable-object.js";
import * as module from "./module.js";
import compiled from "./module.wasm";
import { guarded } from "./record.js";
import { runtime } from "./runtime.js";
import { warmUp } from "./warm-up.js";

module.start(compiled);
runtime.env = platform.env;
runtime.ticks = true;
warmUp();

/** The platform's base class, without which an object has no RPC. It refuses any state but its own. */
class Base extends platform.DurableObject {
  constructor(ctx, env) {
    try {
      super(ctx, env);
    } catch {
      return Object.create(new.target.prototype);
    }
  }
}

export const SaacmsRealtimeDO = durableObject(Base, {
  onlyInMemory() {
    console.warn(
      "saacms-realtime: this object was not given the platform's (ctx, env), so its history is lost when it is " +
        "evicted. In a subclass, write super(ctx, { ...env, retention, heartbeatMs })",
    );
  },
});

export { publish, realtime, subscribe } from "./plugin.js";
export { PublishError } from "./refused.js";

export default {
  fetch(request, env, ctx) {
    return guarded(() => module.fetch(request, env, ctx));
  },
};
