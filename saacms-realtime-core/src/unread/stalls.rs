use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;

use super::{ANSWER_STALL_TIMEOUT, Cut, CutReason, Ledger};
use crate::notice::Notice;
use crate::time::Instant;

/// While unread bytes exceed their limit, one in this many waiting readers is cut at a time.
const PART: usize = 8;
/// The longest wait for readers that were cut to end, before the next ones are cut.
const ROUND: Duration = Duration::from_millis(100);

/// A reader, by how long it may take no byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A stream: [`stall_timeout`](crate::HubConfig::stall_timeout).
    OfStream,
    /// The reader of an answer that ends by itself: 30 s.
    OfAnswer,
}

/// The readers of a hub that have bytes which they have not taken. Cheap to clone.
///
/// A driver that writes to a reader calls [`begin`](Self::begin) when the reader does not take its
/// bytes at once, and drops the [`Stall`] when it has taken them. All other readers cost nothing.
///
/// The oldest are cut at their deadline, or when all unread bytes exceed
/// [`max_unread_bytes`](crate::HubConfig::max_unread_bytes): then an eighth of the readers at a
/// time, until the bytes are below three quarters of the limit. [`Hub::poll_sweep`] does that, so a
/// hub that nobody sweeps cuts nobody.
///
/// [`Hub::poll_sweep`]: crate::Hub::poll_sweep
#[derive(Clone)]
pub struct Stalls(Arc<Shared>);

struct Shared {
    ledger: Ledger,
    /// Most unread bytes.
    limit: usize,
    /// How long a stream may take no byte; `None` = for ever.
    stream_timeout: Option<Duration>,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    /// By the number of the stall. One that was cut stays until it is dropped.
    readers: Slab<Waiting>,
    /// Those that wait, the oldest first: since when, and the number.
    streams: BTreeSet<(Instant, usize)>,
    answers: BTreeSet<(Instant, usize)>,
    /// Readers that were cut and have not ended.
    leaving: usize,
    /// Unread bytes were over the limit, and are not yet below three quarters of it.
    is_over: bool,
    /// When the next readers are cut if not all of the last ones have ended.
    next_round: Instant,
    /// The task that sweeps, and when it comes back by itself.
    waker: Option<Waker>,
    wake_at: Option<Instant>,
}

struct Waiting {
    kind: Reader,
    /// When it began to wait, or took its last byte.
    since: Instant,
    /// `None` once it is cut.
    cut: Option<Arc<dyn Cut>>,
}

/// Readers to be told that they are cut, with their kind and why.
type Told = Vec<(Arc<dyn Cut>, Reader, CutReason)>;

impl Stalls {
    pub(crate) fn new(ledger: Ledger, limit: usize, stream_timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            ledger,
            limit,
            stream_timeout: (!stream_timeout.is_zero()).then_some(stream_timeout),
            list: Mutex::default(),
        }))
    }

    /// Records that a reader has bytes which it has not taken. `cut` is called once if it is cut.
    pub fn begin(&self, reader: Reader, cut: Arc<dyn Cut>, now: Instant) -> Stall {
        let mut list = self.list();
        let number = list.readers.insert(Waiting {
            kind: reader,
            since: now,
            cut: Some(cut),
        });
        list.of(reader).insert((now, number));

        // The sweeper comes back by itself, but not early enough for this one.
        let due = self.due(reader, now);
        let is_early = due.is_some_and(|due| list.wake_at.is_none_or(|wake_at| due < wake_at));
        let waker = if is_early { list.waker.take() } else { None };
        drop(list);

        if let Some(waker) = waker {
            waker.wake();
        }
        self.check_limit();
        Stall {
            stalls: self.clone(),
            number,
        }
    }

    /// Wakes the sweeper if unread bytes exceed their limit.
    pub(crate) fn check_limit(&self) {
        if self.0.ledger.unread() <= self.0.limit {
            return;
        }

        let waker = self.list().waker.take();
        // The lock is released by now: a waker may poll at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Cuts the readers that are due or too many; returns a notice for each, and when to poll next if the waker is
    /// not called.
    ///
    /// The waker is called when a reader begins to wait that is due earlier, and when unread bytes
    /// exceed their limit.
    pub(crate) fn poll(&self, cx: &Context<'_>, now: Instant) -> (Vec<Notice>, Option<Instant>) {
        let mut list = self.list();
        let mut told = Vec::new();
        for reader in [Reader::OfStream, Reader::OfAnswer] {
            self.cut_the_due(&mut list, reader, now, &mut told);
        }
        self.cut_the_oldest(&mut list, now, &mut told);

        let firsts = [Reader::OfStream, Reader::OfAnswer].map(|reader| {
            let (since, _) = list.of(reader).first()?;
            self.due(reader, *since)
        });
        let next_round = (list.is_over && !list.is_empty()).then_some(list.next_round);
        list.wake_at = firsts.into_iter().flatten().chain(next_round).min();
        list.waker = Some(cx.waker().clone());
        let wake_at = list.wake_at;
        drop(list);

        // No lock is held here: whoever is told may end at once.
        let tell = |(cut, reader, reason): (Arc<dyn Cut>, Reader, CutReason)| {
            cut.cut(reason);
            match (reader, reason) {
                (Reader::OfAnswer, _) => Notice::AnswerCut,
                (Reader::OfStream, CutReason::Stalled) => Notice::ReaderStalled,
                (Reader::OfStream, CutReason::TooManyUnreadBytes) => Notice::ReaderUnread,
            }
        };
        (told.into_iter().map(tell).collect(), wake_at)
    }

    /// Cuts the readers that have reached their deadline.
    fn cut_the_due(&self, list: &mut List, reader: Reader, now: Instant, told: &mut Told) {
        while let Some(&(since, number)) = list.of(reader).first()
            && self.due(reader, since).is_some_and(|due| due <= now)
        {
            let has_progressed = list.readers[number]
                .cut
                .as_ref()
                .is_some_and(|cut| cut.has_progressed());
            if has_progressed {
                list.progress(number, now);
            } else {
                let cut = list.take(number);
                told.extend(cut.map(|cut| (cut, reader, CutReason::Stalled)));
            }
        }
    }

    /// While unread bytes exceed their limit, cuts an eighth of the readers, the oldest first.
    fn cut_the_oldest(&self, list: &mut List, now: Instant, told: &mut Told) {
        let limit = self.0.limit;
        let unread = self.0.ledger.unread();
        // Some room is made at once, so that the next piece does not exceed the limit again.
        list.is_over = unread > limit || list.is_over && unread > limit - limit / 4;

        // What those hold that were cut before is about to be free.
        let is_due = list.leaving == 0 || list.next_round <= now;
        if !list.is_over || !is_due {
            return;
        }

        let waiting = list.streams.len() + list.answers.len();
        for _ in 0..waiting.div_ceil(PART) {
            let Some(oldest) = list.oldest() else { break };
            let kind = list.readers[oldest].kind;
            let cut = list.take(oldest);
            told.extend(cut.map(|cut| (cut, kind, CutReason::TooManyUnreadBytes)));
        }
        list.next_round = now.saturating_add(ROUND);
    }

    /// When a reader is cut that has taken no byte since `since`.
    fn due(&self, reader: Reader, since: Instant) -> Option<Instant> {
        let timeout = match reader {
            Reader::OfStream => self.0.stream_timeout?,
            Reader::OfAnswer => ANSWER_STALL_TIMEOUT,
        };
        Some(since.saturating_add(timeout))
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn of(&mut self, reader: Reader) -> &mut BTreeSet<(Instant, usize)> {
        match reader {
            Reader::OfStream => &mut self.streams,
            Reader::OfAnswer => &mut self.answers,
        }
    }

    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.answers.is_empty()
    }

    /// The number of the reader that has waited longest.
    fn oldest(&self) -> Option<usize> {
        let firsts = [self.streams.first(), self.answers.first()];
        let (_, number) = firsts.into_iter().flatten().min()?;
        Some(*number)
    }

    /// Takes a reader out of those that wait, to be cut. `None` if it was taken before.
    fn take(&mut self, number: usize) -> Option<Arc<dyn Cut>> {
        let reader = &mut self.readers[number];
        let (cut, kind, since) = (reader.cut.take()?, reader.kind, reader.since);
        self.of(kind).remove(&(since, number));
        self.leaving += 1;
        Some(cut)
    }

    /// Lets the time of a reader begin anew. One that was cut is too late.
    fn progress(&mut self, number: usize, now: Instant) {
        let reader = &mut self.readers[number];
        if reader.cut.is_some() {
            let (kind, since) = (reader.kind, mem::replace(&mut reader.since, now));
            self.of(kind).remove(&(since, number));
            self.of(kind).insert((now, number));
        }
    }
}

impl fmt::Debug for Stalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.list();
        f.debug_struct("Stalls")
            .field("streams", &list.streams.len())
            .field("answers", &list.answers.len())
            .finish_non_exhaustive()
    }
}

/// A reader that has bytes which it has not taken. Drop it when it has taken them, or has ended.
#[derive(Debug)]
#[must_use = "a reader counts as waiting until this is dropped"]
pub struct Stall {
    stalls: Stalls,
    number: usize,
}

impl Stall {
    /// Records that the reader took some bytes, while others still wait: its time begins anew.
    pub fn progress(&mut self, now: Instant) {
        self.stalls.list().progress(self.number, now);
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let mut list = self.stalls.list();
        let Waiting { kind, since, cut } = list.readers.remove(self.number);
        list.of(kind).remove(&(since, self.number));
        if list.is_empty() {
            list.readers.shrink_to_fit();
        }

        // With the last of those that were cut, the next ones may be.
        let mut waker = None;
        if cut.is_none() {
            list.leaving -= 1;
            if list.leaving == 0 && list.is_over {
                waker = list.waker.take();
            }
        }
        // Unlocked first: a waker may poll at once, and `cut` may hold anything.
        drop(list);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
