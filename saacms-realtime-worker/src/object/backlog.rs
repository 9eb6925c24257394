use core::time::Duration;

use saacms_realtime_core::Instant;

/// Detects a stream that is no longer read, by what leaves its queue.
///
/// The runtime does not always report that a client has gone (some of its releases never do), but
/// the queue of such a stream does not shrink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backlog {
    /// Bytes sent so far.
    sent: u64,
    /// The bytes of `sent` that had left the queue when it was last measured.
    taken: u64,
    /// When bytes were last seen to have left, or the queue was last seen empty.
    moved_at: Instant,
}

impl Backlog {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sent: 0,
            taken: 0,
            moved_at: now,
        }
    }

    /// Records that `queued` bytes wait.
    pub(super) fn update(&mut self, queued: usize, now: Instant) {
        let taken = self.sent.saturating_sub(queued as u64);
        if queued == 0 || taken > self.taken {
            self.moved_at = now;
        }
        self.taken = taken;
    }

    /// Records that `bytes` more were sent.
    pub(super) fn add(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Bytes sent so far.
    pub(super) fn total_sent(&self) -> u64 {
        self.sent
    }

    /// The most bytes that can be queued: those at the last measurement, and those sent since.
    pub(super) fn upper_bound(&self) -> usize {
        usize::try_from(self.sent - self.taken).unwrap_or(usize::MAX)
    }

    /// When the stream is cut if nothing leaves until then; `None` if nothing is known to wait, or
    /// `timeout` is zero.
    pub(super) fn cut_at(&self, timeout: Duration) -> Option<Instant> {
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
    fn a_stream_that_reads_nothing_is_cut() {
        let mut backlog = Backlog::new(at(0));
        assert_eq!(backlog.cut_at(TIMEOUT), None, "nothing waits");
        backlog.update(0, at(50));
        backlog.add(10);
        assert_eq!(backlog.cut_at(TIMEOUT), Some(at(150)));
        backlog.update(10, at(80));
        backlog.add(10);
        backlog.update(20, at(120));
        assert_eq!(
            backlog.cut_at(TIMEOUT),
            Some(at(150)),
            "more in the queue is no progress"
        );
        assert_eq!(backlog.cut_at(Duration::ZERO), None, "never");
    }

    #[test]
    fn a_stream_that_reads_a_little_at_a_time_is_not_cut() {
        let mut backlog = Backlog::new(at(0));
        backlog.add(100);
        for step in 1..9 {
            backlog.update(100 - step, at(step as u64 * 90));
            assert_eq!(backlog.cut_at(TIMEOUT), Some(at(step as u64 * 90 + 100)));
        }
        backlog.update(0, at(800));
        assert_eq!(backlog.cut_at(TIMEOUT), None);
    }
}
