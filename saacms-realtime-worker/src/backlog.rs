//! Whether a stream is still being read.

use core::time::Duration;

use saacms_realtime_core::time::Instant;

/// What a stream was given and what it has let go, as far as its queue shows.
///
/// The runtime does not always say that a client is gone (some of its releases never do), but what
/// waits in the queue of such a stream does not get less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    sent: u64,
    taken: u64,
    /// When something was taken last, or when the queue was last seen empty.
    moved_at: Instant,
}

impl Backlog {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            sent: 0,
            taken: 0,
            moved_at: now,
        }
    }

    /// Takes note that `queued` bytes wait.
    pub(crate) fn see(&mut self, queued: usize, now: Instant) {
        let taken = self.sent.saturating_sub(queued as u64);
        if queued == 0 || taken > self.taken {
            self.moved_at = now;
        }
        self.taken = taken;
    }

    /// Takes note that `bytes` more were given.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Bytes that it was given so far.
    pub(crate) fn given(&self) -> u64 {
        self.sent
    }

    /// The most that can wait: what waited when it was seen last, and what was given since.
    pub(crate) fn at_most(&self) -> usize {
        usize::try_from(self.sent - self.taken).unwrap_or(usize::MAX)
    }

    /// When the stream is to be cut if nothing moves until then; `None` where nothing waits, as far
    /// as is known, or where `timeout` is zero.
    pub(crate) fn cut_at(&self, timeout: Duration) -> Option<Instant> {
        (self.taken < self.sent && !timeout.is_zero())
            .then(|| self.moved_at.saturating_add(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(100);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_stream_that_takes_nothing_is_to_be_cut() {
        let mut backlog = Backlog::new(at(0));
        assert_eq!(backlog.cut_at(TIMEOUT), None, "nothing waits");
        backlog.see(0, at(50));
        backlog.sent(10);
        assert_eq!(backlog.cut_at(TIMEOUT), Some(at(150)));
        backlog.see(10, at(80));
        backlog.sent(10);
        backlog.see(20, at(120));
        assert_eq!(
            backlog.cut_at(TIMEOUT),
            Some(at(150)),
            "more in the queue is no progress"
        );
        assert_eq!(backlog.cut_at(Duration::ZERO), None, "never");
    }

    #[test]
    fn a_stream_that_takes_a_little_at_a_time_is_not() {
        let mut backlog = Backlog::new(at(0));
        backlog.sent(100);
        for step in 1..9 {
            backlog.see(100 - step, at(step as u64 * 90));
            assert_eq!(backlog.cut_at(TIMEOUT), Some(at(step as u64 * 90 + 100)));
        }
        backlog.see(0, at(800));
        assert_eq!(backlog.cut_at(TIMEOUT), None);
    }
}
