// A TCP proxy that can cut its connections, and records the requests and responses.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

/** Forwards a port of its own to `port`. */
export async function startProxy(t, port) {
  const links = new Set(); // { client, server, request, response }
  const seen = [];         // every link so far
  let mode = 'forward';    // or 'cut', 'refuse' or 'stall'
  let status;              // what 'refuse' answers

  const listener = net.createServer((client) => {
    if (mode === 'cut') return client.destroy();
    const link = { client, request: '', response: '' };
    seen.push(link);
    if (mode === 'refuse') {
      client.on('error', () => {});
      client.on('data', (bytes) => {
        link.request += bytes.toString('latin1');
        if (!link.request.includes('\r\n\r\n')) return;
        client.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n`);
      });
      return undefined;
    }
    link.server = net.connect(port, '127.0.0.1');
    links.add(link);
    const close = () => {
      links.delete(link);
      link.client.destroy();
      link.server.destroy();
    };
    for (const [from, to, name] of [[client, link.server, 'request'], [link.server, client, 'response']]) {
      from.on('data', (bytes) => { link[name] += bytes.toString('latin1'); if (mode !== 'stall') to.write(bytes); });
      from.on('end', () => to.end());
      from.on('error', close);
      from.on('close', close);
    }
    return undefined;
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');

  const drop = () => {
    for (const { client, server } of links) {
      client.destroy();
      server.destroy();
    }
    links.clear();
  };
  t.after(async () => {
    drop();
    listener.close();
  });

  return {
    origin: `http://127.0.0.1:${listener.address().port}`,
    /** Ends every connection, and refuses new ones. */
    cut() { mode = 'cut'; drop(); },
    /** Ends every connection, and answers every request with `code`. */
    refuse(code) { mode = 'refuse'; status = code; drop(); },
    /** Keeps the connections, and loses every byte. */
    stall() { mode = 'stall'; },
    heal() { mode = 'forward'; },
    /** How many connections were made. */
    connections: () => seen.length,
    /** The requests for streams, oldest first: { path, lastEventId (the header), response (so far) }. */
    streams() {
      return seen.flatMap(({ request, response }) => {
        // A connection may carry several requests; a stream is always the last of them.
        const at = request.lastIndexOf('GET ');
        const [line, ...headers] = request.slice(at).split('\r\n');
        const path = line.split(' ')[1] ?? '';
        if (at < 0 || !path.includes('/subscribe')) return [];
        const header = headers.find((text) => /^last-event-id:/i.test(text));
        return [{ path, lastEventId: header?.replace(/^[^:]*:\s*/, ''), response: response.slice(response.lastIndexOf('HTTP/1.1 ')) }];
      });
    },
  };
}

/** An HTTP proxy that serves `port` under a prefix, as `location /live/ { proxy_pass http://hub/; proxy_set_header Host $http_host; }` does
 *  in nginx. */
export async function startPrefixProxy(t, port, prefix) {
  const server = http.createServer((request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) return void response.writeHead(404).end();
    const { method, headers } = request;
    const path = request.url.slice(prefix.length);
    const onward = http.request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.closeAllConnections(); server.close(); });
  return { origin: `http://127.0.0.1:${server.address().port}` };
}
