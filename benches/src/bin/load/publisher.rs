//! The publishers: one connection each, one request at a time.

use core::net::SocketAddr;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use crate::gate::Gate;

/// How fast events are published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At most this many events in flight.
    Window(u64),
    /// This many events per second, however long deliveries take.
    Rate(f64),
}

/// What all publishers share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) prefix: &'a str,
    /// How fast all publishers together publish.
    pub(crate) pace: Pace,
    pub(crate) publishers: usize,
    /// Approximate size of a frame, in bytes.
    pub(crate) frame_bytes: usize,
    /// How many subscribers of each key read.
    pub(crate) subscribers: &'a [u64],
    /// Number of the last event of each key.
    pub(crate) published: &'a [AtomicU64],
    /// How many deliveries the published events must cause.
    pub(crate) due: &'a AtomicU64,
    pub(crate) gate: &'a Gate,
    pub(crate) started: Instant,
}

/// When a publisher stops.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Events(u64),
    Time(Instant),
}

/// How long deliveries may take before they count as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Publishes to the keys that `next_key` draws; returns how many events. `number` is that of this
/// publisher, from 0 on.
pub(crate) fn publish(
    plan: &Plan<'_>,
    number: usize,
    until: Until,
    mut next_key: impl FnMut() -> usize,
) -> Result<u64, String> {
    let cannot = |error: io::Error| format!("cannot publish: {error}");
    let mut connection = Connection::new(plan.address).map_err(cannot)?;
    let mean = plan.subscribers.iter().sum::<u64>() as f64 / plan.subscribers.len() as f64;
    let begin = Instant::now();
    let mut count = 0;
    loop {
        let scheduled = match plan.pace {
            Pace::Window(_) => Instant::now(),
            // The publishers take turns, so that their events are evenly spaced.
            Pace::Rate(rate) => {
                let before = count * plan.publishers as u64 + number as u64;
                begin + Duration::from_secs_f64(before as f64 / rate)
            }
        };

        match until {
            Until::Events(events) if count >= events => return Ok(count),
            Until::Time(time) if scheduled >= time => return Ok(count),
            Until::Events(_) | Until::Time(_) => {}
        }

        let at = match plan.pace {
            Pace::Window(window) => {
                // The window is in events; the gate counts deliveries, `mean` of them per event.
                let allowed = ((window - 1) as f64 * mean) as u64;
                let wanted = plan.due.load(SeqCst).saturating_sub(allowed);
                if !plan.gate.wait(wanted, PATIENCE) {
                    let missing = wanted - plan.gate.received();
                    return Err(format!("{missing} deliveries did not come in {PATIENCE:?}"));
                }
                plan.started.elapsed()
            }
            Pace::Rate(_) => {
                std::thread::sleep(scheduled.saturating_duration_since(Instant::now()));
                // Latency counts from when the event was due, so waiting to publish is part of it.
                scheduled.saturating_duration_since(plan.started)
            }
        };

        let key = next_key();
        let etag = plan.published[key].fetch_add(1, Relaxed) + 1;
        // Before the post: deliveries may come before its answer.
        plan.due.fetch_add(plan.subscribers[key], SeqCst);
        let id = format!("{}{key}", plan.prefix);
        connection
            .post(&body(&id, etag, at.as_nanos() as u64, plan.frame_bytes))
            .map_err(cannot)?;
        count += 1;
    }
}

/// An event whose frame has about `frame_bytes` bytes.
pub(crate) fn body(id: &str, number: u64, at: u64, frame_bytes: usize) -> String {
    const AROUND: usize =
        "event: changed\nid: 1000\ndata: {\"at\":1000000000,\"pad\":\"\"}\n\n".len();
    let pad = frame_bytes.saturating_sub(AROUND);
    format!(
        r#"{{"type":"changed","slug":"bench","id":"{id}","etag":"{number}","record":{{"at":{at},"pad":"{:x<pad$}"}}}}"#,
        ""
    )
}

/// An HTTP/1.1 connection that is kept open.
struct Connection {
    stream: TcpStream,
    host: SocketAddr,
    answer: Vec<u8>,
}

impl Connection {
    fn new(host: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            host,
            answer: Vec::new(),
        })
    }

    fn post(&mut self, body: &str) -> io::Result<()> {
        self.stream.write_all(request(self.host, body).as_bytes())?;
        self.answer.clear();
        let mut piece = [0; 1_024];
        while !self.answer.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => self.answer.extend_from_slice(&piece[..len]),
            }
            check(&self.answer)?;
        }
        Ok(())
    }
}

pub(crate) fn request(host: SocketAddr, body: &str) -> String {
    let len = body.len();
    format!(
        "POST /api/saacms/v1/publish HTTP/1.1\r\nHost: {host}\r\n\
         Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

/// Only 204 is right: it has no body.
pub(crate) fn check(answer: &[u8]) -> io::Result<()> {
    const RIGHT: &[u8] = b"HTTP/1.1 204 ";
    if answer.len() < RIGHT.len() || answer.starts_with(RIGHT) {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(answer);
    Err(io::Error::other(format!("the answer is {answer:?}")))
}
