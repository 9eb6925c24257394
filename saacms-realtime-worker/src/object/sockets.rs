use std::mem;

use core::time::Duration;

use saacms_realtime_core::feed::{Feed, Reader};
use saacms_realtime_core::{Instant, Now, Refusal};

use super::note::{Closing, Note, Violation};
use super::socket::{Socket, SocketSink};
use super::{Object, Sink};

/// The WebSockets that the platform keeps for one object, at most.
const MAX_SOCKETS: usize = 32_768;

/// The WebSockets of one record.
///
/// All of them are served at once, and not by turns like streams: between two turns, an object would have
/// sent an event to some of them, and a timer that keeps it awake.
#[derive(Debug)]
pub(super) struct Sockets<K> {
    /// By number; `None` where one has ended, or is about to be opened.
    slots: Vec<Option<Socket<K>>>,
    /// The numbers that are free.
    free: Vec<u32>,
    /// How many are open.
    len: usize,
    /// Whether something may wait for them.
    is_stale: bool,
}

impl<K: SocketSink> Sockets<K> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            is_stale: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A number that no other WebSocket has.
    pub(super) fn take_number(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // At most `MAX_SOCKETS` are open.
            (self.slots.len() - 1) as u32
        })
    }

    /// Gives a number back that was not used.
    pub(super) fn free_number(&mut self, number: u32) {
        self.free.push(number);
    }

    fn insert(&mut self, number: u32, socket: Socket<K>) {
        self.slots[number as usize] = Some(socket);
        self.len += 1;
        self.is_stale = true;
    }

    fn get(&mut self, number: u32) -> Option<&mut Socket<K>> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    /// Adds a WebSocket that is opened. Its first bytes are sent by [`serve`](Self::serve).
    pub(super) fn open(&mut self, number: u32, reader: Reader, sink: K, feed: &Feed, now: Instant) {
        let socket = Socket::new(reader, sink, feed, now);
        self.insert(number, socket);
    }

    /// Adds a WebSocket of an earlier life. What it missed is sent by [`serve`](Self::serve).
    pub(super) fn restore(&mut self, number: u32, note: Note, sink: K, feed: &mut Feed, now: Now) {
        let socket = Socket::restored(note, sink, feed, now);
        self.insert(number, socket);
    }

    /// Records that there is an event for all.
    pub(super) fn mark_stale(&mut self) {
        self.is_stale = true;
    }

    /// Sends what waits for any of them.
    pub(super) fn serve(&mut self, feed: &mut Feed, stall_timeout: Duration, now: Now) {
        if !mem::take(&mut self.is_stale) {
            return;
        }
        for number in 0..self.slots.len() as u32 {
            if let Some(socket) = self.get(number)
                && !socket.send(feed, stall_timeout, now)
            {
                self.remove(number);
            }
        }
    }

    /// Handles that a client has read as many bytes so far.
    pub(super) fn handle_read(
        &mut self,
        number: u32,
        read: u64,
        feed: &mut Feed,
        stall_timeout: Duration,
        now: Now,
    ) {
        if let Some(socket) = self.get(number)
            && !socket.handle_read(read, feed, stall_timeout, now)
        {
            self.remove(number);
        }
    }

    /// Closes the WebSocket of a client that has sent what it must not.
    pub(super) fn refuse(&mut self, number: u32, violation: Violation) {
        if let Some(socket) = self.remove(number) {
            socket.close(Closing::Violation(violation));
        }
    }

    /// Forgets a WebSocket that has ended.
    pub(super) fn remove(&mut self, number: u32) -> Option<Socket<K>> {
        let socket = self.slots.get_mut(number as usize)?.take()?;
        self.len -= 1;
        self.free.push(number);
        Some(socket)
    }

    /// Ends all of them gracefully.
    pub(super) fn end_all(&mut self, feed: &mut Feed, retry_millis: u64, now: Now) {
        for number in 0..self.slots.len() as u32 {
            if let Some(mut socket) = self.remove(number) {
                socket.end(feed, retry_millis, now);
            }
        }
    }
}

/// The WebSockets of an object.
impl<S: Sink, K: SocketSink> Object<S, K> {
    /// Reserves a number for a new WebSocket.
    pub(crate) fn reserve_socket(&mut self) -> Result<u32, Refusal> {
        self.check_room()?;
        if self.sockets.len() >= MAX_SOCKETS {
            return Err(Self::no_more_sockets());
        }
        Ok(self.sockets.take_number())
    }

    /// Gives a reserved number back, because the WebSocket was not opened.
    pub(crate) fn free_socket(&mut self, number: u32) {
        self.sockets.free_number(number);
    }

    /// Why a WebSocket is refused that the platform does not keep.
    pub(crate) fn no_more_sockets() -> Refusal {
        Refusal::TooManySubscribersOfTopic { limit: MAX_SOCKETS }
    }

    /// Subscribes the WebSocket with a reserved number.
    pub(crate) fn open_socket(
        &mut self,
        number: u32,
        sink: K,
        last_event_id: Option<&[u8]>,
        now: Now,
    ) {
        // The platform answers the client's pings; the object sleeps.
        let reader = self.feed.subscribe(last_event_id, Duration::ZERO, now);
        self.sockets
            .open(number, reader, sink, &self.feed, now.instant);
    }

    /// Subscribes a WebSocket of an earlier life again, which left `note`.
    pub(crate) fn restore_socket(&mut self, sink: impl FnOnce(u32) -> K, note: Note, now: Now) {
        let number = self.sockets.take_number();
        self.sockets
            .restore(number, note, sink(number), &mut self.feed, now);
    }

    /// Sends what waits for WebSockets. To be called before the object is left: it may sleep then.
    pub(crate) fn serve_sockets(&mut self, now: Now) {
        self.sockets
            .serve(&mut self.feed, self.settings.stall_timeout, now);
    }

    /// Handles that the client of a WebSocket has read as many bytes so far.
    pub(crate) fn handle_read(&mut self, number: u32, read: u64, now: Now) {
        let stall_timeout = self.settings.stall_timeout;
        self.sockets
            .handle_read(number, read, &mut self.feed, stall_timeout, now);
    }

    /// Closes the WebSocket of a client that has sent what it must not.
    pub(crate) fn refuse_socket(&mut self, number: u32, violation: Violation) {
        self.sockets.refuse(number, violation);
    }

    /// Removes a WebSocket that has ended.
    pub(crate) fn remove_socket(&mut self, number: u32) {
        self.sockets.remove(number);
    }

    /// Ends every stream and WebSocket gracefully: their clients come back after `retry_millis`.
    pub(crate) fn end_all(&mut self, retry_millis: u64, now: Now) {
        for stream in mem::take(&mut self.streams).values_mut() {
            stream.end(&mut self.feed, &self.settings, retry_millis, now);
        }
        self.sockets.end_all(&mut self.feed, retry_millis, now);
    }
}
