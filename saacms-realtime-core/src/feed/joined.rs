use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use crate::unread::Ledger;

/// Most bytes in one piece, unless one frame alone has more.
pub(super) const MAX_PIECE: usize = 64 << 10;

/// Frames that were joined for one reader, kept for the next one at the same place.
///
/// Most readers of a topic are at the same place: a burst is joined once, and all of them share its
/// bytes and write it in one go.
#[derive(Clone, Debug, Default)]
pub(super) struct Joined {
    /// Numbers of the events whose frames are joined.
    numbers: Range<u64>,
    /// Exactly their frames, in order.
    bytes: Bytes,
}

impl Joined {
    /// The frames from number `from` on as one piece, and the number of the event after them.
    ///
    /// `frame` returns the frame of a number below `next`; the one at `from` must exist. `ledger`
    /// counts a copy.
    pub(super) fn run(
        &mut self,
        from: u64,
        next: u64,
        ledger: &Ledger,
        frame: impl Fn(u64) -> Option<Bytes>,
    ) -> Option<(Bytes, u64)> {
        let fits = |len: usize, more: &Bytes| len + more.len() <= MAX_PIECE;
        if self.numbers.start == from && !self.numbers.is_empty() {
            // If a newer frame fits, all are joined again: otherwise each reader would copy it.
            let end = self.numbers.end;
            let is_whole = end == next || !frame(end).is_some_and(|it| fits(self.bytes.len(), &it));
            if is_whole {
                return Some((self.bytes.clone(), end));
            }
        }

        // The first frame always goes out, even if it alone is larger than a piece.
        let first = frame(from)?;
        let (mut end, mut len) = (from + 1, first.len());
        while end < next
            && let Some(more) = frame(end)
            && fits(len, &more)
        {
            len += more.len();
            end += 1;
        }

        // One frame is shared as it is: there is nothing to copy or to keep.
        if end == from + 1 {
            return Some((first, end));
        }

        let mut joined = Vec::with_capacity(len);
        (from..end)
            .filter_map(frame)
            .for_each(|frame| joined.extend_from_slice(&frame));
        *self = Self {
            numbers: from..end,
            bytes: ledger.share(joined),
        };
        Some((self.bytes.clone(), end))
    }

    /// Bytes of the joined frames.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(len: usize) -> impl Fn(u64) -> Option<Bytes> {
        move |number| Some(Bytes::from(std::vec![number as u8; len]))
    }

    #[test]
    fn readers_at_the_same_place_share_the_same_bytes() {
        let mut joined = Joined::default();
        let (first, end) = joined
            .run(3, 6, &Ledger::default(), frame_of(2))
            .expect("frames");
        assert_eq!((&first[..], end), (&[3, 3, 4, 4, 5, 5][..], 6));
        let (second, _) = joined
            .run(3, 6, &Ledger::default(), frame_of(2))
            .expect("frames");
        assert_eq!(first.as_ptr(), second.as_ptr());
        let (other, end) = joined
            .run(4, 6, &Ledger::default(), frame_of(2))
            .expect("frames");
        assert_eq!((&other[..], end), (&[4, 4, 5, 5][..], 6));
    }

    #[test]
    fn later_frames_are_joined_too() {
        let mut joined = Joined::default();
        let (first, _) = joined
            .run(3, 5, &Ledger::default(), frame_of(2))
            .expect("frames");
        assert_eq!(&first[..], &[3, 3, 4, 4]);
        let (second, end) = joined
            .run(3, 6, &Ledger::default(), frame_of(2))
            .expect("frames");
        assert_eq!((&second[..], end), (&[3, 3, 4, 4, 5, 5][..], 6));
        let (third, _) = joined
            .run(3, 6, &Ledger::default(), frame_of(2))
            .expect("frames");
        assert_eq!(second.as_ptr(), third.as_ptr());
        let (full, end) = joined
            .run(1, 9, &Ledger::default(), frame_of(MAX_PIECE / 2))
            .expect("frames");
        let (again, _) = joined
            .run(1, 10, &Ledger::default(), frame_of(MAX_PIECE / 2))
            .expect("frames");
        assert_eq!(
            (end, full.as_ptr()),
            (3, again.as_ptr()),
            "no more of them fits"
        );
    }

    #[test]
    fn a_single_frame_is_shared_and_not_copied() {
        let frame = Bytes::from_static(b"x");
        let mut joined = Joined::default();
        let (bytes, end) = joined
            .run(1, 2, &Ledger::default(), |_| Some(frame.clone()))
            .expect("a frame");
        assert_eq!((bytes.as_ptr(), end, joined.len()), (frame.as_ptr(), 2, 0));
    }

    #[test]
    fn a_piece_has_at_most_64_kib_unless_one_frame_alone_has_more() {
        let mut joined = Joined::default();
        let (bytes, end) = joined
            .run(1, 9, &Ledger::default(), frame_of(MAX_PIECE / 2))
            .expect("frames");
        assert_eq!((bytes.len(), end), (MAX_PIECE, 3));
        let (bytes, end) = joined
            .run(3, 9, &Ledger::default(), frame_of(MAX_PIECE + 1))
            .expect("frames");
        assert_eq!((bytes.len(), end), (MAX_PIECE + 1, 4));
    }
}
