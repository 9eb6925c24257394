#![no_main]

use std::collections::VecDeque;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use saacms_realtime_core::_fuzz::sse_encode_decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sse_encode_decode(
    bytes,
    &[
        by_eventsource_stream as fn(&[u8]) -> Vec<[String; 3]>,
        by_sse_stream
    ]
));

/// All bytes are there at once, so the futures are ready when they are first polled.
const READY: &str = "nothing waits";

fn by_eventsource_stream(stream: &[u8]) -> Vec<[String; 3]> {
    use eventsource_stream::Eventsource as _;
    let bytes = stream::iter([Ok::<_, core::convert::Infallible>(stream.to_vec())]);
    let events = bytes
        .eventsource()
        .collect::<Vec<_>>()
        .now_or_never()
        .expect(READY);
    events
        .into_iter()
        .map(|event| {
            let event = event.expect("the decoder reads what we write");
            [event.event, event.data, event.id]
        })
        .collect()
}

fn by_sse_stream(stream: &[u8]) -> Vec<[String; 3]> {
    let bytes = stream::iter([Ok::<_, core::convert::Infallible>(VecDeque::from(
        stream.to_vec(),
    ))]);
    let events = sse_stream::SseStream::from_bytes_stream(bytes);
    let events = events.collect::<Vec<_>>().now_or_never().expect(READY);
    events
        .into_iter()
        .map(|event| {
            let event = event.expect("the decoder reads what we write");
            [event.event, event.data, event.id].map(Option::unwrap_or_default)
        })
        .collect()
}
