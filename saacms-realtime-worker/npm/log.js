const MINUTE = 60_000;

/** Returns a function that logs a warning the first time that it is called. */
export function warnOnce(text) {
  let warned = false;
  return () => {
    if (!warned) console.warn(`saacms-realtime: ${text}`);
    warned = true;
  };
}

/** Returns a function that logs a warning at most once a minute, with the number of calls since the last. */
export function warnEachMinute(text) {
  let count = 0;
  let next = -Infinity;
  return () => {
    count += 1;
    if (Date.now() < next) return;
    console.warn(`saacms-realtime: ${text} (${count} since the last line)`);
    count = 0;
    next = Date.now() + MINUTE;
  };
}
