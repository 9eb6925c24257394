//! The routes of the server: the API, the live page, the browser client, the health checks.

use core::convert::Infallible;
use core::hash::{Hash as _, Hasher as _};
use std::hash::DefaultHasher;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use http_body_util::Either;
use hyper::body::Incoming;
use saacms_realtime_core::Notice;
use saacms_realtime_core::route::http::{ResponseBody, close_connection};
use saacms_realtime_core::route::{Problem, Reply};
use saacms_realtime_tokio::{Realtime, StreamBody};
use tower::ServiceExt as _;
use tracing::{Level, debug, enabled};

use super::health::{health, ready};

const PAGE: &str = include_str!("../page.html");

/// The browser client, and the module that it loads for WebSockets.
static CLIENT: LazyLock<Module> =
    LazyLock::new(|| Module::new(include_str!("../../client/client.js")));
static WEBSOCKET: LazyLock<Module> =
    LazyLock::new(|| Module::new(include_str!("../../client/websocket.js")));

/// The API of a hub, and the pages beside it.
pub(super) struct Site {
    realtime: Realtime,
    pages: Router,
}

impl Site {
    pub(super) fn new(realtime: &Realtime) -> Self {
        let page = page(realtime);
        let pages = Router::new()
            .route("/", get(async move || page))
            .route("/client.js", get(async |request| CLIENT.answer(request)))
            .route(
                "/websocket.js",
                get(async |request| WEBSOCKET.answer(request)),
            )
            .route("/healthz", get(health))
            .route("/readyz", get(ready))
            .method_not_allowed_fallback(other_method)
            .with_state(realtime.clone());
        Self {
            realtime: realtime.clone(),
            pages,
        }
    }

    /// Counts a line for the log.
    pub(super) fn notice(&self, notice: Notice) {
        self.realtime.hub().notice(notice);
    }

    /// Answers a request with the page at its path, if there is one, otherwise with the API.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Either<Body, ApiBody>>, Infallible> {
        let logged = enabled!(Level::DEBUG)
            .then(|| (request.method().clone(), request.uri().path().to_owned()));

        // The API bypasses the router, which would cost as much as a publish.
        let version = request.version();
        let refusal = self.realtime.hub().check_running().err();
        let mut response = match request.uri().path() {
            path @ ("/" | "/client.js" | "/websocket.js" | "/healthz" | "/readyz") => {
                let is_health = matches!(path, "/healthz" | "/readyz");
                let problem = self.realtime.api().check_head(&(&request).into()).err();
                let refusal = refusal.filter(|_| !is_health).map(Problem::from);
                match problem.or(refusal) {
                    Some(problem) => self.refuse(problem).map(Either::Right),
                    None => {
                        // Boxed, because otherwise the future of every publish would be as large.
                        let answered = Box::pin(self.pages.clone().oneshot(request));
                        answered.await?.map(Either::Left)
                    }
                }
            }
            _ => self.realtime.respond(request).await.map(Either::Right),
        };
        if refusal.is_some() {
            close_connection(&mut response, version);
        }

        if let Some((method, path)) = logged {
            debug!(%method, path, status = response.status().as_u16(), "answered");
        }
        Ok(response)
    }

    /// Refuses a request for a page, and counts the refusal for the log.
    fn refuse(&self, problem: Problem) -> Response<ApiBody> {
        let reply = Reply::from(problem);
        if let Some(notice) = reply.notice {
            self.realtime.hub().notice(notice);
        }
        reply.into_response()
    }
}

type ApiBody = ResponseBody<StreamBody>;

/// The live page. All answers share its bytes, so that a client that does not read one holds nothing.
fn page(realtime: &Realtime) -> impl IntoResponse + Clone + use<> {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // The rest of the policy is in the page; browsers read this part only from a header.
        (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    // The page names the client with its version, so that a cached one of another version is not used.
    let page = PAGE
        .replace("{{base}}", realtime.api().base_path())
        .replace("{{client}}", &CLIENT.version);
    (headers, Bytes::from(page))
}

/// Refuses a method that the pages do not have, as the API does.
async fn other_method() -> Response<Body> {
    let problem = Problem::method_not_allowed("GET, HEAD");
    let response: Response<ApiBody> = Reply::from(problem).into_response();
    response.map(Body::new)
}

/// A JavaScript module, for the live page and for pages of every origin.
struct Module {
    text: &'static str,
    /// Names the content.
    version: String,
}

impl Module {
    fn new(text: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self {
            text,
            version: format!("{:016x}", hasher.finish()),
        }
    }

    fn answer(&self, request: HeaderMap) -> Response<Body> {
        let etag = format!("\"{}\"", self.version);
        let known = request.get_all(header::IF_NONE_MATCH).iter();
        let is_known = known
            .filter_map(|value| value.to_str().ok())
            .flat_map(|tags| tags.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag == etag);

        let headers = [
            (header::ETAG, etag.as_str()),
            (header::CACHE_CONTROL, "public, max-age=3600"),
            // A module of another origin is loaded only where its server allows that. The file is public.
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        if is_known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
        (headers, content_type, self.text).into_response()
    }
}
