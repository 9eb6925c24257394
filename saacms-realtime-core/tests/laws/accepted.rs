//! Law 6: a publish that is answered with success is in the ring before the answer goes out.

use core::task::{Context, Waker};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use saacms_realtime_core::{Hub, HubConfig, Refusal};

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
    let config = HubConfig {
        max_topics: 1,
        ..quiet_config()
    };
    let (hub, key, clock) = (hub(config), key("1"), Clock::new());
    let _busy = Client::connect(&hub, &key, None, clock.now());
    let before = hub.stats();
    let refused = hub.publish(changed(&crate::support::key("2"), 1, None), clock.now());
    assert_eq!(refused, Err(Refusal::TooManyTopics { limit: 1 }));
    assert_eq!(hub.stats(), before);
}

#[test]
fn a_publish_is_accepted_while_the_hub_drains() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut client, _) = Client::join(&hub, &key, None, clock.now());
    hub.drain();
    publish(&hub, &key, [1], clock.now());
    assert_eq!(client.read(clock.now())[0], "1");
}
