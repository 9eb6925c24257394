use core::time::Duration;

use crate::name::IdText;
use crate::subscriber::{Resume, Subscriber};
use crate::time::Instant;

/// A reader of a [`Feed`](super::Feed): a cursor and a heartbeat. It has no queue.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) subscriber: Subscriber,
    /// The ID that the first keep-alive carries, if any; `None` once it was sent.
    pub(super) greeting: Option<IdText<'static>>,
}

impl Reader {
    pub(super) fn new(
        resume: Resume,
        greeting: Option<IdText<'static>>,
        heartbeat: Duration,
    ) -> Self {
        Self {
            subscriber: Subscriber::new(resume, heartbeat),
            greeting,
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
