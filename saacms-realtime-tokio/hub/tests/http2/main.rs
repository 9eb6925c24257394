//! HTTP/2 without TLS (h2c, prior knowledge) against the program.

mod client;
#[path = "../real_server/mod.rs"]
mod real_server;
mod unread;

use core::time::Duration;

use client::{Client, PATIENCE, PUBLISH};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::BodyExt as _;
use real_server::Server;
use tokio::time::timeout;

#[tokio::test]
async fn a_stream_has_the_same_bytes_and_no_connection_header() {
    let server = Server::start(&[]);
    let client = Client::connect(&server).await;
    let mut stream = client.subscribe("1", None).await;
    assert_eq!(
        meaning(&stream.headers),
        [
            ("cache-control", "no-cache, no-transform"),
            ("content-type", "text/event-stream"),
            ("saacms-heartbeat", "30000"),
            ("x-accel-buffering", "no"),
        ]
    );

    for etag in ["v1", "W/\"é\""] {
        stream
            .expect(&client.publish("1", etag, "{ \"a\" : 1 }").await)
            .await;
    }

    let answer = client.send(
        Method::POST,
        PUBLISH,
        &[],
        r#"{"type":"deleted","slug":"posts","id":"1"}"#,
    );

    assert_eq!(answer.await.status(), StatusCode::NO_CONTENT);
    stream.expect("event: deleted\nid: ").await;
}

#[tokio::test]
async fn a_head_tells_a_position_from_which_a_client_subscribes() {
    let server = Server::start(&[]);
    let client = Client::connect(&server).await;
    let target = "/api/saacms/v1/posts/1/subscribe";
    let head = client.send(Method::HEAD, target, &[], "").await;
    let position = head.headers()["saacms-last-event-id"].clone();
    let missed = client.publish("1", "v1", "1").await;

    let position = position.to_str().expect("visible characters");
    let mut stream = client.subscribe("1", Some(position)).await;
    stream.expect(&missed).await;
}

#[tokio::test]
async fn a_client_that_reconnects_gets_a_replay_or_a_resync() {
    let server = Server::start(&["--max-events", "2", "--quiet-resume", "false"]);
    let client = Client::connect(&server).await;
    let mut frames = Vec::new();
    for etag in ["v1", "v2", "v3", "v4"] {
        frames.push(client.publish("1", etag, "1").await);
    }

    client
        .subscribe("1", Some("v3"))
        .await
        .expect(&frames[3])
        .await;

    let resync = "event: saacms-resync\nid: v4\ndata: {\"reason\":\"buffer-miss\"}\n\n";
    client.subscribe("1", Some("v1")).await.expect(resync).await;
    let mut by_query = client
        .open("/api/saacms/v1/posts/1/subscribe?lastEventId=v3", &[])
        .await;
    by_query.expect(&frames[3]).await;
}

#[tokio::test]
async fn a_large_event_arrives_whole() {
    let server = Server::start(&[]);
    let client = Client::connect(&server).await;
    let mut streams = [
        client.subscribe("1", None).await,
        client.subscribe("1", None).await,
    ];
    let frame = client
        .publish("1", "v1", &format!("\"{}\"", "é".repeat(450_000)))
        .await;
    for stream in &mut streams {
        stream.expect(&frame).await;
    }
}

#[tokio::test]
async fn refusals_are_those_of_http_1() {
    let server = Server::start(&[]);
    let client = Client::connect(&server).await;
    let own = format!("http://{}", server.address);
    let event = r#"{"type":"deleted","slug":"posts","id":"1"}"#;
    let large = "x".repeat((1 << 20) + 1);

    for (status, method, target, headers, body) in [
        (404, Method::GET, "/api/saacms/v1/posts", vec![], ""),
        (
            400,
            Method::GET,
            "/api/saacms/v1/a:b/1/subscribe",
            vec![],
            "",
        ),
        (
            405,
            Method::DELETE,
            "/api/saacms/v1/posts/1/subscribe",
            vec![],
            "",
        ),
        (
            406,
            Method::GET,
            "/api/saacms/v1/posts/1/subscribe",
            vec![("accept", "text/html")],
            "",
        ),
        (400, Method::POST, PUBLISH, vec![], "nope"),
        (413, Method::POST, PUBLISH, vec![], &*large),
        (
            403,
            Method::POST,
            PUBLISH,
            vec![("origin", "https://evil.example")],
            event,
        ),
        // The hub must compare the origin with the authority, which replaces `Host` in HTTP/2.
        (204, Method::POST, PUBLISH, vec![("origin", &*own)], event),
        (204, Method::OPTIONS, PUBLISH, vec![], ""),
        (
            200,
            Method::HEAD,
            "/api/saacms/v1/posts/1/subscribe",
            vec![],
            "",
        ),
    ] {
        let answer = client.send(method, target, &headers, body).await;
        assert_eq!(answer.status().as_u16(), status, "{target} {headers:?}");
        assert_eq!(answer.version(), Version::HTTP_2);
        let content_type = answer
            .headers()
            .get("content-type")
            .map(|value| value.as_bytes());
        let is_problem = content_type == Some(b"application/problem+json");
        assert_eq!(is_problem, status >= 400, "{target} {headers:?}");
        if is_problem {
            let text = timeout(PATIENCE, answer.collect()).await.expect("in time");
            let text = text.expect("a whole document").to_bytes();
            let problem: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(problem["status"], status);
        }
    }
}

#[tokio::test]
async fn many_streams_share_one_connection() {
    // Two less than a connection may have, for the other requests.
    const STREAMS: usize = 98;

    let server = Server::start(&[]);
    let client = Client::connect(&server).await;
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        streams.push(client.subscribe(&(number % 5).to_string(), None).await);
    }

    assert_eq!(client.subscribers().await, STREAMS);
    let mut frames = Vec::new();
    for id in 0..5 {
        frames.push(
            client
                .publish(&id.to_string(), &format!("v{id}"), &id.to_string())
                .await,
        );
    }

    for (number, stream) in streams.iter_mut().enumerate() {
        stream.expect(&frames[number % 5]).await;
    }

    // The hub forgets the streams that the client resets; the others and the connection continue.
    streams.truncate(10);
    client.wait_for_subscribers(10).await;
    let live = client.publish("0", "live", "1").await;

    for stream in streams.iter_mut().step_by(5) {
        stream.expect(&live).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_stream_ends_after_the_idle_timeout() {
    let server = Server::start(&["--idle-timeout", "1s", "--heartbeat", "0"]);
    let (reading, idle) = (
        Client::connect(&server).await,
        Client::connect(&server).await,
    );
    let mut stream = reading.subscribe("1", None).await;
    assert_eq!(idle.subscribers().await, 1);

    // Its client answers pings, as that of the stream does.
    let ended = async {
        while !idle.is_closed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("it is closed");

    let other = Client::connect(&server).await;
    stream.expect(&other.publish("1", "v1", "1").await).await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_whose_body_is_far_too_large() {
    let server = Server::start(&[]);
    let body = "x".repeat(3_000_000);
    for _ in 0..20 {
        let client = Client::connect(&server).await;
        let answer = client.send(Method::POST, PUBLISH, &[], &body).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let text = answer.collect().await.expect("a whole document").to_bytes();
        assert!(text.starts_with(b"{\"type\":"), "{text:?}");
    }
}

#[tokio::test]
async fn streams_of_one_address_have_a_limit() {
    let server = Server::start(&["--max-streams-per-address", "2"]);
    let client = Client::connect(&server).await;
    let _streams = [
        client.subscribe("1", None).await,
        Client::connect(&server).await.subscribe("2", None).await,
    ];
    let subscribe = "/api/saacms/v1/posts/1/subscribe";
    let refused = client.send(Method::GET, subscribe, &[], "").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "10");
    client.publish("1", "v1", "1").await;
}

#[tokio::test]
async fn a_header_list_over_16_kib_is_refused() {
    let server = Server::start(&[]);
    let client = Client::connect(&server).await;
    let status = async |len| {
        let value = "x".repeat(len);
        let headers = [("x", &*value)];
        let answer = client.send(Method::GET, "/healthz", &headers, "").await;
        answer.status().as_u16()
    };
    assert_eq!((status(15_000).await, status(17_000).await), (200, 431));
}

#[tokio::test]
async fn a_stream_that_is_not_read_delays_no_other_on_its_connection() {
    let server = Server::start(&["--max-lag", "16", "--max-events", "8"]);
    let client = Client::connect(&server).await;
    let mut stalled = client.subscribe("1", None).await;
    let mut reader = client.subscribe("1", None).await;

    // More than the window of one stream holds, which is 2 MiB here.
    let record = format!("\"{}\"", "x".repeat(256 << 10));
    let mut frames = Vec::new();
    for number in 0..40 {
        frames.push(client.publish("1", &format!("v{number}"), &record).await);
        reader.expect(frames.last().expect("pushed")).await;
    }

    // First what fitted into the window, then a resync for the rest.
    let resync = "event: saacms-resync\nid: v39\ndata: {\"reason\":\"lagged\"}\n\n";
    let mut due = frames.iter();
    while !stalled.begins_with(resync).await {
        stalled
            .expect(due.next().expect("a resync before the last"))
            .await;
    }

    stalled.expect(resync).await;
    assert!(due.len() > 0, "the window took everything");

    stalled
        .expect(&client.publish("1", "live", "1").await)
        .await;
}

#[tokio::test]
async fn a_stop_ends_the_streams_and_then_the_server() {
    let mut server = Server::start(&[]);
    let [first, second] = [
        Client::connect(&server).await,
        Client::connect(&server).await,
    ];
    let mut streams = Vec::new();
    for number in 0..20 {
        let client = if number % 2 == 0 { &first } else { &second };
        streams.push(client.subscribe(&(number % 3).to_string(), None).await);
    }

    let frame = first.publish("0", "v1", "1").await;
    server.terminate();

    for (number, stream) in streams.iter_mut().enumerate() {
        if number % 3 == 0 {
            stream.expect(&frame).await;
        }
        let end = stream.rest().await;
        let millis = end
            .strip_prefix("retry: ")
            .and_then(|rest| rest.strip_suffix("\n\n"));
        let millis: u64 = millis.and_then(|millis| millis.parse().ok()).expect(&end);
        assert!((1_000..=4_000).contains(&millis), "{millis}");
    }
    assert!(server.wait().success(), "{}", server.log());
}

/// All headers except `Date`, sorted.
#[tokio::test]
async fn a_drain_tells_connections_to_go_and_answers_those_that_come() {
    let mut server = Server::start(&["--drain-timeout", "20s"]);
    let before = Client::connect(&server).await;
    // A stream that is not read, with more to send than its window takes, keeps the drain going.
    let mut stalled = before.subscribe("slow", None).await;
    let mut frames = Vec::new();
    for etag in ["v1", "v2", "v3", "v4"] {
        let record = format!("\"{}\"", "x".repeat(900_000));
        frames.push(before.publish("slow", etag, &record).await);
    }

    server.terminate();
    let told_to_go = async {
        while before
            .try_send(Method::GET, "/healthz", &[], "")
            .await
            .is_ok()
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, told_to_go).await.expect("GOAWAY");

    let client = Client::connect(&server).await;
    let subscribe = "/api/saacms/v1/posts/1/subscribe";
    let event = r#"{"type":"deleted","slug":"posts","id":"1"}"#;
    for _ in 0..2 {
        let answer = client.send(Method::POST, PUBLISH, &[], event).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!answer.headers().contains_key("connection"));
        let answer = client.send(Method::GET, subscribe, &[], "").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);

        let accept = [("accept", "text/event-stream")];
        let answer = client.send(Method::GET, subscribe, &accept, "").await;
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.collect().await.expect("a whole answer").to_bytes();
        let text = String::from_utf8_lossy(&body);
        let millis = text
            .strip_prefix("retry: ")
            .and_then(|rest| rest.split('\n').next()?.parse::<u64>().ok());
        assert!(millis.is_some_and(|millis| millis > 20_000), "{text}");
    }

    for frame in &frames {
        stalled.expect(frame).await;
    }
    stalled.expect("retry: ").await;
    drop((stalled, client, before));
    assert!(server.wait().success());
}

fn meaning(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII")));
    let mut headers: Vec<_> = headers.filter(|(name, _)| *name != "date").collect();
    headers.sort_unstable();
    headers
}
