//! What other threads tell a lane.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::{Poll, Token, Waker};

use super::lane::Arrival;

/// The token of the bell; sockets are numbered from 0.
pub(super) const BELL: Token = Token(usize::MAX);

/// Mail and a bell, which is rung once until the lane looks.
///
/// It cannot overflow: arrivals are connections, whose number is limited, and a topic is woken once
/// until the lane polls it again.
#[derive(Debug)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    is_rung: AtomicBool,
    bell: Waker,
}

#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) woken: Vec<usize>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) is_closed: bool,
}

impl Inbox {
    pub(super) fn new(poll: &Poll) -> io::Result<Self> {
        let bell = Waker::new(poll.registry(), BELL)?;
        Ok(Self { mail: Mutex::default(), is_rung: AtomicBool::new(false), bell })
    }

    /// A topic is to be served.
    pub(super) fn wake(&self, topic: usize) {
        self.mail().woken.push(topic);
        self.ring();
    }

    /// A stream comes in. Where the lane has ended, it is dropped.
    pub(super) fn send(&self, arrival: Arrival) {
        {
            let mut mail = self.mail();
            if mail.is_closed {
                return;
            }
            mail.arrivals.push(arrival);
        }
        self.ring();
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

    /// What came since the last call.
    pub(super) fn empty(&self) -> Mail {
        // Before the look: who writes after it rings again.
        self.is_rung.store(false, SeqCst);
        let mut mail = self.mail();
        let (woken, arrivals) = (mem::take(&mut mail.woken), mem::take(&mut mail.arrivals));
        Mail { woken, arrivals, is_closed: mail.is_closed }
    }

    fn ring(&self) {
        if !self.is_rung.swap(true, SeqCst)
            && let Err(error) = self.bell.wake()
        {
            tracing::error!(%error, "cannot wake a thread that writes streams");
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
