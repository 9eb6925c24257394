//! `saacms-realtime engine check` and `lost`.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::hub::{Hub, expect_changes, next_event};
use crate::run::{Answer, server};

#[test]
fn a_check_says_what_is_there_and_changes_nothing() {
    let mut hub = Hub::start(&[]);
    for name in ["a", "b", "c"] {
        hub.publish("1", name);
    }
    hub.publish("2", "x");
    let life = hub.health("/readyz").1["engine"]["life"]
        .as_str()
        .expect("a life")
        .to_owned();

    // Beside a running hub, after a crash, and after a graceful end.
    let running = check(&hub.dir, 0);
    let in_use = format!("in use by pid {}", hub.server.id());
    assert!(running.stdout.contains(&in_use), "{}", running.stdout);
    hub.kill();
    let killed = check(&hub.dir, 0);
    hub.start_again();
    hub.terminate();
    let ended = check(&hub.dir, 0);
    for answer in [&running, &killed, &ended] {
        assert_line(answer, "life", &life);
        assert_line(answer, "records", "2");
        assert_line(answer, "events", "4");
        assert_line(answer, "integrity", "ok");
        for name in ["file", "oldest", "newest"] {
            assert!(
                answer.stdout.contains(&format!("{name} ")),
                "{}",
                answer.stdout
            );
        }
    }
    assert!(!killed.stdout.contains("in use"), "{}", killed.stdout);

    hub.start_again();
    expect_changes(&mut hub.subscribe("1", "a"), &["b", "c"]);
}

#[test]
fn a_check_of_a_damaged_history_fails_and_leaves_it_where_it_is() {
    let mut hub = Hub::start(&[]);
    for number in 0..100 {
        hub.publish("1", &format!("v{number}"));
    }
    hub.terminate();
    let history = hub.dir.join("history");
    let mut bytes = fs::read(&history).expect("a file");
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    fs::write(&history, &bytes).expect("our own file");

    let before = state(&hub.dir);
    let answer = check(&hub.dir, 1);
    assert!(answer.stdout.contains("integrity"), "{}", answer.stdout);
    assert!(!answer.stdout.contains("ok\n"), "{}", answer.stdout);
    assert_eq!(state(&hub.dir), before);
}

#[test]
fn a_check_of_a_folder_without_history_says_so() {
    let dir = TempDir::new().expect("a folder");
    let answer = check(dir.path(), 1);
    assert!(answer.stderr.contains("no history"), "{}", answer.stderr);
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    let answer = check(&dir.path().join("missing"), 1);
    assert!(answer.stderr.contains("no history"), "{}", answer.stderr);
}

#[test]
fn a_declared_loss_makes_every_client_refetch_once() {
    for event_ids in ["etag", "position"] {
        let mut hub = Hub::start(&["--event-ids", event_ids]);
        let mut stream = hub.subscribe("1", "");
        hub.publish("1", "a");
        let place = stream.greeting();
        let last = expect_changes(&mut stream, &["a"]);

        let refused = engine("lost", &hub.dir);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        let in_use = format!("in use by pid {}", hub.server.id());
        assert!(refused.stderr.contains(&in_use), "{}", refused.stderr);

        hub.terminate();
        let declared = engine("lost", &hub.dir);
        assert_eq!(declared.code, 0, "{}", declared.stderr);
        hub.start_again();
        hub.publish("1", "b");
        for from in [&place, &last] {
            let mut stream = hub.subscribe("1", from);
            let (kind, id, _) = next_event(&mut stream);
            assert_eq!(kind, "saacms-resync");
            hub.publish("1", "c");
            expect_changes(&mut stream, &["c"]);
            // Once is enough: the resync has named a place of the new life.
            let mut again = hub.subscribe("1", &id);
            assert_eq!(next_event(&mut again).0, "changed");
        }
    }
}

#[test]
fn the_commands_need_a_folder_and_read_it_from_the_environment() {
    let answer = Answer::of(server(&["engine", "check"]));
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    assert!(answer.stderr.contains("--data-dir"), "{}", answer.stderr);

    let hub = Hub::start(&[]);
    let mut command = server(&["engine", "check"]);
    command.env("SAACMS_REALTIME_DATA_DIR", &hub.dir);
    assert_eq!(Answer::of(command).code, 0);
}

/// Asks for `engine check`, which must exit with this code.
#[track_caller]
fn check(dir: &Path, code: i32) -> Answer {
    let before = dir.exists().then(|| state(dir));
    let answer = engine("check", dir);
    assert_eq!(answer.code, code, "{}{}", answer.stdout, answer.stderr);
    if let Some(before) = before {
        assert_eq!(state(dir), before, "a check changes nothing");
    }
    answer
}

fn engine(command: &str, dir: &Path) -> Answer {
    let dir = dir.to_str().expect("UTF-8");
    Answer::of(server(&["engine", command, "--data-dir", dir]))
}

#[track_caller]
fn assert_line(answer: &Answer, name: &str, value: &str) {
    let line = answer
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix(name));
    assert_eq!(line.map(str::trim), Some(value), "{}", answer.stdout);
}

/// The files of a folder: names, lengths and times.
fn state(dir: &Path) -> Vec<(String, u64, SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let about = entry.metadata().expect("a file");
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, about.len(), about.modified().expect("a time"))
        })
        .collect();
    files.sort();
    files
}
