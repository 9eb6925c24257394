// What the live page says of the hub's answers, and of answers that do not come.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { edits, startHub } from './helpers/hub.mjs';
import { launch, openPage } from './helpers/page.mjs';
import { startPrefixProxy, startProxy } from './helpers/proxy.mjs';
import { until } from './helpers/until.mjs';

const timeout = 90_000;
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(() => browser?.close(), { timeout });

for (const status of [400, 401, 403, 404, 406]) {
  test(`${status} stops the page with the reason, until the reader tries again`, { timeout }, async (t) => {
    const hub = await startHub(t);
    const context = await browser.newContext();
    t.after(() => context.close());
    await context.clock.install();
    let requests = 0;
    let isRefused = true;
    await context.route('**/subscribe', (route) => {
      requests += 1;
      if (!isRefused) return route.continue();
      const body = JSON.stringify({ type: 'about:blank', title: 'A title', status, detail: `the reason for ${status}` });
      return route.fulfill({ status, contentType: 'application/problem+json', body });
    });
    const live = await openPage(t, browser, hub.origin, { context });
    await live.state('Refused');
    assert.equal(await live.text('#state-detail'), `${status} the reason for ${status}.`);

    await live.page.clock.fastForward('02:00:00');
    await live.state('Refused');
    assert.equal(requests, 1, 'it asked only once');
    assert.deepEqual(await live.notes(), [`refused: ${status} the reason for ${status}.`]);

    isRefused = false;
    await live.button('Try again');
    await live.state('Live');
  });
}

test('another record can be watched after a refusal', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, `${hub.origin}/?collection=a:b`);
  await live.state('Refused');
  assert.match(await live.text('#state-detail'), /^400 the collection must not contain `:`/);
  await live.page.getByLabel('Collection').fill('posts');
  await live.button('Watch');
  await live.state('Live');
});

test('a publish without an answer is told, with the likely reason, and its button says that it waits', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  let answer;
  const told = new Promise((resolve) => { answer = resolve; });
  await live.page.route('**/publish', async (route) => { await told; await route.continue(); });
  await live.publish();
  await until(async () => await live.text('#publish') === 'Publishing …', 'the button says so');
  await live.published('No answer yet');
  assert.match(await live.text('#published'), /at most six connections/);
  answer();
  await live.published('Accepted');
  assert.equal(await live.text('#publish'), 'Publish');
  await live.counted('events', 1);
});

test('what was said of one record is not said of the next', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  const watch = async (id) => {
    await live.page.getByLabel('Record ID').fill(id);
    await live.button('Watch');
    await live.state('Live');
  };

  await live.publish({ etag: ' blanks ' });
  await live.published('Refused: 400');
  await live.flood(3);
  await until(async () => (await live.text('#flood-text')).startsWith('3 of 3'), 'the flood is over');
  await watch('2');
  assert.match(await live.text('#published'), /^Nothing published yet/);
  assert.ok(!await live.page.locator('#flood-progress').isVisible());

  // Nor an answer that arrives later.
  let answer;
  const told = new Promise((resolve) => { answer = resolve; });
  await live.page.route('**/publish', async (route) => { await told; await route.continue(); });
  await live.publish({ etag: 'late' });
  await watch('3');
  answer();
  await until(async () => await live.text('#publish') === 'Publish', 'the answer is there');
  assert.match(await live.text('#published'), /^Nothing published yet/);
  assert.equal(await live.count('events'), 0);
});

test('behind a proxy that serves the hub under a prefix, the page finds its hub', { timeout }, async (t) => {
  const hub = await startHub(t);
  const proxy = await startPrefixProxy(t, hub.port, '/live');
  const live = await openPage(t, browser, `${proxy.origin}/live/`);
  await live.state('Live');
  assert.equal(await live.text('#hub'), `${proxy.origin}/live/api/saacms/v1`);
  await live.publish({ record: { n: 1 } });
  await live.counted('events', 1);
  assert.deepEqual(live.complaints, []);
});

test('a publish token is never sent to a hub of another origin', { timeout }, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'saacms-realtime-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'token');
  await writeFile(file, 'correct-horse-battery-staple\n', { mode: 0o600 });
  const site = await startHub(t);
  const hub = await startHub(t, { flags: ['--cors-origin', site.origin, '--publish-token-file', file] });
  const proxy = await startProxy(t, hub.port);
  const live = await openPage(t, browser, `${site.origin}/?origin=${encodeURIComponent(proxy.origin)}`);
  await live.state('Live');
  assert.ok(!await live.page.getByLabel('Publish token').isVisible(), 'there is no field for a token');
  assert.match(await live.text('#no-token'), /no publish token is sent/);
  await live.publish();
  await live.published('Refused: 401');

  // Not even one that something else has put into the field.
  await live.page.locator('#token').evaluate((field) => { field.value = 'correct-horse-battery-staple'; });
  await live.publish();
  await live.published('Refused: 401');
});

test('of seven tabs the seventh says that it waits and why, and connects when another closes', { timeout }, async (t) => {
  const site = await startHub(t); // serves the pages, so that they load while all connections to the hub are taken
  const hub = await startHub(t, { flags: ['--cors-origin', site.origin] });
  const context = await browser.newContext();
  t.after(() => context.close());
  const url = `${site.origin}/?origin=${encodeURIComponent(hub.origin)}`;
  const tabs = [];
  for (let tab = 0; tab < 6; tab += 1) {
    tabs.push(await openPage(t, browser, url, { context }));
    await tabs[tab].state('Live');
  }
  const seventh = await openPage(t, browser, url, { context });
  await seventh.state('Waiting');
  assert.match(await seventh.text('#state-detail'), /six streams/);
  await seventh.state('Polling');

  await tabs[0].page.close();
  await seventh.state('Live');
  await edits(hub, 1, 1);
  await seventh.counted('events', 1);
});
