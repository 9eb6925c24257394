// LiveRecord against the real hub, in Node.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveRecord } from '../../client/client.js';
import { startHub } from './helpers/hub.mjs';
import { startProxy } from './helpers/proxy.mjs';
import { until } from './helpers/until.mjs';

const timeout = 90_000;
const PATH = '/api/saacms/v1/posts/1/subscribe';
const publish = async (hub, n) => assert.equal((await hub.publish({ record: { n }, etag: `v${n}` })).status, 204);

test('a client works in Node', { timeout }, async (t) => {
  const hub = await startHub(t);
  const proxy = await startProxy(t, hub.port);
  const shown = [];
  const record = new LiveRecord(new URL(PATH, proxy.origin), { load: () => undefined, show: ({ n }) => shown.push(n) });
  t.after(() => record.close());
  await until(() => record.state === 'live', 'it is live');
  await publish(hub, 1);
  await until(() => shown.length === 1, 'the first event');
  proxy.cut();
  await until(() => record.state === 'waiting', 'the cut');
  await publish(hub, 2);
  proxy.heal();
  await until(() => shown.length === 2, 'the second event');
  assert.equal(proxy.streams().at(-1).lastEventId, 'v1');
  record.close();
  await until(async () => (await (await fetch(`${hub.origin}/healthz`)).json()).subscribers === 0, 'close ends the connection');
  assert.deepEqual(shown, [1, 2]);
});
