// The package in Node, Bun and Deno.
import { readFileSync } from "node:fs";

import { durableObject } from "./durable-object.js";
import * as module from "./module.js";
import { guarded } from "./record.js";

module.start(new WebAssembly.Module(readFileSync(new URL("./module.wasm", import.meta.url))));

export const SaacmsRealtimeDO = durableObject(class {});

export { publish, realtime, subscribe } from "./plugin.js";
export { PublishError } from "./refused.js";

export default {
  fetch(request, env, ctx) {
    return guarded(() => module.fetch(request, env, ctx));
  },
};
