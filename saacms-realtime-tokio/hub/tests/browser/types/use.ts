// Uses of the client that its types must allow, and some that they must refuse. Compiled, never run.

import { LiveRecord, type LiveState } from '../../../client/client.js';
interface Post { title: string; updatedAt: string }
const post = new LiveRecord<Post>(new URL('http://x/y'), {
  async load({ signal, reason }) { const r: string = reason; return (await fetch('/x', { signal })).json() as Promise<Post>; },
  show(record, from) {
    if (from.type === 'loaded') return;
    const text: string = from.data + from.id + record?.title;
  },
  version: (record) => record.updatedAt,
  fetch: (url, init) => fetch(url, { ...init, credentials: 'include' }),
  transport: 'auto',
  WebSocket,
  clock: { now: () => 0, setTimeout: (run, ms) => setTimeout(run, ms), clearTimeout: (timer) => clearTimeout(timer) },
});
post.addEventListener('state', ({ detail }) => { const s: LiveState = detail.state; console.log(detail.reason?.length, detail.problem?.title, s); });
post.addEventListener('error', ({ detail }) => console.log(detail.error));
// @ts-expect-error
new LiveRecord('x', { show() {} });
// @ts-expect-error
new LiveRecord('x', { load() {}, show() {}, transport: 'http' });
// @ts-expect-error
post.state = 'live';
post.close();
