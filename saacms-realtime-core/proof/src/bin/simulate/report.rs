use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::counts::Counted;
use crate::run::{Simulation, shrink};

/// The results of many seeds.
pub(crate) struct Totals<S: Simulation> {
    seeds: u64,
    counts: S::Counts,
    /// The sum of the hashes of all traces: it does not depend on which thread ran which seed.
    hash: u64,
    failed: Option<u64>,
}

/// Seeds that a thread takes at a time: enough that threads rarely meet at the counter.
const BLOCK: u64 = 64;

impl<S: Simulation> Totals<S> {
    fn new() -> Self {
        Self {
            seeds: 0,
            counts: S::Counts::default(),
            hash: 0,
            failed: None,
        }
    }

    pub(crate) fn of(seeds: Range<u64>, threads: usize) -> Self {
        let style = "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left";
        let bar = ProgressBar::new(seeds.end - seeds.start);
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));

        let (next, has_failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
        let tally = Mutex::new(Self::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut own = Self::new();
                    // After a failure the other threads only finish their block.
                    while !has_failed.load(Relaxed) {
                        let start = next.fetch_add(BLOCK, Relaxed);
                        if start >= seeds.end {
                            break;
                        }

                        let end = (start + BLOCK).min(seeds.end);
                        (start..end).for_each(|seed| own.add(seed));
                        bar.inc(end - start);
                        has_failed.fetch_or(own.failed.is_some(), Relaxed);
                    }
                    tally.lock().expect("no thread panics").merge(own);
                });
            }
        });

        bar.finish_and_clear();
        tally.into_inner().expect("no thread panics")
    }

    fn add(&mut self, seed: u64) {
        let outcome = S::draw(seed).run(false);
        self.seeds += 1;
        self.counts += outcome.counts;
        self.hash = self.hash.wrapping_add(outcome.hash);
        if outcome.result.is_err() {
            self.failed = Some(self.failed.map_or(seed, |first| first.min(seed)));
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.counts += other.counts;
        self.hash = self.hash.wrapping_add(other.hash);
        self.failed = self.failed.into_iter().chain(other.failed).min();
    }
}

/// Prints the totals; of a failure, the smallest scenario and its trace.
pub(crate) fn report<S: Simulation>(tally: &Totals<S>, took: Duration) -> ExitCode {
    for (what, count) in tally.counts.table() {
        println!("{count:>14} {what}");
    }

    let per_second = tally.seeds as f64 / took.as_secs_f64();
    println!(
        "{:>14} seeds in {:.1} s, {per_second:.0} a second",
        tally.seeds,
        took.as_secs_f64()
    );
    // The same for the same seeds, so that two machines can be compared.
    println!("{:>14} {:016x}", "traces", tally.hash);

    let Some(seed) = tally.failed else {
        println!("{:>14} no failure", "");
        return ExitCode::SUCCESS;
    };
    fail(&S::draw(seed))
}

/// Runs one seed and prints its trace.
pub(crate) fn replay<S: Simulation>(seed: u64) -> ExitCode {
    let scenario = S::draw(seed);
    let outcome = scenario.run(true);
    if outcome.result.is_err() {
        return fail(&scenario);
    }
    println!("{:#?}", scenario.settings());
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("trace {:016x}, no failure", outcome.hash);
    ExitCode::SUCCESS
}

fn fail<S: Simulation>(scenario: &S) -> ExitCode {
    let mut smallest = shrink(scenario);
    let outcome = smallest.run(true);

    // The error last, after a trace that may be long.
    println!("{:#?}", smallest.settings());
    outcome.trace.iter().for_each(|line| println!("{line}"));
    let error = outcome.result.err().unwrap_or_default();
    println!(
        "seed {} failed: {error}\n({} of its {} operations are enough; run it with --seed {})",
        scenario.seed(),
        smallest.ops().len(),
        scenario.clone().ops().len(),
        scenario.seed()
    );
    ExitCode::FAILURE
}
