//! A thread that writes to many sockets: what is left of a stream once its head is out.

use core::task::Waker;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use saacms_realtime_core::hub::{Lane, Outgoing, Subscription};
use tokio::sync::OwnedSemaphorePermit;

use super::inbox::{BELL, Inbox};
use super::stream::{Progress, Stream};
use super::writer::{Writer, settle};
use crate::clock::Clock;

/// What a lane is given: a socket whose response head is out.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: TcpStream,
    pub(super) subscription: Subscription,
    pub(super) permit: OwnedSemaphorePermit,
}

/// The thread's own state. Whose turn it is says the core; this has the sockets and the time.
#[derive(Debug)]
pub(super) struct Thread {
    poll: Poll,
    inbox: Arc<Inbox>,
    clock: Clock,
    lane: Lane<Stream>,
    writer: Writer,
    outgoing: Vec<Outgoing>,
}

impl Thread {
    pub(super) fn new(poll: Poll, inbox: Arc<Inbox>, clock: Clock, heartbeat: Duration) -> Self {
        let lane = Lane::new(heartbeat, Waker::from(Arc::clone(&inbox)));
        Self {
            poll,
            inbox,
            clock,
            lane,
            writer: Writer::new(),
            outgoing: Vec::new(),
        }
    }

    /// Serves until the inbox is closed; whoever is still there then is cut off.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            for event in events.iter().filter(|event| event.token() != BELL) {
                self.hear(event);
            }
            let Some(arrivals) = self.inbox.empty() else {
                return Ok(());
            };
            arrivals
                .into_iter()
                .for_each(|arrival| self.take_in(arrival));
            // Turns that come up meanwhile are behind the sockets.
            for _ in 0..self.lane.hear(self.clock.now()) {
                self.lane
                    .turn(self.writer.batch(), self.clock.now(), &mut self.outgoing);
                self.writer.write(&mut self.lane, &mut self.outgoing)?;
            }
            if self.lane.is_empty() {
                self.writer.shrink();
                self.outgoing = Vec::new();
            }
        }
    }

    /// How long to wait for something to happen.
    fn patience(&self) -> Option<Duration> {
        let due = self.lane.wake_at()?;
        let millis = due.millis_since(self.clock.now().instant);
        // A millisecond more, as what is left of this one is not counted.
        Some(Duration::from_millis(if millis == 0 {
            0
        } else {
            millis + 1
        }))
    }

    fn hear(&mut self, event: &Event) {
        let Token(index) = event.token();
        let Some(stream) = self.lane.get_mut(index) else {
            return;
        };
        if event.is_read_closed() || event.is_error() {
            self.lane.remove(index);
        } else if event.is_writable() && stream.is_blocked() {
            let progress = stream.write_on();
            if progress == Progress::Done {
                self.lane.unblock(index);
            }
            settle(&mut self.lane, index, progress);
        }
    }

    fn take_in(&mut self, arrival: Arrival) {
        let Arrival {
            socket,
            subscription,
            permit,
        } = arrival;
        let index = self.lane.insert(subscription, Stream::new(socket, permit));
        let stream = self.lane.get_mut(index);
        if let Some(Err(error)) = stream.map(|stream| stream.watch(&self.poll, Token(index))) {
            tracing::error!(%error, "cannot watch a connection, so it is closed");
            self.lane.remove(index);
        }
    }
}
