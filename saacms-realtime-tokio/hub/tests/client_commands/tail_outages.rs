//! `tail`, when the hub is away or refuses for a while.

use std::net::TcpListener;

use crate::hub::{Hub, frame};
use crate::run::{Running, command, run};
use crate::tail::stream;

#[test]
fn an_unreachable_hub_is_tried_again_after_a_few_seconds() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/base", free.local_addr().expect("bound"));
    drop(free);
    let hub = stream("");
    let mut running = Running::start(
        command(&hub, &["tail", "posts/1", "--json", "--url", &url]).env("NO_COLOR", "1"),
    );
    let (_stdout, line) = running.first_line();
    let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(json["kind"], "disconnected");
    let wait = json["data"]["retry_ms"].as_u64().expect("a time");
    assert!((3_000..=6_000).contains(&wait), "{line}");
}

#[test]
fn an_outage_is_told_once_even_when_quiet() {
    let hub = Hub::start(|mut connection| match connection.number {
        0 | 4 => {
            connection.begin_stream();
            connection.write("retry: 60\n\n");
            connection.write(frame("changed", "v1", "1"));
        }
        1..4 => connection.refuse(503, "Retry-After: 0\r\n", "full"),
        _ => connection.answer(204, "", ""),
    });
    let outcome = run(&hub, &["tail", "posts/1", "-q"]);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{outcome:?}");
    assert!(
        lines[0].starts_with("error: posts/1: http://") && lines[0].contains("503"),
        "{outcome:?}"
    );
    assert_eq!(hub.rest().len(), 6);
}

#[test]
fn a_reconnect_without_a_place_says_that_events_may_be_missing() {
    let hub = Hub::start(|mut connection| match connection.number {
        0 => {
            connection.begin_stream();
            connection.write("retry: 60\n\n");
        }
        1 => {
            connection.begin_stream();
            connection.write("id: 00000000000000aa.7\n\nretry: 60\n\n");
        }
        2 => connection.begin_stream(),
        _ => connection.answer(204, "", ""),
    });
    let outcome = run(&hub, &["tail", "posts/1", "-q"]);
    let missing = "connected without a last event ID: events may be missing, refetch this record";
    assert_eq!(
        outcome.stderr,
        format!("error: posts/1: {missing}\n"),
        "{outcome:?}"
    );
}
