use core::convert::Infallible;
use core::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use eventsource_stream::EventStream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use saacms_realtime_core::sse::Decoder;

use crate::material;

const FRAMES: usize = 100;

/// 100 frames, in pieces of 4 KiB.
pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sse/decode");
    let text: String = (0..FRAMES).map(material::frame).collect();
    let pieces: Vec<Bytes> = text
        .as_bytes()
        .chunks(4_096)
        .map(Bytes::copy_from_slice)
        .collect();
    group.throughput(Throughput::Elements(FRAMES as u64));

    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            let (mut decoder, mut count) = (Decoder::new(1 << 20), 0);
            for piece in &pieces {
                decoder.feed(black_box(piece)).expect("short");
                while let Some(decoded) = decoder.next() {
                    black_box(decoded);
                    count += 1;
                }
            }
            assert_eq!(count, FRAMES);
        });
    });

    // As short as it can be written by hand: no BOM, CR, NUL, second data line, or bytes that are not
    // UTF-8.
    group.bench_function("split_lines", |bencher| {
        bencher.iter(|| {
            let (mut buffer, mut count) = (String::new(), 0);
            for piece in &pieces {
                buffer.push_str(str::from_utf8(black_box(piece)).expect("UTF-8"));
                while let Some(end) = buffer.find("\n\n") {
                    let (mut event, mut id, mut data) = (None, None, None);
                    for line in buffer[..end].lines() {
                        match line.split_once(": ") {
                            Some(("event", value)) => event = Some(value.to_owned()),
                            Some(("id", value)) => id = Some(value.to_owned()),
                            Some(("data", value)) => data = Some(value.to_owned()),
                            _ => {}
                        }
                    }

                    black_box((event, id, data));
                    buffer.drain(..end + 2);
                    count += 1;
                }
            }
            assert_eq!(count, FRAMES);
        });
    });

    group.bench_function("eventsource_stream", |bencher| {
        bencher.iter(|| {
            let pieces = stream::iter(pieces.iter().cloned().map(Ok::<_, Infallible>));
            let count = EventStream::new(pieces)
                .map(black_box)
                .count()
                .now_or_never();
            assert_eq!(count, Some(FRAMES));
        });
    });
    group.finish();
}
