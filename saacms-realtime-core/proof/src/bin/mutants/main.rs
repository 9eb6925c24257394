//! Puts small faults into a copy of core, one at a time, and shows what catches each.
//!
//! A fault that nothing catches is a gap in the tests. A fault whose place is not found is an error,
//! so that the list keeps up with the code.

mod list;
mod source;
mod switch;
mod workspace;

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser;

use list::Mutant;
use workspace::{Programs, Workspace};

type Result<T> = core::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Shows that the simulation or the tests catch each fault of the list.
#[derive(Debug, Parser)]
#[command(name = "mutants")]
struct Arguments {
    /// Seeds that the simulation runs for each fault.
    #[arg(long, default_value_t = 5_000)]
    seeds: u64,
    /// Only faults with this in their name or in that of their file.
    #[arg(long, default_value = "")]
    only: String,
    /// Only find the place of each fault; build and run nothing.
    #[arg(long)]
    check: bool,
}

/// A number that chooses no fault.
const NONE: usize = usize::MAX;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();

    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .ok_or("the package lies in the workspace")?;
    let list = fs::read_to_string(root.join("saacms-realtime-core/proof/mutants.toml"))?;
    let mut mutants = list::read(&list)?;
    mutants.retain(|mutant| {
        let file = mutant.file.to_string_lossy();
        mutant.name.contains(&arguments.only) || file.contains(&arguments.only)
    });

    // All places first: a build takes minutes.
    let missing = count_missing(&root.join("saacms-realtime-core/src"), &mutants)?;
    if missing > 0 || arguments.check {
        println!("{} faults, {missing} without a place", mutants.len());
        return Ok(exit_code(missing == 0));
    }

    let started = Instant::now();
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let workspace = Workspace::copy(root, &target.join("mutants"))?;
    let missed = judge_all(&workspace, &mutants, arguments.seeds)?;
    let (caught, seconds) = (mutants.len() - missed, started.elapsed().as_secs_f64());
    println!("{caught} caught, {missed} missed, in {seconds:.0} s");
    Ok(exit_code(missed == 0))
}

fn exit_code(is_ok: bool) -> ExitCode {
    if is_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the faults whose place is not found exactly once; returns how many there are.
fn count_missing(source: &Path, mutants: &[Mutant]) -> Result<usize> {
    let mut missing = 0;
    for mutant in mutants {
        let text = fs::read_to_string(source.join(&mutant.file)).unwrap_or_default();
        if let Err(error) = switch::place(&text, mutant) {
            println!("{}: {error}", mutant.name);
            missing += 1;
        }
    }
    Ok(missing)
}

/// Runs every fault; returns how many are missed.
fn judge_all(workspace: &Workspace, mutants: &[Mutant], seeds: u64) -> Result<usize> {
    let sound: Vec<String> = mutants
        .iter()
        .map(|mutant| fs::read_to_string(workspace.source().join(&mutant.file)))
        .collect::<std::io::Result<_>>()?;

    let alone = switch::write_choices(&workspace.source(), mutants)?;
    let programs = workspace.build()?;
    // Otherwise every fault would count as caught.
    if let Some(catcher) = programs.catcher(NONE, seeds)? {
        return Err(format!("without any fault, something fails: {catcher}").into());
    }

    let together: Vec<usize> = (0..mutants.len())
        .filter(|number| !alone.contains(number))
        .collect();
    let is_caught = |number: usize| judge(&programs, &mutants[number], number, seeds);
    let mut missed = in_parallel(&together, is_caught);

    // Each in a build of its own, with the other faults of its file left out.
    for number in alone {
        let mutant = &mutants[number];
        let file = workspace.source().join(&mutant.file);
        let chosen_from = fs::read_to_string(&file)?;
        fs::write(&file, switch::faulty(&sound[number], mutant)?)?;
        let programs = workspace.build()?;
        missed += usize::from(!judge(&programs, mutant, NONE, seeds));
        fs::write(&file, chosen_from)?;
    }

    Ok(missed)
}

/// Runs `work` on every number, as many at a time as there are processors; returns how often it was
/// false.
fn in_parallel(numbers: &[usize], work: impl Fn(usize) -> bool + Sync) -> usize {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    // Each thread takes the next number when it is free: faults take very different times.
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));

    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Relaxed)) {
                    failed.fetch_add(usize::from(!work(*number)), Relaxed);
                }
            });
        }
    });

    failed.into_inner()
}

/// Runs one fault and prints what caught it; returns whether anything did.
fn judge(programs: &Programs, mutant: &Mutant, number: usize, seeds: u64) -> bool {
    let began = Instant::now();
    // A program that does not even start shows nothing, so that fault is missed.
    let verdict = match programs.catcher(number, seeds) {
        Ok(Some(catcher)) => Ok(catcher),
        Ok(None) => Err("nothing fails".to_owned()),
        Err(error) => Err(error.to_string()),
    };

    let seconds = began.elapsed().as_secs_f64();
    let is_caught = verdict.is_ok();
    let verdict = verdict.unwrap_or_else(|gap| format!("MISSED: {gap}"));
    let Mutant { law, name, .. } = mutant;
    println!("{seconds:>6.1} s  law {law}  {name:<58} {verdict}");
    is_caught
}
