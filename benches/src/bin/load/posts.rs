//! Events posted over many connections, one at a time on each.

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

struct Poster {
    stream: TcpStream,
    answer: Vec<u8>,
    posted: u64,
    asked_at: Instant,
}

pub(crate) fn run(kind: Kind, options: &Options) -> Result<Figures, String> {
    limits::make_room(options.subscribers)?;
    let server = match options.url {
        Some(address) => Server::running(address, options.pid),
        None => Server::start(kind, &options.programs(), options.subscribers, PATIENCE)?,
    };
    post(&server, kind, options).map_err(|error| format!("cannot publish: {error}"))
}

fn post(server: &Server, kind: Kind, options: &Options) -> io::Result<Figures> {
    let mut poll = Poll::new()?;
    let mut posters = Vec::new();
    for index in 0..options.subscribers {
        let stream = std::net::TcpStream::connect(server.address)?;
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
    let keys = options.keys.unwrap_or(options.subscribers);
    let began = Instant::now();
    let mut figures = Figures {
        keys,
        ..Figures::new(kind, "publish")
    };
    let ask = |index: usize, poster: &mut Poster| {
        poster.posted += 1;
        poster.asked_at = Instant::now();
        let at = began.elapsed().as_nanos() as u64;
        let body = body(
            &format!("p{}", index % keys),
            poster.posted,
            at,
            options.frame_bytes,
        );
        poster
            .stream
            .write_all(request(server.address, &body).as_bytes())
    };
    for (index, poster) in posters.iter_mut().enumerate() {
        ask(index, poster)?;
    }
    const WARM_UP: Duration = Duration::from_millis(300);
    let length = WARM_UP + Duration::from_secs_f64(options.seconds);
    let mut events = Events::with_capacity(1_024);
    let (mut usage, mut measured_from) = (server.usage(), None);
    let mut piece = [0; 4_096];
    while began.elapsed() < length {
        poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            return Err(io::Error::other(format!("no answer in {PATIENCE:?}")));
        }
        if measured_from.is_none() && began.elapsed() > WARM_UP {
            (usage, measured_from) = (server.usage(), Some(Instant::now()));
            figures.tally = Default::default();
        }
        for event in &events {
            let index = event.token().0;
            let poster = &mut posters[index];
            match poster.stream.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => poster.answer.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            check(&poster.answer)?;
            if poster.answer.ends_with(b"\r\n\r\n") {
                poster.answer.clear();
                let micros = poster.asked_at.elapsed().as_micros() as u64;
                figures.tally.latency.saturating_record(micros);
                figures.events += u64::from(measured_from.is_some());
                ask(index, poster)?;
            }
        }
    }
    let end = server.usage();
    figures.seconds = measured_from.map_or(0.0, |from| from.elapsed().as_secs_f64());
    figures.cpu_seconds = end.cpu_seconds - usage.cpu_seconds;
    let events = figures.events as f64;
    figures.more = vec![
        ("connections", options.subscribers as f64, ""),
        ("publishes", events / figures.seconds, "/s"),
        (
            "server CPU per publish",
            figures.cpu_seconds * 1e6 / events,
            "us",
        ),
        ("answer after, p50", figures.latency_ms(0.5), "ms"),
        ("answer after, p99", figures.latency_ms(0.99), "ms"),
    ];
    Ok(figures)
}
