// The application in Deno.
import { realtime } from "@saacms/plugin-realtime";

import { createApp } from "./app.mjs";

const app = createApp(realtime({ heartbeatMs: 200, retention: { maxEvents: 3 } }));
Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(`port ${port}`) }, app.fetch);
