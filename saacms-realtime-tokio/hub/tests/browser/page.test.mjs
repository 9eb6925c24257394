// The live page as people use it: edit records, watch the log, press the buttons.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { edits, startHub } from './helpers/hub.mjs';
import { launch, LivePage, openPage } from './helpers/page.mjs';
import { until } from './helpers/until.mjs';

const timeout = 90_000;
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(() => browser?.close(), { timeout });

test('an edit made in one tab arrives in another tab', { timeout }, async (t) => {
  const hub = await startHub(t);
  const one = await openPage(t, browser, `${hub.origin}/?collection=articles&id=7`);
  await one.state('Live');
  const opened = one.page.context().waitForEvent('page');
  await one.page.getByRole('link', { name: 'Open in another tab' }).click();
  const two = new LivePage(await opened);
  await two.state('Live');
  assert.equal(await two.page.getByLabel('Record ID').inputValue(), '7');

  await one.publish({ record: { title: 'from one', updatedAt: '' }, etag: 'W/"one"' });
  await two.counted('events', 1);
  assert.equal((await two.record()).title, 'from one');
  assert.equal(await two.text('#last-id'), 'W/"one"');

  await two.button('Copy to editor');
  await two.publish({ type: 'snapshot', title: 'from two', etag: 'W/"two"' });
  await one.counted('events', 2);
  assert.equal((await one.record()).title, 'from two');

  await one.publish({ type: 'deleted' });
  for (const tab of [one, two]) await tab.counted('events', 3);
  assert.equal(await two.text('#record'), 'Deleted.');

  for (const tab of [one, two]) {
    assert.deepEqual((await tab.frames()).map(({ type, mark }) => `${type} ${mark}`), ['changed live', 'snapshot live', 'deleted live']);
  }
  assert.deepEqual(await one.ids(), await two.ids());
});

test('a page gets edits of its own record only', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  for (const [slug, id] of [['posts', '2'], ['pages', '1'], ['posts', '1']]) await hub.publish({ slug, id, record: { slug, id }, etag: `${slug}-${id}` });
  await live.counted('events', 1);
  assert.deepEqual(await live.record(), { slug: 'posts', id: '1' });

  // Another key, with every kind of character that a path must escape.
  const id = 'a/b?c#d%2F é "x" 100%';
  await live.page.getByLabel('Record ID').fill(id);
  await live.button('Watch');
  await live.state('Live');
  await live.publish({ record: { odd: true } });
  await live.counted('events', 1);
  assert.deepEqual(await live.record(), { odd: true });
  await hub.publish({ id, record: { odd: false }, etag: 'odd' });
  await live.counted('events', 2);
});

test('latency and age are shown for an edit made on the page', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await live.publish({ record: { title: 'x', updatedAt: '' } });
  await live.counted('events', 1);
  assert.match(await live.text('#latency'), /^[\d.]+ m?s$/);
  assert.match(await live.text('#log tr[data-type] .c-age'), /^[\d.]+ m?s$/);
  assert.match(await live.published('Accepted'), /^Accepted in [\d.]+ m?s/);
});

test('edits made between Disconnect and Connect are replayed', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await edits(hub, 1, 2);
  await live.counted('events', 2);

  await live.button('Disconnect');
  await live.state('Closed');
  await edits(hub, 3, 6);
  await live.button('Connect');
  await live.counted('events', 6);
  assert.deepEqual((await live.frames()).map(({ id, mark }) => `${id} ${mark}`),
    ['v1 live', 'v2 live', 'v3 replayed', 'v4 replayed', 'v5 replayed', 'v6 replayed']);
  assert.equal(await live.count('replayed'), 4);
  assert.equal(await live.count('resyncs'), 0);
  assert.equal((await live.record()).n, 6);
});

test('a page that stays away reconnects by itself and shows the replay', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await live.publish({ record: { title: 'before', updatedAt: '' } });
  await live.counted('events', 1);

  // The test controls the page's clock, so that the page cannot reconnect before it is checked.
  await live.page.clock.install();
  await live.stayAway(60);
  await live.state('Away');
  await live.publish({ title: 'while away' });
  await live.published('Accepted');
  assert.equal(await live.count('events'), 1);
  await live.page.clock.fastForward('01:00');
  await live.counted('events', 2);
  await live.state('Live');
  assert.equal(await live.count('replayed'), 1);
  assert.equal((await live.record()).title, 'while away');

  await live.publish({ title: 'back' });
  await live.counted('events', 3);
  assert.equal(await live.count('replayed'), 1);
});

test('a flood arrives whole and in order, and the log stays bounded', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await live.flood(250);
  await until(async () => (await live.text('#flood-text')).startsWith('250 of 250 published'), 'the flood is over', 60_000);
  await live.counted('events', 250);
  assert.equal(await live.count('replayed'), 0);
  assert.equal(await live.count('resyncs'), 0);
  const frames = await live.frames();
  assert.equal(frames.length, 200);
  assert.deepEqual(frames.map(({ data }) => JSON.parse(data).n), Array.from({ length: 200 }, (_, i) => i + 51));
});

test('a flood can be stopped', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await live.flood(10_000);
  await until(async () => await live.count('events') > 3, 'the flood runs');
  await live.button('Stop');
  const text = await until(async () => {
    const now = await live.text('#flood-text');
    return now.includes('published in') && now;
  }, 'the flood is over');
  await live.counted('events', Number(text.split(' ')[0].replaceAll(',', '')));
  assert.ok(await live.count('events') < 10_000);
});

test("a refused publish shows the hub's reason", { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await live.publish({ etag: ' blanks ' });
  const shown = await live.published('Refused: 400');
  const response = await hub.publish({ record: {}, etag: ' blanks ' });
  assert.equal(response.status, 400);
  assert.match(response.headers.get('content-type'), /^application\/problem\+json/);
  const problem = await response.json();
  assert.match(problem.detail, /etag/i);
  assert.ok(shown.includes(problem.title) && shown.includes(problem.detail), `${shown} does not say: ${problem.detail}`);

  await live.publish({ record: '{"title": }', etag: 'ok' });
  await until(() => live.page.locator('#record-error').isVisible(), 'the editor says that it is not JSON');
  assert.equal(await live.count('events'), 0);
});

test('a hub with a token accepts edits only with the right one', { timeout }, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'saacms-realtime-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'token');
  await writeFile(file, 'correct-horse-battery-staple\n', { mode: 0o600 });
  const hub = await startHub(t, { flags: ['--publish-token-file', file] });
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  await live.publish({ record: { n: 1 } });
  await live.published('Refused: 401');
  await live.publish({ token: 'wrong-horse-battery-staple' });
  await live.published('Refused: 403');
  await live.publish({ token: 'correct-horse-battery-staple' });
  await live.published('Accepted');
  await live.counted('events', 1);
});

test('numbers stay as they were written, in what is shown, copied and published', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  const record = '{"n":9007199254740993,"f":1.0,"e":1e400,"title":"a \\"b\\", {c}: [d]","updatedAt":"","empty":{},"list":[[],{"title":"inner"}]}';
  assert.equal((await hub.publish({ record: 0 })).status, 204);
  const raw = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: `{"type":"changed","slug":"posts","id":"1","record":${record},"etag":"v1"}` };
  assert.equal((await fetch(`${hub.base}/publish`, raw)).status, 204);
  await live.counted('events', 2);
  const shown = await live.text('#record');
  for (const number of ['9007199254740993', '1.0', '1e400']) assert.ok(shown.includes(`: ${number},`), shown);
  assert.equal(JSON.stringify(JSON.parse(shown)), JSON.stringify(JSON.parse(record)), 'only blanks are added');

  // An edit of the title and the time of a publish touch nothing else.
  await live.button('Copy to editor');
  await live.publish({ title: 'x' });
  await live.counted('events', 3);
  const [, , { data }] = await live.frames();
  const expected = record.replace('"title":"a \\"b\\", {c}: [d]"', '"title":"x"');
  assert.equal(data.replace(/"updatedAt":"[^"]+"/, '"updatedAt":""'), expected);
  assert.match(await live.text('#latency'), /\d/, 'its own edit was recognised');

  // An object without the member gets it, and a flood keeps the rest.
  await live.publish({ record: '{}', title: 'first' });
  await live.counted('events', 4);
  await live.publish({ record: '{"n":9007199254740993,"m":9007199254740993}' });
  await live.counted('events', 5);
  await live.flood(1);
  await live.counted('events', 6);
  const frames = await live.frames();
  assert.equal(frames[3].data, '{"title":"first"}');
  assert.match(frames[5].data, /^\{"n":1,"m":9007199254740993,"updatedAt":"[^"]+"\}$/);
});

test('hostile content is shown as text and nothing in it runs', { timeout }, async (t) => {
  const hub = await startHub(t);
  const attack = '<img src="data:," onerror="window.hacked=1"><script>window.hacked=1</script>';
  const live = await openPage(t, browser, `${hub.origin}/?id=${encodeURIComponent(attack)}`);
  await live.state('Live');
  const record = {
    title: attack, [attack]: '</pre></td></script><svg onload="window.hacked=1">', __proto__: null, 'a\u2028b': 'x\r\n\r\nevent: deleted\ndata: 1',
  };
  await hub.publish({ id: attack, record, etag: '<img/src/onerror=window.hacked=1>' });
  await live.counted('events', 1);
  await live.button('Copy to editor');
  await live.publish({ etag: '</td><script>window.hacked=1</script>' });
  await live.counted('events', 2);
  await live.publish({ type: 'deleted' });
  await live.counted('events', 3);
  await live.publish({ type: 'changed', etag: `${attack}${'x'.repeat(600)}` });
  await live.published('Refused');

  assert.deepEqual((await live.frames()).map(({ type }) => type), ['changed', 'changed', 'deleted']);
  assert.equal((await live.frames())[0].id, '<img/src/onerror=window.hacked=1>');
  assert.equal(await live.page.getByLabel('Title').inputValue(), attack);
  // A missing image fires `error` a moment later, so check once the page is idle.
  await live.page.evaluate(() => new Promise((resolve) => { requestIdleCallback(resolve, { timeout: 2000 }); }));
  assert.equal(await live.page.evaluate(() => window.hacked), undefined);
  assert.equal(await live.page.locator('img, body script:not([type=module]), svg[onload]').count(), 0);
});

test('the page can never make markup from a string', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  const thrown = await live.page.evaluate(() => {
    try {
      document.body.innerHTML = '<p>x</p>';
      return 'nothing';
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(thrown, 'TypeError');
});

test('the page finds a hub under another base path', { timeout }, async (t) => {
  const hub = await startHub(t, { flags: ['--base-path', '/hub/v2'] });
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  assert.equal(await live.text('#hub'), `${hub.origin}/hub/v2`);
  await live.publish({ record: { n: 1 } });
  await live.counted('events', 1);

  const told = await openPage(t, browser, `${hub.origin}/?base=/hub/v2`);
  await told.state('Live');
});

test('an ETag typed during a publish is kept', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  const etag = live.page.getByLabel('ETag');
  let answer;
  const typed = new Promise((resolve) => { answer = resolve; });
  await live.page.route('**/publish', async (route) => { await typed; await route.continue(); });
  await live.publish({ etag: 'first' });
  await etag.fill('second');
  answer();
  await live.published('Accepted');
  assert.equal(await etag.inputValue(), 'second');
  await live.publish();
  await live.counted('events', 2);
  assert.deepEqual(await live.ids(), ['first', 'second']);
  await until(async () => !['first', 'second'].includes(await etag.inputValue()), 'a new ETag');
});

test('normal use leaves no error in the console', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.state('Live');
  let events = 0;
  for (const type of ['changed', 'snapshot', 'deleted', 'changed']) {
    await live.publish({ type });
    await live.counted('events', events += 1);
  }
  await live.flood(20);
  await live.counted('events', events += 20);
  await live.button('Disconnect');
  await live.button('Connect');
  await live.state('Live');
  await live.stayAway(1);
  await live.noted('staying away');
  await live.state('Live');
  await live.button('Clear');
  await live.page.getByLabel('Record ID').fill('2');
  await live.button('Watch');
  await live.state('Live');
  for (const summary of await live.page.locator('summary').all()) await summary.click();
  assert.match(await live.text('#source'), /^import \{ LiveRecord \} from 'http:.*\/client\.js';/);
  assert.deepEqual(live.complaints, []);
});

test('the page loads nothing from elsewhere', { timeout }, async (t) => {
  const hub = await startHub(t);
  const context = await browser.newContext();
  t.after(() => context.close());
  const requested = [];
  context.on('request', (request) => requested.push(request.url()));
  const live = await openPage(t, browser, hub.origin, { context });
  await live.state('Live');
  await live.publish();
  await live.counted('events', 1);
  const elsewhere = requested.filter((url) => !url.startsWith(`${hub.origin}/`) && !url.startsWith('data:'));
  assert.deepEqual(elsewhere, []);
});

test('the page fits a phone, and every control has a name', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin, { viewport: { width: 320, height: 640 } });
  await live.state('Live');
  await live.publish({ record: { title: 'x'.repeat(500) }, etag: `W/"${'y'.repeat(300)}"` });
  await live.counted('events', 1);
  await live.publish({ etag: ` ${'z'.repeat(400)}` });
  await live.published('Refused');
  assert.ok(await live.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways');
  const nameless = await live.page.locator('input, textarea, button, a').evaluateAll((controls) => controls
    .filter((control) => !(control.labels?.length && control.labels[0].textContent.trim()) && !control.ariaLabel && !control.textContent.trim())
    .map((control) => control.outerHTML));
  assert.deepEqual(nameless, []);
});
