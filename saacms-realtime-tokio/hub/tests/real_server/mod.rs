//! Runs the program as its users do.

// Each test crate that includes this file uses only a part of it.
#![allow(dead_code)]

use core::net::SocketAddr;
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Far longer than anything here takes; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
    logging: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", "", args)
    }

    /// Starts it at an address, in a shell that runs `before` first.
    pub(crate) fn start_at(listen: &str, before: &str, args: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("{before}\nexec \"$0\" \"$@\"");
        command.args(["-ec", &script, env!("CARGO_BIN_EXE_saacms-realtime")]);
        command.args(["serve", "--listen", listen]).args(args);
        if !args.contains(&"--log-level") {
            command.args(["--log-level", "warn"]);
        }

        let settings = env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| name.to_string_lossy().starts_with("SAACMS_REALTIME_")) {
            command.env_remove(name);
        }

        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());

        let mut child = command.spawn().expect("the binary");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, kept) = (child.stderr.take().expect("a pipe"), Arc::clone(&log));
        let logging = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("not poisoned");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();

        stdout.read_line(&mut line).expect("a line");
        let address = line
            .strip_prefix("open http://")
            .and_then(|rest| rest.split('/').next()?.parse().ok())
            .unwrap_or_else(|| panic!("where it listens, not {line:?}"));

        // It may print more, and must not block on a full pipe.
        thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        Self {
            child,
            address,
            log,
            logging: Some(logging),
        }
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The log so far: warnings, errors, and any panic.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// Asserts that it is running and that none of its tasks has panicked.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self) {
        let ended = self.child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    /// Resident memory in bytes, now and at its peak.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("the status of a process that runs");
        let kib = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .expect(name);
            line.trim()
                .trim_end_matches(" kB")
                .parse::<usize>()
                .expect("a number")
        };
        (kib("VmRSS:") << 10, kib("VmHWM:") << 10)
    }

    /// The processor time that it has used.
    pub(crate) fn processor_time(&self) -> Duration {
        // The 14th and 15th field, of which the first two are before the last parenthesis.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .expect("the status of a process that runs");
        let (_, fields) = stat.rsplit_once(") ").expect("the name of the program");
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u64 = ticks
            .map(|field| field.parse::<u64>().expect("ticks"))
            .sum();
        // A tick is a hundredth of a second on every system that has this file.
        Duration::from_millis(10 * ticks)
    }

    /// How many files it has open.
    pub(crate) fn files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        files.expect("the files of a process that runs").count()
    }

    /// Tells it to stop, as a supervisor does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} \"$0\""), &id])
            .status();
        assert!(
            status.expect("a shell").success(),
            "the signal was not sent"
        );
    }

    /// Waits until it has ended and its log is complete.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                if let Some(logging) = self.logging.take() {
                    logging.join().expect("not poisoned");
                }
                return status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "it does not end:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // This fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
