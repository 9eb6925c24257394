//! The store of the disk engine alone, without hub and HTTP: threads that publish, one event at a time
//! each, and one that commits what waits. `load publish --data-dir` measures it beside the server.
//!
//! It prints how long it measured in seconds, how many events were stored in that time, and the
//! microseconds that each of them took, all on one line.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use saacms_realtime_core::engine::Packed;
use saacms_realtime_core::{Event, ResourceKey, Timestamp};
use saacms_realtime_tokio::engine::disk::{Batch, File, Folder, Keep, Store};

/// Time before events count.
const WARM_UP: Duration = Duration::from_millis(300);

#[derive(Parser)]
struct Options {
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    publishers: usize,
    #[arg(long)]
    keys: usize,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    frame_bytes: usize,
}

/// An event on its way to the store, and who waits for it.
struct Publish {
    key: ResourceKey,
    packed: Packed,
    stored: SyncSender<()>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let (sender, inbox) = channel();
    let is_over = AtomicBool::new(false);

    let (seconds, latencies) = thread::scope(|scope| {
        let folder = &options.data_dir;
        let store = scope.spawn(move || store(folder, &inbox).map_err(|error| error.to_string()));
        let publishers: Vec<_> = (0..options.publishers)
            .map(|number| {
                let (sender, options, is_over) = (sender.clone(), &options, &is_over);
                scope.spawn(move || publish(number, options, &sender, is_over))
            })
            .collect();
        // The store ends with the last publisher.
        drop(sender);

        thread::sleep(WARM_UP);
        let began = Instant::now();
        thread::sleep(Duration::from_secs_f64(options.seconds));
        let seconds = began.elapsed().as_secs_f64();
        is_over.store(true, Relaxed);

        let latencies: Vec<u64> = publishers
            .into_iter()
            .flat_map(|it| it.join().expect("publishers do not panic"))
            .filter(|(at, _)| (began..began + Duration::from_secs_f64(seconds)).contains(at))
            .map(|(_, micros)| micros)
            .collect();
        store.join().expect("the store does not panic")?;
        Ok::<_, String>((seconds, latencies))
    })?;

    print!("{seconds} {}", latencies.len());
    for micros in latencies {
        print!(" {micros}");
    }
    println!();
    Ok(())
}

/// Publishes until it is over; when each event was stored, and how many microseconds that took.
fn publish(
    number: usize,
    options: &Options,
    sender: &Sender<Publish>,
    is_over: &AtomicBool,
) -> Vec<(Instant, u64)> {
    let record = "x".repeat(options.frame_bytes.saturating_sub(60));
    let (stored, wait) = sync_channel(1);
    let mut latencies = Vec::new();

    while !is_over.load(Relaxed) {
        let began = Instant::now();
        let count = latencies.len();
        let id = format!("p{}", (number + count * options.publishers) % options.keys);
        let key = ResourceKey::new("bench", &id).expect("valid");
        let etag = count.to_string();
        let event = Event::changed(key.clone(), &record, Some(&etag)).expect("valid");
        let publish = Publish {
            key,
            packed: Packed::new(&event),
            stored: stored.clone(),
        };
        // Without a store nothing is stored; its error is reported by `main`.
        if sender.send(publish).is_err() || wait.recv_timeout(Duration::from_secs(10)).is_err() {
            break;
        }

        let end = Instant::now();
        latencies.push((end, (end - began).as_micros() as u64));
    }
    latencies
}

/// Commits what waits, together.
fn store(folder: &Path, inbox: &Receiver<Publish>) -> Result<(), Box<dyn Error>> {
    let folder = Folder::open(folder)?;
    let mut file = File::open(&folder, Keep::default(), now())?;
    let mut store = Store::new(&mut file)?;
    let mut next = None;

    while let Some(mut publish) = next.take().or_else(|| inbox.recv().ok()) {
        let (mut batch, mut waiting) = (Batch::default(), Vec::new());
        loop {
            let Publish {
                key,
                packed,
                stored,
            } = publish;
            if let Err((key, packed)) = batch.push(key, packed) {
                next = Some(Publish {
                    key,
                    packed,
                    stored,
                });
                break;
            }

            waiting.push(stored);
            let Ok(another) = inbox.try_recv() else { break };
            publish = another;
        }

        store.publish(&mut batch, now())?;
        for stored in waiting {
            // A publisher that has ended does not wait.
            let _ = stored.try_send(());
        }
    }
    Ok(())
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_millis(now.map_or(0, |now| now.as_millis() as i64))
}
