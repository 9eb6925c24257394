// The object over a storage that counts rows and can be told to fail, or to call back into the
// object during a call. No runtime does the latter, and the module panics on it.
import { SaacmsRealtimeDO as Inner } from "./index.js";

let mode = "works";
let rowsWritten = 0;
let rowsRead = 0;

/** A cursor whose rows are counted as they are read: not those that it would find. */
function counted(cursor) {
  let [read, written] = [0, 0];
  const count = () => {
    rowsRead += cursor.rowsRead - read;
    rowsWritten += cursor.rowsWritten - written;
    [read, written] = [cursor.rowsRead, cursor.rowsWritten];
  };
  count();
  return {
    [Symbol.iterator]() {
      return this;
    },
    next() {
      const result = cursor.next();
      count();
      return result;
    },
  };
}

export class SaacmsRealtimeDO {
  constructor(ctx, env) {
    const sql = {
      databaseSize: 0,
      exec: (...query) => {
        if (mode === "fails" && /INSERT/.test(query[0])) throw new Error("the disk is full");
        if (mode === "panics" && /INSERT/.test(query[0])) {
          mode = "works";
          this.inner.fetch(new Request("https://do/subscribe"));
        }
        return counted(ctx.storage.sql.exec(...query));
      },
    };
    const state = { id: ctx.id, storage: { sql } };
    for (const name of ["acceptWebSocket", "getWebSockets", "setWebSocketAutoResponse", "getWebSocketAutoResponseTimestamp"]) {
      state[name] = (...parts) => ctx[name](...parts);
    }
    this.inner = new Inner(state, env);
    this.frames = () => ctx.storage.sql.exec("SELECT sum(length(frame)) AS bytes FROM saacms_realtime").one();
  }

  webSocketMessage(socket, message) {
    this.inner.webSocketMessage(socket, message);
  }

  webSocketClose(socket) {
    this.inner.webSocketClose(socket);
  }

  fetch(request) {
    if (request.url.endsWith("/frames")) return Response.json(this.frames());
    const told = request.headers.get("x-told");
    return this.inner.fetch(told === null ? request : new Request(request, { cf: { saacmsRealtime: JSON.parse(told) } }));
  }
}

export default {
  async fetch(request, env) {
    const [, id, what] = new URL(request.url).pathname.split("/");
    if (id === "rows") {
      const rows = { rowsWritten, rowsRead };
      rowsWritten = rowsRead = 0;
      return Response.json(rows);
    }
    if (id === "mode") {
      mode = what;
      return new Response();
    }
    const stub = env.SAACMS_REALTIME.get(env.SAACMS_REALTIME.idFromName(`posts:${id}`));
    return stub.fetch(new Request(`https://do/${what}`, request));
  },
};
