//! Law 3, numbers: topics and subscribers have limits, and a refusal leaves nothing behind.

use saacms_realtime_core::{Hub, HubConfig, Refusal};

use crate::support::{Client, Clock, hub, key, publish, quiet_config};

#[test]
fn an_idle_topic_makes_room_for_a_new_one_the_oldest_first() {
    let config = HubConfig {
        max_topics: 8,
        ..quiet_config()
    };
    let (hub, mut clock) = (hub(config), Clock::new());
    let _busy = Client::connect(&hub, &key("0"), None, clock.now());
    for id in 0..8 {
        publish(&hub, &key(&id.to_string()), [1, 2], clock.advance(1));
    }

    publish(&hub, &key("8"), [1, 2], clock.advance(1));
    assert_eq!(hub.stats().topics, 8);

    let forgotten = |id: &str| {
        Client::join(&hub, &key(id), Some("v1"), clock.now()).1
            == ["keepalive", "resync buffer-miss"]
    };

    // Asking for a forgotten topic creates it again and forgets another, so ask for the newest first.
    assert!(!forgotten("0"), "it has a reader");
    assert!((2..=8).rev().all(|id| !forgotten(&id.to_string())));
    assert!(forgotten("1"));
}

#[test]
fn reconnects_to_made_up_records_leave_every_known_client_its_replay() {
    let config = HubConfig {
        max_topics: 1_000,
        ..quiet_config()
    };
    let (hub, mut clock) = (hub(config), Clock::new());
    // With as many open at once as there is room for.
    let (known, open) = (900, 100);
    for id in 0..known {
        publish(&hub, &key(&format!("known-{id}")), [1, 2], clock.now());
    }

    let made_up = if cfg!(miri) { 1_000 } else { 100_000 };
    for round in 0..made_up / open {
        let readers: Vec<_> = (0..open)
            .map(|id| {
                let key = key(&format!("made-up-{}", round * open + id));
                Client::join(&hub, &key, Some("unknown"), clock.now())
            })
            .collect();
        let resynced = ["keepalive", "resync buffer-miss"];
        assert!(readers.iter().all(|(_, said)| *said == resynced));
        clock.advance(1);
    }

    assert_eq!(hub.stats().topics, known);
    for id in 0..known {
        let key = key(&format!("known-{id}"));
        let (_, said) = Client::join(&hub, &key, Some("v1"), clock.now());
        assert_eq!(said, ["keepalive", "2"], "{key:?}");
    }
    // Places that were given before the flood are good, too: no floor has risen.
    let (_, said) = Client::join(&hub, &key("new"), Some("000000000000feed.0"), clock.now());
    assert_eq!(said, ["keepalive"]);
}

#[test]
fn a_new_reader_is_refused_while_all_topics_are_busy() {
    let config = HubConfig {
        max_topics: 3,
        ..quiet_config()
    };
    let (hub, mut clock) = (hub(config), Clock::new());
    let mut readers: Vec<_> = ["1", "2", "3"]
        .into_iter()
        .map(|id| Client::connect(&hub, &key(id), None, clock.now()))
        .collect();
    let refused = Err(Refusal::TooManyTopics { limit: 3 });

    assert_eq!(subscribe(&hub, "4", &clock), refused);
    assert_eq!(subscribe(&hub, "3", &clock), Ok(()), "one that is there");
    assert_eq!((hub.stats().topics, hub.stats().subscribers), (3, 3));

    publish(&hub, &key("2"), [1], clock.now());
    // A topic with an event outlives its reader, but is idle and makes room.
    readers.remove(1);
    clock.advance(1_000);
    publish(&hub, &key("4"), [1], clock.now());
    assert_eq!(hub.stats().topics, 3);
}

#[test]
fn subscribers_are_refused_over_the_limit_and_accepted_again_below_it() {
    let config = HubConfig {
        max_subscribers: 3,
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    let mut readers: Vec<_> = ["1", "1", "2"]
        .into_iter()
        .map(|id| Client::connect(&hub, &key(id), None, clock.now()))
        .collect();

    for _ in 0..10 {
        let refused = Err(Refusal::TooManySubscribers { limit: 3 });
        assert_eq!(subscribe(&hub, "3", &clock), refused);
    }

    assert_eq!(
        (hub.stats().topics, hub.stats().subscribers),
        (2, 3),
        "no topic was made"
    );

    readers.pop();
    assert_eq!(subscribe(&hub, "3", &clock), Ok(()));
}

#[test]
fn subscribers_of_one_record_are_refused_over_its_limit() {
    let config = HubConfig {
        max_subscribers_per_topic: 2,
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    let mut readers: Vec<_> = (0..2)
        .map(|_| Client::connect(&hub, &key("1"), None, clock.now()))
        .collect();

    for _ in 0..10 {
        let refused = Err(Refusal::TooManySubscribersOfTopic { limit: 2 });
        assert_eq!(subscribe(&hub, "1", &clock), refused);
    }

    assert_eq!(hub.stats().subscribers, 2, "a refusal gives its place back");
    assert_eq!(subscribe(&hub, "2", &clock), Ok(()));

    readers.pop();
    assert_eq!(subscribe(&hub, "1", &clock), Ok(()));
}

#[test]
fn streams_of_one_address_are_refused_over_its_limit() {
    let config = HubConfig {
        max_streams_per_address: 2,
        ..quiet_config()
    };
    let (hub, clock) = (hub(config), Clock::new());
    let subscribe = |address: &str| {
        let address = Some(address.parse().expect("an address"));
        hub.subscribe_from(address, &key("1"), None, clock.now())
    };
    let mut streams: Vec<_> = (0..2)
        .map(|_| subscribe("192.0.2.1").expect("room"))
        .collect();

    let refused = Refusal::TooManyStreamsOfAddress { limit: 2 };
    assert_eq!(subscribe("192.0.2.1").err(), Some(refused));
    assert_eq!(hub.stats().subscribers, 2, "a refusal gives its place back");
    assert!(subscribe("192.0.2.2").is_ok());
    // A stream whose client is not known does not count.
    assert!(hub.subscribe(&key("1"), None, clock.now()).is_ok());

    streams.pop();
    assert!(subscribe("192.0.2.1").is_ok());
}

#[test]
fn a_server_with_few_connections_lowers_the_limit_of_subscribers() {
    let (hub, clock) = (hub(quiet_config()), Clock::new());
    hub.limit_subscribers(1);
    hub.limit_subscribers(2);
    let _reader = Client::connect(&hub, &key("1"), None, clock.now());
    let refused = Err(Refusal::TooManySubscribers { limit: 1 });
    assert_eq!(subscribe(&hub, "1", &clock), refused);
}

#[test]
fn a_subscription_knows_how_many_read_its_record() {
    let (hub, now) = (hub(quiet_config()), Clock::new().now());
    let subscribe = |id| hub.subscribe(&key(id), None, now).expect("room");
    let (first, other) = (subscribe("1"), subscribe("2"));
    assert_eq!(first.subscribers_of_topic(), 1);
    let more = [subscribe("1"), subscribe("1")];
    assert_eq!(
        (first.subscribers_of_topic(), other.subscribers_of_topic()),
        (3, 1)
    );
    drop(more);
    assert_eq!(first.subscribers_of_topic(), 1);
}

fn subscribe(hub: &Hub, id: &str, clock: &Clock) -> Result<(), Refusal> {
    Client::try_connect(hub, &key(id), None, clock.now()).map(drop)
}
