//! `publish`.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;

use crate::hub::{Connection, Hub};
use crate::run::{Running, command, run, run_with_input};

/// Answers every batch with one `{"status":204}` a line.
fn take_all(connection: Connection) {
    let lines = connection.request.body.split(|byte| *byte == b'\n').count();
    connection.answer(200, "", "{\"status\":204}\n".repeat(lines));
}

#[test]
fn a_changed_event_is_posted_as_it_was_written() {
    let hub = Hub::start(|connection| connection.answer(204, "", ""));
    let record = r#"{ "title": "x", "n": 1.0, "n": 1e400, "e": "\u00e9é" }"#;
    let outcome = run(
        &hub,
        &[
            "publish", "changed", "posts", "a/é\"1", record, "--etag", "W/\"1\"",
        ],
    );
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout, "");
    assert_eq!(outcome.stderr, "published changed posts/a/é\"1\n");
    let request = hub.request();
    assert_eq!(request.line, "POST /base/publish HTTP/1.1");
    assert_eq!(
        request.header("content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(request.header("authorization"), None);
    assert_eq!(
        request.text(),
        format!(
            r#"{{"type":"changed","slug":"posts","id":"a/é\"1","record":{record},"etag":"W/\"1\""}}"#
        )
    );
}

#[test]
fn a_deleted_event_needs_no_record() {
    let hub = Hub::start(|connection| connection.answer(204, "", ""));
    let outcome = run(&hub, &["publish", "deleted", "posts", "-1", "--quiet"]);
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    assert_eq!(
        hub.request().text(),
        r#"{"type":"deleted","slug":"posts","id":"-1"}"#
    );
}

#[test]
fn a_record_comes_from_standard_input_or_from_a_file() {
    let hub = Hub::start(|connection| connection.answer(204, "", ""));
    let json = r#"{"type":"snapshot","slug":"posts","id":"1","record":{"a":
1}}"#;
    let record = b"{\"a\":\n1}\n";
    let outcome = run_with_input(&hub, &["publish", "snapshot", "posts", "1", "-"], record);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(hub.request().text(), json);

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("record.json");
    fs::write(&file, record).expect("a file");
    let argument = format!("@{}", file.display());
    let outcome = run(&hub, &["publish", "snapshot", "posts", "1", &argument]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(hub.request().text(), json);
}

#[test]
fn what_cannot_be_an_event_is_not_sent() {
    let hub = Hub::start(|connection| connection.answer(204, "", ""));
    for (args, said) in [
        (&["changed", "posts", "1", "hello"][..], "not JSON"),
        (&["changed", "posts", "1"], "needs the record"),
        (&["deleted", "posts", "1", "{}"], "has no record"),
        (&["changed", "a:b", "1", "{}"], "`slug`"),
        (&["changed", "posts", "1", "{}", "--etag", " v1"], "`etag`"),
        (
            &["changed", "posts", "1", "@/no/such/file"],
            "/no/such/file",
        ),
        (
            &["updated", "posts", "1", "{}"],
            "snapshot, changed and deleted",
        ),
        (&["changed", "posts"], "<ID>"),
        (&["--ndjson", "/no/such/file"], "/no/such/file"),
        (
            &["changed", "posts", "1", "{}", "--ndjson", "-"],
            "--ndjson",
        ),
        (
            &["deleted", "posts", "1", "--url", "localhost:1"],
            "http://",
        ),
        (
            &["deleted", "posts", "1", "--token-file", "/no/such/file"],
            "/no/such/file",
        ),
    ] {
        let outcome = run(&hub, &[&["publish"], args].concat());
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.starts_with("error: "), "{outcome:?}");
        assert!(outcome.stderr.contains(said), "{args:?}: {outcome:?}");
    }
    assert!(hub.rest().is_empty());
}

#[test]
fn a_refusal_is_told_in_the_hubs_words_with_what_to_do() {
    let hub = Hub::start(|connection| match connection.number {
        0 => connection.refuse(401, "", "a \u{1b}[31mtoken is needed"),
        1 => connection.answer(404, "", "<html>\nNot Found"),
        _ => connection.answer(307, "Location: https://elsewhere/\r\n", ""),
    });
    let publish = || run(&hub, &["publish", "deleted", "posts", "1"]);
    let refused = publish();
    assert_eq!(refused.code, Some(1));
    let url = hub.url();
    assert!(
        refused
            .stderr
            .starts_with(&format!("error: {url}publish answered 401")),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("a \u{fffd}[31mtoken is needed"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("--token-file"), "{refused:?}");
    assert!(publish().stderr.contains("base path"));
    assert!(publish().stderr.contains("https://elsewhere/"));
    assert_eq!(hub.rest().len(), 3);
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/base", free.local_addr().expect("bound"));
    drop(free);
    let hub = Hub::start(|_| {});
    let outcome = run(&hub, &["publish", "deleted", "posts", "1", "--url", &url]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains(&format!("{url}/publish")),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .contains("start it with `saacms-realtime serve`"),
        "{outcome:?}"
    );
}

#[test]
fn the_token_comes_from_a_file_else_from_the_environment() {
    let hub = Hub::start(|connection| connection.answer(204, "", ""));
    let args = ["publish", "deleted", "posts", "1"];
    let with_variable = |args: &[&str]| {
        let mut command = command(&hub, args);
        command.env("SAACMS_REALTIME_PUBLISH_TOKEN", "from-environment");
        Running::start(&mut command).finish()
    };
    assert_eq!(with_variable(&args).code, Some(0));
    let authorization = || hub.request().header("authorization");
    assert_eq!(authorization().as_deref(), Some("Bearer from-environment"));

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    fs::write(&file, "from-file\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let with_file = [&args[..], &["--token-file", file]].concat();
    assert_eq!(with_variable(&with_file).code, Some(0));
    assert_eq!(authorization().as_deref(), Some("Bearer from-file"));

    fs::write(file, "two words").expect("a file");
    assert_eq!(run(&hub, &with_file).code, Some(2));
}

#[test]
fn a_busy_hub_is_asked_again_when_it_says_so_and_not_for_ever() {
    let hub = Hub::start(|connection| match connection.number {
        0 => connection.refuse(503, "Retry-After: 0\r\n", "too many topics"),
        1 => connection.answer(204, "", ""),
        _ => connection.refuse(429, "Retry-After: 0\r\n", "too many"),
    });
    let outcome = run(&hub, &["publish", "deleted", "posts", "1"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("too many topics; trying again in 0 ms (1 of 5)")
    );
    let requests = hub.rest();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);

    let outcome = run(&hub, &["publish", "deleted", "posts", "1", "-q"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(hub.rest().len(), 6);

    let hub = Hub::start(|connection| connection.refuse(503, "", "no idea when"));
    assert_eq!(
        run(&hub, &["publish", "deleted", "posts", "1"]).code,
        Some(1)
    );
    assert_eq!(hub.rest().len(), 1);
}

#[test]
fn lines_go_in_batches_in_order_and_unchanged() {
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
    let sent: Vec<_> = requests.iter().map(|request| request.text()).collect();
    assert_eq!(sent.join("\n") + "\n", input.replace("\n\n", "\n"));
}

#[test]
fn a_batch_has_at_most_half_a_mebibyte_and_a_longer_line_goes_alone() {
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
    // A hub that refuses without reading must be able to say so before the body is on its way.
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
        "error: line 8: no answer that is understood: what?"
    );
    assert!(
        told[3].starts_with("published 3 of 6 events in "),
        "{told:?}"
    );
}

#[test]
fn a_line_without_a_result_counts_as_failed() {
    let hub = Hub::start(|connection| connection.answer(200, "", ""));
    let outcome = run_with_input(&hub, &["publish", "--ndjson", "-", "-q"], b"\n1");
    assert_eq!(outcome.code, Some(1));
    assert_eq!(
        outcome.stderr,
        "error: line 2: the hub did not say what became of it\n"
    );
}

#[test]
fn a_batch_that_is_too_large_for_the_hub_goes_in_parts() {
    let hub = Hub::start(|connection| match connection.request.body.len() {
        0..=20 => take_all(connection),
        _ => connection.refuse(413, "", "at most 20 bytes"),
    });
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
fn a_whole_batch_is_repeated_when_the_hub_was_busy() {
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
fn nothing_more_is_sent_when_all_would_be_refused_or_lost() {
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
