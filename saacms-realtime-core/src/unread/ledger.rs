use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

/// Counts the bytes of the buffers that a hub makes, from their allocation until they are dropped.
///
/// It costs nothing for a reader or a delivery. The default counts nothing: that of a feed without
/// a hub. Not modelled by `loom`: nothing but a comparison with a limit depends on the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Option<Arc<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// Bytes of all buffers that are alive, those in rings included.
    held: AtomicUsize,
    /// Bytes of all histories. An event has the same size here and in `held`.
    #[cfg(feature = "std")]
    history: AtomicUsize,
}

/// A buffer that counts.
struct Counted {
    bytes: Vec<u8>,
    size: usize,
    counts: Arc<Counts>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.held.fetch_sub(self.size, Relaxed);
    }
}

impl Ledger {
    /// Shares `bytes`, which count with the memory that they take.
    pub(crate) fn share(&self, bytes: Vec<u8>) -> Bytes {
        let size = bytes.capacity();
        self.share_as(bytes, size)
    }

    /// Shares `bytes`, which count as `size`.
    pub(crate) fn share_as(&self, bytes: Vec<u8>, size: usize) -> Bytes {
        let Some(counts) = self.0.as_ref().filter(|_| !bytes.is_empty()) else {
            return Bytes::from(bytes);
        };

        counts.held.fetch_add(size, Relaxed);
        Bytes::from_owner(Counted {
            bytes,
            size,
            counts: Arc::clone(counts),
        })
    }
}

/// For the hub.
#[cfg(feature = "std")]
impl Ledger {
    /// A ledger that counts.
    pub(crate) fn counting() -> Self {
        Self(Some(Arc::default()))
    }

    /// Replaces `before` by `after` in the sum of all histories.
    pub(crate) fn count_history(&self, before: usize, after: usize) {
        // Most polls change nothing, and the counter is shared by all topics.
        if after != before
            && let Some(counts) = &self.0
        {
            // Both wrap, so a negative difference is subtracted.
            counts
                .history
                .fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }

    /// Bytes of all histories.
    pub(crate) fn history(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |counts| counts.history.load(Relaxed))
    }

    /// Bytes of buffers that are in no history: readers and answers hold them.
    ///
    /// For a moment it may be too high or too low by the event that a thread is publishing.
    pub(crate) fn unread(&self) -> usize {
        let Some(counts) = &self.0 else { return 0 };
        let held = counts.held.load(Relaxed);
        held.saturating_sub(counts.history.load(Relaxed))
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn a_buffer_counts_once_until_its_last_handle_is_dropped() {
        let ledger = Ledger::counting();
        let bytes = ledger.share(vec![7; 1_000]);
        let (slice, clone) = (bytes.slice(10..20), bytes.clone());
        assert_eq!(ledger.unread(), 1_000);
        drop((bytes, clone));
        assert_eq!((ledger.unread(), &slice[..]), (1_000, &[7; 10][..]));
        drop(slice);
        assert_eq!(ledger.unread(), 0);
    }

    #[test]
    fn what_is_in_a_history_is_not_unread() {
        let ledger = Ledger::counting();
        let frame = ledger.share_as(vec![0; 100], 400);
        ledger.count_history(0, 400);
        assert_eq!((ledger.history(), ledger.unread()), (400, 0));
        ledger.count_history(400, 0);
        assert_eq!((ledger.history(), ledger.unread()), (0, 400));
        drop(frame);
        assert_eq!(ledger.unread(), 0);
    }

    #[test]
    fn room_that_a_buffer_does_not_use_counts_and_an_empty_one_does_not() {
        let ledger = Ledger::counting();
        let mut roomy = Vec::with_capacity(64);
        roomy.push(1);
        let _roomy = ledger.share(roomy);
        let _empty = ledger.share(Vec::new());
        assert_eq!(ledger.unread(), 64);
        assert_eq!(Ledger::default().share(vec![1]), [1][..]);
    }
}
