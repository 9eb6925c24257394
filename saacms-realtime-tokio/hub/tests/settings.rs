//! Settings of the server: where they come from, how they are refused, what is printed.
//!
//! `--print-config` checks all settings and stops, so that no test has to stop a server that it
//! did not want.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

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
fn the_printed_settings_are_a_file_that_says_the_same() {
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
fn to_serve_need_not_be_said() {
    let said = Answer::of(server(&["serve", "--max-lag", "9", "--print-config"]));
    let unsaid = Answer::of(server(&["--max-lag", "9", "--print-config"]));
    assert_eq!(said.stdout, unsaid.stdout);
    assert_line(&said.stdout, "max-lag = 9", "flag --max-lag");
}

#[test]
fn a_key_that_does_not_exist_is_refused_with_its_line_and_the_nearest() {
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
fn a_variable_that_does_not_exist_is_refused_with_the_nearest() {
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
fn variables_of_the_clients_and_of_kubernetes_are_no_settings() {
    let mut command = server(&["--print-config"]);
    for name in [
        "URL",
        "PUBLISH_TOKEN",
        "BIN",
        "SERVICE_HOST",
        "SERVICE_PORT",
    ] {
        command.env(format!("SAACMS_REALTIME_{name}"), "x");
    }
    command.env("SAACMS_REALTIME_PORT", "tcp://192.0.2.1:8787");
    assert_eq!(Answer::of(command).code, 0);
}

#[test]
fn a_value_out_of_range_is_quoted_as_it_was_written() {
    let range = "out of range; it is 0 events; allowed is 1 to 1000000 events\n";
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
fn ranges_are_told_in_the_units_that_people_write() {
    for (flag, allowed) in [
        ("--heartbeat=5ms", "10ms to 24d"),
        ("--max-age=400d", "0s to 365d"),
        ("--max-lag-bytes=1", "1KiB to 1TiB"),
        ("--max-history-bytes=1", "64KiB to 16TiB"),
        ("--max-body-bytes=1023", "1KiB to 64MiB"),
        ("--max-body-bytes=65MiB", "1KiB to 64MiB"),
        ("--drain-timeout=2h", "0s to 1h"),
        ("--max-connections=0", "1 to 10000000"),
    ] {
        let answer = Answer::of(server(&[flag, "--print-config"]));
        answer.assert_refused(&format!("{}: out of range; ", flag.replace('=', " ")));
        assert!(answer.stderr.contains(allowed), "{}", answer.stderr);
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
        ("--listen=8787", "must be host:port"),
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
        ("empty", "", "has 0 bytes; allowed are 16 to 512"),
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
        assert_line(
            &Answer::of(command).stdout,
            &line,
            &format!("environment {variable}"),
        );

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

#[test]
fn wrong_usage_ends_with_two_and_help_with_zero() {
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

#[cfg(unix)]
mod log {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Child;

    use super::*;

    #[test]
    fn a_token_that_others_can_read_is_warned_about() {
        let dir = TempDir::new().expect("a directory");
        let token = token_of_mode(&dir, 0o644);
        for extra in [&[] as &[&str], &["--log-level=warn"]] {
            let warning = first_line([&serve(&token)[..], extra].concat());
            assert!(warning.contains("WARN"), "{warning}");
            assert!(warning.contains("can be read by every user"), "{warning}");
            assert!(
                !warning.contains('\u{1b}'),
                "a pipe has no colours: {warning}"
            );
            assert!(!warning.contains("0123456789abcdef"), "{warning}");
        }
    }

    #[test]
    fn a_json_log_is_an_object_a_line() {
        let dir = TempDir::new().expect("a directory");
        let token = token_of_mode(&dir, 0o644);
        let line = first_line([&serve(&token)[1..], &["--log-format=json"]].concat());
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["level"], "WARN");
        assert!(
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains("every user"))
        );
    }

    /// A command line that runs a server; the first word can be left out.
    fn serve(token: &str) -> [&str; 4] {
        [
            "serve",
            "--listen=127.0.0.1:0",
            "--publish-token-file",
            token,
        ]
    }

    fn token_of_mode(dir: &TempDir, mode: u32) -> String {
        let token = write(dir, "token", "0123456789abcdef\n");
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).expect("our own file");
        token
    }

    /// The first line on standard error of a server, which is then ended.
    fn first_line(args: Vec<&str>) -> String {
        let mut command = server(&args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = Running(command.spawn().expect("the binary runs"));
        let stderr = BufReader::new(child.0.stderr.take().expect("is piped"));
        stderr.lines().next().expect("a line").expect("UTF-8")
    }

    /// A process that ends with the test, however that ends.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What a command that ends has said.
struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn of(mut command: Command) -> Self {
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        Self {
            code: output.status.code().expect("ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    #[track_caller]
    fn assert_refused(&self, beginning: &str) {
        assert_eq!(self.code, 2, "{}", self.stderr);
        assert!(
            self.stderr.starts_with(&format!("error: {beginning}")),
            "{}",
            self.stderr
        );
    }
}

/// The server, with no setting in its environment.
fn server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saacms-realtime"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("SAACMS_REALTIME_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

fn variable(key: &str) -> String {
    format!("SAACMS_REALTIME_{}", key.replace('-', "_").to_uppercase())
}

fn write(dir: &TempDir, name: &str, content: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, content).expect("can be written");
    path_text(&path)
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Keys and values of printed settings, without the comments.
fn settings(printed: &str) -> Vec<(&str, &str)> {
    let setting = |line| {
        let (setting, _origin) = str::rsplit_once(line, " # ")?;
        let (key, value) = setting.split_once(" = ")?;
        Some((key, value.trim_end()))
    };
    printed
        .lines()
        .map(|line| setting(line).expect("key = value # origin"))
        .collect()
}

#[track_caller]
fn assert_line(printed: &str, setting: &str, origin: &str) {
    let found = printed
        .lines()
        .find_map(|line| line.strip_prefix(setting))
        .map(str::trim_start);
    assert_eq!(
        found,
        Some(format!("# {origin}").as_str()),
        "{setting} in\n{printed}"
    );
}
