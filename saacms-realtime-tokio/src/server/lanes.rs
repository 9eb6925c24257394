//! The threads that write streams, and which stream goes to which of them.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use saacms_realtime_core::Subscription;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::inbox::{Arrival, Inbox};
use super::thread::Thread;
use crate::realtime::Realtime;

/// The streams of one record that a single lane can serve: it writes to all of them within
/// milliseconds, so a second lane would gain nothing.
const STREAMS_PER_LANE: usize = 1_024;

/// The threads that write streams.
#[derive(Debug)]
pub(super) struct Lanes {
    /// One per thread. Never empty.
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    /// Spreads the records over the lanes.
    hasher: RandomState,
    /// True once a lane has failed.
    broken: watch::Sender<bool>,
}

impl Lanes {
    /// Starts `count` threads, which must not be 0.
    pub(super) fn start(realtime: &Realtime, count: usize) -> io::Result<Self> {
        // Filled in place: if a thread cannot be started, dropping this ends those before it.
        let mut lanes = Self {
            inboxes: Vec::new(),
            threads: Vec::new(),
            hasher: RandomState::new(),
            broken: watch::Sender::new(false),
        };

        for number in 0..count {
            let poll = mio::Poll::new()?;
            let inbox = Arc::new(Inbox::new(&poll)?);
            lanes.inboxes.push(Arc::clone(&inbox));

            let alarm = Alarm {
                broken: lanes.broken.clone(),
                inbox: Arc::clone(&inbox),
            };
            let realtime = realtime.clone();
            let thread = thread::Builder::new().name(format!("lane-{number}"));
            lanes.threads.push(thread.spawn(move || {
                // Dropped when the thread ends, even by a panic.
                let _alarm = alarm;
                // Created here because it cannot be sent to another thread: its sockets are in `Rc`s.
                let thread = Thread::new(poll, inbox, &realtime);
                if let Err(error) = thread.run() {
                    tracing::error!(%error, "a thread that writes streams has failed");
                }
            })?);
        }
        Ok(lanes)
    }

    /// Sends a stream to a lane.
    ///
    /// The streams of a record share one lane, because a publish wakes every lane that has one of
    /// them. When a lane has enough of them, the next lane gets the rest.
    ///
    /// # Errors
    ///
    /// All lanes have ended, or tokio does not release the socket.
    pub(super) fn send(
        &self,
        stream: TcpStream,
        subscription: Subscription,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        let socket = mio::net::TcpStream::from_std(stream.into_std()?);
        let home = self.hasher.hash_one(subscription.key()) as usize;
        let first = home.wrapping_add(subscription.subscribers_of_topic() / STREAMS_PER_LANE);
        let mut inboxes = self
            .inboxes
            .iter()
            .cycle()
            .skip(first % self.inboxes.len())
            .take(self.inboxes.len());

        // Skips lanes that have failed.
        let inbox = inboxes
            .find(|inbox| !inbox.is_closed())
            .ok_or_else(|| io::Error::other("the lanes have ended"))?;
        inbox.send(Arrival {
            socket,
            subscription,
            permit,
        });
        Ok(())
    }

    /// Returns when a lane has failed.
    pub(super) async fn broken(&self) {
        // Fails only without a sender, which is here.
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Closes all of them before it waits, so that the threads end at the same time.
        for inbox in &self.inboxes {
            inbox.close();
        }
        for thread in self.threads.drain(..) {
            // Its alarm has reported a panic.
            let _ = thread.join();
        }
    }
}

/// Reports, when a lane's thread drops it, that the lane ended while its inbox was open.
struct Alarm {
    broken: watch::Sender<bool>,
    inbox: Arc<Inbox>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.inbox.is_closed() {
            self.inbox.close();
            self.broken.send_replace(true);
        }
    }
}
