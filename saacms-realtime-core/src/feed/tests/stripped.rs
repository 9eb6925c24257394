use super::*;

/// Keeps the slots and numbers of stripped events.
#[derive(Default)]
struct Stripped(RefCell<Vec<(u64, u64)>>);

impl Store for Stripped {
    type Error = Infallible;

    fn save(&self, _: Row<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn strip(&self, slot: u64, number: u64) {
        self.0.borrow_mut().push((slot, number));
    }
}

#[test]
fn the_oldest_events_leave_a_history_that_is_too_large_and_its_store() {
    let now = Now::from_millis(0, 0);
    let stored = publish(&mut feed(ETAGS), "v", 5, now);
    let size = stored[0].size();
    let config = |max_history_bytes| HubConfig {
        max_events: 3,
        max_history_bytes,
        ..HubConfig::default()
    };

    let mut feed = Feed::new(&config(2 * size), Epoch::from_number(0xe));
    let store = Stripped::default();
    for number in 0..5 {
        let body = format!(
            r#"{{"type":"changed","slug":"s","id":"i","record":{number},"etag":"v{number}"}}"#
        );
        let event = Event::from_json(body.as_bytes()).expect("valid");
        feed.publish(event, now, &store).expect("saved");
    }
    assert_eq!(store.0.into_inner(), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(feed.history_bytes(), 2 * size);
    assert!(all(&mut feed, Some("v1"), now).contains("buffer-miss"));
    let known = all(&mut feed, Some("v2"), now);
    assert!(
        known.contains("id: v3\n") && known.contains("id: v4\n"),
        "{known}"
    );

    let mut restored = Feed::new(&config(0), Epoch::from_number(0xe));
    restored.restore(None, stored, now);
    assert_eq!(restored.replayable(now), 1, "the newest event stays");
}

#[test]
fn a_feed_whose_events_were_forgotten_continues_after_the_newest() {
    let at = |millis| Now::from_millis(millis, millis as i64);
    for event_ids in [EventIds::Etag, EventIds::Position] {
        let mut first = feed(event_ids);
        assert_eq!(first.newest(), None);
        let stored = publish(&mut first, "v", 5, at(1_000));
        let place = first.newest().expect("known");
        assert_eq!(place, stored[4].clone().into());

        let mut second = feed(event_ids);
        second.restore(Some(place), [], at(4_000_000));
        assert_eq!(second.position(), first.position());
        assert_eq!(
            second.newest().map(|place| place.id),
            first.newest().map(|place| place.id)
        );
        let known = [stored[4].id.as_str(), "000000000000000e.5"];
        for id in known {
            assert_eq!(all(&mut second, Some(id), at(4_000_000)), KEEPALIVE, "{id}");
        }
        for id in [
            stored[3].id.as_str(),
            "000000000000000e.4",
            "000000000000000e.6",
        ] {
            assert!(
                all(&mut second, Some(id), at(4_000_000)).contains("buffer-miss"),
                "{id}"
            );
        }

        let next = publish(&mut second, "w", 1, at(4_000_000));
        assert_eq!(next[0].number, 6);
        for id in known {
            let frames = all(&mut second, Some(id), at(4_000_000));
            assert!(frames.contains("event: changed\n"), "{id}: {frames}");
        }
    }
}

#[test]
fn a_place_that_the_events_do_not_follow_is_not_known() {
    let now = Now::from_millis(0, 0);
    let stored = publish(&mut feed(ETAGS), "v", 4, now);
    let mut feed = feed(ETAGS);
    feed.restore(Some(stored[0].clone().into()), stored[2..].to_vec(), now);
    assert!(all(&mut feed, Some("v0"), now).contains("buffer-miss"));
    assert_eq!(feed.replayable(now), 2);
}

#[test]
fn an_event_that_has_lost_its_slot_is_not_stripped_from_it() {
    let now = Now::from_millis(0, 0);
    let mut feed = feed(ETAGS);
    let stored = publish(&mut feed, "v", 4, now);
    feed.max_bytes = 4 * stored[0].size();

    let store = Stripped::default();
    let key = crate::name::ResourceKey::new("s", "i").expect("valid");
    let event = Event::changed(key, &"x".repeat(3 * stored[0].size()), Some("w")).expect("valid");
    feed.publish(event, now, &store).expect("saved");
    // Of four slots, the fifth event has that of the first.
    assert_eq!(store.0.into_inner(), [(2, 2), (3, 3), (0, 4)]);
}
