//! How a lane writes: to many sockets in one system call where the kernel allows that, otherwise to
//! one after the other.

use std::io;

use saacms_realtime_core::hub::{Lane, Outgoing};

use super::ring::{BATCH, Ring};
use super::stream::{Chunks, Progress, Stream};

/// Fewer than these are written to one after the other: it is no dearer then.
const FEW: usize = 8;
/// Streams in a turn of a lane that writes to one after the other.
const ONE_BY_ONE: usize = 64;

#[derive(Debug)]
pub(super) struct Writer {
    ring: Option<Ring>,
    chunks: Chunks,
}

impl Writer {
    /// Finds out which way it goes; it stays so.
    pub(super) fn new() -> Self {
        match Ring::new() {
            Ok(ring) => {
                tracing::debug!("streams are written to through io_uring");
                Self {
                    ring: Some(ring),
                    chunks: Chunks::default(),
                }
            }
            Err(reason) => {
                tracing::debug!(%reason, "streams are written to one by one, without io_uring");
                Self::one_by_one()
            }
        }
    }

    fn one_by_one() -> Self {
        Self {
            ring: None,
            chunks: Chunks::default(),
        }
    }

    /// How many streams are worth gathering.
    pub(super) fn batch(&self) -> usize {
        if self.ring.is_some() {
            BATCH
        } else {
            ONE_BY_ONE
        }
    }

    /// Gives each stream its piece; nothing may be waiting for any of them, none may be named
    /// twice, and there may be no more than [`batch`](Self::batch).
    ///
    /// # Errors
    ///
    /// The kernel no longer does what it did.
    pub(super) fn write(
        &mut self,
        lane: &mut Lane<Stream>,
        outgoing: &mut Vec<Outgoing>,
    ) -> io::Result<()> {
        let Self { ring, chunks } = self;
        let mut ring = ring.as_mut().filter(|_| outgoing.len() >= FEW);
        for (index, frames) in outgoing.drain(..) {
            let Some(stream) = lane.get_mut(index) else {
                continue;
            };
            let progress = match (frames, &mut ring) {
                (Some(frames), Some(ring)) => {
                    ring.push(index, stream.socket(), chunks.chunk_of(frames).clone());
                    continue;
                }
                (Some(frames), None) => stream.write(chunks.chunk_of(frames)),
                (None, _) => stream.end(),
            };
            settle(lane, index, progress);
        }
        let Some(ring) = ring else { return Ok(()) };
        ring.send(|index, chunk, written| {
            if let Some(stream) = lane.get_mut(index) {
                let progress = stream.go_on(chunk, written);
                settle(lane, index, progress);
            }
        })
    }

    /// Gives memory back.
    pub(super) fn shrink(&mut self) {
        self.chunks = Chunks::default();
    }
}

/// Tells a lane what came of a write.
pub(super) fn settle(lane: &mut Lane<Stream>, index: usize, progress: Progress) {
    match progress {
        Progress::Done => {}
        Progress::Blocked => lane.block(index),
        Progress::Over => drop(lane.remove(index)),
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
    use saacms_realtime_core::name::ResourceKey;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::Realtime;

    const STREAMS: usize = 3 * FEW;
    /// One whose socket is full, one whose client is gone, and one that is to end.
    const FULL: usize = 1;
    const GONE: usize = 3;
    const ENDING: usize = 5;

    /// Whether each stream is blocked, `None` where it is over, and what each client read after that.
    fn write_with(mut writer: Writer) -> (Vec<Option<bool>>, Vec<Vec<u8>>) {
        let realtime = Realtime::new(Default::default(), Default::default()).unwrap();
        let key = ResourceKey::new("posts", "1").unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let permits = Arc::new(Semaphore::new(STREAMS));
        let mut lane = Lane::new(Duration::ZERO, Waker::noop().clone());
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
            let subscription = realtime.subscription(&key, None).unwrap();
            let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
            assert_eq!(
                lane.insert(subscription, Stream::new(socket, permit)),
                place
            );
        }
        let frames = Bytes::from(vec![b'x'; 300]);
        let mut outgoing: Vec<_> = (0..STREAMS)
            .map(|stream| (stream, (stream != ENDING).then(|| frames.clone())))
            .collect();
        writer.write(&mut lane, &mut outgoing).unwrap();
        assert!(outgoing.is_empty());
        let came = (0..STREAMS)
            .map(|stream| Some(lane.get_mut(stream)?.is_blocked()))
            .collect();
        // Every share of a socket was given back, so this closes it.
        drop(lane);
        let read = |mut client: net::TcpStream| {
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).unwrap();
            bytes.retain(|byte| *byte != b'.');
            bytes
        };
        (came, clients.into_iter().map(read).collect())
    }

    #[tokio::test]
    async fn both_ways_of_writing_write_the_same() {
        let (came, read) = write_with(Writer::one_by_one());
        let chunk = [b"12c\r\n", &[b'x'; 300][..], b"\r\n"].concat();
        for (stream, (came, read)) in came.iter().zip(&read).enumerate() {
            let (expected, bytes): (_, &[u8]) = match stream {
                FULL => (Some(true), b""),
                GONE => (None, b""),
                ENDING => (None, b"0\r\n\r\n"),
                _ => (Some(false), &chunk),
            };
            assert_eq!((*came, &read[..]), (expected, bytes), "{stream}");
        }
        let writer = Writer::new();
        if writer.ring.is_none() {
            // Not `eprintln!`, which the test harness keeps to itself.
            let line = "not tested: writing through io_uring, which this kernel does not allow\n";
            io::stderr().write_all(line.as_bytes()).unwrap();
            return;
        }
        assert_eq!(write_with(writer), (came, read));
    }
}
