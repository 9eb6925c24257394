//! What other threads tell a lane.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use mio::{Poll, Token, Waker};

use super::lane::Arrival;

/// The token of the bell; sockets are numbered from 0.
pub(super) const BELL: Token = Token(usize::MAX);

/// Streams that come in, and a bell for them and for what the lane is to hear.
///
/// It cannot overflow: arrivals are connections, whose number is limited.
#[derive(Debug)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    bell: Waker,
}

#[derive(Debug, Default)]
struct Mail {
    arrivals: Vec<Arrival>,
    is_closed: bool,
}

impl Inbox {
    pub(super) fn new(poll: &Poll) -> io::Result<Self> {
        Ok(Self {
            mail: Mutex::default(),
            bell: Waker::new(poll.registry(), BELL)?,
        })
    }

    /// A stream comes in. Where the lane has ended, it is dropped.
    pub(super) fn send(&self, arrival: Arrival) {
        let mut mail = self.mail();
        if mail.is_closed {
            drop(mail);
            drop(arrival);
            return;
        }
        let is_first = mail.arrivals.is_empty();
        mail.arrivals.push(arrival);
        drop(mail);
        if is_first {
            self.ring();
        }
    }

    /// The lane is to end, or has ended: whoever has not been taken in is dropped.
    pub(super) fn close(&self) {
        let arrivals = {
            let mut mail = self.mail();
            mail.is_closed = true;
            mem::take(&mut mail.arrivals)
        };
        drop(arrivals);
        self.ring();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.mail().is_closed
    }

    /// Who came since the last call; `None` where the lane is to end.
    pub(super) fn empty(&self) -> Option<Vec<Arrival>> {
        let mut mail = self.mail();
        (!mail.is_closed).then(|| mem::take(&mut mail.arrivals))
    }

    fn ring(&self) {
        if let Err(error) = self.bell.wake() {
            tracing::error!(%error, "cannot wake a thread that writes streams");
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
