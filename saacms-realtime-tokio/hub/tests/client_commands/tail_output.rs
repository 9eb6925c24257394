//! The output of `tail`.

use core::time::Duration;
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::hub::{Connection, Hub, frame};
use crate::run::{Running, command, run};

/// One stream with `text`, held open.
fn stream(text: &'static str) -> Hub {
    Hub::start(move |mut connection: Connection| {
        connection.begin_stream();
        connection.write(text);
        connection.hold();
    })
}

#[test]
fn an_event_is_shown_before_the_next_chunk_arrives() {
    let hub = stream("event: snapshot\nid: v1\ndata: {}\n\n");
    let mut running = Running::start(&mut command(&hub, &["tail", "posts/1"]));
    let (_stdout, line) = running.first_line();
    assert!(line.ends_with("posts/1 snapshot v1 {}\n"), "{line:?}");
}

#[test]
fn a_resync_says_to_refetch_and_ends_the_replay() {
    let hub = stream(concat!(
        "event: saacms-resync\nid: v9\ndata: {\"reason\":\"buffer-miss\"}\n\n",
        "event: changed\nid: v10\ndata: 1\n\n",
    ));
    let outcome = run(
        &hub,
        &[
            "tail",
            "posts/1",
            "--last-event-id",
            "v1",
            "--count",
            "2",
            "-q",
        ],
    );

    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert!(
        lines[0].contains("resync (buffer-miss): refetch this record"),
        "{lines:?}"
    );
    assert!(lines[1].ends_with("changed  v10 1"), "{lines:?}");
    assert_eq!(hub.request().header("last-event-id").as_deref(), Some("v1"));
}

#[test]
fn events_after_a_silence_are_not_a_replay() {
    let hub = Hub::start(|mut connection| {
        connection.begin_stream();
        connection.write(frame("changed", "v2", "2"));
        // A replay arrives in one go. This silence is longer than any pause within one.
        thread::sleep(Duration::from_millis(1_200));
        connection.write(frame("changed", "v3", "3"));
        connection.hold();
    });
    let args = [
        "tail",
        "posts/1",
        "--last-event-id",
        "v1",
        "--count",
        "2",
        "-q",
    ];
    let outcome = run(&hub, &args);
    let lines: Vec<_> = outcome.stdout.lines().collect();

    assert!(lines[0].ends_with("v2 (after connect) 2"), "{lines:?}");
    assert!(lines[1].ends_with("v3 3"), "{lines:?}");
}

#[test]
fn json_output_is_one_object_per_line_with_the_data_unchanged() {
    let hub = Hub::start(|mut connection| {
        connection.begin_stream();
        match connection.number {
            0 => {
                connection.write("retry: 60\n\n");
                connection.write(frame("changed", "v1", r#"{"b":1.0,"b":1e400}"#));
            }
            _ => {
                connection.write(frame("snapshot", "v2", "not json"));
                connection.write(frame("saacms-resync", "v3", r#"{"reason":"lagged"}"#));
                connection.hold();
            }
        }
    });
    let outcome = run(&hub, &["tail", "posts/a/b", "--json", "--count", "3", "-q"]);

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let key = r#""key":{"slug":"posts","id":"a/b"}"#;
    let lines: Vec<_> = outcome
        .stdout
        .lines()
        .map(|line| {
            let rest = line.strip_prefix(r#"{"at":""#).expect("a time");
            let (at, rest) = rest.split_at(24);
            assert_eq!((&at[10..11], &at[23..]), ("T", "Z"));
            rest.strip_prefix(&format!(r#"",{key},"#))
                .expect("a key")
                .to_owned()
        })
        .collect();
    let lost = r#"{"reason":"connection lost: the hub ended it","retry_ms":60}"#;

    assert_eq!(
        lines,
        [
            r#""kind":"connected","type":null,"id":null,"data":null,"replayed":false}"#,
            concat!(
                r#""kind":"event","type":"changed","id":"v1","#,
                r#""data":{"b":1.0,"b":1e400},"replayed":false}"#
            ),
            &format!(
                r#""kind":"disconnected","type":null,"id":null,"data":{lost},"replayed":false}}"#
            ),
            r#""kind":"connected","type":null,"id":"v1","data":null,"replayed":false}"#,
            r#""kind":"event","type":"snapshot","id":"v2","data":"not json","replayed":true}"#,
            concat!(
                r#""kind":"resync","type":"saacms-resync","id":"v3","#,
                r#""data":{"reason":"lagged"},"replayed":false}"#
            ),
        ]
    );
}

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let hub = Hub::start(move |mut connection| {
        connection.begin_stream();
        connection.write(frame("changed", "v1", "1"));
        let _ = gone.lock().expect("one stream").recv();
        // More than one event, because a process that another test is just starting may hold the
        // pipe open for a moment.
        connection.write_for_ever(frame("changed", "v2", "2"));
    });

    for args in [
        &["tail", "posts/1", "-q"][..],
        &["tail", "posts/1", "-q", "--json"],
    ] {
        let mut running = Running::start(&mut command(&hub, args));
        let (stdout, line) = running.first_line();
        assert!(!line.is_empty());
        drop(stdout);
        go.send(()).expect("a hub");
        let outcome = running.finish();
        assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn output_has_colours_only_on_a_terminal_or_on_request_and_data_never() {
    let hub = stream("event: changed\nid: v1\ndata: \u{1b}[31m{\"a\":[1]}\n\n");
    let args = ["tail", "posts/1", "--count", "1"];
    let outcome = run(&hub, &args);
    assert!(!outcome.stdout.contains('\u{1b}'), "{outcome:?}");
    assert!(
        outcome.stdout.ends_with("v1 \u{fffd}[31m{\"a\":[1]}\n"),
        "{outcome:?}"
    );

    let outcome = run(&hub, &[&args[..], &["--color", "always"]].concat());
    assert!(outcome.stdout.contains("\u{1b}[34mchanged"), "{outcome:?}");
    assert!(
        outcome.stdout.ends_with(" \u{fffd}[31m{\"a\":[1]}\n"),
        "{outcome:?}"
    );
}

#[test]
fn a_record_can_be_printed_on_several_lines() {
    let hub = stream("event: changed\nid: v1\ndata: {\"a\":[1.0],\"b\":{}}\n\n");
    let outcome = run(&hub, &["tail", "posts/1", "--count", "1", "--pretty"]);
    let expected = "changed  v1\n  {\n    \"a\": [\n      1.0\n    ],\n    \"b\": {}\n  }\n";
    assert!(outcome.stdout.ends_with(expected), "{outcome:?}");
}
