//! Law 3, bytes: what readers hold and do not take is bounded.

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Waker};
use std::sync::Arc;
use std::task::Wake;

use bytes::Bytes;

use saacms_realtime_core::stall::{self, CutSignal};
use saacms_realtime_core::{HubConfig, Output};

use crate::support::{Clock, hub, key, padded, publish, quiet_config, sweep};

#[test]
fn what_readers_hold_counts_once_and_only_what_no_ring_holds() {
    let config = HubConfig {
        max_events: 2,
        max_lag: 2,
        ..quiet_config()
    };
    let (hub, mut clock, key) = (hub(config), Clock::new(), key("1"));
    let mut readers: Vec<_> = (0..3)
        .map(|_| hub.subscribe(&key, None, clock.now()).expect("room"))
        .collect();
    let greetings: Vec<_> = readers
        .iter_mut()
        .map(|reader| next_frames(reader, &clock))
        .collect();
    drop(greetings);
    assert_eq!(hub.stats().unread_bytes, 0);

    hub.publish(padded(&key, 10_000, Some("v1")), clock.advance(1))
        .expect("published");
    let held: Vec<_> = readers
        .iter_mut()
        .map(|reader| next_frames(reader, &clock))
        .collect();
    assert_eq!(hub.stats().unread_bytes, 0, "the ring holds it, too");

    publish(&hub, &key, 2..=3, clock.advance(1));
    let unread = hub.stats().unread_bytes;
    assert!(
        (10_000..11_000).contains(&unread),
        "once for three: {unread}"
    );

    // Two frames that wait together are joined; the ring holds the joined ones, too.
    let joined = next_frames(&mut readers[0], &clock);
    assert_eq!(hub.stats().unread_bytes, unread);
    publish(&hub, &key, 4..=5, clock.advance(1));
    let other = next_frames(&mut readers[1], &clock);
    assert!(
        hub.stats().unread_bytes > unread,
        "no ring holds those any more"
    );

    drop((held, joined, other));
    assert_eq!(hub.stats().unread_bytes, 0);
    sweep(&hub, clock.advance(86_400_000));
    assert_eq!(
        (hub.stats().unread_bytes, hub.stats().history_bytes),
        (0, 0)
    );
}

#[test]
fn readers_that_hold_too_much_are_cut_and_everything_is_given_back() {
    const EVENT: usize = 300_000;

    let config = HubConfig {
        max_unread_bytes: 1 << 20,
        max_history_bytes: 400_000,
        ..quiet_config()
    };
    let (hub, mut clock, key) = (hub(config), Clock::new(), key("1"));
    let mut readers = Vec::new();
    for number in 0..20 {
        let mut reader = hub.subscribe(&key, None, clock.advance(10)).expect("room");
        let _greeting = next_frames(&mut reader, &clock);
        let etag = format!("v{number}");
        hub.publish(padded(&key, EVENT, Some(&etag)), clock.now())
            .expect("published");
        let held = next_frames(&mut reader, &clock);
        let signal = Arc::new(CutSignal::default());
        let stall = hub.stalls().begin(
            stall::Reader::OfStream,
            Arc::clone(&signal) as _,
            clock.now().instant,
        );
        readers.push((signal, stall, held));

        // The sweeper was woken; whoever it cuts ends.
        sweep(&hub, clock.now());
        let cx = Context::from_waker(Waker::noop());
        readers.retain(|(signal, _, _)| signal.poll(&cx).is_pending());
        let unread = hub.stats().unread_bytes;
        assert!(unread <= (1 << 20) + EVENT, "{unread} after {number}");
    }
    assert!(readers.len() < 5 && hub.stats().cut_readers > 10);
    readers.clear();
    assert!(hub.stats().unread_bytes < 1_000, "{:?}", hub.stats());
}

#[test]
fn a_publish_that_brings_unread_bytes_over_their_limit_wakes_the_sweeper() {
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    let config = HubConfig {
        max_unread_bytes: 1 << 20,
        max_events: 1,
        max_lag: 1,
        ..quiet_config()
    };
    let (hub, clock, key) = (hub(config), Clock::new(), key("1"));
    let mut reader = hub.subscribe(&key, None, clock.now()).expect("room");
    let _greeting = next_frames(&mut reader, &clock);
    hub.publish(padded(&key, 2 << 20, Some("v1")), clock.now())
        .expect("published");
    let held = next_frames(&mut reader, &clock);

    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(
        hub.poll_sweep(&Context::from_waker(&waker), clock.now())
            .is_some()
    );
    assert_eq!(woken.0.load(Relaxed), 0);
    // The first event leaves its ring, and the reader still holds it.
    publish(&hub, &key, [2], clock.now());
    assert_eq!(woken.0.load(Relaxed), 1);
    drop(held);
}

fn next_frames(reader: &mut saacms_realtime_core::Subscription, clock: &Clock) -> Bytes {
    match reader.poll(&Context::from_waker(Waker::noop()), clock.now()) {
        Output::Frames(frames) => frames,
        other @ (Output::Idle { .. } | Output::End) => panic!("{other:?}"),
    }
}
