//! What a hub finds in its folder when it starts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::hub::{Hub, expect_changes, expect_resync};
use crate::run::Answer;

#[test]
fn a_folder_that_does_not_exist_is_created_for_this_user_alone() {
    let hub = Hub::start(&[]);
    hub.publish("1", "a");
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(&hub.dir), 0o700);
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_with_the_setting() {
    for dir in ["/dev/null/history", "/proc/history"] {
        let answer = serve(Path::new(dir));
        answer.assert_refused(&format!("--data-dir {dir}: "));
        assert!(answer.stderr.contains("hint: "), "{}", answer.stderr);
    }
}

#[test]
fn a_time_to_remember_that_is_shorter_than_max_age_is_warned_about() {
    let short = Hub::start(&["--engine-remember", "10m"]);
    let log = short.wait_for_log("events are kept for max-age, 1h");
    assert!(
        log.contains("WARN") && log.contains("--engine-remember 10m"),
        "{log}"
    );

    // 0 stands for it, and nobody has chosen the default.
    for flags in [&["--engine-remember", "0"][..], &["--max-age", "2d"]] {
        let hub = Hub::start(flags);
        hub.publish("1", "a");
        assert_eq!(hub.server.log(), "");
    }
}

#[test]
fn a_second_process_is_told_who_has_the_folder_and_changes_nothing() {
    let hub = Hub::start(&[]);
    hub.publish("1", "a");
    let answer = serve(&hub.dir);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    let in_use = format!("in use by pid {}", hub.server.id());
    assert!(answer.stderr.contains(&in_use), "{}", answer.stderr);

    hub.publish("1", "b");
    expect_changes(&mut hub.subscribe("1", "a"), &["b"]);
}

#[test]
fn a_history_of_a_newer_version_is_left_alone() {
    let mut hub = Hub::start(&[]);
    hub.publish("1", "a");
    hub.terminate();

    // A later version has other tables, and says so in `user_version` of the file's header.
    let history = hub.dir.join("history");
    let ours = fs::read(&history).expect("a file");
    let mut later = ours.clone();
    later[60..64].copy_from_slice(&[0, 0, 0, 99]);
    let names: Vec<_> = (0..later.len() - 4)
        .filter(|at| &later[*at..at + 4] == b"meta")
        .collect();
    for at in names {
        later[at..at + 4].copy_from_slice(b"mets");
    }
    fs::write(&history, &later).expect("our own file");

    let names = folder(&hub.dir);
    let answer = serve(&hub.dir);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    assert!(answer.stderr.contains("newer version"), "{}", answer.stderr);
    assert_eq!(folder(&hub.dir), names);
    assert!(fs::read(&history).expect("a file") == later);

    fs::write(&history, &ours).expect("our own file");
    hub.start_again();
    let mut stream = hub.subscribe("1", "a");
    hub.publish("1", "b");
    expect_changes(&mut stream, &["b"]);
}

#[test]
fn a_damaged_history_is_moved_aside_and_everybody_refetches() {
    for event_ids in ["etag", "position"] {
        let mut hub = Hub::start(&["--event-ids", event_ids]);
        for number in 0..200 {
            hub.publish("1", &format!("v{number}"));
        }
        let position = hub.position("1");
        hub.terminate();

        let history = hub.dir.join("history");
        let mut bytes = fs::read(&history).expect("a file");
        let half = bytes.len() / 2;
        bytes[..half].fill(0);
        fs::write(&history, bytes).expect("our own file");
        hub.start_again();
        let log = hub.wait_for_log("ERROR");
        let damaged: Vec<_> = folder(&hub.dir)
            .into_iter()
            .filter(|name| name.starts_with("history.damaged-"))
            .collect();
        assert!(!damaged.is_empty(), "{:?}", folder(&hub.dir));
        assert!(log.contains(&damaged[0]), "{log}");

        expect_resync(&mut hub.subscribe("1", &position), "restarted");
        let mut stream = hub.subscribe("1", "");
        hub.publish("1", "w");
        stream.greeting();
        let last = expect_changes(&mut stream, &["w"]);
        hub.publish("1", "x");
        expect_changes(&mut hub.subscribe("1", &last), &["x"]);
    }
}

/// Starts a hub that must end by itself.
fn serve(dir: &Path) -> Answer {
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_saacms-realtime")]);
    command
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir);
    Answer::of(command)
}

/// The names in a folder.
fn folder(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}
