use core::time::Duration;

use bytes::Bytes;
use saacms_realtime_core::feed::{Feed, Output, Reader};
use saacms_realtime_core::sse::KEEPALIVE;
use saacms_realtime_core::{Instant, Now};

use super::note::{Closing, Note};

/// The sending end of a WebSocket that the platform keeps while the object sleeps.
pub(crate) trait SocketSink {
    /// Sends a message of whole frames, and keeps `note`: both at once, so that no failure comes between
    /// them. It may do so later, together with those of other WebSockets, but before anything else that
    /// is done to this one.
    fn send(&self, bytes: &Bytes, note: &Note);

    /// Keeps `note`.
    fn keep(&self, note: &Note);

    /// How long ago the platform last answered a ping of the client; `None` if it never did.
    fn answered_ago(&self) -> Option<Duration>;

    /// Closes the WebSocket after what was sent.
    fn close(&self, closing: Closing);
}

/// One WebSocket: where its client is in the ring, and what it has read.
///
/// It has no timer, because a timer would keep the object awake. What is due is noticed when something is
/// to be sent.
#[derive(Debug)]
pub(super) struct Socket<K> {
    reader: Reader,
    note: Note,
    sink: K,
}

impl<K: SocketSink> Socket<K> {
    /// A WebSocket that is opened.
    pub(super) fn new(reader: Reader, sink: K, feed: &Feed, now: Instant) -> Self {
        let note = Note::new(feed.place_of(&reader), now);
        Self { reader, note, sink }
    }

    /// A WebSocket of an earlier life, which left `note`.
    pub(super) fn restored(note: Note, sink: K, feed: &mut Feed, now: Now) -> Self {
        let reader = feed.resume(note.place, now);
        Self { reader, note, sink }
    }

    /// Sends what waits, as far as there is room. Returns whether the WebSocket stays open.
    #[must_use]
    pub(super) fn send(&mut self, feed: &mut Feed, stall_timeout: Duration, now: Now) -> bool {
        while !feed.is_idle(&self.reader, now.instant) {
            if let Some(closing) = self.closing(stall_timeout, now.instant) {
                self.sink.close(closing);
                return false;
            }
            if self.note.is_full() {
                self.wait(now.instant);
                return true;
            }

            self.send_piece(feed, now);
        }

        true
    }

    fn send_piece(&mut self, feed: &mut Feed, now: Now) {
        let Output::Frames(bytes) = feed.poll(&mut self.reader, now) else {
            return;
        };

        // The client does not count these: the platform sends them, too, and the object does not know how
        // many.
        if bytes != KEEPALIVE {
            self.note.sent += bytes.len() as u64;
        }
        self.note.waits_since = None;
        self.note.place = feed.place_of(&self.reader);
        self.sink.send(&bytes, &self.note);
    }

    /// Records that something waits until the client has read.
    fn wait(&mut self, now: Instant) {
        if self.note.waits_since.is_none() {
            self.note.waits_since = Some(now);
            self.sink.keep(&self.note);
        }
    }

    /// Why the WebSocket is to be closed now that something waits for it, if it is.
    fn closing(&mut self, stall_timeout: Duration, now: Instant) -> Option<Closing> {
        if stall_timeout.is_zero() {
            return None;
        }
        let is_over = |since: Instant| since.saturating_add(stall_timeout) <= now;
        if self.note.is_full() && self.note.waits_since.is_some_and(is_over) {
            return Some(Closing::Stalled);
        }

        // Asking the platform costs as much as half a delivery, so it is asked only where the answer counts.
        if is_over(self.note.heard_at)
            && let Some(ago) = self.sink.answered_ago()
        {
            let ago_millis = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            let answered_at = Instant::from_millis(now.as_millis().saturating_sub(ago_millis));
            self.note.heard_at = self.note.heard_at.max(answered_at);
        }
        is_over(self.note.heard_at).then_some(Closing::Silent)
    }

    /// Handles that the client has read as many bytes so far, and sends what has waited for that. Returns
    /// whether the WebSocket stays open.
    #[must_use]
    pub(super) fn handle_read(
        &mut self,
        read: u64,
        feed: &mut Feed,
        stall_timeout: Duration,
        now: Now,
    ) -> bool {
        if let Err(violation) = self.note.handle_read(read, now.instant) {
            self.sink.close(Closing::Violation(violation));
            return false;
        }

        // If there is still no room, it waits anew: the client reads on.
        self.note.waits_since = None;
        self.sink.keep(&self.note);
        self.send(feed, stall_timeout, now)
    }

    /// Closes the WebSocket.
    pub(super) fn close(&self, closing: Closing) {
        self.sink.close(closing);
    }

    /// Ends the WebSocket gracefully, with a farewell if its client has got everything: any other would
    /// lose what waits.
    pub(super) fn end(&mut self, feed: &mut Feed, retry_millis: u64, now: Now) {
        // Whoever has been silent is told, too.
        if self.send(feed, Duration::ZERO, now) && feed.is_idle(&self.reader, now.instant) {
            self.sink
                .send(&feed.farewell(retry_millis, now), &self.note);
        }
        self.sink.close(Closing::Drained);
    }
}
