//! Limits of a server, the same for every adapter.
//! [`Api::max_body_bytes`](super::Api::max_body_bytes) and the limits of the hub apply as well.

use core::time::Duration;

pub use crate::config::DEFAULT_DRAIN_TIMEOUT;

/// How long a client may take to send the head of its request, or its HTTP/2 preface.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may stay open between two requests, unless configured.
///
/// Longer than most clients keep idle connections. `Keep-Alive` tells them.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a connection must have been without a request before it is closed to make room for
/// another one, where a server has as many connections as it may have.
///
/// Clients whose requests wait for an answer would otherwise wait behind those that ask nothing.
pub const CROWDED_IDLE_TIME: Duration = Duration::from_secs(1);

/// How long a connection that closes is read on, so that a client that is still sending gets the
/// answer and not a reset.
pub const LINGER_TIME: Duration = Duration::from_secs(5);

/// Bytes that such a client may still send.
pub const LINGER_BYTES: usize = 8 << 20;

/// How long a publisher may take to send its whole body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that all bodies together may hold that have not arrived whole, or room for four of the
/// largest bodies if that is more. As many may be held by bodies whose events are being published.
pub const MAX_UNFINISHED_BODIES: usize = 64 << 20;

/// Lines of an NDJSON body that may fail. The rest is then not tried. As many lines at most, less
/// those that failed, wait for their outcomes.
pub const MAX_FAILED_LINES: usize = 1_000;

/// The results of an NDJSON body after which the rest is not tried, in bytes.
pub const MAX_RESULTS_BYTES: usize = 1 << 20;

/// Bytes of an NDJSON body whose events are published before other tasks get their turn.
pub const PUBLISH_TURN_BYTES: usize = 16 << 10;

/// How long the client of an answer that is no stream may take none of its bytes.
pub const ANSWER_STALL_TIMEOUT: Duration = crate::unread::ANSWER_STALL_TIMEOUT;

/// Largest head of a request, and largest buffer of an answer, in bytes.
pub const MAX_BUFFER_BYTES: usize = 65_536;

/// Concurrent requests on one HTTP/2 connection: as many as RFC 9113, 6.5.2 asks a server to allow.
/// A change of the window costs time for each of them.
pub const MAX_HTTP_2_STREAMS: u32 = 100;

/// Largest header list of a request over HTTP/2, in bytes. A compressed list takes a fraction of
/// that on the wire.
pub const MAX_HTTP_2_HEADERS: u32 = 16_384;

/// Requests over HTTP/2 that a client resets before they are accepted, and those that are reset
/// because of its mistakes. With more of either, the connection is closed.
pub const MAX_HTTP_2_RESETS: usize = 100;

/// Silence after which an HTTP/2 peer is pinged, and the time it has to answer.
pub const HTTP_2_PING: Duration = Duration::from_secs(20);

/// Bytes of answers that the kernel buffers for a connection, unless configured.
///
/// The kernel's own limit is 4 MiB on most systems, for every client that stops reading.
pub const DEFAULT_SOCKET_BUFFER: usize = 256 << 10;

/// How long a connection may be silent before the kernel asks its peer for a sign of life, and how
/// long the peer has before it is asked again.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How many times the kernel asks before it ends the connection.
pub const KEEP_ALIVE_PROBES: u32 = 3;

/// How long the kernel waits for a peer to confirm what it was sent, or to make room for what waits:
/// 2 min, but not less than a reader may stall. `None` if a reader may stall for ever.
pub fn unconfirmed_timeout(stall_timeout: Duration) -> Option<Duration> {
    const UNCONFIRMED_TIMEOUT: Duration = Duration::from_secs(120);
    (!stall_timeout.is_zero()).then(|| stall_timeout.max(UNCONFIRMED_TIMEOUT))
}

/// Bytes that the client of a stream may send after its request.
pub const MAX_SENT_TO_STREAM: u32 = 64 << 10;

/// How many of `connections` are left to everything that is no stream: publishing, health checks and
/// pages are answered when there are as many streams as possible.
///
/// ```
/// use saacms_realtime_core::route::limits::reserved_connections;
/// assert_eq!(reserved_connections(110_000), 256);
/// assert_eq!(reserved_connections(960), 60);
/// assert_eq!(reserved_connections(100), 16);
/// assert_eq!(reserved_connections(2), 1);
/// assert_eq!(reserved_connections(1), 0);
/// ```
pub fn reserved_connections(connections: usize) -> usize {
    (connections / 16).clamp(16, 256).min(connections / 2)
}

/// Connections that wait to be accepted: enough for all clients that reconnect at once.
pub const BACKLOG: u32 = 4_096;

/// The most open connections, unless configured: enough for the subscribers that a hub accepts by
/// default, and for publishers.
pub const DEFAULT_MAX_CONNECTIONS: usize = 110_000;

/// How long answers in flight may take once all streams have ended.
pub const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The bytes that an HTTP/2 connection begins with (RFC 9113, 3.4).
pub const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a connection that begins with these bytes speaks HTTP/2. `None` if too few bytes have
/// arrived to tell.
///
/// ```
/// use saacms_realtime_core::route::limits::{HTTP_2_PREFACE, speaks_http_2};
/// assert_eq!(speaks_http_2(HTTP_2_PREFACE), Some(true));
/// assert_eq!(speaks_http_2(b"POST /api/saacms/v1/publish"), Some(false));
/// assert_eq!(speaks_http_2(b"P"), None);
/// ```
pub fn speaks_http_2(begin: &[u8]) -> Option<bool> {
    let len = begin.len().min(HTTP_2_PREFACE.len());
    if begin[..len] != HTTP_2_PREFACE[..len] {
        Some(false)
    } else {
        (len == HTTP_2_PREFACE.len()).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_2_is_known_by_its_whole_preface_and_nothing_else() {
        let more = [HTTP_2_PREFACE, b"\0"].concat();
        for len in 0..=more.len() {
            let known = (len >= HTTP_2_PREFACE.len()).then_some(true);
            assert_eq!(speaks_http_2(&more[..len]), known, "{len} bytes");
        }
        assert_eq!(speaks_http_2(b"POST /"), Some(false));
        assert_eq!(speaks_http_2(b"PRI * HTTP/1.1"), Some(false));
    }
}
