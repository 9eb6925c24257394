//! The figures of servers, as ratios to the limit and to axum.

use super::{Row, Runs, SLACK, SLACK_OF_TAILS, of};
use crate::figures::Figures;
use crate::scenario::ATTACKED_P99;
use crate::server::Kind;

/// A target in words, and the largest value that meets it.
type Target = Option<(&'static str, f64)>;

pub(super) fn rows(runs: &Runs) -> Vec<Row> {
    vec![
        per_million(
            runs,
            ("one", Kind::Limit),
            "one_at_a_time",
            "server CPU per million deliveries, one event at a time",
            Some(("≤ 1.15 × limit", 1.15)),
        ),
        per_million(
            runs,
            ("flat", Kind::Limit),
            "flat_out",
            "the same, publishers flat out",
            Some(("≤ 1.3 × limit", 1.3)),
        ),
        tail(runs),
        memory_per_stream(runs),
        storm_time(runs),
        storm_memory(runs),
        publish(runs),
        attacked(runs),
        per_million(
            runs,
            ("one", Kind::Axum),
            "one_at_a_time_axum",
            "server CPU per million deliveries, one event at a time, over axum's",
            None,
        ),
        per_million(
            runs,
            ("flat", Kind::Axum),
            "flat_out_axum",
            "the same, publishers flat out, over axum's",
            None,
        ),
        spread(runs),
        durable(
            runs,
            0,
            Kind::Store,
            Some(("≥ 0.7 × the store, so ≤ 1.43", 1.0 / 0.7)),
        ),
        durable(
            runs,
            1,
            Kind::Store,
            Some(("≥ 0.7 × the store, so ≤ 1.43", 1.0 / 0.7)),
        ),
        durable(
            runs,
            2,
            Kind::Store,
            Some(("≥ 0.7 × the store, so ≤ 1.43", 1.0 / 0.7)),
        ),
        durable(runs, 2, Kind::Axum, Some(("≥ 5 × axum, so ≤ 0.2", 0.2))),
    ]
}

/// The runs of publishes to a disk, and how many publishers each has.
pub(super) const DURABLE: [(&str, usize); 3] =
    [("durable_1", 1), ("durable_8", 8), ("durable_64", 64)];

/// Publishes to a disk of a run, beside those of `peer`.
fn durable(runs: &Runs, run: usize, peer: Kind, target: Target) -> Row {
    let (name, publishers) = DURABLE[run];
    let publishes =
        [peer, Kind::Ours].map(|kind| of(runs, name, kind, |run| run.more("publishes")));
    let peer = peer.name();
    Row {
        // Disks vary more than processors do.
        slack: SLACK_OF_TAILS,
        ..ratio(
            &format!("{name}_{peer}"),
            &format!(
                "publishes that are on the disk, of {publishers} at once: {peer}'s events/s over ours"
            ),
            target,
            publishes,
            &format!("{:.0} against {:.0} /s", publishes[1], publishes[0]),
            format!(
                "load publish --subscribers {publishers} --keys 1000 --data-dir target --against {peer} --rounds 3"
            ),
        )
    }
}

fn per_million(
    runs: &Runs,
    (name, peer): (&'static str, Kind),
    key: &str,
    figure: &str,
    target: Target,
) -> Row {
    let pair = [Kind::Ours, peer].map(|kind| of(runs, name, kind, Figures::cpu_per_million));
    let words = format!("{:.2} against {:.2} s", pair[0], pair[1]);
    let window = if name == "one" { 1 } else { 64 };
    let command = format!(
        "load fanout --window {window} --against {} --rounds 3",
        peer.name()
    );
    ratio(key, figure, target, pair, &words, command)
}

/// Every event has one delivery, so this is the cost of an event.
fn spread(runs: &Runs) -> Row {
    let cost = |kind| of(runs, "spread", kind, Figures::cpu_per_million);
    let [ours, axum, limit] = [Kind::Ours, Kind::Axum, Kind::Limit].map(cost);
    ratio(
        "spread_axum",
        "server CPU per event, 1,000 records with one subscriber each, over axum's",
        None,
        [ours, axum],
        &format!("{ours:.0} against {axum:.0} µs, limit {limit:.0} µs"),
        "load spread --rate 2000 --against axum,limit --rounds 3".into(),
    )
}

fn tail(runs: &Runs) -> Row {
    let tails =
        [Kind::Ours, Kind::Limit].map(|kind| of(runs, "half", kind, |run| run.latency_ms(0.99)));
    let rate = of(runs, "half", Kind::Ours, |run| {
        run.events as f64 / run.seconds
    });
    Row {
        slack: SLACK_OF_TAILS,
        ..ratio(
            "tail_at_half_capacity",
            "publish → receive p99 at half the capacity",
            Some(("≤ 1.2 × limit", 1.2)),
            tails,
            &format!("{:.2} against {:.2} ms", tails[0], tails[1]),
            format!("load fanout --rate {rate:.0} --against limit --rounds 3"),
        )
    }
}

fn attacked(runs: &Runs) -> Row {
    let p99 = |run: &Figures| run.latency_ms(0.99);
    let times = of(runs, "attacked", Kind::Ours, |run| run.more(ATTACKED_P99));
    Row {
        key: "attacked".into(),
        figure: "publish → receive p99 beside 550 connections that do not read".into(),
        target: Some(("≤ 2 × a quiet server's", 2.0)),
        value: times,
        shown: format!(
            "{times:.2} ({:.2} ms)",
            of(runs, "attacked", Kind::Ours, p99)
        ),
        command: "load attacked --subscribers 100 --rate 50 --rounds 3".into(),
        slack: SLACK_OF_TAILS,
    }
}

fn memory_per_stream(runs: &Runs) -> Row {
    let memory = |kind| of(runs, "idle", kind, Figures::anonymous_per_stream);
    let streams = of(runs, "idle", Kind::Ours, |run| run.subscribers as f64);
    size(
        "memory_per_stream",
        "user memory per idle subscriber",
        Some(("≤ 512 bytes", 512.0)),
        memory(Kind::Ours),
        format!(
            "{:.0} bytes (limit {:.0}, axum {:.0})",
            memory(Kind::Ours),
            memory(Kind::Limit),
            memory(Kind::Axum)
        ),
        format!("load idle --subscribers {streams:.0} --against axum,limit"),
    )
}

fn storm_time(runs: &Runs) -> Row {
    // The inverse of bytes per second, as less is better.
    let replayed =
        [Kind::Limit, Kind::Ours].map(|kind| of(runs, "storm", kind, |run| run.more("replayed")));
    ratio(
        "storm_time",
        "10,000 reconnects at once, 50 events each: limit's bytes/s over ours",
        Some(("≥ 0.7 × limit, so ≤ 1.43", 1.0 / 0.7)),
        replayed,
        &format!("{:.0} against {:.0} MiB/s", replayed[1], replayed[0]),
        "load storm --subscribers 10000 --against limit --rounds 3".into(),
    )
}

fn storm_memory(runs: &Runs) -> Row {
    let grown = of(runs, "storm", Kind::Ours, |run| {
        run.more("peak memory over all connected")
    });
    size(
        "storm_memory",
        "the same: resident memory over that of all connected",
        Some(("≤ 64 MiB", 64.0)),
        grown,
        format!("{grown:.1} MiB"),
        "load storm --subscribers 10000 --rounds 3".into(),
    )
}

fn publish(runs: &Runs) -> Row {
    // The inverse again: axum's events per second over ours.
    let publishes =
        [Kind::Axum, Kind::Ours].map(|kind| of(runs, "publish", kind, |run| run.more("publishes")));
    ratio(
        "publish",
        "publish over HTTP, one connection each: axum's events/s over ours",
        Some(("≥ 1.3 × axum, so ≤ 0.77", 1.0 / 1.3)),
        publishes,
        &format!("{:.0} against {:.0} /s", publishes[1], publishes[0]),
        "load publish --subscribers 64 --against axum --rounds 3".into(),
    )
}

/// The first of `pair` over the second, which `words` explain.
fn ratio(
    key: &str,
    figure: &str,
    target: Target,
    pair: [f64; 2],
    words: &str,
    command: String,
) -> Row {
    let value = pair[0] / pair[1];
    let shown = format!("{value:.2} ({words})");
    size(key, figure, target, value, shown, command)
}

fn size(
    key: &str,
    figure: &str,
    target: Target,
    value: f64,
    shown: String,
    command: String,
) -> Row {
    Row {
        key: key.into(),
        figure: figure.into(),
        target,
        value,
        shown,
        command,
        slack: SLACK,
    }
}
