//! A socket of a lane, and the chunks that are written to it.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::rc::Rc;

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use saacms_realtime_core::Hub;
use saacms_realtime_core::route::limits::MAX_SENT_TO_STREAM;
use tokio::sync::OwnedSemaphorePermit;

/// The socket of a stream whose response head is sent.
///
/// It has no queue: only the rest of the last chunk can wait for room.
#[derive(Debug)]
pub(super) struct Socket {
    /// Shared with a send through io_uring until the kernel has finished it.
    socket: Rc<TcpStream>,
    /// The rest of the last chunk. If not empty, the kernel's buffer is full.
    unsent: Bytes,
    /// `unsent` is the last chunk of the body; after it the connection closes.
    is_ending: bool,
    /// Bytes that the client has sent after its request.
    discarded: u32,
    /// Counts the connection until it closes.
    _permit: OwnedSemaphorePermit,
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything is written.
    Done,
    /// The kernel's buffer is full; `mio` reports when it has room.
    Blocked,
    /// The client has gone, or the stream has ended.
    Over,
}

impl Socket {
    pub(super) fn new(socket: TcpStream, permit: OwnedSemaphorePermit) -> Self {
        Self {
            socket: Rc::new(socket),
            unsent: Bytes::new(),
            is_ending: false,
            discarded: 0,
            _permit: permit,
        }
    }

    /// Registers with `poll`, which then reports that the socket has room or is closed.
    pub(super) fn register(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        let socket = Rc::get_mut(&mut self.socket).ok_or(io::ErrorKind::ResourceBusy)?;
        poll.registry()
            .register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether something still waits for room in the kernel's buffer.
    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty() || self.is_ending
    }

    /// Bytes that wait for room.
    pub(super) fn unsent_len(&self) -> usize {
        self.unsent.len()
    }

    /// Writes a chunk. The socket must not be blocked.
    pub(super) fn write(&mut self, chunk: &Bytes) -> Outcome {
        let written = (&*self.socket).write(chunk);
        self.finish_write(chunk, written)
    }

    /// The socket itself, for a send through io_uring and for its options.
    pub(super) fn shared(&self) -> &Rc<TcpStream> {
        &self.socket
    }

    /// Continues after a write of `chunk` that returned `written`.
    pub(super) fn finish_write(&mut self, chunk: &Bytes, written: io::Result<usize>) -> Outcome {
        match written {
            Ok(len) if len == chunk.len() => Outcome::Done,
            // `mio` reports room only after a write would have blocked, so the rest is tried at once.
            Ok(len) => {
                self.unsent = chunk.slice(len..);
                self.flush()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unsent = chunk.clone();
                Outcome::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.unsent = chunk.clone();
                self.flush()
            }
            Err(_) => Outcome::Over,
        }
    }

    /// Writes what is left, and closes the connection if that was its end.
    pub(super) fn flush(&mut self) -> Outcome {
        while !self.unsent.is_empty() {
            match (&*self.socket).write(&self.unsent) {
                Ok(len) => self.unsent.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Outcome::Blocked;
                }
                Err(_) => return Outcome::Over,
            }
        }

        // An empty slice would still keep the shared chunk in memory.
        self.unsent = Bytes::new();
        if self.is_ending {
            self.shut_down()
        } else {
            Outcome::Done
        }
    }

    /// Ends the body, then the connection. The socket must not be blocked.
    pub(super) fn end(&mut self) -> Outcome {
        self.is_ending = true;
        self.unsent = Bytes::from_static(LAST_CHUNK);
        self.flush()
    }

    /// Discards what the client has sent after its request: over if that is too much.
    ///
    /// Unread, it would stay in the kernel's memory as long as the stream.
    pub(super) fn discard(&mut self) -> Outcome {
        let mut unread = [0; 4_096];
        while self.discarded <= MAX_SENT_TO_STREAM {
            match (&*self.socket).read(&mut unread) {
                Ok(len) if len > 0 => self.discarded += len as u32,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Everything is read. An end or an error is an event of its own.
                Ok(_) | Err(_) => return Outcome::Done,
            }
        }
        Outcome::Over
    }

    fn shut_down(&mut self) -> Outcome {
        // Closing a socket with unread bytes sends a reset, which can destroy the last bytes on
        // their way.
        self.discard();
        // Fails only if the client has gone, which is an end as well.
        let _ = self.socket.shutdown(Shutdown::Write);
        Outcome::Over
    }
}

/// The end of a chunked body (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Makes the chunks of chunked bodies. Streams that get the same bytes share a chunk.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Counts the chunks.
    hub: Hub,
    /// The bytes in `chunk`. Kept alive so that no other bytes can have their address.
    frames: Bytes,
    chunk: Bytes,
}

impl Chunks {
    pub(super) fn new(hub: Hub) -> Self {
        Self {
            hub,
            frames: Bytes::new(),
            chunk: Bytes::new(),
        }
    }

    /// Frees the last chunk.
    pub(super) fn forget(&mut self) {
        (self.frames, self.chunk) = (Bytes::new(), Bytes::new());
    }

    /// Returns `frames` as a chunk (RFC 9112, 7.1): the last chunk again if the bytes are the same.
    pub(super) fn chunk_of(&mut self, frames: Bytes) -> &Bytes {
        // Compared by address: the streams of a record are given clones of one `Bytes`.
        let is_same = (self.frames.as_ptr(), self.frames.len()) == (frames.as_ptr(), frames.len());
        if !is_same {
            // 20: a length of at most 16 digits, and two line ends.
            let mut chunk = Vec::with_capacity(frames.len() + 20);
            write!(chunk, "{:x}\r\n", frames.len()).expect("a Vec is never full");
            chunk.extend_from_slice(&frames);
            chunk.extend_from_slice(b"\r\n");
            self.chunk = self.hub.share(chunk);
            self.frames = frames;
        }
        &self.chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_takes_little_memory() {
        assert!(size_of::<Socket>() <= 64, "{}", size_of::<Socket>());
    }

    #[test]
    fn the_same_bytes_become_a_chunk_once() {
        let hub = Hub::new(Default::default(), 0).unwrap();
        let mut chunks = Chunks::new(hub);
        let frames = Bytes::from(vec![b'x'; 300]);
        let chunk = chunks.chunk_of(frames.clone()).clone();
        assert!(chunk.starts_with(b"12c\r\nx") && chunk.ends_with(b"x\r\n"));
        assert_eq!(chunk.len(), 300 + 7);
        assert_eq!(chunks.chunk_of(frames).as_ptr(), chunk.as_ptr());
        assert_eq!(chunks.chunk_of(Bytes::from_static(b"y")), "1\r\ny\r\n");
        assert_eq!(chunks.chunk_of(chunk.slice(5..6)), "1\r\nx\r\n");
    }
}
