// The object over a store that a release before positions of a hub has written: `posts/older` with the
// events 4 to 6 of six, of which 5 and 6 have no ETag. Their times ran ahead of the clock, as those of
// a burst did.
import { SaacmsRealtimeDO as Inner } from "./index.js";

const EPOCH = "00c0ffee00c0ffee";
/** Later than the clock. */
const AHEAD = Date.UTC(2100, 0, 1);
const time = (millis) => new Date(millis).toISOString();

const ROWS = [
  { number: 4, latest: AHEAD, id: "v4", record: 4 },
  { number: 5, latest: AHEAD + 1, id: time(AHEAD + 1), record: 5 },
  { number: 6, latest: AHEAD + 2, id: time(AHEAD + 2), record: 6 },
];

export class SaacmsRealtimeDO {
  constructor(ctx, env) {
    const { sql } = ctx.storage;
    sql.exec(`CREATE TABLE IF NOT EXISTS saacms_realtime (
      slot INTEGER PRIMARY KEY, number INTEGER NOT NULL, pushed_at INTEGER NOT NULL,
      latest_time INTEGER, epoch TEXT NOT NULL, slug TEXT NOT NULL, record TEXT NOT NULL,
      id TEXT NOT NULL, frame BLOB NOT NULL)`);
    if ([...sql.exec("SELECT 1 AS one FROM saacms_realtime")].length === 0) {
      for (const { number, latest, id, record } of ROWS) {
        const frame = new TextEncoder().encode(`event: changed\nid: ${id}\ndata: {"v":${record}}\n\n`);
        // Without the zeros at the front, as an epoch was written.
        const values = [number % 4, number, Date.now(), latest, EPOCH.replace(/^0+/, ""), "posts", "older", id, frame];
        sql.exec("INSERT INTO saacms_realtime VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", ...values);
      }
    }
    this.inner = new Inner(ctx, env);
  }

  fetch(request) {
    return this.inner.fetch(request);
  }
}

export default {
  fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/rows") return Response.json({ epoch: EPOCH, ids: ROWS.map(({ id }) => id) });
    const stub = env.SAACMS_REALTIME.get(env.SAACMS_REALTIME.idFromName("posts:older"));
    return stub.fetch(new Request(`https://do${url.pathname}`, request));
  },
};
