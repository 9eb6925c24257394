//! The routes of the server: the API, the live page, the health checks.

use core::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use http_body_util::Either;
use hyper::body::Incoming;
use saacms_realtime_core::route::http::ResponseBody;
use saacms_realtime_tokio::{Realtime, StreamBody};
use tower::ServiceExt as _;
use tracing::{Level, debug, enabled};

const PAGE: &str = include_str!("../page.html");

/// The API of a hub, and the pages beside it.
pub(super) struct Site {
    realtime: Realtime,
    pages: Router,
}

impl Site {
    pub(super) fn new(realtime: &Realtime) -> Self {
        let pages = Router::new()
            .route("/", get(page))
            .route("/healthz", get(health))
            .route("/readyz", get(ready))
            .with_state(realtime.clone());
        Self {
            realtime: realtime.clone(),
            pages,
        }
    }

    /// Answers a request with the page at its path, if there is one, otherwise with the API.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Either<Body, ApiBody>>, Infallible> {
        let logged = enabled!(Level::DEBUG)
            .then(|| (request.method().clone(), request.uri().path().to_owned()));

        // The API bypasses the router, which would cost as much as a publish.
        let response = match request.uri().path() {
            "/" | "/healthz" | "/readyz" => {
                // Boxed, because otherwise the future of every publish would be as large.
                let answered = Box::pin(self.pages.clone().oneshot(request));
                answered.await?.map(Either::Left)
            }
            _ => self.realtime.respond(request).await.map(Either::Right),
        };
        if let Some((method, path)) = logged {
            debug!(%method, path, status = response.status().as_u16(), "answered");
        }
        Ok(response)
    }
}

type ApiBody = ResponseBody<StreamBody>;

async fn page(State(realtime): State<Realtime>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // The rest of the policy is in the page; browsers read this part only from a header.
        (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (
        headers,
        PAGE.replace("{{base}}", realtime.api().base_path()),
    )
}

/// Answers that the process is alive.
async fn health(State(realtime): State<Realtime>) -> Response<Body> {
    report(StatusCode::OK, &realtime)
}

/// Answers whether new streams are accepted.
async fn ready(State(realtime): State<Realtime>) -> Response<Body> {
    let draining = realtime.hub().is_draining();
    report(
        if draining {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        },
        &realtime,
    )
}

fn report(status: StatusCode, realtime: &Realtime) -> Response<Body> {
    let stats = realtime.hub().stats();
    let body = serde_json::json!({
        "status": if realtime.hub().is_draining() { "draining" } else { "ok" },
        "version": env!("CARGO_PKG_VERSION"),
        "topics": stats.topics,
        "subscribers": stats.subscribers,
        "history_bytes": stats.history_bytes,
        "published": stats.published,
        "resyncs": stats.resyncs,
    });

    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
