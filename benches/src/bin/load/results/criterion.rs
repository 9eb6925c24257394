//! Criterion's measurements, as ratios.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Row, SLACK};
use crate::figures::median;

/// The groups, and which figures are compared in each.
const RATIOS: [(&str, &str, &str); 13] = [
    ("frame/encode_300B", "ours", "format"),
    ("frame/encode_300B", "ours", "axum_event"),
    ("frame/from_json", "ours", "serde_json_and_format"),
    ("ring/push_evict", "ours", "vec_deque"),
    ("ring/push_evict", "ours", "tokio_broadcast"),
    ("resume/by_id_100", "ours", "vec_deque_scan"),
    ("subscriber/poll_idle", "ours", "tokio_broadcast"),
    ("hub/fanout_1000", "ours", "tokio_broadcast"),
    ("hub/fanout_1000", "ours_lane", "tokio_broadcast"),
    ("hub/publish_10k_topics", "ours", "map_of_tokio_broadcast"),
    ("sse/decode", "ours", "split_lines"),
    ("sse/decode", "ours", "eventsource_stream"),
    ("route/parse", "ours", "matchit"),
];

pub(super) fn rows(folder: &Path) -> Result<Vec<Row>, String> {
    let group = "resume/by_id_10k";
    let nanos = |name| nanos(folder, group, name).map(median);
    let [ours, newest, scan] = [
        nanos("ours")?,
        nanos("ours_newest")?,
        nanos("vec_deque_scan")?,
    ];

    let mut rows = vec![
        Row {
            key: group.into(),
            figure: "resume by ID among 10,000 retained".into(),
            target: Some(("≤ 1 µs", 1_000.0)),
            // Both must meet the target.
            value: ours.max(newest),
            shown: format!(
                "{} anywhere, {} for the newest; a scan of a VecDeque {}",
                time(ours),
                time(newest),
                time(scan)
            ),
            command: command(group),
            slack: SLACK,
        },
        Row {
            target: Some(("≤ 1.5 × memcpy", 1.5)),
            figure: "core: encode a 300-byte frame".into(),
            ..ratio(folder, ("frame/encode_300B", "ours", "memcpy"))?
        },
    ];

    let new = (
        "frame/encode_300B",
        "ours_to_new_memory",
        "memcpy_to_new_memory",
    );

    for which in [new].iter().chain(&RATIOS) {
        rows.push(ratio(folder, *which)?);
    }
    Ok(rows)
}

/// The median of the rounds' ratios: a machine that is slow for seconds slows both sides of a
/// round.
fn ratio(folder: &Path, which: (&str, &str, &str)) -> Result<Row, String> {
    let (group, ours, other) = which;
    let [ours_nanos, other_nanos] = [nanos(folder, group, ours)?, nanos(folder, group, other)?];
    let ratios = || {
        ours_nanos
            .iter()
            .zip(&other_nanos)
            .map(|(ours, other)| ours / other)
    };

    let [least, most] = [
        ratios().fold(f64::INFINITY, f64::min),
        ratios().fold(0.0, f64::max),
    ];

    let value = median(ratios());
    let [ours_time, other_time] = [ours_nanos, other_nanos].map(|nanos| time(median(nanos)));
    Ok(Row {
        key: format!("{group}/{ours}/{other}"),
        figure: format!("`{group}`: {ours} over {other}"),
        target: None,
        value,
        shown: format!("{value:.2}, {least:.2} to {most:.2} ({ours_time} against {other_time})"),
        command: command(group),
        slack: SLACK,
    })
}

fn command(group: &str) -> String {
    format!("cargo bench -p saacms-realtime-benches -- {group}")
}

/// The median of each round; `--save-baseline` calls them `round-1` and so on.
fn nanos(folder: &Path, group: &str, name: &str) -> Result<Vec<f64>, String> {
    let folder = folder.join(group.replace('/', "_")).join(name);
    let files = (1..).map(|round| folder.join(format!("round-{round}/estimates.json")));
    let rounds: Vec<f64> = files
        .take_while(|file| file.exists())
        .map(|file| median_in(&file))
        .collect::<Result<_, _>>()?;
    if rounds.is_empty() {
        return Err(format!(
            "there is no round-1 in {}; `./ci.sh bench` creates it",
            folder.display()
        ));
    }
    Ok(rounds)
}

fn median_in(file: &Path) -> Result<f64, String> {
    let fault = |error: &dyn core::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| fault(&error))?;
    let estimates: Value = serde_json::from_str(&text).map_err(|error| fault(&error))?;
    let median = estimates["median"]["point_estimate"].as_f64();
    median.ok_or_else(|| fault(&"no median in it"))
}

fn time(nanos: f64) -> String {
    if nanos < 1_000.0 {
        format!("{nanos:.0} ns")
    } else {
        format!("{:.1} µs", nanos / 1e3)
    }
}
