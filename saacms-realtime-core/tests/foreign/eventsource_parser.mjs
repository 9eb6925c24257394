// Drives npm `eventsource-parser`, the parser of `eventsource` and of many fetch-based clients.

import { createParser } from 'eventsource-parser';
import { answerEach } from './driver.mjs';

await answerEach((chunks) => {
  const messages = [];
  let lastEventId = '';
  const parser = createParser({
    onEvent({ event = 'message', data, id = lastEventId }) {
      lastEventId = id;
      messages.push({ type: event, data, lastEventId });
    },
  });
  const decoder = new TextDecoder();
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return messages;
});
