use super::*;
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
        headers: &headers,
    })
}

const SUBSCRIBE: &str = "/api/saacms/v1/posts/1/subscribe";
const PUBLISH: &str = "/api/saacms/v1/publish";

#[test]
fn each_method_does_one_thing_or_is_refused_with_the_allowed_ones() {
    let api = Api::default();
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
    let api = Api::default().with_max_body_bytes(10);
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
    let api = Api::default();
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
fn a_server_without_a_token_may_be_reached_from_its_own_machine_only() {
    let open = Api::default();
    let token = Token::new("0123456789abcdef").expect("valid");
    let guarded = Api::default().with_publish_token(token);
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
        assert!(guarded.may_be_served_at(address), "{address}");
    }
}

#[test]
fn an_api_uses_the_settings_it_was_made_with() {
    let api = Api::default();
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
