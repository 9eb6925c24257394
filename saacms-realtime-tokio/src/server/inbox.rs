//! How other threads reach a lane.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use mio::net::TcpStream;
use mio::{Poll, Token, Waker};
use saacms_realtime_core::Subscription;
use tokio::sync::OwnedSemaphorePermit;

/// The token of an inbox's wake-ups. Sockets are numbered from 0.
pub(super) const WAKE: Token = Token(usize::MAX);

/// A stream for a lane: a socket whose response head is sent.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: TcpStream,
    pub(super) subscription: Subscription,
    pub(super) permit: OwnedSemaphorePermit,
}

/// The streams that wait for a lane, and the waker of its thread.
///
/// As a [`Wake`] it also wakes the thread when a record of the lane gets an event. It cannot
/// overflow: arrivals are connections, whose number is limited.
#[derive(Debug)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Mail {
    arrivals: Vec<Arrival>,
    /// Numbers of streams that are to be cut; each of them was waiting when it was added.
    cuts: Vec<usize>,
    /// Never reset. `arrivals` stays empty from then on.
    is_closed: bool,
}

impl Inbox {
    /// Creates an inbox that wakes the thread that waits in `poll`.
    pub(super) fn new(poll: &Poll) -> io::Result<Self> {
        Ok(Self {
            mail: Mutex::default(),
            waker: Waker::new(poll.registry(), WAKE)?,
        })
    }

    /// Sends a stream to the lane; drops it if the inbox is closed.
    pub(super) fn send(&self, arrival: Arrival) {
        let mut mail = self.mail();
        if mail.is_closed {
            // Unlocked first: dropping a subscription locks its topic.
            drop(mail);
            drop(arrival);
            return;
        }

        let is_first = mail.is_empty();
        mail.arrivals.push(arrival);
        drop(mail);
        // The first one woke the thread for all that follow until they are received.
        if is_first {
            self.notify();
        }
    }

    /// Orders the lane to cut a stream.
    pub(super) fn order_cut(&self, stream: usize) {
        let mut mail = self.mail();
        let is_first = mail.is_empty();
        mail.cuts.push(stream);
        drop(mail);
        if is_first {
            self.notify();
        }
    }

    /// Tells the lane to end, or records that it has ended. Drops the streams that still wait.
    pub(super) fn close(&self) {
        let arrivals = {
            let mut mail = self.mail();
            mail.is_closed = true;
            mem::take(&mut mail.arrivals)
        };
        // Unlocked first, as in `send`.
        drop(arrivals);
        self.notify();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.mail().is_closed
    }

    /// The streams sent since the last call, and the numbers of those to be cut; `None` once the
    /// inbox is closed.
    pub(super) fn receive(&self) -> Option<(Vec<Arrival>, Vec<usize>)> {
        let mut mail = self.mail();
        if mail.is_closed {
            None
        } else {
            Some((mem::take(&mut mail.arrivals), mem::take(&mut mail.cuts)))
        }
    }

    fn notify(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a thread that writes streams");
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.cuts.is_empty()
    }
}

impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}
