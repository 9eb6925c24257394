use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Wake;

use saacms_realtime_core::sse::{Decoder, Message};

use crate::check::Expected;

/// A waker that remembers that it was called.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// One connection: the server's end with its stream, the network, the client's end.
pub(crate) struct Connection<R> {
    pub(crate) client: usize,
    /// The server's end; `None` once the stream has ended or the server has noticed the cut.
    pub(crate) reader: Option<R>,
    pub(crate) expected: Expected,
    /// The waker that the stream is polled with.
    pub(crate) woken: Arc<Flag>,
    pub(crate) wake_at: Option<u64>,
    /// Bytes that the server took from the stream and has not written yet.
    pub(crate) out: VecDeque<u8>,
    /// Bytes in flight, with the time of their arrival.
    pub(crate) pipe: VecDeque<(u64, Vec<u8>)>,
    /// Bytes in `pipe` and those lost on a half-open connection, which count against the window.
    pub(crate) in_flight: usize,
    /// The client's end is open.
    pub(crate) is_open: bool,
    /// Bytes are lost in flight, and neither end is told.
    pub(crate) is_half_open: bool,
    /// When the server learns that the client is gone.
    pub(crate) server_notices_at: Option<u64>,
    pub(crate) decoder: Decoder,
    /// Messages that the hub wrote and the client has not read.
    pub(crate) unread: VecDeque<Message>,
    /// The last event ID that the client named.
    pub(crate) named: Option<String>,
    pub(crate) has_received: bool,
    pub(crate) received_at: u64,
    /// The client named an ETag that was published more than once, and knows a later state.
    pub(crate) is_exempt: bool,
}

impl<R> Connection<R> {
    pub(crate) fn is_blocked(&self) -> bool {
        !self.out.is_empty()
    }

    pub(crate) fn wants_poll(&self, now: u64) -> bool {
        self.reader.is_some()
            && !self.is_blocked()
            && (self.woken.is_set() || self.wake_at.is_some_and(|due| due <= now))
    }

    /// Sends as much as fits into the window; returns whether anything was sent.
    pub(crate) fn write(&mut self, now: u64, delay: u64, segment: usize, window: usize) -> bool {
        let mut has_written = false;
        while !self.out.is_empty() && self.in_flight < window {
            let len = self.out.len().min(segment).min(window - self.in_flight);
            let bytes: Vec<u8> = self.out.drain(..len).collect();
            self.in_flight += len;
            has_written = true;
            // Otherwise the bytes are lost, and nobody acknowledges them.
            if self.is_open && !self.is_half_open {
                self.pipe.push_back((now + delay, bytes));
            }
        }
        has_written
    }

    /// The next segment that has arrived.
    pub(crate) fn receive(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.pipe.front()?.0 > now {
            return None;
        }
        let (_, bytes) = self.pipe.pop_front()?;
        self.in_flight -= bytes.len();
        Some(bytes)
    }

    /// Whether both ends are closed.
    pub(crate) fn is_over(&self) -> bool {
        self.reader.is_none() && !self.is_open
    }
}

/// The messages in text that a hub wrote: `event:`, `id:` and `data:`, a line each.
pub(crate) fn messages(text: &str) -> impl Iterator<Item = Message> {
    text.split("\n\n").filter_map(|block| {
        let rest = block.strip_prefix("event: ")?;
        let (event_type, rest) = rest.split_once("\nid: ")?;
        let (id, data) = rest.split_once("\ndata: ")?;
        Some(Message {
            event_type: event_type.into(),
            data: data.into(),
            last_event_id: id.into(),
        })
    })
}
