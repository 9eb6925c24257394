// The application in Bun.
import { realtime } from "@saacms/plugin-realtime";

import { createApp } from "./app.mjs";

const app = createApp(realtime({ heartbeatMs: 200, retention: { maxEvents: 3 } }));
const { port } = Bun.serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0, idleTimeout: 0 });
console.log(`port ${port}`);
