// The application in a Worker, without Durable Objects: one isolate.
import { realtime } from "@saacms/plugin-realtime";

import { createApp } from "./app.mjs";

export default createApp(realtime({ heartbeatMs: 200, retention: { maxEvents: 3 } }));
