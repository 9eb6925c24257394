//! The HTTP contract without HTTP: a request in, a decision out.
//!
//! Every adapter answers through this module, so that all of them send the same bytes. An adapter
//! puts the request line and headers into a [`Request`], calls [`Api::decide`], carries out the
//! [`Action`], and adds the [`AnswerHeaders`] to its answer. An object that serves one record calls
//! [`Api::decide_object`] instead.

mod accept;
mod api;
mod batch;
mod cors;
mod decision;
mod hosts;
#[cfg(feature = "http")]
pub mod http;
pub mod limits;
mod ndjson;
mod object;
mod path;
mod problem;
mod proxies;
mod publish;
mod reply;
mod request;
mod token;
mod websocket;

pub use api::Api;
pub use batch::{Batch, Part};
pub use cors::{Cors, InvalidOrigin};
pub use decision::{Action, AnswerHeaders, Decision, StreamRefusal};
pub use hosts::InvalidHost;
pub use object::ObjectAction;
pub use path::InvalidBasePath;
pub use problem::Problem;
pub use proxies::{InvalidNetwork, TrustedProxies};
pub use publish::{PublishFormat, PublishTurns};
pub use reply::{Header, Reply};
pub use request::{Headers, Request};
pub use token::{InvalidToken, Token};

/// The base path of the API unless configured.
pub const DEFAULT_BASE_PATH: &str = "/api/saacms/v1";

/// Largest body of a publish unless configured: 1 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;

/// The media type of a stream.
pub const EVENT_STREAM: &str = "text/event-stream";

/// The header in which a stream tells its heartbeat, in milliseconds.
pub const HEARTBEAT_HEADER: &str = "saacms-heartbeat";

/// The header in which the answer to a `HEAD` of a stream tells the position of its record: a last
/// event ID to subscribe from.
pub const LAST_EVENT_ID_HEADER: &str = "saacms-last-event-id";

#[cfg(test)]
mod tests;
