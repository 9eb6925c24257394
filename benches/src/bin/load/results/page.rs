//! Writes RESULTS.md.

use std::fmt::Write as _;
use std::fs;

use super::{Row, Runs};
use crate::figures::Figures;
use crate::options::ResultsOptions;

pub(super) fn markdown(rows: &[Row], runs: &Runs, options: &ResultsOptions) -> String {
    let mut out = String::from(
        "# Results\n\nWritten by `./ci.sh bench`; nothing here is typed in. Ratios are of medians, \
         measured in turn in one run; those of `cargo bench` are medians of its rounds, with the least \
         and the most.\n\n",
    );

    let _ = writeln!(
        out,
        "Machine: {}. Server, peers and subscribers share it. Frames of about 300 bytes, 1,000 \
         subscribers of one key, {} runs of {} s of each server, unless said otherwise.\n",
        machine(),
        options.rounds,
        options.seconds
    );

    out += "*limit* is a program that does nothing but write (`examples/peer_limit.rs`), *axum* is \
            `Sse` over a tokio broadcast channel (`examples/peer_axum.rs`), with a commit of SQLite per \
            publish where that is kept on a disk; *store* is the disk engine's store without hub and HTTP \
            (`examples/peer_store.rs`).\n\n\
            ## Targets\n\n| figure | target | measured | met | command |\n\
            | --- | --- | --- | --- | --- |\n";
    push_targets(&mut out, rows);

    out += "\n`load` is `cargo run --release -p saacms-realtime-benches --bin load --`. The capacity \
            of which half is published is that of the slower of the two, one event at a time.\n\n\
            ## Compared with the straightforward server\n\n\
            | figure, less is better | measured | command |\n| --- | --- | --- |\n";
    push_comparisons(&mut out, rows);

    out += "\n## Servers\n\n![latencies](latency.svg)\n\n\
            | run | server | CPU s per million | deliveries/s | p50 ms | p99 ms | p99.9 ms | lost, \
            duplicated, reordered |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for ((name, server), runs) in runs {
        push_server(&mut out, name, server, runs);
    }

    out += "\n*one*: one event at a time. *flat*: 64 events on their way at any time. *half*: half \
            the capacity. *spread*: 1,000 subscribers of a key each, 2,000 events a second. *storm*: \
            10,000 reconnects, 50 events each.\n";
    out
}

fn push_targets(out: &mut String, rows: &[Row]) {
    for row in rows {
        if let Some((target, most)) = row.target {
            let met = if row.value <= most { "yes" } else { "**no**" };
            let Row {
                figure,
                shown,
                command,
                ..
            } = row;
            let _ = writeln!(
                out,
                "| {figure} | {target} | {shown} | {met} | `{command}` |"
            );
        }
    }
}

fn push_comparisons(out: &mut String, rows: &[Row]) {
    for row in rows.iter().filter(|row| row.target.is_none()) {
        let Row {
            figure,
            shown,
            command,
            ..
        } = row;
        let _ = writeln!(out, "| {figure} | {shown} | `{command}` |");
    }
}

/// The medians of all runs of one server in one scenario, and the sums of their faults.
fn push_server(out: &mut String, name: &str, server: &str, runs: &[Figures]) {
    // Below that, CPU per million deliveries is not a number.
    let delivered = runs.iter().filter(|run| run.tally.deliveries >= 10_000);
    let runs: Vec<&Figures> = delivered.collect();
    if runs.is_empty() {
        return;
    }

    let of =
        |figure: fn(&Figures) -> f64| crate::figures::median(runs.iter().map(|run| figure(run)));

    let faults = runs.iter().map(|run| &run.tally.faults);
    let faults = faults.fold([0; 3], |[lost, duplicated, reordered], it| {
        [
            lost + it.lost,
            duplicated + it.duplicated,
            reordered + it.reordered,
        ]
    });

    let _ = writeln!(
        out,
        "| {name} | {server} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} | {}, {}, {} |",
        of(Figures::cpu_per_million),
        of(Figures::per_second),
        of(|run| run.latency_ms(0.5)),
        of(|run| run.latency_ms(0.99)),
        of(|run| run.latency_ms(0.999)),
        faults[0],
        faults[1],
        faults[2]
    );
}

pub(super) fn line(row: &Row) -> String {
    let verdict = match row.target {
        Some((_, most)) if row.value <= most => "met",
        Some(_) => "NOT MET",
        None => "",
    };
    let target = row.target.map_or("", |target| target.0);
    format!(
        "{:<72} {:<24} {verdict:<8} {}",
        row.figure, target, row.shown
    )
}

pub(super) fn summary(figures: &Figures) -> String {
    let more: Vec<String> = figures
        .more
        .iter()
        .filter(|figure| ["publishes", "replayed"].contains(&figure.0))
        .map(|(name, value, unit)| format!("{name} {value:.0} {unit}"))
        .collect();
    format!(
        "{}: {:.0} deliveries/s, {:.2} CPU s per million, p99 {:.2} ms {}",
        figures.server,
        figures.per_second(),
        figures.cpu_per_million(),
        figures.latency_ms(0.99),
        more.join(", ")
    )
}

fn machine() -> String {
    // A system without these files leaves their parts empty.
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default();
        line.trim_start_matches([':', '\t', ' ']).trim().to_owned()
    };

    let processor = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores ({processor}), {:.0} GiB, Linux {}",
        memory / f64::from(1 << 20),
        kernel.trim()
    )
}
