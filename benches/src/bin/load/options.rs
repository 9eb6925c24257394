//! The command line.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::publisher::Pace;
use crate::server::{Kind, Programs};

/// Connects many subscribers to a server, publishes, checks every delivery, and prints how fast it
/// was and what it cost.
///
/// Without --url, the server is started for each run: `saacms-realtime` next to this program, as
/// `cargo build --release --workspace --examples` puts it there. Every stream is checked for lost,
/// duplicated, reordered and malformed events; if there is one, the exit code is 1.
///
/// The most reliable figure is server CPU per million deliveries: noise moves it by a fifth, but
/// deliveries per second and latency by a factor of two. Compare servers that took turns
/// (--against), and ratios rather than figures.
#[derive(Debug, Parser)]
#[command(name = "load", after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

const EXAMPLES: &str = "\
Examples:
  load fanout --subscribers 1000 --window 1         one event at a time
  load fanout --against axum,limit --rounds 3       flat out, compared with other servers
                                                    and beside what the machine allows
  load fanout --rate 50 --plot latency.svg          latency at a fixed rate
  load spread --rate 2000 --against axum            many records with one reader each
  load publish --subscribers 64 --data-dir /var/tmp --against axum,store
                                                    publishes that are on the disk when they are answered
  load idle --subscribers 10000 --hold 60           what a silent stream costs
  load storm --subscribers 10000                    everybody reconnects at once
  load restart --subscribers 10000                  a crash and a deployment, under idle streams
  load fanout --url 127.0.0.1:8787 --pid 4242       a server that runs already

See benches/README.md for more than 20,000 subscribers.";

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// All subscribe to one key
    Fanout(Options),
    /// Each subscribes to a key of its own
    Spread(Options),
    /// Keys by Zipf's law: a few keys have many subscribers and events, many have few
    Mixed(Options),
    /// As fanout, but one in ten does not read while events are published
    Slow(Options),
    /// Fanout on a quiet server, then beside 550 connections that send requests and never read
    Attacked(Options),
    /// All are disconnected, miss events, and reconnect at once
    Storm(Options),
    /// Only heartbeats; then 1 % get an event, and the server is asked to stop
    #[command(visible_alias = "scale")]
    Idle(Options),
    /// The server is killed, then terminated, and each time started again with its history on the
    /// disk: nobody may be told to refetch
    Restart(Options),
    /// No subscribers: events are posted over many connections, one at a time on each
    Publish(Options),
    /// The short form of all scenarios, compared with the baseline; writes RESULTS.md
    Results(ResultsOptions),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Streams to open (publish: connections)
    #[arg(long, short = 'n', alias = "streams", default_value_t = 1_000, value_parser = count(1, 2_000_000))]
    pub(crate) subscribers: usize,
    /// Keys of the scenarios mixed (default: 1,000), idle (100), publish and restart (one each)
    #[arg(long, value_parser = count(1, 1_000_000))]
    pub(crate) keys: Option<usize>,
    /// How long to publish
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Events in flight at once: 1 = one at a time, 64 = as fast as possible
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) window: u64,
    /// Events per second of all publishers together, at a fixed rate; latency then counts from when each was due
    #[arg(long, conflicts_with = "window", value_parser = seconds)]
    pub(crate) rate: Option<f64>,
    /// Connections that publish, each to keys of its own [default: 1; spread and mixed: 8]
    #[arg(long, value_parser = count(1, 1_000))]
    pub(crate) publishers: Option<usize>,
    /// Approximate size of a frame, in bytes
    #[arg(long, default_value_t = 300, value_parser = count(60, 1_000_000))]
    pub(crate) frame_bytes: usize,
    /// Threads that read [default: one per 25,000 streams]
    #[arg(long, value_parser = count(1, 64))]
    pub(crate) threads: Option<usize>,
    /// Connections to open at once [default: 256; storm: 2,000]
    #[arg(long, value_parser = count(1, 100_000))]
    pub(crate) opening: Option<usize>,
    /// idle: seconds without an event
    #[arg(long, default_value_t = 15.0, value_parser = seconds)]
    pub(crate) hold: f64,
    /// idle: heartbeat of the server that is started, in seconds
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) heartbeat: f64,
    /// storm: events that all subscribers miss
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) missed: u64,
    /// Other servers to run in turn; `store` only with publish
    #[arg(long, value_delimiter = ',', value_name = "SERVER")]
    pub(crate) against: Vec<Kind>,
    /// Runs of each server; the median counts
    #[arg(long, default_value_t = 1, value_parser = count(1, 100))]
    pub(crate) rounds: usize,
    /// The server's program [default: saacms-realtime next to this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) server: Option<PathBuf>,
    /// One more argument for the server, such as --server-arg=--max-lag=64; repeat it
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) server_arg: Vec<String>,
    /// The servers keep their history on disk, each run in a new folder in this one
    #[arg(long, value_name = "FOLDER", conflicts_with = "url")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of a running server, such as 127.0.0.1:8787
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["server", "server_arg", "against"])]
    pub(crate) url: Option<SocketAddr>,
    /// The process of that server, for CPU and memory
    #[arg(long, requires = "url")]
    pub(crate) pid: Option<u32>,
    /// First address that connections come from: 127.0.0.1 + this
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) first_source: u32,
    /// Write all figures of all runs as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw latencies as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ResultsOptions {
    /// Ratios to compare with; a figure that is 1.3 times as bad is a failure
    #[arg(long, value_name = "FILE", default_value = "benches/baseline.json")]
    pub(crate) baseline: PathBuf,
    /// Save the ratios of this run as the baseline
    #[arg(long)]
    pub(crate) save_baseline: bool,
    /// Where to write the table
    #[arg(long, value_name = "FILE", default_value = "benches/RESULTS.md")]
    pub(crate) out: PathBuf,
    /// Where to write the plot
    #[arg(long, value_name = "FILE", default_value = "benches/latency.svg")]
    pub(crate) plot: PathBuf,
    /// The folder of criterion's measurements
    #[arg(long, value_name = "FOLDER", default_value = "target/criterion")]
    pub(crate) criterion: PathBuf,
    /// Where histories are kept that outlive a server: a folder on a disk
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub(crate) data_dir: PathBuf,
    /// Runs of each server; the median counts
    #[arg(long, default_value_t = 3, value_parser = count(1, 100))]
    pub(crate) rounds: usize,
    /// How long to publish in each run
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// The server's program [default: saacms-realtime next to this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) server: Option<PathBuf>,
}

impl Options {
    pub(crate) fn programs(&self) -> Programs {
        Programs {
            ours: self.server.clone(),
            arguments: self.server_arg.clone(),
            data_dir: self.data_dir.clone(),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Window(self.window), Pace::Rate)
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or(self.subscribers.div_ceil(25_000))
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_secs_f64(self.heartbeat)
    }

    /// The servers, in the order in which they run.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Ours];
        kinds.extend(self.against.iter().filter(|kind| **kind != Kind::Ours));
        kinds
    }
}

impl Default for Options {
    /// The defaults.
    fn default() -> Self {
        #[derive(Debug, Parser)]
        struct Nothing {
            #[command(flatten)]
            options: Options,
        }
        Nothing::parse_from([""]).options
    }
}

fn count(least: usize, most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.replace(['_', ','], "").parse() {
        Ok(count) if (least..=most).contains(&count) => Ok(count),
        _ => Err(format!("it must be a number from {least} to {most}")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("it must be a number from 0.001 to 1,000,000".into()),
    }
}
