// The live page against the Worker in workerd. SAACMS_WORKER_PACKAGE names the built Worker.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { edits, startHub } from './helpers/hub.mjs';
import { launch, openPage } from './helpers/page.mjs';
import { startProxy } from './helpers/proxy.mjs';

const SERVE = fileURLToPath(new URL('../../../../saacms-realtime-worker/tests/serve.mjs', import.meta.url));
const timeout = 90_000;
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(() => browser?.close(), { timeout });

/** Starts the Worker, for pages of `origin`. */
async function startWorker(t, origin, vars = {}) {
  const env = { ...process.env, SAACMS_REALTIME_CORS_ORIGIN: origin, ...vars };
  const child = spawn('node', [SERVE, '--port', '0', '--until-eof'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => { child.stdin.end(); return once(child, 'exit'); });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = line.match(/^Worker on (http:.*)$/)?.[1];
    if (url) return { origin: url, port: Number(new URL(url).port) };
  }
  throw new Error('the Worker did not start');
}

/** The Worker as a hub that `edits` can publish to. */
const publisher = (origin) => ({
  publish: (event) => fetch(`${origin}/api/saacms/v1/publish`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ type: 'changed', slug: 'posts', id: '1', ...event }),
  }),
});

for (const kind of ['etag', 'position']) {
  test(`the page edits through the Worker, is replayed after a cut, and told to refetch after too long (${kind} ids)`, { timeout }, async (t) => {
    const site = await startHub(t); // serves the page only
    const worker = await startWorker(t, site.origin, { SAACMS_REALTIME_EVENT_IDS: kind, SAACMS_REALTIME_MAX_EVENTS: '5' });
    const proxy = await startProxy(t, worker.port);
    const live = await openPage(t, browser, `${site.origin}/?origin=${encodeURIComponent(proxy.origin)}`);
    await live.state('Live');

    await live.publish({ record: { title: 'from the page', n: 1 }, etag: 'W/"1"' });
    await live.published('Accepted');
    await live.counted('events', 1);
    const cms = publisher(worker.origin);

    proxy.cut();
    await live.state('Waiting');
    await edits(cms, 2, 4);
    proxy.heal();
    await live.counted('events', 4);
    assert.deepEqual((await live.frames()).map(({ data }) => JSON.parse(data).n), [1, 2, 3, 4]);
    assert.equal(await live.count('resyncs'), 0);

    proxy.cut();
    await live.state('Waiting');
    await edits(cms, 5, 14);
    proxy.heal();
    await live.counted('resyncs', 1);
    assert.equal(await live.text('#resync-reason'), 'buffer-miss');
    await edits(cms, 15, 15);
    await live.counted('events', 5);
    assert.equal((await live.record()).n, 15);
    assert.equal(await live.count('resyncs'), 1);
  });
}
