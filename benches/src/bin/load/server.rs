//! The server that is measured, started here or already running, and the resources it uses.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

/// The server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The server of this project.
    Ours,
    /// axum's `Sse` over a tokio broadcast channel (`examples/peer_axum.rs`).
    Axum,
    /// A program that only writes (`examples/peer_limit.rs`): the limit of the machine.
    Limit,
    /// The store of the disk engine alone (`examples/peer_store.rs`), for `publish --data-dir`.
    Store,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Axum => "axum",
            Self::Limit => "limit",
            Self::Store => "store",
        }
    }
}

/// The program of our server, and more arguments for it.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) ours: Option<PathBuf>,
    pub(crate) arguments: Vec<String>,
    /// Where each server makes the folder of its history; `None` keeps that in memory.
    pub(crate) data_dir: Option<PathBuf>,
}

/// A server that is ready.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    pid: Option<u32>,
    pub(crate) address: SocketAddr,
    /// Its history, which is removed with it.
    _data_dir: Option<TempDir>,
}

/// The resources that a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_bytes: u64,
    /// Anonymous memory, which is part of it: heap and stacks.
    pub(crate) anonymous_bytes: u64,
}

impl Server {
    /// Starts a server that has room for `subscribers`, and waits until it listens.
    pub(crate) fn start(
        kind: Kind,
        programs: &Programs,
        subscribers: usize,
        heartbeat: Duration,
    ) -> Result<Self, String> {
        Self::start_at("127.0.0.1:0", kind, programs, subscribers, heartbeat)
    }

    /// Starts a server at an address; a peer of ours chooses its own.
    pub(crate) fn start_at(
        listen: &str,
        kind: Kind,
        programs: &Programs,
        subscribers: usize,
        heartbeat: Duration,
    ) -> Result<Self, String> {
        let program = program(kind, programs)?;
        let mut command = Command::new(&program);
        if kind == Kind::Ours {
            let room = (subscribers + 1_000).to_string();
            command.args(["serve", "--listen", listen, "--log-level", "warn"]);
            for limit in [
                "connections",
                "subscribers",
                "subscribers-per-topic",
                "topics",
            ] {
                command.arg(format!("--max-{limit}={room}"));
            }

            command.arg(format!("--heartbeat={}ms", heartbeat.as_millis()));
            command.args(&programs.arguments);
        }

        let data_dir = programs.new_data_dir()?;
        if let Some(folder) = &data_dir {
            command.arg("--data-dir").arg(folder.path());
        }

        let cannot = |error| format!("cannot start {}: {error}", program.display());
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
        // Each server prints its address once it listens.
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(cannot)?;
        }

        let address = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let pid = Some(child.id());
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            // There is no `Server` yet whose drop would stop it.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "{} does not say where it listens: {line:?}",
                program.display()
            ));
        };

        Ok(Self {
            child: Some(child),
            pid,
            address,
            _data_dir: data_dir,
        })
    }

    pub(crate) fn running(address: SocketAddr, pid: Option<u32>) -> Self {
        Self {
            child: None,
            pid,
            address,
            _data_dir: None,
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.pid.and_then(usage).unwrap_or_default()
    }

    /// Asks it to stop, by SIGTERM.
    pub(crate) fn terminate(&self) -> Result<(), String> {
        self.signal(rustix::process::Signal::TERM)
    }

    /// Ends it at once, by SIGKILL.
    pub(crate) fn kill(&self) -> Result<(), String> {
        self.signal(rustix::process::Signal::KILL)
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<(), String> {
        let pid = self
            .pid
            .and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        let pid = pid.ok_or("the process of the server is not known: --pid")?;
        rustix::process::kill_process(pid, signal).map_err(|error| error.to_string())
    }

    /// Waits for its end; returns whether it was graceful, or `None` after `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<bool> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.as_mut()?.try_wait() {
                return Some(status.success());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

/// A server that was started here is stopped.
impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Programs {
    /// An empty folder for the history of one run.
    pub(crate) fn new_data_dir(&self) -> Result<Option<TempDir>, String> {
        let make = |folder: &PathBuf| {
            TempDir::new_in(folder)
                .map_err(|error| format!("cannot make a folder in {}: {error}", folder.display()))
        };
        self.data_dir.as_ref().map(make).transpose()
    }
}

/// The program of a server: that of the options, or the one that was built beside this one.
pub(crate) fn program(kind: Kind, programs: &Programs) -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = here.parent().unwrap_or(Path::new("."));
    let program = match kind {
        Kind::Ours => programs
            .ours
            .clone()
            .unwrap_or_else(|| folder.join("saacms-realtime")),
        Kind::Axum => folder.join("examples/peer_axum"),
        Kind::Limit => folder.join("examples/peer_limit"),
        Kind::Store => folder.join("examples/peer_store"),
    };

    if !program.exists() {
        let build = match kind {
            Kind::Ours => "cargo build --release -p saacms-realtime",
            Kind::Axum | Kind::Limit | Kind::Store => {
                "cargo build --release -p saacms-realtime-benches --examples"
            }
        };

        return Err(format!(
            "there is no {}; build it: {build}",
            program.display()
        ));
    }
    Ok(program)
}

fn usage(pid: u32) -> Option<Usage> {
    // In ticks, of which Linux shows programs 100 per second on every machine.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may contain blanks and brackets. User and system time are the 12th and
    // 13th field after it (proc_pid_stat(5)).
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu_seconds = (ticks()? + ticks()?) / TICKS;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let [rss_bytes, anonymous_bytes] = ["VmRSS:", "RssAnon:"].map(|name| kib(&status, name) << 10);
    Some(Usage {
        cpu_seconds,
        rss_bytes,
        anonymous_bytes,
    })
}

/// The kernel's slab memory, in bytes; with many connections nearly all of it is sockets.
pub(crate) fn kernel_bytes() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kib(&memory, "Slab:") << 10
}

fn kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}
