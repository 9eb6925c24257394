// The benchmark's baseline: a plain JavaScript object, written for this purpose, that does what the
// plugin's object is documented to do. It keeps 100 frames in memory and writes each frame to every
// stream, without limits, checks or storage.
export class PlainDO {
  #streams = new Set();
  #ring = [];
  #timer;
  #encoder = new TextEncoder();

  async fetch(request) {
    if (request.method === "POST") {
      const event = await request.json();
      const id = event.etag ?? new Date().toISOString();
      const text = `event: ${event.type}\nid: ${id}\ndata: ${JSON.stringify(event.record)}\n\n`;
      const bytes = this.#encoder.encode(text);
      this.#ring.push({ id, bytes, at: Date.now() });
      while (this.#ring.length > 100 || this.#ring[0]?.at < Date.now() - 3_600_000) this.#ring.shift();
      this.#send(bytes);
      return new Response(null, { status: 204 });
    }

    const last = request.headers.get("Last-Event-ID");
    let own;
    const stream = new ReadableStream({
      start: (controller) => {
        own = controller;
        controller.enqueue(this.#encoder.encode(":keepalive\n\n"));
        const at = this.#ring.findIndex(({ id }) => id === last);
        if (at >= 0) this.#ring.slice(at + 1).forEach(({ bytes }) => controller.enqueue(bytes));
        this.#streams.add(controller);
        this.#timer ??= setInterval(() => this.#send(this.#encoder.encode(":keepalive\n\n")), 30_000);
      },
      cancel: () => {
        this.#streams.delete(own);
        if (this.#streams.size === 0) {
          clearInterval(this.#timer);
          this.#timer = undefined;
        }
      },
    });
    const headers = { "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" };
    return new Response(stream, { headers });
  }

  #send(bytes) {
    for (const controller of this.#streams) {
      try {
        controller.enqueue(bytes);
      } catch {
        this.#streams.delete(controller);
      }
    }
  }
}
