//! Events posted over many connections, one at a time on each.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::figures::Figures;
use crate::limits;
use crate::options::Options;
use crate::publisher::{PATIENCE, body, check, request};
use crate::server::{Kind, Server};
use crate::store;

/// Time before figures count.
const WARM_UP: Duration = Duration::from_millis(300);

/// A connection with one publish in flight.
struct Poster {
    stream: TcpStream,
    /// The part of the answer that has arrived.
    answer: Vec<u8>,
    posted: u64,
    asked_at: Instant,
}

impl Poster {
    /// Posts the next event, published at `at` nanoseconds.
    fn ask(
        &mut self,
        address: SocketAddr,
        key: usize,
        at: u64,
        frame_bytes: usize,
    ) -> io::Result<()> {
        self.posted += 1;
        self.asked_at = Instant::now();
        let body = body(&format!("p{key}"), self.posted, at, frame_bytes);
        self.stream.write_all(request(address, &body).as_bytes())
    }

    /// Reads what has arrived; returns how many microseconds the answer took, once it is complete.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<Option<u64>> {
        match self.stream.read(piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => self.answer.extend_from_slice(&piece[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }

        check(&self.answer)?;
        // A 204 has no body, so it ends with its head.
        if !self.answer.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }

        self.answer.clear();
        Ok(Some(self.asked_at.elapsed().as_micros() as u64))
    }
}

pub(crate) fn run(kind: Kind, options: &Options) -> Result<Figures, String> {
    if kind == Kind::Store {
        return store::run(options);
    }
    limits::make_room(options.subscribers)?;
    let server = match options.url {
        Some(address) => Server::running(address, options.pid),
        None => Server::start(kind, &options.programs(), options.subscribers, PATIENCE)?,
    };
    post(&server, kind, options).map_err(|error| format!("cannot publish: {error}"))
}

fn post(server: &Server, kind: Kind, options: &Options) -> io::Result<Figures> {
    let mut poll = Poll::new()?;
    let mut posters = connect(&poll, server.address, options.subscribers)?;
    let keys = options.keys.unwrap_or(options.subscribers);
    let mut figures = Figures {
        keys,
        ..Figures::new(kind, "publish")
    };

    let began = Instant::now();
    let ask = |index: usize, poster: &mut Poster| {
        let at = began.elapsed().as_nanos() as u64;
        // From key to key, each connection to others than the next one.
        let key = (index + poster.posted as usize * options.subscribers) % keys;
        poster.ask(server.address, key, at, options.frame_bytes)
    };

    for (index, poster) in posters.iter_mut().enumerate() {
        ask(index, poster)?;
    }

    let length = WARM_UP + Duration::from_secs_f64(options.seconds);
    let mut events = Events::with_capacity(1_024);
    let (mut usage, mut measured_from) = (server.usage(), None);
    let mut piece = [0; 4_096];
    while began.elapsed() < length {
        poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            return Err(io::Error::other(format!("no answer in {PATIENCE:?}")));
        }

        // Latencies of the warm-up are dropped; publishes in it were not counted.
        if measured_from.is_none() && began.elapsed() > WARM_UP {
            (usage, measured_from) = (server.usage(), Some(Instant::now()));
            figures.tally = Default::default();
        }

        for event in &events {
            let index = event.token().0;
            let poster = &mut posters[index];
            if let Some(micros) = poster.read(&mut piece)? {
                figures.tally.latency.saturating_record(micros);
                figures.events += u64::from(measured_from.is_some());
                ask(index, poster)?;
            }
        }
    }

    let end = server.usage();
    figures.seconds = measured_from.map_or(0.0, |from| from.elapsed().as_secs_f64());
    figures.cpu_seconds = end.cpu_seconds - usage.cpu_seconds;
    figures.more = more(&figures, options.subscribers);
    Ok(figures)
}

fn connect(poll: &Poll, address: SocketAddr, count: usize) -> io::Result<Vec<Poster>> {
    let mut posters = Vec::new();
    for index in 0..count {
        // Connected before it is registered, so that the first readiness is an answer.
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;

        let mut stream = TcpStream::from_std(stream);
        poll.registry()
            .register(&mut stream, Token(index), Interest::READABLE)?;
        posters.push(Poster {
            stream,
            answer: Vec::new(),
            posted: 0,
            asked_at: Instant::now(),
        });
    }
    Ok(posters)
}

/// The figures that only this scenario has.
pub(crate) fn more(
    figures: &Figures,
    connections: usize,
) -> Vec<(&'static str, f64, &'static str)> {
    let events = figures.events as f64;
    vec![
        ("connections", connections as f64, ""),
        ("publishes", events / figures.seconds, "/s"),
        (
            "server CPU per publish",
            figures.cpu_seconds * 1e6 / events,
            "us",
        ),
        ("answer after, p50", figures.latency_ms(0.5), "ms"),
        ("answer after, p99", figures.latency_ms(0.99), "ms"),
    ]
}
