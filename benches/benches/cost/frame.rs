use core::convert::Infallible;
use core::hint::black_box;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use axum::response::sse::{Event as AxumEvent, Sse};
use axum::response::{IntoResponse as _, Response};
use criterion::{Criterion, Throughput};
use futures_util::stream;
use http_body::Body as _;
use saacms_realtime_core::sse::write_event;
use saacms_realtime_core::{Event, EventId, EventType};

use crate::material;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/encode_300B");
    group.throughput(Throughput::Bytes(material::FRAME_LEN as u64));
    let (frame, data, etag) = (material::frame(1), material::data(), material::etag(1));
    // One buffer for all iterations, so that only the encoding counts.
    let mut out = String::with_capacity(1_024);

    let id = EventId::new(&*etag).expect("valid");
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_event(
                &mut out,
                EventType::Changed,
                black_box(&id),
                black_box(&data),
            )
            .expect("a String is never full");
            black_box(out.len())
        });
    });

    // With an allocation for each frame, which a publish needs.
    group.bench_function("ours_to_new_memory", |bencher| {
        bencher.iter(|| {
            let mut out = String::with_capacity(material::FRAME_LEN);
            write_event(
                &mut out,
                EventType::Changed,
                black_box(&id),
                black_box(&data),
            )
            .expect("a String is never full");
            out
        });
    });

    // The lower bound: a frame that is only copied.
    group.bench_function("memcpy", |bencher| {
        let mut out = vec![0; material::FRAME_LEN];
        bencher.iter(|| {
            out.copy_from_slice(black_box(frame.as_bytes()));
            black_box(&mut out);
        });
    });

    group.bench_function("memcpy_to_new_memory", |bencher| {
        bencher.iter(|| black_box(frame.as_bytes()).to_vec());
    });

    group.bench_function("format", |bencher| {
        bencher.iter(|| {
            let (etag, data) = (black_box(&etag), black_box(&data));
            format!("event: changed\nid: {etag}\ndata: {data}\n\n")
        });
    });

    // axum writes events only as the body of a response, so each iteration polls for one frame of
    // it.
    group.bench_function("axum_event", |bencher| {
        let (etag, data) = (etag.clone(), data.clone());
        let events = stream::repeat_with(move || {
            let event = AxumEvent::default()
                .event("changed")
                .id(&etag)
                .data(black_box(&data));
            Ok::<_, Infallible>(event)
        });

        let mut body = Sse::new(events).into_response().map(Box::pin);
        bencher.iter(|| next_len(&mut body));
    });

    group.finish();

    // All of a publish before the lock: from JSON to an event that is ready for the ring.
    let mut group = criterion.benchmark_group("frame/from_json");
    let body = material::body("1", 1);
    group.bench_function("ours", |bencher| {
        bencher.iter(|| Event::from_json(black_box(body.as_bytes())));
    });

    group.bench_function("serde_json_and_format", |bencher| {
        bencher.iter(|| {
            let event: serde_json::Value = serde_json::from_str(black_box(&body)).expect("JSON");
            let etag = event["etag"].as_str().unwrap_or_default();
            format!("event: changed\nid: {etag}\ndata: {}\n\n", event["record"])
        });
    });
    group.finish();
}

fn next_len(response: &mut Response<Pin<Box<axum::body::Body>>>) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(frame))) = response.body_mut().as_mut().poll_frame(&mut cx) else {
        unreachable!("the stream has no end and no errors")
    };
    frame.data_ref().map_or(0, |data| data.len())
}
