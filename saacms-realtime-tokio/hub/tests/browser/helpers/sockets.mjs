// A hub of WebSockets and event streams, for which the test speaks: the handshake of RFC 6455, text both ways, no more.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { until } from './until.mjs';

const CLIENT = new URL('../../../client/', import.meta.url);
const TEXT = 1;
const CLOSE = 8;

/** A frame as a server sends it: whole, without a mask. */
function frame(opcode, payload) {
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (head.length === 2) head[1] = payload.length;
  if (head.length === 4) { head[1] = 126; head.writeUInt16BE(payload.length, 2); }
  if (head.length === 10) { head[1] = 127; head.writeBigUInt64BE(BigInt(payload.length), 2); }
  return Buffer.concat([head, payload]);
}

/** Takes the first frame of a client off `bytes`: `{ opcode, payload, rest }`, or nothing while it is not complete. */
function takeFrame(bytes) {
  if (bytes.length < 2) return undefined;
  const short = bytes[1] & 0x7f;
  // A client of these tests sends a few bytes at a time.
  if (short > 125) throw new Error('a long message of a client');
  const end = 6 + short;
  if (bytes.length < end) return undefined;
  const mask = bytes.subarray(2, 6);
  const payload = Buffer.from(bytes.subarray(6, end).map((byte, index) => byte ^ mask[index % 4]));
  return { opcode: bytes[0] & 0x0f, payload, rest: bytes.subarray(end) };
}

/** One WebSocket of a client. `received` are its messages. */
class Socket {
  received = [];
  closed;           // the code with which the client closed it, or 'cut'
  #connection;
  #isClosing = false;
  #bytes = Buffer.alloc(0);

  constructor(request, connection) {
    const url = new URL(request.url, 'http://hub');
    Object.assign(this, { origin: request.headers.origin, lastEventId: url.searchParams.get('lastEventId') });
    this.#connection = connection;
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    connection.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    connection.on('data', (bytes) => this.#receive(bytes));
    connection.on('close', () => { this.closed ??= 'cut'; });
    connection.on('error', () => {});
  }

  #receive(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (let next; (next = takeFrame(this.#bytes)); this.#bytes = next.rest) {
      const { opcode, payload } = next;
      if (opcode === TEXT) this.received.push(payload.toString());
      if (opcode === CLOSE) {
        this.closed ??= payload.length === 0 ? 1005 : payload.readUInt16BE(0);
        this.#connection.end(this.#isClosing ? undefined : frame(CLOSE, payload));
      }
    }
  }

  send(text) { this.#connection.write(frame(TEXT, Buffer.from(text))); }

  close(code, reason = '') {
    const payload = Buffer.concat([Buffer.alloc(2), Buffer.from(reason)]);
    payload.writeUInt16BE(code);
    this.#isClosing = true;
    this.#connection.write(frame(CLOSE, payload));
  }

  cut() { this.#connection.destroy(); }
}

/**
 * Serves the client's files, `/readyz` as a page, and each record's stream: a WebSocket, or an event
 * stream that says `:keepalive`. `refuse` says how WebSockets are answered: by an event stream, as hubs without them do
 * (`stream`), by a status, by nothing at all (`silence`), or not (`undefined`).
 */
export async function startSockets(t, { refuse } = {}) {
  const sockets = [];
  const streams = []; // responses
  const connections = new Set();
  let upgrades = 0;
  const openStream = (response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    response.write(':keepalive\n\n');
    streams.push(response);
  };
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://hub');
    if (pathname === '/readyz') return void response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>');
    if (['/client.js', '/websocket.js'].includes(pathname)) {
      return void response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(await readFile(new URL(pathname.slice(1), CLIENT)));
    }
    if (!pathname.endsWith('/subscribe')) return void response.writeHead(404).end();
    return openStream(response);
  });
  server.on('connection', (connection) => connections.add(connection));
  server.on('upgrade', (request, connection) => {
    connection.on('error', () => {});
    upgrades += 1;
    if (refuse === undefined) return void sockets.push(new Socket(request, connection));
    if (refuse === 'silence') return undefined;
    const response = new http.ServerResponse(request);
    response.assignSocket(connection);
    if (refuse === 'stream') {
      // Not one of `streams`: the browser drops it.
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      return void response.write(':keepalive\n\n');
    }
    return void response.writeHead(refuse, { 'Content-Length': 0, Connection: 'close' }).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const connection of connections) connection.destroy();
    server.close();
  });
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    sockets,
    streams,
    /** How many WebSockets were asked for. */
    upgrades: () => upgrades,
    /** The WebSocket number `count`, once it is there. */
    socket: (count) => until(() => sockets[count - 1], `WebSocket ${count}`),
  };
}
