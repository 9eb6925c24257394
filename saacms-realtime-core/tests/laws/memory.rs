//! Law 3, bytes: all histories together are bounded, and readers add nothing to them.

use core::time::Duration;

use saacms_realtime_core::feed::{self, Feed, NoStore};
use saacms_realtime_core::{Epoch, Event, Hub, HubConfig};

use crate::support::{Chance, Client, Clock, hub, key, padded, publish, quiet_config, sweep};

const LIMIT: usize = 65_536;

fn small_hub() -> Hub {
    hub(HubConfig {
        max_history_bytes: LIMIT,
        ..quiet_config()
    })
}

/// Whether this record still knows the event ID `v`.
fn is_known(hub: &Hub, id: &str, clock: &Clock) -> bool {
    Client::join(hub, &key(id), Some("v"), clock.now()).1 == ["keepalive"]
}

#[test]
fn history_within_its_limit_is_left_alone() {
    let (hub, mut clock) = (small_hub(), Clock::new());
    for id in ["a", "b", "c"] {
        hub.publish(padded(&key(id), 20_000, Some("v")), clock.advance(1))
            .expect("published");
    }
    assert!((60_000..LIMIT).contains(&hub.stats().history_bytes));
    assert!(
        ["a", "b", "c"]
            .into_iter()
            .all(|id| is_known(&hub, id, &clock))
    );
}

#[test]
fn the_topic_that_was_idle_longest_goes_first_and_a_busy_one_stays() {
    let (hub, mut clock) = (small_hub(), Clock::new());
    let _busy = Client::connect(&hub, &key("busy"), None, clock.now());
    for id in ["busy", "b", "a", "c"] {
        hub.publish(padded(&key(id), 15_000, Some("v")), clock.advance(1))
            .expect("published");
    }

    // `b` was published to before `a`, but it had a reader until now, so `a` is idle longer.
    drop(Client::connect(&hub, &key("b"), None, clock.advance(1)));
    hub.publish(padded(&key("d"), 10_000, Some("v")), clock.advance(1))
        .expect("published");

    let known: String = ["busy", "a", "b", "c", "d"]
        .into_iter()
        .filter(|id| is_known(&hub, id, &clock))
        .collect();
    assert_eq!(known, "busybcd", "one was enough: {:?}", hub.stats());
}

#[test]
fn an_eighth_of_the_limit_is_made_free_and_no_more() {
    const TARGET: usize = LIMIT - LIMIT / 8;

    let (hub, mut clock) = (small_hub(), Clock::new());
    // An empty event measures the overhead of each event.
    hub.publish(padded(&key("old"), 0, Some("v")), clock.now())
        .expect("published");

    let empty = hub.stats().history_bytes;
    let mut publish = |id, bytes| {
        hub.publish(padded(&key(id), bytes - empty, Some("v")), clock.advance(1))
            .expect("published");
    };

    publish("old", 10_000 - empty);
    publish("a", 30_000);
    // This exceeds the limit. Without `old`, the sum is exactly the target.
    publish("b", TARGET - 30_000);
    assert_eq!(hub.stats().history_bytes, TARGET, "the oldest was enough");
    assert!(["a", "b"].into_iter().all(|id| is_known(&hub, id, &clock)));
}

#[test]
fn an_eighth_of_the_limit_is_free_after_it_was_exceeded() {
    let (hub, mut clock) = (small_hub(), Clock::new());
    hub.publish(padded(&key("0"), 0, Some("v")), clock.now())
        .expect("published");
    let empty = hub.stats().history_bytes;

    hub.publish(padded(&key("0"), 1_000 - 2 * empty, Some("v")), clock.now())
        .expect("published");

    // 65 records of 1,000 bytes fit. The 66th makes room down to 57,344 bytes: 57 records.
    for id in 1..66 {
        let event = padded(&key(&id.to_string()), 1_000 - empty, Some("v"));
        hub.publish(event, clock.advance(1)).expect("published");
    }

    assert_eq!(
        (hub.stats().topics, hub.stats().history_bytes),
        (57, 57_000)
    );
}

#[test]
fn histories_are_halved_again_if_once_is_not_enough() {
    let (hub, clock, key) = (small_hub(), Clock::new(), key("1"));
    let _busy = Client::connect(&hub, &key, None, clock.now());
    hub.publish(padded(&key, 0, Some("v")), clock.now())
        .expect("published");
    let empty = hub.stats().history_bytes;
    for bytes in [&[1_000; 60][..], &[56_500]].concat() {
        hub.publish(padded(&key, bytes - empty, Some("v")), clock.now())
            .expect("published");
    }
    // The newer half is the large event and one small one: still more than may stay.
    assert_eq!(hub.stats().history_bytes, 0);
}

#[test]
fn the_older_half_of_a_history_is_freed_if_all_topics_are_busy() {
    let (hub, mut clock) = (small_hub(), Clock::new());
    let key = key("1");
    let _busy = Client::connect(&hub, &key, None, clock.now());
    for number in 1..=22 {
        let etag = format!("v{number}");
        hub.publish(padded(&key, 3_000, Some(&etag)), clock.advance(1))
            .expect("published");
    }
    let answer = |id: &str| Client::join(&hub, &key, Some(id), clock.now()).1;
    assert!(hub.stats().history_bytes <= LIMIT, "{:?}", hub.stats());
    assert_eq!(answer("v2"), ["keepalive", "resync buffer-miss"]);
    assert_eq!(answer("v15").len(), 1 + 7, "the newer half is there");
}

#[test]
fn an_event_that_is_larger_than_the_limit_leaves_no_more_than_the_limit() {
    let (hub, clock, key) = (small_hub(), Clock::new(), key("1"));
    let (mut reader, _) = Client::join(&hub, &key, None, clock.now());
    hub.publish(padded(&key, 2 * LIMIT, Some("v1")), clock.now())
        .expect("published");
    assert_eq!(hub.stats().history_bytes, 0);
    assert_eq!(
        reader.read(clock.now()),
        ["resync lagged"],
        "and no reader misses it silently"
    );
    publish(&hub, &key, [2], clock.now());
    assert_eq!(reader.read(clock.now()), ["2"]);
}

#[test]
fn no_sequence_of_publishes_brings_the_history_over_its_limit() {
    let (hub, mut clock, mut chance) = (small_hub(), Clock::new(), Chance::new(3));
    let keys: Vec<_> = (0..30).map(|id| key(&id.to_string())).collect();
    let mut readers = Vec::new();
    for _ in 0..3_000 {
        let event = padded(chance.pick(&keys), chance.below(9_000) as usize, None);
        hub.publish(event, clock.advance(chance.below(50)))
            .expect("published");
        assert!(hub.stats().history_bytes <= LIMIT, "{:?}", hub.stats());
        match chance.below(10) {
            0 => readers.push(Client::connect(&hub, chance.pick(&keys), None, clock.now())),
            1 if !readers.is_empty() => {
                let reader = chance.below(readers.len() as u64) as usize;
                readers.swap_remove(reader).read(clock.now());
            }
            _ => {}
        }
    }

    drop(readers);
    sweep(&hub, clock.advance(86_400_000));
    assert_eq!((hub.stats().history_bytes, hub.stats().topics), (0, 0));
}

#[test]
fn a_ring_holds_little_more_than_its_lag_in_bytes() {
    let config = HubConfig {
        max_events: 2,
        max_lag_bytes: 10_000,
        ..quiet_config()
    };
    let (hub, clock, key) = (hub(config), Clock::new(), key("1"));
    for _ in 0..500 {
        hub.publish(padded(&key, 1_000, None), clock.now())
            .expect("published");
        assert!(hub.stats().history_bytes <= 10_000, "{:?}", hub.stats());
    }
}

#[test]
fn a_reader_that_never_reads_costs_no_history() {
    let (with_readers, without, clock) = (hub(quiet_config()), hub(quiet_config()), Clock::new());
    let key = key("1");
    let asleep: Vec<_> = (0..500)
        .map(|_| Client::connect(&with_readers, &key, None, clock.now()))
        .collect();
    for hub in [&with_readers, &without] {
        publish(hub, &key, 0..5_000, clock.now());
    }

    assert_eq!(
        with_readers.stats().history_bytes,
        without.stats().history_bytes
    );
    assert!(
        without.stats().history_bytes < 1_024 * 500,
        "1,024 events are held"
    );

    for mut reader in asleep {
        assert_eq!(reader.read(clock.now()), ["keepalive", "resync lagged"]);
    }
}

#[test]
fn frames_that_are_joined_for_many_readers_are_counted_and_freed() {
    let (hub, mut clock, key) = (hub(quiet_config()), Clock::new(), key("1"));
    let mut readers: Vec<_> = (0..3)
        .map(|_| Client::join(&hub, &key, None, clock.now()).0)
        .collect();

    publish(&hub, &key, 1..=10, clock.now());
    let history = hub.stats().history_bytes;
    for reader in &mut readers {
        assert_eq!(reader.read(clock.now()).len(), 10);
    }

    let joined = hub.stats().history_bytes - history;
    let frame = "event: changed\nid: v1\ndata: 1\n\n".len();
    assert_eq!(
        joined,
        10 * frame + 2,
        "once for all three; `10` has two digits more"
    );

    // A sweep frees the joined frames and keeps the history.
    sweep(&hub, clock.advance(10_000));
    assert_eq!(hub.stats().history_bytes, history);

    publish(&hub, &key, 11..=12, clock.now());
    readers[0].read(clock.now());
    assert!(hub.stats().history_bytes > history);

    hub.source_lost(&key);
    assert_eq!(hub.stats().history_bytes, 0);
}

#[test]
fn a_frame_keeps_no_more_memory_than_it_is_counted_with() {
    let (hub, clock) = (hub(quiet_config()), Clock::new());
    let blanks = " ".repeat(1 << 20);
    let body = format!(r#"{{"type":"changed","slug":"posts","id":"1","record":[{blanks}1]}}"#);
    let event = Event::from_json(body.as_bytes()).expect("valid");
    hub.publish(event.clone(), clock.now()).expect("published");
    let counted = hub.stats().history_bytes;

    // A feed of its own has buffers that show their memory.
    let mut feed = Feed::new(hub.config(), Epoch::from_number(0));
    let mut reader = feed.subscribe(None, Duration::ZERO, clock.now());
    let _greeting = feed.poll(&mut reader, clock.now());
    let Ok(_) = feed.publish(event, clock.now(), &NoStore);
    let feed::Output::Frames(frame) = feed.poll(&mut reader, clock.now()) else {
        panic!("a frame");
    };
    // `try_into_mut` needs the only handle of the frame.
    drop(feed);
    let memory = frame.try_into_mut().expect("the only owner").capacity();
    assert!(
        counted < 1_000 && memory <= 2 * counted,
        "{memory} bytes for {counted}"
    );
}
