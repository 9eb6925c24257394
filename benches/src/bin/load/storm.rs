//! All subscribers are disconnected, miss events, and reconnect at once.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::figures::Figures;
use crate::options::Options;
use crate::progress::progress;
use crate::publisher::{PATIENCE, Pace, Until};
use crate::scenario::Setup;
use crate::server::{Kind, Usage};

/// Events before the storm, so that each subscriber has a last event ID.
const SEEN: u64 = 10;

/// The measurements of a storm.
struct Storm {
    /// Until all events were received.
    seconds: f64,
    /// Until all subscribers were connected; as `seconds` if they never were all at once.
    connected_seconds: f64,
    /// The largest resident memory of the server, in bytes.
    peak: u64,
    end: Usage,
}

pub(crate) fn run(kind: Kind, options: &Options) -> Result<Figures, String> {
    let options = Options {
        opening: options.opening.or(Some(2_000)),
        ..options.clone()
    };
    let count = options.subscribers as u64;
    let keys = vec![0; options.subscribers];
    let setup = Setup::new(kind, &options, &keys, 0, Duration::from_secs(30))?;
    let publish = |events| {
        setup.publish(
            Pace::Window(1),
            options.frame_bytes,
            Until::Events(events),
            vec![|| 0],
        )
    };

    publish(SEEN)?;
    setup.readers.cut().map_err(|error| error.to_string())?;
    // The server must have noticed the resets, or all would still be subscribed.
    thread::sleep(Duration::from_secs(1));
    // No subscriber is connected, so no delivery is due yet.
    setup.publish_unseen(options.frame_bytes, options.missed)?;
    setup.readers.begin_anew();

    let (began, usage) = (Instant::now(), setup.server.usage());
    let wanted = count * (SEEN + options.missed);
    let Storm {
        seconds,
        connected_seconds,
        peak,
        end,
    } = reconnect(&setup, kind, began, usage, keys.len(), wanted)?;

    // Late duplicates count, too.
    thread::sleep(Duration::from_millis(100));
    let measured = setup.readers.tally();
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let more = vec![
        ("everybody is back after", connected_seconds, "s"),
        ("everybody has everything after", seconds, "s"),
        ("replayed", mib(measured.bytes as f64 / seconds), "MiB/s"),
        (
            "server CPU per reconnect",
            (end.cpu_seconds - usage.cpu_seconds) * 1e6 / count as f64,
            "us",
        ),
        (
            "peak memory over all connected",
            mib(peak as f64 - setup.connected.rss_bytes as f64),
            "MiB",
        ),
        (
            "peak memory over all gone",
            mib(peak as f64 - usage.rss_bytes as f64),
            "MiB",
        ),
    ];

    let figures = Figures {
        subscribers: keys.len(),
        keys: 1,
        events: options.missed,
        seconds,
        cpu_seconds: end.cpu_seconds - usage.cpu_seconds,
        connect_seconds: setup.connect_seconds,
        usage: [setup.before, setup.connected, end],
        more,
        ..Figures::new(kind, "storm")
    };
    setup.into_figures(figures, measured)
}

/// Reconnects all `count` subscribers, and waits until `wanted` events were received.
fn reconnect(
    setup: &Setup,
    kind: Kind,
    began: Instant,
    usage: Usage,
    count: usize,
    wanted: u64,
) -> Result<Storm, String> {
    let bar = progress(count, &format!("{}: reconnecting", kind.name()));
    setup.readers.connect().map_err(|error| error.to_string())?;

    let mut peak = usage.rss_bytes;
    let mut everybody_after = None;
    while setup.readers.gate.received() < wanted && began.elapsed() < 3 * PATIENCE {
        peak = peak.max(setup.server.usage().rss_bytes);
        let open = setup.readers.open();
        bar.set_position(open as u64);
        if open == count {
            everybody_after.get_or_insert(began.elapsed());
        }
        thread::sleep(Duration::from_millis(2));
    }
    bar.finish_and_clear();

    let seconds = began.elapsed().as_secs_f64();
    let end = setup.server.usage();
    Ok(Storm {
        seconds,
        connected_seconds: everybody_after.map_or(seconds, |after| after.as_secs_f64()),
        peak: peak.max(end.rss_bytes),
        end,
    })
}
