use core::hint::black_box;
use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use criterion::Criterion;
use saacms_realtime_core::{Entry, Hub, HubConfig, Resume, Retention, Ring, Step, Subscriber};
use tokio::sync::broadcast;

use crate::material::{self, NOW};

const LEN: usize = 1_024;

pub(crate) fn benches(criterion: &mut Criterion) {
    push_evict(criterion);
    poll_idle(criterion);
}

fn push_evict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/push_evict");
    let frame = Bytes::from(material::frame(1));

    // As long as the queues beside it, so that each push evicts.
    let mut ring: Ring<Bytes, VecDeque<Entry<Bytes>>> = Ring::new(
        VecDeque::new(),
        Retention {
            max_lag: LEN,
            ..Retention::default()
        },
    );

    group.bench_function("ours", |bencher| {
        bencher.iter(|| ring.push(black_box(&frame).clone(), frame.len(), NOW.instant, drop));
    });

    let mut queue = VecDeque::with_capacity(LEN);
    group.bench_function("vec_deque", |bencher| {
        bencher.iter(|| {
            if queue.len() == LEN {
                queue.pop_front();
            }
            queue.push_back(black_box(&frame).clone());
        });
    });

    // Without a receiver, nothing would be kept.
    let (sender, _receiver) = broadcast::channel(LEN);
    group.bench_function("tokio_broadcast", |bencher| {
        bencher.iter(|| sender.send(black_box(&frame).clone()).is_ok());
    });
    group.finish();
}

fn poll_idle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subscriber/poll_idle");
    let mut cx = Context::from_waker(Waker::noop());

    let mut ring: Ring<u64, VecDeque<Entry<u64>>> =
        Ring::new(VecDeque::new(), Retention::default());
    ring.push(1, 1, NOW.instant, drop);
    let mut subscriber = Subscriber::new(Resume::At(ring.next()), Duration::from_secs(30));
    assert_eq!(
        subscriber.poll(&ring, NOW.instant),
        Step::KeepAlive,
        "the greeting"
    );

    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            let step = subscriber.poll(black_box(&ring), black_box(NOW.instant));
            assert!(matches!(step, Step::Idle { .. }));
        });
    });

    let hub = Hub::new(HubConfig::default(), 1).expect("valid");
    let mut subscription = hub.subscribe(&material::key("1"), None, NOW).expect("room");
    // The greeting.
    drop(subscription.poll(&cx, NOW));
    group.bench_function("ours_in_hub", |bencher| {
        bencher.iter(|| subscription.poll(&cx, black_box(NOW)));
    });

    // The senders are kept, as a closed channel is not an idle one.
    let (_sender, mut receiver) = broadcast::channel::<Bytes>(LEN);
    group.bench_function("tokio_broadcast", |bencher| {
        bencher.iter(|| receiver.try_recv().is_err());
    });

    let (_sender, mut queue) = tokio::sync::mpsc::channel::<Bytes>(LEN);
    group.bench_function("tokio_mpsc", |bencher| {
        bencher.iter(|| queue.poll_recv(&mut cx).is_pending());
    });
    group.finish();
}
