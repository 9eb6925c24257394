// An application that uses the plugin: it mounts the plugin's route, and publishes what it saves.
import { Hono } from "hono";

export function createApp(plugin) {
  const app = new Hono();
  const { realtime } = plugin.services;

  for (const [key, handler] of Object.entries(plugin.routes)) {
    const [method, path] = key.split(" ");
    app[method.toLowerCase()](path, handler);
  }

  app.put("/api/saacms/v1/:collection/:id", async (c) => {
    const { collection: slug, id } = c.req.param();
    const record = await c.req.json();
    await realtime.publish({ type: "changed", slug, id, record, etag: record.etag });
    return c.body(null, 204);
  });

  app.delete("/api/saacms/v1/:collection/:id", async (c) => {
    const { collection: slug, id } = c.req.param();
    await realtime.publish({ type: "deleted", slug, id });
    return c.body(null, 204);
  });

  app.get("/clients/:collection/:id", (c) => c.text(String(realtime.__subscriberCount(c.req.param("collection"), c.req.param("id")))));

  return app;
}
