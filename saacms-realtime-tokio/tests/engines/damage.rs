use std::fs;
use std::path::Path;

use saacms_realtime_core::Timestamp;
use saacms_realtime_tokio::engine::disk::{File, Folder, Keep, Store, StoreError};

use crate::chance::Chance;
use crate::world::{
    ALL, Acknowledged, TempDir, at, batch, event, has_time_id, keep, key, missing, publish,
    with_store,
};

const KEEP: usize = 21;

/// Copies a folder, as a process that is killed leaves it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("can be created");
    for entry in fs::read_dir(from).expect("can be read") {
        let entry = entry.expect("can be read");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("can be copied");
    }
}

/// A history of which a part is in the log, and all that is in it.
fn history(path: &Path) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let mut chance = Chance::new(4);
    let mut publish_some = |store: &mut Store<'_>, records: core::ops::Range<u64>| {
        for round in 0..60 {
            let events: Vec<_> = (0..20)
                .map(|_| {
                    let text = format!("{round}-{}", "x".repeat(chance.index(400)));
                    (
                        records.start + chance.below(records.end - records.start),
                        text,
                    )
                })
                .collect();
            let packed = events
                .iter()
                .map(|(record, text)| (key(*record), event(*record, text)));
            let told = store
                .publish(&mut batch(packed), at(7))
                .expect("there is room");
            for ((record, text), told) in events.into_iter().zip(told) {
                let event = (told.mark.sequence, text);
                acknowledged.entry(record).or_default().push(event);
            }
        }
    };

    let scratch = path.with_extension("scratch");
    with_store(&scratch, keep(KEEP), |store| publish_some(store, 0..40));
    with_store(&scratch, keep(KEEP), |store| {
        publish_some(store, 40..60);
        copy(&scratch, path);
    });
    acknowledged
}

/// What became of a history whose files were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All that was acknowledged is there.
    Whole,
    /// Another life has begun: whoever knows the old one refetches.
    NewLife,
}

/// Opens a history that may be damaged, and reads all of it.
fn outcome(path: &Path, acknowledged: &Acknowledged) -> Outcome {
    let folder = Folder::open(path).expect("nobody has it");
    let mut file = File::open(&folder, keep(KEEP), at(8)).expect("can be opened");
    if file.damage().is_none() {
        let mut store = Store::new(&mut file).expect("has its tables");
        // All of it is checked within a minute.
        let checked = (0..60).try_for_each(|_| store.tend(at(8), ALL));
        let missing = checked.and_then(|()| {
            let missing = missing(&mut store, acknowledged, KEEP)?;
            // Whatever is there can be written to.
            let events = (0..60).map(|record| (key(record), event(record, "after")));
            store.publish(&mut batch(events), at(9))?;
            Ok(missing)
        });
        match missing {
            Ok(missing) => {
                assert_eq!(missing, [0; 0], "lost without a word");
                return Outcome::Whole;
            }
            Err(StoreError::Damaged(why)) => {
                drop(store);
                drop(file);
                file = File::recover(&folder, keep(KEEP), at(8), &why).expect("can be created");
            }
            Err(error) => panic!("{error}"),
        }
    }

    let damage = file.damage().expect("it was found damaged").clone();
    let moved_to = damage.moved_to.expect("there was a file");
    let name = moved_to
        .file_name()
        .expect("has a name")
        .to_string_lossy()
        .into_owned();
    assert!(name.starts_with("history.damaged-2023"), "{name}");
    let mut store = Store::new(&mut file).expect("has its tables");
    assert_eq!(store.last(), 0);
    assert!(store.run(&key(1), 0).expect("new").0.is_empty());
    // The old life gave times up to 7 ms, and the clock says 8.
    assert!(!has_time_id(&publish(
        &mut store,
        1,
        "at the same time",
        at(8)
    )));
    assert!(has_time_id(&publish(&mut store, 1, "later", at(9))));
    Outcome::NewLife
}

/// `ENGINES_TIMES` makes these tests that many times longer.
fn longer() -> u64 {
    let times = std::env::var("ENGINES_TIMES");
    times.map_or(1, |times| times.parse().expect("a number"))
}

/// Changes a file of the history many times, each time from the same state, and tells how often it was
/// whole and how often another life began.
fn change(
    name: &str,
    file: &str,
    times: u64,
    change: impl Fn(&mut Vec<u8>, &mut Chance),
) -> [u64; 2] {
    let dir = TempDir::new(name);
    let (whole, changed) = (dir.path().join("whole"), dir.path().join("changed"));
    let acknowledged = history(&whole);
    let bytes = fs::read(whole.join(file)).expect("can be read");
    assert!(bytes.len() > 100_000, "{} bytes", bytes.len());

    let mut outcomes = [0, 0];
    for seed in 0..times * longer() {
        copy(&whole, &changed);
        let mut bytes = bytes.clone();
        change(&mut bytes, &mut Chance::new(seed));
        fs::write(changed.join(file), bytes).expect("can be written");
        match outcome(&changed, &acknowledged) {
            Outcome::Whole => outcomes[0] += 1,
            Outcome::NewLife => outcomes[1] += 1,
        }
    }
    println!(
        "{name}: whole {}, another life {}",
        outcomes[0], outcomes[1]
    );
    outcomes
}

fn truncate(bytes: &mut Vec<u8>, chance: &mut Chance) {
    bytes.truncate(chance.index(bytes.len()));
}

fn zero(bytes: &mut [u8], chance: &mut Chance) {
    let from = chance.index(bytes.len());
    let to = bytes.len().min(from + 1 + chance.index(10_000));
    bytes[from..to].fill(0);
}

fn flip(bytes: &mut [u8], chance: &mut Chance) {
    let at = chance.index(bytes.len());
    bytes[at] ^= 1 << chance.below(8);
}

#[test]
fn a_history_that_nobody_changed_is_whole() {
    assert_eq!(change("unchanged", "history-wal", 1, |_, _| {})[1], 0);
}

#[test]
fn a_file_that_is_cut_short_loses_nothing_without_a_word() {
    assert_eq!(change("file-cut", "history", 30, truncate)[0], 0);
}

#[test]
fn a_file_with_zeros_loses_nothing_without_a_word() {
    assert!(
        change("file-zeroed", "history", 30, |bytes, chance| zero(
            bytes, chance
        ))[1]
            > 0
    );
}

#[test]
fn a_file_with_a_flipped_bit_loses_nothing_without_a_word() {
    assert!(
        change("file-flipped", "history", 100, |bytes, chance| flip(
            bytes, chance
        ))[1]
            > 0
    );
}

#[test]
fn a_log_that_is_cut_short_loses_nothing_without_a_word() {
    assert!(change("log-cut", "history-wal", 30, truncate)[1] > 0);
}

#[test]
fn a_log_with_zeros_loses_nothing_without_a_word() {
    assert!(
        change("log-zeroed", "history-wal", 30, |bytes, chance| zero(
            bytes, chance
        ))[1]
            > 0
    );
}

#[test]
fn a_log_with_a_flipped_bit_loses_nothing_without_a_word() {
    assert!(
        change("log-flipped", "history-wal", 50, |bytes, chance| flip(
            bytes, chance
        ))[1]
            > 0
    );
}

#[test]
fn a_log_that_is_gone_is_a_loss() {
    let dir = TempDir::new("log-gone");
    let path = dir.path().join("data");
    let acknowledged = history(&path);
    fs::remove_file(path.join("history-wal")).expect("was there");
    assert_eq!(outcome(&path, &acknowledged), Outcome::NewLife);
}

#[test]
fn a_witness_that_is_damaged_or_gone_is_no_loss() {
    let dir = TempDir::new("witness");
    let path = dir.path().join("data");
    let acknowledged = history(&path);
    fs::write(path.join("history.witness"), "other").expect("can be written");
    assert_eq!(outcome(&path, &acknowledged), Outcome::Whole);
    fs::remove_file(path.join("history.witness")).expect("was there");
    with_store(&path, keep(KEEP), |store| assert!(store.last() > 0));
}

#[test]
fn a_life_after_damage_gives_no_time_that_the_old_one_gave_although_the_clock_was_set_back() {
    let dir = TempDir::new("times-after");
    with_store(dir.path(), keep(KEEP), |store| {
        publish(store, 1, "ahead", at(1_000_000));
    });
    // Either the witness or the file itself still tells.
    for is_witness_gone in [false, true] {
        if is_witness_gone {
            fs::remove_file(dir.path().join("history.witness")).expect("was there");
        }
        let folder = Folder::open(dir.path()).expect("nobody has it");
        let mut file = File::recover(&folder, keep(KEEP), at(0), "a test").expect("can be created");
        let mut store = Store::new(&mut file).expect("has its tables");
        assert!(!has_time_id(&publish(
            &mut store,
            1,
            "again",
            at(1_000_000)
        )));
    }
}

#[test]
fn only_the_three_newest_damaged_files_are_kept() {
    let dir = TempDir::new("three");
    let folder = Folder::open(dir.path()).expect("nobody has it");
    for millis in 0..6 {
        let now: Timestamp = at(millis);
        drop(File::open(&folder, Keep::default(), now).expect("can be opened"));
        drop(File::recover(&folder, Keep::default(), now, "a test").expect("can be created"));
    }
    let names = fs::read_dir(dir.path()).expect("can be read");
    let names = names.map(|entry| entry.expect("can be read").file_name().into_string());
    let mut damaged: Vec<_> = names
        .map(|name| name.expect("text"))
        .filter(|name| name.contains("damaged"))
        .collect();
    damaged.sort();
    let kept = [3, 4, 5].map(|millis| format!("history.damaged-20231114T221320.00{millis}Z"));
    // Each with its log, which may show what happened.
    let kept = kept.map(|name| [name.clone(), format!("{name}-wal")]);
    assert_eq!(damaged, kept.concat());
}
