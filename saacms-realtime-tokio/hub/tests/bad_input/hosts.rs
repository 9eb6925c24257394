//! Requests to hosts that are not the hub's, and publishes that come from elsewhere.

use crate::client::{Connection, Request};
use crate::real_server::Server;
use crate::{PUBLISH, event};

const SUBSCRIBE: &str = "/api/saacms/v1/posts/1/subscribe";

fn status(server: &Server, request: &Request) -> u16 {
    Connection::open(server.address).exchange(request).status()
}

/// The status of a request for every page to this host; all are the same, or a panic.
fn status_of_all(server: &Server, host: &str) -> u16 {
    let paths = [
        "/",
        "/client.js",
        "/websocket.js",
        "/healthz",
        "/readyz",
        SUBSCRIBE,
    ];
    let statuses = paths.map(|path| {
        let method = if path == SUBSCRIBE { "HEAD" } else { "GET" };
        let answer =
            Connection::open(server.address).exchange(&Request::new(method, path).host(host));
        if answer.status() == 403 && method == "GET" {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            assert!(answer.text().contains("foreign-host"), "{}", answer.text());
        }
        answer.status()
    });
    assert!(
        statuses.iter().all(|status| *status == statuses[0]),
        "{host}: {statuses:?}"
    );
    statuses[0]
}

#[test]
fn without_a_token_a_hub_answers_loopback_names_only() {
    let server = Server::start(&[]);
    for host in [
        "localhost",
        "localhost:1",
        "hub.localhost",
        "127.0.0.1:8787",
        "[::1]",
    ] {
        assert_eq!(status_of_all(&server, host), 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8787",
        "0.0.0.0",
        "192.0.2.1",
        "",
    ] {
        assert_eq!(status_of_all(&server, host), 403, "{host}");
    }

    // HTTP/1.0 may name no host, and no browser speaks it.
    let mut connection = Connection::open(server.address);
    connection.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(connection.response("GET").status(), 200);

    let listed = Server::start(&[
        "--allowed-host",
        "hub.example,a.example",
        "--allowed-host=b.example",
    ]);
    for (host, expected) in [
        ("localhost", 200),
        ("HUB.example:443", 200),
        ("a.example", 200),
        ("b.example", 200),
        ("c.example", 403),
    ] {
        assert_eq!(status_of_all(&listed, host), expected, "{host}");
    }
}

#[test]
fn with_a_token_a_hub_answers_every_host_unless_some_are_listed() {
    let token = "export SAACMS_REALTIME_PUBLISH_TOKEN=0123456789abcdef";
    let open = Server::start_at("127.0.0.1:0", token, &[]);
    assert_eq!(status_of_all(&open, "hub.example"), 200);
    let listed = Server::start_at("127.0.0.1:0", token, &["--allowed-host=hub.example"]);
    assert_eq!(status_of_all(&listed, "hub.example"), 200);
    assert_eq!(status_of_all(&listed, "evil.example"), 403);

    // The token of the variable is the one to show.
    let request = Request::post(PUBLISH, event("posts", "1", "1"));
    assert_eq!(status(&open, &request), 401);
    let shown = |token: &str| {
        request
            .clone()
            .header("Authorization", format!("Bearer {token}"))
    };
    assert_eq!(status(&open, &shown("0123456789abcdef")), 204);
    assert_eq!(status(&open, &shown("0123456789abcdeX")), 403);
}

#[test]
fn a_publish_without_a_token_is_refused_if_it_came_through_a_proxy() {
    let server = Server::start(&[]);
    let request = Request::post(PUBLISH, event("posts", "1", "1"));
    assert_eq!(status(&server, &request), 204);
    for name in ["Via", "X-Forwarded-For", "Forwarded"] {
        let proxied = request.clone().header(name, "for=192.0.2.1");
        assert_eq!(status(&server, &proxied), 401, "{name}");
        let read = Request::new("HEAD", SUBSCRIBE).header(name, "for=192.0.2.1");
        assert_eq!(status(&server, &read), 200, "{name}");
    }
}
