use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use saacms_realtime_tokio::engine::disk::{Inspection, OpenError, StoreError, inspect};

use crate::world::{ALL, TempDir, at, batch, deletion, event, keep, key, publish, with_store};

/// Far longer than it takes; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Inspects a folder, and checks that nothing in it has changed.
fn inspect_unchanged(folder: &Path) -> Inspection {
    let before = state(folder);
    let inspection = inspect_now(folder).expect("there is a history");
    assert_eq!(state(folder), before);
    inspection
}

fn inspect_now(folder: &Path) -> Result<Inspection, OpenError> {
    // Tests run at the same time.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let scratch = TempDir::new(&format!("scratch-{}", NEXT.fetch_add(1, SeqCst)));
    inspect(folder, scratch.path())
}

/// The files of a folder: names, lengths and times.
fn state(folder: &Path) -> Vec<(String, u64, SystemTime)> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| {
        let entry = entry.expect("an entry");
        let about = entry.metadata().expect("a file");
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, about.len(), about.modified().expect("a time"))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

#[test]
fn an_inspection_finds_all_that_is_stored_and_changes_nothing() {
    let dir = TempDir::new("inspect");
    let life = with_store(dir.path(), keep(3), |store| {
        for number in 0..5 {
            publish(store, 1, "one", at(number));
        }
        publish(store, 2, "two", at(9));

        // All of it is still in the log.
        let inspection = inspect_unchanged(dir.path());
        let user = inspection.user.expect("this process has it");
        assert_eq!(user.pid, Some(std::process::id()));
        assert!(inspection.log_bytes > 0);
        let contents = inspection.contents.expect("it is whole");
        assert_eq!(
            (contents.records, contents.events, contents.last),
            (2, 4, 6)
        );
        assert_eq!(contents.stored, Some((at(2), at(9))));
        store.life()
    });

    // After a graceful end, the log is gone.
    let inspection = inspect_unchanged(dir.path());
    assert!(inspection.user.is_none());
    let contents = inspection.contents.expect("it is whole");
    assert_eq!((contents.life, contents.events), (life, 4));
}

#[test]
fn an_inspection_reads_everything_and_finds_a_damaged_event() {
    let dir = TempDir::new("inspect-damage");
    with_store(dir.path(), keep(21), |store| {
        publish(store, 1, "a text to be found", at(0));
    });
    let path = dir.path().join("history");
    let mut bytes = fs::read(&path).expect("the history");
    let text = b"a text to be found";
    let found = bytes.windows(text.len()).position(|part| part == text);
    bytes[found.expect("the event")] = b'A';
    fs::write(&path, bytes).expect("our own file");

    let inspection = inspect_unchanged(dir.path());
    let found = inspection.contents.expect_err("it is damaged");
    assert!(matches!(found, StoreError::Damaged(_)), "{found}");
}

#[test]
fn a_folder_without_a_history_is_not_inspected_and_not_created() {
    let dir = TempDir::new("inspect-none");
    for folder in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = inspect_now(&folder).expect_err("there is none");
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        assert!(
            matches!(&error, OpenError::Folder(error) if is_missing(error)),
            "{error}"
        );
    }
    assert_eq!(state(dir.path()), []);
}

#[test]
fn a_history_that_changes_is_inspected_as_of_one_moment() {
    let dir = TempDir::new("inspect-busy");
    with_store(dir.path(), keep(21), |store| {
        publish(store, 0, "first", at(0));
    });
    let started = Instant::now();
    let (is_over, stored) = (AtomicBool::new(false), AtomicU64::new(1));

    thread::scope(|scope| {
        scope.spawn(|| write(dir.path(), &is_over, &stored));
        // Also if a check below fails: the scope waits for the writer.
        let _ends = Ends(&is_over);
        let mut whole = 0;
        while whole < 20 {
            let least = stored.load(SeqCst);
            match inspect_now(dir.path()) {
                Ok(inspection) => {
                    let contents = inspection.contents.expect("it is whole");
                    assert!(contents.last >= least, "{} of {least}", contents.last);
                    whole += 1;
                }
                // The writer empties its log again and again.
                Err(OpenError::Folder(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
                    assert!(started.elapsed() < PATIENCE, "only {whole} were whole");
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
}

/// Ends the writer when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Stores events, and has the log written into the file and emptied, until it is over.
fn write(folder: &Path, is_over: &AtomicBool, stored: &AtomicU64) {
    let text = "x".repeat(1_000);
    with_store(folder, keep(21), |store| {
        let mut now = 0;
        while !is_over.load(SeqCst) {
            for _ in 0..5 {
                let mut events = batch((1..50).map(|record| (key(record), event(record, &text))));
                events.push(key(0), deletion(0)).expect("a small batch");
                store.publish(&mut events, at(now)).expect("there is room");
                stored.fetch_add(50, SeqCst);
            }
            // Half a minute after a deletion, the log is emptied.
            now += 31_000;
            store.tend(at(now), ALL).expect("there is room");
        }
    });
}
