//! A drain that one client delays, as the others see it.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Connection, PATIENCE, Request};
use crate::real_server::Server;
use crate::stream::Stream;
use crate::{EVENT, PUBLISH, SUBSCRIBE};

#[test]
fn a_drain_that_a_stalled_reader_delays_turns_nobody_away_for_good() {
    let mut server = Server::start(&["--drain-timeout", "20s"]);
    let address = server.address;
    let connect = || Connection::open(address);
    let mut readers: Vec<_> = (0..3)
        .map(|_| Stream::open(address, &Request::get(SUBSCRIBE)))
        .collect();
    let (mut pooled, mut idle) = (connect(), connect());
    assert_eq!(
        pooled.exchange(&Request::post(PUBLISH, EVENT)).status(),
        204
    );
    assert_eq!(idle.exchange(&Request::get("/readyz")).status(), 200);
    let stalled = stall(address);

    server.terminate();
    for reader in &mut readers {
        while !reader.block().starts_with("retry: ") {}
        reader.expect_end();
    }

    // Told to come back after 1 to 4 s, they do so in the middle of the drain.
    for mut connection in [connect(), idle] {
        let request = Request::get(SUBSCRIBE).header("Accept", "text/event-stream");
        let told = connection.exchange(&request);
        assert_eq!(told.status(), 200);
        let millis = told.text().strip_prefix("retry: ");
        let millis = millis.and_then(|rest| rest.split('\n').next()?.parse().ok());
        assert!(
            millis.is_some_and(|millis: u64| millis > 20_000),
            "{told:?}"
        );
        assert!(
            told.text().contains("\nevent: saacms-unavailable\n"),
            "{told:?}"
        );
        assert!(connection.ends());
    }

    // Whoever goes on with an open connection is told as well.
    let refused = pooled.exchange(&Request::post(PUBLISH, EVENT));
    assert_eq!(refused.status(), 503);
    assert!(pooled.ends());
    for (path, status) in [
        (SUBSCRIBE, 503),
        ("/", 503),
        ("/client.js", 503),
        ("/websocket.js", 503),
        ("/healthz", 200),
        ("/readyz", 503),
        ("/api/saacms/v1/nothing", 404),
    ] {
        let mut connection = connect();
        let answer = connection.exchange(&Request::get(path));
        assert_eq!(
            (answer.status(), answer.header("connection")),
            (status, Some("close")),
            "{path}"
        );
        assert!(connection.ends(), "{path}");
    }

    drop(stalled);
    assert!(server.wait().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A reader that has far more to read than its socket holds, and does not read.
fn stall(address: core::net::SocketAddr) -> Connection {
    let path = SUBSCRIBE.replace("/1/", "/slow/");
    let mut stalled = Connection::open(address);
    stalled.send(Request::get(&path).bytes());
    assert_eq!(stalled.head().map(|head| head.status), Some(200));

    let record = format!("\"{}\"", "x".repeat(900_000));
    let event = EVENT.replace("\"id\":\"1\"", "\"id\":\"slow\"");
    let event = event.replace("\"record\":1", &format!("\"record\":{record}"));
    let started = Instant::now();
    for _ in 0..12 {
        let answer = Connection::open(address).exchange(&Request::post(PUBLISH, &event));
        assert_eq!(answer.status(), 204);
        // Apart, so that the server writes each of them.
        thread::sleep(Duration::from_millis(10));
    }
    assert!(started.elapsed() < PATIENCE);
    stalled
}
