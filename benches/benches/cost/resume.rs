use core::hint::black_box;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use criterion::Criterion;
use saacms_realtime_core::EventIds;

use crate::material::{self, NOW};

pub(crate) fn benches(criterion: &mut Criterion) {
    by_id(criterion, "resume/by_id_100", 100);
    by_id(criterion, "resume/by_id_10k", 10_000);
    by_position(criterion, "resume/by_position_10k", 10_000);
}

/// Position IDs are compared, and an ID that is no ETag is read as a position after it was looked up.
fn by_position(criterion: &mut Criterion, name: &str, len: usize) {
    let mut group = criterion.benchmark_group(name);
    for (function, event_ids) in [
        ("ours", EventIds::Position),
        ("ours_with_etags", EventIds::Etag),
    ] {
        let mut feed = material::feed_of(len, event_ids);
        let ids: Vec<String> = (0..64)
            .map(|step| format!("{:016x}.{}", 0, len * step / 64))
            .collect();
        let mut anywhere = ids.iter().cycle();
        group.bench_function(function, |bencher| {
            bencher.iter(|| {
                let id = black_box(anywhere.next().expect("endless"));
                let reader = feed.subscribe(Some(id.as_bytes()), Duration::from_secs(30), NOW);
                assert_ne!(reader.cursor(), 0, "it is known");
            });
        });
    }
    group.finish();
}

fn by_id(criterion: &mut Criterion, name: &str, len: usize) {
    let mut group = criterion.benchmark_group(name);
    let mut feed = material::feed(len);
    let mut subscribe = |id: &str| {
        let reader = feed.subscribe(Some(id.as_bytes()), Duration::from_secs(30), NOW);
        reader.cursor()
    };

    // Clients that reconnect may be anywhere in the window. Most are near its end: `ours_newest`.
    let ids: Vec<String> = (0..64)
        .map(|step| material::etag(len * step / 64))
        .collect();
    let mut anywhere = ids.iter().cycle();
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            let from = subscribe(black_box(anywhere.next().expect("endless")));
            assert_ne!(from, 0, "it is known");
        });
    });

    let newest = material::etag(len - 1);
    group.bench_function("ours_newest", |bencher| {
        bencher.iter(|| subscribe(black_box(&newest)));
    });

    // An ID from before the window, or from another hub: the answer is a resync.
    group.bench_function("ours_unknown", |bencher| {
        bencher.iter(|| subscribe(black_box("nobody")));
    });

    let window: VecDeque<(String, Bytes)> = (0..len)
        .map(|number| (material::etag(number), Bytes::new()))
        .collect();
    let mut anywhere = ids.iter().cycle();
    group.bench_function("vec_deque_scan", |bencher| {
        bencher.iter(|| {
            let id = black_box(anywhere.next().expect("endless"));
            window.iter().position(|event| event.0 == *id)
        });
    });
    group.finish();
}
