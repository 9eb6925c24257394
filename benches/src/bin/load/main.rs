//! Measures a server from the outside: many subscribers, publishers, and a check of every delivery.

#[path = "../../../../saacms-realtime-tokio/hub/tests/attack/mod.rs"]
mod attack;
#[path = "../../../../saacms-realtime-core/tests/support/chance.rs"]
mod chance;
mod figures;
mod gate;
mod idle;
mod limits;
mod options;
mod plot;
mod posts;
mod progress;
mod publisher;
mod readers;
mod restart;
mod results;
mod scenario;
mod server;
mod store;
mod storm;
mod stream;
mod tally;
mod zipf;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use figures::{Figures, median};
use options::{Arguments, Options, Scenario};
use scenario::Shape;
use server::Kind;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.scenario {
        Scenario::Fanout(options) => {
            all(options, |kind| scenario::run(Shape::Fanout, kind, options))
        }
        Scenario::Spread(options) => {
            all(options, |kind| scenario::run(Shape::Spread, kind, options))
        }
        Scenario::Mixed(options) => all(options, |kind| scenario::run(Shape::Mixed, kind, options)),
        Scenario::Slow(options) => all(options, |kind| scenario::run(Shape::Slow, kind, options)),
        Scenario::Attacked(options) => all(options, |kind| {
            scenario::run(Shape::Attacked, kind, options)
        }),
        Scenario::Storm(options) => all(options, |kind| storm::run(kind, options)),
        Scenario::Idle(options) => all(options, |kind| idle::run(kind, options)),
        Scenario::Restart(options) => all(options, |kind| restart::run(kind, options)),
        Scenario::Publish(options) => all(options, |kind| posts::run(kind, options)),
        Scenario::Results(options) => results::run(options),
    };

    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs all servers in turn, in each round; returns whether every check passed.
fn all(options: &Options, run: impl Fn(Kind) -> Result<Figures, String>) -> Result<bool, String> {
    let mut runs = Vec::new();
    for _ in 0..options.rounds {
        for kind in options.kinds() {
            let figures = run(kind)?;
            print!("{}", figures.to_text());
            runs.push(figures);
        }
    }

    if runs.len() > 1 {
        print!("{}", compared(&runs, &options.kinds()));
    }

    if let Some(file) = &options.json {
        let json: Vec<_> = runs.iter().map(Figures::to_json).collect();
        write(file, &format!("{:#}\n", serde_json::Value::from(json)))?;
    }

    if let Some(file) = &options.plot {
        let title = format!("{}, {} subscribers", runs[0].scenario, runs[0].subscribers);
        let lines: Vec<_> = runs
            .iter()
            .map(|run| (run.server.to_owned(), &run.tally.latency))
            .collect();
        write(file, &plot::svg(&title, &lines))?;
    }

    // Events that a peer loses are not our failure.
    Ok(runs
        .iter()
        .filter(|run| run.server == Kind::Ours.name())
        .all(Figures::is_faultless))
}

/// A table of the medians of each server.
fn compared(runs: &[Figures], kinds: &[Kind]) -> String {
    let mut out = format!(
        "{:<8} {:>14} {:>14} {:>12} {:>12} {:>14}\n",
        "median", "CPU s/million", "deliveries/s", "p50 ms", "p99 ms", "bytes/stream"
    );

    for kind in kinds {
        let of = |figure: fn(&Figures) -> f64| {
            median(
                runs.iter()
                    .filter(|run| run.server == kind.name())
                    .map(figure),
            )
        };

        out += &format!(
            "{:<8} {:>14.2} {:>14.0} {:>12.2} {:>12.2} {:>14.0}\n",
            kind.name(),
            of(Figures::cpu_per_million),
            of(Figures::per_second),
            of(|run| run.latency_ms(0.5)),
            of(|run| run.latency_ms(0.99)),
            of(Figures::anonymous_per_stream)
        );
    }

    for (name, _, unit) in &runs[0].more {
        out += &format!("{name:<32}");
        for kind in kinds {
            let runs = runs.iter().filter(|run| run.server == kind.name());
            // A run without the figure has NaN.
            let value = median(
                runs.map(|run| run.more(name))
                    .filter(|value| value.is_finite()),
            );
            out += &format!(" {} {value:.2}", kind.name());
        }
        out += &format!(" {unit}\n");
    }
    out
}

pub(crate) fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
