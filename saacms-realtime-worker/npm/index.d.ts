/** What a route handler is given: Hono's context, or anything that has this part of it. */
export interface RealtimeRouteContext {
  readonly req: {
    param(name: string): string | undefined;
  };
}

/** The part of a Worker's `DurableObjectId` that the package uses. */
export interface DurableObjectIdLike {
  toString(): string;
  readonly name?: string;
}

/** The part of a Worker's `DurableObjectStub` that the package uses. */
export interface DurableObjectStubLike {
  fetch(request: Request): Promise<Response>;
}

/** The part of a Worker's `DurableObjectNamespace` that the package uses. */
export interface DurableObjectNamespaceLike {
  idFromName(name: string): DurableObjectIdLike;
  get(id: DurableObjectIdLike): DurableObjectStubLike;
}

/** How much of a record's history a client that reconnects can be replayed. */
export interface RealtimeRetention {
  /** The number of events. Default 100. */
  readonly maxEvents?: number;
  /** Their age in milliseconds. Default 3,600,000: one hour. */
  readonly maxAgeMs?: number;
}

export interface RealtimeOptions {
  /** The binding to the Durable Objects. Without one, this process serves the records. */
  readonly binding?: DurableObjectNamespaceLike;
  /** The name of the binding in a Worker's environment, in place of `binding`. */
  readonly bindingName?: string;
  /** Wins over the object's variables. */
  readonly retention?: RealtimeRetention;
  /** Silence in milliseconds after which a stream gets a comment; 0 = never. Default 30,000. Wins over the object's variable. */
  readonly heartbeatMs?: number;
  /** What `publish` does with an event that is refused: reject, or log it. Default `"throw"`. */
  readonly onRefused?: "throw" | "warn";
}

/** A change of a record. */
export type RealtimeEvent =
  | { readonly type: "snapshot"; readonly slug: string; readonly id: string; readonly record: unknown; readonly etag?: string }
  | { readonly type: "changed"; readonly slug: string; readonly id: string; readonly record: unknown; readonly etag?: string }
  | { readonly type: "deleted"; readonly slug: string; readonly id: string };

export interface RealtimePublisher {
  /** Sends an event to the clients of its record. Rejects with a {@link PublishError} if it is refused. */
  publish(event: RealtimeEvent): Promise<void>;
  /** Ends heartbeats. Streams stay open and get events. */
  stop(): void;
}

/** For tests of a host. */
export interface RealtimePublisherInternal extends RealtimePublisher {
  /** The open streams of a record in this process; 0 with a binding. */
  __subscriberCount(slug: string, id: string): number;
}

/** The plugin, in the shape of saacms' `PluginDef`. */
export interface RealtimePlugin {
  readonly name: string;
  readonly version: string;
  readonly routes: Readonly<Record<string, (context: RealtimeRouteContext) => Response | Promise<Response>>>;
  readonly services: { readonly realtime: RealtimePublisherInternal };
}

/** Creates the plugin. Two plugins without a binding share nothing. */
export declare function realtime(options?: RealtimeOptions): RealtimePlugin;

/** Answers a client's request by the stream of a record, for hosts without the plugin. */
export declare function subscribe(request: Request, env: unknown, slug: string, id: string): Promise<Response>;

/** Publishes an event, for hosts without the plugin. Rejects with a {@link PublishError} if it is refused. */
export declare function publish(env: unknown, event: RealtimeEvent): Promise<void>;

/** An event was refused. */
export declare class PublishError extends Error {
  readonly name: "PublishError";
  /** The status of the refusal. */
  readonly status: number;
  /** The problem document (RFC 9457), where there was one. */
  readonly problem?: {
    readonly type: string;
    readonly title: string;
    readonly status: number;
    readonly detail: string;
  };
}

/** Options of an object that is made by hand. */
export interface RealtimeDOConfig {
  readonly retention?: RealtimeRetention;
  readonly heartbeatMs?: number;
  /** The clock, in milliseconds since 1970. Ages, IDs and heartbeats follow it. */
  readonly now?: () => number;
}

/**
 * The Durable Object of one record: its ring of events and its open streams.
 *
 * Settings are variables of the environment, all optional; see the package's README. A subclass passes
 * others on: `super(ctx, { ...env, retention: { maxEvents: 500 } })`.
 */
export declare class SaacmsRealtimeDO {
  /** Made by the platform. */
  constructor(ctx: object, env: unknown);
  /** Made by hand: without storage. */
  constructor(config?: RealtimeDOConfig);

  /** `GET …/subscribe` answers with the event stream, `POST …/publish` with 204. */
  fetch(request: Request): Promise<Response>;
  /** Publishes an event. Rejects if it is refused; the reason is in the message. */
  publish(event: RealtimeEvent): Promise<void>;
  /** Forgets stored events that are too old. The platform calls it. */
  alarm(): void;
  /** Handles a message of a WebSocket's client. The platform calls it, also to wake the object. */
  webSocketMessage(socket: object, message: string | ArrayBuffer): void;
  /** Handles that a WebSocket's client is gone. The platform calls it. */
  webSocketClose(socket: object, code?: number, reason?: string, wasClean?: boolean): void;
  /** Handles that a WebSocket has failed. The platform calls it. */
  webSocketError(socket: object, error?: unknown): void;
  /** Ends every stream and WebSocket with a farewell, after which its client comes back. */
  drain(): void;
  /** Ends heartbeats until the next stream is opened. WebSockets have none. */
  stop(): void;
  /** The number of open streams and WebSockets. */
  __subscriberCount(): number;
  /** Whether a timer waits for a heartbeat. */
  __heartbeatActive(): boolean;
  /** The number of events that a client can be replayed. */
  __bufferSize(): number;

  /** Tells the types of a Worker that a stub of this class has its methods. There is no such property. */
  readonly __DURABLE_OBJECT_BRAND: never;
}

/** A whole Worker: the HTTP API in front of the objects. */
declare const worker: {
  fetch(request: Request, env: unknown, ctx?: unknown): Promise<Response>;
};
export default worker;
