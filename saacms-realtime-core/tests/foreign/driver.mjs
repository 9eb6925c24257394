// What the Node drivers share.

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
  // All clients wait to reconnect.
  process.stdout.write('', () => process.exit());
}

/**
 * Answers how to connect `Client`, an EventSource, for the messages of its first connection. It
 * must never get an answer to a second one.
 */
export function messagesOf(Client) {
  class Recorder extends Client {
    messages = [];

    dispatchEvent(event) {
      // A stream may have messages of type `open` and `error` too.
      if ('lastEventId' in event) {
        const { type, data, lastEventId } = event;
        this.messages.push({ type, data, lastEventId });
      } else if (event.type === 'error') {
        // The stream has ended; undici says so before its parser has got the last chunk.
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
