// Every release notices that a client is gone, each in its own way. When the last one is gone, no
// timer is left.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { KEEPALIVE, RELEASES, Stream, ask, changed, frame, publish, start, until } from "./harness.mjs";

const API = "/api/saacms/v1";
const options = { timeout: 60_000 };

for (const release of RELEASES) {
  for (const flags of [["enable_request_signal"], []]) {
    describe(`in ${release} with flags [${flags}]`, options, () => {
      test("heartbeats start with the first client and stop after the last", options, async () => {
        const worker = await start({
          release,
          flags,
          main: "counting.mjs",
          vars: {
            SAACMS_REALTIME_OPEN_PUBLISH: "true",
            SAACMS_REALTIME_HEARTBEAT: "100ms",
            SAACMS_REALTIME_STALL_TIMEOUT: "1s",
          },
        });
        try {
          const timers = async () => Number((await ask(`${worker.url}/timers`)).text);
          const url = `${worker.url}${API}/posts/1/subscribe`;
          const event = changed("1", "v1");

          await publish(worker.url + API, event);
          assert.equal(await timers(), 0, "no client is left");

          const streams = [await Stream.open(url), await Stream.open(url), await Stream.open(url)];
          for (const stream of streams) await stream.has(KEEPALIVE.repeat(3));
          assert.equal(await timers(), 1, "one timer for all");

          streams[0].leave();
          streams[1].leave();
          await publish(worker.url + API, event);
          await streams[2].has(frame(event));

          const seen = streams[2].text.length;
          await until("the one that stayed is kept alive", () => streams[2].text.length > seen + 100);

          streams[2].leave();
          await until("no timer is left", async () => (await timers()) === 0);

          const back = await Stream.open(url);
          await back.has(KEEPALIVE.repeat(3));

          back.leave();
          await until("no timer is left again", async () => (await timers()) === 0);
        } finally {
          await worker.stop();
        }
      });
    });
  }
}
