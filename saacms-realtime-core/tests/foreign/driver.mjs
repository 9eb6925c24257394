// Shared by the Node drivers.

import { createInterface } from 'node:readline';

/** Reads `{"id", "chunks": [hex]}` per line of stdin, writes `{"id", "messages" | "error"}`. */
export async function answerEach(read) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, chunks } = JSON.parse(line);
    let answer;
    try {
      answer = { messages: await read(chunks.map((hex) => Buffer.from(hex, 'hex'))) };
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify({ id, ...answer }) + '\n');
  }
  // Exit, because every client now waits to reconnect.
  process.stdout.write('', () => process.exit());
}

/**
 * Returns a function that connects `Client`, an EventSource, and resolves with the messages of its
 * first connection. A second connection must never be answered.
 */
export function messagesOf(Client) {
  class Recorder extends Client {
    messages = [];

    dispatchEvent(event) {
      // Messages of a stream may have the types `open` and `error` too.
      if ('lastEventId' in event) {
        const { type, data, lastEventId } = event;
        this.messages.push({ type, data, lastEventId });
      } else if (event.type === 'error') {
        // The stream has ended. undici reports that before its parser has the last chunk.
        setImmediate(() => this.done(this.messages));
      }
      return super.dispatchEvent(event);
    }
  }
  return (init) =>
    new Promise((resolve) => {
      new Recorder('http://stream.invalid/', init).done = resolve;
    });
}
