//! Files that are moved or deleted while a process has them open.

use std::fs;
use std::path::Path;

use saacms_realtime_tokio::engine::disk::{File, Folder, StoreError};

use crate::full::fill;
use crate::mounted::{self, Mounted};
use crate::world::{TempDir, at, batch, event, keep, key, publish, with_store};

#[test]
fn an_event_is_not_accepted_into_a_file_that_no_other_process_would_find() {
    let dir = TempDir::new("moved");
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    with_store(&data, keep(21), |store| {
        publish(store, 1, "kept", at(0));
        let mut is_refused = || {
            let mut batch = batch([(key(1), event(1, "lost"))]);
            let stored = store.publish(&mut batch, at(1));
            matches!(stored, Err(StoreError::Failed(_)))
        };

        fs::rename(&data, &other).expect("can be moved");
        assert!(is_refused());
        fs::create_dir(&data).expect("can be created");
        fs::write(data.join("history"), "").expect("can be written");
        assert!(is_refused(), "another file has its place");
        fs::remove_dir_all(&data).expect("can be deleted");
        fs::rename(&other, &data).expect("can be moved");
        assert!(!is_refused(), "it is back");

        fs::remove_dir_all(&data).expect("can be deleted");
        assert!(is_refused());
    });
}

/// The bytes of all files that were moved aside.
fn moved_aside(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).expect("can be read");
    let moved = entries.filter_map(|entry| {
        let entry = entry.expect("can be read");
        let name = entry.file_name().into_string().expect("text");
        let is_file = name.starts_with("history.damaged-") && !name.ends_with("-wal");
        is_file.then(|| entry.metadata().expect("is there").len())
    });
    moved.collect()
}

#[test]
fn a_history_that_was_moved_aside_outlasts_a_disk_with_no_room_for_another_one() {
    if mounted::is_left_out() {
        return;
    }
    let dir = TempDir::new("moved-full");
    let mount = dir.path().join("a");
    let _mounted = Mounted::create(&dir.path().join("a.img"), 16, &mount);
    let data = mount.join("data");
    with_store(&data, keep(21), |store| {
        for record in 0..100 {
            publish(store, record, &"x".repeat(1_000), at(0));
        }
    });

    let folder = Folder::open(&data).expect("no other process has it");
    let other = mount.join("other");
    fill(&other);
    let recover = |millis| File::recover(&folder, keep(21), at(millis), "for a test");
    for millis in 0..5 {
        assert!(recover(millis).is_err(), "there is no room");
    }
    fs::remove_file(&other).expect("it was there");
    assert!(recover(5).is_ok());
    let moved = moved_aside(&data);
    assert!(matches!(moved[..], [bytes] if bytes > 100_000), "{moved:?}");
}
