// Drives the client npm `eventsource` through its `fetch` option.

import { EventSource } from 'eventsource';
import { answerEach, messagesOf } from './driver.mjs';

const messages = messagesOf(EventSource);

await answerEach((chunks) => {
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  const first = new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  const responses = [first][Symbol.iterator]();
  const never = new Promise(() => {});
  return messages({ fetch: async () => responses.next().value ?? never });
});
