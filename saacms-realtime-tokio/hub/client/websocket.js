// Streams over a WebSocket. client.js loads this module only where its option `transport` asks for that.
//
// An object of a Worker sleeps while it has nothing but WebSockets, and is billed only for what it does. Their messages
// carry the text of an event stream, so what is here looks to the client as the answer to a request does.

const FIRST_WITHIN = 8_000;    // some proxies open a WebSocket, and then pass nothing on
const PING_EVERY = 30_000;
const READ_STEP = 256 * 1024;  // bytes after which the object is told how many were read
const FALL_BACK_AFTER = 3;     // failures in a row, where WebSockets have worked before

/** The platform answers a ping with this, so that the object can sleep. The object does not count it as sent. */
const ANSWER_TO_PING = ':keepalive\n\n';

/** Which hosts have WebSockets, by the URL that all records of an API begin with. Kept as long as the page lives. */
const hosts = new Map();

/** Codes with which a WebSocket closes as a stream ends: done, going away, none. */
const PLANNED = new Set([1000, 1001, 1005]);

/**
 * Opens a stream: by WebSocket, or by `fetchStream` where `transport` is `auto` and no WebSocket opens.
 *
 * A host is remembered as one without WebSockets only if it then answers with an event stream, so an outage does not
 * count. Where a WebSocket has worked before, a failure is probably a restart. There, some attempts fail before an event
 * stream is opened, because that would keep the object awake for as long as the page lives.
 */
export async function openStream({ transport, url, lastEventId, failures, ...platform }, fetchStream) {
  platform.signal.throwIfAborted();
  const address = socketAddress(url, lastEventId);
  const host = hostOf(address);
  const isOnlyWay = transport === 'websocket';
  if (host.hasNone && !isOnlyWay) return fetchStream();

  try {
    const response = await new SocketStream(address, platform).response;
    host.hasWorked = true;
    return response;
  } catch (error) {
    platform.signal.throwIfAborted();
    const isRestart = host.hasWorked && failures < FALL_BACK_AFTER;
    if (isOnlyWay || isRestart) throw error;
  }
  const response = await fetchStream();
  host.hasNone = response.ok && response.headers.get('content-type')?.startsWith('text/event-stream');
  return response;
}

function hostOf(address) {
  // Of .../{collection}/{id}/subscribe.
  const base = new URL('../..', address).href;
  if (!hosts.has(base)) hosts.set(base, { hasWorked: false, hasNone: false });
  return hosts.get(base);
}

function socketAddress(url, lastEventId) {
  const address = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
  address.protocol = address.protocol.replace('http', 'ws');
  address.hash = '';
  // A browser sets no headers on a WebSocket.
  if (lastEventId) address.search += `${address.search ? '&' : '?'}lastEventId=${encodeURIComponent(lastEventId)}`;
  return address;
}

/** A WebSocket as the response to a request, whose body has the bytes that its messages carry. */
class SocketStream {
  #socket;
  #clock;
  #resolve;
  #reject;
  #stream;
  #body;            // controller of `#stream`
  #timer;           // ends the wait for the first message; after that, sends the next ping
  #isOpen = false;
  #read = 0;        // bytes of the object's messages
  #toldRead = 0;    // how many of these the object knows of

  constructor(address, { WebSocket, clock, signal }) {
    this.#clock = clock;
    this.#stream = new ReadableStream({ start: (controller) => { this.#body = controller; } });
    /** Resolves at the first message. Rejects if the socket ends before. */
    this.response = new Promise((resolve, reject) => { [this.#resolve, this.#reject] = [resolve, reject]; });

    // Throws where the page may not open it, before anything waits.
    this.#socket = new WebSocket(address.href);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    // In a browser the error says nothing, so that pages learn nothing about other hosts.
    this.#socket.onerror = ({ message }) => this.#end(new Error(`the WebSocket failed${message ? `: ${message}` : ''}`));
    this.#timer = clock.setTimeout(() => this.#end(new Error(`the WebSocket said nothing within ${FIRST_WITHIN / 1000} s`)), FIRST_WITHIN);
    signal.addEventListener('abort', () => this.#end(signal.reason));
  }

  #receive(data) {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data);
    this.#body.enqueue(bytes);
    if (!this.#isOpen) this.#open();

    if (data !== ANSWER_TO_PING) this.#read += bytes.length;
    if (this.#read - this.#toldRead < READ_STEP) return;
    this.#toldRead = this.#read;
    this.#socket.send(`read ${this.#read}`);
  }

  #open() {
    this.#isOpen = true;
    this.#clock.clearTimeout(this.#timer);
    this.#pingLater();
    const headers = { 'Content-Type': 'text/event-stream', 'Saacms-Heartbeat': String(PING_EVERY) };
    this.#resolve(new Response(this.#stream, { headers }));
  }

  #pingLater() {
    this.#timer = this.#clock.setTimeout(() => {
      this.#socket.send('ping');
      this.#pingLater();
    }, PING_EVERY);
  }

  #closed(code, reason) {
    const isPlanned = this.#isOpen && PLANNED.has(code);
    this.#end(isPlanned ? undefined : new Error(reason || `the WebSocket ended with code ${code}`));
  }

  /** Ends the response, normally where there is no error. */
  #end(error) {
    this.#clock.clearTimeout(this.#timer);
    this.#socket.onmessage = this.#socket.onclose = null;
    // npm's `ws` throws an error that nobody listens for, and makes one if it is closed while it opens.
    this.#socket.onerror = () => {};
    this.#socket.close();
    if (error) this.#body.error(error);
    else this.#body.close();
    this.#reject(error);
  }
}
