//! Law 6: a publish that is answered with success is in the ring before the answer goes out.

use core::task::{Context, Waker};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use saacms_realtime_core::{EventIds, Hub, HubConfig, Refusal};

use crate::support::{Client, Clock, CountingWaker, changed, hub, key, publish, quiet_config};

#[test]
fn an_accepted_event_is_there_for_the_next_reader() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    publish(&hub, &key, [0], clock.now());
    for number in 1..=50 {
        publish(&hub, &key, [number], clock.now());
        let before = format!("v{}", number - 1);
        let (_, said) = Client::join(&hub, &key, Some(&before), clock.now());
        assert_eq!(said, ["keepalive".to_owned(), number.to_string()]);
    }
    assert_eq!(hub.stats().published, 51);
}

#[test]
fn an_accepted_event_is_there_before_any_reader_is_woken() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    publish(&hub, &key, [0], clock.now());
    let asks = Arc::new(Asks {
        hub: hub.clone(),
        clock,
        answer: Mutex::default(),
    });
    let mut client = Client::connect(&hub, &key, None, clock.now());
    let waker = Waker::from(Arc::clone(&asks));
    client.read_with(&Context::from_waker(&waker), clock.now());
    publish(&hub, &key, [1], clock.now());
    assert_eq!(*asks.answer.lock().expect("no panic"), ["keepalive", "1"]);
}

/// A waker that resumes from the first event when it is called, and keeps the answer.
struct Asks {
    hub: Hub,
    clock: Clock,
    answer: Mutex<Vec<String>>,
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        let (_, said) = Client::join(&self.hub, &key("1"), Some("v0"), self.clock.now());
        *self.answer.lock().expect("no panic") = said;
    }
}

#[test]
fn a_reader_is_woken_once_until_it_polls_again() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (counter, waker) = CountingWaker::new();
    let mut client = Client::connect(&hub, &key, None, clock.now());
    let cx = Context::from_waker(&waker);
    client.read_with(&cx, clock.now());
    assert_eq!(counter.count(), 0);
    publish(&hub, &key, 1..=3, clock.now());
    assert_eq!(counter.count(), 1);
    assert_eq!(client.read_with(&cx, clock.now()), ["1", "2", "3"]);
    publish(&hub, &key, [4], clock.now());
    assert_eq!(counter.count(), 2);
}

#[test]
fn a_refused_event_leaves_nothing_behind() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    hub.drain();
    let before = hub.stats();
    let refused = hub.publish(changed(&key, 1, None), clock.now());
    assert!(matches!(refused, Err(Refusal::Draining { .. })));
    assert_eq!(hub.stats(), before);
}

#[test]
fn whoever_comes_back_to_a_record_whose_event_was_not_kept_is_told_to_refetch() {
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let config = HubConfig {
            max_topics: 1,
            event_ids,
            ..quiet_config()
        };
        let (hub, clock) = (hub(config), Clock::new());
        publish(&hub, &key("1"), [1, 2], clock.now());
        let busy = Client::connect(&hub, &key("2"), None, clock.now());
        assert_eq!(hub.stats().topics, 1, "the first record is forgotten");

        let event = changed(&key("1"), 3, Some("v3"));
        assert_eq!(hub.publish(event, clock.now()), Ok(()));
        let stats = hub.stats();
        assert_eq!(
            (stats.topics, stats.published, stats.history_bytes),
            (1, 3, 0)
        );

        drop(busy);
        // The places before the event, of this record or of another one; then that after it.
        for known in ["000000000000feed.1", "000000000000feed.2"] {
            let (_, said) = Client::join(&hub, &key("1"), Some(known), clock.now());
            assert_eq!(
                said,
                ["keepalive", "resync buffer-miss"],
                "{event_ids:?} {known}"
            );
        }
        let (client, said) = Client::join(&hub, &key("1"), Some("v2"), clock.now());
        assert_eq!(said, ["keepalive", "resync buffer-miss"], "{event_ids:?}");
        assert_eq!(client.last_event_id(), "000000000000feed.3");
        let (_, said) = client.reconnect(&hub, clock.now());
        assert_eq!(said, ["keepalive"], "{event_ids:?}");
    }
}

#[test]
fn a_reader_of_a_full_hub_gets_every_event_of_its_record() {
    let config = HubConfig {
        max_topics: 1,
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    let (mut reader, _) = Client::join(&hub, &key("1"), None, clock.now());
    for number in 0..10 {
        publish(&hub, &key("2"), [number], clock.now());
        publish(&hub, &key("1"), [number], clock.now());
        assert_eq!(reader.read(clock.now()), [number.to_string()]);
    }
}
