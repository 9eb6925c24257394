//! A store in a folder of its own, and what it has acknowledged.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{Event, ResourceKey, Timestamp, Told};
use saacms_realtime_tokio::engine::disk::{Batch, File, Folder, Keep, Store, StoreError};

/// Milliseconds at which tests begin.
pub(crate) const START: i64 = 1_700_000_000_000;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

pub(crate) fn keep(events: usize) -> Keep {
    Keep {
        events,
        ..Keep::default()
    }
}

/// A folder that is deleted with the value.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("engines-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the folder for tests is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a folder and runs `work` with its store.
pub(crate) fn with_store<T>(path: &Path, keep: Keep, work: impl FnOnce(&mut Store<'_>) -> T) -> T {
    let folder = Folder::open(path).expect("no other process has it");
    let mut file = File::open(&folder, keep, at(0)).expect("can be opened");
    assert_eq!(file.damage(), None);
    let mut store = Store::new(&mut file).expect("has its tables");
    work(&mut store)
}

pub(crate) fn key(record: u64) -> ResourceKey {
    ResourceKey::new("posts", &record.to_string()).expect("valid")
}

/// An event without an ETag.
pub(crate) fn event(record: u64, text: &str) -> Packed {
    Packed::new(&Event::changed(key(record), &text, None).expect("valid"))
}

pub(crate) fn deletion(record: u64) -> Packed {
    Packed::new(&Event::deleted(key(record)))
}

pub(crate) fn batch(events: impl IntoIterator<Item = (ResourceKey, Packed)>) -> Batch {
    let mut batch = Batch::default();
    for (key, packed) in events {
        batch.push(key, packed).expect("a small batch");
    }
    batch
}

/// Publishes one event and returns it as it is told.
pub(crate) fn publish(
    store: &mut Store<'_>,
    record: u64,
    text: &str,
    now: Timestamp,
) -> Told<Packed> {
    let mut batch = batch([(key(record), event(record, text))]);
    let mut told = store.publish(&mut batch, now).expect("there is room");
    told.pop().expect("one event")
}

pub(crate) fn sequences(run: &[Told<Packed>]) -> Vec<u64> {
    run.iter().map(|told| told.mark.sequence).collect()
}

/// The text of an event that [`event`] made.
pub(crate) fn text(packed: &Packed) -> String {
    let data = packed.parse().expect("can be read").data;
    data.trim_matches('"').to_owned()
}

/// Whether the stamp of an event says that its time is its ID.
pub(crate) fn has_time_id(told: &Told<Packed>) -> bool {
    let stamp = told.event.parse().expect("can be read").stamp;
    stamp.expect("the store stamps").is_id
}

/// The events that were acknowledged, by record, oldest first: their sequences and texts.
pub(crate) type Acknowledged = HashMap<u64, Vec<(u64, String)>>;

/// The acknowledged events that should be in a store and are not, or are others.
pub(crate) fn missing(
    store: &mut Store<'_>,
    acknowledged: &Acknowledged,
    keep: usize,
) -> Result<Vec<u64>, StoreError> {
    let mut missing = Vec::new();
    for (record, events) in acknowledged {
        let (run, span) = store.run(&key(*record), 0)?;
        let (newest, _) = store.newest(&key(*record))?;
        assert_eq!(
            newest.as_ref(),
            run.last(),
            "one record has two newest events"
        );
        assert!(span.since <= span.upto);

        let kept: HashMap<u64, String> = run
            .iter()
            .map(|told| (told.mark.sequence, text(&told.event)))
            .collect();
        // The oldest of a full record are dropped.
        let oldest = if run.len() < keep {
            0
        } else {
            run[0].mark.sequence
        };
        let lost = events
            .iter()
            .filter(|(sequence, text)| *sequence >= oldest && kept.get(sequence) != Some(text));
        missing.extend(lost.map(|(sequence, _)| *sequence));
    }
    Ok(missing)
}

/// Time for all that a store has to tend.
pub(crate) const ALL: Duration = Duration::MAX;

/// A day and a second: longer than a record is remembered.
pub(crate) const LONG: Duration = Duration::from_secs(86_401);
