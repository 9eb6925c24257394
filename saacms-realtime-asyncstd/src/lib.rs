//! Record-change streaming for smol and async-std.
//!
//! [`Realtime`] is the hub with its clock; keep it in your application's state. [`serve`] serves it
//! over HTTP/1.1 and h2c:
//!
//! ```no_run
//! use saacms_realtime_asyncstd::{Api, Realtime, ServeConfig, serve};
//!
//! # #[cfg(feature = "smol")] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Programs of this machine may publish.
//! let api = Api::default().with_local_publish();
//! let realtime = Realtime::new(Default::default(), api)?;
//! let listener = std::net::TcpListener::bind("127.0.0.1:8787")?;
//! let stop = std::future::pending::<()>();
//! smol::block_on(serve(listener, realtime, ServeConfig::smol(), stop))?;
//! # Ok(()) }
//! # #[cfg(not(feature = "smol"))] fn main() {}
//! ```
//!
//! If you have a server already, let it answer with [`Realtime::respond`]. To publish from code,
//! call [`Realtime::publish`], in the order in which the records are written. Over HTTP nobody may
//! publish until the [`Api`] has a token or is opened. The rules of the wire are those of [`saacms_realtime_core`];
//! [`realtime_core`] is the whole of it.
//!
//! Sockets and timers are those of `async-io`, on which both smol and async-std are built. Neither
//! runtime pulls in the other, and any other executor works as well.
//!
//! # Crate features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `smol` (default) | [`ServeConfig::smol`]: connections run on smol's global executor |
//! | `async-std` | [`ServeConfig::async_std`]: connections run on async-std's |
//!
//! Without them, connections run where [`ServeConfig::spawning`] puts them. async-std is
//! discontinued; the crate's README shows the way to smol.

#![forbid(unsafe_code)]

mod clock;
mod connections;
mod hyper_io;
mod realtime;
mod serve;
mod stream;
mod watch;

pub use realtime::Realtime;
pub use serve::{ServeConfig, serve};
pub use stream::EventStream;

/// The whole core. Most users need only what is re-exported from it below.
pub use saacms_realtime_core as realtime_core;
pub use saacms_realtime_core::route::http::{PeerAddress, ResponseBody};
pub use saacms_realtime_core::route::{
    Api, Cors, InvalidBasePath, InvalidHost, InvalidNetwork, InvalidOrigin, InvalidToken, Problem,
    Token, TrustedProxies,
};
#[doc(no_inline)]
pub use saacms_realtime_core::{
    ConfigError, Event, EventError, EventIds, EventType, Hub, HubConfig, InvalidKey, Position,
    Publishing, Refusal, ResourceKey, Stats,
};

/// The program in the README.
#[cfg(all(doctest, feature = "smol"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    #[test]
    fn an_import_of_everything_leaves_the_crate_core_alone() {
        #[allow(unused_imports)] // the test is that nothing in it is named `core`
        use super::*;

        assert_eq!(core::hint::black_box(1), 1);
    }
}
