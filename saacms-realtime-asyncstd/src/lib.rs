//! Record-change streaming for smol and async-std.
//!
//! [`Realtime`] is the hub with its clock; keep it in your application's state. [`serve`] is an
//! HTTP server for it, HTTP/1.1 and h2c:
//!
//! ```no_run
//! use saacms_realtime_asyncstd::{Realtime, ServeConfig, serve};
//!
//! # #[cfg(feature = "smol")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let realtime = Realtime::new(Default::default(), Default::default())?;
//! let listener = std::net::TcpListener::bind("127.0.0.1:8787")?;
//! let stop = std::future::pending::<()>();
//! smol::block_on(serve(listener, realtime, ServeConfig::smol(), stop))?;
//! # Ok(()) }
//! # #[cfg(not(feature = "smol"))] fn main() {}
//! ```
//!
//! Where you have a server already, let it answer with [`Realtime::respond`]. Publishing from code is
//! [`Realtime::publish`]. The rules of the wire are those of [`saacms_realtime_core`], re-exported
//! as [`core`].
//!
//! Sockets and timers are those of `async-io`, which lies under smol and async-std: neither runtime
//! is needed for the other's sake, and any other executor will do, too.
//!
//! # Crate features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `smol` (default) | [`ServeConfig::smol`]: connections run on smol's global executor |
//! | `async-std` | [`ServeConfig::async_std`]: connections run on async-std's |
//!
//! Without them connections run where [`ServeConfig::spawning`] is told. async-std is discontinued;
//! see the crate's README for the way to smol.

#![forbid(unsafe_code)]

mod clock;
mod hyper_io;
mod realtime;
mod serve;
mod stream;

pub use realtime::Realtime;
pub use saacms_realtime_core as core;
pub use serve::{ServeConfig, serve};
pub use stream::EventStream;

/// The program in the README.
#[cfg(all(doctest, feature = "smol"))]
#[doc = include_str!("../README.md")]
struct Readme;
