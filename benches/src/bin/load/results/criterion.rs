//! What criterion has measured, as ratios.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Row, SLACK};

/// Groups, and which of their figures is measured against which.
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
    let nanos = |group: &str, name: &str| nanos(folder, group, name);
    let group = "resume/by_id_10k";
    let [ours, newest] = [nanos(group, "ours")?, nanos(group, "ours_newest")?];
    let slowest = ours.max(newest);
    let mut rows = vec![
        Row {
            key: group.into(),
            figure: "resume by ID among 10,000 retained".into(),
            target: Some(("≤ 1 µs", 1_000.0)),
            value: slowest,
            shown: format!(
                "{} anywhere, {} for the newest; a scan of a VecDeque {}",
                time(ours),
                time(newest),
                time(nanos(group, "vec_deque_scan")?)
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
    let new = ("frame/encode_300B", "ours_to_new_memory", "memcpy_to_new_memory");
    for which in [new].iter().chain(&RATIOS) {
        rows.push(ratio(folder, *which)?);
    }
    Ok(rows)
}

fn ratio(folder: &Path, which: (&str, &str, &str)) -> Result<Row, String> {
    let (group, ours, other) = which;
    let pair = [nanos(folder, group, ours)?, nanos(folder, group, other)?];
    let value = pair[0] / pair[1];
    Ok(Row {
        key: format!("{group}/{ours}/{other}"),
        figure: format!("`{group}`: {ours} over {other}"),
        target: None,
        value,
        shown: format!("{value:.2} ({} against {})", time(pair[0]), time(pair[1])),
        command: command(group),
        slack: SLACK,
    })
}

fn command(group: &str) -> String {
    format!("cargo bench -p saacms-realtime-benches -- {group}")
}

fn nanos(folder: &Path, group: &str, name: &str) -> Result<f64, String> {
    let file = folder.join(group.replace('/', "_")).join(name).join("new/estimates.json");
    let missing = |error: &dyn core::fmt::Display| {
        format!("{}: {error}; `cargo bench -p saacms-realtime-benches` writes it", file.display())
    };
    let text = fs::read_to_string(&file).map_err(|error| missing(&error))?;
    let estimates: Value = serde_json::from_str(&text).map_err(|error| missing(&error))?;
    estimates["median"]["point_estimate"].as_f64().ok_or_else(|| missing(&"no median in it"))
}

fn time(nanos: f64) -> String {
    if nanos < 1_000.0 { format!("{nanos:.0} ns") } else { format!("{:.1} µs", nanos / 1e3) }
}
