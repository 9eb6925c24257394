//! The log: a line for each kind of refusal, and none that can stop the server.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::client::{Connection, PATIENCE, Request};
use crate::real_server::Server;
use crate::stream::Stream;
use crate::{EVENT, PUBLISH, SUBSCRIBE};

#[test]
fn a_limit_that_is_reached_is_logged_once_however_often_it_is_reached() {
    let server = Server::start(&["--max-subscribers", "1"]);
    let _stream = Stream::open(server.address, &Request::get(SUBSCRIBE));
    for _ in 0..20 {
        let mut connection = Connection::open(server.address);
        assert_eq!(connection.exchange(&Request::get(SUBSCRIBE)).status(), 503);
    }

    let log = wait_for_line(&server, "max_subscribers");
    assert!(log.contains("WARN") && log.contains("count="), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_refused_publish_is_logged_with_its_reason() {
    let server = Server::start(&["--log-level", "info"]);
    let mut connection = Connection::open(server.address);
    for body in ["nonsense", "{}"] {
        let answer = connection.exchange(&Request::post(PUBLISH, body));
        assert_eq!(answer.status(), 400);
    }
    let foreign = Request::post(PUBLISH, EVENT).header("Origin", "https://elsewhere.example");
    assert_eq!(connection.exchange(&foreign).status(), 403);
    let ndjson = Request::post(PUBLISH, "x\n").header("Content-Type", "application/x-ndjson");
    assert_eq!(connection.exchange(&ndjson).status(), 200);

    wait_for_line(&server, "(400)");
    let log = wait_for_line(&server, "(403)");
    assert_eq!(log.matches("publishes were refused").count(), 2, "{log}");
}

#[test]
fn a_server_whose_log_cannot_be_written_starts_serves_and_drains() {
    // A full disk, and a pipe whose reader has gone.
    let pipe = "d=$(mktemp -d); mkfifo $d/p; true < $d/p & exec 2> $d/p; wait; rm -r $d";
    for standard_error in ["exec 2> /dev/full", pipe] {
        for format in ["human", "json"] {
            let args = ["--log-level", "debug", "--log-format", format];
            let mut server = Server::start_at("127.0.0.1:0", standard_error, &args);
            let mut stream = Stream::open(server.address, &Request::get(SUBSCRIBE));
            stream.expect(":keepalive\n\n");
            let mut connection = Connection::open(server.address);
            let answer = connection.exchange(&Request::post(PUBLISH, "nonsense"));
            assert_eq!(answer.status(), 400, "which is logged");
            let answer = connection.exchange(&Request::post(PUBLISH, EVENT));
            assert_eq!(answer.status(), 204);
            while !stream.block().starts_with("event: changed\n") {}

            server.terminate();
            assert!(stream.block().starts_with("retry: "));
            stream.expect_end();
            assert!(server.wait().success(), "{standard_error}");
        }
    }
}

/// The log, once it has a line with this text.
fn wait_for_line(server: &Server, text: &str) -> String {
    let started = Instant::now();
    loop {
        let log = server.log();
        if log.contains(text) {
            return log;
        }
        assert!(started.elapsed() < PATIENCE, "no {text:?} in {log:?}");
        thread::sleep(Duration::from_millis(5));
    }
}
