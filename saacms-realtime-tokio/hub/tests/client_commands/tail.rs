//! `tail`.

use crate::hub::{Connection, Hub, frame};
use crate::run::{Running, command, run};

/// One stream with `text`, held open.
pub(crate) fn stream(text: &'static str) -> Hub {
    Hub::start(move |mut connection: Connection| {
        connection.begin_stream();
        connection.write(text);
        connection.hold();
    })
}

#[test]
fn a_reconnect_names_the_last_event_and_waits_as_the_hub_asked() {
    let hub = Hub::start(|mut connection| {
        connection.begin_stream();
        if connection.number == 0 {
            connection.write("retry: 60\n\n");
            connection.write(frame("changed", "é 1", r#"{"n":1.0}"#));
        } else {
            connection.write(frame("deleted", "v2", r#"{"id":"1"}"#));
            connection.hold();
        }
    });
    let outcome = run(&hub, &["tail", "posts/a/b ?%20", "--count", "2"]);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert!(
        lines[0].ends_with(r#"Z posts/a/b ?%20 changed  é 1 {"n":1.0}"#),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with(r#"deleted  v2 (after reconnect) {"id":"1"}"#),
        "{lines:?}"
    );

    let key = "posts/a/b ?%20";
    let told: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(
        told,
        [
            format!("{key}: connected"),
            format!("{key}: connection lost: the hub ended it, reconnecting in 60 ms"),
            format!("{key}: connected, last event ID é 1"),
        ]
    );

    let (first, second) = (hub.request(), hub.request());
    assert_eq!(
        first.line,
        "GET /base/posts/a%2Fb%20%3F%2520/subscribe HTTP/1.1"
    );
    // A refusal comes as a status to whoever names more than the stream.
    assert_eq!(
        first.header("accept").as_deref(),
        Some("text/event-stream, application/problem+json")
    );
    assert_eq!(first.header("last-event-id"), None);
    assert_eq!(second.line, first.line);
    assert_eq!(second.header("last-event-id").as_deref(), Some("é 1"));
}

#[test]
fn a_stream_cut_before_its_first_event_is_resumed_from_its_greeting() {
    let hub = Hub::start(|mut connection| {
        connection.begin_stream();
        connection.write("retry: 60\n\n");
        if connection.number == 0 {
            connection.write("id: 00000000000000fe.7\n\n");
        } else {
            connection.write(frame("changed", "v1", "1"));
            connection.hold();
        }
    });
    let outcome = run(&hub, &["tail", "posts/1", "--count", "1"]);
    let told = outcome.stderr.lines().last();
    assert_eq!(
        told,
        Some("posts/1: connected, last event ID 00000000000000fe.7")
    );
    let (_, second) = (hub.request(), hub.request());
    assert_eq!(
        second.header("last-event-id").as_deref(),
        Some("00000000000000fe.7")
    );
}

#[test]
fn a_stream_cut_in_a_chunk_is_resumed() {
    let hub = Hub::start(|mut connection| {
        connection.write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        );

        let chunk = |text: String| format!("{:x}\r\n{text}\r\n", text.len());
        match connection.number {
            0 => {
                connection.write(chunk(format!(
                    "retry: 60\n\n{}",
                    frame("changed", "v1", "1")
                )));
                connection.write("ff\r\nevent: changed\nid: v2\ndata: 2");
            }
            _ => {
                connection.write(chunk(frame("changed", "v2", "2")));
                connection.hold();
            }
        }
    });
    let outcome = run(&hub, &["tail", "posts/1", "--count", "2"]);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome:?}");
    assert!(outcome.stderr.contains("connection lost: "), "{outcome:?}");

    hub.request();
    assert_eq!(hub.request().header("last-event-id").as_deref(), Some("v1"));
}

#[test]
fn several_records_are_followed_at_once() {
    let hub = Hub::start(|mut connection| {
        connection.begin_stream();
        let id = if connection.request.line.contains("/posts/1/") {
            "one"
        } else {
            "two"
        };
        connection.write(frame("changed", id, "1"));
        connection.hold();
    });

    // A record that is named twice is followed once.
    let args = [
        "tail", "posts/1", "posts/10", "posts/1", "--count", "2", "-q",
    ];
    let outcome = run(&hub, &args);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("posts/1  changed  one 1\n"),
        "{outcome:?}"
    );
    assert!(
        outcome.stdout.contains("posts/10 changed  two 1\n"),
        "{outcome:?}"
    );
    assert_eq!(hub.rest().len(), 2);
}

#[test]
fn a_refusal_is_final_and_a_204_is_the_end() {
    let hub = Hub::start(|connection| match connection.number {
        0 => connection.refuse(404, "", "no such place"),
        1 => connection.answer(200, "Content-Type: text/html\r\n", "<html>"),
        _ => connection.answer(204, "", ""),
    });
    let tail = || run(&hub, &["tail", "posts/1"]);
    let refused = tail();

    assert_eq!((refused.code, &*refused.stdout), (Some(1), ""));
    assert!(
        refused
            .stderr
            .contains("answered 404 Not Found: no such place"),
        "{refused:?}"
    );

    let page = tail();
    assert_eq!(page.code, Some(1));
    assert!(page.stderr.contains("is no event stream"), "{page:?}");

    let ended = tail();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr, "posts/1: the hub ended the stream for good\n");
    assert_eq!(hub.rest().len(), 3);
}

#[test]
fn a_busy_hub_is_retried_with_the_same_last_event_id() {
    let hub = Hub::start(|mut connection| match connection.number {
        0 => {
            connection.begin_stream();
            connection.write("retry: 60\n\n");
            connection.write(frame("changed", "v1", "1"));
        }
        1 => connection.refuse(503, "Retry-After: 0\r\n", "draining"),
        2 => connection.refuse(429, "", "too many"),
        3 => drop(connection),
        _ => {
            connection.begin_stream();
            connection.write(frame("changed", "v2", "2"));
            connection.hold();
        }
    });
    let outcome = run(&hub, &["tail", "posts/1", "--count", "2"]);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("503 Service Unavailable: draining, reconnecting in ")
    );
    assert!(
        outcome
            .stderr
            .contains("is the hub running?, reconnecting in "),
        "{outcome:?}"
    );

    let requests = hub.rest();
    assert_eq!(requests.len(), 5);

    for request in &requests[1..] {
        assert_eq!(request.header("last-event-id").as_deref(), Some("v1"));
    }
}

#[test]
fn a_refusal_within_a_stream_is_told_and_retried_when_it_says() {
    let problem =
        r#"{"type":"urn:saacms-realtime:draining","status":503,"detail":"shutting down"}"#;
    let hub = Hub::start(move |mut connection| match connection.number {
        0 => {
            connection.begin_stream();
            connection.write("retry: 60\n\n");
            connection.write(frame("changed", "v1", "1"));
        }
        1 => {
            connection.begin_stream();
            let unavailable = format!("event: saacms-unavailable\ndata: {problem}\n\n");
            connection.write(format!("retry: 345\n\n{unavailable}"));
        }
        _ => {
            connection.begin_stream();
            connection.write(frame("changed", "v2", "2"));
            connection.hold();
        }
    });
    let outcome = run(&hub, &["tail", "posts/1", "--count", "2"]);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let told = "is unavailable: shutting down, reconnecting in 345 ms";
    assert!(outcome.stderr.contains(told), "{outcome:?}");
    assert!(
        !outcome.stdout.contains("saacms-unavailable"),
        "{outcome:?}"
    );
    let requests = hub.rest();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].header("last-event-id").as_deref(), Some("v1"));
}

#[test]
fn headers_and_the_token_are_sent_with_every_request() {
    let hub = Hub::start(|mut connection| match connection.number {
        0 => {
            connection.begin_stream();
            connection.write("retry: 60\n\nid: v1\n\n");
        }
        1 => connection.answer(204, "", ""),
        _ => connection.answer(307, "Location: http://127.0.0.1:1/\r\n", ""),
    });
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("headers");
    std::fs::write(&file, "\u{feff}X-Two: 2\n\nCookie: session=a:b\n").expect("a file");
    let file = format!("@{}", file.display());
    let args = ["tail", "posts/1", "--header", "X-One: 1", "--header", &file];
    let mut with_token = command(&hub, &args);
    with_token.env("SAACMS_REALTIME_PUBLISH_TOKEN", "from-environment");
    let outcome = Running::start(&mut with_token).finish();

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for _ in 0..2 {
        let request = hub.request();
        let header = |name| request.header(name).expect(name);
        assert_eq!(
            [header("x-one"), header("x-two"), header("cookie")],
            ["1", "2", "session=a:b"]
        );
        assert_eq!(header("authorization"), "Bearer from-environment");
    }

    // They do not follow a redirect.
    let redirected = run(&hub, &args);
    assert_eq!(redirected.code, Some(1), "{redirected:?}");
    assert!(
        redirected.stderr.contains("http://127.0.0.1:1/"),
        "{redirected:?}"
    );
}

#[test]
fn a_silent_connection_is_given_up() {
    let hub = Hub::start(|mut connection| {
        connection.begin_stream();
        if connection.number == 0 {
            connection.write("retry: 60\n\nid: v1\n\n");
        } else {
            connection.write(frame("changed", "v2", "2"));
        }
        connection.hold();
    });
    let outcome = run(
        &hub,
        &["tail", "posts/1", "--count", "1", "--timeout", "300ms"],
    );

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("no data for 300 ms, reconnecting in 60 ms"),
        "{outcome:?}"
    );

    hub.request();
    assert_eq!(hub.request().header("last-event-id").as_deref(), Some("v1"));
}

#[test]
fn an_event_over_the_limit_is_an_error_after_the_events_before_it() {
    let hub = Hub::start(|mut connection| {
        connection.begin_stream();
        let long = "x".repeat(100_000);
        connection.write(frame("changed", "v1", "1") + &frame("changed", "v2", &long));
        connection.hold();
    });
    let outcome = run(&hub, &["tail", "posts/1", "--max-event-bytes", "1000"]);

    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("more than 1000 bytes; --max-event-bytes"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.ends_with("changed  v1 1\n"), "{outcome:?}");
}

#[test]
fn an_event_id_that_no_header_can_carry_goes_into_the_query() {
    let hub = stream("event: changed\nid: v2\ndata: 2\n\n");
    let args = [
        "tail",
        "posts/1",
        "--last-event-id",
        "a\u{1}&b",
        "--count",
        "1",
    ];
    let outcome = run(&hub, &args);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let request = hub.request();
    assert_eq!(
        request.line,
        "GET /base/posts/1/subscribe?lastEventId=a%01%26b HTTP/1.1"
    );
    assert_eq!(request.header("last-event-id"), None);
    assert!(
        outcome.stdout.ends_with("v2 (after connect) 2\n"),
        "{outcome:?}"
    );
}

#[test]
fn an_argument_that_names_no_record_is_a_usage_error() {
    let hub = stream("");
    for args in [
        &["tail"][..],
        &["tail", "posts"],
        &["tail", "a:b/1"],
        &["tail", "posts/1", "--count", "0"],
        &["tail", "posts/1", "--timeout", "soon"],
        &["tail", "posts/1", "--header", "X"],
        &["tail", "posts/1", "--token-file", "/no/such/file"],
    ] {
        assert_eq!(run(&hub, args).code, Some(2), "{args:?}");
    }
    assert!(hub.rest().is_empty());
}
