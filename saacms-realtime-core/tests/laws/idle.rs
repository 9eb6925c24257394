//! Law 7: an idle topic is dropped once its history has expired, and a hub without topics needs no
//! timer.

use core::task::{Context, Waker};
use core::time::Duration;

use saacms_realtime_core::{HubConfig, Instant};

use crate::support::{Client, Clock, CountingWaker, hub, key, publish, quiet_config, sweep};

const HOUR: u64 = 3_600_000;

#[test]
fn a_hub_without_topics_needs_no_timer_until_the_first_one_comes() {
    for by_publish in [true, false] {
        let (hub, key, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
        let (counter, waker) = CountingWaker::new();
        let cx = Context::from_waker(&waker);
        for _ in 0..3 {
            assert_eq!(hub.poll_sweep(&cx, clock.advance(60_000)), None);
        }

        assert_eq!(counter.count(), 0);
        let reader = if by_publish {
            publish(&hub, &key, [1], clock.now());
            None
        } else {
            Some(Client::connect(&hub, &key, None, clock.now()))
        };

        assert_eq!(counter.count(), 1, "the first topic");
        // Only the first topic wakes the sweeper. From then on it has a deadline.
        publish(&hub, &crate::support::key("2"), [1], clock.now());
        assert_eq!(counter.count(), 1);

        let next = hub.poll_sweep(&cx, clock.now()).expect("a topic is there");
        assert!(next > clock.now().instant);

        drop(reader);
        assert_eq!(
            hub.poll_sweep(&cx, clock.advance(3 * HOUR)),
            None,
            "all are gone"
        );

        publish(&hub, &key, [1], clock.now());
        assert_eq!(counter.count(), 2, "the first one again");
    }
}

#[test]
fn an_idle_topic_lingers_as_long_as_its_history_and_no_longer() {
    let (hub, key, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
    publish(&hub, &key, 1..=2, clock.now());
    sweep(&hub, clock.advance(HOUR));
    assert_eq!(hub.stats().topics, 1, "exactly `max_age` old");

    let (_, said) = Client::join(&hub, &key, Some("v1"), clock.now());
    assert_eq!(said, ["keepalive", "2"]);

    sweep(&hub, clock.advance(HOUR));
    assert_eq!(
        (hub.stats().topics, hub.stats().history_bytes),
        (1, 0),
        "read a moment ago"
    );

    let (_, said) = Client::join(&hub, &key, Some("v2"), clock.now());
    assert_eq!(said, ["keepalive"], "its newest ID is remembered");

    sweep(&hub, clock.advance(HOUR + 1));
    assert_eq!(hub.stats().topics, 0);
}

#[test]
fn a_topic_lingers_from_its_last_reader_and_not_from_its_last_event() {
    let (hub, key, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut reader, _) = Client::join(&hub, &key, None, clock.now());
    publish(&hub, &key, [1], clock.now());
    // Only this read tells the hub that two hours have passed.
    reader.read(clock.advance(2 * HOUR));
    let id = reader.last_event_id().to_owned();
    drop(reader);
    sweep(&hub, clock.advance(HOUR));
    let (_, said) = Client::join(&hub, &key, Some(&id), clock.now());
    assert_eq!(said, ["keepalive"]);
}

#[test]
fn a_reader_leaves_at_the_latest_time_passed_to_the_hub() {
    let (hub, first, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut reader, _) = Client::join(&hub, &first, None, clock.now());
    publish(&hub, &first, [1], clock.now());
    reader.read(clock.now());
    let id = reader.last_event_id().to_owned();
    // The reader is not polled. A publish to another record tells the hub that two hours passed.
    publish(&hub, &key("2"), [1], clock.advance(2 * HOUR));
    drop(reader);
    sweep(&hub, clock.advance(HOUR));
    let (_, said) = Client::join(&hub, &first, Some(&id), clock.now());
    assert_eq!(said, ["keepalive"]);
}

#[test]
fn a_short_max_age_forgets_no_topic_within_a_minute() {
    let config = HubConfig {
        max_age: Duration::ZERO,
        ..quiet_config()
    };
    let (hub, key, mut clock) = (hub(config), key("1"), Clock::new());
    publish(&hub, &key, 1..=2, clock.now());
    sweep(&hub, clock.advance(60_000));
    let (_, said) = Client::join(&hub, &key, Some("v2"), clock.now());
    assert_eq!(said, ["keepalive"]);
    sweep(&hub, clock.advance(60_001));
    assert_eq!(hub.stats().topics, 0);
}

#[test]
fn a_topic_with_a_reader_is_swept_and_stays() {
    let (hub, key, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut reader, _) = Client::join(&hub, &key, None, clock.now());
    publish(&hub, &key, 1..=2, clock.now());
    reader.read(clock.now());
    for _ in 0..10 {
        sweep(&hub, clock.advance(HOUR + 1));
        assert_eq!((hub.stats().topics, hub.stats().history_bytes), (1, 0));
    }
    publish(&hub, &key, [3], clock.now());
    assert_eq!(reader.read(clock.now()), ["3"]);
}

#[test]
fn a_sweep_comes_at_most_every_ten_seconds_however_often_it_is_polled() {
    let (hub, key, mut clock) = (hub(quiet_config()), key("1"), Clock::new());
    publish(&hub, &key, 1..=2, clock.now());
    let due = sweep(&hub, clock.now()).expect("a topic is there");
    assert_eq!(due.millis_since(clock.now().instant), 10_000);
    clock.advance(9_999);
    assert_eq!(sweep(&hub, clock.now()), Some(due));
    clock.advance(1);
    assert!(sweep(&hub, clock.now()) > Some(due));
}

#[test]
fn the_last_reader_of_a_blank_topic_leaves_nothing_behind() {
    let (hub, clock) = (hub(quiet_config()), Clock::new());
    for id in 0..100 {
        let (one, _) = Client::join(&hub, &key(&id.to_string()), None, clock.now());
        let (two, _) = Client::join(&hub, &key(&id.to_string()), None, clock.now());
        drop(one);
        assert_eq!(hub.stats().topics, 1, "it still has a reader");
        drop(two);
        assert_eq!((hub.stats().topics, hub.stats().subscribers), (0, 0));
    }
}

#[test]
fn a_topic_that_never_had_an_event_leaves_though_it_gave_out_an_id_which_stays_good() {
    let (hub, clock) = (hub(quiet_config()), Clock::new());
    let (client, said) = Client::join(&hub, &key("1"), Some("unknown"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    let position = client.last_event_id().to_owned();
    drop(client);
    assert_eq!(hub.stats().topics, 0);

    publish(&hub, &key("1"), 1..=2, clock.now());
    let (_, said) = Client::join(&hub, &key("1"), Some(&position), clock.now());
    assert_eq!(said, ["keepalive", "1", "2"]);
}

#[test]
fn an_idle_reader_wakes_exactly_at_its_heartbeat_or_never() {
    let heartbeat = Duration::from_secs(30);
    let (live, key, mut clock) = (
        hub(HubConfig {
            heartbeat,
            ..quiet_config()
        }),
        key("1"),
        Clock::new(),
    );
    let (mut reader, _) = Client::join(&live, &key, None, clock.now());

    for _ in 0..3 {
        let wake_at = reader.wake_at.expect("a heartbeat");
        assert_eq!(wake_at.millis_since(clock.now().instant), 30_000);
        assert_eq!(reader.read(clock.advance(29_999)), [""; 0]);
        assert_eq!(reader.wake_at, Some(wake_at), "a poll postpones nothing");
        assert_eq!(reader.read(clock.advance(1)), ["keepalive"]);
    }

    publish(&live, &key, [1], clock.advance(10_000));
    reader.read(clock.now());
    let due = Instant::from_millis(clock.now().instant.as_millis() + 30_000);
    assert_eq!(reader.wake_at, Some(due), "a write does (Q42)");

    let off = hub(quiet_config());
    let (reader, _) = Client::join(&off, &key, None, clock.now());
    assert_eq!(reader.wake_at, None);
}

#[test]
fn a_reader_that_left_is_no_longer_woken() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (counter, waker) = CountingWaker::new();
    let (mut gone, _) = Client::join(&hub, &key, None, clock.now());
    let _stays = Client::join(&hub, &key, None, clock.now());

    gone.read_with(&Context::from_waker(&waker), clock.now());
    drop(gone);
    // After this, only the hub could still hold a waker.
    drop(waker);
    assert_eq!(
        std::sync::Arc::strong_count(&counter),
        1,
        "its waker is not kept"
    );

    publish(&hub, &key, [1], clock.now());
    assert_eq!(counter.count(), 0);
}

#[test]
fn the_waker_of_the_last_poll_counts() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let [(first, first_waker), (second, second_waker)] =
        [CountingWaker::new(), CountingWaker::new()];
    let (mut reader, _) = Client::join(&hub, &key, None, clock.now());
    for waker in [&first_waker, &second_waker, Waker::noop(), &second_waker] {
        reader.read_with(&Context::from_waker(waker), clock.now());
    }
    publish(&hub, &key, [1], clock.now());
    assert_eq!((first.count(), second.count()), (0, 1));
}
