// A world without a network and without time of its own: a clock that tests move, and a hub that they speak for.

import { LiveRecord } from '../../client/client.js';

export const URL = 'http://hub.example/api/saacms/v1/posts/1/subscribe';
export const HEARTBEAT = 1_000;

/** Lets everything run that does not wait for the clock. */
export async function settle() {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => { setImmediate(resolve); });
}

export class FakeClock {
  #now = 0;
  #timers = new Map();
  #serial = 0;

  now() { return this.#now; }
  setTimeout(run, ms) { this.#timers.set(this.#serial += 1, { at: this.#now + ms, run }); return this.#serial; }
  clearTimeout(timer) { this.#timers.delete(timer); }
  get waiting() { return this.#timers.size; }

  /** Moves on by `ms`, and runs each timer at its time. */
  async advance(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const [next] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      const [timer, { at, run }] = next;
      this.#timers.delete(timer);
      this.#now = at;
      run();
      await settle();
    }
    this.#now = end;
  }
}

/** One request of the client, which the test answers. */
class Exchange {
  #resolve;
  #reject;
  #body;

  constructor(at, init) {
    this.at = at;
    this.headers = new Headers(init.headers);
    this.signal = init.signal;
    this.response = new Promise((resolve, reject) => { [this.#resolve, this.#reject] = [resolve, reject]; });
    this.signal.addEventListener('abort', () => {
      this.#reject(this.signal.reason);
      try { this.#body?.error(this.signal.reason); } catch { /* it has ended */ }
    });
  }

  get lastEventId() { return this.headers.get('last-event-id'); }

  async answer(status, { headers, body } = {}) {
    this.#resolve(new Response(body, { status, headers }));
    await settle();
  }

  problem(status, detail, headers) {
    const body = JSON.stringify({ type: 'about:blank', title: 'A title', status, detail });
    return this.answer(status, { headers: { 'Content-Type': 'application/problem+json', ...headers }, body });
  }

  /** Opens a stream with the greeting, or with another `begin`. */
  async open(begin = ':keepalive\n\n', headers = { 'Saacms-Heartbeat': String(HEARTBEAT) }) {
    const body = new ReadableStream({ start: (controller) => { this.#body = controller; } });
    await this.answer(200, { headers: { 'Content-Type': 'text/event-stream', ...headers }, body });
    await this.send(begin);
  }

  async send(bytes) {
    this.#body.enqueue(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
    await settle();
  }

  event(type, id, record) { return this.send(frame(type, id, record)); }
  resync(reason, id) { return this.send(frame('saacms-resync', id, { reason })); }
  async end() { this.#body.close(); await settle(); }
  async break() { this.#body.error(new TypeError('network error')); await settle(); }
  async fail() { this.#reject(new TypeError('fetch failed')); await settle(); }
}

export const frame = (type, id, record) => `event: ${type}\nid: ${id}\ndata: ${JSON.stringify(record)}\n\n`;

/** A `load` that waits for the test's answer. */
class Load {
  constructor(at, { signal, reason }) {
    Object.assign(this, { at, signal, reason });
    this.answered = new Promise((resolve, reject) => { Object.assign(this, { resolve, reject }); });
  }

  async answer(record) { this.resolve(record); await settle(); }
  async fail(error = new Error('the store is down')) { this.reject(error); await settle(); }
}

/** One WebSocket of the client, for whose other end the test speaks. `send` and `close` are what the client calls. */
class Socket {
  binaryType = 'blob';
  isClosed = false;
  sent = [];
  #isOpen = false;

  constructor(at, url) { Object.assign(this, { at, url }); }

  send(text) {
    if (!this.#isOpen) throw new DOMException('it is not open', 'InvalidStateError');
    this.sent.push(text);
  }

  close() { this.isClosed = true; }

  /** Opens it, and sends the greeting or another text. */
  async open(begin = ':keepalive\n\n') {
    await this.accept();
    await this.message(begin);
  }

  async accept() { this.#isOpen = true; await settle(); }
  async message(data) { this.onmessage?.({ data }); await settle(); }
  event(type, id, record) { return this.message(frame(type, id, record)); }
  async end(code, reason = '') { this.onclose?.({ code, reason }); await settle(); }
  async break() { this.onerror?.({}); await this.end(1006); }
}

/** A client in its world. `random` 0 gives the longest pauses: 1, 2, 4 ... seconds. */
export class World {
  clock = new FakeClock();
  requests = [];
  sockets = [];
  loads = [];
  shown = [];
  states = [];
  errors = [];
  random = 0;

  constructor({ url = URL, ...options } = {}) {
    const { clock, sockets } = this;
    this.record = new LiveRecord(url, {
      load: (request) => {
        this.loads.push(new Load(this.clock.now(), request));
        return this.loads.at(-1).answered;
      },
      show: (record, from) => this.shown.push({ record, ...from }),
      fetch: (url, init) => {
        const exchange = new Exchange(this.clock.now(), init);
        exchange.url = url;
        this.requests.push(exchange);
        return exchange.response;
      },
      WebSocket: class extends Socket {
        constructor(url) {
          super(clock.now(), url);
          sockets.push(this);
        }
      },
      clock,
      random: () => this.random,
      ...options,
    });
    this.record.addEventListener('state', ({ detail }) => this.states.push(detail));
    this.record.addEventListener('error', ({ detail }) => this.errors.push(detail.error));
  }

  /** The newest request, the newest WebSocket, and the newest `load`. */
  get request() { return this.requests.at(-1); }
  get socket() { return this.sockets.at(-1); }
  get load() { return this.loads.at(-1); }
  get records() { return this.shown.map(({ record }) => record); }

  /** A client that is live and has shown the event `v1`. */
  static async live(options) {
    const world = new World(options);
    await world.request.open();
    await world.request.event('changed', 'v1', { n: 1 });
    return world;
  }
}
