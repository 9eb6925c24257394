//! Speed and memory of the history on disk, without a hub or a server:
//!
//! `cargo run --release -p saacms-realtime-tokio --features disk --example disk_figures -- DIR`
//!
//! DIR must be on the disk that is measured, and is filled with about 1 GiB. Events have 300 bytes of
//! data. Each figure is the median of three runs.

use std::error::Error;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};

use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{Event, ResourceKey, Timestamp};
use saacms_realtime_tokio::engine::disk::{Batch, File, Folder, Keep, Store};

const RECORDS: u64 = 1_000;
const RUN: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    let dir = env::args_os().nth(1).ok_or("usage: disk_figures DIR")?;
    let dir = Path::new(&dir).join("disk-figures");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;

    for publishers in [1, 8, 64] {
        let mut runs = Vec::new();
        for run in 0..3 {
            let path = dir.join(format!("{publishers}-{run}"));
            runs.push(publish(&path, publishers)?);
            fs::remove_dir_all(path)?;
        }
        runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let Figures {
            per_second,
            p50,
            p99,
        } = runs[1];
        println!(
            "{publishers:2} publishers: {per_second:6.0} durable publishes/s, answered after {p50:.2} ms \
             (p99 {p99:.2} ms)"
        );
    }

    restart(&dir.join("restart"))?;
    fs::remove_dir_all(dir)?;
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Figures {
    per_second: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
}

/// A publish, and where its publisher waits.
type Publish = (ResourceKey, Packed, SyncSender<()>);

/// Lets some publishers store one event after the other, in any of 1,000 records.
fn publish(path: &Path, publishers: u64) -> Result<Figures, Box<dyn Error>> {
    let folder = Folder::open(path)?;
    let mut file = File::open(&folder, Keep::default(), now())?;
    let mut store = Store::new(&mut file)?;
    let (sender, receiver) = sync_channel::<Publish>(publishers as usize);

    let started = Instant::now();
    let mut waits = thread::scope(|scope| -> Result<Vec<Duration>, Box<dyn Error>> {
        let threads: Vec<_> = (0..publishers)
            .map(|publisher| {
                let sender = sender.clone();
                scope.spawn(move || publish_one_by_one(publisher, &sender, started))
            })
            .collect();
        drop(sender);
        store_all(&mut store, &receiver)?;

        let waits = threads.into_iter().map(|thread| thread.join());
        let waits: Result<Vec<_>, _> = waits.collect();
        Ok(waits.map_err(|_| "a publisher has panicked")?.concat())
    })?;

    let seconds = started.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |percent: usize| waits[waits.len() * percent / 100].as_secs_f64() * 1e3;
    Ok(Figures {
        per_second: waits.len() as f64 / seconds,
        p50: at(50),
        p99: at(99),
    })
}

fn publish_one_by_one(
    publisher: u64,
    sender: &SyncSender<Publish>,
    started: Instant,
) -> Vec<Duration> {
    let (done, stored) = sync_channel(1);
    let mut waits = Vec::new();
    let mut number = publisher;
    while started.elapsed() < RUN {
        // Another record each time, far from the last one.
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (key, packed) = event((number >> 33) % RECORDS);
        let began = Instant::now();
        if sender.send((key, packed, done.clone())).is_err() || stored.recv().is_err() {
            break;
        }
        waits.push(began.elapsed());
    }
    waits
}

/// Stores what waits in one transaction, again and again, until all publishers are gone.
fn store_all(store: &mut Store<'_>, receiver: &Receiver<Publish>) -> Result<(), Box<dyn Error>> {
    while let Ok(first) = receiver.recv() {
        let (mut batch, mut waiting) = (Batch::default(), Vec::new());
        for (key, packed, done) in std::iter::once(first).chain(receiver.try_iter()) {
            batch.push(key, packed).map_err(|_| "the batch is full")?;
            waiting.push(done);
        }
        store.publish(&mut batch, now())?;
        for done in waiting {
            let _ = done.send(());
        }
    }
    Ok(())
}

/// Opens a history of 100,000 records with 20 events each, and reads one of them.
fn restart(path: &Path) -> Result<(), Box<dyn Error>> {
    let folder = Folder::open(path)?;
    let keep = Keep {
        events: 20,
        max_bytes: 4 << 30,
        ..Keep::default()
    };
    let began = Instant::now();
    fill(&folder, keep)?;
    println!(
        "2,000,000 events in 100,000 records: written in {:.1?}",
        began.elapsed()
    );

    let (before, mut runs) = (resident_bytes(), Vec::new());
    let mut after = 0;
    for run in 0..3 {
        let began = Instant::now();
        let mut file = File::open(&folder, keep, now())?;
        let mut store = Store::new(&mut file)?;
        let opened = began.elapsed();
        let (key, _) = event(run * 33_333);
        store.watch(&key);
        let (events, _) = store.run(&key, 0)?;
        assert_eq!(events.len(), 20);
        runs.push((began.elapsed(), opened));
        after = resident_bytes();
    }
    runs.sort_unstable();
    let (replayed, opened) = runs[1];
    let bytes = fs::metadata(path.join("history"))?.len();
    println!(
        "opened in {opened:.1?}, the first record replayed after {replayed:.1?}; file {} MiB, \
         resident memory + {} KiB",
        bytes >> 20,
        after.saturating_sub(before) >> 10
    );
    Ok(())
}

fn fill(folder: &Folder, keep: Keep) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(folder, keep, now())?;
    let mut store = Store::new(&mut file)?;
    for number in (0..2_000_000).step_by(Batch::MAX_EVENTS) {
        let mut batch = Batch::default();
        for number in number..(number + Batch::MAX_EVENTS as u64).min(2_000_000) {
            let (key, packed) = event(number % 100_000);
            batch.push(key, packed).map_err(|_| "the batch is full")?;
        }
        store.publish(&mut batch, now())?;
    }
    Ok(())
}

fn event(record: u64) -> (ResourceKey, Packed) {
    let key = ResourceKey::new("posts", &record.to_string()).expect("a valid key");
    let event = Event::changed(key.clone(), &"x".repeat(298), None).expect("valid JSON");
    (key, Packed::new(&event))
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Resident memory of this process, on Linux; elsewhere 0.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}
