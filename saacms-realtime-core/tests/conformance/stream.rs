//! A client's end of an event stream.

// Each test crate that includes this file uses only a part of it.
#![allow(dead_code)]

use core::net::SocketAddr;

use super::client::{Connection, Head, Request};

/// An open event stream, with the text received but not yet read by the test.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) head: Head,
    connection: Connection,
    text: Vec<u8>,
    /// How many bytes of `text` the test has read.
    taken: usize,
}

impl Stream {
    /// Sends a request on a new connection. The answer must be a stream.
    pub(crate) fn open(address: SocketAddr, request: &Request) -> Self {
        Self::over(Connection::open(address), request)
    }

    /// Sends a request on an open connection. The answer must be a stream.
    pub(crate) fn over(mut connection: Connection, request: &Request) -> Self {
        connection.send(request.bytes());
        let head = connection.head().expect("an answer");
        assert_eq!(head.status, 200, "a stream, not {head:?}");
        assert_eq!(
            head.header("transfer-encoding"),
            Some("chunked"),
            "{head:?}"
        );

        Self {
            head,
            connection,
            text: Vec::new(),
            taken: 0,
        }
    }

    /// Checks that the next bytes are exactly these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        if !self.begins_with(expected) {
            let come = excerpt(&self.unread()[..self.unread().len().min(expected.len())]);
            panic!(
                "the stream has\n  {come}\ninstead of\n  {}",
                excerpt(expected)
            );
        }
        self.taken += expected.len();
    }

    /// Whether the next bytes are these. Returns at the first byte that differs.
    pub(crate) fn begins_with(&mut self, expected: impl AsRef<[u8]>) -> bool {
        let expected = expected.as_ref();
        loop {
            let come = &self.unread()[..self.unread().len().min(expected.len())];
            if come.len() == expected.len() {
                return come == expected;
            }
            if !expected.starts_with(come) || !self.receive() {
                return false;
            }
        }
    }

    /// Reads the greeting of a client that named no last event ID. Returns the place where the client
    /// begins, which it can name when it comes back.
    #[track_caller]
    pub(crate) fn greeting(&mut self) -> String {
        self.expect(":keepalive\n\n");
        self.place()
    }

    /// Reads a block that has an ID and nothing to dispatch. Returns the ID.
    #[track_caller]
    pub(crate) fn place(&mut self) -> String {
        let block = self.block();
        let place = block
            .strip_prefix("id: ")
            .and_then(|rest| rest.strip_suffix("\n\n"));
        place
            .filter(|place| !place.contains('\n'))
            .unwrap_or_else(|| panic!("an ID alone, not {block:?}"))
            .to_owned()
    }

    /// Reads the next block, including the blank line that ends it.
    #[track_caller]
    pub(crate) fn block(&mut self) -> String {
        loop {
            let end = self.unread().windows(2).position(|bytes| bytes == b"\n\n");
            if let Some(end) = end {
                let block = self.unread()[..end + 2].to_vec();
                self.taken += block.len();
                return String::from_utf8(block).expect("a stream in UTF-8");
            }
            let come = excerpt(self.unread());
            assert!(
                self.receive(),
                "the stream ends where a block was due, with {come}"
            );
        }
    }

    /// Reads the next chunk of the body, as the server wrote it.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> String {
        assert!(
            self.unread().is_empty(),
            "asked for before anything of it was read"
        );
        let chunk = self.connection.chunk().expect("a chunk");
        String::from_utf8(chunk).expect("a stream in UTF-8")
    }

    /// Checks that the stream ends here, with a complete body.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let ended = self.unread().is_empty() && !self.receive();
        assert!(
            ended,
            "the stream continues with {}",
            excerpt(self.unread())
        );
    }

    /// Sends more than the request.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.send(bytes);
    }

    /// Checks that the connection ends here, without the end of the body.
    #[track_caller]
    pub(crate) fn expect_cut(&mut self) {
        assert!(self.unread().is_empty() && self.connection.ends());
    }

    fn unread(&self) -> &[u8] {
        &self.text[self.taken..]
    }

    fn receive(&mut self) -> bool {
        if self.taken > self.text.len() / 2 {
            self.text.drain(..self.taken);
            self.taken = 0;
        }
        match self.connection.chunk() {
            Some(chunk) => self.text.extend_from_slice(&chunk),
            None => return false,
        }
        true
    }
}

/// The beginning of `bytes`, for a message.
fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 400;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX)]);
    if bytes.len() > MAX {
        format!("{start:?}… ({} bytes)", bytes.len())
    } else {
        format!("{start:?}")
    }
}
