//! Unread bytes: how many there are, and which readers are cut because of them.
//!
//! A slow reader costs a cursor. But what was handed to it and not taken is memory: a frame that
//! left its ring, a piece that was joined for it alone, the chunk that a socket does not take,
//! an answer. A [`Ledger`] counts those buffers, and not the readers: a buffer counts from its
//! allocation until the last handle of it is dropped, and once, however many readers share it.
//! What is counted and in no ring is unread.
//!
//! [`Stalls`] knows the readers that have bytes to take. It cuts those that take none for too long,
//! and, where all unread bytes together exceed their limit, those that have waited longest. A
//! reader that is cut comes back with its last event ID.

mod ledger;
#[cfg(feature = "std")]
mod signal;
#[cfg(feature = "std")]
mod socket;
#[cfg(feature = "std")]
mod stalls;
#[cfg(feature = "http")]
mod watched;

use core::time::Duration;

#[cfg(feature = "std")]
pub use signal::{Cut, CutReason, CutSignal};
#[cfg(feature = "std")]
pub use socket::{ReaderKind, SocketWatch};
#[cfg(feature = "std")]
pub use stalls::{Reader, Stall, Stalls};
#[cfg(feature = "http")]
pub use watched::{Slice, Watched};

pub(crate) use ledger::Ledger;

/// How long an answer that is no stream may make no progress.
pub(crate) const ANSWER_STALL_TIMEOUT: Duration = Duration::from_secs(30);
