// Clients of other projects, each used as its own documentation shows. What they see goes into `seen`:
// `events` ({ type, data, id }), `statuses` of answers that are no stream, and whether they have `ended` for good.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { EventSource as EventSource4 } from 'eventsource-4';
import { EventSource as EventSource5 } from 'eventsource-5';
import { EventSource as UndiciEventSource } from 'undici';
import polyfill from 'event-source-polyfill';

// It is made for pages. Of a window it needs the timers and `fetch`, of a document that it can be hidden.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

// event-source-polyfill prints each lost connection.
console.error = () => {};

const TYPES = ['snapshot', 'changed', 'deleted', 'saacms-resync', 'saacms-unavailable'];
const PYTHON = fileURLToPath(new URL('.venv/bin/python', import.meta.url));
const READER = fileURLToPath(new URL('reader.py', import.meta.url));

/** A client with the interface of the standard. It comes back by itself. */
const eventSource = (Class) => (url, seen) => {
  const source = new Class(url);
  for (const type of TYPES) source.addEventListener(type, ({ data, lastEventId: id }) => seen.events.push({ type, data, id }));
  source.addEventListener('error', ({ code, status }) => {
    if (code ?? status) seen.statuses.push(code ?? status);
    seen.ended = source.readyState === Class.CLOSED;
  });
  return () => source.close();
};

/** It ends where the stream ends, unless `onclose` throws, and comes back after every error, unless `onerror` throws. */
function microsoft(url, seen) {
  const stop = new AbortController();
  fetchEventSource(url, {
    signal: stop.signal,
    openWhenHidden: true,
    async onopen(response) {
      if (response.ok) return;
      seen.statuses.push(response.status);
      throw new Error(`${response.status}`);
    },
    onmessage({ event: type, data, id }) { if (type) seen.events.push({ type, data, id }); },
    onclose() { throw new Error('the stream ended'); },
  });
  return () => stop.abort();
}

/** A program that prints what it sees, one object per line. */
const python = (library) => (url, seen) => {
  const child = spawn(PYTHON, ['-u', READER, library, url], { stdio: ['ignore', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { status, ...event } = JSON.parse(line);
    if (status) seen.statuses.push(status);
    else seen.events.push(event);
  });
  child.on('exit', () => { seen.ended = true; });
  return () => child.kill();
};

/** curl prints the stream. Whoever calls it reads the lines, and calls it again with the last `id:`, after `retry:`. */
function curl(url, seen) {
  let child;
  let timer;
  let isClosed = false;
  let id = '';
  let retry = 1_000;
  const run = () => {
    const place = id ? ['-H', `Last-Event-ID: ${id}`] : [];
    child = spawn('curl', ['-sN', '-w', '%{stderr}%{http_code}', ...place, url], { stdio: ['ignore', 'pipe', 'pipe'] });
    let event = {};
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, field, value] = line.match(/^(\w+): (.*)$/) ?? [];
      if (field === 'id') id = value;
      if (field === 'retry') retry = Number(value);
      if (field) event[field] = value;
      if (line === '' && event.data) seen.events.push({ type: event.event, data: event.data, id: event.id });
      if (line === '') event = {};
    });
    let status = '';
    child.stderr.on('data', (text) => { status += text; });
    child.on('close', () => {
      status = Number(status);
      if (status && status !== 200) seen.statuses.push(status);
      seen.ended = status >= 400 && status !== 429 && status !== 503;
      if (!isClosed && !seen.ended) timer = setTimeout(run, retry);
    });
  };
  run();
  return () => { isClosed = true; clearTimeout(timer); child.kill(); };
}

/**
 * - `keepsPlace`: whether it keeps the ID of a block without data, with which a stream begins.
 * - `isEventSource`: whether it accepts nothing but an event stream, so that it is refused within one.
 * - `at404`: what it does there. Nobody gains anything by asking again.
 */
export const CLIENTS = {
  'eventsource 4': { start: eventSource(EventSource4), keepsPlace: false, isEventSource: true, at404: 'ends' },
  'eventsource 5': { start: eventSource(EventSource5), keepsPlace: true, isEventSource: true, at404: 'ends' },
  undici: { start: eventSource(UndiciEventSource), keepsPlace: true, isEventSource: true, at404: 'ends' },
  'event-source-polyfill': { start: eventSource(polyfill.EventSourcePolyfill), keepsPlace: false, isEventSource: true, at404: 'ends' },
  'fetch-event-source': { start: microsoft, keepsPlace: true, isEventSource: true, at404: 'asks again' },
  'httpx-sse': { start: python('httpx-sse'), keepsPlace: true, isEventSource: true, at404: 'ends' },
  'sseclient-py': { start: python('sseclient-py'), keepsPlace: false, isEventSource: true, at404: 'ends' },
  curl: { start: curl, keepsPlace: true, isEventSource: false, at404: 'ends' },
};
