//! Refused settings, and the wording of the errors.

use tempfile::TempDir;

use crate::run::{Answer, assert_line, path_text, server, variable, write};

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_one() {
    let dir = TempDir::new().expect("a directory");
    let file = write(&dir, "hub.toml", "max-lag = 4\n\nmax-evnts = 5\n");
    let answer = Answer::of(server(&["--config", &file, "--print-config"]));
    answer.assert_refused(&format!("{file}, line 3: there is no setting max-evnts\n"));
    assert!(
        answer.stderr.contains("the nearest is max-events;"),
        "{}",
        answer.stderr
    );
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_one() {
    let mut command = server(&["--print-config"]);
    command.env("SAACMS_REALTIME_HEARTBEATS", "5s");
    let answer = Answer::of(command);
    answer.assert_refused("SAACMS_REALTIME_HEARTBEATS: there is no such variable\n");
    assert!(
        answer
            .stderr
            .contains("nearest is SAACMS_REALTIME_HEARTBEAT;"),
        "{}",
        answer.stderr
    );
}

#[test]
fn a_value_out_of_range_is_quoted_as_it_was_written() {
    let range = "out of range; it is 0 events, but must be 1 to 1000000 events\n";
    Answer::of(server(&["--max-lag=0", "--print-config"]))
        .assert_refused(&format!("--max-lag 0: {range}"));

    let mut command = server(&["--print-config"]);
    command.env("SAACMS_REALTIME_MAX_LAG", "0");
    Answer::of(command).assert_refused(&format!("SAACMS_REALTIME_MAX_LAG=0: {range}"));

    let dir = TempDir::new().expect("a directory");
    let file = write(&dir, "hub.toml", "# lag\nmax-lag = 0\n");
    Answer::of(server(&["--config", &file, "--print-config"]))
        .assert_refused(&format!("{file}, line 2: max-lag = 0: {range}"));
}

#[test]
fn ranges_are_shown_in_the_units_that_people_write() {
    for (flag, allowed) in [
        ("--heartbeat=5ms", "10ms to 24d"),
        ("--max-age=400d", "0s to 365d"),
        ("--max-lag-bytes=1", "1KiB to 1TiB"),
        ("--max-history-bytes=1", "64KiB to 16TiB"),
        ("--max-body-bytes=1023", "1KiB to 64MiB"),
        ("--max-body-bytes=65MiB", "1KiB to 64MiB"),
        ("--drain-timeout=2h", "0s to 1h"),
        ("--max-connections=0", "1 to 10000000"),
        ("--engine-remember=400d", "0s to 365d"),
        ("--engine-max-bytes=1", "1MiB to 32GiB"),
        ("--engine-timeout=1ms", "100ms to 5m"),
    ] {
        let answer = Answer::of(server(&[flag, "--print-config"]));
        answer.assert_refused(&format!("{}: out of range; ", flag.replace('=', " ")));
        assert!(answer.stderr.contains(allowed), "{}", answer.stderr);
    }
}

#[test]
#[cfg(not(feature = "disk"))]
fn a_build_without_the_disk_engine_says_how_to_get_one() {
    let answer = Answer::of(server(&["--data-dir=data", "--print-config"]));
    answer.assert_refused("--data-dir data: this build has no disk engine\n");
    for command in ["check", "lost"] {
        let answer = Answer::of(server(&["engine", command, "--data-dir=data"]));
        answer.assert_refused("this build has no disk engine\n");
        let hint = "hint: cargo install saacms-realtime --features disk";
        assert!(answer.stderr.contains(hint), "{}", answer.stderr);
    }
}

#[test]
fn a_value_that_cannot_be_read_is_refused_with_what_it_means() {
    for (flag, wrong) in [
        ("--max-events=-5", "must be a whole number"),
        ("--max-lag=99999999999999999999999", "too large"),
        ("--max-lag-bytes=4M", "must be a size"),
        ("--heartbeat=30", "needs a unit: 30s, 30m or 30h"),
        ("--event-ids=ETag", "must be etag or position"),
        ("--quiet-resume=yes", "must be true or false"),
        ("--base-path=api", "a base path is"),
        ("--base-path=/{id}", "a base path is"),
        ("--cors-origin=https://a.example/", "browsers send no path"),
        ("--listen=hub", "must be host:port"),
        ("--listen=:65536", "0 to 65535"),
        ("--allowed-host=https://hub.example", "must be a host name"),
        ("--allowed-host=hub.example:80", "without scheme and port"),
        ("--cors-credentials=yes", "must be true or false"),
        ("--log-level=inof", "`inof` must be"),
        ("--log-format=xml", "must be human or json"),
    ] {
        let answer = Answer::of(server(&[flag, "--print-config"]));
        answer.assert_refused(&format!("{}: ", flag.replacen('=', " ", 1)));
        assert!(answer.stderr.contains(wrong), "{}", answer.stderr);
        assert!(answer.stderr.contains("[default: "), "{}", answer.stderr);
        assert_eq!(answer.stdout, "");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let dir = TempDir::new().expect("a directory");
    let missing = path_text(&dir.path().join("missing.toml"));
    Answer::of(server(&["--config", &missing, "--print-config"]))
        .assert_refused(&format!("--config {missing}: cannot read the file"));

    let file = write(&dir, "hub.toml", "max-lag = 1\nmax-age = 1h\n");
    Answer::of(server(&["--config", &file, "--print-config"]))
        .assert_refused(&format!("{file}, line 2: "));
}

#[test]
fn the_network_is_not_served_without_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let answer = Answer::of(server(&["--listen", address, "--print-config"]));
        answer.assert_refused(&format!("--listen {address}: other machines can reach"));
        assert!(
            answer.stderr.contains("--publish-token-file"),
            "{}",
            answer.stderr
        );
    }

    let dir = TempDir::new().expect("a directory");
    let token = write(&dir, "token", "0123456789abcdef\n");
    let with_token = [
        "--listen=0.0.0.0:0",
        "--print-config",
        "--publish-token-file",
        &token,
    ];

    assert_eq!(Answer::of(server(&with_token)).code, 0);
    assert_eq!(
        Answer::of(server(&["--listen=localhost:0", "--print-config"])).code,
        0
    );
}

#[test]
fn a_refusal_still_prints_where_the_value_comes_from() {
    let answer = Answer::of(server(&["--listen", "0.0.0.0:0", "--print-config"]));
    answer.assert_refused("--listen 0.0.0.0:0: ");
    assert_line(&answer.stdout, "listen = \"0.0.0.0:0\"", "flag --listen");
}

#[test]
fn a_faulty_token_file_is_refused_and_its_content_not_shown() {
    let dir = TempDir::new().expect("a directory");
    for (name, content, wrong) in [
        ("empty", "", "has 0 bytes, but must have 16 to 512"),
        ("short", "sesame", "has 6 bytes"),
        ("long", &"sesame".repeat(100), "has 600 bytes"),
        (
            "two-lines",
            "sesame-sesame-sesame\nsesame\n",
            "must be visible ASCII",
        ),
        ("blank", "sesame sesame sesame", "must be visible ASCII"),
        ("accent", "sesamesesamesesamé", "must be visible ASCII"),
    ] {
        let file = write(&dir, name, content);
        let answer = Answer::of(server(&["--publish-token-file", &file, "--print-config"]));
        answer.assert_refused(&format!("--publish-token-file {file}: "));
        assert!(answer.stderr.contains(wrong), "{}", answer.stderr);
        assert!(!answer.stderr.contains("sesame"), "{}", answer.stderr);
    }

    let missing = path_text(&dir.path().join("missing"));
    Answer::of(server(&[
        "--publish-token-file",
        &missing,
        "--print-config",
    ]))
    .assert_refused(&format!(
        "--publish-token-file {missing}: cannot read the token"
    ));
}

#[test]
fn a_refusal_repeats_only_the_beginning_of_a_huge_value() {
    let huge = "x".repeat(100_000);
    for key in [
        "listen",
        "max-age",
        "cors-origin",
        "allowed-host",
        "log-level",
        "no-such",
    ] {
        let mut command = server(&["--print-config"]);
        command.env(variable(key), &huge);
        let answer = Answer::of(command);
        answer.assert_refused("SAACMS_REALTIME_");
        assert!(answer.stderr.len() < 2_000, "{}", answer.stderr.len());
    }
}

#[test]
fn a_token_is_named_once_or_not_at_all() {
    let dir = TempDir::new().expect("a directory");
    let token = write(&dir, "token", "0123456789abcdef\n");
    let with_variable = |args: &[&str], value: &str| {
        let mut command = server(args);
        command.env("SAACMS_REALTIME_PUBLISH_TOKEN", value);
        Answer::of(command)
    };

    let both = ["--publish-token-file", &token, "--print-config"];
    let answer = with_variable(&both, "0123456789abcdef");
    answer.assert_refused(&format!(
        "SAACMS_REALTIME_PUBLISH_TOKEN and --publish-token-file {token}: both"
    ));
    assert!(
        answer.stderr.contains("hint: name it once"),
        "{}",
        answer.stderr
    );

    for (value, wrong) in [
        ("sesame", "has 6 bytes"),
        ("sesame sesame sesame", "must be visible ASCII"),
    ] {
        let answer = with_variable(&["--print-config"], value);
        answer.assert_refused("SAACMS_REALTIME_PUBLISH_TOKEN: ");
        assert!(answer.stderr.contains(wrong), "{}", answer.stderr);
        let shown = [answer.stdout, answer.stderr].concat();
        assert!(!shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn credentials_are_never_allowed_to_all_origins() {
    let credentials = ["--cors-credentials=true", "--print-config"];
    let with = |origin: &str| {
        Answer::of(server(
            &[&credentials[..], &["--cors-origin", origin]].concat(),
        ))
    };
    assert_eq!(with("https://a.example").code, 0);
    for origins in ["*", "https://a.example,*"] {
        let answer = with(origins);
        answer.assert_refused("--cors-credentials true: ");
        assert!(
            answer.stderr.contains("list each origin"),
            "{}",
            answer.stderr
        );
    }
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    for wrong in [
        &["--max-event=5"] as &[&str],
        &["listen"],
        &["--max-lag=1", "--max-lag=2"],
    ] {
        Answer::of(server(wrong)).assert_refused("");
    }
    for fine in ["--help", "-h", "--version"] {
        assert_eq!(Answer::of(server(&[fine])).code, 0, "{fine}");
    }
}
