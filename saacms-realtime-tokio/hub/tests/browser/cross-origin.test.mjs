// A page of one origin and a hub of another.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { edits, startHub } from './helpers/hub.mjs';
import { launch, openPage } from './helpers/page.mjs';
import { startProxy } from './helpers/proxy.mjs';
import { until } from './helpers/until.mjs';

const timeout = 90_000;
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(() => browser?.close(), { timeout });

for (const kind of ['etag', 'position']) {
  test(`a page of an allowed origin subscribes, publishes, and resumes after a cut (${kind} ids)`, { timeout }, async (t) => {
    const site = await startHub(t); // serves the page only
    const hub = await startHub(t, { flags: ['--cors-origin', site.origin, '--event-ids', kind] });
    const proxy = await startProxy(t, hub.port);
    const live = await openPage(t, browser, `${site.origin}/?origin=${encodeURIComponent(proxy.origin)}`);
    await live.state('Live');
    assert.equal(await live.text('#hub'), `${proxy.origin}/api/saacms/v1`);

    await live.publish({ record: { title: 'from afar', n: 1 }, etag: 'W/"a b-1"' });
    await live.published('Accepted');
    await live.counted('events', 1);
    const [id] = await live.ids();

    proxy.cut();
    await live.state('Waiting');
    await edits(hub, 2, 4);
    proxy.heal();
    await live.counted('events', 4);
    assert.deepEqual((await live.frames()).map(({ data }) => JSON.parse(data).n), [1, 2, 3, 4]);
    assert.equal(await live.count('resyncs'), 0);
    assert.equal(proxy.streams().at(-1).lastEventId, id);

    // The page can read a refusal too, so it can show the reason.
    await live.publish({ etag: ' blanks ' });
    assert.match(await live.published('Refused: 400'), /etag/i);
  });
}

test('a client of an allowed origin may set the Last-Event-ID header itself', { timeout }, async (t) => {
  const site = await startHub(t);
  const hub = await startHub(t, { flags: ['--cors-origin', site.origin] });
  await edits(hub, 1, 2);
  const live = await openPage(t, browser, site.origin);
  await live.state('Live');
  const answer = await live.page.evaluate(async (url) => {
    const stop = new AbortController();
    const response = await fetch(url, { headers: { 'Last-Event-ID': 'v1', Accept: 'text/event-stream' }, signal: stop.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('\ndata: ')) text += (await reader.read()).value;
    stop.abort();
    return text;
  }, `${hub.base}/posts/1/subscribe`);
  assert.match(answer, /\nid: v2\n/);
});

test('each of several allowed origins is answered with its own name', { timeout }, async (t) => {
  const sites = [await startHub(t), await startHub(t)];
  const hub = await startHub(t, { flags: sites.flatMap(({ origin }) => ['--cors-origin', origin]) });
  for (const site of sites) {
    const live = await openPage(t, browser, `${site.origin}/?origin=${encodeURIComponent(hub.origin)}`);
    await live.state('Live');
    await live.publish();
    await live.counted('events', 1);
  }
});

test('a page of an origin that is not allowed can neither read nor publish', { timeout }, async (t) => {
  const site = await startHub(t);
  for (const flags of [[], ['--cors-origin', 'https://cms.example']]) {
    const hub = await startHub(t, { flags });
    const own = await openPage(t, browser, hub.origin);
    await own.state('Live');

    const foreign = await openPage(t, browser, `${site.origin}/?origin=${encodeURIComponent(hub.origin)}`);
    await foreign.state('Waiting');
    await foreign.publish({ record: { n: 'foreign' } });
    await foreign.published('Not sent');

    await edits(hub, 1, 1);
    await own.counted('events', 1);
    assert.deepEqual(await own.ids(), ['v1']);
    assert.equal(await foreign.count('events'), 0);
    assert.ok(!(await foreign.notes()).some((note) => note.startsWith('connected')), 'it was never connected');
  }
});

test('a foreign page cannot publish with a request that needs no preflight either', { timeout }, async (t) => {
  const site = await startHub(t);
  const hub = await startHub(t);
  const own = await openPage(t, browser, hub.origin);
  const foreign = await openPage(t, browser, site.origin);
  await own.state('Live');
  await foreign.state('Live');
  // A browser sends text/plain to any origin without a preflight. It only hides the answer.
  await foreign.page.evaluate(async (url) => {
    const body = JSON.stringify({ type: 'changed', slug: 'posts', id: '1', record: { n: 'forged' }, etag: 'forged' });
    await fetch(url, { method: 'POST', mode: 'no-cors', headers: { 'Content-Type': 'text/plain' }, body });
    await fetch(url, { method: 'POST', mode: 'no-cors', body: new Blob([body]) });
  }, `${hub.base}/publish`);
  await edits(hub, 1, 1);
  await own.counted('events', 1);
  assert.deepEqual(await own.ids(), ['v1']);
});

test("README's page works as it is printed there, on another origin", { timeout }, async (t) => {
  const readme = await readFile(new URL('../../../../README.md', import.meta.url), 'utf8');
  const [, example] = readme.match(/```html\n(.*?)```/s);
  let page;
  const site = http.createServer((request, response) => {
    const isRecord = request.url === '/posts/1.json';
    response.setHeader('Content-Type', isRecord ? 'application/json' : 'text/html');
    response.end(isRecord ? '{"title":"from the store"}' : page);
  }).listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => { site.closeAllConnections(); site.close(); });
  const origin = `http://127.0.0.1:${site.address().port}`;
  const hub = await startHub(t, { flags: ['--cors-origin', origin] });
  page = example.replaceAll('http://localhost:8787', hub.origin);

  const context = await browser.newContext();
  t.after(() => context.close());
  const tab = await context.newPage();
  await tab.goto(origin);
  const shows = (title) => until(async () => await tab.title() === title, title);
  await shows('from the store');
  await hub.publish({ record: { title: 'from the hub' } });
  await shows('from the hub');
  await hub.publish({ type: 'snapshot', record: { title: 'a snapshot' } });
  await shows('a snapshot');
  await hub.publish({ type: 'deleted' });
  await shows('deleted');
});
