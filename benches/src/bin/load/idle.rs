//! Idle streams: what each costs in user space, in the kernel and in CPU.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::figures::Figures;
use crate::options::Options;
use crate::progress::progress;
use crate::publisher::{Pace, Until};
use crate::scenario::Setup;
use crate::server::{Kind, kernel_bytes};

/// Events to one key, which has 1 % of the streams unless --keys is given.
const EVENTS: u64 = 10;
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(kind: Kind, options: &Options) -> Result<Figures, String> {
    let key_count = options.keys.unwrap_or(100).min(options.subscribers) as u32;
    let keys: Vec<u32> = (0..options.subscribers as u32)
        .map(|number| number % key_count)
        .collect();
    // Before the first connection. Both ends are on this machine, so the difference has both.
    let kernel_before = kernel_bytes();
    let mut setup = Setup::new(kind, options, &keys, 0, options.heartbeat())?;
    let count = keys.len() as f64;
    let kernel = (kernel_bytes() as f64 - kernel_before as f64) / count;
    let settled = setup.server.usage();

    let (began, beats) = (Instant::now(), setup.readers.tally().keep_alives);
    hold(kind, options, began);

    // Memory is measured only now: an allocator may keep what connecting took for a while.
    let held_usage = setup.server.usage();
    let idle = held_usage.cpu_seconds - settled.cpu_seconds;
    let beats = (setup.readers.tally().keep_alives - beats) as f64;
    let held = began.elapsed().as_secs_f64();
    setup.readers.begin_anew();

    let (began, usage) = (Instant::now(), setup.server.usage());
    setup.publish(
        Pace::Window(1),
        options.frame_bytes,
        Until::Events(EVENTS),
        vec![|| 0],
    )?;

    let (seconds, end) = (began.elapsed().as_secs_f64(), setup.server.usage());
    let measured = setup.readers.tally();
    let mut more = vec![
        ("kernel memory per stream", kernel, "bytes, both ends"),
        ("CPU while idle", idle / held * 100.0, "% of one core"),
        ("heartbeats per stream", beats / count, ""),
    ];

    // The heartbeat may be longer than the hold.
    if beats > 0.0 {
        more.push(("CPU per heartbeat", idle * 1e6 / beats, "us"));
    }

    // Only our server drains, and one that ran before this program is not stopped by it.
    if kind == Kind::Ours && options.url.is_none() {
        more.extend(drain(&mut setup)?);
    }

    let figures = Figures {
        subscribers: keys.len(),
        keys: key_count as usize,
        events: EVENTS,
        seconds,
        cpu_seconds: end.cpu_seconds - usage.cpu_seconds,
        connect_seconds: setup.connect_seconds,
        usage: [setup.before, held_usage, end],
        more,
        ..Figures::new(kind, "idle")
    };
    setup.into_figures(figures, measured)
}

/// Waits for `options.hold` seconds from `began` on, in which nothing is published.
fn hold(kind: Kind, options: &Options, began: Instant) {
    let bar = progress(
        (options.hold * 10.0) as usize,
        &format!("{}: idle", kind.name()),
    );

    while began.elapsed().as_secs_f64() < options.hold {
        thread::sleep(Duration::from_millis(100).min(Duration::from_secs_f64(options.hold)));
        bar.inc(1);
    }
    bar.finish_and_clear();
}

/// Tells the server to stop: each stream must get a reconnection time and its end.
fn drain(setup: &mut Setup) -> Result<Vec<(&'static str, f64, &'static str)>, String> {
    let began = Instant::now();
    setup.server.terminate()?;
    let bar = progress(setup.readers.open(), "draining");
    while setup.readers.open() > 0 && began.elapsed() < DRAIN_PATIENCE {
        bar.set_position(bar.length().unwrap_or(0) - setup.readers.open() as u64);
        thread::sleep(Duration::from_millis(5));
    }
    bar.finish_and_clear();

    let (ended, tally) = (began.elapsed().as_secs_f64(), setup.readers.tally());
    let has_stopped = setup.server.wait(DRAIN_PATIENCE);
    Ok(vec![
        ("drained in", ended, "s"),
        ("streams with a retry", tally.retries as f64, "at the end"),
        (
            "server stopped well",
            f64::from(u8::from(has_stopped == Some(true))),
            "(1 = yes)",
        ),
    ])
}
