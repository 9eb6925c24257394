// The JavaScript entry in front of both objects.
import { SaacmsRealtimeDO as Rust } from "./index.js";
export { SaacmsRealtimeDO } from "./index.js";
export { PlainDO } from "./plain.mjs";

export class MemoryDO extends Rust {
  constructor(ctx, env) {
    super(ctx, { ...env, SAACMS_REALTIME_STORAGE: "off" });
  }
}

export default {
  fetch(request, env) {
    const [, binding, name, what] = new URL(request.url).pathname.split("/");
    const stub = env[binding].get(env[binding].idFromName(`posts:${name}`));
    return stub.fetch(new Request(`https://do/${what}`, request));
  },
};
