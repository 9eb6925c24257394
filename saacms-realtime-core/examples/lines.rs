//! A line protocol over TCP: another protocol on the core, without HTTP, hub or runtime.
//!
//! A client sends one line. `publish ID TEXT` adds an event and is answered `ok`. `follow`, or
//! `follow ID` after a reconnect, is answered by a stream of lines:
//!
//! ```text
//! event ID TEXT     an event, replayed or live
//! resync ID         events were lost: refetch, then go on from ID
//! alive [ID]        at first, with the place of a client that named none; then after ten
//!                   seconds without a line
//! ```
//!
//! Without an argument the program is its own test: it serves, publishes, follows and reconnects.
//!
//! ```sh
//! cargo run -p saacms-realtime-core --example lines
//! cargo run -p saacms-realtime-core --example lines -- 127.0.0.1:7777   # then: nc 127.0.0.1 7777
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use saacms_realtime_core::{
    Entry, Epoch, EventId, IdPolicy, Instant, Named, Now, Retention, Step, Subscriber, Topic,
};

type Lines = Topic<String, String, VecDeque<Entry<Named<String, String>>>>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HEARTBEAT: Duration = Duration::from_secs(10);
/// Bytes of a request. What a client sends beyond them is not read.
const MAX_REQUEST: u64 = 4_096;

struct Server {
    lines: Mutex<Lines>,
    changed: Condvar,
    started: std::time::Instant,
}

impl Server {
    fn start(listener: TcpListener) {
        let policy = IdPolicy::Etag { quiet_resume: true };
        // A program that restarts draws it at random.
        let epoch = Epoch::from_number(1);
        let server = Arc::new(Self {
            lines: Mutex::new(Topic::new(
                VecDeque::new(),
                Retention::default(),
                policy,
                epoch,
            )),
            changed: Condvar::new(),
            started: std::time::Instant::now(),
        });

        for client in listener.incoming().flatten() {
            let server = Arc::clone(&server);
            // A client that breaks the protocol, or disconnects, ends only its own thread.
            thread::spawn(move || server.serve(&client).map_err(|error| eprintln!("{error}")));
        }
    }

    fn serve(&self, client: &TcpStream) -> Result<()> {
        let mut request = String::new();
        BufReader::new(client.take(MAX_REQUEST)).read_line(&mut request)?;

        match request.trim_end().splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["publish", id, text] => self.publish(client, id, text),
            ["follow"] => self.follow(client, None),
            ["follow", id] => self.follow(client, Some(id)),
            _ => Err(format!("neither `publish ID TEXT` nor `follow [ID]`: {request:?}").into()),
        }
    }

    fn publish(&self, mut client: &TcpStream, id: &str, text: &str) -> Result<()> {
        let id = EventId::new(id.to_owned())?;
        let mut lines = self
            .lines
            .lock()
            .expect("no thread panics while it holds the topic");

        lines.publish(id, text.to_owned(), text.len(), self.now().instant);
        drop(lines);
        self.changed.notify_all();
        Ok(writeln!(client, "ok")?)
    }

    fn follow(&self, mut client: &TcpStream, last_event_id: Option<&str>) -> Result<()> {
        let mut lines = self
            .lines
            .lock()
            .expect("no thread panics while it holds the topic");
        let opening = lines.resume(last_event_id.map(str::as_bytes), self.now().instant);
        let mut subscriber = Subscriber::new(opening.resume, HEARTBEAT);
        let mut greeting = opening.greeting;

        loop {
            let now = self.now();
            let line = match lines.poll(&mut subscriber, now.instant) {
                Step::Deliver(event) => format!("event {} {}", event.id(), event.item()),
                Step::Resync { .. } => format!("resync {}", lines.resync_id(now)),
                // The first one names the place where a client begins that named none.
                Step::KeepAlive => match greeting.take() {
                    Some(place) => format!("alive {place}"),
                    None => "alive".to_owned(),
                },
                Step::Idle { wake_at } => {
                    // Waiting releases the lock in one step: no publish is missed in between.
                    let wait = wake_at.map_or(0, |wake_at| wake_at.millis_since(now.instant));
                    let wait = Duration::from_millis(wait + 1);
                    lines = self.changed.wait_timeout(lines, wait).expect("as above").0;
                    continue;
                }
            };

            // A slow reader must not hold up the others, so it is written to without the lock.
            drop(lines);
            writeln!(client, "{line}")?;
            lines = self.lines.lock().expect("as above");
        }
    }

    fn now(&self) -> Now {
        let millis = self.started.elapsed().as_millis() as u64;
        Now {
            instant: Instant::from_millis(millis),
            wall: SystemTime::now().into(),
        }
    }
}

fn main() -> Result<()> {
    if let Some(address) = std::env::args().nth(1) {
        Server::start(TcpListener::bind(address)?);
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || Server::start(listener));
    demonstrate(address)
}

/// A client that reconnects gets what it missed, or is told to refetch if its place is gone.
fn demonstrate(address: SocketAddr) -> Result<()> {
    let ask = |request: &str, answers: usize| -> Result<Vec<String>> {
        let mut client = TcpStream::connect(address)?;
        writeln!(client, "{request}")?;
        // A stream has no end, so it is left after as many lines as are expected.
        let lines = BufReader::new(client).lines().take(answers);
        let lines = lines.collect::<std::io::Result<Vec<_>>>()?;
        println!("> {request}\n{}", lines.join("\n"));
        Ok(lines)
    };

    for number in 1..=3 {
        assert_eq!(ask(&format!("publish v{number} edit {number}"), 1)?, ["ok"]);
    }
    assert_eq!(
        ask("follow v1", 3)?,
        ["alive", "event v2 edit 2", "event v3 edit 3"]
    );
    // A client that names no place is given one, from which it can come back before any event.
    assert_eq!(ask("follow", 1)?, ["alive 0000000000000001.3"]);
    assert_eq!(ask("publish v4 edit 4", 1)?, ["ok"]);
    assert_eq!(
        ask("follow 0000000000000001.3", 2)?,
        ["alive", "event v4 edit 4"]
    );
    // Nobody published `v0`, so what came after it is not known.
    assert_eq!(ask("follow v0", 2)?, ["alive", "resync v4"]);
    Ok(())
}
