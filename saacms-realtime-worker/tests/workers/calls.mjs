// A Worker without the plugin: it calls `subscribe` and `publish`, and objects by RPC. Its classes are
// given their settings in every way that there is.
import { SaacmsRealtimeDO, publish, realtime, subscribe } from "./index.js";

export { SaacmsRealtimeDO };

export class ByVariable extends SaacmsRealtimeDO {
  constructor(ctx, env) {
    super(ctx, { ...env, SAACMS_REALTIME_MAX_EVENTS: "1" });
  }

  count() {
    return this.__subscriberCount();
  }
}

export class ByOption extends SaacmsRealtimeDO {
  constructor(ctx, env) {
    super(ctx, { ...env, retention: { maxEvents: 1 }, heartbeatMs: 200 });
  }
}

// It passes no environment on, and is given that of the Worker.
export class ByEnvironment extends SaacmsRealtimeDO {
  constructor(ctx) {
    super(ctx);
  }
}

// As the plugin's documentation has it.
export class InMemory extends SaacmsRealtimeDO {
  constructor() {
    super({ retention: { maxEvents: 1 }, heartbeatMs: 200 });
  }
}

export class Wrong extends SaacmsRealtimeDO {
  constructor(ctx, env) {
    super(ctx, { ...env, retention: { events: 1 } });
  }
}

const warnings = [];
console.warn = (text) => warnings.push(String(text));

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const [, what, name, id] = pathname.split("/");
    const stub = () => env[name].get(env[name].idFromName(`posts:${id}`));
    try {
      if (what === "warnings") return Response.json(warnings.splice(0));
      if (what === "subscribe") return await subscribe(request, { SAACMS_REALTIME: env[name] }, "posts", id);
      if (what === "publish") await publish({ SAACMS_REALTIME: env[name] }, await request.json());
      if (what === "rpc") await stub().publish(await request.json());
      if (what === "count") return Response.json(await stub().count());
      if (what === "named") await realtime({ bindingName: name }).services.realtime.publish(await request.json());
      if (what === "subscribers") return Response.json(await stub().__subscriberCount());
      if (what === "options") {
        const { event = { type: "deleted", slug: "posts", id }, ...options } = await request.json();
        await realtime({ binding: env[name], ...options }).services.realtime.publish(event);
      }
      // What only another Worker of the account could do.
      if (what === "told") {
        const told = new Request("https://do/subscribe", { method: "HEAD", cf: { saacmsRealtime: await request.json() } });
        return await stub().fetch(told);
      }
      return new Response(null, { status: 204 });
    } catch (error) {
      return Response.json({ name: error.name, message: error.message }, { status: 500 });
    }
  },
};
