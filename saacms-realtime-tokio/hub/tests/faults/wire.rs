//! As much HTTP/1.1 as a client needs here. Every step may fail.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

/// Longer than any answer of a running server takes.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) const API: &str = "/api/saacms/v1";

pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The request that subscribes to `posts/{id}`.
pub(crate) fn subscribe_request(id: usize, last_event_id: &str) -> String {
    let resume = match last_event_id {
        "" => String::new(),
        id => format!("Last-Event-ID: {id}\r\n"),
    };
    format!("GET {API}/posts/{id}/subscribe HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n")
}

/// The request that publishes event `number` of `posts/{id}`.
pub(crate) fn publish_request(id: usize, number: u64, etag: Option<u64>, pad: usize) -> String {
    let pad = "x".repeat(pad);
    let etag = etag.map_or_else(String::new, |etag| format!(r#","etag":"v{etag}""#));
    let body = format!(
        r#"{{"type":"changed","slug":"posts","id":"{id}","record":{{"n":{number},"pad":"{pad}"}}{etag}}}"#
    );
    let len = body.len();
    format!(
        "POST {API}/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    )
}

/// Sends a request and reads its answer, which must have no body. Returns the status.
pub(crate) fn exchange(stream: &mut TcpStream, request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes())?;
    let head = head(stream)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads the head of an answer, and not a byte more.
pub(crate) fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Decodes a chunked body (RFC 9112, 7.1) that arrives in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    size_line: String,
    /// Bytes of this chunk that have not arrived yet, including the CRLF after it.
    left: usize,
}

impl Chunks {
    /// Appends the content of `bytes` to `body`. Returns false at the end of the body.
    pub(crate) fn take(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> bool {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let len = self.left.min(bytes.len());
                let data = self.left.saturating_sub(2).min(len);
                body.extend_from_slice(&bytes[..data]);
                self.left -= len;
                bytes = &bytes[len..];
                continue;
            }

            bytes = rest;
            if *first != b'\n' {
                self.size_line.push(char::from(*first));
                continue;
            }

            let size = usize::from_str_radix(self.size_line.trim_end(), 16).expect("a chunk size");
            self.size_line.clear();

            if size == 0 {
                return false;
            }
            self.left = size + 2;
        }
        true
    }
}

#[test]
fn chunks_cut_anywhere_are_one_body() {
    let wire = b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    for cut in 1..wire.len() {
        let (mut chunks, mut body) = (Chunks::default(), Vec::new());
        let go_on: Vec<_> = wire
            .chunks(cut)
            .map_while(|piece| chunks.take(piece, &mut body).then_some(()))
            .collect();
        assert_eq!(body, b"abc0123456789abcdef", "{cut}");
        assert!(go_on.len() < wire.chunks(cut).len(), "the end was seen");
    }
}
