use alloc::collections::VecDeque;
use core::iter;

/// Hashes of the IDs in a ring: an index of where an ID may be.
///
/// Four bytes for each event, side by side: a search of 10,000 events reads 40 KB, while the IDs
/// themselves are 10,000 allocations. Two IDs may share a fingerprint, so the caller also compares
/// the IDs of the candidates.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprints {
    /// One for each event in the ring, in the same order; those of evicted events may remain at
    /// the front until the next push.
    of_events: VecDeque<u32>,
    /// Number of the event after the newest.
    next: u64,
}

impl Fingerprints {
    /// FNV-1a (RFC 9923). A publisher can make many IDs with one fingerprint; a search is then only
    /// as slow as one without an index.
    pub(super) fn of(id: &[u8]) -> u32 {
        let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        id.iter().fold(0x811c_9dc5, step)
    }

    /// Adds the event with this number. `held` events are in the ring, this one included; the
    /// fingerprints of older ones are dropped.
    pub(super) fn push(&mut self, number: u64, fingerprint: u32, held: usize) {
        self.next = number + 1;
        self.of_events.push_back(fingerprint);
        let gone = self.of_events.len().saturating_sub(held);
        self.of_events.drain(..gone);
    }

    /// Numbers of events that may have this ID, oldest first.
    pub(super) fn candidates<'a>(&'a self, id: &[u8]) -> impl Iterator<Item = u64> + use<'a> {
        let wanted = Self::of(id);
        let (front, back) = self.of_events.as_slices();
        let first = self.next - self.of_events.len() as u64;
        let middle = first + front.len() as u64;
        numbers_of(front, wanted, first).chain(numbers_of(back, wanted, middle))
    }
}

/// The numbers of the events with fingerprint `wanted`; the first event has number `first`.
fn numbers_of(fingerprints: &[u32], wanted: u32, first: u64) -> impl Iterator<Item = u64> {
    let mut next = 0;
    iter::from_fn(move || {
        let found = next + find(&fingerprints[next..], wanted)?;
        next = found + 1;
        Some(first + found as u64)
    })
}

/// The index of the first fingerprint that is `wanted`.
// Not inlined: among its callers' variables the loop has too few registers, and takes 1.25 times as
// long.
#[inline(never)]
fn find(fingerprints: &[u32], wanted: u32) -> Option<usize> {
    // A whole block at a time, without an early exit: compilers vectorize that.
    let has = |block: &[u32; 32]| {
        block
            .iter()
            .fold(false, |found, one| found | (*one == wanted))
    };
    let (blocks, _) = fingerprints.as_chunks();
    let skipped = blocks.iter().take_while(|block| !has(block)).count() * 32;

    let found = fingerprints[skipped..]
        .iter()
        .position(|one| *one == wanted)?;
    Some(skipped + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;
    use std::vec;
    use std::vec::Vec;

    fn candidates(fingerprints: &Fingerprints, id: &str) -> Vec<u64> {
        fingerprints.candidates(id.as_bytes()).collect()
    }

    #[test]
    fn all_copies_of_an_id_are_found_in_order_and_evicted_ones_are_not() {
        // Miri takes long over 500.
        const EVENTS: u64 = if cfg!(miri) { 70 } else { 500 };
        for held in [1, 2, 31, 32, 33, 100, 300]
            .into_iter()
            .filter(|held| *held < EVENTS as usize)
        {
            let mut fingerprints = Fingerprints::default();
            for number in 1..=EVENTS {
                // Each ID twice in a row.
                let id = (number / 2).to_string();
                fingerprints.push(
                    number,
                    Fingerprints::of(id.as_bytes()),
                    held.min(number as usize),
                );
            }
            assert_eq!(fingerprints.of_events.len(), held);
            for number in 1..=EVENTS {
                let found = candidates(&fingerprints, &(number / 2).to_string());
                let copies = [number / 2 * 2, number / 2 * 2 + 1];
                let oldest = EVENTS - held as u64 + 1;
                let expected: Vec<_> = copies
                    .into_iter()
                    .filter(|copy| (oldest..=EVENTS).contains(copy))
                    .collect();
                assert_eq!(found, expected, "{number} of {held}");
            }
        }
    }

    #[test]
    fn fingerprints_are_those_of_fnv_1a() {
        for (text, hash) in [
            ("", 0x811c_9dc5),
            ("a", 0xe40c_292c),
            ("foobar", 0xbf9c_f968),
        ] {
            assert_eq!(Fingerprints::of(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn events_before_a_gap_are_not_found() {
        let mut fingerprints = Fingerprints::default();
        fingerprints.push(1, Fingerprints::of(b"a"), 1);
        fingerprints.push(2, Fingerprints::of(b"b"), 2);
        fingerprints.push(4, Fingerprints::of(b"a"), 1);
        assert_eq!(
            (
                candidates(&fingerprints, "a"),
                candidates(&fingerprints, "b")
            ),
            (vec![4], vec![])
        );
    }
}
