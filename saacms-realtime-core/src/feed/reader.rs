use core::time::Duration;

use crate::position::Position;
use crate::subscriber::Subscriber;
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

    /// Number of the next event; 0 before the resync of a reader that began lost.
    pub fn cursor(&self) -> u64 {
        self.subscriber.cursor()
    }

    /// When the next keep-alive is due; `None` if the heartbeat is off.
    pub fn wake_at(&self) -> Option<Instant> {
        self.subscriber.keep_alive_at()
    }
}
