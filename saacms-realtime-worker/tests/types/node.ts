// A host in Node, which knows no types of a Worker, and one that names every type of the plugin.
import { PublishError, SaacmsRealtimeDO, realtime } from "@saacms/realtime";
import type {
  DurableObjectIdLike,
  DurableObjectNamespaceLike,
  DurableObjectStubLike,
  RealtimeDOConfig,
  RealtimeEvent,
  RealtimeOptions,
  RealtimePublisher,
  RealtimePublisherInternal,
  RealtimeRouteContext,
} from "@saacms/realtime";

const config: RealtimeDOConfig = { retention: { maxEvents: 1, maxAgeMs: 1_000 }, heartbeatMs: 20, now: Date.now };
const object = new SaacmsRealtimeDO(config);
const id: DurableObjectIdLike = { toString: () => "1" };
const stub: DurableObjectStubLike = object;
const binding: DurableObjectNamespaceLike = { idFromName: () => id, get: () => stub };
const options: RealtimeOptions = { binding, bindingName: "SAACMS_REALTIME" };

/** saacms' type of a plugin, as far as hosts use it. */
interface PluginDef {
  readonly name: string;
  readonly version: string;
  readonly routes?: Readonly<Record<string, (context: any) => Response | Promise<Response>>>;
  readonly services?: Readonly<Record<string, unknown>>;
}
const plugin: PluginDef = realtime(options);
const publisher = plugin.services?.["realtime"] as RealtimePublisher;
const internal = publisher as RealtimePublisherInternal;
const context: RealtimeRouteContext = { req: { param: (name) => name } };
const response: Response | Promise<Response> | undefined = plugin.routes?.["GET /api/saacms/v1/:collection/:id/subscribe"]?.(context);

const events: RealtimeEvent[] = [
  { type: "snapshot", slug: "posts", id: "1", record: null },
  { type: "deleted", slug: "posts", id: "1" },
];
for (const event of events) {
  publisher.publish(event).catch((error: unknown) => {
    if (error instanceof PublishError) console.log(error.status, error.problem?.detail);
  });
}
internal.stop();
console.log(internal.__subscriberCount("posts", "1"), object.__bufferSize(), response);
