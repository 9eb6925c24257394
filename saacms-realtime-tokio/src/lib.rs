//! Record-change streaming for tokio and axum.
//!
//! [`Realtime`] is the hub with its clock; keep it, or a clone of it, in your application's state.
//! [`router`] is the HTTP API, to be nested wherever you like:
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
//! To publish from code, call [`Realtime::publish`], in the order in which the records are written:
//! readers see the events of a record in the order in which they are published, so publish under
//! the lock, or in the same single task, that orders the writes. Two writers that each write and
//! then publish may publish in the other order, and readers would end on the older record. The
//! example `embed_in_axum` shows it.
//!
//! Over HTTP nobody may publish until the [`Api`] has a token or is opened. Each frame is encoded once and shared by all
//! readers, and everything that waits for a reader leaves in one piece. The rules of the wire are
//! those of [`saacms_realtime_core`]; [`realtime_core`] is the whole of it.
//!
//! # Crate features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `disk` | [`engine::disk`], history in a folder, which outlives the process |
//! | `server` | [`server::Connections`], which the program `saacms-realtime` serves with |

#![forbid(unsafe_code)]

mod body;
mod clock;
mod embedded;
#[cfg(feature = "disk")]
pub mod engine;
pub mod handlers;
mod realtime;
mod respond;
#[cfg(feature = "server")]
pub mod server;
mod stream;

pub use body::StreamBody;
pub use realtime::Realtime;
pub use respond::router;
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

#[cfg(test)]
mod tests {
    #[test]
    fn an_import_of_everything_leaves_the_crate_core_alone() {
        #[allow(unused_imports)] // that nothing of it is named `core` is all that is tested
        use super::*;

        assert_eq!(core::hint::black_box(1), 1);
    }
}
