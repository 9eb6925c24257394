// The package's Worker, which also tells the size of the module's memory, and what was logged.
import { module } from "./spy.mjs";
import worker from "./index.js";
export { SaacmsRealtimeDO } from "./index.js";

const warnings = [];
console.warn = (text) => warnings.push(String(text));

export default {
  fetch(request, env, ctx) {
    if (request.url.endsWith("/warnings")) return Response.json(warnings);
    if (request.url.endsWith("/memory")) return new Response(String(module.memory.buffer.byteLength));
    return worker.fetch(request, env, ctx);
  },
};
