use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::unread::Ledger;

/// Bytes that go out together: a single piece is shared, several are copied into one.
#[derive(Default)]
pub(super) struct Pieces {
    /// The first piece, as long as it is the only one.
    only: Bytes,
    /// All pieces, once there are several.
    joined: Vec<u8>,
}

impl Pieces {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.only.len() + self.joined.len()
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.only = piece;
            return;
        }

        self.joined
            .extend_from_slice(&core::mem::take(&mut self.only));
        self.joined.extend_from_slice(&piece);
    }

    /// Adds the text that `write` writes.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut String) -> fmt::Result) {
        let mut text = String::new();
        write(&mut text).expect("a String is never full");

        // Into the copy at once: no other reader gets this text.
        self.joined
            .extend_from_slice(&core::mem::take(&mut self.only));
        self.joined.extend_from_slice(text.as_bytes());
    }

    /// All pieces as one; `ledger` counts a copy.
    #[inline]
    pub(super) fn into_bytes(self, ledger: &Ledger) -> Bytes {
        if self.joined.is_empty() {
            self.only
        } else {
            ledger.share(self.joined)
        }
    }
}
