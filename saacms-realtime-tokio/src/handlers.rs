//! Handlers for applications that want one route at a path of their own.
//!
//! ```
//! use axum::{Router, routing::any};
//! use saacms_realtime_tokio::{Api, Realtime, Token, handlers};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let api = Api::default().with_publish_token(Token::new("a-secret-of-your-own")?);
//! let realtime = Realtime::new(Default::default(), api)?;
//! let app: Router = Router::new()
//!     .route("/live/{collection}/{id}", any(handlers::subscribe))
//!     .route("/internal/changes", any(handlers::publish))
//!     .with_state(realtime);
//! # Ok(()) }
//! ```
//!
//! Register them with `any`: they answer `HEAD`, `OPTIONS` and wrong methods themselves. They take
//! `State<Realtime>`, so a state of your own needs an `impl FromRef<YourState> for Realtime`.
//!
//! To decide who may subscribe to what, write a handler that checks and then calls
//! [`subscribe`]; the example `only_some_users` does.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use saacms_realtime_core::ResourceKey;
use saacms_realtime_core::route::Problem;

use crate::realtime::Realtime;

/// Subscribes to the record named by the two path parameters, its collection and its ID.
pub async fn subscribe(
    State(realtime): State<Realtime>,
    key: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let key = match key {
        Ok(Path((collection, id))) => ResourceKey::new(&collection, &id).map_err(Into::into),
        Err(rejection) if rejection.status().is_client_error() => {
            Err(Problem::path_not_utf8("collection or ID"))
        }
        // The route does not have these two parameters, which is the application's mistake.
        Err(rejection) => return rejection.into_response(),
    };

    realtime.watch(realtime.respond_subscribe(key, request).await)
}

/// Publishes the event in the body, or one event per line of NDJSON.
///
/// It answers 403 unless the hub's API has a publish token, or is opened by
/// [`Api::with_open_publish`](crate::Api::with_open_publish).
pub async fn publish(State(realtime): State<Realtime>, request: Request) -> Response {
    realtime.watch(realtime.respond_publish(request).await)
}
