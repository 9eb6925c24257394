/** Waits until `condition` returns a truthy value, and returns it. `what` names it in the error. */
export async function until(condition, what, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}
