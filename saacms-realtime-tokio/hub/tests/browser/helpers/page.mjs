// The live page in Chromium, read and operated as its user does.

import { chromium } from 'playwright-core';
import { until } from './until.mjs';

export const WAIT_MS = 20_000; // the client's pauses grow while attempts fail

export function launch() {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    timeout: 30_000,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

/** Opens the live page in a new context, or in `context`. */
export async function openPage(t, browser, url, { context, ...options } = {}) {
  const own = context ?? await browser.newContext(options);
  if (!context) t?.after(() => own.close());
  const live = new LivePage(await own.newPage());
  await live.page.goto(url);
  return live;
}

export class LivePage {
  constructor(page) {
    this.page = page;
    this.complaints = []; // errors and warnings of the console, and uncaught exceptions
    page.setDefaultTimeout(WAIT_MS);
    page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) this.complaints.push(message.text()); });
    page.on('pageerror', (error) => this.complaints.push(String(error)));
  }

  text(selector) { return this.page.locator(selector).textContent(); }

  /** Waits until the page shows a state: Live, Waiting, ... For one that soon ends, use `noted`. */
  state(name) { return until(async () => await this.text('#state') === name, `state ${name}`, WAIT_MS); }

  /** The lines of the log that are not events, oldest first: 'connected', 'connection lost', 'staying away', ... */
  notes() { return this.page.locator('#log tr.note-row td:last-child').evaluateAll((cells) => cells.reverse().map((cell) => cell.textContent)); }

  /** Waits for a line in the log, which stays there, unlike a state that may soon be over. */
  noted(text) { return until(async () => (await this.notes()).includes(text), `the log says: ${text}`, WAIT_MS); }

  async count(name) { return Number((await this.text(`#count-${name}`)).replaceAll(',', '')); }

  /** Waits until `name` (events, replayed or resyncs) is `value`. */
  async counted(name, value) {
    let now;
    try {
      await until(async () => (now = await this.count(name)) === value, `${value} ${name}`, WAIT_MS);
    } catch (error) {
      throw new Error(`${error.message}, but ${now}`);
    }
  }

  /** The log, oldest first: { type, mark, id, data }. */
  frames() {
    return this.page.locator('#log tr[data-type]').evaluateAll((rows) => rows.reverse().map((row) => ({
      type: row.dataset.type,
      mark: row.dataset.mark,
      id: row.dataset.id,
      data: row.cells[5].textContent,
    })));
  }

  async ids() { return (await this.frames()).map(({ id }) => id); }

  /** The subscriber's copy of the record. */
  async record() { return JSON.parse(await this.text('#record')); }

  /** Publishes through the editor. Fields that are not given stay as they are. */
  async publish({ type, title, record, etag, token } = {}) {
    // `published` must not read the answer to an earlier publish.
    await this.page.locator('#published').evaluate((note) => note.replaceChildren());
    if (type) await this.page.getByRole('radio', { name: type }).check();
    if (record !== undefined) await this.page.getByLabel('Record (JSON)').fill(typeof record === 'string' ? record : JSON.stringify(record));
    if (title !== undefined) await this.page.getByLabel('Title').fill(title);
    if (etag !== undefined) await this.page.getByLabel('ETag').fill(etag);
    if (token !== undefined) await this.page.getByLabel('Publish token').fill(token);
    await this.page.getByRole('button', { name: 'Publish', exact: true }).click();
  }

  /** Waits for the page's result of the last publish, e.g. 'Accepted' or 'Refused'. */
  published(word) {
    return until(async () => {
      const text = await this.text('#published');
      return text.includes(word) && text;
    }, `publish: ${word}`, WAIT_MS);
  }

  async stayAway(seconds) {
    await this.page.getByLabel('Seconds to stay away').fill(String(seconds));
    await this.button('Stay away');
  }

  async flood(count) {
    await this.page.getByLabel('Publish edits').fill(String(count));
    await this.button('Flood');
  }

  button(name) { return this.page.getByRole('button', { name, exact: true }).click(); }
}
