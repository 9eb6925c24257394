//! Record-change streaming without I/O.
//!
//! A **ring** per record keeps the last events; a **subscriber** is a cursor into it; the one verb
//! is [`Subscriber::poll`](subscriber::Subscriber::poll). Replay after a reconnect and live
//! delivery are the same call, and whoever was away too long, reads too slowly or names an event ID
//! that nobody knows is told to refetch, exactly once.
//!
//! No clock, no randomness, no log, no I/O: time comes in as an argument called `now`, deadlines go
//! out as values.
//!
//! # Crate features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | none | rings over storage of the caller ([`ring`], [`subscriber`], [`topic`], [`position`]), frames into [`core::fmt::Write`] ([`sse`]); no allocation at all |
//! | `heapless` | `heapless::Deque` as storage of a ring |
//! | `alloc` | owned keys ([`name`]) and events ([`event`]), the frames of one record ([`feed`]), the SSE [`decoder`](sse::Decoder), the HTTP contract without HTTP ([`route`]) |
//! | `std` (default) | the [`hub`]: key to topic map, locks, wakers, limits, sweep |
//! | `http` | [`route`] in terms of the `http` crate |
//!
//! Features only add: none changes what another part does.

#![no_std]
#![forbid(unsafe_code)]
// Every use of `std` and `alloc` is spelled out, so that each layer builds without the next one.
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(feature = "alloc")]
pub mod config;
#[cfg(feature = "alloc")]
pub mod event;
#[cfg(feature = "alloc")]
pub mod feed;
pub mod name;
pub mod position;
#[cfg(feature = "alloc")]
pub mod refusal;
pub mod ring;
#[cfg(feature = "alloc")]
pub mod route;
pub mod sse;
pub mod subscriber;
pub mod time;
pub mod topic;

#[cfg(feature = "std")]
pub mod hub;

/// Bodies of the fuzz targets. Not part of the API.
#[cfg(all(feature = "std", any(test, fuzzing)))]
#[doc(hidden)]
pub mod _fuzz;
