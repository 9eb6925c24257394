use core::time::Duration;

use crate::position::Position;
use crate::subscriber::{Resume, Subscriber};
use crate::time::Instant;
use crate::topic::Opening;

/// A reader of a [`Feed`](super::Feed): a cursor and a heartbeat. It has no queue.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) subscriber: Subscriber,
    /// The place that the first keep-alive names, if any; `None` once it was sent.
    pub(super) greeting: Option<Position>,
}

impl Reader {
    pub(super) fn new(opening: Opening, heartbeat: Duration) -> Self {
        Self {
            subscriber: Subscriber::new(opening.resume, heartbeat),
            greeting: opening.greeting,
        }
    }

    /// A reader that continues, and was greeted before.
    pub(super) const fn resumed(resume: Resume) -> Self {
        Self {
            subscriber: Subscriber::resumed(resume),
            greeting: None,
        }
    }

    /// Moves on to the event that is published next, and gets none of those before it.
    #[cfg(feature = "std")]
    pub(crate) fn skip_all(&mut self, feed: &super::Feed) {
        let next = Resume::At(feed.topic.ring().next());
        self.subscriber.begin_at(next);
    }

    /// Number of the next event; 0 before the resync of a reader that began lost.
    pub fn cursor(&self) -> u64 {
        self.subscriber.cursor()
    }

    /// When the next keep-alive is due; `None` if the heartbeat is off.
    pub fn wake_at(&self) -> Option<Instant> {
        self.subscriber.keep_alive_at()
    }
}
