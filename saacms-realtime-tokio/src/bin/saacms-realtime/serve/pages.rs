//! What the server answers: the API, the live page, the health checks.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use saacms_realtime_tokio::Realtime;

const PAGE: &str = include_str!("../../../page.html");

pub(super) fn routes(realtime: &Realtime) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .fallback(async |State(realtime): State<Realtime>, request: Request| {
            realtime.respond(request).await
        })
        .with_state(realtime.clone())
        .layer(middleware::from_fn(log))
}

async fn page(State(realtime): State<Realtime>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // The page has the rest of its policy in itself; this part counts only in a header.
        (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE.replace("{{base}}", realtime.api().base_path()))
}

/// Alive: the process answers.
async fn health(State(realtime): State<Realtime>) -> Response {
    report(StatusCode::OK, &realtime)
}

/// Ready: new streams are taken.
async fn ready(State(realtime): State<Realtime>) -> Response {
    let draining = realtime.hub().is_draining();
    report(if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, &realtime)
}

fn report(status: StatusCode, realtime: &Realtime) -> Response {
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
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
    response
}
