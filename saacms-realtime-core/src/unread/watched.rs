use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::{CutSignal, Reader, Stall, Stalls};
use crate::time::Instant;

/// The most bytes of a body that a server holds at once.
const SLICE: usize = 16 << 10;

type BoxError = Box<dyn Error + Send + Sync>;

/// A body that knows whether its client takes bytes.
///
/// It hands out slices of up to 16 KiB, and the next one only after the last one was dropped: that
/// is when the client has taken it, or the kernel for it. So a server buffers one slice of a body,
/// whatever windows its client opens. While a slice is out, the reader [waits](Stalls); one that is
/// cut gets an error at its next poll.
///
/// A body never says that its last slice is the end: its task lives until the client has taken that
/// slice, and can be cut until then. `N` reads the clock.
pub struct Watched<B, N> {
    body: B,
    /// What follows of the last piece.
    rest: Bytes,
    out: Arc<Out>,
    reader: Reader,
    stalls: Stalls,
    signal: Arc<CutSignal>,
    /// While a slice is out.
    stall: Option<Stall>,
    now: N,
}

impl<B: Body, N: Fn() -> Instant> Watched<B, N> {
    /// Watches `body`. It is cut through `signal`.
    ///
    /// A body of known length counts as an answer, any other as a stream.
    pub fn new(body: B, stalls: Stalls, signal: Arc<CutSignal>, now: N) -> Self {
        let reader = match body.size_hint().exact() {
            Some(_) => Reader::OfAnswer,
            None => Reader::OfStream,
        };
        Self {
            body,
            rest: Bytes::new(),
            out: Arc::default(),
            reader,
            stalls,
            signal,
            stall: None,
            now,
        }
    }

    /// Hands out the next bytes of `rest`.
    fn slice(&mut self) -> Slice {
        let len = self.rest.len().min(SLICE);
        let bytes = self.rest.split_to(len);
        if self.rest.is_empty() {
            // An empty slice would still keep the piece in memory.
            self.rest = Bytes::new();
        }

        let now = (self.now)();
        match &mut self.stall {
            Some(stall) => stall.progress(now),
            none => {
                let signal = Arc::clone(&self.signal);
                *none = Some(self.stalls.begin(self.reader, signal, now));
            }
        }
        self.out.state().is_out = true;
        Slice {
            bytes,
            signal: Arc::clone(&self.signal),
            out: Arc::clone(&self.out),
        }
    }
}

impl<B, N> Body for Watched<B, N>
where
    B: Body<Error: Into<BoxError>> + Unpin,
    N: Fn() -> Instant + Unpin,
{
    type Data = Slice;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Slice>, BoxError>>> {
        let this = self.get_mut();
        if this.stall.is_some()
            && let Poll::Ready(reason) = this.signal.poll(cx)
        {
            return Poll::Ready(Some(Err(reason.into())));
        }
        ready!(this.out.poll_taken(cx));

        while this.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
                // Everything is taken, so nobody waits.
                this.stall = None;
                return Poll::Pending;
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.stall = None;
                    return Poll::Ready(None);
                }
            };
            match frame.into_data() {
                Ok(mut data) => this.rest = data.copy_to_bytes(data.remaining()),
                Err(other) => {
                    let trailers = other.into_trailers().ok();
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.slice()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && !self.out.state().is_out && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl<B, N> fmt::Debug for Watched<B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("reader", &self.reader)
            .field("rest", &self.rest.len())
            .finish_non_exhaustive()
    }
}

/// Whether the slice of a body is out, and the task that waits for it.
#[derive(Default)]
struct Out(Mutex<OutState>);

#[derive(Default)]
struct OutState {
    is_out: bool,
    waker: Option<Waker>,
}

impl Out {
    fn poll_taken(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !state.is_out {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, OutState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a [`Watched`] body has handed out; to be dropped when they are taken.
pub struct Slice {
    bytes: Bytes,
    signal: Arc<CutSignal>,
    out: Arc<Out>,
}

impl Slice {
    /// The slice for a server that takes nothing but `Bytes`. It does not tell of single bytes that
    /// are taken, only of the whole slice.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Buf for Slice {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        // As many as the client made room for, and perhaps not the whole slice.
        self.signal.progress();
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice")
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        // Dropped first: the task that is woken counts what is unread.
        drop(mem::take(&mut self.bytes));
        let waker = {
            let mut state = self.out.state();
            state.is_out = false;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unread::{Cut as _, CutReason, Ledger};
    use alloc::collections::VecDeque;
    use core::convert::Infallible;
    use core::time::Duration;
    use std::vec;

    type TestBody = Watched<Pieces, fn() -> Instant>;

    /// A body of these pieces; it ends after them, or waits for more.
    struct Pieces {
        pieces: VecDeque<Bytes>,
        ends: bool,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.pieces.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }

        fn is_end_stream(&self) -> bool {
            self.ends && self.pieces.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            let len = self.pieces.iter().map(Bytes::len).sum::<usize>() as u64;
            if self.ends {
                SizeHint::with_exact(len)
            } else {
                SizeHint::new()
            }
        }
    }

    fn watched(lens: &[usize], ends: bool) -> (TestBody, Stalls, Arc<CutSignal>) {
        let pieces = lens.iter().map(|len| Bytes::from(vec![7; *len])).collect();
        let stalls = Stalls::new(Ledger::counting(), 1, Duration::from_secs(120));
        let signal = Arc::new(CutSignal::default());
        let body = Watched::new(
            Pieces { pieces, ends },
            stalls.clone(),
            Arc::clone(&signal),
            (|| Instant::ZERO) as fn() -> Instant,
        );
        (body, stalls, signal)
    }

    /// The next slice, `None` at the end.
    fn next(body: &mut TestBody) -> Poll<Option<Slice>> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(body)
            .poll_frame(&mut cx)
            .map(|frame| Some(frame?.expect("not cut").into_data().expect("data")))
    }

    fn slice(body: &mut TestBody) -> Slice {
        match next(body) {
            Poll::Ready(Some(slice)) => slice,
            other @ (Poll::Ready(None) | Poll::Pending) => panic!("{other:?} is no slice"),
        }
    }

    fn waiting(stalls: &Stalls) -> bool {
        let cx = Context::from_waker(Waker::noop());
        stalls.poll(&cx, Instant::ZERO).1.is_some()
    }

    #[test]
    fn the_next_slice_comes_when_the_last_one_is_taken() {
        let (mut body, stalls, _) = watched(&[0, SLICE + 1, 2], true);
        assert_eq!(body.size_hint().exact(), Some(SLICE as u64 + 3));
        let first = slice(&mut body);
        assert_eq!(first.remaining(), SLICE);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(next(&mut body).is_pending() && waiting(&stalls));
        drop(first);
        assert_eq!(slice(&mut body).remaining(), 1);
        let last = slice(&mut body);
        assert_eq!(last.remaining(), 2);
        assert!(!body.is_end_stream(), "the client has not taken it");
        assert!(next(&mut body).is_pending());
        drop(last);
        assert!(body.is_end_stream());
        assert!(matches!(next(&mut body), Poll::Ready(None)));
        assert!(!waiting(&stalls));
    }

    #[test]
    fn nobody_waits_for_a_stream_that_has_nothing_to_take() {
        let (mut body, stalls, _) = watched(&[3], false);
        let bytes = slice(&mut body);
        assert!(waiting(&stalls));
        drop(bytes);
        assert!(next(&mut body).is_pending() && !waiting(&stalls));
        drop(body);
    }

    #[test]
    fn a_client_that_takes_one_byte_of_a_slice_is_not_cut() {
        let (mut body, stalls, signal) = watched(&[3], false);
        let mut bytes = slice(&mut body);
        bytes.advance(1);
        let cx = Context::from_waker(Waker::noop());
        let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
        assert_eq!(stalls.poll(&cx, at(120)).1, Some(at(240)));
        assert!(signal.poll(&cx).is_pending());
        assert_eq!(stalls.poll(&cx, at(240)).1, None);
        assert!(signal.poll(&cx).is_ready());
        drop(bytes);
    }

    #[test]
    fn a_body_that_is_cut_fails() {
        let (mut body, _, signal) = watched(&[3], false);
        let _bytes = slice(&mut body);
        signal.cut(CutReason::Stalled);
        let mut cx = Context::from_waker(Waker::noop());
        let frame = Pin::new(&mut body).poll_frame(&mut cx);
        assert!(matches!(frame, Poll::Ready(Some(Err(_)))), "{frame:?}");
    }

    #[test]
    fn a_slice_wakes_the_task_that_waits_for_it() {
        use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
        use std::task::Wake;

        #[derive(Default)]
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Relaxed);
            }
        }

        let (mut body, _, _) = watched(&[3, 3], false);
        let bytes = slice(&mut body);
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let polled = Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
        assert!(polled.is_pending() && !flag.0.load(Relaxed));
        drop(bytes);
        assert!(flag.0.load(Relaxed));
    }
}
