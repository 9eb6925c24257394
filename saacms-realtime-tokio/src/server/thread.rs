//! A thread that writes the streams of many sockets, each after its response head.

use core::task::Waker;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use mio::event::Event;
use mio::{Events, Poll, Token};
use saacms_realtime_core::{Instant, Lane, Outgoing};

use super::inbox::{Arrival, Inbox, WAKE};
use super::socket::Socket;
use super::sockets::Sockets;
use super::stalls::Watch;
use super::writer::Writer;
use crate::clock::Clock;
use crate::realtime::Realtime;

/// The state of a lane's thread.
///
/// Core's [`Lane`] decides whose turn it is; this has the sockets and the clock.
#[derive(Debug)]
pub(super) struct Thread {
    poll: Poll,
    inbox: Arc<Inbox>,
    clock: Clock,
    sockets: Sockets,
    writer: Writer,
    /// Empty between turns; kept for its capacity.
    outgoing: Vec<Outgoing>,
}

impl Thread {
    pub(super) fn new(poll: Poll, inbox: Arc<Inbox>, realtime: &Realtime) -> Self {
        let heartbeat = realtime.hub().config().heartbeat;
        let lane = Lane::new(heartbeat, Waker::from(Arc::clone(&inbox)));
        let sockets = Sockets::new(lane, Watch::new(realtime), Arc::clone(&inbox));
        Self {
            poll,
            inbox,
            clock: realtime.clock(),
            sockets,
            writer: Writer::new(realtime.hub().clone()),
            outgoing: Vec::new(),
        }
    }

    /// Serves until the inbox is closed, then cuts off the streams that are left.
    ///
    /// # Errors
    ///
    /// The system refuses to poll, or io_uring fails.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                // A signal interrupts the poll without any event, as a timeout does.
                Ok(()) | Err(_) => {}
            }

            for event in events.iter().filter(|event| event.token() != WAKE) {
                self.handle_socket(event);
            }

            let Some((arrivals, cuts)) = self.inbox.receive() else {
                return Ok(());
            };
            // First: an arrival may get the number of a stream that is cut.
            for stream in cuts {
                self.sockets.cut(stream);
            }
            for arrival in arrivals {
                self.insert(arrival);
            }

            // A fixed number of turns: those that become due in the meantime wait until the sockets
            // have been polled again.
            for _ in 0..self.sockets.lane.collect(self.clock.now()) {
                self.sockets
                    .lane
                    .turn(self.writer.batch(), self.clock.now(), &mut self.outgoing);
                self.writer.write(&mut self.sockets, &mut self.outgoing)?;
            }

            // Nobody is left to share the last chunk with.
            if self.sockets.lane.wake_at() != Some(Instant::ZERO) {
                self.writer.forget();
            }
            // Without streams, the memory of the busiest turn is given back.
            if self.sockets.lane.is_empty() {
                self.sockets.shrink();
                self.outgoing = Vec::new();
            }
        }
    }

    /// How long to wait for a socket or a wake-up; `None` if no deadline is set.
    fn timeout(&self) -> Option<Duration> {
        let wake_at = self.sockets.lane.wake_at()?;
        let millis = match wake_at.millis_since(self.clock.now().instant) {
            0 => 0,
            // One more, so that rounding never wakes the thread before its deadline.
            millis => millis + 1,
        };
        Some(Duration::from_millis(millis))
    }

    fn handle_socket(&mut self, event: &Event) {
        let Token(index) = event.token();
        // A client sends nothing after its request, so one that closes its side has gone.
        if event.is_read_closed() || event.is_error() {
            self.sockets.remove(index);
            return;
        }
        if event.is_readable() {
            self.sockets.discard(index);
        }
        if event.is_writable() {
            self.sockets.flush(index);
        }
    }

    fn insert(&mut self, arrival: Arrival) {
        let Arrival {
            socket,
            subscription,
            permit,
        } = arrival;
        let index = self
            .sockets
            .lane
            .insert(subscription, Socket::new(socket, permit));
        // Always there: it was inserted just now.
        let Some(socket) = self.sockets.lane.get_mut(index) else {
            return;
        };

        if let Err(error) = socket.register(&self.poll, Token(index)) {
            tracing::error!(%error, "cannot poll a connection, so it is closed");
            self.sockets.remove(index);
        }
    }
}
