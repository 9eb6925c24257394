// What of the live page is on the screen, on phones and on wide screens.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { edits, startHub } from './helpers/hub.mjs';
import { launch, openPage } from './helpers/page.mjs';
import { until } from './helpers/until.mjs';

const timeout = 90_000;
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(() => browser?.close(), { timeout });

test('times are neither clipped nor wrapped at any width, in the wide DejaVu Sans', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin);
  await live.page.addStyleTag({ content: '* { font-family: "DejaVu Sans" !important; }' });
  await live.state('Live');
  await edits(hub, 1, 1);
  await live.counted('events', 1);

  // DejaVu Sans is wider than Arial's substitutes. Without it this test shows nothing.
  const width = await live.page.evaluate(() => {
    const context = document.createElement('canvas').getContext('2d');
    context.font = '100px "DejaVu Sans"';
    return context.measureText('0').width;
  });
  assert.ok(width > 63, `DejaVu Sans is not installed: a digit of 100 px is ${width} px wide`);

  for (let width = 320; width <= 1600; width += 20) {
    await live.page.setViewportSize({ width, height: 800 });
    const wrong = await live.page.locator('#log .c-time').evaluateAll((cells) => cells.flatMap((cell) => {
      const text = document.createRange();
      text.selectNodeContents(cell);
      const [inner, outer] = [text.getBoundingClientRect(), cell.getBoundingClientRect()];
      const lines = text.getClientRects().length;
      const isWhole = lines === 1 && inner.left >= outer.left && inner.right <= outer.right && cell.scrollWidth <= cell.clientWidth;
      return isWhole ? [] : [`${cell.textContent}: ${lines} lines, ${inner.right} of ${outer.right}`];
    }));
    assert.deepEqual(wrong, [], `at ${width} px`);
    assert.ok(await live.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `the page scrolls sideways at ${width} px`);
  }
});

test('on a phone, what a publish does is on the screen at once', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await live.state('Live');
  await live.publish({ record: { n: 1 }, etag: 'first' });
  await live.published('Accepted');
  await live.counted('events', 1);

  const glance = live.page.locator('#glance');
  await until(async () => (await live.text('#glance-text')) === 'changed first', 'the event is told');
  const isOnScreen = (selector) => live.page.locator(selector).evaluate((element) => {
    const { left, top, right, bottom } = element.getBoundingClientRect();
    const covering = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return top >= 0 && bottom <= innerHeight && (covering === element || element.contains(covering));
  });
  assert.ok(await isOnScreen('#glance'), 'the event');
  assert.ok(await isOnScreen('#published'), 'the answer');
  assert.equal(await live.text('#glance-state'), 'Live');

  // It leads to the subscriber, and is not shown beside the record that it is about.
  await glance.click();
  await until(async () => !await glance.isVisible(), 'the record is on the screen');
  assert.ok(await live.page.locator('#record').evaluate((record) => record.getBoundingClientRect().top < innerHeight));
});

test('on a wide screen nothing covers the page', { timeout }, async (t) => {
  const hub = await startHub(t);
  const live = await openPage(t, browser, hub.origin, { viewport: { width: 1280, height: 800 } });
  await live.state('Live');
  assert.ok(!await live.page.locator('#glance').isVisible());
});
