//! The health checks.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse as _;
use saacms_realtime_core::EngineStats;
use saacms_realtime_tokio::Realtime;
use serde_json::json;

use super::engine;

/// Answers that the process is alive. The state of its engine does not count, because a restart
/// mends nothing there.
pub(super) async fn health(State(realtime): State<Realtime>) -> Response<Body> {
    answer(StatusCode::OK, &realtime)
}

/// Answers whether new streams and publishes are accepted.
///
/// With the query `engine=any`, the state of the engine does not count: for balancers that would
/// otherwise send everybody away, because all hubs lose an engine together.
pub(super) async fn ready(
    State(realtime): State<Realtime>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    let query = query.unwrap_or_default();
    let counts_engine = query.split('&').all(|parameter| parameter != "engine=any");

    let is_ready = match state(&realtime) {
        "ok" => true,
        "draining" => false,
        _ => !counts_engine,
    };
    let status = match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, &realtime)
}

/// What keeps the hub from doing its work, or `ok`.
fn state(realtime: &Realtime) -> &'static str {
    let engine = realtime.hub().stats().engine;
    match engine.map(|engine| engine_state(realtime, &engine)) {
        _ if realtime.hub().is_draining() => "draining",
        Some("full") => "engine-full",
        Some("away") => "engine-away",
        _ => "ok",
    }
}

fn engine_state(realtime: &Realtime, engine: &EngineStats) -> &'static str {
    if !engine.is_up {
        "away"
    } else if engine::is_full(realtime) {
        "full"
    } else {
        "up"
    }
}

fn answer(status: StatusCode, realtime: &Realtime) -> Response<Body> {
    let stats = realtime.hub().stats();
    let mut body = json!({
        "status": state(realtime),
        "version": env!("CARGO_PKG_VERSION"),
        "topics": stats.topics,
        "subscribers": stats.subscribers,
        "history_bytes": stats.history_bytes,
        "published": stats.published,
        "resyncs": stats.resyncs,
        "unread_bytes": stats.unread_bytes,
        "cut_readers": stats.cut_readers,
    });
    if let Some(engine) = stats.engine {
        let life = engine.life.map(|life| format!("{:016x}", life.as_number()));
        body["engine"] = json!({
            "kind": "disk",
            "state": engine_state(realtime, &engine),
            "life": life,
            "in_flight": engine.in_flight,
            "repaired": engine.repaired,
            "refetched": engine.refetched,
            "lost": engine.lost,
        });
    }

    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
