// A JavaScript application that uses the object as the plugin does: through its binding, with a
// request that it makes itself.
export { SaacmsRealtimeDO } from "./index.js";

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const [, slug, id, what] = url.pathname.split("/").map(decodeURIComponent);
    const stub = env.SAACMS_REALTIME.get(env.SAACMS_REALTIME.idFromName(`${slug}:${id}`));
    if (what === "subscribe") {
      const headers = new Headers({ Accept: "text/event-stream" });
      const last = request.headers.get("Last-Event-ID");
      if (last !== null) headers.set("Last-Event-ID", last);
      return stub.fetch(new Request("https://do/subscribe", { headers }));
    }

    if (what === "publish") {
      const body = await request.text();
      return stub.fetch(new Request("https://do/publish", { method: "POST", body }));
    }

    // A host that passes everything on, a browser's origin too.
    if (what === "pass") return stub.fetch(new Request("https://do/publish", request));

    // Passed on unchanged, for tests of the object's own HTTP interface.
    return stub.fetch(new Request(`https://do/${what ?? ""}${url.search}`, request));
  },
};
