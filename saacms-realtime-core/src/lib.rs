//! Record-change streaming without I/O.
//!
//! A **ring** per record keeps the last events. A **subscriber** is a cursor into it. The one verb
//! is [`Subscriber::poll`]: replay after a reconnect and live delivery are the same call. A client
//! that was away too long, reads too slowly or names an unknown event ID is told to refetch,
//! exactly once.
//!
//! There is no clock, no randomness, no log and no I/O: time comes in as an argument called `now`,
//! deadlines go out as values.
//!
//! # Layers
//!
//! | layer | start with | what it is |
//! | --- | --- | --- |
//! | a record's items | [`Ring`], [`Subscriber`] | items with their times, and one reader of them |
//! | a record's events | [`Topic`], [`EventId`], [`Position`] | a ring with the IDs of its events, and what a last event ID means |
//! | the format | [`sse`] | frames written into any [`core::fmt::Write`], and the [decoder](sse::Decoder) |
//! | a record's frames | [`Event`], [`feed`] | what each reader gets next, in whole frames; what a store keeps |
//! | a record of an engine | [`Follower`] | a history outside of this process: what is passed on of it, what it is asked |
//! | events that outlive the process | [`engine`], [`Told`] | what a hub and the engine behind it say to each other |
//! | all records | [`Hub`], [`Subscription`], [`Lane`] | key to topic map, locks, wakers, limits, sweep, drain |
//! | HTTP | [`route`] | the contract without HTTP: a request in, a decision out |
//! | settings | [`HubConfig`], [`settings`] | the settings of a hub, and how they are read from text |
//!
//! # Crate features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | none | rings and topics over the caller's storage, frames into [`core::fmt::Write`]; no allocation at all |
//! | `heapless` | `heapless::Deque` as storage of a ring |
//! | `alloc` | owned keys and events, [`feed`], [`engine`], the decoder, [`route`] |
//! | `std` (default) | the [`Hub`] |
//! | `http` | conversions between [`route`] and the `http` crate |
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
mod config;
#[cfg(feature = "alloc")]
pub mod engine;
#[cfg(feature = "alloc")]
mod event;
#[cfg(feature = "alloc")]
mod excerpt;
#[cfg(feature = "alloc")]
pub mod feed;
#[cfg(feature = "alloc")]
mod follow;
#[cfg(feature = "std")]
mod hub;
mod name;
#[cfg(feature = "alloc")]
mod notice;
mod position;
#[cfg(feature = "alloc")]
mod refusal;
mod ring;
#[cfg(feature = "alloc")]
pub mod route;
pub mod sse;
mod subscriber;
mod time;
mod topic;
#[cfg(feature = "alloc")]
mod unread;

pub use name::{EventId, EventType, IdText, InvalidEventId, RESYNC, ResyncReason, UNAVAILABLE};
pub use position::{Epoch, Position};
pub use ring::{At, Entry, Retention, Ring, Slots, Storage};
pub use subscriber::{Resume, Step, Subscriber};
pub use time::{Instant, Now, Timestamp};
pub use topic::{IdPolicy, Named, Opening, Topic};

#[cfg(feature = "alloc")]
pub use config::{ConfigError, EventIds, HubConfig};
#[cfg(feature = "alloc")]
pub use event::{Event, EventError};
#[cfg(feature = "alloc")]
pub use follow::{Ask, Effect, Follower, Link, Mark, Span, Told};
#[cfg(feature = "alloc")]
pub use name::{InvalidKey, KeyPart, ResourceKey};
#[cfg(feature = "alloc")]
pub use notice::Notice;
#[cfg(feature = "alloc")]
pub use refusal::Refusal;

#[cfg(feature = "std")]
pub use hub::{
    EnginePort, EngineStats, Hub, Lane, NoticeOutput, Outgoing, Output, Piece, Publishing,
    Reporter, Stats, Subscription, TypedOutput, report, sweep,
};

/// Readers that do not take their bytes: how an adapter watches and cuts them.
#[cfg(feature = "std")]
pub mod stall {
    pub use crate::unread::{
        Cut, CutReason, CutSignal, Reader, ReaderKind, SocketWatch, Stall, Stalls,
    };
    #[cfg(feature = "http")]
    pub use crate::unread::{Slice, Watched};
}

/// Settings as text: their names, and one parser for every adapter.
#[cfg(feature = "alloc")]
pub mod settings {
    pub use crate::config::{Field, HUB_SETTINGS, HubSetting, VARIABLE_PREFIX, text, variable};
    pub use crate::excerpt::excerpt;
}

/// Bodies of the fuzz targets. Not part of the API.
#[cfg(all(feature = "std", any(test, fuzzing)))]
#[doc(hidden)]
pub mod _fuzz;
