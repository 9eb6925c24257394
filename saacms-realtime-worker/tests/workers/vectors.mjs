// Runs golden cases against the real object in the real runtime, with a clock that only steps
// advance. A case is posted as JSON; the answer has the output of every step.
import { SaacmsRealtimeDO as Inner } from "./index.js";

let now = 0;
let timers = [];
let timerCount = 0;
const realTimeout = setTimeout;
Date.now = () => now;
globalThis.setTimeout = (run, millis) => {
  timers.push({ id: ++timerCount, at: now + millis, run });
  return timerCount;
};
globalThis.clearTimeout = (id) => {
  timers = timers.filter((timer) => timer.id !== id);
};

/** Waits until all pending work is done. */
async function settle() {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => realTimeout(resolve, 0));
}

class Reader {
  bytes = "";
  #reader;
  #decoder = new TextDecoder();

  constructor(body) {
    this.#reader = body.getReader();
    this.done = this.#run().catch(() => {});
  }

  async #run() {
    for (;;) {
      const { value, done } = await this.#reader.read();
      if (done) return;
      this.bytes += this.#decoder.decode(value, { stream: true });
    }
  }

  take() {
    const { bytes } = this;
    this.bytes = "";
    return bytes;
  }

  cancel() {
    return this.#reader.cancel();
  }
}

/** The messages of a WebSocket, as a reader has the bytes of a stream. */
class SocketReader {
  bytes = "";
  #socket;

  constructor(socket) {
    this.#socket = socket;
    socket.accept();
    socket.addEventListener("message", ({ data }) => (this.bytes += data));
  }

  take() {
    const { bytes } = this;
    this.bytes = "";
    return bytes;
  }

  cancel() {
    this.#socket.close(1000, "");
  }
}

export class SaacmsRealtimeDO {
  #inner;

  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }

  webSocketMessage(socket, message) {
    this.#inner.webSocketMessage(socket, message);
  }

  webSocketClose(socket) {
    this.#inner.webSocketClose(socket);
  }

  /** The state without a name: the key comes from the first event, because the name of a case means nothing. */
  get #state() {
    const { ctx } = this;
    const names = ["acceptWebSocket", "getWebSockets", "setWebSocketAutoResponse", "getWebSocketAutoResponseTimestamp"];
    const calls = names.map((name) => [name, (...parts) => ctx[name](...parts)]);
    return { id: {}, storage: ctx.storage, ...Object.fromEntries(calls) };
  }

  async fetch(request) {
    const { config, start_ms, steps, ours, websocket } = await request.json();
    now = start_ms;
    timers = [];
    const env = {
      SAACMS_REALTIME_MAX_EVENTS: config.max_events,
      SAACMS_REALTIME_MAX_AGE: `${config.max_age_ms}ms`,
      SAACMS_REALTIME_HEARTBEAT: `${config.heartbeat_ms}ms`,
      SAACMS_REALTIME_STALL_TIMEOUT: "0",
      // What the plugin lacks is off, unless a case runs with our defaults.
      SAACMS_REALTIME_QUIET_RESUME: String(ours),
      SAACMS_REALTIME_GREETING: String(ours),
      ...this.env,
    };

    const object = new Inner(this.#state, env);
    this.#inner = object;
    const readers = new Map();
    const results = [];
    for (const step of steps) {
      const result = { out: {} };
      if (step.op === "publish" || step.op === "request") {
        const { method = "POST", path = "/publish", headers = {}, body } = step.request ?? { body: step.event };
        const response = await object.fetch(new Request(`https://do${path}`, { method, headers, body }));
        result.status = response.status;
        result.headers = Object.fromEntries(response.headers);
        if (response.headers.get("content-type") === "text/event-stream" && response.body) {
          readers.set("request", new Reader(response.body));
        } else {
          result.body = await response.text();
        }
      } else if (step.op === "subscribe") {
        const headers = { Accept: "text/event-stream" };
        if (step.last_event_id !== null) headers["Last-Event-ID"] = step.last_event_id;
        if (websocket) headers.Upgrade = "websocket";
        const response = await object.fetch(new Request("https://do/subscribe", { headers }));
        readers.set(step.sub, websocket ? new SocketReader(response.webSocket) : new Reader(response.body));
      } else if (step.op === "cancel") {
        await readers.get(step.sub)?.cancel();
      } else if (step.op === "advance") {
        const end = now + step.ms;
        for (;;) {
          const due = timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
          if (due === undefined) break;
          timers = timers.filter((timer) => timer !== due);
          now = Math.max(now, due.at);
          due.run();
          await settle();
        }
        now = end;
      } else if (step.op === "jump") {
        now += step.ms;
      }

      await settle();
      for (const [name, reader] of readers) {
        const bytes = reader.take();
        if (bytes !== "") result.out[name] = bytes;
      }

      result.timers = timers.length;
      results.push(result);
    }

    for (const reader of readers.values()) await reader.cancel();
    return Response.json(results);
  }
}

export default {
  fetch(request, env) {
    const name = new URL(request.url).pathname;
    return env.SAACMS_REALTIME.get(env.SAACMS_REALTIME.idFromName(name)).fetch(request);
  },
};
