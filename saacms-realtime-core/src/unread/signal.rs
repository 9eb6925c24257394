use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a reader is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CutReason {
    /// It took no byte for longer than its timeout.
    Stalled,
    /// All unread bytes exceed their limit, and it has waited longest.
    TooManyUnreadBytes,
}

impl fmt::Display for CutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stalled => "it took no byte for too long",
            Self::TooManyUnreadBytes => "unread bytes exceed their limit",
        })
    }
}

impl core::error::Error for CutReason {}

/// How a reader is told that it is cut.
pub trait Cut: Send + Sync {
    /// The reader is to be ended, and everything that it holds dropped. Called once, from any
    /// thread, while no lock of the hub is held.
    fn cut(&self, reason: CutReason);

    /// Whether the reader took bytes since the last call. Asked at its deadline: if it did, its time
    /// begins anew. For writers that are not told of every byte; the others report
    /// [progress](super::Stall::progress).
    fn has_progressed(&self) -> bool {
        false
    }
}

/// A [`Cut`] that a task waits for.
#[derive(Debug, Default)]
pub struct CutSignal {
    state: Mutex<State>,
    has_progressed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    reason: Option<CutReason>,
    /// The task that asked last.
    waker: Option<Waker>,
}

impl CutSignal {
    /// Ready once the reader is cut. Only the task that asked last is woken.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<CutReason> {
        let mut state = self.state();
        if let Some(reason) = state.reason {
            return Poll::Ready(reason);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Runs `task` to its end, or up to the cut, where it is dropped.
    ///
    /// # Errors
    ///
    /// The reason why it was cut.
    pub fn run<F: Future>(
        self: Arc<Self>,
        task: F,
    ) -> impl Future<Output = Result<F::Output, CutReason>> {
        // Boxed, because a future that has another one moved into it has room for it twice.
        let mut task = Box::pin(task);
        poll_fn(move |cx| match self.poll(cx) {
            Poll::Ready(reason) => Poll::Ready(Err(reason)),
            Poll::Pending => task.as_mut().poll(cx).map(Ok),
        })
    }

    /// Records that the reader took some bytes.
    pub fn progress(&self) {
        self.has_progressed.store(true, Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cut for CutSignal {
    fn cut(&self, reason: CutReason) {
        let waker = {
            let mut state = self.state();
            state.reason = Some(reason);
            state.waker.take()
        };
        // The lock is released by now: a waker may poll at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn has_progressed(&self) -> bool {
        self.has_progressed.swap(false, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_dropped_when_its_reader_is_cut() {
        let signal = Arc::new(CutSignal::default());
        let held = Arc::new(());
        let task = {
            let held = Arc::clone(&held);
            async move {
                core::future::pending::<()>().await;
                drop(held);
            }
        };
        let mut running = Box::pin(Arc::clone(&signal).run(task));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(running.as_mut().poll(&mut cx).is_pending());
        signal.cut(CutReason::Stalled);
        let end = running.as_mut().poll(&mut cx);
        assert_eq!(end, Poll::Ready(Err(CutReason::Stalled)));
        drop(running);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_task_that_ends_by_itself_has_its_output() {
        let signal = Arc::new(CutSignal::default());
        let mut running = core::pin::pin!(signal.run(core::future::ready(7)));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(running.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    }
}
