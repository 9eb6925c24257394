//! Runs the program until it ends by itself.

// Each test crate that includes this file uses only a part of it.
#![allow(dead_code)]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The output of a command that ends by itself.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn of(mut command: Command) -> Self {
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
    pub(crate) fn assert_refused(&self, beginning: &str) {
        assert_eq!(self.code, 2, "{}", self.stderr);
        assert!(
            self.stderr.starts_with(&format!("error: {beginning}")),
            "{}",
            self.stderr
        );
    }
}

/// The server command, with no setting in its environment.
pub(crate) fn server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saacms-realtime"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("SAACMS_REALTIME_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

pub(crate) fn variable(key: &str) -> String {
    format!("SAACMS_REALTIME_{}", key.replace('-', "_").to_uppercase())
}

pub(crate) fn write(dir: &TempDir, name: &str, content: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, content).expect("can be written");
    path_text(&path)
}

pub(crate) fn path_text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// The keys and values of printed settings, without the comments.
pub(crate) fn settings(printed: &str) -> Vec<(&str, &str)> {
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
pub(crate) fn assert_line(printed: &str, setting: &str, origin: &str) {
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
