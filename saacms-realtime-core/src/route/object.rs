use alloc::vec::Vec;

use super::accept::accepts_event_stream;
use super::api::last_event_id;
use super::{Api, Problem, PublishFormat, Reply, Request, StreamRefusal};

/// What an object that serves one record does with a request.
#[derive(Clone, Debug)]
#[must_use]
pub enum ObjectAction {
    /// Subscribe and send `head`, then the stream. If there is no room, send the reply of `refuse`.
    #[non_exhaustive]
    Subscribe {
        /// The last event ID that the client sent.
        last_event_id: Option<Vec<u8>>,
        /// Status and headers of the stream.
        head: Reply,
        /// Whether the client gets a WebSocket instead of an event stream; never unless the adapter
        /// has [them](Api::with_websockets).
        is_websocket: bool,
        /// How the client is told that it gets no stream.
        refuse: StreamRefusal,
    },
    /// Send `head` with the position of the record, see [`Reply::with_position`]. No stream follows.
    #[non_exhaustive]
    Head {
        /// Status and headers that the stream would have.
        head: Reply,
    },
    /// Read the body and send the answer of [`PublishFormat::run`].
    #[non_exhaustive]
    Publish {
        /// The format of the body.
        format: PublishFormat,
        /// The largest body that is accepted, in bytes.
        max_body_bytes: usize,
    },
    /// Send this reply.
    Reply(Reply),
}

impl Api {
    /// Decides what an object that serves one record does with a request.
    ///
    /// The router has already chosen the record with the object, so only the last segment of the path
    /// counts. An object serves three requests: `GET .../subscribe`, the same with `HEAD`, and
    /// `POST .../publish`. Everything else gets 404, even a `GET .../subscribe` whose `Accept` header
    /// excludes the stream (contract, section 6). The router adds the headers for CORS.
    ///
    /// A WebSocket is refused to a page of another origin here, too, because a host need not check it.
    /// The host's own origin is that of the request's URL.
    pub fn decide_object(&self, request: &Request<'_>) -> ObjectAction {
        let last_segment = request.path.rsplit('/').next().unwrap_or_default();

        match (request.method, last_segment) {
            ("GET" | "HEAD", "subscribe")
                if !accepts_event_stream(request.header("accept").as_deref()) =>
            {
                ObjectAction::Reply(Problem::nothing_here().into())
            }
            ("GET", "subscribe") => match self.stream_head(request) {
                Ok(stream) => ObjectAction::Subscribe {
                    last_event_id: last_event_id(request),
                    head: stream.head,
                    is_websocket: stream.is_websocket,
                    refuse: stream.refuse,
                },
                Err(problem) => ObjectAction::Reply(problem.into()),
            },
            ("HEAD", "subscribe") => ObjectAction::Head {
                head: Reply::stream(request.is_http_1_1, self.heartbeat),
            },
            ("POST", "publish") => match self.check_publish(request) {
                Ok(format) => ObjectAction::Publish {
                    format,
                    max_body_bytes: self.max_body_bytes(),
                },
                Err(problem) => ObjectAction::Reply(problem.into()),
            },
            _ => ObjectAction::Reply(Problem::nothing_here().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Headers;
    use super::*;
    use std::vec;

    fn request<'a>(method: &'a str, target: &'a str, headers: &'a dyn Headers) -> Request<'a> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Request {
            method,
            path,
            query,
            authority: Some("object"),
            is_http_1_1: false,
            peer: None,
            headers,
        }
    }

    fn decide(method: &str, target: &str, headers: &[(&str, &str)]) -> ObjectAction {
        let api = Api::default().with_open_publish();
        api.decide_object(&request(method, target, &headers))
    }

    fn status(method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
        match decide(method, target, headers) {
            ObjectAction::Reply(reply) => reply.status,
            ObjectAction::Subscribe { head, .. } | ObjectAction::Head { head } => head.status,
            ObjectAction::Publish { .. } => 0,
        }
    }

    #[test]
    fn an_object_serves_three_requests_and_everything_else_is_not_found() {
        for (method, target, expected) in [
            ("GET", "/subscribe", 200),
            ("GET", "/any/path/subscribe", 200),
            ("POST", "/publish", 0),
            ("POST", "/any/path/publish", 0),
            ("GET", "/", 404),
            ("GET", "/publish", 404),
            ("GET", "/subscribe/", 404),
            ("POST", "/subscribe", 404),
            ("HEAD", "/subscribe", 200),
            ("HEAD", "/publish", 404),
            ("OPTIONS", "/subscribe", 404),
            ("OPTIONS", "/publish", 404),
            ("PUT", "/publish", 404),
        ] {
            assert_eq!(status(method, target, &[]), expected, "{method} {target}");
        }
    }

    #[test]
    fn a_client_that_accepts_no_stream_gets_404() {
        for method in ["GET", "HEAD"] {
            let accept = |value| status(method, "/subscribe", &[("accept", value)]);
            assert_eq!(accept("text/event-stream"), 200);
            assert_eq!(accept("application/json"), 404);
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_before_it_is_read() {
        let length = |value| status("POST", "/publish", &[("content-length", value)]);
        assert_eq!((length("1048576"), length("1048577")), (0, 413));
    }

    #[test]
    fn an_object_has_a_websocket_for_whoever_may_have_one() {
        let status = |api: &Api, origin: Option<&str>| {
            let mut headers = vec![("upgrade", "websocket")];
            headers.extend(origin.map(|origin| ("origin", origin)));
            match api.decide_object(&request("GET", "/subscribe", &headers.as_slice())) {
                ObjectAction::Subscribe {
                    head, is_websocket, ..
                } => (head.status, is_websocket),
                ObjectAction::Reply(reply) => (reply.status, false),
                other @ (ObjectAction::Head { .. } | ObjectAction::Publish { .. }) => {
                    panic!("no subscription: {other:?}")
                }
            }
        };
        let api = Api::default();
        assert_eq!(status(&api, None), (200, false));
        let api = api.with_websockets();
        assert_eq!(status(&api, None), (101, true));
        assert_eq!(status(&api, Some("https://object")), (101, true));
        assert_eq!(status(&api, Some("https://evil.example")), (403, false));
    }

    #[test]
    fn the_last_event_id_is_in_the_header_or_the_query() {
        let named = |target, headers: &[(&str, &str)]| match decide("GET", target, headers) {
            ObjectAction::Subscribe { last_event_id, .. } => last_event_id,
            other @ (ObjectAction::Head { .. }
            | ObjectAction::Publish { .. }
            | ObjectAction::Reply(_)) => panic!("no subscription: {other:?}"),
        };
        assert_eq!(named("/subscribe", &[]), None);
        assert_eq!(
            named("/subscribe?lastEventId=%71", &[]),
            Some(b"q".to_vec())
        );
        assert_eq!(
            named("/subscribe?lastEventId=q", &[("last-event-id", "h")]),
            Some(b"h".to_vec())
        );
    }
}
