//! A hub, its clients and the network between them, in a world where everything that can go wrong
//! does and nothing is left to chance but one number.
//!
//! The code of the core is the real one. The world around it is simulated: clocks jump from one
//! deadline to the next, connections are cut with bytes in flight, clients stall and invent what
//! they know, the hub runs out of memory, drains and restarts. A reference that keeps the full
//! history of each record says what each stream may carry; at the end each client must know the
//! record as it is. The same seed gives the same run, byte for byte.

#[path = "../../../../tests/support/chance.rs"]
mod chance;
mod check;
mod client;
mod connection;
mod counts;
mod drive;
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

use clap::Parser;

use report::{Tally, replay, report};

/// Runs many small worlds against the real core, and says which of them it failed in.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone, and print what happens.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Threads; as many as there are processors where it is not given.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic of the core is a failure of its seed, which is reported with it.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = arguments.seed {
        return replay(seed);
    }
    let threads = arguments
        .threads
        .or(std::thread::available_parallelism().ok());
    let started = Instant::now();
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let tally = Tally::of(seeds, threads.map_or(1, NonZero::get));
    report(&tally, started.elapsed())
}
