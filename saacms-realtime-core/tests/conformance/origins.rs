//! Pages of other origins: which may read, which may publish, and the `Vary` header for caches.

use saacms_realtime_core::route::{Api, Cors, Token};

use super::client::{Request, Response};
use super::world::{PUBLISH, World, changed, expect_problem, frame, open, path};
use super::{Start, scenarios};

scenarios![
    without_listed_origins_none_is_allowed,
    a_listed_origin_is_allowed_by_name,
    an_unlisted_origin_is_not_allowed_and_the_answer_varies_by_origin,
    any_origin_is_allowed_by_a_wildcard,
    a_listed_origin_may_send_credentials_if_that_is_configured,
    a_refusal_can_be_read_by_a_page_of_an_allowed_origin,
    a_page_of_another_origin_cannot_publish_unless_listed,
];

const PAGE: &str = "https://a.example";

fn world(start: Start, origins: &[&str]) -> World {
    let cors = Cors::new(origins.iter().copied()).expect("origins");
    World::with_api(start, open().with_cors(cors))
}

/// The `Access-Control-Allow-Origin` and `Vary` of an answer.
fn cors_headers(answer: &Response) -> (Option<&str>, Option<&str>) {
    (
        answer.header("access-control-allow-origin"),
        answer.header("vary"),
    )
}

fn preflight(world: &World, target: &str, origin: &str, method: &str) -> Response {
    let request = Request::new("OPTIONS", target)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", "last-event-id");
    let answer = world.ask(&request);
    assert_eq!((answer.status(), answer.text()), (204, ""));
    answer
}

fn without_listed_origins_none_is_allowed(start: Start) {
    let world = World::start(start);
    let head = world.ask(&Request::new("HEAD", &path("1")).header("Origin", PAGE));
    assert_eq!((head.status(), cors_headers(&head)), (200, (None, None)));
    let answer = preflight(&world, &path("1"), PAGE, "GET");
    assert_eq!(answer.head.meaning(), [("allow", "GET, HEAD, OPTIONS")]);
}

fn a_listed_origin_is_allowed_by_name(start: Start) {
    let world = world(start, &["https://b.example:8443", PAGE]);
    let mut stream = world.open(&Request::get(&path("1")).header("Origin", PAGE));
    assert_eq!(
        stream.head.header("access-control-allow-origin"),
        Some(PAGE)
    );
    assert_eq!(stream.head.header("vary"), Some("Origin"));
    assert_eq!(
        stream.head.header("access-control-expose-headers"),
        Some("Retry-After, Saacms-Heartbeat, Saacms-Last-Event-ID")
    );
    stream.greeting();

    let request = Request::post(PUBLISH, changed("1", "v1", "1")).header("Origin", PAGE);
    let answer = world.ask(&request);
    assert_eq!(
        (answer.status(), cors_headers(&answer)),
        (204, (Some(PAGE), Some("Origin")))
    );
    stream.expect(frame("v1", "1"));

    for (target, method, allowed) in [
        (&*path("1"), "GET", "GET, HEAD, OPTIONS"),
        (PUBLISH, "POST", "POST, OPTIONS"),
    ] {
        let answer = preflight(&world, target, PAGE, method);
        assert_eq!(
            answer.head.meaning(),
            [
                (
                    "access-control-allow-headers",
                    "Authorization, Cache-Control, Content-Type, Last-Event-ID"
                ),
                ("access-control-allow-methods", "GET, HEAD, POST"),
                ("access-control-allow-origin", PAGE),
                ("access-control-max-age", "86400"),
                ("allow", allowed),
                ("vary", "Origin"),
            ]
        );
    }
}

fn an_unlisted_origin_is_not_allowed_and_the_answer_varies_by_origin(start: Start) {
    let world = world(start, &[PAGE]);
    for origin in [
        "https://evil.example",
        "https://a.example.evil",
        "http://a.example",
        "null",
        "",
    ] {
        let head = world.ask(&Request::new("HEAD", &path("1")).header("Origin", origin));
        assert_eq!(
            (head.status(), cors_headers(&head)),
            (200, (None, Some("Origin"))),
            "{origin}"
        );
        let answer = preflight(&world, &path("1"), origin, "GET");
        assert_eq!(
            answer.head.meaning(),
            [("allow", "GET, HEAD, OPTIONS"), ("vary", "Origin")],
            "{origin}"
        );
    }

    let no_page = world.ask(&Request::new("HEAD", &path("1")));
    assert_eq!(
        cors_headers(&no_page),
        (None, Some("Origin")),
        "what is cached may be for a page"
    );
}

fn a_listed_origin_may_send_credentials_if_that_is_configured(start: Start) {
    const HEADER: &str = "access-control-allow-credentials";
    let without = world(start, &[PAGE]);
    let cors = Cors::new([PAGE]).expect("an origin");
    let cors = cors.with_credentials().expect("no wildcard");
    let with = World::with_api(start, open().with_cors(cors));

    for (world, allowed) in [(&without, None), (&with, Some("true"))] {
        let request = Request::get(&path("1")).header("Origin", PAGE);
        assert_eq!(world.open(&request).head.header(HEADER), allowed);
        let refused = world.ask(&request.clone().header("Accept", "text/html"));
        assert_eq!((refused.status(), refused.header(HEADER)), (406, allowed));
        let answer = preflight(world, PUBLISH, PAGE, "POST");
        assert_eq!(answer.header(HEADER), allowed);
    }
    let other = preflight(&with, &path("1"), "https://b.example", "GET");
    assert_eq!(other.header(HEADER), None);
}

fn any_origin_is_allowed_by_a_wildcard(start: Start) {
    let world = world(start, &["*"]);
    for origin in [PAGE, "https://evil.example", "null"] {
        let head = world.ask(&Request::new("HEAD", &path("1")).header("Origin", origin));
        assert_eq!(cors_headers(&head), (Some("*"), None));
        let answer = preflight(&world, PUBLISH, origin, "POST");
        assert_eq!(cors_headers(&answer), (Some("*"), None));
        let request = Request::post(PUBLISH, changed("1", "v1", "1")).header("Origin", origin);
        assert_eq!(world.ask(&request).status(), 204);
    }

    assert_eq!(
        cors_headers(&world.ask(&Request::new("HEAD", &path("1")))),
        (None, None)
    );
}

fn a_refusal_can_be_read_by_a_page_of_an_allowed_origin(start: Start) {
    let world = world(start, &[PAGE]);
    let not_found = "/api/saacms/v1/posts";
    let invalid = "/api/saacms/v1/a%2Fb/1/subscribe";
    let requests = [
        (404, Request::get(not_found)),
        (400, Request::get(invalid)),
        (405, Request::new("DELETE", &path("1"))),
        (406, Request::get(&path("1")).header("Accept", "text/html")),
        (400, Request::post(PUBLISH, "nope")),
        (
            413,
            Request::new("POST", PUBLISH).header("Content-Length", "9999999"),
        ),
    ];

    for (status, request) in requests {
        let answer = world.ask(&request.header("Origin", PAGE));
        assert_eq!(answer.status(), status);
        assert_eq!(
            cors_headers(&answer),
            (Some(PAGE), Some("Origin")),
            "{status}"
        );
    }
}

fn a_page_of_another_origin_cannot_publish_unless_listed(start: Start) {
    let open = World::start(start);
    let listed = world(start, &[PAGE]);

    // Browsers send a POST with `Content-Type: text/plain` without a preflight.
    let request =
        Request::post(PUBLISH, changed("1", "v1", "1")).header("Content-Type", "text/plain");
    let status = |world: &World, origin: &str| {
        let answer = world.ask(&request.clone().header("Origin", origin));
        if answer.status() == 403 {
            expect_problem(
                &answer,
                403,
                "foreign-origin",
                "an origin that the server lists",
            );
        }
        answer.status()
    };

    for origin in [
        "https://evil.example",
        "null",
        "",
        "http://hub.example:80",
        "hub.example",
    ] {
        assert_eq!(status(&open, origin), 403, "{origin}");
        assert_eq!(status(&listed, origin), 403, "{origin}");
    }

    assert_eq!((status(&open, PAGE), status(&listed, PAGE)), (403, 204));
    // The hub's own page may publish on a loopback name. A foreign name that resolves to the
    // machine (DNS rebinding) matches the `Host` header too, and must be refused.
    let at = |world: &World, host: &str| {
        let origin = format!("http://{host}");
        world
            .ask(&request.clone().host(host).header("Origin", &origin))
            .status()
    };

    assert_eq!(
        (at(&open, "127.0.0.1:8787"), at(&listed, "localhost:8787")),
        (204, 204)
    );
    assert_eq!(
        (at(&open, "hub.example"), at(&listed, "hub.example")),
        (403, 403)
    );

    let token = Token::new("0123456789abcdef").expect("a token");
    let guarded = World::with_api(start, Api::default().with_publish_token(token));
    let with_token = request.header("Authorization", "Bearer 0123456789abcdef");
    let answer = guarded.ask(&with_token.header("Origin", "https://evil.example"));
    assert_eq!(answer.status(), 204, "any page with the token may publish");
    assert_eq!(open.stats().published, 1);
}
