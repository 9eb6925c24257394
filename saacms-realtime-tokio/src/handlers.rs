//! Handlers for applications that want one route at a path of their own.
//!
//! ```
//! use axum::{Router, routing::any};
//! use saacms_realtime_tokio::{Realtime, handlers};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let realtime = Realtime::new(Default::default(), Default::default())?;
//! let app: Router = Router::new()
//!     .route("/live/{collection}/{id}", any(handlers::subscribe))
//!     .route("/internal/changes", any(handlers::publish))
//!     .with_state(realtime);
//! # Ok(()) }
//! ```
//!
//! Register them with `any`: they answer `HEAD`, `OPTIONS` and wrong methods themselves.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, Path, Request, State};
use axum::response::{IntoResponse, Response};
use saacms_realtime_core::ResourceKey;
use saacms_realtime_core::route::Problem;

use crate::realtime::Realtime;

/// Subscribes to the record named by the two path parameters, its collection and its ID.
pub async fn subscribe<S>(
    State(state): State<S>,
    key: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response
where
    Realtime: FromRef<S>,
{
    let key = match key {
        Ok(Path((collection, id))) => ResourceKey::new(&collection, &id).map_err(Into::into),
        Err(rejection) if rejection.status().is_client_error() => {
            Err(Problem::path_not_utf8("collection or ID"))
        }
        // The route does not have these two parameters, which is the application's mistake.
        Err(rejection) => return rejection.into_response(),
    };

    Realtime::from_ref(&state)
        .respond_subscribe(key, request)
        .await
        .into_response()
}

/// Publishes the event in the body, or one event per line of NDJSON.
pub async fn publish<S>(State(state): State<S>, request: Request) -> Response
where
    Realtime: FromRef<S>,
{
    Realtime::from_ref(&state)
        .respond_publish(request)
        .await
        .into_response()
}
