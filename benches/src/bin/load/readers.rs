//! The subscribers: few threads, each with a poll loop over its share of the connections.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use saacms_realtime_core::sse::{Decoded, Decoder};
use socket2::{Domain, SockRef, Socket, Type};

use crate::gate::Gate;
use crate::stream::{Said, Stream};
use crate::tally::{Place, Tally};

/// Connections from one address of this machine.
const PER_ADDRESS: usize = 40_000;
/// Ports that connections come from; with some to spare, as others may use them too.
const PORTS: core::ops::Range<u16> = 10_000..60_000;
const BUFFER: usize = 256 << 10;
const WAKE: Token = Token(usize::MAX);

/// Who subscribes to what.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    pub(crate) address: SocketAddr,
    /// The key of each subscriber, by its number.
    pub(crate) keys: Vec<u32>,
    /// What the names of the keys begin with.
    pub(crate) prefix: String,
    /// Every so manyth subscriber does not read when told to stall; 0 = none.
    pub(crate) stalled_of: usize,
    /// Connections that are being opened at one time, of all threads together.
    pub(crate) opening: usize,
    /// First address that connections come from, by its last two bytes.
    pub(crate) first_source: u32,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    /// Connect all that are not connected, each with the ID of the last event that it saw.
    Open,
    /// Cut all connections.
    Cut,
    /// Do not read the connections that are to stall, or read them again.
    Stall(bool),
    Stop,
}

/// All subscribers.
#[derive(Debug)]
pub(crate) struct Readers {
    threads: Vec<Thread>,
    open: Arc<AtomicUsize>,
    count: usize,
    pub(crate) gate: Arc<Gate>,
    pub(crate) started: Instant,
}

#[derive(Debug)]
struct Thread {
    orders: Sender<Order>,
    waker: Waker,
    tally: Arc<Mutex<Tally>>,
    handle: JoinHandle<io::Result<Vec<(u32, Place)>>>,
}

impl Readers {
    pub(crate) fn new(seats: &Seats, threads: usize) -> io::Result<Self> {
        let (open, gate, started) = (Arc::default(), Arc::default(), Instant::now());
        let count = seats.keys.len();
        // Runs one after the other begin at different ports: the last ones may not be free yet.
        let ports = Arc::new(AtomicUsize::new(std::process::id() as usize * 7_919));
        let share = count.div_ceil(threads).max(1);
        let threads = seats.keys.chunks(share).enumerate().map(|(index, keys)| {
            let (orders, inbox) = channel();
            let poll = Poll::new()?;
            let waker = Waker::new(poll.registry(), WAKE)?;
            let tally = Arc::new(Mutex::new(Tally::default()));
            let reader = Reader {
                poll,
                inbox,
                seats: keys.iter().map(|key| Seat::new(*key)).collect(),
                first: index * share,
                plan: Seats {
                    keys: Vec::new(),
                    opening: (seats.opening / threads).max(1),
                    ..seats.clone()
                },
                next_to_open: usize::MAX,
                opening: 0,
                open: Arc::clone(&open),
                ports: Arc::clone(&ports),
                gate: Arc::clone(&gate),
                tally: Arc::clone(&tally),
                started,
                strict: Strict {
                    decoder: Decoder::new(1 << 20),
                    messages: 0,
                    seen: 0,
                },
            };
            let handle = std::thread::Builder::new()
                .name(format!("reader-{index}"))
                .spawn(move || reader.run())?;
            Ok(Thread {
                orders,
                waker,
                tally,
                handle,
            })
        });
        Ok(Self {
            threads: threads.collect::<io::Result<_>>()?,
            open,
            count,
            gate,
            started,
        })
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    pub(crate) fn connect(&self) -> io::Result<()> {
        self.order(Order::Open)
    }

    /// Waits until all are connected; says each time how many are.
    pub(crate) fn wait_open(
        &self,
        patience: Duration,
        mut progress: impl FnMut(usize),
    ) -> Result<(), String> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let open = self.open();
            progress(open);
            if open == self.count {
                return Ok(());
            }
            let faults = self.tally().faults;
            if faults.failed > 0 || since.elapsed() > patience {
                return Err(format!(
                    "{open} of {} subscribers are connected, {} failed: {}",
                    self.count,
                    faults.failed,
                    faults
                        .first
                        .as_deref()
                        .unwrap_or("the server does not answer the others")
                ));
            }
            if open != last {
                (last, since) = (open, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn cut(&self) -> io::Result<()> {
        self.order(Order::Cut)
    }

    pub(crate) fn stall(&self, stalled: bool) -> io::Result<()> {
        self.order(Order::Stall(stalled))
    }

    fn order(&self, order: Order) -> io::Result<()> {
        for thread in &self.threads {
            thread
                .orders
                .send(order)
                .map_err(|_| io::Error::other("a reader has stopped"))?;
            thread.waker.wake()?;
        }
        Ok(())
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut all = Tally::default();
        for thread in &self.threads {
            all.add(&thread.tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
        all
    }

    /// Forgets what was counted so far, but for what went wrong.
    pub(crate) fn begin_anew(&self) {
        for thread in &self.threads {
            let mut tally = thread.tally.lock().unwrap_or_else(PoisonError::into_inner);
            let faults = core::mem::take(&mut tally.faults);
            *tally = Tally {
                faults,
                ..Tally::default()
            };
        }
    }

    /// Ends it; `published` has the number of the last event of each key.
    pub(crate) fn finish(self, published: &[u64]) -> Result<Tally, String> {
        self.order(Order::Stop).map_err(|error| error.to_string())?;
        let mut all = Tally::default();
        for thread in self.threads {
            let places = thread.handle.join().map_err(|_| "a reader panicked")?;
            let mut tally = thread.tally.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, place) in places.map_err(|error| error.to_string())? {
                place.finish(published[key as usize], &mut tally.faults);
            }
            all.add(&tally);
        }
        Ok(all)
    }
}

struct Seat {
    socket: Option<TcpStream>,
    stream: Stream,
    place: Place,
    key: u32,
    has_asked: bool,
}

impl Seat {
    fn new(key: u32) -> Self {
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

/// The first stream of a thread is read by the decoder of the core as well.
struct Strict {
    decoder: Decoder,
    messages: u64,
    seen: u64,
}

struct Reader {
    poll: Poll,
    inbox: Receiver<Order>,
    seats: Vec<Seat>,
    first: usize,
    plan: Seats,
    next_to_open: usize,
    opening: usize,
    open: Arc<AtomicUsize>,
    ports: Arc<AtomicUsize>,
    gate: Arc<Gate>,
    tally: Arc<Mutex<Tally>>,
    started: Instant,
    strict: Strict,
}

impl Reader {
    fn run(mut self) -> io::Result<Vec<(u32, Place)>> {
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
                if event.token() == WAKE {
                    continue;
                }
                let index = event.token().0;
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
        while self.opening < self.plan.opening && self.next_to_open < self.seats.len() {
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
        *seat = Seat {
            socket: Some(socket),
            place: seat.place,
            ..Seat::new(seat.key)
        };
        if index == 0 {
            self.strict.decoder = Decoder::new(1 << 20);
        }
        Ok(())
    }

    fn start_connecting(&self, number: usize) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.plan.address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if self.plan.stalled_of > 0 && number.is_multiple_of(self.plan.stalled_of) {
            // What the kernel buffers is no matter of the server.
            socket.set_recv_buffer_size(4_096)?;
        }
        if self.plan.address.ip().is_loopback() && self.plan.address.is_ipv4() {
            // A port serves once per address that connections come from. It is named, because to
            // look for a free one takes the kernel a millisecond once there are thousands.
            let source = self.plan.first_source + (number / PER_ADDRESS) as u32;
            let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + source);
            let port = self.ports.fetch_add(1, Relaxed) % PORTS.len();
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((source, PORTS.start + port as u16)).into())?;
        }
        match socket.connect(&self.plan.address.into()) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                Err(error)
            }
            _ => Ok(socket),
        }
    }

    /// The connection stands, or has failed.
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
        let last = match seat.place.next {
            0 | 1 => String::new(),
            next => format!("Last-Event-ID: {}\r\n", next - 1),
        };
        let (prefix, key, host) = (&self.plan.prefix, seat.key, self.plan.address);
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
            let body = seat.stream.read(buffer, new, end, |said| {
                if let Said::Head(line) = said
                    && !line.starts_with(b"HTTP/1.1 200 ")
                {
                    is_refused = Some(String::from_utf8_lossy(line).into_owned());
                }
                tally.take(place, &said, now);
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
                // Less than there was room for: there is no more.
                return;
            }
        }
    }

    fn cut(&mut self) -> io::Result<()> {
        for seat in &mut self.seats {
            if let Some(socket) = seat.socket.take() {
                // A reset, so that no port waits for stray packets.
                SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                self.open
                    .fetch_sub(usize::from(seat.stream.has_head()), Relaxed);
            }
        }
        Ok(())
    }

    fn stall(&mut self, stalled: bool) -> io::Result<()> {
        let first =
            (self.plan.stalled_of - self.first % self.plan.stalled_of) % self.plan.stalled_of;
        for index in (first..self.seats.len()).step_by(self.plan.stalled_of) {
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
        // Whatever could not be cut is closed with the rest.
        let _ = self.cut();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if self.strict.messages != self.strict.seen {
            tally.faults.malformed += 1;
            let Strict { messages, seen, .. } = self.strict;
            tally
                .faults
                .say(|| format!("the core decodes {messages} events of {seen}"));
        }
        self.seats
            .iter()
            .map(|seat| (seat.key, seat.place))
            .collect()
    }
}

impl Strict {
    /// Decodes the same bytes with the core; the last event of them must be the one before `next`.
    fn read(&mut self, body: &[u8], next: u64) {
        if self.decoder.feed(body).is_err() {
            self.seen += 1;
        }
        while let Some(decoded) = self.decoder.next() {
            if let Decoded::Message(message) = decoded
                && message.event_type == "changed"
            {
                self.messages = message.last_event_id.parse().unwrap_or(0);
            }
        }
        if next > 1 {
            self.seen = next - 1;
        }
    }
}

fn fail(tally: &mut Tally, what: &str, error: &io::Error) {
    tally.faults.failed += 1;
    tally.faults.say(|| format!("{what}: {error}"));
}
