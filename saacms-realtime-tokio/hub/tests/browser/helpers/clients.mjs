// Clients in a browser, and what they did.

import puppeteer from 'puppeteer-core';
import { until } from './until.mjs';

export const PATH = '/api/saacms/v1/posts/1/subscribe';
const BROWSERS = {
  chrome: { executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'] },
  firefox: { executablePath: '/usr/bin/firefox-esr', args: [] },
};

export const launchBrowser = (name) => puppeteer.launch({ browser: name, headless: true, timeout: 60_000, ...BROWSERS[name] });

/**
 * Opens a page of `origin` with a client of `url`, whose `load` asks the test's store. `seen` is what it did. Its timers
 * run `speed` times as fast.
 */
export async function openClient(t, browser, origin, { url = PATH, store = () => null, context, transport, speed = 1 } = {}) {
  const own = context ?? await browser.createBrowserContext();
  if (!context) t.after(() => own.close());
  const page = await own.newPage();
  await page.exposeFunction('store', store);
  await page.goto(`${origin}/readyz`); // any document without a policy of its own
  await page.evaluate(async (url, transport, speed) => {
    const { LiveRecord } = await import('/client.js');
    const began = performance.now();
    window.seen = { shown: [], states: [], loads: [] };
    window.follow = (url) => new LiveRecord(url, {
      load({ reason }) { seen.loads.push(reason); return store(reason); },
      show(record) { seen.shown.push(record && record.n); },
      clock: {
        now: () => performance.now() * speed,
        setTimeout: (run, ms) => setTimeout(run, ms / speed),
        clearTimeout: (timer) => clearTimeout(timer),
      },
      transport,
    });
    window.record = follow(url);
    record.addEventListener('state', ({ detail }) => seen.states.push({ at: performance.now() - began, ...detail }));
  }, url, transport, speed);
  const seen = () => page.evaluate(() => ({ ...seen, state: record.state }));
  return {
    page,
    seen,
    is: (state) => until(async () => (await seen()).state === state, `the client is ${state}`),
    shows: (n) => until(async () => (await seen()).shown.at(-1) === n, `the client shows ${n}`),
  };
}
