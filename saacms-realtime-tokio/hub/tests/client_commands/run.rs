//! Runs the program's client commands.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::hub::{DEADLINE, Hub};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command with `args` for `hub`, without anything from the environment.
pub(crate) fn command(hub: &Hub, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saacms-realtime"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_uppercase();
        let colours = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"].contains(&&*text);
        if text.starts_with("SAACMS_") || text.ends_with("_PROXY") || colours {
            command.env_remove(name);
        }
    }

    command.args(args).env("SAACMS_REALTIME_URL", hub.url());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the command to its end.
pub(crate) fn run(hub: &Hub, args: &[&str]) -> Outcome {
    Running::start(&mut command(hub, args)).finish()
}

/// Runs the command with `input` on standard input.
pub(crate) fn run_with_input(hub: &Hub, args: &[&str], input: &[u8]) -> Outcome {
    let mut running = Running::start(command(hub, args).stdin(Stdio::piped()));
    let mut stdin = running.stdin();
    let input = input.to_vec();
    thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    running.finish()
}

/// A running command. Dropping it kills the process.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the binary"))
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("a pipe")
    }

    /// Reads the first line of standard output. Returns the rest as a reader.
    pub(crate) fn first_line(&mut self) -> (BufReader<ChildStdout>, String) {
        let mut stdout = BufReader::new(self.0.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        (stdout, line)
    }

    pub(crate) fn finish(mut self) -> Outcome {
        let stdout = collect(self.0.stdout.take());
        let stderr = collect(self.0.stderr.take());
        let started = Instant::now();
        let mut late = false;
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                break status;
            }
            if started.elapsed() > DEADLINE {
                late = true;
                let _ = self.0.kill();
            }
            thread::sleep(Duration::from_millis(5));
        };
        let text = |pipe: JoinHandle<String>| pipe.join().expect("a reader");
        let outcome = Outcome {
            code: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
        };

        assert!(!late, "did not end by itself: {outcome:?}");
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).expect("a pipe");
        }
        String::from_utf8(bytes).expect("UTF-8")
    })
}
