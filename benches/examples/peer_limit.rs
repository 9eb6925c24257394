//! The limit of the machine: a program that only writes. `load` measures it beside the server.
//!
//! One thread accepts connections and reads requests, as little of them as it takes. Each other
//! thread owns its share of the subscribers and, per record, one run of bytes that all of them
//! share; a subscriber is an offset into it. A publish wakes each thread once; what waits for a
//! subscriber goes out in one write. There are no laws here: a slow reader is disconnected, nothing
//! is checked, no history expires.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:keepalive\n\n";
const PUBLISHED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
/// Bytes that a record's run may have before its older half is dropped.
const MAX_RUN: usize = 4 << 20;
const WAKE: Token = Token(usize::MAX);
const ACCEPT: Token = Token(usize::MAX - 1);

type Key = Arc<str>;

enum Order {
    Join {
        stream: TcpStream,
        key: Key,
        last_event_id: Option<u64>,
    },
    Write {
        key: Key,
        number: u64,
        frame: Arc<[u8]>,
    },
}

#[derive(Clone)]
struct Inbox {
    orders: Arc<Mutex<Vec<Order>>>,
    waker: Arc<Waker>,
}

impl Inbox {
    fn push(&self, order: Order) -> io::Result<()> {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(order);
        self.waker.wake()
    }
}

/// The frames of one record, one after the other, and who gets them.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    /// Offset of `bytes[0]` in all that was ever written.
    start: usize,
    /// Number of each event that can be named, and the offset after it.
    ends: VecDeque<(u64, usize)>,
    subscribers: Vec<usize>,
    is_new: bool,
}

impl Run {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    fn push(&mut self, number: u64, frame: &[u8]) {
        if self.bytes.len() + frame.len() > MAX_RUN {
            self.bytes.drain(..MAX_RUN / 2);
            self.start += MAX_RUN / 2;
        }
        self.bytes.extend_from_slice(frame);
        self.ends.push_back((number, self.end()));
        if self.ends.len() > 100 {
            self.ends.pop_front();
        }
        self.is_new = true;
    }

    fn offset_after(&self, last_event_id: Option<u64>) -> usize {
        let named = |id| self.ends.iter().find(|end| end.0 == id);
        last_event_id
            .and_then(named)
            .map_or(self.end(), |end| end.1)
    }
}

struct Subscriber {
    stream: TcpStream,
    run: usize,
    offset: usize,
}

impl Subscriber {
    /// Writes what waits; false if the connection is broken.
    fn write(&mut self, run: &Run) -> bool {
        while self.offset < run.end() {
            // A reader that is slower than the run is disconnected.
            let Some(from) = self.offset.checked_sub(run.start) else {
                return false;
            };
            match self.stream.write(&run.bytes[from..]) {
                Ok(len) => self.offset += len,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// A thread that writes.
fn write(mut poll: Poll, inbox: &Inbox) -> io::Result<()> {
    let mut events = Events::with_capacity(1_024);
    let (mut runs, mut names): (Vec<Run>, HashMap<Key, usize>) = Default::default();
    let (mut subscribers, mut free): (Vec<Option<Subscriber>>, Vec<usize>) = Default::default();
    loop {
        poll.poll(&mut events, None)?;
        let orders =
            std::mem::take(&mut *inbox.orders.lock().unwrap_or_else(PoisonError::into_inner));
        // All events first: each subscriber then gets them in one write.
        let mut new_runs = Vec::new();
        for order in orders {
            let (Order::Join { key, .. } | Order::Write { key, .. }) = &order;
            let index = *names.entry(Arc::clone(key)).or_insert_with(|| {
                runs.push(Run::default());
                runs.len() - 1
            });

            let run = &mut runs[index];
            match order {
                Order::Join {
                    mut stream,
                    last_event_id,
                    ..
                } => {
                    if stream.write(HEAD).ok() != Some(HEAD.len()) {
                        continue;
                    }

                    let place = free.pop().unwrap_or(subscribers.len());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry()
                        .register(&mut stream, Token(place), interest)?;
                    let offset = run.offset_after(last_event_id);
                    if place == subscribers.len() {
                        subscribers.push(None);
                    }

                    run.subscribers.push(place);
                    subscribers[place]
                        .insert(Subscriber {
                            stream,
                            run: index,
                            offset,
                        })
                        .write(run);
                }
                Order::Write { number, frame, .. } => {
                    if !run.is_new {
                        new_runs.push(index);
                    }
                    run.push(number, &frame);
                }
            }
        }

        let mut gone = Vec::new();
        for index in new_runs {
            runs[index].is_new = false;
            for place in &runs[index].subscribers {
                if let Some(subscriber) = &mut subscribers[*place]
                    && !subscriber.write(&runs[index])
                {
                    gone.push(*place);
                }
            }
        }

        for event in &events {
            let place = event.token().0;
            if let Some(Some(subscriber)) = subscribers.get_mut(place)
                && (event.is_read_closed() || !subscriber.write(&runs[subscriber.run]))
            {
                gone.push(place);
            }
        }

        // A place may be listed twice, and is free only once.
        for place in gone {
            if let Some(subscriber) = subscribers[place].take() {
                runs[subscriber.run].subscribers.retain(|it| *it != place);
                free.push(place);
            }
        }
    }
}

/// Parses the first request; `None` while it is incomplete.
fn parse(request: &str) -> Option<(usize, Asked<'_>)> {
    // Only the form of the requests that `load` sends is understood.
    let head = request.find("\r\n\r\n")? + 4;
    let header = |name: &str| {
        let mut lines = request[..head]
            .lines()
            .filter_map(|line| line.split_once(": "));
        lines
            .find(|line| line.0.eq_ignore_ascii_case(name))
            .map(|line| line.1)
    };

    if request.starts_with("GET ") {
        let id = request.split('/').nth(5)?;
        let last_event_id = header("last-event-id").and_then(|id| id.parse().ok());
        return Some((head, Asked::Subscribe { id, last_event_id }));
    }

    let len: usize = header("content-length")?.parse().ok()?;
    let body = request.get(head..head + len)?;
    let between = |start, end| Some(body.split_once(start)?.1.split_once(end)?.0);
    let (id, etag) = (between(r#""id":""#, "\"")?, between(r#""etag":""#, "\"")?);
    let record = body.split_once(r#""record":"#)?.1.strip_suffix('}')?;
    Some((head + len, Asked::Publish { id, etag, record }))
}

enum Asked<'a> {
    Subscribe {
        id: &'a str,
        last_event_id: Option<u64>,
    },
    Publish {
        id: &'a str,
        etag: &'a str,
        record: &'a str,
    },
}

/// The thread that accepts and reads.
fn main() -> io::Result<()> {
    let threads = std::thread::available_parallelism()?.get();
    let mut inboxes = Vec::new();
    for _ in 0..threads {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let inbox = Inbox {
            orders: Arc::default(),
            waker,
        };

        inboxes.push(inbox.clone());
        std::thread::spawn(move || write(poll, &inbox).expect("epoll works"));
    }

    let mut poll = Poll::new()?;
    // mio's own `bind` has a backlog of only 128.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4_096)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    poll.registry()
        .register(&mut listener, ACCEPT, Interest::READABLE)?;
    println!("open http://{}/ in a browser", listener.local_addr()?);
    io::stdout().flush()?;
    let mut events = Events::with_capacity(1_024);
    let mut asking: HashMap<Token, (TcpStream, Vec<u8>)> = HashMap::new();
    let (mut next, mut joined) = (0, 0);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == ACCEPT {
                while let Ok((mut stream, _)) = listener.accept() {
                    let token = Token(next);
                    next += 1;
                    stream.set_nodelay(true)?;
                    poll.registry()
                        .register(&mut stream, token, Interest::READABLE)?;
                    asking.insert(token, (stream, Vec::new()));
                }
                continue;
            }

            let Some((mut stream, mut request)) = asking.remove(&event.token()) else {
                continue;
            };

            let mut piece = [0; 16 << 10];
            let is_open = loop {
                match stream.read(&mut piece) {
                    Ok(0) => break false,
                    Ok(len) => request.extend_from_slice(&piece[..len]),
                    Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
                }
            };

            if !is_open {
                continue;
            }

            // A read may end within a request, or have several of them.
            let text = String::from_utf8_lossy(&request).into_owned();
            let mut rest = &*text;
            let mut subscribes = None;
            while let Some((len, asked)) = parse(rest) {
                match asked {
                    Asked::Subscribe { id, last_event_id } => {
                        subscribes = Some((Key::from(id), last_event_id));
                    }
                    Asked::Publish { id, etag, record } => {
                        let frame = format!("event: changed\nid: {etag}\ndata: {record}\n\n");
                        let (key, number) = (Key::from(id), etag.parse().unwrap_or(0));
                        let frame: Arc<[u8]> = frame.into_bytes().into();
                        for inbox in &inboxes {
                            let (key, frame) = (Arc::clone(&key), Arc::clone(&frame));
                            inbox.push(Order::Write { key, number, frame })?;
                        }
                        stream.write_all(PUBLISHED)?;
                    }
                }
                rest = &rest[len..];
            }

            if let Some((key, last_event_id)) = subscribes {
                // From here on, the stream belongs to a thread that writes.
                poll.registry().deregister(&mut stream)?;
                inboxes[joined % threads].push(Order::Join {
                    stream,
                    key,
                    last_event_id,
                })?;
                joined += 1;
            } else {
                let rest = rest.as_bytes().to_vec();
                asking.insert(event.token(), (stream, rest));
            }
        }
    }
}
