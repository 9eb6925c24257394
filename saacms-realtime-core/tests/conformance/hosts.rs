//! Hosts: who names another is refused at every path, so that no web page reads a server of its
//! visitor's machine by DNS rebinding.

use super::client::Request;
use super::world::{KEEPALIVE, PUBLISH, World, changed, expect_problem, open, path};
use super::{Start, scenarios};

scenarios![a_request_to_a_host_that_is_not_allowed_is_refused];

fn a_request_to_a_host_that_is_not_allowed_is_refused(start: Start) {
    let here = open().with_allowed_hosts([]).expect("no name");
    let here = World::with_api(start, here);
    let listed = open().with_allowed_hosts(["hub.example"]).expect("a name");
    let listed = World::with_api(start, listed);
    let requests = [
        (200, Request::new("HEAD", &path("1"))),
        (204, Request::new("OPTIONS", &path("1"))),
        (204, Request::post(PUBLISH, changed("1", "v1", "1"))),
        (404, Request::get("/api/saacms/v1/nowhere")),
    ];

    for (host, is_here, is_listed) in [
        ("localhost", true, true),
        ("LocalHost:1", true, true),
        ("hub.localhost:8787", true, true),
        ("127.0.0.1:8787", true, true),
        ("127.1.2.3", true, true),
        ("[::1]:8787", true, true),
        ("hub.example", false, true),
        ("HUB.example:443", false, true),
        ("evil.example", false, false),
        ("evil.example:8787", false, false),
        ("localhost.evil.example", false, false),
        ("a.hub.example", false, false),
        ("0.0.0.0:8787", false, false),
        ("192.0.2.1", false, false),
    ] {
        for (world, is_allowed) in [(&here, is_here), (&listed, is_listed)] {
            for (status, request) in &requests {
                let answer = world.ask(&request.clone().host(host));
                let expected = if is_allowed { *status } else { 403 };
                assert_eq!(answer.status(), expected, "{host}: {request:?}");
            }
            let request = Request::get(&path("1")).host(host);
            if is_allowed {
                world.open(&request).expect(KEEPALIVE);
            } else {
                expect_problem(&world.ask(&request), 403, "foreign-host", "--allowed-host");
            }
        }
    }
}
