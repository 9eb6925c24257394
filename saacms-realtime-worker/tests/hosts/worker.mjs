// The application in a Worker, with Durable Objects.
import { SaacmsRealtimeDO, realtime } from "@saacms/plugin-realtime";

import { createApp } from "./app.mjs";

export { SaacmsRealtimeDO };

let app;

export default {
  fetch(request, env, ctx) {
    app ??= createApp(realtime({ binding: env.SAACMS_REALTIME, heartbeatMs: 200, retention: { maxEvents: 3 } }));
    return app.fetch(request, env, ctx);
  },
};
