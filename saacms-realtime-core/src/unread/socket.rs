use alloc::sync::Arc;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll};
use std::io;

use super::{CutSignal, Reader, Stall, Stalls};
use crate::time::Instant;

/// Watches the socket of a connection that carries one answer or stream at a time: HTTP/1.
///
/// Nothing is added to a write that the socket takes. One that it does not take begins a stall; a
/// connection that is cut fails at its next write.
#[derive(Debug)]
pub struct SocketWatch {
    stalls: Stalls,
    kind: ReaderKind,
    signal: Arc<CutSignal>,
    /// While the socket is full.
    stall: Option<Stall>,
}

/// What a connection writes at this moment, as its service knows it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ReaderKind(Arc<AtomicBool>);

impl ReaderKind {
    /// Records whether the response that follows is a stream: a body of unknown length.
    #[cfg(feature = "http")]
    pub fn set_by(&self, body: &impl http_body::Body) {
        let is_stream = !body.is_end_stream() && body.size_hint().exact().is_none();
        self.0.store(is_stream, Relaxed);
    }

    fn reader(&self) -> Reader {
        if self.0.load(Relaxed) {
            Reader::OfStream
        } else {
            Reader::OfAnswer
        }
    }
}

impl SocketWatch {
    /// Watches a socket; `kind` says what is written to it.
    pub fn new(stalls: Stalls, kind: ReaderKind) -> Self {
        Self {
            stalls,
            kind,
            signal: Arc::default(),
            stall: None,
        }
    }

    /// Passes on the outcome of a write.
    ///
    /// # Errors
    ///
    /// Those of the write; [`TimedOut`](io::ErrorKind::TimedOut) if the reader is cut. Then close the
    /// socket, and do not wait until what it still holds is sent.
    pub fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &Context<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }

        if self.stall.is_none() {
            let reader = self.kind.reader();
            let stall = self
                .stalls
                .begin(reader, Arc::clone(&self.signal) as _, now());
            self.stall = Some(stall);
        }
        // A connection that is cut never writes again, so the signal need not be reset.
        self.signal
            .poll(cx)
            .map(|reason| Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }
}
