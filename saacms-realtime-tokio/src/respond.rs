use axum::body::Body as AxumBody;
use axum::extract::{OriginalUri, State};
use axum::routing::any;
use http::{Extensions, Request, Response, Version};
use http_body::Body;
use saacms_realtime_core::ResourceKey;
use saacms_realtime_core::route::http::{ResponseBody, close_connection, decide, read_body};
use saacms_realtime_core::route::limits::BODY_TIMEOUT;
use saacms_realtime_core::route::{Action, Decision, Problem, PublishFormat, Reply};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::body::StreamBody;
use crate::realtime::Realtime;

/// The HTTP API as an axum router, for [`nest`](axum::Router::nest): its paths are
/// `/{collection}/{id}/subscribe` and `/publish`.
///
/// The path given to `nest` replaces the base path of the hub's API. Publishing answers 403 unless
/// that API has a publish token, or is opened by
/// [`Api::with_open_publish`](crate::Api::with_open_publish); applications publish by
/// [`Realtime::publish`]. A [`route_layer`](axum::Router::route_layer) sees every request that can
/// subscribe or publish.
///
/// Streams are counted by address (`max_streams_per_address`) if the server adds a
/// [`PeerAddress`](crate::PeerAddress) to the extensions of each request.
pub fn router<S: Clone + Send + Sync + 'static>(realtime: &Realtime) -> axum::Router<S> {
    let handle = async |State(realtime): State<Realtime>,
                        OriginalUri(original): OriginalUri,
                        mut request: Request<AxumBody>| {
        // `nest` can strip more than its own path: it turns `/api//1` into `/1`. So the contract reads
        // the original path, and is told where in it the API begins.
        let rest = request.uri().path();
        let base_path = match original.path().strip_suffix(rest) {
            Some(base_path) => base_path.trim_end_matches('/').to_owned(),
            // Rewritten by other middleware, so what is left is the whole path.
            None => String::new(),
        };
        if original.path().ends_with(rest) {
            *request.uri_mut() = original;
        }
        realtime.watch(realtime.respond_under(&base_path, request).await)
    };

    // One route for everything, because a layer on routes does not see a fallback. Nothing but `/`
    // is left to the fallback, where the API serves nothing.
    axum::Router::new()
        .route("/{*path}", any(handle))
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
        let version = request.version();
        let (decision, extensions, body) = decide(request, |request| {
            self.api().decide_under(base_path, request)
        });
        self.carry_out(version, decision, extensions, body).await
    }

    /// Answers a request to subscribe to `key`. The path of the request does not count.
    pub(crate) async fn respond_subscribe(
        &self,
        key: Result<ResourceKey, Problem>,
        request: Request<AxumBody>,
    ) -> Response<ResponseBody<StreamBody>> {
        let version = request.version();
        let (decision, extensions, body) =
            decide(request, |request| self.api().decide_subscribe(request, key));
        self.carry_out(version, decision, extensions, body).await
    }

    /// Answers a request to publish. The path of the request does not count.
    pub(crate) async fn respond_publish(
        &self,
        request: Request<AxumBody>,
    ) -> Response<ResponseBody<StreamBody>> {
        let version = request.version();
        let (decision, extensions, body) =
            decide(request, |request| self.api().decide_publish(request));
        self.carry_out(version, decision, extensions, body).await
    }

    async fn carry_out<B: Body>(
        &self,
        version: Version,
        decision: Decision,
        extensions: Extensions,
        body: B,
    ) -> Response<ResponseBody<StreamBody>> {
        let Decision { action, answer, .. } = decision;

        let reply = match action {
            // Subscribes before it answers, because a refusal has a status of its own.
            Action::Subscribe {
                key,
                last_event_id,
                client,
                head,
                refuse,
                ..
            } => match self.subscription(client, &key, last_event_id.as_deref()) {
                Ok(subscription) => {
                    let stream = StreamBody::new(subscription, self.clock(), &extensions);
                    return answer.add_to(head).into_stream(stream);
                }
                Err(refusal) => refuse.reply(refusal.into(), self.hub().jitter()),
            },
            Action::Head { key, head, .. } => head.with_position(self.position(&key)),
            Action::Publish {
                format,
                max_body_bytes,
                ..
            } => {
                // Created on its first poll, so only a body that does not arrive at once costs a timer.
                let timeout = async { sleep(BODY_TIMEOUT).await };
                match read_body(body, max_body_bytes, self.bodies(), timeout).await {
                    Ok(body) => self.publish_in_turns(format, &body).await,
                    Err(problem) => problem.into(),
                }
            }
            Action::Reply(reply) => reply,
        };

        if let Some(notice) = reply.notice {
            self.hub().notice(notice);
        }
        let closes = reply.closes_connection;
        let mut response = answer
            .add_to(reply)
            .into_shared_response(|document| self.hub().share(document));
        // Otherwise a client would go on with a connection that is about to close.
        if closes || self.hub().is_draining() {
            close_connection(&mut response, version);
        }
        response
    }

    /// Publishes the events of a body. Lets other tasks run between the lines of a long one.
    async fn publish_in_turns(&self, format: PublishFormat, body: &[u8]) -> Reply {
        let _share = match self.bodies().publish(body.len()) {
            Ok(share) => share,
            Err(problem) => return problem.into(),
        };
        let mut turns = format.turns(body);
        loop {
            if let Some(reply) = turns.turn(|event| self.submit(event)).await {
                return reply;
            }
            yield_now().await;
        }
    }
}
