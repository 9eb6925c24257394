//! Record-change streaming for tokio and axum.
//!
//! [`Realtime`] is the hub with its clock; keep it, or a clone of its [`hub`](Realtime::hub), in
//! your application's state. [`router`] is the HTTP API, to be nested wherever you like:
//!
//! ```
//! use saacms_realtime_tokio::{Realtime, router};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let realtime = Realtime::new(Default::default(), Default::default())?;
//! let app: axum::Router = axum::Router::new().nest("/api/saacms/v1", router(&realtime));
//! # Ok(()) }
//! ```
//!
//! Publishing from code is [`Realtime::publish`]. Frames are encoded once and shared by all readers;
//! what waits for a reader leaves in one piece. The rules of the wire are those of
//! [`saacms_realtime_core`], re-exported as [`core`].
//!
//! # Crate features
//!
//! `server` (default): what the binary `saacms-realtime` needs, and [`server`]. An application that embeds the
//! router wants `default-features = false`.

#![forbid(unsafe_code)]

mod body;
mod clock;
pub mod handlers;
mod realtime;
mod respond;
#[cfg(feature = "server")]
pub mod server;
mod stream;

pub use body::StreamBody;
pub use realtime::Realtime;
pub use respond::router;
pub use saacms_realtime_core as core;
pub use stream::EventStream;
