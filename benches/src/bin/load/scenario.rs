//! The setup that all scenarios share, and the scenarios that connect and publish.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::attack::Attack;
use crate::chance::Chance;
use crate::figures::Figures;
use crate::limits;
use crate::options::Options;
use crate::progress::progress;
use crate::publisher::{PATIENCE, Pace, Plan, Until, publish};
use crate::readers::{Audience, Readers};
use crate::server::{Kind, Server, Usage};
use crate::tally::Tally;
use crate::zipf::Zipf;

/// How subscribers and events are spread over keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Fanout,
    Spread,
    Mixed,
    Slow,
    Attacked,
}

/// A server with its subscribers connected.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) server: Server,
    pub(crate) readers: Readers,
    prefix: String,
    /// How many subscribers of each key read.
    reading: Vec<u64>,
    /// Number of the last event of each key.
    published: Vec<AtomicU64>,
    /// Deliveries that the published events must cause.
    due: AtomicU64,
    pub(crate) before: Usage,
    pub(crate) connected: Usage,
    pub(crate) connect_seconds: f64,
}

/// The figure that compares the 99th percentile of latencies under attack with the one before.
pub(crate) const ATTACKED_P99: &str = "p99 over that before the attack";

/// One subscriber in ten does not read.
const STALLED_OF: usize = 10;
/// Time to let the server finish its work for new connections, which is not part of a figure.
const SETTLE: Duration = Duration::from_millis(300);

impl Setup {
    pub(crate) fn new(
        kind: Kind,
        options: &Options,
        keys: &[u32],
        stalled_of: usize,
        heartbeat: Duration,
    ) -> Result<Self, String> {
        limits::make_room(keys.len())?;
        let server = match options.url {
            Some(address) => Server::running(address, options.pid),
            None => Server::start(kind, &options.programs(), keys.len(), heartbeat)?,
        };

        thread::sleep(SETTLE);
        let before = server.usage();
        // A server that was running before may know the keys of the last run.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let prefix = format!("k{:x}-", now.map_or(0, |now| now.as_micros()));
        let audience = Audience {
            address: server.address,
            keys: keys.to_vec(),
            prefix: prefix.clone(),
            stalled_of,
            opening: options.opening.unwrap_or(256),
            first_source: options.first_source,
        };

        let began = Instant::now();
        let readers =
            Readers::new(&audience, options.threads()).map_err(|error| error.to_string())?;
        let bar = progress(keys.len(), &format!("{}: connecting", kind.name()));
        readers.connect().map_err(|error| error.to_string())?;
        readers.wait_open(PATIENCE, |open| bar.set_position(open as u64))?;
        bar.finish_and_clear();
        let connect_seconds = began.elapsed().as_secs_f64();
        thread::sleep(SETTLE);
        let connected = server.usage();
        let key_count = keys.iter().max().map_or(0, |key| key + 1) as usize;
        // No delivery is due to a subscriber that does not read.
        let mut reading = vec![0; key_count];
        for (number, key) in keys.iter().enumerate() {
            let is_stalled = stalled_of > 0 && number.is_multiple_of(stalled_of);
            reading[*key as usize] += u64::from(!is_stalled);
        }

        let published = (0..key_count).map(|_| AtomicU64::new(0)).collect();
        let due = AtomicU64::new(0);
        Ok(Self {
            server,
            readers,
            prefix,
            reading,
            published,
            due,
            before,
            connected,
            connect_seconds,
        })
    }

    /// Publishes over several connections, and waits until all events were received.
    pub(crate) fn publish<N: FnMut() -> usize + Send>(
        &self,
        pace: Pace,
        frame_bytes: usize,
        until: Until,
        next_keys: Vec<N>,
    ) -> Result<u64, String> {
        let plan = Plan {
            publishers: next_keys.len(),
            ..self.plan(pace, frame_bytes)
        };
        let events = thread::scope(|scope| {
            let publishers: Vec<_> = next_keys
                .into_iter()
                .enumerate()
                .map(|(number, next_key)| {
                    scope.spawn(move || publish(&plan, number, until, next_key))
                })
                .collect();
            let ended = publishers
                .into_iter()
                .map(|it| it.join().expect("publishers do not panic"));
            ended.collect::<Result<Vec<_>, _>>()
        })?;

        let due = self.due.load(SeqCst);
        // After a resync, fewer deliveries come than were due.
        if !self.readers.gate.wait(due, PATIENCE) && self.readers.tally().resyncs == 0 {
            let missing = due.saturating_sub(self.readers.gate.received());
            eprintln!("{missing} of {due} deliveries did not come within {PATIENCE:?}");
        }
        Ok(events.iter().sum())
    }

    /// Publishes while no subscriber is connected.
    pub(crate) fn publish_unseen(&self, frame_bytes: usize, events: u64) -> Result<(), String> {
        let reading = vec![0; self.reading.len()];
        let plan = Plan {
            subscribers: &reading,
            ..self.plan(Pace::Window(1), frame_bytes)
        };
        publish(&plan, 0, Until::Events(events), || 0).map(drop)
    }

    fn plan(&self, pace: Pace, frame_bytes: usize) -> Plan<'_> {
        Plan {
            address: self.server.address,
            prefix: &self.prefix,
            pace,
            publishers: 1,
            frame_bytes,
            subscribers: &self.reading,
            published: &self.published,
            due: &self.due,
            gate: &self.readers.gate,
            started: self.readers.started,
        }
    }

    /// Stops the readers, and adds what they counted to `figures`.
    ///
    /// Faults and resyncs count to the end; the other counts are those of `measured`.
    pub(crate) fn into_figures(self, figures: Figures, measured: Tally) -> Result<Figures, String> {
        let published: Vec<u64> = self.published.iter().map(|it| it.load(Relaxed)).collect();
        let Tally {
            faults, resyncs, ..
        } = self.readers.finish(&published)?;
        Ok(Figures {
            tally: Tally {
                faults,
                resyncs,
                ..measured
            },
            ..figures
        })
    }
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Spread => "spread",
            Self::Mixed => "mixed",
            Self::Slow => "slow",
            Self::Attacked => "attacked",
        }
    }

    fn keys(self, options: &Options) -> Vec<u32> {
        let count = options.subscribers;
        match self {
            Self::Fanout | Self::Slow | Self::Attacked => vec![0; count],
            Self::Spread => (0..count as u32).collect(),
            Self::Mixed => {
                let mut chance = Chance::new(1);
                let zipf = Zipf::new(options.keys.unwrap_or(1_000));
                let mut keys: Vec<u32> =
                    (0..count).map(|_| zipf.draw(&mut chance) as u32).collect();
                // Keys without subscribers get events, too: every key up to the last that has some.
                keys.sort_unstable();
                keys
            }
        }
    }

    fn publishers(self, options: &Options) -> usize {
        options.publishers.unwrap_or(match self {
            Self::Fanout | Self::Slow | Self::Attacked => 1,
            Self::Spread | Self::Mixed => 8,
        })
    }

    /// Returns a closure for each publisher, which draws the key of its next event.
    ///
    /// Each publisher has keys of its own, which keeps the events of a key in order.
    fn next_keys(
        self,
        publishers: usize,
        key_count: usize,
        zipf: &Zipf,
    ) -> Vec<impl FnMut() -> usize + Send> {
        (0..publishers)
            .map(|publisher| {
                let mut chance = Chance::new(publisher as u64 + 2);
                let mut turn = publisher;
                move || loop {
                    let key = match self {
                        Self::Mixed => zipf.draw(&mut chance),
                        Self::Fanout | Self::Slow | Self::Attacked | Self::Spread => {
                            turn = if turn < key_count { turn } else { publisher };
                            turn += publishers;
                            turn - publishers
                        }
                    };

                    if key % publishers == publisher {
                        return key;
                    }
                }
            })
            .collect()
    }
}

pub(crate) fn run(shape: Shape, kind: Kind, options: &Options) -> Result<Figures, String> {
    let keys = shape.keys(options);
    let stalled_of = if shape == Shape::Slow { STALLED_OF } else { 0 };
    let setup = Setup::new(kind, options, &keys, stalled_of, Duration::from_secs(30))?;
    let key_count = setup.reading.len();
    let publishers = shape.publishers(options).min(key_count);
    let zipf = Zipf::new(key_count);
    let next_keys = || shape.next_keys(publishers, key_count, &zipf);

    let stall = |stalled| {
        setup
            .readers
            .stall(stalled)
            .map_err(|error| error.to_string())
    };

    if shape == Shape::Slow {
        stall(true)?;
    }

    // A few events first, so that whatever is set up once is not part of the figures.
    setup.publish(
        Pace::Window(1),
        options.frame_bytes,
        Until::Events(20),
        next_keys(),
    )?;

    let attack = if shape == Shape::Attacked {
        Some(begin_attack(&setup, kind, options, next_keys())?)
    } else {
        None
    };
    setup.readers.begin_anew();

    let (began, usage) = (Instant::now(), setup.server.usage());
    let events = publish_for(&setup, kind, options, began, next_keys())?;
    let seconds = began.elapsed().as_secs_f64();
    let end = setup.server.usage();
    let measured = setup.readers.tally();

    let mut more = Vec::new();
    if shape == Shape::Slow {
        let grown = end.rss_bytes as f64 - setup.connected.rss_bytes as f64;
        more.push((
            "resident memory grown by",
            grown / f64::from(1 << 20),
            "MiB",
        ));

        stall(false)?;
        more.push(("catching up", catch_up(&setup.readers), "s"));
    }
    if let Some((attack, quiet)) = attack {
        drop(attack);
        let p99 = measured.latency.value_at_quantile(0.99) as f64;
        more.push((ATTACKED_P99, p99 / quiet, "times"));
    }

    let figures = Figures {
        subscribers: keys.len(),
        keys: key_count,
        events,
        seconds,
        cpu_seconds: end.cpu_seconds - usage.cpu_seconds,
        connect_seconds: setup.connect_seconds,
        usage: [setup.before, setup.connected, end],
        more,
        ..Figures::new(kind, shape.name())
    };
    setup.into_figures(figures, measured)
}

/// Measures the server at rest, then begins the attack; returns it, and the 99th percentile of the
/// latencies before it.
fn begin_attack<N: FnMut() -> usize + Send>(
    setup: &Setup,
    kind: Kind,
    options: &Options,
    next_keys: Vec<N>,
) -> Result<(Attack, f64), String> {
    setup.readers.begin_anew();
    publish_for(setup, kind, options, Instant::now(), next_keys)?;
    let quiet = setup.readers.tally().latency.value_at_quantile(0.99) as f64;

    let attack = Attack::start(setup.server.address);
    // Connecting so many clients is not what is measured.
    thread::sleep(SETTLE);
    Ok((attack, quiet.max(1.0)))
}

/// Publishes for `options.seconds` from `began` on, with a bar that shows the time.
fn publish_for<N: FnMut() -> usize + Send>(
    setup: &Setup,
    kind: Kind,
    options: &Options,
    began: Instant,
    next_keys: Vec<N>,
) -> Result<u64, String> {
    let until = Until::Time(began + Duration::from_secs_f64(options.seconds));
    let bar = progress(
        (options.seconds * 10.0) as usize,
        &format!("{}: publishing", kind.name()),
    );

    thread::scope(|scope| {
        let ticks = scope.spawn(|| {
            while !bar.is_finished() {
                bar.set_position((began.elapsed().as_secs_f64() * 10.0) as u64);
                thread::sleep(Duration::from_millis(100));
            }
        });

        let events = setup.publish(options.pace(), options.frame_bytes, until, next_keys);
        // Even after a failure, or the thread of the bar would never end.
        bar.finish_and_clear();
        ticks.join().expect("a bar does not panic");
        events
    })
}

/// Waits until no more events arrive; returns how long events arrived.
fn catch_up(readers: &Readers) -> f64 {
    let began = Instant::now();
    let (mut bytes, mut last) = (readers.tally().bytes, began);
    while last.elapsed() < Duration::from_millis(700) && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
        let now = readers.tally().bytes;
        if now != bytes {
            (bytes, last) = (now, Instant::now());
        }
    }
    (last - began).as_secs_f64()
}
