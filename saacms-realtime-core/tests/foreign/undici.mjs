// Drives npm `undici`, whose EventSource is the one inside Node, through its `dispatcher` option.

import { Dispatcher, EventSource } from 'undici';
import { answerEach, messagesOf } from './driver.mjs';

/** Answers the first request with `chunks`, and no other. */
class Replay extends Dispatcher {
  #chunks;

  constructor(chunks) {
    super();
    this.#chunks = chunks;
  }

  dispatch(_request, handler) {
    const chunks = this.#chunks;
    this.#chunks = undefined;
    if (chunks) this.#send(chunks, handler);
    return true;
  }

  async #send(chunks, handler) {
    handler.onConnect(() => {});
    const headers = [Buffer.from('content-type'), Buffer.from('text/event-stream')];
    handler.onHeaders(200, headers, () => {}, 'OK');
    for (const chunk of chunks) {
      handler.onData(chunk);
      // Chunks sent in one turn of the event loop would reach the parser as one.
      await new Promise(setImmediate);
    }
    handler.onComplete([]);
  }
}

const messages = messagesOf(EventSource);

await answerEach((chunks) => messages({ dispatcher: new Replay(chunks) }));
