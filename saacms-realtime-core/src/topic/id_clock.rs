use crate::time::Timestamp;

/// Hands out times as IDs, each of them once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdClock {
    /// The latest time that was handed out. Later times are free, whatever the wall clock shows.
    latest: Option<Timestamp>,
}

impl IdClock {
    /// Never hands out a time up to `latest`.
    pub(super) fn begin_after(&mut self, latest: Timestamp) {
        self.latest = self.latest.max(Some(latest));
    }

    /// `wall`, or the next free millisecond if that was handed out before.
    pub(super) fn tick(&mut self, wall: Timestamp) -> Timestamp {
        let time = match self.latest {
            Some(latest) if wall <= latest => latest.next(),
            _ => wall,
        };
        self.latest = Some(time);
        time
    }

    /// Whether `wall` was never handed out.
    pub(super) fn is_free(&self, wall: Timestamp) -> bool {
        self.latest.is_none_or(|latest| latest < wall)
    }

    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.latest
    }
}
