//! `publish --ndjson`.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::hub::{Connection, Hub};
use crate::run::{Running, command, run, run_with_input};

/// Answers every batch with one `{"status":204}` per line.
fn take_all(connection: Connection) {
    let lines = connection.request.body.split(|byte| *byte == b'\n').count();
    connection.answer(200, "", "{\"status\":204}\n".repeat(lines));
}

#[test]
fn lines_are_sent_in_batches_in_order_and_unchanged() {
    let hub = Hub::start(take_all);
    let input: String = (0..2_500)
        .map(|n| format!("{{\"n\": {n}}}\r\n\n"))
        .collect();
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-"], input.as_bytes());
    assert_eq!(
        (outcome.code, &*outcome.stdout),
        (Some(0), ""),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .starts_with("published 2,500 of 2,500 events in "),
        "{outcome:?}"
    );

    let requests = hub.rest();
    assert!(requests.iter().all(|request| {
        request.header("content-type").as_deref() == Some("application/x-ndjson")
            && request.text().lines().count() <= 1_000
    }));

    // Only the blank lines are left out. A CR before a line end is sent as it is.
    let sent: Vec<_> = requests.iter().map(|request| request.text()).collect();
    assert_eq!(sent.join("\n") + "\n", input.replace("\n\n", "\n"));
}

#[test]
fn a_batch_has_at_most_half_a_mebibyte_and_a_longer_line_is_sent_alone() {
    let hub = Hub::start(take_all);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("events.ndjson");
    let lens = [200_000, 200_000, 200_000, 700_000, 10];
    let lines: Vec<_> = lens
        .iter()
        .map(|len| format!("\"{}\"\n", "x".repeat(len - 2)))
        .collect();

    fs::write(&file, lines.concat()).expect("a file");
    let outcome = run(
        &hub,
        &["publish", "--ndjson", file.to_str().expect("UTF-8")],
    );
    assert_eq!(outcome.code, Some(0), "{outcome:?}");

    let requests = hub.rest();
    let sent: Vec<_> = requests.iter().map(|request| request.body.len()).collect();
    assert!(sent.contains(&700_000), "{sent:?}");
    assert!(
        sent.iter().all(|len| *len == 700_000 || *len <= 512 * 1024),
        "{sent:?}"
    );

    // With `Expect`, a hub can refuse a batch before the body is sent.
    assert!(requests.iter().all(|request| {
        request.header("expect").is_some() == (request.body.len() >= 64 * 1024)
    }));
}

#[test]
fn refused_lines_are_named_by_their_number_and_the_others_are_published() {
    let hub = Hub::start(|connection| {
        let text = connection.request.text();
        let results = text.lines().map(|line| match line {
            "bad" => {
                r#"{"type":"about:blank","title":"t","status":400,"detail":"`id` is missing"}"#
            }
            "busy" => r#"{"type":"about:blank","title":"Too many topics","status":503}"#,
            "odd" => "what?",
            _ => r#"{"status":204}"#,
        });
        let results: Vec<_> = results.collect();
        connection.answer(200, "", results.join("\n"));
    });
    let input = b"good\n\nbad\ngood\n  \nbusy\ngood\nodd";
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-"], input);

    assert_eq!(outcome.code, Some(1));
    let told: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(told[0], "error: line 3: 400 Bad Request: `id` is missing");
    assert!(
        told[1].starts_with("error: line 6: 503 Service Unavailable: Too many topics; the hub")
    );
    assert_eq!(
        told[2],
        "error: line 8: the hub's answer is not understood: what?"
    );
    assert!(
        told[3].starts_with("published 3 of 6 events in "),
        "{told:?}"
    );
}

#[test]
fn lines_that_a_hub_did_not_try_are_sent_again() {
    const REST: &str = r#"{"type":"urn:saacms-realtime:lines-not-tried","title":"t","status":413}"#;
    // A hub that tries two lines of each body.
    let hub = Hub::start(|connection| {
        let lines = connection.request.text().lines().count();
        let tried = "{\"status\":204}\n".repeat(lines.min(2));
        let rest = if lines > 2 { REST } else { "" };
        connection.answer(200, "", tried + rest);
    });
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-"], b"1\n2\n3\n4\n5\n");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stderr.starts_with("published 5 of 5 events in "),
        "{outcome:?}"
    );
    let bodies: Vec<_> = hub.rest().iter().map(|request| request.text()).collect();
    assert_eq!(
        bodies.concat().matches('5').count(),
        bodies.len(),
        "each body has all that is left: {bodies:?}"
    );

    // A hub that tries none is not asked for ever.
    let hub = Hub::start(|connection| connection.answer(200, "", REST));
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-", "-q"], b"1\n2\n");
    assert_eq!(
        (outcome.code, hub.rest().len()),
        (Some(1), 1),
        "{outcome:?}"
    );
}

#[test]
fn a_line_without_a_result_counts_as_failed() {
    let hub = Hub::start(|connection| connection.answer(200, "", ""));
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-", "-q"], b"\n1");
    assert_eq!(outcome.code, Some(1));
    assert_eq!(
        outcome.stderr,
        "error: line 2: the hub's answer has no result for it\n"
    );
}

#[test]
fn a_batch_that_is_too_large_for_the_hub_is_sent_in_parts() {
    let hub = Hub::start(|connection| match connection.request.body.len() {
        0..=20 => take_all(connection),
        _ => connection.refuse(413, "", "at most 20 bytes"),
    });

    // Line 8 is too large even alone.
    let input = "1234567\n".repeat(7) + &"x".repeat(30) + "\n1234567\n";
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-"], input.as_bytes());

    assert_eq!(outcome.code, Some(1));
    let told: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(
        told[0],
        "error: line 8: 413 Payload Too Large: at most 20 bytes"
    );
    assert!(
        told[1].starts_with("published 8 of 9 events in "),
        "{told:?}"
    );
}

#[test]
fn a_whole_batch_is_repeated_if_the_hub_was_busy() {
    let hub = Hub::start(|connection| match connection.number {
        0 => connection.refuse(503, "Retry-After: 0\r\n", "draining"),
        _ => take_all(connection),
    });
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-"], b"1\n");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stderr.contains("draining; trying again in 0 ms"),
        "{outcome:?}"
    );
    assert_eq!(hub.rest().len(), 2);
}

#[test]
fn nothing_more_is_sent_if_the_rest_would_fail_too() {
    let input = "1\n".repeat(3_000);
    let hub = Hub::start(|connection| connection.refuse(401, "", "a token is needed"));
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-"], input.as_bytes());
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains(" were not published: "),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .contains("a token is needed\n  name the hub's token"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("published 0 of "), "{outcome:?}");
    assert!(
        outcome.stderr.contains("the rest was not sent"),
        "{outcome:?}"
    );

    // 3,000 lines are at least three batches, of which only the first was sent.
    assert_eq!(hub.rest().len(), 1);

    let hub = Hub::start(drop);
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-"], input.as_bytes());
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("lines 1 to "), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("may or may not have been published"),
        "{outcome:?}"
    );
}

#[test]
fn a_slow_producer_need_not_fill_a_batch() {
    let hub = Hub::start(take_all);
    let args = ["publish", "--ndjson", "-"];
    let mut running = Running::start(command(&hub, &args).stdin(Stdio::piped()));
    let mut stdin = running.stdin();
    for line in ["first", "second"] {
        writeln!(stdin, "{line}").expect("a reader");
        assert_eq!(hub.request().text(), line);
    }
    drop(stdin);
    assert_eq!(running.finish().code, Some(0));
}
