use super::*;
use alloc::string::String;
use alloc::vec::Vec;

fn status(api: &Api, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    match decide(api, method, path, headers).action {
        Action::Reply(reply) => reply.status,
        Action::Subscribe { head, .. } | Action::Head { head, .. } => head.status,
        Action::Publish { .. } => 0,
    }
}

fn decide(api: &Api, method: &str, target: &str, headers: &[(&str, &str)]) -> Decision {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    api.decide(&Request {
        method,
        path,
        query,
        authority: Some("hub.example"),
        is_http_1_1: false,
        peer: None,
        headers: &headers,
    })
}

/// An API to which everyone may publish.
fn open() -> Api {
    Api::default().with_open_publish()
}

const SUBSCRIBE: &str = "/api/saacms/v1/posts/1/subscribe";
const PUBLISH: &str = "/api/saacms/v1/publish";

#[test]
fn each_method_does_one_thing_or_is_refused_with_the_allowed_ones() {
    let api = open();
    for (method, target, expected) in [
        ("GET", SUBSCRIBE, 200),
        ("HEAD", SUBSCRIBE, 200),
        ("OPTIONS", SUBSCRIBE, 204),
        ("POST", SUBSCRIBE, 405),
        ("PROPFIND", SUBSCRIBE, 405),
        ("POST", PUBLISH, 0),
        ("OPTIONS", PUBLISH, 204),
        ("GET", PUBLISH, 405),
        ("GET", "/api/saacms/v1/", 404),
        ("GET", "/api/saacms/v1/a:b/1/subscribe", 400),
    ] {
        assert_eq!(
            status(&api, method, target, &[]),
            expected,
            "{method} {target}"
        );
    }
    let Action::Reply(reply) = decide(&api, "PUT", PUBLISH, &[]).action else {
        panic!()
    };
    assert!(reply.headers.contains(&("allow", "POST, OPTIONS".into())));
}

#[test]
fn a_head_of_a_stream_has_its_headers_and_its_position() {
    let api = Api::default().with_heartbeat(core::time::Duration::from_secs(1));
    let Action::Subscribe { head: stream, .. } = decide(&api, "GET", SUBSCRIBE, &[]).action else {
        panic!()
    };
    let Action::Head { key, head, .. } = decide(&api, "HEAD", SUBSCRIBE, &[]).action else {
        panic!()
    };
    assert_eq!((key.slug(), key.id()), ("posts", "1"));
    assert_eq!(head, stream);

    let position = crate::Position {
        epoch: crate::Epoch::from_number(0xe),
        sequence: 7,
    };
    let told = (LAST_EVENT_ID_HEADER, "000000000000000e.7".into());
    assert_eq!(head.with_position(position).headers.last(), Some(&told));
}

#[test]
fn the_header_names_the_last_event_id_else_the_query_does() {
    let named = |target: &str, headers: &[(&str, &str)]| match decide(
        &Api::default(),
        "GET",
        target,
        headers,
    )
    .action
    {
        Action::Subscribe { last_event_id, .. } => last_event_id,
        other @ (Action::Head { .. } | Action::Publish { .. } | Action::Reply(_)) => {
            panic!("no subscription: {other:?}")
        }
    };
    let with_query = "/api/saacms/v1/posts/1/subscribe?lastEventId=q";
    assert_eq!(named(SUBSCRIBE, &[]), None);
    assert_eq!(named(with_query, &[]), Some(b"q".to_vec()));
    assert_eq!(
        named(with_query, &[("last-event-id", "h")]),
        Some(b"h".to_vec())
    );
    assert_eq!(
        named(with_query, &[("last-event-id", "")]),
        Some(Vec::new())
    );
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let api = open().with_max_body_bytes(10);
    assert_eq!(
        status(&api, "POST", PUBLISH, &[("content-length", "10")]),
        0
    );
    assert_eq!(
        status(&api, "POST", PUBLISH, &[("content-length", "11")]),
        413
    );
}

#[test]
fn a_head_that_can_be_understood_in_two_ways_is_refused_at_every_path() {
    let refusal = |is_http_1_1, headers: &[(&str, &str)]| {
        let request = Request {
            method: "GET",
            path: "/any",
            query: None,
            authority: None,
            is_http_1_1,
            peer: None,
            headers: &headers,
        };
        request.check_head().err().map(|problem| problem.status())
    };
    let host = ("host", "hub.example");

    assert_eq!(refusal(true, &[host]), None);
    assert_eq!(refusal(true, &[("host", "")]), None);
    assert_eq!(refusal(true, &[]), Some(400));
    assert_eq!(refusal(true, &[host, host]), Some(400));
    // HTTP/1.0 may do without, and HTTP/2 has `:authority` instead.
    assert_eq!(refusal(false, &[]), None);

    for (coding, expected) in [
        ("chunked", None),
        ("Chunked", None),
        ("gzip, chunked", Some(501)),
        ("chunked, chunked", Some(501)),
        ("identity", Some(501)),
        ("", Some(501)),
    ] {
        let headers = [host, ("transfer-encoding", coding)];
        assert_eq!(refusal(true, &headers), expected, "{coding:?}");
    }

    // The API answers with it whatever else is wrong.
    let coding = ("transfer-encoding", "gzip, chunked");
    for (method, path) in [("GET", SUBSCRIBE), ("POST", PUBLISH), ("GET", "/")] {
        assert_eq!(status(&Api::default(), method, path, &[coding]), 501);
    }
}

#[test]
fn a_compressed_body_is_refused_and_told_what_is_allowed() {
    let api = open();
    let coded = |coding| status(&api, "POST", PUBLISH, &[("content-encoding", coding)]);
    assert_eq!((coded("gzip"), coded("gzip, identity")), (415, 415));
    assert_eq!((coded("identity"), coded("Identity")), (0, 0));

    let gzip = [("content-encoding", "gzip")];
    let Action::Reply(reply) = decide(&api, "POST", PUBLISH, &gzip).action else {
        panic!()
    };
    let allowed = ("accept-encoding", "identity".into());
    assert!(reply.headers.contains(&allowed), "{reply:?}");
}

#[test]
fn every_answer_carries_the_cors_headers() {
    let api = Api::default().with_cors(Cors::new(["https://a.example"]).expect("an origin"));
    let origin = ("origin", "https://a.example");
    for (method, target) in [("GET", SUBSCRIBE), ("POST", PUBLISH), ("GET", "/")] {
        let decision = decide(&api, method, target, &[origin]);
        let reply = decision.answer.add_to(Reply::no_content());
        let allowed = ("access-control-allow-origin", "https://a.example".into());
        assert!(reply.headers.contains(&allowed), "{method} {target}");
    }
}

#[test]
fn a_server_that_anyone_here_may_publish_to_may_be_reached_from_its_own_machine_only() {
    let open = Api::default().with_local_publish();
    let token = Token::new("0123456789abcdef").expect("valid");
    let guarded = [Api::default(), open.clone().with_publish_token(token)];
    for (address, is_here) in [
        ("127.0.0.1", true),
        ("127.8.0.1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("0.0.0.0", false),
        ("::", false),
        ("192.168.0.1", false),
        ("::ffff:192.168.0.1", false),
    ] {
        let address = address.parse().expect("an address");
        assert_eq!(open.may_be_served_at(address), is_here, "{address}");
        assert!(
            guarded.iter().all(|api| api.may_be_served_at(address)),
            "{address}"
        );
    }
}

#[test]
fn an_api_uses_the_settings_it_was_made_with() {
    let api = open();
    assert_eq!(
        (api.base_path(), api.max_body_bytes()),
        ("/api/saacms/v1", 1_048_576)
    );
    let api = api
        .at("/live/")
        .expect("a base path")
        .with_max_body_bytes(10);
    assert_eq!((api.base_path(), api.max_body_bytes()), ("/live", 10));
    let action = decide(&api, "POST", "/live/publish", &[]).action;
    assert!(matches!(
        action,
        Action::Publish {
            format: PublishFormat::Json,
            max_body_bytes: 10
        }
    ));
    assert_eq!(status(&api, "GET", "/live/posts/1/subscribe", &[]), 200);
    assert_eq!(status(&api, "GET", SUBSCRIBE, &[]), 404);
}

#[test]
fn a_publisher_must_show_the_token() {
    let token = Token::new("0123456789abcdef").expect("valid");
    let api = Api::default().with_publish_token(token);
    let bearer = |shown| status(&api, "POST", PUBLISH, &[("authorization", shown)]);
    assert_eq!(status(&api, "POST", PUBLISH, &[]), 401);
    assert_eq!(
        (bearer("Bearer 0123456789abcdef"), bearer("Bearer wrong")),
        (0, 403)
    );
    let Action::Reply(reply) = decide(&api, "POST", PUBLISH, &[]).action else {
        panic!()
    };
    assert!(
        reply
            .headers
            .contains(&("www-authenticate", "Bearer".into()))
    );
}

#[test]
fn publishing_is_off_until_it_is_opened() {
    let via = [("via", "1.1 proxy")];
    fn kinds(api: &Api, headers: &[(&str, &str)]) -> String {
        let Action::Reply(reply) = decide(api, "POST", PUBLISH, headers).action else {
            return "accepted".into();
        };
        String::from_utf8(reply.body).expect("UTF-8")
    }

    assert!(kinds(&Api::default(), &[]).contains("publishing-is-off"));
    assert_eq!(status(&Api::default(), "GET", SUBSCRIBE, &[]), 200);
    assert_eq!(
        (&*kinds(&open(), &[]), &*kinds(&open(), &via)),
        ("accepted", "accepted")
    );

    let local = Api::default().with_local_publish();
    assert_eq!(kinds(&local, &[]), "accepted");
    for name in ["Via", "Forwarded", "X-Forwarded-For"] {
        let said = kinds(&local, &[(name, "")]);
        assert!(
            said.contains("token-missing") && said.contains("through a proxy"),
            "{said}"
        );
        assert_eq!(
            status(&local, "GET", SUBSCRIBE, &[(name, "")]),
            200,
            "reading is not publishing"
        );
    }

    // A token counts, whatever else the API was told.
    let token = Token::new("0123456789abcdef").expect("valid");
    for api in [Api::default(), open(), local] {
        let api = api.with_publish_token(token.clone());
        assert!(api.has_publish_token());
        assert!(kinds(&api, &via).contains("Authorization: Bearer"));
        let shown = [via[0], ("authorization", "Bearer 0123456789abcdef")];
        assert_eq!(kinds(&api, &shown), "accepted");
    }
}

#[test]
fn every_request_names_an_allowed_host_or_is_refused() {
    let here = open().with_allowed_hosts([]).expect("no name");
    let listed = open().with_allowed_hosts(["hub.example"]).expect("a name");
    let status = |api: &Api, host: &[(&str, &str)], authority| {
        let statuses = [
            ("GET", SUBSCRIBE),
            ("POST", PUBLISH),
            ("OPTIONS", PUBLISH),
            ("GET", "/"),
        ];
        let statuses = statuses.map(|(method, target)| {
            let request = Request {
                method,
                path: target,
                query: None,
                authority,
                is_http_1_1: false,
                peer: None,
                headers: &host,
            };
            match api.decide(&request).action {
                Action::Reply(reply) => reply.status,
                Action::Subscribe { .. } | Action::Head { .. } | Action::Publish { .. } => 200,
            }
        });
        match statuses {
            [200, 200, 204, 404] => 200,
            [403, 403, 403, 403] => 403,
            other => panic!("{host:?}: {other:?}"),
        }
    };

    for (host, of_here, of_listed) in [
        (&[("host", "localhost:8787")][..], 200, 200),
        (&[("host", "[::1]:8787")], 200, 200),
        (&[], 200, 200),
        (&[("host", "hub.example:8787")], 403, 200),
        (&[("host", "evil.example")], 403, 403),
        (&[("host", "")], 403, 403),
        (&[("host", "localhost"), ("host", "evil.example")], 403, 403),
    ] {
        assert_eq!(
            status(&open(), host, None),
            200,
            "every host, unless configured"
        );
        assert_eq!(
            (status(&here, host, None), status(&listed, host, None)),
            (of_here, of_listed)
        );
    }
    // Over HTTP/2 the authority names it; if both do, both must be right.
    assert_eq!(status(&here, &[], Some("localhost:8787")), 200);
    assert_eq!(status(&here, &[], Some("evil.example")), 403);
    assert_eq!(
        status(&here, &[("host", "localhost")], Some("evil.example")),
        403
    );
}

#[test]
fn a_path_with_a_dot_segment_is_refused_wherever_it_leads() {
    for target in [
        "/api/saacms/v1/../v1/posts/1/subscribe",
        "/public/%2e%2E/api/saacms/v1/posts/1/subscribe",
        "/api/saacms/v1/posts/./subscribe",
        "/api/saacms/v1/posts/%2E%2e/subscribe",
        "/api/saacms/v1/./publish",
        "/..",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            assert_eq!(
                status(&open(), method, target, &[]),
                400,
                "{method} {target}"
            );
        }
    }
    // At a path that the host chose, too.
    let headers: &[(&str, &str)] = &[];
    let request = Request {
        method: "POST",
        path: "/a/../changes",
        query: None,
        authority: None,
        is_http_1_1: false,
        peer: None,
        headers: &headers,
    };
    let Action::Reply(reply) = open().decide_publish(&request).action else {
        panic!("a publish")
    };
    assert_eq!(reply.status, 400);
}
