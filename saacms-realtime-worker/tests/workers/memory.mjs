// The package's Worker, which also tells the size of the module's memory.
import { module } from "./spy.mjs";
import worker from "./index.js";
export { SaacmsRealtimeDO } from "./index.js";

export default {
  fetch(request, env, ctx) {
    if (request.url.endsWith("/memory")) return new Response(String(module.memory.buffer.byteLength));
    return worker.fetch(request, env, ctx);
  },
};
