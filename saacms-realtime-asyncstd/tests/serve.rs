//! `serve` beyond the contract: how it stops, and which clients it does not wait for.
#![cfg(feature = "smol")]

#[path = "../../saacms-realtime-core/tests/conformance/client.rs"]
mod client;
#[path = "support/server.rs"]
mod server;
#[path = "../../saacms-realtime-core/tests/conformance/stream.rs"]
mod stream;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use client::{Connection, Request};
use saacms_realtime_asyncstd::{
    Api, HubConfig, Realtime, ServeConfig, Token, TrustedProxies, serve,
};
use server::Server;

const SUBSCRIBE: &str = "/api/saacms/v1/posts/1/subscribe";
const PUBLISH: &str = "/api/saacms/v1/publish";
const EVENT: &str = r#"{"type":"changed","slug":"posts","id":"1","record":1,"etag":"v1"}"#;

#[test]
fn a_stop_ends_streams_gracefully_and_then_the_server() {
    let server = Server::start(ServeConfig::smol());
    let mut streams = [server.subscribe(), server.subscribe()];
    server.stop();
    for stream in &mut streams {
        assert!(stream.block().starts_with("retry: "));
        stream.expect_end();
    }
    server.wait();
    assert!(
        TcpStream::connect(server.address).is_err(),
        "the listener is closed"
    );
}

#[test]
fn a_client_that_connects_while_streams_end_is_refused_with_a_retry_time() {
    let server = Server::start(ServeConfig::smol());
    let (head, body) = EVENT.split_at(10);

    // One request is in flight, and one stream has far more to read than socket buffers hold.
    let mut publishing = server.connect();
    let post = Request::post(PUBLISH, EVENT).bytes();

    publishing.send(&post[..post.len() - body.len()]);
    assert_eq!(head.len() + body.len(), EVENT.len());

    let mut stream = server.subscribe();
    server.publish_much();

    server.stop();
    server.wait_until(|server| server.realtime.hub().is_draining());
    let refused = server.connect().exchange(&Request::get(SUBSCRIBE));
    assert_eq!(
        (refused.status(), refused.header("connection")),
        (503, Some("close"))
    );
    let told = server
        .connect()
        .exchange(&Request::get(SUBSCRIBE).header("Accept", "text/event-stream"));
    assert_eq!(told.status(), 200);
    let millis = told
        .text()
        .strip_prefix("retry: ")
        .and_then(|rest| rest.split('\n').next()?.parse().ok());
    // The drain timeout is 10 s by default.
    assert!(
        millis.is_some_and(|millis: u64| (11_000..=14_000).contains(&millis)),
        "{told:?}"
    );

    publishing.send(body);
    let refused = publishing.response("POST");
    assert_eq!(
        (refused.status(), refused.header("connection")),
        (503, Some("close"))
    );

    while !stream.block().starts_with("retry: ") {}
    stream.expect_end();
    server.wait();
}

#[test]
fn an_answer_in_flight_is_sent_when_all_streams_have_ended() {
    let server = Server::start(ServeConfig::smol());
    let mut publishing = server.connect();
    let post = Request::post(PUBLISH, EVENT).bytes();

    publishing.send(&post[..post.len() - 1]);
    let idle = server.connect();
    server.stop();

    // Without streams, the server closes its listener and asks its connections to end.
    server.wait_until(|server| TcpStream::connect(server.address).is_err());
    publishing.send(&post[post.len() - 1..]);
    assert_eq!(publishing.response("POST").status(), 503);
    assert!(publishing.ends());

    server.wait();
    drop(idle);
}

#[test]
fn a_stream_that_is_never_read_is_cut_at_the_drain_timeout() {
    let mut config = ServeConfig::smol();
    config.drain_timeout = Duration::from_millis(100);
    let server = Server::start(config);
    let _unread = server.subscribe();
    server.publish_much();
    let stopped = Instant::now();
    server.stop();
    server.wait();
    assert!(stopped.elapsed() >= Duration::from_millis(100));
    assert_eq!(server.realtime.hub().stats().subscribers, 0);
}

#[test]
fn a_server_that_is_dropped_is_gone() {
    let server = Server::start(ServeConfig::smol());
    let mut connection = server.connect();
    connection.send(Request::get(SUBSCRIBE).bytes());
    assert_eq!(connection.head().map(|head| head.status), Some(200));
    let greeting = connection.chunk().expect("a greeting");
    assert!(greeting.starts_with(b":keepalive\n\nid: "));

    let mut silent = server.connect();
    server.cut();
    server.wait();
    assert!(connection.ends() && silent.ends());

    server.wait_until(|server| server.realtime.hub().stats().subscribers == 0);
    assert!(
        !server.realtime.hub().is_draining(),
        "it is only not served any more"
    );
}

#[test]
fn one_connection_too_many_waits_for_another_to_end() {
    let mut config = ServeConfig::smol();
    config.max_connections = 2;
    let server = Server::start(config);
    let open = [server.connect(), server.connect()].map(|mut connection| {
        connection.exchange(&Request::get("/any"));
        connection
    });
    let mut waiting = server.connect();
    waiting.send(Request::post(PUBLISH, EVENT).bytes());

    // Nothing shows that a connection waits, so leave time to answer it by mistake.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(server.realtime.hub().stats().published, 0);
    drop(open);
    assert_eq!(waiting.response("POST").status(), 204);
}

#[test]
fn connections_that_ask_nothing_make_room_for_another() {
    let mut config = ServeConfig::smol();
    config.max_connections = 3;
    let server = Server::start(config);
    let _stream = server.subscribe();
    let mut asked = server.connect();
    asked.exchange(&Request::get("/any"));
    let _silent = server.connect();

    let started = Instant::now();
    let published = server.connect().exchange(&Request::post(PUBLISH, EVENT));
    assert_eq!(published.status(), 204);
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(9), "after {waited:?}");
    assert_eq!(server.realtime.hub().stats().subscribers, 1, "it is read");
}

#[test]
fn a_client_that_sends_no_request_in_time_is_cut() {
    let server = Server::start(ServeConfig::smol());
    let begins = ["", "GET / HTTP/1.1\r\nHost: ", "PRI * HTTP/2.0\r\n", "P"];
    let mut connections = begins.map(|begin| {
        let mut connection = server.connect();
        connection.send(begin);
        connection
    });
    let opened = Instant::now();

    // The limit is ten seconds, whatever was sent by then.
    for (connection, begin) in connections.iter_mut().zip(begins) {
        assert!(connection.ends(), "{begin:?}");
        assert!(
            opened.elapsed() > Duration::from_secs(9),
            "{begin:?}: {:?}",
            opened.elapsed()
        );
    }
}

#[test]
fn a_connection_between_two_requests_is_closed_after_the_idle_timeout() {
    let mut config = ServeConfig::smol();
    config.idle_timeout = Duration::from_secs(1);
    let server = Server::start(config);
    let request = Request::post(PUBLISH, EVENT);

    let mut idle = server.connect();
    let answer = idle.exchange(&request);
    assert_eq!(answer.header("keep-alive"), Some("timeout=1"));
    let mut stream = server.subscribe();

    // A head that has begun in time has more time than that.
    let mut begun = server.connect();
    begun.exchange(&request);
    let (begin, rest) = (&request.bytes()[..10], &request.bytes()[10..]);
    begun.send(begin);

    let answered = Instant::now();
    assert!(idle.ends());
    let waited = answered.elapsed();
    assert!(waited > Duration::from_millis(900), "{waited:?}");
    assert!(waited < Duration::from_secs(9), "{waited:?}");

    thread::sleep(Duration::from_secs(1));
    begun.send(rest);
    assert_eq!(begun.response("POST").status(), 204);
    let frame = "event: changed\nid: v1\ndata: 1\n\n";
    stream.expect(frame.repeat(2));
}

#[test]
fn a_refusal_reaches_a_client_that_sends_its_whole_body_before_it_reads() {
    let server = Server::start(ServeConfig::smol());
    let body = "x".repeat(3_000_000);
    for _ in 0..20 {
        for (status, target) in [(413, PUBLISH), (404, "/any")] {
            let answer = server.connect().exchange(&Request::post(target, &body));
            assert_eq!(answer.status(), status);
        }
    }
}

#[test]
fn streams_up_to_the_limit_of_connections_leave_room_for_everything_else() {
    let mut config = ServeConfig::smol();
    config.max_connections = 10;
    let server = Server::start(config);
    let _streams = [(); 5].map(|()| server.subscribe());

    for _ in 0..20 {
        let refused = server.connect().exchange(&Request::get(SUBSCRIBE));
        assert_eq!(refused.status(), 503);
        let published = server.connect().exchange(&Request::post(PUBLISH, EVENT));
        assert_eq!(published.status(), 204);
    }
}

#[test]
fn streams_of_one_address_have_a_limit() {
    let hub = HubConfig {
        max_streams_per_address: 2,
        ..HubConfig::default()
    };
    let proxies = TrustedProxies::new(["127.0.0.1"]).expect("an address");
    let api = Api::default().with_trusted_proxies(proxies);
    let server = Server::start_with(ServeConfig::smol(), hub, api);

    let _streams = [server.subscribe(), server.subscribe()];
    let subscribe = Request::get(SUBSCRIBE);
    let refused = server.connect().exchange(&subscribe);
    assert_eq!(
        (refused.status(), refused.header("retry-after")),
        (429, Some("10"))
    );
    let other = subscribe.header("Forwarded", "for=192.0.2.1");
    assert_eq!(server.connect().exchange_head(&other).status, 200);
}

#[test]
fn a_client_that_leaves_before_its_protocol_is_known_makes_room_at_once() {
    let mut config = ServeConfig::smol();
    config.max_connections = 1;
    let server = Server::start(config);
    let mut leaving = server.connect();

    // The beginning of the HTTP/2 preface: the server must read on to know the protocol.
    leaving.send("PRI * HTTP/2.0\r\n");
    let left = Instant::now();
    drop(leaving);
    assert_eq!(
        server
            .connect()
            .exchange(&Request::post(PUBLISH, EVENT))
            .status(),
        204
    );
    assert!(
        left.elapsed() < Duration::from_secs(9),
        "the time of a head: {:?}",
        left.elapsed()
    );
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered() {
    let server = Server::start(ServeConfig::smol());
    let mut connection = server.connect();
    for byte in Request::post(PUBLISH, EVENT).bytes() {
        connection.send([byte]);
    }
    assert_eq!(connection.response("POST").status(), 204);
}

#[test]
fn a_network_address_needs_a_publish_token() {
    let serve_everywhere = |api| {
        let realtime = Realtime::new(HubConfig::default(), api).expect("valid settings");
        let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let stop = std::future::ready(());
        smol::block_on(serve(listener, realtime, ServeConfig::smol(), stop))
    };
    for api in [
        Api::default().with_local_publish(),
        Api::default().with_open_publish(),
    ] {
        let refused = serve_everywhere(api).expect_err("everybody could publish");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
    serve_everywhere(Api::default()).expect("nobody can publish");
    let token = Token::new("0123456789abcdef").expect("a token");
    serve_everywhere(Api::default().with_publish_token(token)).expect("only who has the token can");
}

#[test]
fn a_hub_on_loopback_without_a_token_answers_loopback_names_only() {
    let status = |api: Api, host: &str| {
        let server = Server::with_api(ServeConfig::smol(), api);
        let request = Request::new("HEAD", SUBSCRIBE).host(host);
        Connection::open(server.address).exchange(&request).status()
    };
    let hosts = |api: &Api| {
        ["localhost:1", "hub.example", "evil.example"].map(|host| status(api.clone(), host))
    };

    assert_eq!(hosts(&Api::default()), [200, 403, 403]);
    let listed = Api::default()
        .with_allowed_hosts(["hub.example"])
        .expect("a name");
    assert_eq!(hosts(&listed), [200, 200, 403]);
    let token = Token::new("0123456789abcdef").expect("a token");
    assert_eq!(
        hosts(&Api::default().with_publish_token(token)),
        [200, 200, 200]
    );
}
