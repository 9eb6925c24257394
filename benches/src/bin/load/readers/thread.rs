//! One thread and its connections.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};

use super::strict::Strict;
use super::{Audience, Order, WAKE};
use crate::gate::Gate;
use crate::stream::{Item, Stream};
use crate::tally::{Place, Tally};

/// Connections from one address of this machine.
const PER_ADDRESS: usize = 40_000;
/// Ports that connections come from, with some to spare for other programs.
const PORTS: core::ops::Range<u16> = 10_000..60_000;
const BUFFER: usize = 256 << 10;

pub(super) struct ReaderThread {
    pub(super) poll: Poll,
    pub(super) inbox: Receiver<Order>,
    /// The subscribers of this thread; the token of a connection is its index here.
    pub(super) seats: Vec<Seat>,
    /// The number of `seats[0]` among all subscribers.
    pub(super) first: usize,
    pub(super) audience: Audience,
    /// The next seat to connect; past the end while there is no order to.
    pub(super) next_to_open: usize,
    /// Connections without a response head yet.
    pub(super) opening: usize,
    /// Connections with one, of all threads together.
    pub(super) open: Arc<AtomicUsize>,
    pub(super) ports: Arc<AtomicUsize>,
    pub(super) gate: Arc<Gate>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) started: Instant,
    pub(super) strict: Strict,
}

impl ReaderThread {
    pub(super) fn run(mut self) -> io::Result<Vec<(u32, Place)>> {
        let mut events = Events::with_capacity(4_096);
        let mut buffer = vec![0; BUFFER];
        loop {
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }

            let tally = Arc::clone(&self.tally);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            let before = tally.deliveries;
            for event in &events {
                // Orders are read below, whatever the token was.
                if event.token() == WAKE {
                    continue;
                }

                let index = event.token().0;
                // The first readiness is that of the connection itself.
                if !self.seats[index].has_asked {
                    if event.is_writable() || event.is_error() {
                        self.ask(index, &mut tally);
                    }
                    continue;
                }
                self.read(index, &mut buffer, &mut tally);
            }

            self.open_more(&mut tally);
            let received = tally.deliveries - before;
            drop(tally);
            if received > 0 {
                self.gate.add(received);
            }

            while let Ok(order) = self.inbox.try_recv() {
                match order {
                    Order::Open => self.next_to_open = 0,
                    Order::Cut => self.cut()?,
                    Order::Stall(stalled) => self.stall(stalled)?,
                    Order::Stop => return Ok(self.stop()),
                }

                let tally = Arc::clone(&self.tally);
                self.open_more(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    fn open_more(&mut self, tally: &mut Tally) {
        while self.opening < self.audience.opening && self.next_to_open < self.seats.len() {
            let index = self.next_to_open;
            self.next_to_open += 1;
            if self.seats[index].socket.is_some() {
                continue;
            }
            match self.connect(index) {
                Ok(()) => self.opening += 1,
                Err(error) => fail(tally, "cannot connect", &error),
            }
        }
    }

    fn connect(&mut self, index: usize) -> io::Result<()> {
        let mut tries = 0;
        // Where another program has the port, the next try takes the next one.
        let socket = loop {
            match self.start_connecting(self.first + index) {
                Err(error)
                    if tries < 1_000
                        && matches!(
                            error.kind(),
                            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
                        ) =>
                {
                    tries += 1;
                }
                socket => break socket?,
            }
        };

        let mut socket = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, Token(index), interest)?;
        let seat = &mut self.seats[index];
        // The place stays: it is the last event ID of the next request.
        *seat = Seat {
            socket: Some(socket),
            place: seat.place,
            ..Seat::new(seat.key)
        };

        if index == 0 {
            self.strict.begin_stream();
        }
        Ok(())
    }

    fn start_connecting(&self, number: usize) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(self.audience.address),
            Type::STREAM,
            None,
        )?;

        socket.set_nonblocking(true)?;
        if self.audience.stalled_of > 0 && number.is_multiple_of(self.audience.stalled_of) {
            // The kernel buffers little, so that the server must wait.
            socket.set_recv_buffer_size(4_096)?;
        }

        if self.audience.address.ip().is_loopback() && self.audience.address.is_ipv4() {
            // A port can be used once per source address. It is named here, because the kernel
            // takes a millisecond to find a free one once there are thousands.
            let source = self.audience.first_source + (number / PER_ADDRESS) as u32;
            let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + source);
            let port = self.ports.fetch_add(1, Relaxed) % PORTS.len();
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((source, PORTS.start + port as u16)).into())?;
        }

        // A connect that goes on in the background is no error.
        match socket.connect(&self.audience.address.into()) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                Err(error)
            }
            _ => Ok(socket),
        }
    }

    /// Sends the request once the connection is established.
    fn ask(&mut self, index: usize, tally: &mut Tally) {
        let seat = &mut self.seats[index];
        let Some(socket) = &mut seat.socket else {
            return;
        };

        if let Ok(Some(error)) | Err(error) = socket.take_error() {
            seat.socket = None;
            self.opening -= 1;
            return fail(tally, "cannot connect", &error);
        }

        // Neither before the first event nor after a resync is there a number to name.
        let last = match seat.place.next {
            0 | 1 => String::new(),
            next => format!("Last-Event-ID: {}\r\n", next - 1),
        };

        let (prefix, key, host) = (&self.audience.prefix, seat.key, self.audience.address);
        let request = format!(
            "GET /api/saacms/v1/bench/{prefix}{key}/subscribe HTTP/1.1\r\nHost: {host}\r\n\
             Accept: text/event-stream\r\n{last}\r\n"
        );

        match socket.write_all(request.as_bytes()) {
            Ok(()) => seat.has_asked = true,
            Err(error) => {
                seat.socket = None;
                self.opening -= 1;
                fail(tally, "cannot ask", &error);
            }
        }
    }

    fn read(&mut self, index: usize, buffer: &mut [u8], tally: &mut Tally) {
        let seat = &mut self.seats[index];
        while let Some(socket) = &mut seat.socket {
            let new = seat.stream.put_rest(buffer);
            let len = match socket.read(&mut buffer[new..]) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.opening -= usize::from(!seat.stream.has_head());
                    seat.socket = None;
                    return fail(tally, "a stream broke", &error);
                }
            };

            tally.bytes += len as u64;
            let (end, had_head) = (new + len, seat.stream.has_head());
            let now = self.started.elapsed().as_nanos() as u64;
            let mut is_refused = None;
            let place = &mut seat.place;
            let body = seat.stream.read(buffer, new, end, |item| {
                if let Item::Head(line) = item
                    && !line.starts_with(b"HTTP/1.1 200 ")
                {
                    is_refused = Some(String::from_utf8_lossy(line).into_owned());
                }
                tally.record(place, &item, now);
            });

            if index == 0 {
                self.strict.read(body, place.next);
            }

            if seat.stream.has_head() && !had_head {
                self.opening -= 1;
                match is_refused {
                    None => {
                        self.open.fetch_add(1, Relaxed);
                    }
                    Some(line) => {
                        seat.socket = None;
                        return fail(tally, "refused", &io::Error::other(line));
                    }
                }
            }

            if len == 0 || seat.stream.is_done() {
                if !seat.stream.has_head() {
                    self.opening -= 1;
                    fail(tally, "no answer", &io::ErrorKind::UnexpectedEof.into());
                } else {
                    self.open.fetch_sub(1, Relaxed);
                    tally.ended += 1;
                }
                seat.socket = None;
            }

            if end < buffer.len() {
                // The buffer is not full, so nothing more waits.
                return;
            }
        }
    }

    fn cut(&mut self) -> io::Result<()> {
        for seat in &mut self.seats {
            if let Some(socket) = seat.socket.take() {
                // A reset, so that no port stays in TIME_WAIT.
                SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                self.open
                    .fetch_sub(usize::from(seat.stream.has_head()), Relaxed);
            }
        }
        Ok(())
    }

    fn stall(&mut self, stalled: bool) -> io::Result<()> {
        // The first seat whose number, among all subscribers, is a multiple.
        let first = (self.audience.stalled_of - self.first % self.audience.stalled_of)
            % self.audience.stalled_of;
        for index in (first..self.seats.len()).step_by(self.audience.stalled_of) {
            let Some(socket) = &mut self.seats[index].socket else {
                continue;
            };

            let registry = self.poll.registry();
            if stalled {
                registry.deregister(socket)?;
            } else {
                registry.register(socket, Token(index), Interest::READABLE)?;
            }
        }
        Ok(())
    }

    fn stop(mut self) -> Vec<(u32, Place)> {
        // A connection that could not be reset is closed by its drop.
        let _ = self.cut();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        self.strict.finish(&mut tally.faults);
        self.seats
            .iter()
            .map(|seat| (seat.key, seat.place))
            .collect()
    }
}

pub(super) struct Seat {
    socket: Option<TcpStream>,
    stream: Stream,
    place: Place,
    key: u32,
    has_asked: bool,
}

impl Seat {
    pub(super) fn new(key: u32) -> Self {
        let (stream, place) = (Stream::default(), Place::default());
        Self {
            socket: None,
            stream,
            place,
            key,
            has_asked: false,
        }
    }
}

fn fail(tally: &mut Tally, what: &str, error: &io::Error) {
    tally.faults.failed += 1;
    tally.faults.note(|| format!("{what}: {error}"));
}
