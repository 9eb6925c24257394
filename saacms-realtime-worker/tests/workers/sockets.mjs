// The package's Worker with classes of several settings, and a count of how often each object was made:
// one that was evicted is made again at its next event.
import worker, { SaacmsRealtimeDO as Base } from "./index.js";

const lives = {};

const withSettings = (settings) =>
  class extends Base {
    constructor(ctx, env) {
      super(ctx, { ...env, ...settings });
      lives[ctx.id.name] = (lives[ctx.id.name] ?? 0) + 1;
    }

    count() {
      return this.__subscriberCount();
    }
  };

export class SaacmsRealtimeDO extends withSettings({}) {}
/** Has WebSockets of its own, too, which it answers with what they send. */
export class Mixed extends withSettings({}) {
  fetch(request) {
    if (!request.url.includes("/own")) return super.fetch(request);
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return Promise.resolve(new Response(null, { status: 101, webSocket: client }));
  }

  webSocketMessage(socket, message) {
    super.webSocketMessage(socket, message);
    if (this.ctx.getTags(socket).length === 0) socket.send(`${message} ${this.__subscriberCount()}`);
  }
}

export class InMemory extends withSettings({ SAACMS_REALTIME_STORAGE: "off" }) {}
export class Few extends withSettings({ SAACMS_REALTIME_MAX_SUBSCRIBERS_PER_TOPIC: "3" }) {}
export class Impatient extends withSettings({ SAACMS_REALTIME_STALL_TIMEOUT: "1s" }) {}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const [, what, binding, id] = pathname.split("/");
    const stub = () => env[binding].get(env[binding].idFromName(`posts:${id}`));
    if (what === "lives") return Response.json(lives[`posts:${id}`] ?? 0);
    if (what === "count") return Response.json(await stub().count());
    if (what === "own") return stub().fetch(request);
    if (what === "drain") {
      await stub().drain();
      return new Response(null, { status: 204 });
    }
    // By the path of the API, at the class of the first segment.
    const url = request.url.replace(`/${what}/`, "/");
    return worker.fetch(new Request(url, request), { ...env, SAACMS_REALTIME: env[what] });
  },
};
