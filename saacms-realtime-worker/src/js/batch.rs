//! Calls that serve many streams or WebSockets at once: a call into JavaScript costs as much as the rest of
//! a delivery.

use js_sys::{Array, Map, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

// One block, because the build expects one file of it.
#[wasm_bindgen(inline_js = "
export function enqueueAll(controllers, numbers, chunk) {
  const ended = [];
  for (const number of numbers) {
    try {
      controllers.get(number)?.enqueue(chunk);
    } catch {
      ended.push(number);
    }
  }
  return ended;
}

export function sendAll(sockets, numbers, text, place, notes) {
  const ended = [];
  let at = 0;
  for (const number of numbers) {
    const socket = sockets.get(number);
    try {
      socket?.send(text);
      socket?.serializeAttachment([place, notes[at], notes[at + 1], notes[at + 2], notes[at + 3]]);
    } catch {
      ended.push(number);
    }
    at += 4;
  }
  return ended;
}
")]
extern "C" {
    /// Enqueues `chunk` at the controllers of these numbers. Returns the numbers of streams that have
    /// ended.
    #[wasm_bindgen(js_name = enqueueAll)]
    pub(super) fn enqueue_all(
        controllers: &Map,
        numbers: &Uint32Array,
        chunk: &Uint8Array,
    ) -> Array;

    /// Sends `text` to the WebSockets of these numbers, and keeps `place` and four numbers of `notes` with
    /// each. Returns the numbers of WebSockets that have ended.
    #[wasm_bindgen(js_name = sendAll)]
    pub(super) fn send_all(
        sockets: &Map,
        numbers: &[u32],
        text: &str,
        place: &str,
        notes: &[f64],
    ) -> Array;
}

/// The numbers that such a call returned.
pub(super) fn numbers(ended: &Array) -> impl Iterator<Item = u32> {
    ended
        .iter()
        .filter_map(|number| number.as_f64())
        .map(|number| number as u32)
}
