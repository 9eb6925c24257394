use alloc::sync::Weak;
use core::array;
use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::Hub;
use super::sync::{AtomicU64, Mutex, lock};
use crate::notice::Notice;
use crate::refusal::Refusal;
use crate::time::{Instant, Now};

/// Time between two lines of one kind.
const INTERVAL: Duration = Duration::from_secs(60);

const KINDS: usize = Notice::ALL.len();

/// The next step of an adapter that logs a hub's notices; [`Hub::poll_notices`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum NoticeOutput {
    /// Write one line.
    Line {
        /// The kind.
        notice: Notice,
        /// How often it happened since the last line of its kind.
        count: u64,
    },
    /// Nothing to write until the waker is called, or until `wake_at`.
    Idle {
        /// When the next line is due; `None` if nothing waits for one.
        wake_at: Option<Instant>,
    },
}

/// Counts notices by kind, and decides when each kind gets a line: at once if its last line is a
/// minute old, else when it is.
pub(super) struct Notices {
    /// How often each kind happened since its last line.
    counts: [AtomicU64; KINDS],
    reporter: Mutex<Reporter>,
}

struct Reporter {
    /// When each kind may have its next line.
    next: [Instant; KINDS],
    /// Woken by the first notice of a kind since its last line, and when the hub is dropped.
    waker: Option<Waker>,
}

impl Notices {
    pub(super) fn new() -> Self {
        Self {
            counts: array::from_fn(|_| AtomicU64::new(0)),
            reporter: Mutex::new(Reporter {
                next: [Instant::ZERO; KINDS],
                waker: None,
            }),
        }
    }

    pub(super) fn count(&self, notice: Notice) {
        // Only the first one wakes: the reporter then knows of this kind, and takes the rest with it.
        if self.counts[notice as usize].fetch_add(1, Relaxed) == 0 {
            self.wake();
        }
    }

    pub(super) fn poll(&self, cx: &Context<'_>, now: Instant) -> NoticeOutput {
        let mut reporter = lock(&self.reporter);
        // Stored before the counts are read: what is counted later finds the waker.
        reporter.waker = Some(cx.waker().clone());

        let mut wake_at = None::<Instant>;
        for &notice in Notice::ALL {
            let (count, next) = (
                &self.counts[notice as usize],
                &mut reporter.next[notice as usize],
            );
            if count.load(Relaxed) == 0 {
                continue;
            }
            if *next <= now {
                *next = now.saturating_add(INTERVAL);
                let count = count.swap(0, Relaxed);
                return NoticeOutput::Line { notice, count };
            }
            wake_at = Some(wake_at.map_or(*next, |earliest| earliest.min(*next)));
        }
        NoticeOutput::Idle { wake_at }
    }

    pub(super) fn wake(&self) {
        // The lock is released before the waker is called: a waker may poll at once.
        let waker = lock(&self.reporter).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Hub {
    /// Counts a notice: something was refused or cut. The hub counts its own; an adapter counts what
    /// only it knows, such as a connection.
    ///
    /// It costs an atomic addition, and wakes the task that polls notices if nothing of this kind
    /// waits for a line.
    pub fn notice(&self, notice: Notice) {
        self.shared.registry.notices.count(notice);
    }

    /// Counts a publish that is refused.
    pub(super) fn count_refused_publish(&self, refusal: Refusal) {
        self.notice(match refusal {
            Refusal::Draining { .. } => Notice::PublishDraining,
            Refusal::EngineAway => Notice::PublishEngineAway,
            Refusal::EngineBusy => Notice::PublishEngineBusy,
            Refusal::EngineFull => Notice::PublishEngineFull,
            Refusal::MaybePublished => Notice::PublishUnconfirmed,
            Refusal::EventTooLarge { .. } => Notice::PublishEventTooLarge,
            // A fault of the program, or it refuses no publish.
            Refusal::NeedsSubmit
            | Refusal::TooManyTopics { .. }
            | Refusal::TooManySubscribers { .. }
            | Refusal::TooManySubscribersOfTopic { .. }
            | Refusal::TooManyStreamsOfAddress { .. } => return,
        });
    }

    /// Counts a subscription that is refused.
    pub(super) fn count_refused_subscribe(&self, refusal: Refusal) {
        self.notice(match refusal {
            Refusal::Draining { .. } => Notice::SubscribeDraining,
            Refusal::TooManyTopics { .. } => Notice::SubscribeTooManyTopics,
            Refusal::TooManySubscribers { .. } => Notice::SubscribeTooMany,
            Refusal::TooManySubscribersOfTopic { .. } => Notice::SubscribeTooManyOfTopic,
            Refusal::TooManyStreamsOfAddress { .. } => Notice::SubscribeTooManyOfAddress,
            Refusal::EngineAway
            | Refusal::EngineBusy
            | Refusal::EngineFull
            | Refusal::MaybePublished
            | Refusal::NeedsSubmit
            | Refusal::EventTooLarge { .. } => return, // Refuses no subscription.
        });
    }

    /// Returns the next line for the log: at most one a minute and kind.
    ///
    /// Poll until it is idle. [`report`] does that.
    ///
    /// # Deadlocks
    ///
    /// As [`poll_sweep`](Self::poll_sweep).
    pub fn poll_notices(&self, cx: &Context<'_>, now: Now) -> NoticeOutput {
        self.shared.registry.notices.poll(cx, now.instant)
    }
}

/// Writes a hub's notices to a log, at most one line a minute and kind, until the hub is gone.
///
/// An adapter brings its clock, its timer and its log, as for [`sweep`](super::sweep). `write` gets a
/// kind, and how often it happened since the last line of that kind. Nothing sleeps while nothing
/// waits for its line.
pub async fn report<S: Future>(
    hub: Weak<Hub>,
    now: impl Fn() -> Now,
    sleep_until: impl Fn(Instant) -> S,
    mut write: impl FnMut(Notice, u64),
) {
    let mut sleep = pin!(None);
    loop {
        let next = poll_fn(|cx| {
            let Some(hub) = hub.upgrade() else {
                return Poll::Ready(None);
            };
            match hub.poll_notices(cx, now()) {
                NoticeOutput::Line { notice, count } => Poll::Ready(Some((notice, count))),
                NoticeOutput::Idle { wake_at } => {
                    // Set again each time: another kind may be due earlier than the last one.
                    sleep.set(wake_at.map(&sleep_until));
                    if let Some(sleep) = sleep.as_mut().as_pin_mut()
                        && sleep.poll(cx).is_ready()
                    {
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        });
        let Some((notice, count)) = next.await else {
            return;
        };

        write(notice, count);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::cell::{Cell, RefCell};
    use core::future::ready;

    use super::*;
    use crate::config::HubConfig;

    fn hub() -> Hub {
        Hub::new(HubConfig::default(), 0).expect("valid")
    }

    fn line(notice: Notice, count: u64) -> NoticeOutput {
        NoticeOutput::Line { notice, count }
    }

    #[test]
    fn a_kind_has_a_line_at_once_and_then_one_a_minute_with_its_count() {
        let hub = hub();
        let poll = |millis| {
            let cx = Context::from_waker(Waker::noop());
            hub.poll_notices(&cx, Now::from_millis(millis, 0))
        };
        let idle = |wake_at: Option<u64>| NoticeOutput::Idle {
            wake_at: wake_at.map(Instant::from_millis),
        };
        assert_eq!(poll(0), idle(None));

        hub.notice(Notice::PublishInvalid);
        assert_eq!(poll(5), line(Notice::PublishInvalid, 1));
        assert_eq!(poll(5), idle(None));

        for _ in 0..1_000 {
            hub.notice(Notice::PublishInvalid);
        }
        assert_eq!(poll(60_004), idle(Some(60_005)));
        hub.notice(Notice::ReaderStalled);
        assert_eq!(poll(60_004), line(Notice::ReaderStalled, 1));
        assert_eq!(poll(60_005), line(Notice::PublishInvalid, 1_000));
        assert_eq!(poll(60_005), idle(None));
        assert_eq!(poll(u64::MAX), idle(None));
    }

    #[test]
    fn the_task_that_writes_lines_sleeps_only_while_one_waits_and_ends_with_its_hub() {
        let hub = Arc::new(hub());
        let (now, written) = (Cell::new(0), RefCell::new(Vec::new()));
        let slept_until = Cell::new(None);
        let mut task = pin!(report(
            Arc::downgrade(&hub),
            || Now::from_millis(now.get(), 0),
            |due: Instant| {
                slept_until.set(Some(due.as_millis()));
                poll_fn(|_| Poll::<()>::Pending)
            },
            |notice, count| written.borrow_mut().push((notice, count)),
        ));
        let mut cx = Context::from_waker(Waker::noop());

        assert!(task.as_mut().poll(&mut cx).is_pending());
        hub.notice(Notice::TooManyConnections);
        assert!(task.as_mut().poll(&mut cx).is_pending());
        assert_eq!(written.take(), [(Notice::TooManyConnections, 1)]);
        assert_eq!(slept_until.get(), None, "nothing waits");

        hub.notice(Notice::TooManyConnections);
        hub.notice(Notice::TooManyConnections);
        assert!(task.as_mut().poll(&mut cx).is_pending());
        assert_eq!(
            (written.take(), slept_until.get()),
            ([].into(), Some(60_000))
        );
        now.set(60_000);
        assert!(task.as_mut().poll(&mut cx).is_pending());
        assert_eq!(written.take(), [(Notice::TooManyConnections, 2)]);

        drop(hub);
        let timer = |_| ready(());
        assert!(task.as_mut().poll(&mut cx).is_ready());
        let gone = pin!(report(Weak::new(), Now::default, timer, |_, _| ()));
        assert!(gone.poll(&mut cx).is_ready());
    }

    #[test]
    fn a_refusal_has_a_kind_of_its_own_and_is_counted_once() {
        use std::collections::BTreeSet;

        let hub = hub();
        let count = |refusal| {
            hub.count_refused_publish(refusal);
            hub.count_refused_subscribe(refusal);
        };
        let retry_after = Duration::ZERO;
        let limit = 1;

        // Both are refused while the hub drains.
        count(Refusal::Draining { retry_after });
        count(Refusal::TooManyTopics { limit });
        count(Refusal::TooManySubscribers { limit });
        count(Refusal::TooManySubscribersOfTopic { limit });
        count(Refusal::TooManyStreamsOfAddress { limit });
        count(Refusal::EngineAway);
        count(Refusal::EngineBusy);
        count(Refusal::EngineFull);
        count(Refusal::MaybePublished);
        count(Refusal::EventTooLarge { limit });

        let cx = Context::from_waker(Waker::noop());
        let mut texts = BTreeSet::new();
        while let NoticeOutput::Line { notice, count } = hub.poll_notices(&cx, Now::default()) {
            assert_eq!(count, 1, "{notice:?}");
            texts.insert(notice.text());
        }
        assert_eq!(texts.len(), 11);
    }

    #[test]
    fn only_the_first_notice_of_a_kind_wakes_and_so_does_the_end_of_the_hub() {
        use alloc::task::Wake;
        use core::sync::atomic::AtomicUsize;

        #[derive(Default)]
        struct Counter(AtomicUsize);
        impl Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }

        let (hub, counter) = (hub(), Arc::new(Counter::default()));
        let waker = Waker::from(Arc::clone(&counter));
        let poll = || hub.poll_notices(&Context::from_waker(&waker), Now::default());
        let _ = poll();
        for _ in 0..3 {
            hub.notice(Notice::PublishInvalid);
        }
        assert_eq!(counter.0.load(Relaxed), 1);
        assert_eq!(poll(), line(Notice::PublishInvalid, 3));
        let _ = poll();
        drop(hub);
        assert_eq!(counter.0.load(Relaxed), 2);
    }
}
