// The application in Node.
import { serve } from "@hono/node-server";
import { realtime } from "@saacms/plugin-realtime";

import { createApp } from "./app.mjs";

const app = createApp(realtime({ heartbeatMs: 200, retention: { maxEvents: 3 } }));
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => console.log(`port ${port}`));
