// Starts and stops the real server, and edits records as a CMS would.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { until } from './until.mjs';

export const START_MS = 10_000;
export const STOP_MS = 10_000;

/** A free port of 127.0.0.1. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts `saacms-realtime serve` with additional `flags`. Pass `port` to restart on the same one. */
export async function startHub(t, { port, flags = [] } = {}) {
  const binary = process.env.SAACMS_REALTIME_BIN;
  if (!binary) throw new Error('SAACMS_REALTIME_BIN must name the saacms-realtime binary');
  port ??= await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const child = spawn(binary, ['serve', '--listen', `127.0.0.1:${port}`, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });

  let output = '';
  let ended; // how it ended, once it has
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { output += text; });
  child.on('error', (error) => { ended = error.message; });
  child.on('exit', (code, signal) => { ended = `exit ${code ?? signal}`; });

  const stop = async (signal) => {
    if (!ended) child.kill(signal);
    await until(() => ended, `the hub ends after ${signal}`, STOP_MS);
    return ended;
  };
  t?.after(() => stop('SIGKILL'));

  await until(async () => {
    if (ended) throw new Error(`the hub did not start: ${ended}\n${output}`);
    return (await fetch(`${origin}/readyz`).catch(() => undefined))?.ok;
  }, 'the hub is ready', START_MS);

  return {
    port,
    origin,
    base: `${origin}/api/saacms/v1`,
    output: () => output,
    /** Kills it, as a crash does. */
    kill: () => stop('SIGKILL'),
    /** Asks it to shut down gracefully. */
    terminate: () => stop('SIGTERM'),
    /** Publishes an edit that the page did not make. */
    publish: (event, headers = {}) => fetch(`${origin}/api/saacms/v1/publish`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify({ type: 'changed', slug: 'posts', id: '1', ...event }),
    }),
  };
}

/** Publishes edits `from` to `to` of posts/1, with the ETags `v<from>` to `v<to>` and their times. */
export async function edits(hub, from, to) {
  for (let n = from; n <= to; n += 1) {
    const response = await hub.publish({ record: { title: `edit ${n}`, n, updatedAt: new Date().toISOString() }, etag: `v${n}` });
    if (response.status !== 204) throw new Error(`edit ${n}: ${response.status} ${await response.text()}`);
  }
}
