//! One socket of a lane, and the bytes that it is given.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::rc::Rc;

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use tokio::sync::OwnedSemaphorePermit;

/// The socket of a stream whose response head is out. It has no queue; what the socket did not take
/// of the last piece is all that waits.
#[derive(Debug)]
pub(super) struct Stream {
    /// Shared with a write that is under way.
    socket: Rc<TcpStream>,
    unsent: Bytes,
    is_ending: bool,
    _permit: OwnedSemaphorePermit,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All was taken.
    Done,
    /// The socket is full; it tells when it has room.
    Blocked,
    /// The client is gone, or has all there will be.
    Over,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, permit: OwnedSemaphorePermit) -> Self {
        let (unsent, is_ending) = Default::default();
        Self {
            socket: Rc::new(socket),
            unsent,
            is_ending,
            _permit: permit,
        }
    }

    /// Has `poll` tell when the socket has room, or is closed.
    pub(super) fn watch(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        let socket = Rc::get_mut(&mut self.socket).ok_or(io::ErrorKind::ResourceBusy)?;
        poll.registry()
            .register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether the socket has not yet taken what it was given.
    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty() || self.is_ending
    }

    /// Writes a piece; nothing may be waiting.
    pub(super) fn write(&mut self, chunk: &Bytes) -> Progress {
        let written = (&*self.socket).write(chunk);
        self.go_on(chunk, written)
    }

    pub(super) fn socket(&self) -> &Rc<TcpStream> {
        &self.socket
    }

    /// Goes on from a write of `chunk` to the socket.
    pub(super) fn go_on(&mut self, chunk: &Bytes, written: io::Result<usize>) -> Progress {
        match written {
            Ok(len) if len == chunk.len() => Progress::Done,
            Ok(len) => {
                self.unsent = chunk.slice(len..);
                self.write_on()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unsent = chunk.clone();
                Progress::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.unsent = chunk.clone();
                self.write_on()
            }
            Err(_) => Progress::Over,
        }
    }

    /// Goes on where the socket was full.
    pub(super) fn write_on(&mut self) -> Progress {
        while !self.unsent.is_empty() {
            match (&*self.socket).write(&self.unsent) {
                Ok(len) => self.unsent.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Blocked;
                }
                Err(_) => return Progress::Over,
            }
        }
        // Not the shared bytes of which it was a part.
        self.unsent = Bytes::new();
        if self.is_ending {
            self.part()
        } else {
            Progress::Done
        }
    }

    /// Ends the stream, and the connection behind it.
    pub(super) fn end(&mut self) -> Progress {
        self.is_ending = true;
        self.unsent = Bytes::from_static(LAST_CHUNK);
        self.write_on()
    }

    fn part(&self) -> Progress {
        // What a client sent that it should not have would turn the end into a reset, which takes
        // the last bytes with it.
        let mut unread = [0; 4_096];
        for _ in 0..16 {
            if !matches!((&*self.socket).read(&mut unread), Ok(len) if len > 0) {
                break;
            }
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        Progress::Over
    }
}

/// The end of a chunked body (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Pieces as chunks of a chunked body. Streams that are given the same bytes share the chunk.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    frames: Bytes,
    chunk: Bytes,
}

impl Chunks {
    /// `frames` as a chunk (RFC 9112, 7.1).
    pub(super) fn chunk_of(&mut self, frames: Bytes) -> &Bytes {
        let is_known = (self.frames.as_ptr(), self.frames.len()) == (frames.as_ptr(), frames.len());
        if !is_known {
            let mut chunk = Vec::with_capacity(frames.len() + 20);
            write!(chunk, "{:x}\r\n", frames.len()).expect("a Vec is never full");
            chunk.extend_from_slice(&frames);
            chunk.extend_from_slice(b"\r\n");
            self.chunk = Bytes::from(chunk);
            // Kept, so that no other bytes come to lie where these do.
            self.frames = frames;
        }
        &self.chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_little_memory() {
        assert!(size_of::<Stream>() <= 64, "{}", size_of::<Stream>());
    }

    #[test]
    fn the_same_bytes_are_made_a_chunk_once() {
        let mut chunks = Chunks::default();
        let frames = Bytes::from(vec![b'x'; 300]);
        let chunk = chunks.chunk_of(frames.clone()).clone();
        assert!(chunk.starts_with(b"12c\r\nx") && chunk.ends_with(b"x\r\n"));
        assert_eq!(chunk.len(), 300 + 7);
        assert_eq!(chunks.chunk_of(frames).as_ptr(), chunk.as_ptr());
        assert_eq!(chunks.chunk_of(Bytes::from_static(b"y")), "1\r\ny\r\n");
        assert_eq!(chunks.chunk_of(chunk.slice(5..6)), "1\r\nx\r\n");
    }
}
