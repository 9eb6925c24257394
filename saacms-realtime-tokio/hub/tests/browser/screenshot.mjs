// Takes the README's screenshot of the live page:
// `SAACMS_REALTIME_BIN=... node screenshot.mjs OUT.png`

import { startHub } from './helpers/hub.mjs';
import { launch, openPage } from './helpers/page.mjs';

const [out] = process.argv.slice(2);
if (!out) {
  console.error('usage: node screenshot.mjs OUT.png');
  process.exit(2);
}

const cleanups = [];
try {
  const hub = await startHub({ after: (stop) => cleanups.push(stop) });
  const browser = await launch();
  cleanups.push(() => browser.close());
  const live = await openPage(undefined, browser, hub.origin, { viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  await live.state('Live');

  const record = { title: 'Autumn programme', status: 'draft', updatedAt: '' };
  await live.publish({ record });
  await live.counted('events', 1);
  await live.publish({ title: 'Autumn programme 2026' });
  await live.counted('events', 2);

  // Two edits while the page is disconnected, which are then replayed.
  await live.stayAway(60);
  await live.state('Away');
  await live.publish({ title: 'Autumn programme 2026: concerts' });
  await live.published('Accepted');
  const edited = { ...record, title: 'Autumn programme 2026: concerts, readings', updatedAt: new Date().toISOString() };
  await hub.publish({ record: edited, etag: 'W/"cms-7"' });
  await live.button('Connect now');
  await live.counted('events', 4);

  await live.publish({ record: { ...edited, status: 'published' } });
  await live.counted('events', 5);
  await live.page.locator('#publish').evaluate((button) => button.blur());
  await live.page.mouse.move(0, 0);
  await live.page.screenshot({ path: out, animations: 'disabled' });
} finally {
  for (const stop of cleanups.reverse()) await stop();
}
