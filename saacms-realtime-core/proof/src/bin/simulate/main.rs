//! Simulates a hub, its clients and the network between them, from one seed.
//!
//! Core is the real code; the world around it is simulated. Clocks jump from one deadline to the
//! next, connections are cut with bytes in flight, clients stall and invent last event IDs, the hub
//! runs out of memory, drains and restarts. A reference keeps the full history of each record, and
//! each stream is checked against it; at the end each client must know the record as it is. A seed
//! gives the same run each time.
//!
//! With `--of follower` it is the followers of an engine (`follow`) instead of a hub, and with
//! `--of cluster` several hubs over one engine (`cluster`).

#[path = "../../../../tests/support/chance.rs"]
mod chance;
mod check;
mod client;
mod cluster;
mod connect;
mod connection;
mod counts;
mod drawn;
mod drive;
mod follow;
mod history;
mod life;
mod log;
mod reference;
mod report;
mod run;
mod scenario;
mod sut;
mod world;

use std::num::NonZero;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};

use report::{Totals, replay, report};
use run::Simulation;
use scenario::Scenario;

/// Runs many small simulated worlds against core, and reports the first that fails.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// What is simulated.
    #[arg(long, value_enum, default_value_t = Subject::Hub)]
    of: Subject,
    /// How many seeds to run.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run only this seed, and print its trace.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Threads; by default as many as there are processors.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    /// A hub, its clients and the network between them.
    Hub,
    /// Followers of one record of an engine, on several nodes, and the clients of these.
    Follower,
    /// Hubs over one engine, and clients that move between them.
    Cluster,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();

    // A panic in core is a failure of its seed, and is reported as such.
    std::panic::set_hook(Box::new(|_| {}));
    match arguments.of {
        Subject::Hub => simulate::<Scenario>(&arguments),
        Subject::Follower => simulate::<follow::Scenario>(&arguments),
        Subject::Cluster => simulate::<cluster::Scenario>(&arguments),
    }
}

fn simulate<S: Simulation>(arguments: &Arguments) -> ExitCode {
    if let Some(seed) = arguments.seed {
        return replay::<S>(seed);
    }

    let threads = arguments
        .threads
        .or(std::thread::available_parallelism().ok());
    let started = Instant::now();
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let totals = Totals::<S>::of(seeds, threads.map_or(1, NonZero::get));
    report(&totals, started.elapsed())
}
