use std::time::Duration;

use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{Event, Link};
use saacms_realtime_tokio::engine::disk::{File, Folder, Keep, OpenError, Store};

use crate::world::{
    ALL, LONG, TempDir, at, batch, has_time_id, keep, key, publish, sequences, text, with_store,
};

#[test]
fn a_store_that_is_opened_again_has_the_newest_events_of_each_record() {
    let dir = TempDir::new("again");
    let life = with_store(dir.path(), keep(3), |store| {
        for round in 0..5 {
            for record in 0..2 {
                publish(store, record, &format!("{record}-{round}"), at(round));
            }
        }
        store.life()
    });

    with_store(dir.path(), keep(3), |store| {
        assert_eq!((store.life(), store.last()), (life, 10));
        let (run, span) = store.run(&key(0), 0).expect("whole");
        assert_eq!(sequences(&run), [5, 7, 9]);
        assert_eq!((span.since, span.upto), (0, 10));
        let texts: Vec<_> = run.iter().map(|told| text(&told.event)).collect();
        assert_eq!(texts, ["0-2", "0-3", "0-4"]);
        let before = |told: u64| Link::After {
            sequence: told,
            print: Some(life.number),
        };
        assert_eq!(run[0].link, before(3));

        // The sequence goes on, over all records.
        let told = publish(store, 0, "after", at(9));
        assert_eq!((told.mark.sequence, told.link), (11, before(9)));
        let told = publish(store, 7, "first", at(9));
        assert_eq!((told.mark.sequence, told.link), (12, Link::First));
        assert_eq!(sequences(&store.run(&key(0), 9).expect("whole").0), [9, 11]);
    });
}

#[test]
fn more_or_fewer_events_are_kept_from_the_next_start_on() {
    let dir = TempDir::new("keep");
    let run = |keep_events: usize, publishes: u64| {
        with_store(dir.path(), keep(keep_events), |store| {
            for _ in 0..publishes {
                publish(store, 1, "text", at(0));
            }
            sequences(&store.run(&key(1), 0).expect("whole").0)
        })
    };

    assert_eq!(run(5, 7), [3, 4, 5, 6, 7]);
    // Fewer, at once and after the next event.
    assert_eq!(run(2, 0), [6, 7]);
    assert_eq!(run(2, 1), [7, 8]);
    // More, from what is left.
    assert_eq!(run(4, 1), [7, 8, 9]);
    assert_eq!(run(4, 3), [9, 10, 11, 12]);
    // There and back without an event in between.
    assert_eq!(run(9, 0), [9, 10, 11, 12]);
    assert_eq!(run(4, 1), [10, 11, 12, 13]);
    assert_eq!(run(1, 1), [14]);
}

#[test]
fn a_record_is_forgotten_a_day_after_its_newest_event_unless_it_is_watched() {
    let dir = TempDir::new("remember");
    with_store(dir.path(), keep(3), |store| {
        for record in 0..4 {
            publish(store, record, "old", at(0));
        }
        store.watch(&key(2));
        let later = at(LONG.as_millis() as i64);
        publish(store, 3, "young", later);

        // All records are looked at within an hour.
        for _ in 0..3_601 {
            store.tend(later, ALL).expect("can be tended");
        }
        let newest = |store: &mut Store<'_>, record| {
            let (newest, span) = store.newest(&key(record)).expect("whole");
            (newest.map(|told| told.mark.sequence), span.since)
        };
        assert_eq!(newest(store, 0), (None, 2));
        assert_eq!(newest(store, 1), (None, 2));
        assert_eq!(newest(store, 2), (Some(3), 0));
        assert_eq!(newest(store, 3), (Some(5), 0));

        // What begins anew has a span that begins after all that was forgotten.
        publish(store, 0, "anew", later);
        assert_eq!(newest(store, 0), (Some(6), 2));
    });
    // And so it does in the next process.
    with_store(dir.path(), keep(3), |store| {
        let span = store.newest(&key(1)).expect("whole").1;
        assert_eq!((span.since, span.upto), (2, 6));
    });
}

#[test]
fn records_that_are_looked_at_one_by_one_are_all_looked_at() {
    let dir = TempDir::new("one-by-one");
    with_store(dir.path(), keep(3), |store| {
        for record in 0..500 {
            publish(store, record, "old", at(0));
        }
        let later = at(LONG.as_millis() as i64);
        let mut calls = 0;
        for _ in 0..60 {
            store.tend(later, Duration::ZERO).expect("can be tended");
            while store.is_tending() {
                store.resume(later, Duration::ZERO).expect("can be tended");
                calls += 1;
            }
        }
        assert!(calls >= 500, "{calls}");
        for record in 0..500 {
            assert!(!store.has(&key(record)).expect("whole"), "{record}");
        }
    });
}

#[test]
fn a_time_is_the_id_of_one_event_of_a_record_and_none_while_the_clock_is_set_back() {
    let dir = TempDir::new("times");
    with_store(dir.path(), keep(2), |store| {
        assert!(has_time_id(&publish(store, 1, "a", at(5))));
        assert!(!has_time_id(&publish(
            store,
            1,
            "in the same millisecond",
            at(5)
        )));
        assert!(has_time_id(&publish(store, 2, "of another record", at(5))));
        // An ETag is the ID of its event.
        let etag = Packed::new(&Event::changed(key(1), "b", Some("v1")).expect("valid"));
        let told = store.publish(&mut batch([(key(1), etag)]), at(6));
        assert!(!has_time_id(&told.expect("there is room")[0]));
        assert!(has_time_id(&publish(
            store,
            1,
            "the time is still free",
            at(6)
        )));
        assert!(has_time_id(&publish(store, 1, "far ahead", at(3_600_000))));
    });

    // Set back over a restart, and long enough that the event from then is no longer kept.
    with_store(dir.path(), keep(2), |store| {
        for millis in 10..15 {
            assert!(!has_time_id(&publish(store, 1, "set back", at(millis))));
        }
    });
    with_store(dir.path(), keep(2), |store| {
        assert!(!has_time_id(&publish(
            store,
            1,
            "given before",
            at(3_600_000)
        )));
        assert!(has_time_id(&publish(store, 1, "later", at(3_600_001))));
    });
}

#[test]
fn a_record_that_was_forgotten_gives_none_of_its_times_again() {
    let dir = TempDir::new("forgotten-times");
    with_store(dir.path(), keep(2), |store| {
        let far = at(10 * LONG.as_millis() as i64);
        assert!(has_time_id(&publish(store, 1, "ahead", far)));
        publish(store, 1, "set back", at(0));
        for _ in 0..3_601 {
            store
                .tend(at(LONG.as_millis() as i64), ALL)
                .expect("can be tended");
        }
        assert_eq!(store.newest(&key(1)).expect("whole").0, None);
        assert!(!has_time_id(&publish(store, 1, "anew", far)));
        assert!(!has_time_id(&publish(store, 2, "new", far)));
    });
}

#[test]
fn a_history_that_is_declared_lost_continues_in_another_life() {
    let dir = TempDir::new("declared");
    let (before, after) = with_store(dir.path(), keep(3), |store| {
        publish(store, 1, "a", at(0));
        let before = store.life();
        (before, store.declare_lost().expect("can be written"))
    });
    assert_ne!(before.number, after.number);
    assert_eq!((before.lost, after.lost), (0, 1));
    with_store(dir.path(), keep(3), |store| {
        assert_eq!(store.life(), after);
        let told = publish(store, 1, "b", at(1));
        assert_eq!((told.mark.sequence, told.mark.print), (2, after.number));
    });
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_stays_where_it_is() {
    let dir = TempDir::new("newer");
    let file = dir.path().join("history");
    let connection = rusqlite::Connection::open(&file).expect("can be created");
    connection
        .execute_batch("CREATE TABLE other (a); PRAGMA user_version = 7")
        .expect("can be written");
    drop(connection);

    let folder = Folder::open(dir.path()).expect("nobody has it");
    let error = File::open(&folder, Keep::default(), at(0)).expect_err("it is newer");
    assert!(matches!(error, OpenError::Newer { version: 7 }), "{error}");
    assert!(file.exists());
}

#[test]
fn open_and_first_read_do_not_depend_on_how_much_is_kept() {
    let dir = TempDir::new("open");
    with_store(dir.path(), keep(21), |store| {
        for round in 0..100 {
            let records = (0..1_000).map(|record| {
                let record = round * 1_000 + record;
                (key(record), crate::world::event(record, "text"))
            });
            store
                .publish(&mut batch(records), at(0))
                .expect("there is room");
        }
    });
    let started = std::time::Instant::now();
    with_store(dir.path(), keep(21), |store| {
        assert_eq!(store.run(&key(77_777), 0).expect("whole").0.len(), 1);
        assert!(
            started.elapsed() < Duration::from_millis(100),
            "{:?}",
            started.elapsed()
        );
    });
}
