/** The state of a {@link LiveRecord}. */
export type LiveState =
  /** The first attempt is on its way. */
  | 'connecting'
  /** Edits arrive as they happen. */
  | 'live'
  /** There is no stream; the client tries again by itself. */
  | 'waiting'
  /** There has been no stream for 10 seconds: `load` is called at growing intervals. The client still tries. */
  | 'polling'
  /** The hub refused with 400, 401, 403, 404 or 406. The client still tries, but rarely. */
  | 'refused'
  /** `close()` was called. */
  | 'closed';

/** What an event `state` says: the state, and why there is no stream. It is also fired for each attempt that fails. */
export interface StateDetail {
  state: LiveState;
  /** For people: the problem's text, where the hub gave one. */
  reason?: string;
  /** The status of the answer, where there was one. */
  status?: number;
  /** The problem document (RFC 9457), where there was one. */
  problem?: { type?: string; title?: string; status?: number; detail?: string; [member: string]: unknown };
  /** Milliseconds until the next attempt. */
  retryIn?: number;
}

/** Where a record that is shown comes from. */
export type Shown =
  /** An event. `data` is its JSON text, with numbers as they were written. */
  | { type: 'snapshot' | 'changed' | 'deleted'; id: string; data: string }
  /** `load`. */
  | { type: 'loaded' };

/** What `load` is called with. */
export interface LoadRequest {
  /** Aborted after 10 seconds, when an event makes the answer obsolete, and by `close()`. */
  signal: AbortSignal;
  /**
   * Why: `no-place` (the stream began without a last event ID), `polling` (there is no stream), `unreadable` (an event
   * was not JSON), or the reason of the hub's resync, such as `buffer-miss` or `restarted`.
   */
  reason: string;
}

export interface LiveRecordOptions<T> {
  /**
   * Loads the record from where it is stored. `null` means that it does not exist, `undefined` that there is nothing to
   * show. It is called again after a while if it fails. At most one call is awaited at a time.
   */
  load(request: LoadRequest): T | null | undefined | Promise<T | null | undefined>;
  /** Shows the record; `null` where it is deleted. */
  show(record: T | null, from: Shown): void;
  /**
   * A value of the record that grows with each edit: a revision, a time. With it, a record that is older than the one
   * on screen is never shown. Without it, that can happen for the moment by which an event is later than the answer of
   * a `load` that found its edit.
   */
  version?(record: T): number | bigint | string | Date | undefined;
  /** Where to begin, for a page that comes with its record: nothing is loaded at first. */
  lastEventId?: string;
  /**
   * How edits arrive; `sse` unless given. The events are the same, and so are places and resyncs.
   *
   * - `sse`: an event stream over HTTP, which every hub serves.
   * - `websocket`: a WebSocket, which a Worker serves: its object sleeps meanwhile, and is not billed for that. A hub of
   *   another kind serves none.
   * - `auto`: a WebSocket, and an event stream where there is none: the platform lacks `WebSocket`, or the hub, a proxy
   *   or the page's policy refuses it, or no message comes within 8 seconds. If the hub then answers with an event
   *   stream, all records of that hub use event streams from there on, until the page is loaded again. Where a WebSocket
   *   has worked before, it is tried three times more.
   *
   * A WebSocket sends cookies as the browser decides, and no headers; `fetch` is not asked. `websocket` throws where the
   * platform has no `WebSocket` (Node has it from 22 on).
   */
  transport?: LiveTransport;
  /** Used instead of the platform's `WebSocket`: that of a library where there is none, as in Node 20. */
  WebSocket?: new (url: string) => LiveSocket;
  /** Used instead of `fetch`, to add credentials or headers. It must pass the signal and the headers on. */
  fetch?(url: string, init: RequestInit): Promise<Response>;
  /** For tests. */
  clock?: LiveClock;
  /** For tests: used instead of `Math.random`. */
  random?(): number;
}

export type LiveTransport = 'sse' | 'websocket' | 'auto';

/** What a client uses of a `WebSocket`. */
export interface LiveSocket {
  binaryType: string;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(): void;
}

/** Time, as a client reads it. */
export interface LiveClock {
  /** Milliseconds since any moment. */
  now(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

export interface LiveRecordEventMap {
  state: CustomEvent<StateDetail>;
  /** A `load` failed or took too long. */
  error: CustomEvent<{ error: unknown }>;
}

/** Follows one record: shows each edit as it happens, until `close()`. */
export class LiveRecord<T = any> extends EventTarget {
  /** `url` is that of the record's stream: `.../{collection}/{id}/subscribe`. */
  constructor(url: string | URL, options: LiveRecordOptions<T>);
  readonly state: LiveState;
  /** The place from which the next stream resumes. Empty if there is none. */
  readonly lastEventId: string;
  /** Ends the stream and a running `load`. Nothing is shown after that. */
  close(): void;

  addEventListener<K extends keyof LiveRecordEventMap>(
    type: K, listener: (this: LiveRecord<T>, event: LiveRecordEventMap[K]) => void, options?: Parameters<EventTarget['addEventListener']>[2],
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: Parameters<EventTarget['addEventListener']>[2]): void;
  removeEventListener<K extends keyof LiveRecordEventMap>(
    type: K, listener: (this: LiveRecord<T>, event: LiveRecordEventMap[K]) => void, options?: Parameters<EventTarget['removeEventListener']>[2],
  ): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: Parameters<EventTarget['removeEventListener']>[2]): void;
}
