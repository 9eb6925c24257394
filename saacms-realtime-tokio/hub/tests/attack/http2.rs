//! An HTTP/2 client that asks, answers pings, and never opens its window.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One connection. All that it receives, other than pings and settings, is dropped.
pub(super) struct Http2 {
    socket: TcpStream,
    next_stream: u32,
    received: Vec<u8>,
    has_ended: bool,
}

impl Http2 {
    /// Begins a connection each of whose streams may be sent `window` bytes.
    pub(super) fn connect(socket: TcpStream, window: u32) -> Self {
        let mut connection = Self {
            socket,
            next_stream: 1,
            received: Vec::new(),
            has_ended: false,
        };
        // SETTINGS_INITIAL_WINDOW_SIZE is setting 4.
        let setting = [&[0, 4], &window.to_be_bytes()[..]].concat();
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        connection.send(&frame(SETTINGS, 0, 0, &setting));
        connection
    }

    /// Asks for `path` on a new stream.
    pub(super) fn get(&mut self, path: &str, last_event_id: Option<&str>) {
        // HPACK: `GET`, `http` and names of the static table by index, all else as it is.
        let mut block = b"\x82\x86\x01\x09localhost\x04".to_vec();
        literal(&mut block, path);
        if let Some(id) = last_event_id {
            block.push(0);
            literal(&mut block, "last-event-id");
            literal(&mut block, id);
        }

        let stream = self.next_stream;
        self.next_stream += 2;
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        // The server answers pings and settings while it refuses streams, and waits for acks.
        if stream % 128 == 1 {
            self.answer_pings();
        }
    }

    /// Reads what has arrived, and acknowledges pings and settings.
    pub(super) fn answer_pings(&mut self) {
        let _ = self.socket.set_nonblocking(true);
        let mut piece = [0; 16_384];
        while let Ok(len) = self.socket.read(&mut piece) {
            if len == 0 {
                self.has_ended = true;
                break;
            }
            self.received.extend_from_slice(&piece[..len]);
        }
        let _ = self.socket.set_nonblocking(false);

        let mut answers = Vec::new();
        let mut rest = &self.received[..];
        while let Some((head, after)) = rest.split_at_checked(9) {
            let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some((payload, next)) = after.split_at_checked(len) else {
                break;
            };
            match (head[3], head[4] & ACK) {
                (PING, 0) => answers.extend(frame(PING, ACK, 0, payload)),
                (SETTINGS, 0) => answers.extend(frame(SETTINGS, ACK, 0, &[])),
                _ => {}
            }
            rest = next;
        }
        self.received = rest.to_vec();
        self.send(&answers);
    }

    /// Sends what the server takes: one that cuts an attacker does no wrong.
    fn send(&mut self, bytes: &[u8]) {
        if !self.has_ended && self.socket.write_all(bytes).is_err() {
            self.has_ended = true;
        }
    }
}

/// A string of HPACK, without Huffman's code.
fn literal(block: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).expect("a short text");
    assert!(len < 127, "a longer text has a longer length");
    block.push(len);
    block.extend_from_slice(text.as_bytes());
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
