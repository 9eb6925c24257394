use core::hint::black_box;
use core::task::{Context, Waker};
use std::collections::HashMap;
use std::sync::RwLock;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use saacms_realtime_core::{Hub, HubConfig, Lane, Output};
use tokio::sync::broadcast;

use crate::material::{self, NOW};

pub(crate) fn benches(criterion: &mut Criterion) {
    fanout(criterion);
    publish(criterion);
}

/// One event to 1,000 readers, without sockets.
fn fanout(criterion: &mut Criterion) {
    const READERS: usize = 1_000;
    let mut group = criterion.benchmark_group("hub/fanout_1000");
    group.throughput(Throughput::Elements(READERS as u64));

    let hub = Hub::new(HubConfig::default(), 1).expect("valid");
    let cx = Context::from_waker(Waker::noop());
    let mut readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut reader = hub.subscribe(&material::key("1"), None, NOW).expect("room");
            // The greeting is not part of the figure.
            while matches!(reader.poll(&cx, NOW), Output::Frames(_)) {}
            reader
        })
        .collect();
    let event = material::event("1", 1);
    group.bench_function("ours", |bencher| {
        bencher.iter_batched(
            || event.clone(),
            |event| {
                hub.publish(event, NOW).expect("room");
                for reader in &mut readers {
                    let Output::Frames(frames) = reader.poll(&cx, NOW) else {
                        unreachable!()
                    };

                    black_box(frames);
                    // A reader is polled until it is idle, because only then its waker is
                    // registered.
                    let _ = black_box(reader.poll(&cx, NOW));
                }
            },
            BatchSize::SmallInput,
        );
    });

    // Or each publish would wake them, too.
    drop(readers);
    let mut lane = Lane::new(HubConfig::default().heartbeat, Waker::noop().clone());
    for _ in 0..READERS {
        lane.insert(
            hub.subscribe(&material::key("1"), None, NOW).expect("room"),
            (),
        );
    }

    let mut outgoing = Vec::new();
    let mut turn = |lane: &mut Lane<()>| {
        let mut count = 0;
        while lane.collect(NOW) > 0 {
            lane.turn(READERS, NOW, &mut outgoing);
            count += outgoing.len();
            outgoing.drain(..).for_each(|piece| drop(black_box(piece)));
        }
        count
    };

    // The greetings.
    turn(&mut lane);
    group.bench_function("ours_lane", |bencher| {
        bencher.iter_batched(
            || event.clone(),
            |event| {
                hub.publish(event, NOW).expect("room");
                assert_eq!(turn(&mut lane), READERS);
            },
            BatchSize::SmallInput,
        );
    });

    let (sender, _) = broadcast::channel::<Bytes>(1_024);
    let mut receivers: Vec<_> = (0..READERS).map(|_| sender.subscribe()).collect();
    let (etag, data) = (material::etag(1), material::data());
    group.bench_function("tokio_broadcast", |bencher| {
        bencher.iter(|| {
            let frame = format!("event: changed\nid: {etag}\ndata: {data}\n\n");
            sender.send(frame.into()).expect("receivers");
            for receiver in &mut receivers {
                black_box(receiver.try_recv().expect("sent"));
                // A second time, as our readers are polled: this one finds nothing.
                black_box(receiver.try_recv().is_err());
            }
        });
    });
    group.finish();
}

/// Publishing to one of 10,000 records, each with a subscriber.
fn publish(criterion: &mut Criterion) {
    const TOPICS: usize = 10_000;
    let mut group = criterion.benchmark_group("hub/publish_10k_topics");
    let ids: Vec<String> = (0..TOPICS).map(|topic| topic.to_string()).collect();
    // 7,919 is prime: each record gets its turn, and not next to the one before.
    let mut order = (0..TOPICS).map(|step| step * 7_919 % TOPICS).cycle();

    let hub = Hub::new(HubConfig::default(), 1).expect("valid");
    let readers: Vec<_> = ids
        .iter()
        .map(|id| hub.subscribe(&material::key(id), None, NOW).expect("room"))
        .collect();
    let events: Vec<_> = ids.iter().map(|id| material::event(id, 1)).collect();
    group.bench_function("ours", |bencher| {
        bencher.iter_batched(
            || events[order.next().expect("endless")].clone(),
            |event| hub.publish(event, NOW).expect("room"),
            BatchSize::SmallInput,
        );
    });

    drop(readers);

    let topics: RwLock<HashMap<String, _>> = RwLock::new(
        ids.iter()
            .map(|id| (id.clone(), broadcast::channel::<Bytes>(128)))
            .collect(),
    );

    let (etag, data) = (material::etag(1), material::data());
    group.bench_function("map_of_tokio_broadcast", |bencher| {
        bencher.iter(|| {
            let frame = format!("event: changed\nid: {etag}\ndata: {data}\n\n");
            let topics = topics.read().expect("nothing panics here");
            topics[&ids[order.next().expect("endless")]]
                .0
                .send(frame.into())
                .expect("a receiver")
        });
    });
    group.finish();
}
