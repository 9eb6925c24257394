use super::*;
use crate::event::Event;
use crate::hub::Hub;
use crate::name::ResourceKey;
use crate::time::Now;
use alloc::string::{String, ToString as _};

fn key(id: &str) -> ResourceKey {
    ResourceKey::new("posts", id).expect("a valid key")
}

fn changed(id: &str, len: usize) -> Event {
    Event::changed(key(id), &"x".repeat(len), None).expect("a valid event")
}

#[test]
fn the_longest_histories_make_room_first() {
    let config = HubConfig {
        max_history_bytes: 65_536,
        ..HubConfig::default()
    };
    let hub = Hub::new(config, 0).expect("a valid configuration");
    let readers = ["short", "long"].map(|id| hub.subscribe(&key(id), None, Now::default()));
    hub.publish(changed("short", 100), Now::default())
        .expect("published");
    for _ in 0..16 {
        hub.publish(changed("long", 4_000), Now::default())
            .expect("published");
    }
    let held = |id| -> Option<usize> {
        let cell = hub.shared.registry.find(&key(id))?;
        Some(lock(&cell).feed.topic.ring().len())
    };
    assert_eq!((readers.len(), held("short")), (2, Some(1)));
    assert!(
        (Some(7)..Some(16)).contains(&held("long")),
        "about the newer half is left"
    );
}

#[test]
fn a_topic_with_a_reader_or_an_event_is_not_removed_as_blank() {
    let hub = Hub::new(HubConfig::default(), 0).expect("a valid configuration");
    let registry = &hub.shared.registry;
    let reader = hub
        .subscribe(&key("read"), None, Now::default())
        .expect("room");
    hub.publish(changed("published", 1), Now::default())
        .expect("published");
    for id in ["read", "published"] {
        registry.remove_if_blank(&key(id));
        assert!(registry.find(&key(id)).is_some(), "{id}");
    }
    drop(reader);
    assert!(registry.find(&key("read")).is_none());
}

#[test]
fn the_map_holds_no_memory_once_all_topics_are_forgotten() {
    let hub = Hub::new(HubConfig::default(), 0).expect("a valid configuration");
    let registry = &hub.shared.registry;
    let capacity = || {
        registry
            .shards
            .iter()
            .map(|shard| lock(shard).topics.capacity())
            .sum::<usize>()
    };
    // Miri takes long over 1,000.
    let topics = if cfg!(miri) { 100 } else { 1_000 };
    for id in 0..topics {
        hub.publish(changed(&id.to_string(), 1), Now::default())
            .expect("published");
    }
    let when_full = capacity();
    registry.sweep(Instant::ZERO);
    assert_eq!(capacity(), when_full, "a full map does not shrink");
    registry.sweep(Instant::from_millis(u64::MAX));
    assert_eq!((registry.topics(), capacity()), (0, 0));
}

#[test]
fn a_second_call_to_make_room_forgets_nothing_more() {
    let config = HubConfig {
        max_topics: 16,
        ..HubConfig::default()
    };
    let hub = Hub::new(config, 0).expect("a valid configuration");
    for id in 0..15 {
        hub.publish(changed(&id.to_string(), 1), Now::default())
            .expect("published");
    }
    hub.shared.registry.reclaim_topics(Instant::ZERO);
    assert_eq!(hub.stats().topics, 15);
}

#[test]
fn a_time_id_is_given_once_however_often_its_topic_is_forgotten() {
    let config = HubConfig {
        max_topics: 1,
        ..HubConfig::default()
    };
    let hub = Hub::new(config, 0).expect("a valid configuration");
    let mut given = Vec::<String>::new();
    for id in ["1", "2", "1", "2"] {
        hub.publish(changed(id, 1), Now::default())
            .expect("the other one is idle");
        let cell = hub.shared.registry.find(&key(id)).expect("published");
        let cell = lock(&cell);
        let ring = cell.feed.topic.ring();
        let crate::ring::At::Item(newest) = ring.at(ring.first()) else {
            panic!("its only event is held")
        };
        given.push(newest.id().as_str().into());
    }
    given.dedup();
    assert_eq!(given.len(), 4, "{given:?}");
}

#[test]
fn events_of_one_topic_have_rising_sequences_whichever_thread_publishes_them() {
    let hub = Hub::new(HubConfig::default(), 0).expect("a valid configuration");
    let (threads, events) = (4, if cfg!(miri) { 5 } else { 1_000 });
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..events {
                    // A publish checks that its number is the highest that its topic has had.
                    hub.publish(changed("1", 1), Now::default()).expect("room");
                }
            });
        }
    });

    let cell = hub.shared.registry.find(&key("1")).expect("published");
    assert_eq!(lock(&cell).feed.topic.newest_sequence(), threads * events);
    assert_eq!(hub.shared.registry.next_sequence(), threads * events + 1);
}
