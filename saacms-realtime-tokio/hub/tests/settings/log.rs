//! What the server logs about its settings.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::run::{server, write};

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
fn a_json_log_has_one_object_per_line() {
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

#[test]
fn a_hub_without_a_token_says_who_can_publish() {
    // So few that the limit of open files is not worth a line.
    let few = "--max-connections=9";
    let open = lines(&["serve", "--listen=127.0.0.1:0", few], 2);
    assert!(open[0].contains("listening"), "{open:?}");
    let said = open[1].contains("INFO")
        && open[1].contains("publishing needs no token: whoever reaches 127.0.0.1:");
    assert!(said, "{open:?}");

    let every_page = lines(&["serve", "--listen=127.0.0.1:0", "--cors-origin=*"], 1);
    let said = every_page[0].contains("WARN") && every_page[0].contains("every web page");
    assert!(said, "{every_page:?}");
}

/// The arguments that run a server. The first one can be left out.
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

/// The first line on standard error of a server, which is then killed.
fn first_line(args: Vec<&str>) -> String {
    lines(&args, 1).concat()
}

/// The first lines on standard error of a server, which is then killed.
fn lines(args: &[&str], count: usize) -> Vec<String> {
    let mut command = server(args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = Running(command.spawn().expect("the binary runs"));
    let stderr = BufReader::new(child.0.stderr.take().expect("is piped"));
    stderr
        .lines()
        .take(count)
        .map(|line| line.expect("UTF-8"))
        .collect()
}

/// A process that is killed when the test ends, even if it panics.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
