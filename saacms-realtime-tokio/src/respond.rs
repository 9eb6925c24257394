use axum::body::Body as AxumBody;
use axum::extract::{OriginalUri, State};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use saacms_realtime_core::name::ResourceKey;
use saacms_realtime_core::route::http::{ResponseBody, with_parts};
use saacms_realtime_core::route::limits::BODY_TIMEOUT;
use saacms_realtime_core::route::{Decision, Problem};
use tokio::time::sleep;

use crate::body::StreamBody;
use crate::realtime::Realtime;

/// The HTTP API as an axum router, for [`nest`](axum::Router::nest): its paths are
/// `/{collection}/{id}/subscribe` and `/publish`.
///
/// The base path of the hub's API does not count here, that of `nest` does.
pub fn router<S: Clone + Send + Sync + 'static>(realtime: &Realtime) -> axum::Router<S> {
    let handle = async |State(realtime): State<Realtime>,
                        OriginalUri(original): OriginalUri,
                        mut request: Request<AxumBody>| {
        // What `nest` cuts off is not always what it was told to: of `/api//1` it leaves `/1`. The
        // contract reads the whole path, and is told where the API begins in it.
        let rest = request.uri().path();
        let base_path = match original.path().strip_suffix(rest) {
            Some(base_path) => base_path.trim_end_matches('/').to_owned(),
            None => String::new(),
        };
        if original.path().ends_with(rest) {
            *request.uri_mut() = original;
        }
        realtime.respond_under(&base_path, request).await
    };
    axum::Router::new()
        .fallback(handle)
        .with_state(realtime.clone())
}

impl Realtime {
    /// Answers a request to the API at its base path.
    pub async fn respond<B: Body>(
        &self,
        request: Request<B>,
    ) -> Response<ResponseBody<StreamBody>> {
        self.respond_under(self.api().base_path(), request).await
    }

    async fn respond_under<B: Body>(
        &self,
        base_path: &str,
        request: Request<B>,
    ) -> Response<ResponseBody<StreamBody>> {
        let (parts, body) = request.into_parts();
        let decision = with_parts(&parts, |request| {
            self.api().decide_under(base_path, request)
        });
        self.act(decision, parts, body).await
    }

    /// Answers a request to subscribe to `key`, whatever its path.
    pub(crate) async fn respond_subscribe(
        &self,
        key: Result<ResourceKey, Problem>,
        request: Request<AxumBody>,
    ) -> Response<ResponseBody<StreamBody>> {
        let (parts, body) = request.into_parts();
        let decision = with_parts(&parts, |request| self.api().decide_subscribe(request, key));
        self.act(decision, parts, body).await
    }

    /// Answers a request to publish, whatever its path.
    pub(crate) async fn respond_publish(
        &self,
        request: Request<AxumBody>,
    ) -> Response<ResponseBody<StreamBody>> {
        let (parts, body) = request.into_parts();
        let decision = with_parts(&parts, |request| self.api().decide_publish(request));
        self.act(decision, parts, body).await
    }

    async fn act<B: Body>(
        &self,
        decision: Decision,
        parts: Parts,
        body: B,
    ) -> Response<ResponseBody<StreamBody>> {
        decision
            .respond(
                body,
                async { sleep(BODY_TIMEOUT).await },
                |key, last_event_id| {
                    let subscription = self.subscription(key, last_event_id)?;
                    Ok(StreamBody::new(
                        subscription,
                        self.clock(),
                        &parts.extensions,
                    ))
                },
                |event| self.publish(event),
            )
            .await
    }
}
