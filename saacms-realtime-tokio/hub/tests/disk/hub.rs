//! A hub whose history is in a folder, and what is asked of it.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Connection, PATIENCE, Request};
use crate::real_server::Server;
use crate::stream::Stream;

/// A hub that can be ended and started again with the same folder, at the same address.
pub(crate) struct Hub {
    /// Ends before its folder is deleted.
    pub(crate) server: Server,
    pub(crate) dir: PathBuf,
    flags: Vec<String>,
    _temporary: Option<TempDir>,
}

impl Hub {
    /// Starts a hub with a folder of its own, which does not exist yet.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let temporary = TempDir::new().expect("a folder");
        let dir = temporary.path().join("data");
        let mut hub = Self::start_in(&dir, flags);
        hub._temporary = Some(temporary);
        hub
    }

    /// Starts a hub with this folder.
    pub(crate) fn start_in(dir: &Path, flags: &[&str]) -> Self {
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self {
            server: start("127.0.0.1:0", dir, &flags),
            dir: dir.to_owned(),
            flags,
            _temporary: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Kills the process, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.server.signal("KILL");
        self.server.wait();
    }

    /// Ends the process gracefully, as a deployment does.
    pub(crate) fn terminate(&mut self) {
        self.server.terminate();
        let status = self.server.wait();
        assert!(status.success(), "{status}: {}", self.server.log());
    }

    /// Starts the process again.
    pub(crate) fn start_again(&mut self) {
        let address = self.server.address.to_string();
        self.server = start(&address, &self.dir, &self.flags);
    }

    /// Starts the process again with other flags.
    pub(crate) fn start_again_with(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.start_again();
    }

    /// Publishes an event of `posts/{id}`. Returns the status of the answer.
    pub(crate) fn try_publish(&self, id: &str, etag: Option<&str>, record: &str) -> u16 {
        let etag = etag.map_or_else(String::new, |etag| format!(r#","etag":"{etag}""#));
        self.post(&format!(
            r#"{{"type":"changed","slug":"posts","id":"{id}","record":{record}{etag}}}"#
        ))
    }

    /// Publishes an event of `posts/{id}` whose ETag and record are `name`.
    #[track_caller]
    pub(crate) fn publish(&self, id: &str, name: &str) {
        let status = self.try_publish(id, Some(name), &format!("\"{name}\""));
        assert_eq!(status, 204, "{}", self.server.log());
    }

    /// Posts a body to be published. Returns the status of the answer.
    pub(crate) fn post(&self, body: &str) -> u16 {
        let mut connection = Connection::open(self.address());
        connection
            .exchange(&Request::post("/api/saacms/v1/publish", body))
            .status()
    }

    /// Subscribes to `posts/{id}`, from a last event ID if it is not empty.
    #[track_caller]
    pub(crate) fn subscribe(&self, id: &str, last_event_id: &str) -> Stream {
        let mut request = Request::get(&subscribe_path(id));
        if !last_event_id.is_empty() {
            request = request.header("Last-Event-ID", last_event_id);
        }
        Stream::open(self.address(), &request)
    }

    /// The position of `posts/{id}`, as a page asks for it before it reads the record.
    #[track_caller]
    pub(crate) fn position(&self, id: &str) -> String {
        let mut connection = Connection::open(self.address());
        let answer = connection.exchange(&Request::new("HEAD", &subscribe_path(id)));
        let position = answer.header("saacms-last-event-id");
        position.expect("a position").to_owned()
    }

    /// The status and the body of a health check.
    pub(crate) fn health(&self, path: &str) -> (u16, Value) {
        let answer = Connection::open(self.address()).exchange(&Request::get(path));
        let body = serde_json::from_str(answer.text()).expect("JSON");
        (answer.status(), body)
    }

    /// The log, once it has a line with this text.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let log = self.server.log();
            if log.contains(text) {
                return log;
            }
            assert!(started.elapsed() < PATIENCE, "no {text:?} in {log:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until `/readyz` answers with this status. Returns its body.
    #[track_caller]
    pub(crate) fn wait_until_ready_is(&self, status: u16) -> Value {
        let started = Instant::now();
        loop {
            let (answered, body) = self.health("/readyz");
            if answered == status {
                return body;
            }
            assert!(started.elapsed() < PATIENCE, "{answered}: {body}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn subscribe_path(id: &str) -> String {
    format!("/api/saacms/v1/posts/{id}/subscribe")
}

fn start(listen: &str, dir: &Path, flags: &[String]) -> Server {
    let dir = dir.to_str().expect("UTF-8");
    let mut args = vec!["--data-dir", dir];
    args.extend(flags.iter().map(String::as_str));
    Server::start_at(listen, "", &args)
}

/// Reads the next event of a stream: its type, its ID and its data. Comments before it are skipped.
#[track_caller]
pub(crate) fn next_event(stream: &mut Stream) -> (String, String, String) {
    loop {
        let block = stream.block();
        if block.starts_with(':') {
            continue;
        }
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        return (field("event: "), field("id: "), field("data: "));
    }
}

/// Checks that the next events are these changes, by their data. Returns the ID of the last one.
#[track_caller]
pub(crate) fn expect_changes(stream: &mut Stream, names: &[&str]) -> String {
    let mut last = String::new();
    for name in names {
        let (kind, id, data) = next_event(stream);
        assert_eq!((&*kind, data), ("changed", format!("\"{name}\"")));
        last = id;
    }
    last
}

/// Checks that the next event tells the client to refetch, for this reason.
#[track_caller]
pub(crate) fn expect_resync(stream: &mut Stream, reason: &str) {
    let (kind, _, data) = next_event(stream);
    assert_eq!(
        (&*kind, data),
        ("saacms-resync", format!(r#"{{"reason":"{reason}"}}"#))
    );
}
