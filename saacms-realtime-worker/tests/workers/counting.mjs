// The package's Worker, with a count of armed timers. An object has one while it has streams.
import worker from "./index.js";
export { SaacmsRealtimeDO } from "./index.js";

const armed = new Set();
const { setTimeout: arm, clearTimeout: disarm } = globalThis;
globalThis.setTimeout = (run, millis) => {
  const timer = arm(() => {
    armed.delete(timer);
    run();
  }, millis);
  armed.add(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => {
  armed.delete(timer);
  disarm(timer);
};

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/timers") return new Response(String(armed.size));
    return worker.fetch(request, env, ctx);
  },
};
