// What a client's request says, from whatever the host's framework gives a handler.

const PLAIN = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** A header or query of a request as percent-encoded bytes. */
function encoded(text) {
  // Node hands a header over as one character per byte, workerd as text.
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const isBytes = [...text].every((character) => character.charCodeAt(0) <= 0xff) && isUtf8(bytes);
  return [...(isBytes ? bytes : new TextEncoder().encode(text))]
    .map((byte) => `%${byte.toString(16).padStart(2, "0")}`)
    .join("");
}

function isUtf8(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

const queryOf = (url) => /[?&]lastEventId(?:=([^&#]*))?(?=[&#]|$)/.exec(url ?? "");

/** The host and port of a URL; `undefined` if no request can be sent there. */
function hostOf(url) {
  const host = /^[a-z]+:\/\/([\w.:[\]-]+)(?=[/?#]|$)/i.exec(url ?? "")?.[1];
  try {
    // Not `canParse`, which a Worker of an old compatibility date does not have.
    new URL(`https://${host}`);
    return host;
  } catch {
    return undefined;
  }
}

/**
 * The client of a request.
 *
 * @returns `accept`; the last event ID as `header` if that can carry it, otherwise percent-encoded as
 *   `query`, or neither; `signal` and `method`. Of a GET that asks for a WebSocket also `upgrade`, and
 *   the `page` that it is from: its `origin`, and the `host` that it addresses.
 */
function client(header, url, { signal, method = "GET" } = {}) {
  // The reply to a client that reads problem documents is a status, not a stream that says it.
  const accept = header("accept") ?? "";
  const found = { accept: /text\/event-stream/i.test(accept) ? accept : "text/event-stream", signal, passesIds: true };
  if (method === "HEAD") found.method = method;
  // Of any other request, the runtime fails where the object is asked for one.
  if (method === "GET" && /(^|,)\s*websocket\s*(,|$)/i.test(header("upgrade") ?? "")) {
    found.upgrade = "websocket";
    found.page = { origin: header("origin") ?? undefined, host: hostOf(`x://${header("host") ?? ""}`) ?? hostOf(url) };
  }

  const last = header("last-event-id");
  const query = queryOf(url);
  if (typeof last === "string") {
    if (PLAIN.test(last)) found.header = last;
    else found.query = encoded(last);
  } else if (query !== null) {
    found.query = query[1] ?? "";
  }
  return found;
}

/** The client of a `Request`. */
export function clientOfRequest(request) {
  const { method, url } = request;
  // Deno warns of each use of a signal, and cancels the stream of a client that is gone.
  const signal = globalThis.Deno === undefined ? request.signal : undefined;
  return client((name) => request.headers.get(name), url, { method, signal });
}

/**
 * The client of a handler's context: Hono's, or less. `undefined` if it gives nothing but the
 * parameters of the route.
 */
export function clientOfContext({ req }) {
  const raw = typeof req.raw?.headers?.get === "function" ? req.raw : req;
  if (typeof raw.headers?.get === "function") return clientOfRequest(raw);
  if (typeof req.header !== "function") return undefined;

  const found = client((name) => req.header(name), req.url, req);
  if (found.header === undefined && found.query === undefined && typeof req.query === "function") {
    const last = req.query("lastEventId");
    if (typeof last === "string") found.query = encodeURIComponent(last);
  }
  return found;
}

/** The path of a subscription, with the last event ID that no header can carry, and whether IDs are passed on. */
export function subscribePath({ query, passesIds }) {
  const parts = [];
  if (passesIds) parts.push("passesIds");
  if (query !== undefined) parts.push(`lastEventId=${query}`);
  return parts.length === 0 ? "subscribe" : `subscribe?${parts.join("&")}`;
}
