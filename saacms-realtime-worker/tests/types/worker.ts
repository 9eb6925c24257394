// A Worker, typed as wrangler types it: a stub of the class has its methods.
import { LiveRecord } from "@saacms/realtime/client";
import worker, { SaacmsRealtimeDO, publish, realtime, subscribe } from "@saacms/realtime";
import type { DurableObjectNamespaceLike, RealtimeEvent, RealtimePlugin, RealtimePublisherInternal } from "@saacms/realtime";

interface Env {
  SAACMS_REALTIME: DurableObjectNamespace<SaacmsRealtimeDO>;
  MINE: DurableObjectNamespace<Mine>;
}

export { SaacmsRealtimeDO };

export class Mine extends SaacmsRealtimeDO {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, { ...env, SAACMS_REALTIME_EVENT_IDS: "position", retention: { maxEvents: 500, maxAgeMs: 60_000 } });
  }

  async count(): Promise<number> {
    return this.__subscriberCount();
  }
}

const event: RealtimeEvent = { type: "changed", slug: "posts", id: "1", record: { title: "x" }, etag: "v1" };

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const binding: DurableObjectNamespaceLike = env.SAACMS_REALTIME;
    const plugin: RealtimePlugin = realtime({ binding, retention: { maxEvents: 5 }, heartbeatMs: 1_000, onRefused: "warn" });
    await plugin.services.realtime.publish(event);
    const internal: RealtimePublisherInternal = plugin.services.realtime;
    internal.__subscriberCount("posts", "1");

    const stub = env.SAACMS_REALTIME.get(env.SAACMS_REALTIME.idFromName("posts:1"));
    await stub.publish(event);
    const answer: Response = await stub.fetch(request);
    await stub.drain();
    const count: number = await env.MINE.get(env.MINE.idFromName("posts:1")).count();

    // @ts-expect-error: no such type of event
    await publish(env, { type: "created", slug: "posts", id: "1", record: count });
    if (new URL(request.url).pathname === "/api") return worker.fetch(request, env, ctx);
    return answer.ok ? subscribe(request, env, "posts", "1") : answer;
  },
} satisfies ExportedHandler<Env>;

export const live = (url: URL) => new LiveRecord<{ title: string }>(url, { load: () => null, show: (record) => void record?.title });
