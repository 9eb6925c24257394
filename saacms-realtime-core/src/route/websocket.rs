use super::{Cors, Problem, Request};

/// Whether a request asks for a WebSocket (RFC 6455, 4.1). The platform checks the rest of the
/// handshake.
pub(super) fn is_upgrade(request: &Request<'_>) -> bool {
    let upgrade = request.header("upgrade");
    let is_named = upgrade.is_some_and(|protocols| {
        protocols
            .split(|byte| *byte == b',')
            .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    });
    is_named && request.method == "GET"
}

impl Cors {
    /// Refuses a WebSocket to a web page, unless its origin is allowed or is the hub's own.
    ///
    /// A browser opens a WebSocket from any page, sends the visitor's cookies along, and lets the page
    /// read without asking for headers as with CORS. So the answer itself must be refused. Programs
    /// send no `Origin`. A page whose own name was made to resolve to the hub (DNS rebinding) is of
    /// the hub's own origin: against that there are [allowed
    /// hosts](super::Api::with_allowed_hosts).
    pub(super) fn check_websocket(&self, request: &Request<'_>) -> Result<(), Problem> {
        let Some(origin) = request.header("origin") else {
            return Ok(());
        };

        // Both without the port that the scheme implies, as browsers write them. The scheme itself is
        // not compared: behind a proxy, the hub does not know its own.
        let host = request.host();
        let origin_host = [&b"https://"[..], b"http://"]
            .iter()
            .find_map(|scheme| origin.strip_prefix(*scheme));
        let is_own = origin_host
            .zip(host.as_deref())
            .is_some_and(|(origin_host, host)| origin_host.eq_ignore_ascii_case(host));

        if is_own || self.allows(&origin) {
            Ok(())
        } else {
            Err(Problem::foreign_page())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Api, StreamRefusal};
    use super::*;

    const SUBSCRIBE: &str = "/api/saacms/v1/posts/1/subscribe";
    const UPGRADE: (&str, &str) = ("upgrade", "websocket");

    fn decide(api: &Api, method: &str, headers: &[(&str, &str)]) -> Action {
        let request = Request {
            method,
            path: SUBSCRIBE,
            query: Some("lastEventId=v1"),
            authority: Some("hub.example"),
            is_http_1_1: false,
            peer: None,
            headers: &headers,
        };
        api.decide(&request).action
    }

    /// The status, and whether the client is sent a WebSocket.
    fn answer(api: &Api, method: &str, headers: &[(&str, &str)]) -> (u16, bool) {
        match decide(api, method, headers) {
            Action::Subscribe {
                head, is_websocket, ..
            } => (head.status, is_websocket),
            Action::Head { head, .. } => (head.status, false),
            Action::Reply(reply) => (reply.status, false),
            Action::Publish { .. } => panic!("not a publish"),
        }
    }

    #[test]
    fn a_websocket_is_for_a_get_that_asks_for_it_where_the_adapter_has_them() {
        let (with, without) = (Api::default().with_websockets(), Api::default());
        assert_eq!(answer(&with, "GET", &[UPGRADE]), (101, true));
        for text in ["WebSocket", "h2c, websocket", "h2c ,WEBSOCKET "] {
            assert_eq!(answer(&with, "GET", &[("upgrade", text)]), (101, true));
        }
        for text in ["", "h2c", "websockets", "websocket/13"] {
            assert_eq!(answer(&with, "GET", &[("upgrade", text)]), (200, false));
        }
        assert_eq!(answer(&with, "GET", &[]), (200, false));
        assert_eq!(answer(&with, "HEAD", &[UPGRADE]), (200, false));
        assert_eq!(answer(&without, "GET", &[UPGRADE]), (200, false));
    }

    #[test]
    fn a_websocket_begins_where_an_event_stream_would() {
        let api = Api::default().with_websockets();
        let Action::Subscribe {
            key,
            last_event_id,
            head,
            ..
        } = decide(&api, "GET", &[UPGRADE])
        else {
            panic!()
        };
        assert_eq!((key.slug(), key.id()), ("posts", "1"));
        assert_eq!(last_event_id, Some(b"v1".to_vec()));
        assert_eq!(head.headers, [], "the platform writes the handshake");
        let not_acceptable = [UPGRADE, ("accept", "text/html")];
        assert_eq!(answer(&api, "GET", &not_acceptable), (406, false));
    }

    #[test]
    fn a_websocket_is_refused_by_a_status_whatever_its_client_accepts() {
        let api = Api::default().with_websockets();
        let headers = [UPGRADE, ("accept", "text/event-stream")];
        let Action::Subscribe { refuse, .. } = decide(&api, "GET", &headers) else {
            panic!()
        };
        assert_eq!(refuse, StreamRefusal::BY_STATUS);
        assert_eq!(refuse.reply(Problem::record_unreachable(), 0).status, 502);
    }

    #[test]
    fn a_page_of_another_origin_gets_no_websocket_unless_it_is_listed() {
        let cors = Cors::new(["https://a.example"]).expect("an origin");
        let api = Api::default().with_websockets().with_cors(cors);
        let status = |origin| answer(&api, "GET", &[UPGRADE, ("origin", origin)]).0;
        for origin in [
            "https://a.example",
            "https://hub.example",
            "http://Hub.Example",
        ] {
            assert_eq!(status(origin), 101, "{origin}");
        }
        for origin in [
            "https://evil.example",
            "https://hub.example:8443",
            "https://hub.example.evil",
            "https://evil.hub.example",
            "app://hub.example",
            "hub.example",
            "null",
            "",
        ] {
            assert_eq!(status(origin), 403, "{origin}");
        }
        // Browsers check the origin of an event stream themselves.
        let stream = answer(&api, "GET", &[("origin", "https://evil.example")]);
        assert_eq!(stream, (200, false));
    }

    #[test]
    fn every_page_gets_a_websocket_if_every_origin_is_allowed() {
        let cors = Cors::new(["*"]).expect("any");
        let api = Api::default().with_websockets().with_cors(cors);
        for origin in ["https://evil.example", "null"] {
            let headers = [UPGRADE, ("origin", origin)];
            assert_eq!(answer(&api, "GET", &headers), (101, true));
        }
    }

    #[test]
    fn the_host_is_that_of_the_header_if_there_is_one() {
        let api = Api::default().with_websockets();
        let own = [
            UPGRADE,
            ("origin", "https://www.example:8443"),
            ("host", "www.example:8443"),
        ];
        assert_eq!(answer(&api, "GET", &own), (101, true));
        let other = [
            UPGRADE,
            ("origin", "https://hub.example"),
            ("host", "www.example"),
        ];
        assert_eq!(answer(&api, "GET", &other), (403, false));
    }
}
