//! An open event stream, read as far as a test asks.

// Each test crate that includes this file uses a part of it.
#![allow(dead_code)]

use core::net::SocketAddr;

use super::client::{Connection, Head, Request};

/// An open event stream: what has come and was not yet asked for.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) head: Head,
    connection: Connection,
    text: Vec<u8>,
    /// Bytes of `text` that have been taken.
    taken: usize,
}

impl Stream {
    /// Sends a request that must be answered with a stream.
    pub(crate) fn open(address: SocketAddr, request: &Request) -> Self {
        Self::over(Connection::open(address), request)
    }

    /// The same on a connection that is open.
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

    /// The next bytes must be exactly these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        if !self.begins_with(expected) {
            let come = excerpt(&self.unread()[..self.unread().len().min(expected.len())]);
            panic!(
                "the stream says\n  {come}\ninstead of\n  {}",
                excerpt(expected)
            );
        }
        self.taken += expected.len();
    }

    /// Whether the next bytes are these. What is wrong already is not waited for.
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

    /// The next block, with the blank line that ends it.
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

    /// The next chunk of the body, as it was written.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> String {
        assert!(
            self.unread().is_empty(),
            "asked for before anything of it was read"
        );
        let chunk = self.connection.chunk().expect("a chunk");
        String::from_utf8(chunk).expect("a stream in UTF-8")
    }

    /// The stream must end here, the way a whole body does.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let ended = self.unread().is_empty() && !self.receive();
        assert!(ended, "the stream goes on with {}", excerpt(self.unread()));
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

/// Enough of `bytes` to tell what they are.
fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 400;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX)]);
    if bytes.len() > MAX {
        format!("{start:?}… ({} bytes)", bytes.len())
    } else {
        format!("{start:?}")
    }
}
