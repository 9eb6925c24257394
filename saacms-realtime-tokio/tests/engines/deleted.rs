use std::fs;
use std::path::Path;

use crate::chance::Chance;
use crate::world::{
    ALL, TempDir, at, batch, deletion, event, keep, key, publish, sequences, with_store,
};

/// The files of a folder that have some bytes.
fn files_with(path: &Path, bytes: &[u8]) -> Vec<String> {
    let files = fs::read_dir(path).expect("can be read");
    files
        .map(|entry| entry.expect("can be read").path())
        .filter(|path| {
            let content = fs::read(path).expect("can be read");
            memchr::memmem::find(&content, bytes).is_some()
        })
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn a_minute_after_a_record_is_deleted_its_earlier_events_are_in_no_file() {
    let dir = TempDir::new("deleted");
    let secret = |record: u64| format!("secret-of-{record:04}");
    let mut chance = Chance::new(3);
    with_store(dir.path(), keep(21), |store| {
        // Many records whose events come in any order, so that pages are split again and again, and
        // events that are far longer than a page.
        for _ in 0..200 {
            let events = (0..100).map(|_| {
                let record = chance.below(500);
                let padding = if chance.percent(2) {
                    9_000
                } else {
                    20 + chance.below(400)
                };
                let text = format!(
                    "{}{}",
                    secret(record).repeat(3),
                    "x".repeat(padding as usize)
                );
                (key(record), event(record, &text))
            });
            store
                .publish(&mut batch(events), at(0))
                .expect("there is room");
        }
        assert_ne!(files_with(dir.path(), secret(7).as_bytes()), [""; 0]);

        let mut now = 1_000;
        for record in 0..500 {
            if record % 2 == 0 {
                continue;
            }
            let mut batch = batch([(key(record), deletion(record))]);
            let told = store.publish(&mut batch, at(now)).expect("there is room");
            let (run, _) = store.run(&key(record), 0).expect("whole");
            assert_eq!(sequences(&run), [told[0].mark.sequence]);
        }
        // Others go on being published.
        for _ in 0..60 {
            now += 1_000;
            publish(store, 1_000, "of another", at(now));
            store.tend(at(now), ALL).expect("can be tended");
        }

        let left: Vec<u64> = (0..500)
            .filter(|record| record % 2 == 1)
            .filter(|record| !files_with(dir.path(), secret(*record).as_bytes()).is_empty())
            .collect();
        assert_eq!(left, [0; 0], "records whose events are still in a file");
        for record in (0..500).step_by(2) {
            assert!(!store.run(&key(record), 0).expect("whole").0.is_empty());
        }
    });
}

#[test]
fn what_was_deleted_before_a_crash_is_gone_from_the_log_after_the_next_start() {
    let dir = TempDir::new("deleted-crash");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    with_store(&data, keep(21), |store| {
        publish(store, 1, "a-secret-text", at(0));
        store
            .publish(&mut batch([(key(1), deletion(1))]), at(1))
            .expect("there is room");
        // What a process that is killed here would leave.
        crate::damage::copy(&data, &copy);
    });
    assert_ne!(files_with(&copy, b"a-secret-text"), [""; 0]);
    with_store(&copy, keep(21), |store| {
        for _ in 0..60 {
            store.tend(at(2), ALL).expect("can be tended");
        }
        assert_eq!(files_with(&copy, b"a-secret-text"), [""; 0]);
    });
}
