//! The server ends under idle streams, and is started again with its history on the disk.

use core::time::Duration;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Instant;

use crate::figures::Figures;
use crate::options::Options;
use crate::progress::progress;
use crate::publisher::{PATIENCE, Pace, Until};
use crate::scenario::Setup;
use crate::server::{Kind, Server};

const HEARTBEAT: Duration = Duration::from_secs(30);
/// Longer than a drain takes.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// Connections that publish. Many, as each waits for the disk.
const PUBLISHERS: usize = 16;

/// How the server ends, and the figure that says how long its readers were away.
const ENDS: [(End, &str); 2] = [
    (End::Killed, "all are back after SIGKILL in"),
    (End::Terminated, "all are back after SIGTERM in"),
];

#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Terminated,
}

/// A folder that is deleted when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn run(kind: Kind, options: &Options) -> Result<Figures, String> {
    if kind != Kind::Ours || options.url.is_some() {
        return Err("restart starts and ends our own server, and no other".to_owned());
    }
    let folder = Folder(env::temp_dir().join(format!("load-restart-{}", process::id())));
    let mut options = options.clone();
    let data_dir = format!("--data-dir={}", folder.0.display());
    options.server_arg.push(data_dir);

    let key_count = options.keys.unwrap_or(options.subscribers) as u32;
    let keys: Vec<u32> = (0..options.subscribers as u32)
        .map(|number| number % key_count)
        .collect();
    let mut setup = Setup::new(kind, &options, &keys, 0, HEARTBEAT)?;

    // One event each, so that every reader has a last event ID to name when it comes back.
    publish_to_all(&setup, &options, key_count as usize)?;
    setup.readers.begin_anew();
    let (began, mut more) = (Instant::now(), Vec::new());
    for (end, name) in ENDS {
        let away = restart(&mut setup, &options, end)?;
        more.push((name, away.as_secs_f64(), "s"));
    }

    // Each reader must get the next event, and get it once.
    let usage = setup.server.usage();
    publish_to_all(&setup, &options, key_count as usize)?;
    let (seconds, end) = (began.elapsed().as_secs_f64(), setup.server.usage());
    let measured = setup.readers.tally();
    let figures = Figures {
        subscribers: keys.len(),
        keys: key_count as usize,
        events: u64::from(key_count),
        seconds,
        cpu_seconds: end.cpu_seconds - usage.cpu_seconds,
        connect_seconds: setup.connect_seconds,
        usage: [setup.before, setup.connected, end],
        more,
        ..Figures::new(kind, "restart")
    };

    let mut figures = setup.into_figures(figures, measured)?;
    // Nobody missed anything, so to refetch is a fault here.
    let resyncs = figures.tally.resyncs;
    if resyncs > 0 {
        let faults = &mut figures.tally.faults;
        faults.failed += resyncs;
        faults.note(|| format!("{resyncs} readers that had missed nothing were told to refetch"));
    }
    Ok(figures)
}

/// Ends the server, starts it again at the same address, and waits until all readers are back.
fn restart(setup: &mut Setup, options: &Options, end: End) -> Result<Duration, String> {
    let began = Instant::now();
    match end {
        End::Killed => setup.server.kill()?,
        End::Terminated => setup.server.terminate()?,
    }

    while setup.readers.open() > 0 {
        if began.elapsed() > END_PATIENCE {
            return Err(format!("{} streams do not end", setup.readers.open()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    setup
        .server
        .wait(END_PATIENCE)
        .ok_or("the server does not end")?;

    let address = setup.server.address.to_string();
    setup.server = Server::start_at(
        &address,
        Kind::Ours,
        &options.programs(),
        options.subscribers,
        HEARTBEAT,
    )?;

    let bar = progress(options.subscribers, "ours: reconnecting");
    setup.readers.connect().map_err(|error| error.to_string())?;
    setup
        .readers
        .wait_open(PATIENCE, |open| bar.set_position(open as u64))?;
    bar.finish_and_clear();
    Ok(began.elapsed())
}

/// Publishes at least one event to each key, and waits until all were received.
fn publish_to_all(setup: &Setup, options: &Options, key_count: usize) -> Result<(), String> {
    let share = key_count.div_ceil(PUBLISHERS);
    // Keys in a row for each publisher, and again from the first where the last one has fewer.
    let next_keys = (0..key_count).step_by(share).map(|first| {
        let end = key_count.min(first + share);
        let mut keys = (first..end).cycle();
        move || keys.next().expect("never ends")
    });

    setup.publish(
        Pace::Window(options.window),
        options.frame_bytes,
        Until::Events(share as u64),
        next_keys.collect(),
    )?;
    Ok(())
}
