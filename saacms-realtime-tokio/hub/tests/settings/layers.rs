//! The layers that values come from, and the printed settings.

use tempfile::TempDir;

use crate::run::{Answer, assert_line, server, settings, variable, write};

#[test]
fn a_flag_wins_over_the_environment_the_file_and_the_default() {
    let dir = TempDir::new().expect("a directory");
    let file = write(
        &dir,
        "hub.toml",
        "max-lag = 4\nmax-events = 5\nmax-topics = 6\n",
    );
    let mut command = server(&["--config", &file, "--max-lag", "1", "--print-config"]);

    command
        .env("SAACMS_REALTIME_MAX_LAG", "2")
        .env("SAACMS_REALTIME_MAX_EVENTS", "3");
    let printed = Answer::of(command).stdout;

    assert_line(&printed, "max-lag = 1", "flag --max-lag");
    assert_line(
        &printed,
        "max-events = 3",
        "environment SAACMS_REALTIME_MAX_EVENTS",
    );
    assert_line(&printed, "max-topics = 6", &format!("file {file}"));
    assert_line(&printed, "max-age = \"1h\"", "default");
}

#[test]
fn the_file_can_be_named_by_the_environment_and_the_flag_wins() {
    let dir = TempDir::new().expect("a directory");
    let ours = write(&dir, "ours.toml", "max-lag = 7");
    let theirs = write(&dir, "theirs.toml", "max-lag = 8");

    let mut command = server(&["--print-config"]);
    command.env("SAACMS_REALTIME_CONFIG", &theirs);
    assert_line(
        &Answer::of(command).stdout,
        "max-lag = 8",
        &format!("file {theirs}"),
    );

    let mut command = server(&["--print-config", "--config", &ours]);
    command.env("SAACMS_REALTIME_CONFIG", &theirs);
    assert_line(
        &Answer::of(command).stdout,
        "max-lag = 7",
        &format!("file {ours}"),
    );

    let mut command = server(&["--print-config"]);
    command.env("SAACMS_REALTIME_CONFIG", "");
    assert_line(&Answer::of(command).stdout, "max-lag = 1024", "default");
}

#[test]
fn the_printed_settings_are_a_file_with_the_same_meaning() {
    let dir = TempDir::new().expect("a directory");
    let token = write(&dir, "it's a token # ü", "0123456789abcdef\n");
    let first = Answer::of(server(&[
        "--print-config",
        "--listen=127.0.0.2:0",
        "--base-path=/",
        "--heartbeat=0",
        "--max-age=90m",
        "--max-lag-bytes=4MB",
        "--max-body-bytes=64KiB",
        "--event-ids=position",
        "--quiet-resume=false",
        "--cors-origin=https://a.example,http://localhost:3000",
        "--cors-origin=*",
        "--log-format=json",
        "--log-level=info,hyper=warn",
        "--publish-token-file",
        &token,
    ]));

    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(!first.stdout.contains("0123456789abcdef"));
    assert_line(&first.stdout, "max-age = \"1h30m\"", "flag --max-age");
    assert_line(
        &first.stdout,
        "max-lag-bytes = 4000000",
        "flag --max-lag-bytes",
    );

    let file = write(&dir, "printed.toml", &first.stdout);
    let second = Answer::of(server(&["--config", &file, "--print-config"]));
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(settings(&first.stdout), settings(&second.stdout));

    for (key, _) in settings(&second.stdout) {
        let line = second
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!("# file {file}"))),
            "{line:?}"
        );
    }
}

#[test]
#[cfg(unix)]
fn no_path_can_break_the_printed_file() {
    let dir = TempDir::new().expect("a directory");
    let token = write(&dir, "a\nmax-lag = 1 # \"'''\"\"\"", "0123456789abcdef\n");
    let first = Answer::of(server(&["--print-config", "--publish-token-file", &token]));
    let file = write(&dir, "b\nmax-lag = 1.toml", &first.stdout);
    let second = Answer::of(server(&["--config", &file, "--print-config"]));
    let file = write(&dir, "c", &second.stdout);
    let third = Answer::of(server(&["--config", &file, "--print-config"]));

    assert_eq!(
        (first.code, second.code, third.code),
        (0, 0, 0),
        "{}",
        third.stderr
    );
    assert_line(&third.stdout, "max-lag = 1024", &format!("file {file}"));
}

#[test]
fn the_serve_command_may_be_left_out() {
    let said = Answer::of(server(&["serve", "--max-lag", "9", "--print-config"]));
    let unsaid = Answer::of(server(&["--max-lag", "9", "--print-config"]));
    assert_eq!(said.stdout, unsaid.stdout);
    assert_line(&said.stdout, "max-lag = 9", "flag --max-lag");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let dir = TempDir::new().expect("a directory");
    let file = write(&dir, "hub.toml", "base-path = \"/live\"\n");
    let mut command = server(&["--config", &file, "--print-config"]);

    // The misspelt MAX_EVNTS is ignored too, as it is empty.
    for name in ["BASE_PATH", "MAX_AGE", "LOG_LEVEL", "MAX_EVNTS"] {
        command.env(format!("SAACMS_REALTIME_{name}"), "");
    }

    let answer = Answer::of(command);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_line(
        &answer.stdout,
        "base-path = \"/live\"",
        &format!("file {file}"),
    );
    assert_line(&answer.stdout, "max-age = \"1h\"", "default");
    assert_line(&answer.stdout, "log-level = \"info\"", "default");
}

#[test]
fn variables_of_the_clients_and_of_kubernetes_are_no_settings() {
    let mut command = server(&["--print-config"]);
    for name in ["URL", "BIN", "SERVICE_HOST", "SERVICE_PORT"] {
        command.env(format!("SAACMS_REALTIME_{name}"), "x");
    }
    command.env("SAACMS_REALTIME_PORT", "tcp://192.0.2.1:8787");
    assert_eq!(Answer::of(command).code, 0);
}

#[test]
fn the_token_in_the_environment_is_taken_and_never_shown() {
    let mut command = server(&["--listen=0.0.0.0:0", "--print-config"]);
    command.env("SAACMS_REALTIME_PUBLISH_TOKEN", "0123456789abcdef");
    let answer = Answer::of(command);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(!answer.stdout.contains("0123456789abcdef"));
    let origin = "# environment SAACMS_REALTIME_PUBLISH_TOKEN";
    assert!(
        answer.stdout.lines().any(|line| line.ends_with(origin)),
        "{}",
        answer.stdout
    );

    // What is printed is still a file, and the token is not part of it.
    let dir = TempDir::new().expect("a directory");
    let file = write(&dir, "printed.toml", &answer.stdout);
    Answer::of(server(&["--config", &file, "--print-config"]))
        .assert_refused(&format!("{file}, line 1: listen"));

    let mut command = server(&["--print-config"]);
    command.env("SAACMS_REALTIME_PUBLISH_TOKEN", "");
    let answer = Answer::of(command);
    assert!(answer.code == 0 && !answer.stdout.contains("PUBLISH_TOKEN"));
}

#[test]
fn a_byte_order_mark_before_a_file_is_skipped() {
    let dir = TempDir::new().expect("a directory");
    let file = write(&dir, "hub.toml", "\u{feff}max-lag = 7\n");
    let token = write(&dir, "token", "\u{feff}0123456789abcdef\r\n");
    let answer = Answer::of(server(&[
        "--config",
        &file,
        "--publish-token-file",
        &token,
        "--listen=0.0.0.0:0",
        "--print-config",
    ]));
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_line(&answer.stdout, "max-lag = 7", &format!("file {file}"));
}

#[test]
fn every_setting_can_be_given_in_every_layer() {
    let dir = TempDir::new().expect("a directory");
    let printed = Answer::of(server(&["--print-config"])).stdout;
    for (key, value) in settings(&printed) {
        let text = value.trim_matches(['"', '[', ']']);
        let line = format!("{key} = {value}");

        let by_flag = Answer::of(server(&[&format!("--{key}={text}"), "--print-config"]));
        assert_line(&by_flag.stdout, &line, &format!("flag --{key}"));

        let variable = variable(key);
        let mut command = server(&["--print-config"]);
        command.env(&variable, text);
        let origin = if text.is_empty() {
            "default".to_owned()
        } else {
            format!("environment {variable}")
        };

        assert_line(&Answer::of(command).stdout, &line, &origin);

        let file = write(&dir, "one.toml", &line);
        let by_file = Answer::of(server(&["--config", &file, "--print-config"]));
        assert_line(&by_file.stdout, &line, &format!("file {file}"));
    }
}

#[test]
fn the_help_names_every_setting_and_its_variable() {
    let help = Answer::of(server(&["serve", "--help"])).stdout;
    let printed = Answer::of(server(&["--print-config"])).stdout;
    for (key, _) in settings(&printed) {
        assert!(help.contains(&format!("--{key} <")), "{key}");
        assert!(help.contains(&format!("[env: {}]", variable(key))), "{key}");
    }

    for part in [
        "SAACMS_REALTIME_CONFIG",
        "Network:",
        "Retention:",
        "Limits:",
        "Access:",
    ] {
        assert!(help.contains(part), "{part}");
    }

    for part in [
        "Logging:",
        "Configuration:",
        "Examples:",
        "Sizes:",
        "Times:",
        "Exit codes:",
    ] {
        assert!(help.contains(part), "{part}");
    }
}
