// The browser client of saacms-realtime: a plain ES module without dependencies, for pages, workers and Node 20.
// Its types are in client.d.ts. The hub serves this file as `GET /client.js`, and beside it websocket.js, which is loaded
// only where `transport` asks for WebSockets.

const WAITING_AFTER = 5_000;   // a browser that has no free connection to the host queues the request
const POLLING_AFTER = 10_000;  // how long there may be no stream before `load` is called from time to time
const LOAD_TIMEOUT = 10_000;
const ANSWER_TIMEOUT = 60_000; // for the head of a stream
const STEADY_AFTER = 5_000;    // a stream that lasted this long ends the growth of pauses
const MAX_RETRY = 300_000;     // longest pause that a hub may ask for
const SILENT_HEARTBEATS = 2.5; // a connection without a byte for this long is dead

// Pauses double from `first` to `most`. Each is cut by up to half at random, so that clients do not return together.
const RECONNECT = { first: 1_000, most: 30_000 };
const AFTER_REFUSAL = { first: 15_000, most: 300_000 };
const RELOAD = { first: 1_000, most: 30_000 };
const POLL = { first: 5_000, most: 60_000 };

/** Statuses that say that the request itself is wrong. They get long pauses, because a retry rarely helps. */
const REFUSALS = new Set([400, 401, 403, 404, 406]);
const TRANSPORTS = new Set(['sse', 'websocket', 'auto']);
const EVENT_TYPES = new Set(['snapshot', 'changed', 'deleted']);

/**
 * Follows one record: shows each edit as it happens, until `close()`.
 *
 * Events carry the whole record. `load` fills the gaps: it is called when a stream begins without a last event ID, when
 * the hub says that events were lost, and at intervals while there is no stream.
 */
export class LiveRecord extends EventTarget {
  #url;
  #options;
  #clock;
  #random;
  #state = 'connecting';
  #lastEventId;

  #attempt;             // AbortController of the current attempt or stream
  #why = 'no answer yet'; // there is no stream
  #failures = 0;        // attempts in a row without a steady stream
  #pauseTimer;
  #isDown = false;      // whether the two timers of an outage run, or have run out
  #waitingTimer;
  #pollingTimer;
  #isPolling = false;

  #needed;              // why the record must be loaded; undefined while events keep it current
  #loading;             // AbortController of the current `load`; a late answer finds another one here
  #loads = 0;           // calls of `load` in a row, for the pause to the next one
  #loadTimer;
  #version;             // of the record that is shown, where `version` tells

  constructor(url, options) {
    super();
    for (const name of ['load', 'show']) {
      if (typeof options?.[name] !== 'function') throw new TypeError(`LiveRecord needs the function \`${name}\``);
    }
    const { transport = 'sse', WebSocket = globalThis.WebSocket } = options;
    if (!TRANSPORTS.has(transport)) throw new TypeError('`transport` must be "sse", "websocket" or "auto"');
    if (transport === 'websocket' && !WebSocket) throw new TypeError('there is no WebSocket here: use the transport "auto", or pass a class as `WebSocket`');
    if (transport === 'sse') this.#why += ': a browser with six streams to a host has no connection left';

    this.#url = String(url);
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#random = options.random ?? Math.random;
    this.#lastEventId = options.lastEventId ?? '';
    this.#startOutage();
    this.#run();
  }

  /** `connecting`, `live`, `waiting`, `polling`, `refused` or `closed`. */
  get state() { return this.#state; }

  /** The place from which the next stream resumes. Empty if there is none. */
  get lastEventId() { return this.#lastEventId; }

  /** Ends the stream and a running `load`. Nothing is shown after that. */
  close() {
    if (this.#isClosed) return;
    this.#endOutage();
    this.#cancelLoad();
    this.#clock.clearTimeout(this.#pauseTimer);
    this.#setState('closed');
    this.#attempt?.abort();
  }

  get #isClosed() { return this.#state === 'closed'; }

  // -- The stream -----------------------------------------------------------------------------------------------------

  async #run() {
    while (!this.#isClosed) {
      const { lasted, retry = 0, ...end } = await this.#follow();
      if (this.#isClosed) return;

      const isRefused = REFUSALS.has(end.status);
      if (lasted >= STEADY_AFTER) this.#failures = 0;
      const pause = this.#pause(isRefused ? AFTER_REFUSAL : RECONNECT, this.#failures);
      const told = Math.min(retry, MAX_RETRY) * (1 + this.#random() / 4);
      const retryIn = Math.max(pause, told);
      this.#failures += 1;
      this.#why = end.reason;

      this.#startOutage();
      this.#setState(isRefused ? 'refused' : this.#isPolling ? 'polling' : 'waiting', { ...end, retryIn });
      // A listener may have closed the record.
      if (this.#isClosed) return;
      await new Promise((resolve) => { this.#pauseTimer = this.#clock.setTimeout(resolve, retryIn); });
    }
  }

  /** Makes one attempt, and returns how it ended: `{ reason, status?, problem?, retry?, lasted }`. */
  async #follow() {
    const attempt = this.#attempt = new AbortController();
    const resumed = this.#lastEventId !== '';
    let began;    // when the stream began
    let retry;    // what the hub asked for on this stream
    let deadline; // of the next byte
    const expectByteWithin = (ms, reason) => {
      this.#clock.clearTimeout(deadline);
      if (ms) deadline = this.#clock.setTimeout(() => attempt.abort(new Error(reason)), ms);
    };
    const ended = (end) => ({ retry, lasted: began === undefined ? 0 : this.#clock.now() - began, ...end });

    try {
      expectByteWithin(ANSWER_TIMEOUT, 'the hub did not answer');
      const response = await this.#open(attempt.signal);
      if (!isStream(response)) return ended(await refusal(response));

      const heartbeat = Number(response.headers.get('saacms-heartbeat')) || 0;
      const silence = heartbeat * SILENT_HEARTBEATS;
      const parser = new Parser(this.#lastEventId);
      const reader = response.body.getReader();
      for (;;) {
        expectByteWithin(silence, `no byte for ${silence / 1000} s`);
        const { done, value } = await reader.read();
        attempt.signal.throwIfAborted();
        if (done) return ended({ reason: 'the stream ended' });

        for (const item of parser.push(value)) {
          if (item.retry !== undefined) {
            retry = item.retry;
            continue;
          }
          if (item.type === 'saacms-unavailable') return ended(unavailable(item.data));
          // Not at the head: a draining hub answers 200 too, with nothing but `retry:`.
          if (began === undefined) {
            began = this.#clock.now();
            this.#begin(resumed);
          }
          if (!this.#isClosed) this.#receive(item);
          if (this.#isClosed) return ended({ reason: 'closed' });
        }
      }
    } catch (error) {
      // The abort's own reason says more than what became of the request.
      const cause = attempt.signal.aborted ? attempt.signal.reason : error;
      return ended({ reason: cause.message });
    } finally {
      this.#clock.clearTimeout(deadline);
      // Frees the connection of an answer that was not read to its end.
      attempt.abort();
    }
  }

  async #open(signal) {
    const { transport = 'sse', WebSocket = globalThis.WebSocket } = this.#options;
    const fetchStream = () => this.#fetch(signal);
    if (transport === 'sse' || !WebSocket) return fetchStream();

    // A service worker cannot import it, and somebody may have copied this file alone.
    const sockets = await import('./websocket.js').catch((error) => { if (transport === 'websocket') throw error; });
    const attempt = { url: this.#url, lastEventId: this.#lastEventId, failures: this.#failures };
    const platform = { WebSocket, clock: this.#clock, signal };
    return sockets ? sockets.openStream({ transport, ...attempt, ...platform }, fetchStream) : fetchStream();
  }

  #fetch(signal) {
    const request = this.#options.fetch ?? fetch;
    // Naming the problem document asks for refusals as statuses, not within a stream.
    const headers = { Accept: 'text/event-stream, application/problem+json' };
    let url = this.#url;
    if (this.#lastEventId) {
      // A header is made of bytes. Those that it cannot hold go into the query.
      const id = String.fromCharCode(...new TextEncoder().encode(this.#lastEventId));
      if (/^[\x20-\x7e\x80-\xff]*$/.test(id)) headers['Last-Event-ID'] = id;
      else url += `${url.includes('?') ? '&' : '?'}lastEventId=${encodeURIComponent(this.#lastEventId)}`;
    }
    return request(url, { headers, signal, cache: 'no-store' });
  }

  /** The hub has registered this reader: from here on it gets every event. */
  #begin(resumed) {
    this.#endOutage();
    this.#setState('live');
    if (this.#isClosed) return;

    // What polling loads may be from before this stream, so a running load is of no use.
    if (!resumed) this.#needed ??= 'no-place';
    if (this.#needed) this.#load();
    else this.#cancelLoad();
  }

  #receive({ type, data, id }) {
    if (id !== undefined) this.#lastEventId = id;
    if (type === 'saacms-resync') {
      this.#needed = parse(data)?.reason ?? 'resync';
      this.#load();
    } else if (EVENT_TYPES.has(type)) {
      const record = type === 'deleted' ? null : parse(data);
      if (record === undefined) {
        this.#needed = 'unreadable';
        this.#load();
        return;
      }
      // It is whole, and newer than what a running load answers.
      this.#needed = undefined;
      this.#loads = 0;
      this.#cancelLoad();
      this.#show(record, { type, id, data });
    }
  }

  // -- Loading --------------------------------------------------------------------------------------------------------

  /** Calls `load`, in place of a call that is still running. */
  async #load() {
    this.#cancelLoad();
    const loading = this.#loading = new AbortController();
    const timeout = this.#clock.setTimeout(() => {
      loading.abort(new DOMException(`load took more than ${LOAD_TIMEOUT / 1000} s`, 'TimeoutError'));
    }, LOAD_TIMEOUT);
    const aborted = new Promise((_, reject) => {
      loading.signal.addEventListener('abort', () => reject(loading.signal.reason));
    });

    try {
      // Raced, because `load` need not heed its signal.
      const answer = (async () => this.#options.load({ signal: loading.signal, reason: this.#needed ?? 'polling' }))();
      const record = await Promise.race([answer, aborted]);
      if (this.#loading !== loading) return;
      this.#needed = undefined;
      this.#loads = this.#isPolling ? this.#loads : 0;
      if (record !== undefined) this.#showLoaded(record);
    } catch (error) {
      if (this.#loading !== loading) return;
      this.dispatchEvent(new CustomEvent('error', { detail: { error } }));
    } finally {
      this.#clock.clearTimeout(timeout);
    }
    // A listener, or what shows the record, may have closed it or begun another load.
    if (this.#loading !== loading) return;
    this.#loading = undefined;
    this.#loadLater();
  }

  #showLoaded(record) {
    // Without a stream, nobody knows where in the sequence of events this record is. The last place may lie before it,
    // and a replay from there would show older records again.
    if (this.#state !== 'live' && this.#lastEventId) {
      this.#lastEventId = '';
      this.#attempt.abort(new Error('its last event ID is out of date'));
    }
    this.#show(record, { type: 'loaded' });
  }

  #loadLater() {
    if (!this.#isPolling && !this.#needed) return;
    const pause = this.#pause(this.#isPolling ? POLL : RELOAD, this.#loads);
    this.#loads += 1;
    this.#loadTimer = this.#clock.setTimeout(() => this.#load(), pause);
  }

  #cancelLoad() {
    this.#clock.clearTimeout(this.#loadTimer);
    const loading = this.#loading;
    this.#loading = undefined;
    loading?.abort();
  }

  #show(record, event) {
    try {
      const version = record === null ? undefined : this.#options.version?.(record);
      // A load can be faster than the events of the edits that it found.
      if (version < this.#version) return;
      this.#version = version;
      this.#options.show(record, event);
    } catch (error) {
      report(error);
    }
  }

  // -- Outages --------------------------------------------------------------------------------------------------------

  #startOutage() {
    if (this.#isDown) return;
    this.#isDown = true;
    this.#waitingTimer = this.#clock.setTimeout(() => {
      if (this.#state === 'connecting') this.#setState('waiting', { reason: this.#why });
    }, WAITING_AFTER);
    this.#pollingTimer = this.#clock.setTimeout(() => {
      this.#isPolling = true;
      this.#loads = 0;
      // A refusal stays visible: polling does not mend it.
      if (this.#state !== 'refused') this.#setState('polling', { reason: this.#why });
      if (!this.#isClosed) this.#load();
    }, POLLING_AFTER);
  }

  #endOutage() {
    this.#isDown = false;
    this.#isPolling = false;
    this.#loads = 0;
    this.#clock.clearTimeout(this.#waitingTimer);
    this.#clock.clearTimeout(this.#pollingTimer);
  }

  #pause({ first, most }, failures) {
    return Math.min(most, first * 2 ** failures) * (1 - this.#random() / 2);
  }

  #setState(state, detail = {}) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent('state', { detail: { state, ...detail } }));
  }
}

/** Reads an event stream (WHATWG HTML, 9.2.6). */
class Parser {
  #decoder = new TextDecoder(); // drops a byte order mark at the beginning
  #text = '';                   // begins with the line that is not complete yet
  #searched = 0;                // up to here, `#text` has no line end
  #skipsLineFeed = false;       // the last line ended in CR; an LF would belong to it
  #type = '';
  #data = '';
  #id;                          // outlives its block, as in the standard
  #namesId = false;             // whether this block does

  constructor(lastEventId) { this.#id = lastEventId; }

  /** Yields what `bytes` complete: events `{ type, data, id }`, blocks of an ID alone `{ id }`, `{ retry }`, and comments `{}`. */
  * push(bytes) {
    this.#text += this.#decoder.decode(bytes, { stream: true });
    let start = 0;
    if (this.#skipsLineFeed && this.#text !== '') {
      if (this.#text[0] === '\n') start = 1;
      this.#skipsLineFeed = false;
    }

    const lineEnd = /\r\n|\n|\r/g;
    lineEnd.lastIndex = Math.max(start, this.#searched);
    for (let end; (end = lineEnd.exec(this.#text)); start = lineEnd.lastIndex) {
      const item = this.#line(this.#text.slice(start, end.index));
      if (item) yield item;
      this.#skipsLineFeed = end[0] === '\r' && lineEnd.lastIndex === this.#text.length;
    }
    this.#text = this.#text.slice(start);
    this.#searched = this.#text.length;
  }

  #line(line) {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return {};

    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') this.#type = value;
    else if (field === 'data') this.#data += `${value}\n`;
    else if (field === 'id' && !value.includes('\0')) [this.#id, this.#namesId] = [value, true];
    else if (field === 'retry' && /^\d+$/.test(value)) return { retry: Number(value) };
    return undefined;
  }

  #dispatch() {
    const { type, data, namesId } = { type: this.#type, data: this.#data, namesId: this.#namesId };
    this.#type = this.#data = '';
    this.#namesId = false;
    // A block without data is no event, but its ID counts.
    if (data === '') return namesId ? { id: this.#id } : undefined;
    return { type, data: data.slice(0, -1), id: this.#id };
  }
}

const SYSTEM_CLOCK = {
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

const mediaType = (response) => (response.headers.get('content-type') ?? '').split(';', 1)[0].trim().toLowerCase();
const isStream = (response) => response.status === 200 && mediaType(response) === 'text/event-stream';

/** Why an answer is no stream. */
async function refusal(response) {
  const { status, statusText } = response;
  const retry = Number(response.headers.get('retry-after')) * 1000 || undefined;
  const isProblem = mediaType(response) === 'application/problem+json';
  const problem = isProblem ? await response.json().catch(() => undefined) : undefined;
  const reason = problem?.detail ?? problem?.title ?? (response.ok ? 'the answer is not a stream' : `${status} ${statusText}`.trim());
  return { status, problem, reason, retry };
}

/** Why a stream says that it cannot go on. */
function unavailable(data) {
  const problem = parse(data);
  return { status: problem?.status, problem, reason: problem?.detail ?? problem?.title ?? 'the hub is unavailable' };
}

function parse(json) {
  try { return JSON.parse(json); } catch { return undefined; }
}

/** Reports an exception of the application as one that nobody caught, without ending the stream. */
function report(error) {
  if (typeof reportError === 'function') reportError(error);
  else queueMicrotask(() => { throw error; });
}
