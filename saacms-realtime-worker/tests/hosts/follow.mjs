// Follows a record by WebSocket, and prints each state and each record that is shown.
import { LiveRecord } from "@saacms/realtime/client";

const [url] = globalThis.Deno?.args ?? process.argv.slice(2);
const live = new LiveRecord(url, {
  transport: "websocket",
  load: () => "loaded",
  show: (record) => console.log(JSON.stringify(record)),
});
live.addEventListener("state", ({ detail }) => console.log(detail.state));
