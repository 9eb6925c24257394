//! The subscribers: few threads, each with a poll loop over its share of the connections.

mod strict;
mod thread;

use core::net::SocketAddr;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::{Poll, Token, Waker};

use crate::gate::Gate;
use crate::tally::{Place, Tally};
use strict::Strict;
use thread::{ReaderThread, Seat};

/// The token of a thread's waker; that of a connection is its index.
const WAKE: Token = Token(usize::MAX);

/// The subscribers: which key each has, and how they connect.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    pub(crate) address: SocketAddr,
    /// The key of each subscriber, by its number.
    pub(crate) keys: Vec<u32>,
    /// The prefix of the names of the keys.
    pub(crate) prefix: String,
    /// Every n-th subscriber stops reading when told to stall; 0 = none.
    pub(crate) stalled_of: usize,
    /// Connections to open at once, of all threads together.
    pub(crate) opening: usize,
    /// The first address that connections come from: 127.0.0.1 + this.
    pub(crate) first_source: u32,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    /// Connect all that are not connected, each with its last event ID.
    Open,
    /// Cut all connections.
    Cut,
    /// Stop reading the connections that stall, or read them again.
    Stall(bool),
    Stop,
}

/// All subscribers.
#[derive(Debug)]
pub(crate) struct Readers {
    threads: Vec<Handle>,
    open: Arc<AtomicUsize>,
    count: usize,
    pub(crate) gate: Arc<Gate>,
    pub(crate) started: Instant,
}

#[derive(Debug)]
struct Handle {
    orders: Sender<Order>,
    waker: Waker,
    tally: Arc<Mutex<Tally>>,
    handle: JoinHandle<io::Result<Vec<(u32, Place)>>>,
}

impl Readers {
    pub(crate) fn new(audience: &Audience, threads: usize) -> io::Result<Self> {
        let (open, gate, started) = (Arc::default(), Arc::default(), Instant::now());
        let count = audience.keys.len();
        // Each run begins at another port, because those of the last run may not be free yet.
        let ports = Arc::new(AtomicUsize::new(std::process::id() as usize * 7_919));
        // At least 1, because `chunks` panics at 0.
        let share = count.div_ceil(threads).max(1);
        let threads = audience
            .keys
            .chunks(share)
            .enumerate()
            .map(|(index, keys)| {
                let (orders, inbox) = channel();
                let poll = Poll::new()?;
                let waker = Waker::new(poll.registry(), WAKE)?;
                let tally = Arc::new(Mutex::new(Tally::default()));
                let reader = ReaderThread {
                    poll,
                    inbox,
                    seats: keys.iter().map(|key| Seat::new(*key)).collect(),
                    first: index * share,
                    audience: Audience {
                        keys: Vec::new(),
                        opening: (audience.opening / threads).max(1),
                        ..audience.clone()
                    },
                    next_to_open: usize::MAX,
                    opening: 0,
                    open: Arc::clone(&open),
                    ports: Arc::clone(&ports),
                    gate: Arc::clone(&gate),
                    tally: Arc::clone(&tally),
                    started,
                    strict: Strict::default(),
                };

                let handle = std::thread::Builder::new()
                    .name(format!("reader-{index}"))
                    .spawn(move || reader.run())?;
                Ok(Handle {
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

    /// Waits until all are connected, and passes `progress` how many are.
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

            // Patience counts from the last progress.
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

    /// Resets all counts but those of faults.
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

    /// Stops all threads; `published` has the number of the last event of each key.
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
