//! Reads on from a client that is still sending while its connection closes.

use core::pin::Pin;
use core::task::{Context, Poll};

use saacms_realtime_core::route::limits::{LINGER_BYTES, LINGER_TIME};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What a client may still send, and for how long.
#[derive(Debug)]
pub(super) struct Linger {
    left: usize,
    timer: Pin<Box<Sleep>>,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self {
            left: LINGER_BYTES,
            timer: Box::pin(sleep(LINGER_TIME)),
        }
    }

    /// Discards what arrives. Ready once the client has closed its side or reached a limit.
    pub(super) fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut unread = [0; 16 << 10];
        while self.left > 0 {
            let mut buffer = ReadBuf::new(&mut unread);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                }
                // Closed, or broken.
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }
}
