//! What a running server says to its operator, and how it stops.
#![cfg(unix)]

#[path = "../../../../saacms-realtime-core/tests/conformance/client.rs"]
mod client;
mod drain;
mod log;
#[path = "../real_server/mod.rs"]
mod real_server;
#[path = "../../../../saacms-realtime-core/tests/conformance/stream.rs"]
mod stream;

const SUBSCRIBE: &str = "/api/saacms/v1/posts/1/subscribe";
const PUBLISH: &str = "/api/saacms/v1/publish";
const EVENT: &str = r#"{"type":"changed","slug":"posts","id":"1","record":1,"etag":"v1"}"#;
