//! Law 4: all subscribers of a key see the same order, and the hub hands out no event ID twice.

use std::collections::HashSet;

use saacms_realtime_core::{Event, EventIds, HubConfig};

use crate::support::{Chance, Client, Clock, changed, hub, key, publish, quiet_config};

#[test]
fn live_and_replayed_readers_see_the_same_order() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (mut live, _) = Client::join(&hub, &key, None, clock.now());
    let mut eager = Vec::new();
    let (mut reader, _) = Client::join(&hub, &key, None, clock.now());
    for number in 1..=50 {
        publish(&hub, &key, [number], clock.now());
        eager.extend(reader.read(clock.now()));
    }

    let numbers: Vec<_> = (1..=50).map(|number| number.to_string()).collect();
    assert_eq!(eager, numbers);
    assert_eq!(live.read(clock.now()), numbers, "in one piece");

    let (_, replayed) = Client::join(&hub, &key, Some("v10"), clock.now());
    assert_eq!(replayed[1..], numbers[10..]);
}

#[test]
fn no_two_events_share_a_given_id_whatever_the_clock_says() {
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let config = HubConfig {
            event_ids,
            ..quiet_config()
        };
        let (hub, key, mut clock) = (hub(config), key("1"), Clock::new());
        let (mut client, _) = Client::join(&hub, &key, None, clock.now());
        let (mut ids, mut chance) = (HashSet::new(), Chance::new(4));

        for number in 0..2_000 {
            // Steps of at most 2 ms make the wall clock show the same times again and again.
            clock.jump(chance.below(5) as i64 - 2);
            let event = match chance.below(2) {
                0 => Event::deleted(key.clone()),
                _ => changed(&key, number, None),
            };
            hub.publish(event, clock.now()).expect("published");
            assert_eq!(client.read(clock.now()).len(), 1);
            assert!(
                ids.insert(client.last_event_id().to_owned()),
                "{event_ids:?}: given twice"
            );
        }
    }
}

#[test]
fn the_time_id_of_a_resync_is_not_given_to_an_event() {
    let (hub, key, clock) = (hub(quiet_config()), key("1"), Clock::new());
    let (client, said) = Client::join(&hub, &key, Some("unknown"), clock.now());
    assert_eq!(said, ["keepalive", "resync buffer-miss"]);
    let mut reader = Client::connect(&hub, &key, None, clock.now());
    hub.publish(changed(&key, 1, None), clock.now())
        .expect("published");
    reader.read(clock.now());
    assert_ne!(reader.last_event_id(), client.last_event_id());
}

#[test]
fn records_whose_joined_names_could_be_confused_are_separate() {
    let (hub, clock) = (hub(quiet_config()), Clock::new());
    let one = saacms_realtime_core::ResourceKey::new("a", "b:c").expect("valid");
    let other = saacms_realtime_core::ResourceKey::new("a", "b/c").expect("valid");
    let (mut of_one, _) = Client::join(&hub, &one, None, clock.now());
    let (mut of_other, _) = Client::join(&hub, &other, None, clock.now());
    publish(&hub, &one, [1], clock.now());
    publish(&hub, &other, [2], clock.now());
    assert_eq!(of_one.read(clock.now()), ["1"]);
    assert_eq!(of_other.read(clock.now()), ["2"]);
}
