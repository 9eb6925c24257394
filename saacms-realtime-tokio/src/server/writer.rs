//! How a lane writes: to many sockets in one system call if the kernel allows io_uring, otherwise
//! one by one.

use std::io;

use saacms_realtime_core::{Hub, Outgoing, Piece};

use super::socket::Chunks;
use super::sockets::Sockets;
use super::uring::{BATCH, Uring};

/// The fewest streams for which io_uring is worth its cost. Fewer are written to one by one.
const MIN_URING_SENDS: usize = 8;

/// Streams in a turn without io_uring.
const ONE_BY_ONE_BATCH: usize = 64;

/// Writes to the sockets of a lane.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` if the kernel does not allow it.
    uring: Option<Uring>,
    chunks: Chunks,
}

impl Writer {
    /// Creates a writer that uses io_uring if the kernel allows it. `hub` counts what it writes.
    pub(super) fn new(hub: Hub) -> Self {
        match Uring::new() {
            Ok(uring) => {
                tracing::debug!("streams are written to through io_uring");
                Self {
                    uring: Some(uring),
                    chunks: Chunks::new(hub),
                }
            }
            Err(reason) => {
                tracing::debug!(%reason, "streams are written to one by one, without io_uring");
                Self::one_by_one(hub)
            }
        }
    }

    fn one_by_one(hub: Hub) -> Self {
        Self {
            uring: None,
            chunks: Chunks::new(hub),
        }
    }

    /// How many streams a turn should have at most.
    pub(super) fn batch(&self) -> usize {
        if self.uring.is_some() {
            BATCH
        } else {
            ONE_BY_ONE_BATCH
        }
    }

    /// Writes to each stream its frames, or ends it, and empties `outgoing`.
    ///
    /// No stream may be blocked or occur twice, and there may be at most [`batch`](Self::batch)
    /// of them.
    ///
    /// # Errors
    ///
    /// io_uring fails.
    pub(super) fn write(
        &mut self,
        sockets: &mut Sockets,
        outgoing: &mut Vec<Outgoing>,
    ) -> io::Result<()> {
        let Self { uring, chunks } = self;
        let mut uring = uring.as_mut().filter(|_| outgoing.len() >= MIN_URING_SENDS);

        for Outgoing {
            stream: index,
            piece,
        } in outgoing.drain(..)
        {
            let Some(socket) = sockets.lane.get_mut(index) else {
                continue;
            };
            let outcome = match (piece, &mut uring) {
                (Piece::Frames(frames), Some(uring)) => {
                    uring.push(index, socket.shared(), chunks.chunk_of(frames).clone());
                    continue;
                }
                (Piece::Frames(frames), None) => socket.write(chunks.chunk_of(frames)),
                // Written by itself, because the socket is shut down once the last chunk is written.
                (Piece::End, _) => socket.end(),
            };
            sockets.apply(index, outcome);
        }

        let Some(uring) = uring else { return Ok(()) };
        uring.send(|index, chunk, written| {
            if let Some(socket) = sockets.lane.get_mut(index) {
                let outcome = socket.finish_write(chunk, written);
                sockets.apply(index, outcome);
            }
        })
    }

    /// Frees the chunk that is kept for the next stream.
    pub(super) fn forget(&mut self) {
        self.chunks.forget();
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;
    use core::time::Duration;
    use std::io::{Read as _, Write as _};
    use std::net::{self, TcpListener};
    use std::sync::Arc;

    use bytes::Bytes;
    use saacms_realtime_core::{Lane, ResourceKey};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::Realtime;
    use crate::server::inbox::Inbox;
    use crate::server::socket::Socket;
    use crate::server::stalls::Watch;

    const STREAMS: usize = 3 * MIN_URING_SENDS;
    /// A stream whose socket is full, one whose client has gone, and one that ends.
    const FULL: usize = 1;
    const GONE: usize = 3;
    const ENDING: usize = 5;

    /// Whether each stream is blocked, `None` if it is over, and what each client read in the end.
    fn write_with(realtime: &Realtime, mut writer: Writer) -> (Vec<Option<bool>>, Vec<Vec<u8>>) {
        let key = ResourceKey::new("posts", "1").unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let permits = Arc::new(Semaphore::new(STREAMS));
        let lane = Lane::new(Duration::ZERO, Waker::noop().clone());
        let inbox = Arc::new(Inbox::new(&mio::Poll::new().unwrap()).unwrap());
        let mut sockets = Sockets::new(lane, Watch::new(realtime), inbox);
        let mut clients = Vec::new();
        for place in 0..STREAMS {
            clients.push(net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            if place == FULL {
                while socket.write(&[b'.'; 65_536]).is_ok() {}
            } else if place == GONE {
                socket.shutdown(net::Shutdown::Write).unwrap();
            }
            let socket = mio::net::TcpStream::from_std(socket);
            let subscription = realtime.subscription(None, &key, None).unwrap();
            let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
            assert_eq!(
                sockets
                    .lane
                    .insert(subscription, Socket::new(socket, permit)),
                place
            );
        }
        let frames = Bytes::from(vec![b'x'; 300]);
        let mut outgoing: Vec<_> = (0..STREAMS)
            .map(|stream| {
                let piece = if stream == ENDING {
                    Piece::End
                } else {
                    Piece::Frames(frames.clone())
                };
                Outgoing { stream, piece }
            })
            .collect();
        writer.write(&mut sockets, &mut outgoing).unwrap();
        assert!(outgoing.is_empty());
        let states = (0..STREAMS)
            .map(|stream| Some(sockets.lane.get_mut(stream)?.is_blocked()))
            .collect();
        // No send shares a socket any more, so this closes them.
        drop(sockets);
        let read = |mut client: net::TcpStream| {
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).unwrap();
            bytes.retain(|byte| *byte != b'.');
            bytes
        };
        (states, clients.into_iter().map(read).collect())
    }

    #[tokio::test]
    async fn both_ways_of_writing_write_the_same() {
        let realtime = Realtime::new(Default::default(), Default::default()).unwrap();
        let hub = realtime.hub().clone();
        let (states, read) = write_with(&realtime, Writer::one_by_one(hub.clone()));
        let chunk = [b"12c\r\n", &[b'x'; 300][..], b"\r\n"].concat();
        for (stream, (state, read)) in states.iter().zip(&read).enumerate() {
            let (expected, bytes): (_, &[u8]) = match stream {
                FULL => (Some(true), b""),
                GONE => (None, b""),
                ENDING => (None, b"0\r\n\r\n"),
                _ => (Some(false), &chunk),
            };
            assert_eq!((*state, &read[..]), (expected, bytes), "{stream}");
        }
        let writer = Writer::new(hub);
        if writer.uring.is_none() {
            // Not `eprintln!`, which the test harness captures.
            let line = "not tested: writing through io_uring, which this kernel does not allow\n";
            io::stderr().write_all(line.as_bytes()).unwrap();
            return;
        }
        assert_eq!(write_with(&realtime, writer), (states, read));
    }
}
