//! The short form of all scenarios: ratios of one run, beside their targets and the baseline.

mod criterion;
mod page;
mod servers;

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::figures::{Figures, median};
use crate::options::{Options, ResultsOptions};
use crate::scenario::{self, Shape};
use crate::server::Kind;
use crate::{idle, limits, plot, posts, storm, write};

/// One figure; less is better.
#[derive(Clone, Debug)]
struct Row {
    /// Its name in the baseline.
    key: String,
    figure: String,
    /// In words, and the largest `value` that meets it.
    target: Option<(&'static str, f64)>,
    value: f64,
    /// The value and what it was computed from.
    shown: String,
    command: String,
    /// From this multiple of the baseline on, the figure is a failure.
    slack: f64,
}

/// A figure that is this many times as bad as in the baseline is a failure.
const SLACK: f64 = 1.3;
/// The tail of latencies is the slowest few events of a second: noise alone doubles it.
const SLACK_OF_TAILS: f64 = 2.5;
/// Sizes and times below this are noise, and so are ratios of them.
const LEAST: f64 = 0.1;

type Runs = BTreeMap<(&'static str, &'static str), Vec<Figures>>;

pub(crate) fn run(options: &ResultsOptions) -> Result<bool, String> {
    let mut runs = Runs::new();
    measure(options, &mut runs)?;
    let mut rows = servers::rows(&runs);
    rows.extend(criterion::rows(&options.criterion)?);

    let baseline = baseline(options)?;
    let worse: Vec<String> = rows
        .iter()
        .filter_map(|row| worse(row, &baseline))
        .collect();
    // The page is written even where a figure is worse, as it shows which one.
    let faults: Vec<String> = runs.values().flatten().filter_map(faulty).collect();
    write(&options.out, &page::markdown(&rows, &runs, options))?;
    write(&options.plot, &picture(&runs))?;
    if options.save_baseline {
        let ratios: serde_json::Map<_, _> = rows
            .iter()
            .map(|row| (row.key.clone(), json!(rounded(row.value))))
            .collect();
        write(&options.baseline, &format!("{:#}\n", Value::from(ratios)))?;
    }

    for row in &rows {
        println!("{}", page::line(row));
    }

    for problem in worse.iter().chain(&faults) {
        eprintln!("load: {problem}");
    }

    // A run that becomes the baseline cannot be worse than it, but it must be without faults.
    Ok(faults.is_empty() && (worse.is_empty() || options.save_baseline))
}

/// All runs; those that are compared take turns.
fn measure(options: &ResultsOptions, runs: &mut Runs) -> Result<(), String> {
    let base = Options {
        seconds: options.seconds,
        server: options.server.clone(),
        ..Options::default()
    };

    let all = [Kind::Ours, Kind::Axum, Kind::Limit];
    let with_limit = [Kind::Ours, Kind::Limit];
    let mut run = |name, kind: Kind, figures: Result<Figures, String>| {
        let figures = figures?;
        eprintln!("{name} {}", page::summary(&figures));
        runs.entry((name, kind.name())).or_default().push(figures);
        Ok::<_, String>(())
    };

    let one = Options {
        window: 1,
        ..base.clone()
    };

    // Servers that are compared run one after the other, so that a slow spell hits all of them.
    for _ in 0..options.rounds {
        for kind in all {
            run("one", kind, scenario::run(Shape::Fanout, kind, &one))?;
        }

        for kind in all {
            run("flat", kind, scenario::run(Shape::Fanout, kind, &base))?;
        }

        for kind in with_limit {
            let storm = Options {
                subscribers: most(10_000),
                ..base.clone()
            };
            run("storm", kind, storm::run(kind, &storm))?;
        }

        for kind in all {
            let idle = Options {
                subscribers: most(10_000),
                hold: 4.0,
                ..base.clone()
            };
            run("idle", kind, idle::run(kind, &idle))?;
        }

        let attacked = Options {
            subscribers: 100,
            rate: Some(50.0),
            ..base.clone()
        };
        let figures = scenario::run(Shape::Attacked, Kind::Ours, &attacked);
        run("attacked", Kind::Ours, figures)?;

        for kind in [Kind::Ours, Kind::Axum] {
            let posts = Options {
                subscribers: 64,
                ..base.clone()
            };
            run("publish", kind, posts::run(kind, &posts))?;
        }
    }

    measure_spread(options, &base, runs)?;
    measure_durable(options, &base, runs)?;
    measure_half(options, base, runs)
}

/// Many records with one reader each.
fn measure_spread(options: &ResultsOptions, base: &Options, runs: &mut Runs) -> Result<(), String> {
    let spread = Options {
        rate: Some(2_000.0),
        // Long enough for 10,000 deliveries, as an event has one.
        seconds: options.seconds.max(6.0),
        ..base.clone()
    };

    for _ in 0..options.rounds {
        for kind in [Kind::Ours, Kind::Axum, Kind::Limit] {
            let figures = scenario::run(Shape::Spread, kind, &spread)?;
            eprintln!("spread {}", page::summary(&figures));
            runs.entry(("spread", kind.name()))
                .or_default()
                .push(figures);
        }
    }
    Ok(())
}

/// Publishes that are on the disk when they are answered, by few and by many publishers.
fn measure_durable(
    options: &ResultsOptions,
    base: &Options,
    runs: &mut Runs,
) -> Result<(), String> {
    for _ in 0..options.rounds {
        for (name, publishers) in servers::DURABLE {
            for kind in [Kind::Ours, Kind::Axum, Kind::Store] {
                let posts = Options {
                    subscribers: publishers,
                    keys: Some(1_000),
                    data_dir: Some(options.data_dir.clone()),
                    ..base.clone()
                };
                let figures = posts::run(kind, &posts)?;
                eprintln!("{name} {}", page::summary(&figures));
                runs.entry((name, kind.name())).or_default().push(figures);
            }
        }
    }
    Ok(())
}

/// The runs at half of the capacity, which the runs before have measured.
fn measure_half(options: &ResultsOptions, base: Options, runs: &mut Runs) -> Result<(), String> {
    let with_limit = [Kind::Ours, Kind::Limit];

    // Half of what the slower of the two can do, one event at a time.
    let events = |figures: &Figures| figures.events as f64 / figures.seconds;
    let capacity = with_limit.map(|kind| of(runs, "one", kind, events));
    let rate = Some((capacity[0].min(capacity[1]) / 2.0).floor().max(1.0));
    let half = Options {
        rate,
        seconds: 2.0 * options.seconds,
        ..base
    };

    for _ in 0..options.rounds {
        for kind in with_limit {
            let figures = scenario::run(Shape::Fanout, kind, &half)?;
            eprintln!("half {}", page::summary(&figures));
            runs.entry(("half", kind.name())).or_default().push(figures);
        }
    }
    Ok(())
}

/// As many streams as one process may have.
fn most(wanted: usize) -> usize {
    let fits = |count: &usize| limits::make_room(*count).is_ok();
    [wanted, 4_000, 900].into_iter().find(fits).unwrap_or(200)
}

/// The median of a figure over the runs of one server.
fn of(runs: &Runs, name: &'static str, kind: Kind, figure: impl Fn(&Figures) -> f64) -> f64 {
    median(
        runs.get(&(name, kind.name()))
            .into_iter()
            .flatten()
            .map(figure),
    )
}

fn baseline(options: &ResultsOptions) -> Result<Value, String> {
    match fs::read_to_string(&options.baseline) {
        Ok(text) => serde_json::from_str(&text)
            .map_err(|error| format!("{}: {error}", options.baseline.display())),
        Err(_) if options.save_baseline => Ok(Value::Null),
        Err(error) => Err(format!(
            "cannot read {}: {error}; --save-baseline writes it",
            options.baseline.display()
        )),
    }
}

fn worse(row: &Row, baseline: &Value) -> Option<String> {
    let Some(before) = baseline.get(&row.key).and_then(Value::as_f64) else {
        return (!baseline.is_null()).then(|| format!("'{}' is not in the baseline", row.key));
    };
    // A figure that was not measured is NaN, which is never greater.
    (!row.value.is_finite() || row.value.max(LEAST) > before.max(LEAST) * row.slack).then(|| {
        format!(
            "{}: {:.2} is more than {} times {before:.2}",
            row.key, row.value, row.slack
        )
    })
}

fn faulty(figures: &Figures) -> Option<String> {
    (figures.server == Kind::Ours.name() && !figures.is_faultless()).then(|| figures.to_text())
}

fn picture(runs: &Runs) -> String {
    let lines: Vec<_> = [("one", "one at a time"), ("flat", "flat out")]
        .into_iter()
        .flat_map(|(name, words)| {
            [Kind::Ours, Kind::Axum, Kind::Limit].map(|kind| (name, words, kind.name()))
        })
        .filter_map(|(name, words, kind)| {
            let figures = runs.get(&(name, kind))?.first()?;
            Some((format!("{kind}, {words}"), &figures.tally.latency))
        })
        .collect();
    plot::svg("publish to receive, 1,000 subscribers of one key", &lines)
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
