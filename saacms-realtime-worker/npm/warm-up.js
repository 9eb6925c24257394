// Runs the code of a first answer once, while an isolate starts.
//
// A runtime compiles each function of a WebAssembly module at its first call, which is most of what the
// first answer of an isolate takes. Platforms start an isolate before its first request has arrived.
import * as module from "./module.js";
import { guarded } from "./record.js";

/** Off is what needs a timer or a storage: neither is allowed outside of a request. */
const ENV = {
  SAACMS_REALTIME_STORAGE: "off",
  SAACMS_REALTIME_HEARTBEAT: "0",
  SAACMS_REALTIME_STALL_TIMEOUT: "0",
};

const HEADERS = { accept: "text/event-stream", "last-event-id": "v0" };

const EVENT = { type: "changed", slug: "posts", id: "1", record: { text: "x", list: [1, true, null] }, etag: "v1" };

const REQUEST = {
  method: "GET",
  url: "https://record/subscribe?passesIds",
  headers: { get: (name) => HEADERS[name.toLowerCase()] ?? null },
  signal: { addEventListener() {} },
};

export function warmUp() {
  try {
    guarded(() => {
      const object = new module.SaacmsRealtimeDO({ id: { name: "posts:1" } }, ENV);
      object.fetch(REQUEST);
      object.publish(new TextEncoder().encode(JSON.stringify(EVENT)).buffer);
      object.cutAll();
      object.free();
    });
  } catch {
    // The first answer then takes longer, and says what is wrong if something is.
  }
}
