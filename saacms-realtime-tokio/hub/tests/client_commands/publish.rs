//! `publish`.

use std::fs;
use std::net::TcpListener;

use crate::hub::Hub;
use crate::run::{Running, command, run, run_with_input};

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
    // `-1` is an ID and not a flag.
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
    // The record keeps its own line break, but not the one at its end.
    let json = r#"{"type":"snapshot","slug":"posts","id":"1","record":{"a":
1}}"#;
    let record = b"{\"a\":\n1}\n";
    let outcome = run_with_input(&hub, &["publish", "snapshot", "posts", "1", "-"], record);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(hub.request().text(), json);

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("record.json");
    // With the byte order mark that some editors write.
    fs::write(&file, ["\u{feff}".as_bytes(), record].concat()).expect("a file");
    let argument = format!("@{}", file.display());
    let outcome = run(&hub, &["publish", "snapshot", "posts", "1", &argument]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(hub.request().text(), json);
}

#[test]
fn an_invalid_event_is_not_sent() {
    let hub = Hub::start(|connection| connection.answer(204, "", ""));
    for (args, said) in [
        (&["changed", "posts", "1", "hello"][..], "not JSON"),
        (&["changed", "posts", "1"], "needs the record"),
        (&["deleted", "posts", "1", "{}"], "has no record"),
        (&["changed", "a:b", "1", "{}"], "the collection must not"),
        (&["changed", "posts", "1", "{}", "--etag", " v1"], "`etag`"),
        (
            &["changed", "posts", "1", "@/no/such/file"],
            "/no/such/file",
        ),
        (
            &["updated", "posts", "1", "{}"],
            "snapshot, changed or deleted",
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
fn an_empty_variable_for_the_url_counts_as_not_set() {
    let hub = Hub::start(|connection| connection.answer(204, "", ""));
    let args = ["publish", "deleted", "posts", "1", "--etag", "v1"];
    let mut command = command(&hub, &args);
    command.env("SAACMS_REALTIME_URL", "");
    let outcome = Running::start(&mut command).finish();
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("has no ETag"), "{outcome:?}");
}

#[test]
fn a_refusal_shows_the_hubs_reason_and_what_to_do() {
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
fn an_unreachable_hub_is_named() {
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
    fs::write(&file, "\u{feff}from-file\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let with_file = [&args[..], &["--token-file", file]].concat();
    assert_eq!(with_variable(&with_file).code, Some(0));
    assert_eq!(authorization().as_deref(), Some("Bearer from-file"));

    fs::write(file, "two words").expect("a file");
    assert_eq!(run(&hub, &with_file).code, Some(2));
}

#[test]
fn a_busy_hub_is_retried_when_it_says_so_and_not_for_ever() {
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
    // The first request and five retries.
    assert_eq!(hub.rest().len(), 6);

    // Without `Retry-After` there is no retry.
    let hub = Hub::start(|connection| connection.refuse(503, "", "no idea when"));
    assert_eq!(
        run(&hub, &["publish", "deleted", "posts", "1"]).code,
        Some(1)
    );
    assert_eq!(hub.rest().len(), 1);
}
