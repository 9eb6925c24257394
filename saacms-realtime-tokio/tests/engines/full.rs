use std::fs::File as PlainFile;
use std::io::Write as _;
use std::path::Path;

use saacms_realtime_tokio::engine::disk::{Keep, StoreError};

use crate::mounted::{self, Mounted};
use crate::world::{
    Acknowledged, TempDir, at, batch, event, keep, key, missing, publish, sequences, with_store,
};

/// Fills a file system up.
pub(crate) fn fill(path: &Path) {
    let mut file = PlainFile::create(path).expect("can be created");
    let mut bytes = vec![1; 1 << 20];
    while !bytes.is_empty() {
        if file.write_all(&bytes).is_err() {
            bytes.truncate(bytes.len() / 2);
        }
    }
    let _ = file.sync_all();
}

#[test]
fn a_disk_that_another_fills_refuses_events_and_takes_them_again_once_there_is_room() {
    if mounted::is_left_out() {
        return;
    }
    let dir = TempDir::new("full");
    let mount = dir.path().join("a");
    let _mounted = Mounted::create(&dir.path().join("a.img"), 96, &mount);
    with_store(&mount.join("data"), keep(21), |store| {
        let mut acknowledged = Acknowledged::new();
        let mut count = 0_u64;
        let mut store_one = |acknowledged: &mut Acknowledged| {
            count += 1;
            let record = count % 300;
            let text = format!("{count}-{}", "x".repeat(3_000));
            let mut batch = batch([(key(record), event(record, &text))]);
            let told = store.publish(&mut batch, at(0))?;
            let event = (told[0].mark.sequence, text);
            acknowledged.entry(record).or_default().push(event);
            Ok::<_, StoreError>(())
        };

        for _ in 0..500 {
            store_one(&mut acknowledged).expect("there is room");
        }
        let other = mount.join("other");
        fill(&other);
        let refused = (0..20_000).find_map(|_| store_one(&mut acknowledged).err());
        assert_eq!(refused, Some(StoreError::Full));
        for _ in 0..5 {
            assert_eq!(store_one(&mut acknowledged), Err(StoreError::Full));
        }

        std::fs::remove_file(&other).expect("it was there");
        for _ in 0..500 {
            store_one(&mut acknowledged).expect("there is room again");
        }
        let missing = missing(store, &acknowledged, 21).expect("is whole");
        assert_eq!(missing, [0; 0]);
    });
}

#[test]
fn at_its_limit_a_file_forgets_the_records_that_are_idle_longest_and_never_a_watched_one() {
    let dir = TempDir::new("limit");
    let keep = Keep {
        max_bytes: 4 << 20,
        ..keep(21)
    };
    let text = "x".repeat(400);
    with_store(dir.path(), keep, |store| {
        store.watch(&key(0));
        publish(store, 0, "watched", at(0));
        publish(store, 1, "idle longest", at(0));
        let (since, mut record) = (store.run(&key(0), 0).expect("whole").1.since, 2);
        while store.newest(&key(1)).expect("whole").0.is_some() {
            publish(store, record, &text, at(0));
            assert!(record < 20_000, "nothing is forgotten");
            record += 1;
        }

        // Of the watched one nothing is gone, and its span says so.
        let (run, span) = store.run(&key(0), 0).expect("whole");
        assert_eq!((sequences(&run), span.since), (vec![1], since));
        // A record that was forgotten, and one that never was, may have had anything up to the floor.
        for record in [1, 1_000_000] {
            let (run, span) = store.run(&key(record), 0).expect("whole");
            assert!(run.is_empty() && span.since > 1);
        }
        // The newest are there.
        assert!(store.newest(&key(record - 1)).expect("whole").0.is_some());
    });
    let len = dir
        .path()
        .join("history")
        .metadata()
        .expect("is there")
        .len();
    assert!(len <= 4 << 20, "{len} bytes");
}

#[test]
fn a_file_whose_records_are_all_watched_refuses_what_does_not_fit() {
    let dir = TempDir::new("watched-limit");
    let keep = Keep {
        max_bytes: 1 << 20,
        ..keep(21)
    };
    with_store(dir.path(), keep, |store| {
        let mut record = 0;
        let refused = loop {
            store.watch(&key(record));
            let mut batch = batch([(key(record), event(record, &"x".repeat(400)))]);
            if let Err(error) = store.publish(&mut batch, at(0)) {
                break error;
            }
            record += 1;
        };
        assert_eq!(refused, StoreError::Full);

        // A record that nobody reads any more makes room.
        store.unwatch(&key(0));
        publish(store, 0, "has room", at(0));
    });
}

#[test]
fn at_the_limit_of_a_file_large_events_make_room_for_themselves_as_small_ones_do() {
    let dir = TempDir::new("large-limit");
    let keep = Keep {
        max_bytes: 1 << 20,
        ..keep(21)
    };
    with_store(dir.path(), keep, |store| {
        let text = "x".repeat(40_000);
        for record in 0..200 {
            publish(store, record, &text, at(0));
        }
        assert!(store.newest(&key(0)).expect("whole").0.is_none());
        assert!(store.newest(&key(199)).expect("whole").0.is_some());
    });
}

#[test]
fn for_an_event_that_does_not_fit_into_the_file_nothing_is_forgotten() {
    let dir = TempDir::new("too-large");
    let keep = Keep {
        max_bytes: 1 << 20,
        ..keep(21)
    };
    with_store(dir.path(), keep, |store| {
        publish(store, 0, "kept", at(0));
        let mut large = batch([(key(1), event(1, &"x".repeat(1_500_000)))]);
        assert_eq!(
            store.publish(&mut large, at(0)).err(),
            Some(StoreError::Full)
        );
        assert!(store.newest(&key(0)).expect("whole").0.is_some());
    });
}
