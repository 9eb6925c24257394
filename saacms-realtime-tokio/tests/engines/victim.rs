//! A process that publishes until it is killed: this test program once more.

use std::env;
use std::fs::{File as PlainFile, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use saacms_realtime_tokio::engine::disk::{File, Folder, Store};

use crate::chance::Chance;
use crate::world::{ALL, Acknowledged, batch, event, keep, key};

const DATA: &str = "SAACMS_TEST_VICTIM_DATA";
const ACKS: &str = "SAACMS_TEST_VICTIM_ACKS";
const UNSYNCED: &str = "SAACMS_TEST_VICTIM_UNSYNCED";

/// Events of a record that a victim keeps.
pub(crate) const KEEP: usize = 21;
const RECORDS: u64 = 50;

/// Starts a victim. It writes a line to the file `acks` for each event that is stored.
pub(crate) fn start(data: &Path, acks: &Path, is_synced: bool) -> Child {
    let program = env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command
        .args(["--exact", "victim::publishes_until_it_is_killed"])
        .args(["--ignored", "--nocapture"])
        .env(DATA, data)
        .env(ACKS, acks)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    if !is_synced {
        command.env(UNSYNCED, "1");
    }
    command.spawn().expect("this program can be started again")
}

/// Waits until a victim has acknowledged something.
pub(crate) fn wait_for_acks(acks: &Path, victim: &mut Child) {
    let started = Instant::now();
    let before = acknowledged_bytes(acks);
    while acknowledged_bytes(acks) == before {
        assert!(
            victim.try_wait().expect("a child").is_none(),
            "the victim ended by itself"
        );
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the victim stores nothing"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

fn acknowledged_bytes(acks: &Path) -> u64 {
    acks.metadata().map_or(0, |file| file.len())
}

/// Adds what a victim has acknowledged, and returns how many events that were.
pub(crate) fn read_acks(acks: &Path, acknowledged: &mut Acknowledged) -> usize {
    let text = std::fs::read_to_string(acks).expect("the victim has written it");
    let mut count = 0;
    // A line that was not finished is of an event that nobody was told of.
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().expect("three words in a line");
        let (record, sequence, text) = (word(), word(), word());
        let record = record.parse().expect("a number");
        let sequence = sequence.parse().expect("a number");
        acknowledged
            .entry(record)
            .or_default()
            .push((sequence, text.to_owned()));
        count += 1;
    }
    count
}

/// Not a test: what [`start`] starts.
#[test]
#[ignore = "runs until it is killed"]
fn publishes_until_it_is_killed() {
    let (Some(data), Some(acks)) = (env::var_os(DATA), env::var_os(ACKS)) else {
        return;
    };
    let mut acks = OpenOptions::new()
        .append(true)
        .create(true)
        .open(acks)
        .expect("the file of acks is writable");

    let folder = Folder::open(Path::new(&data)).expect("nobody else has it");
    let now = || SystemTime::now().into();
    let mut file = File::open(&folder, keep(KEEP), now()).expect("can be opened");
    if env::var_os(UNSYNCED).is_some() {
        file.never_sync().expect("a setting");
    }
    let mut store = Store::new(&mut file).expect("has its tables");
    publish_for_ever(&mut store, &mut acks);
}

fn publish_for_ever(store: &mut Store<'_>, acks: &mut PlainFile) {
    let mut chance = Chance::new(u64::from(std::process::id()));
    for round in 0_u64.. {
        let events: Vec<(u64, String)> = (0..1 + chance.below(16))
            .map(|_| {
                let padding = "x".repeat(chance.index(400));
                (
                    chance.below(RECORDS),
                    format!("{round}-{}-{padding}", chance.next()),
                )
            })
            .collect();
        let mut batch = batch(
            events
                .iter()
                .map(|(record, text)| (key(*record), event(*record, text))),
        );

        let now = SystemTime::now().into();
        let told = store.publish(&mut batch, now).expect("there is room");
        let lines: String = events
            .iter()
            .zip(told)
            .map(|((record, text), told)| format!("{record} {} {text}\n", told.mark.sequence))
            .collect();
        acks.write_all(lines.as_bytes()).expect("acks are written");
        if round % 100 == 0 {
            store.tend(now, ALL).expect("can be tended");
        }
    }
}
