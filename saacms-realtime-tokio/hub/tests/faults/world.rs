//! A server under load: publishers, clients, and the full history to check them against.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU8, Ordering::SeqCst};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::chance::Chance;
use crate::history::History;
use crate::real_server::Server;
use crate::seed::chance;
use crate::tab::{self, Report};
use crate::wire;

const RECORDS: usize = 6;
const CLIENTS: usize = 48;
const PUBLISHERS: usize = 3;

/// How long a client may take to catch up after the last publish.
const PATIENCE: Duration = Duration::from_secs(30);

const RUNNING: u8 = 0;
/// Tells publishers to stop.
const QUIET: u8 = 1;
/// Tells clients to end as soon as they have everything.
const OVER: u8 = 2;

/// Shared by all threads.
pub(crate) struct Shared {
    pub(crate) histories: Vec<History>,
    address: SocketAddr,
    phase: AtomicU8,
    over_at: OnceLock<Instant>,
}

impl Shared {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn is_over(&self, has_all: impl Fn() -> bool) -> bool {
        self.phase.load(SeqCst) == OVER && has_all()
    }

    pub(crate) fn has_lost_patience(&self) -> bool {
        self.over_at.get().is_some_and(|at| at.elapsed() > PATIENCE)
    }
}

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) events: usize,
    pub(crate) reconnects: usize,
    pub(crate) resyncs: usize,
}

pub(crate) struct World {
    server: Server,
    /// The address of the server itself.
    address: SocketAddr,
    flags: Vec<String>,
    files_before: usize,
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Report>>,
    publishers: Vec<JoinHandle<()>>,
}

impl World {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::new("", true, flags, |address| address)
    }

    /// Starts a world whose clients connect to a proxy of the server, which `between` starts.
    pub(crate) fn through(between: fn(SocketAddr) -> SocketAddr, flags: &[&str]) -> Self {
        Self::new("", true, flags, between)
    }

    /// Starts a world whose server is started by a shell that runs `before` first, with or without
    /// ETags.
    pub(crate) fn after(before: &str, has_etags: bool) -> Self {
        Self::new(before, has_etags, &[], |address| address)
    }

    fn new(
        before: &str,
        has_etags: bool,
        flags: &[&str],
        between: fn(SocketAddr) -> SocketAddr,
    ) -> Self {
        let flags: Vec<_> = ["--heartbeat", "200ms"]
            .iter()
            .chain(flags)
            .map(|flag| (*flag).to_owned())
            .collect();
        let server = Server::start_at("127.0.0.1:0", before, &borrowed(&flags));
        let address = server.address;

        // The server's runtime opens some files with the first connection and keeps them.
        wire::exchange(&mut wire::connect(address).expect("it listens"), HEALTH).expect("healthy");
        thread::sleep(Duration::from_millis(50));
        let shared = Arc::new(Shared {
            histories: (0..RECORDS).map(|_| History::default()).collect(),
            address: between(address),
            phase: AtomicU8::new(RUNNING),
            over_at: OnceLock::new(),
        });
        let clients = (0..CLIENTS)
            .map(|client| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || tab::follow(&shared, client % RECORDS, chance()))
            })
            .collect();
        let publishers = (0..PUBLISHERS)
            .map(|publisher| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || publish(&shared, address, has_etags, publisher, chance()))
            })
            .collect();
        let files_before = server.files();

        Self {
            server,
            address,
            flags,
            files_before,
            shared,
            clients,
            publishers,
        }
    }

    /// Continues the load for a while.
    pub(crate) fn go_on(&mut self, time: Duration) {
        let times = std::env::var("FAULTS_TIMES").ok().map(|text| text.parse());
        let factor = times.map_or(1, |times| times.expect("FAULTS_TIMES is a number"));
        thread::sleep(time * factor);
        self.server.expect_alive();
    }

    pub(crate) fn signal(&self, name: &str) {
        self.server.signal(name);
    }

    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        self.server.wait();
    }

    /// Shuts the server down gracefully, under load.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        let status = self.server.wait();
        assert!(status.success(), "{status}: {}", self.server.log());
    }

    /// Starts the server again at the same address.
    pub(crate) fn start_again(&mut self) {
        let server = Server::start_at(&self.address.to_string(), "", &borrowed(&self.flags));
        self.server = server;
    }

    /// A publisher that disconnects in the middle of its body.
    pub(crate) fn publish_half(&self) {
        let mut stream = wire::connect(self.address).expect("the server listens");
        let request = wire::publish_request(0, u64::MAX, None, 100);
        stream
            .write_all(&request.as_bytes()[..request.len() - 50])
            .expect("it reads");
    }

    /// The date of the server's wall clock.
    pub(crate) fn date(&self) -> String {
        let mut stream = wire::connect(self.address).expect("it listens");
        stream.write_all(HEALTH.as_bytes()).expect("it reads");
        let head = wire::head(&mut stream)
            .expect("an answer")
            .to_ascii_lowercase();
        let date = head.split("\r\ndate: ").nth(1).expect("a date");
        date[.."tue, 24 nov 2026".len()].to_owned()
    }

    /// Opens connections without a request. Those beyond the limit wait to be accepted.
    pub(crate) fn idle_connections(&self, count: usize) -> Vec<TcpStream> {
        (0..count)
            .filter_map(|_| wire::connect(self.address).ok())
            .collect()
    }

    /// Waits until every client has caught up, then checks what each got, and that no subscriber
    /// and no file is left.
    pub(crate) fn end(mut self, what: &str) -> Counts {
        // Publishers end first, because a client ends once it has the newest event.
        self.shared.phase.store(QUIET, SeqCst);
        self.publishers
            .into_iter()
            .for_each(|publisher| publisher.join().expect("no panic"));
        self.shared
            .over_at
            .set(Instant::now())
            .expect("the first time");
        self.shared.phase.store(OVER, SeqCst);

        let reports: Vec<Report> = self
            .clients
            .into_iter()
            .map(|client| client.join().expect("no panic"))
            .collect();

        let mut reasons = BTreeMap::new();
        let (mut connects, mut faults) = (0, Vec::new());
        for (client, report) in reports.iter().enumerate() {
            connects += report.connects;
            for (reason, count) in &report.resyncs {
                *reasons.entry(reason.clone()).or_insert(0) += count;
            }
            let fault = self.shared.histories[report.record].fault(&report.seen);
            faults.extend(
                fault.map(|fault| format!("client {client} of {}: {fault}", report.record)),
            );
            if report.is_behind {
                faults.push(format!(
                    "client {client} of {} never caught up",
                    report.record
                ));
            }
        }

        let counts = Counts {
            events: self.shared.histories.iter().map(History::len).sum(),
            reconnects: connects.saturating_sub(CLIENTS),
            resyncs: reasons.values().sum(),
        };

        println!(
            "{what}: {} events, {CLIENTS} clients, {} reconnects, {} gaps, resyncs: {reasons:?}",
            counts.events,
            counts.reconnects,
            faults.len()
        );

        assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
        self.server.expect_alive();
        expect_nothing_left(&self.server, self.files_before);
        counts
    }
}

fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

/// Writes its records and publishes each change once, whether or not that is answered.
fn publish(
    shared: &Shared,
    address: SocketAddr,
    has_etags: bool,
    publisher: usize,
    mut chance: Chance,
) {
    let mut connection = None;
    while shared.phase.load(SeqCst) == RUNNING {
        let record = publisher + PUBLISHERS * chance.below((RECORDS / PUBLISHERS) as u64) as usize;
        let number = shared.histories[record].write();
        let etag = has_etags.then_some(number);
        let request = wire::publish_request(record, number, etag, chance.below(1_000) as usize);
        let answer = match connection.take().map_or_else(|| wire::connect(address), Ok) {
            Ok(mut stream) => wire::exchange(&mut stream, &request).map(|status| (stream, status)),
            Err(error) => Err(error),
        };

        match answer {
            Ok((stream, 204)) => {
                shared.histories[record].published(number);
                connection = Some(stream);
            }
            Ok((_, 503)) | Err(_) => thread::sleep(Duration::from_millis(10)),
            Ok((_, status)) => panic!("a publish was answered with {status}"),
        }

        // Bursts, and pauses between them.
        if chance.below(10) == 0 {
            thread::sleep(Duration::from_millis(chance.below(20)));
        }
    }
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Checks that without clients no subscriber is left and no more files are open than at the start.
fn expect_nothing_left(server: &Server, files_before: usize) {
    let started = Instant::now();
    loop {
        let (subscribers, files) = (figure(server.address, "subscribers"), server.files());
        // One is the connection of this request.
        if subscribers == 0 && files <= files_before + 1 {
            return;
        }
        let waited = started.elapsed();
        assert!(
            waited < PATIENCE,
            "{subscribers} subscribers, {files} files of {files_before} left"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// A number from the server's health.
pub(crate) fn figure(address: SocketAddr, name: &str) -> u64 {
    let mut stream = wire::connect(address).expect("it listens");
    wire::exchange(&mut stream, HEALTH).expect("an answer");
    let health: serde_json::Value = serde_json::from_reader(stream).expect("JSON");
    health[name].as_u64().expect("a number")
}
