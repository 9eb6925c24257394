//! Clients that open streams and take nothing, or nearly nothing: what they hold is bounded, and
//! they are cut.

use core::time::Duration;
use std::time::Instant;

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};

use crate::client::{Client, PATIENCE, PUBLISH};
use crate::real_server::Server;

const MIB: usize = 1 << 20;

/// The streams that a connection may have.
const STREAMS: usize = 100;

/// Opens a stream of `posts/1` and reads nothing of it.
async fn open_unread(client: &Client, last_event_id: &str) -> Response<Incoming> {
    let target = "/api/saacms/v1/posts/1/subscribe";
    let headers = [("last-event-id", last_event_id)];
    let answer = client.send(Method::GET, target, &headers, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer
}

#[tokio::test]
async fn readers_that_take_their_greeting_only_hold_no_more_than_all_may() {
    let mut server = Server::start(&["--heartbeat", "0", "--max-unread-bytes", "2MiB"]);
    let honest = Client::connect(&server).await;
    let record = format!("\"{}\"", "x".repeat(5_000));
    for number in 0..100 {
        honest.publish("1", &format!("v{number}"), &record).await;
    }
    let mut reader = honest.subscribe("1", Some("v99")).await;
    let before = server.memory().0;

    // Each of them resumes at another event, so each is joined a piece of its own.
    let mut greedy = Vec::new();
    for _ in 0..10 {
        // Room for the greeting, and for the first bytes of what they missed.
        let client = Client::with_window(&server, 64).await;
        let mut unread = Vec::new();
        for number in 0..STREAMS {
            unread.push(open_unread(&client, &format!("v{number}")).await);
            if number % 10 == 0 {
                let started = Instant::now();
                reader.expect(&honest.publish("1", "live", "1").await).await;
                assert!(started.elapsed() < Duration::from_secs(2));
            }
        }
        greedy.push((client, unread));
    }

    honest
        .wait_for("unread_bytes", |unread| unread <= 2 * MIB)
        .await;
    assert!(honest.figure("cut_readers").await > 500);
    let more = server.memory().1.saturating_sub(before);
    assert!(more < 32 * MIB, "{} MiB more", more / MIB);
    reader.expect(&honest.publish("1", "last", "1").await).await;

    drop(greedy);
    honest.wait_for("unread_bytes", |unread| unread == 0).await;
    server.expect_alive();
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_alone_and_comes_back_where_it_was() {
    let server = Server::start(&["--heartbeat", "0", "--stall-timeout", "300ms"]);
    let honest = Client::connect(&server).await;
    let mut reader = honest.subscribe("1", None).await;
    let first = honest.publish("1", "v1", "1").await;
    reader.expect(&first).await;

    let narrow = Client::with_window(&server, 1).await;
    let stalled = open_unread(&narrow, "v1").await;
    let second = honest.publish("1", "v2", "2").await;
    honest.wait_for("cut_readers", |cut| cut == 1).await;
    // Its client still opens no window, and what it held is free.
    honest.wait_for("unread_bytes", |unread| unread == 0).await;
    honest
        .wait_for("subscribers", |subscribers| subscribers == 1)
        .await;

    // Its connection goes on, and so does everybody else.
    assert!(narrow.figure("cut_readers").await == 1);
    let cut = timeout(PATIENCE, stalled.into_body().collect()).await;
    assert!(cut.expect("in time").is_err(), "its stream is reset");
    reader.expect(&second).await;
    let mut back = honest.subscribe("1", Some("v1")).await;
    back.expect(&second).await;
}

#[tokio::test]
async fn a_reader_that_takes_a_byte_now_and_then_is_not_cut() {
    let server = Server::start(&["--heartbeat", "0", "--stall-timeout", "400ms"]);
    let honest = Client::connect(&server).await;
    honest.publish("1", "v1", "1").await;
    honest.publish("1", "v2", "2").await;

    let narrow = Client::with_window(&server, 1).await;
    let mut body = open_unread(&narrow, "v1").await.into_body();
    let started = Instant::now();
    let mut text = Vec::new();
    while started.elapsed() < Duration::from_millis(1_500) {
        let frame = timeout(PATIENCE, body.frame()).await.expect("in time");
        let frame = frame.expect("it goes on").expect("it is not cut");
        text.extend_from_slice(&frame.into_data().expect("data"));
        sleep(Duration::from_millis(50)).await;
    }
    assert!(
        ":keepalive\n\nevent: changed\nid: v2\n"
            .as_bytes()
            .starts_with(&text)
    );
    assert_eq!(honest.figure("cut_readers").await, 0);
}

#[tokio::test]
async fn answers_that_are_not_taken_hold_no_more_than_all_may() {
    let mut server = Server::start(&["--max-unread-bytes", "2MiB"]);
    let honest = Client::connect(&server).await;
    let before = server.memory().0;

    let (headers, lines) = (
        [("content-type", "application/x-ndjson")],
        "{}\n".repeat(900),
    );
    let mut unread = Vec::new();
    for _ in 0..2 {
        let client = Client::with_window(&server, 0).await;
        for _ in 0..STREAMS {
            let answer = client.send(Method::POST, PUBLISH, &headers, &lines).await;
            assert_eq!(answer.status(), StatusCode::OK);
            unread.push((answer, client.clone()));
        }
    }

    honest
        .wait_for("unread_bytes", |unread| unread <= 2 * MIB)
        .await;
    assert!(honest.figure("cut_readers").await > 50);
    let more = server.memory().1.saturating_sub(before);
    assert!(more < 24 * MIB, "{} MiB more", more / MIB);
    server.expect_alive();
}

#[tokio::test]
async fn pages_that_are_not_taken_hold_nothing_of_their_own() {
    let mut server = Server::start(&[]);
    let honest = Client::connect(&server).await;
    assert_eq!(
        honest.send(Method::GET, "/", &[], "").await.status(),
        StatusCode::OK
    );
    let before = server.memory().0;

    let mut unread = Vec::new();
    for _ in 0..10 {
        let client = Client::with_window(&server, 0).await;
        for _ in 0..STREAMS {
            let answer = client.send(Method::GET, "/", &[], "").await;
            unread.push((answer, client.clone()));
        }
    }
    let more = server.memory().1.saturating_sub(before);
    assert!(more < 16 * MIB, "{} MiB more", more / MIB);
    assert!(honest.figure("unread_bytes").await < MIB);
    server.expect_alive();
}
