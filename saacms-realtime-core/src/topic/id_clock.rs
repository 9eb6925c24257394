use crate::time::Timestamp;

/// Hands out times as IDs, each of them once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdClock {
    /// The latest time that was handed out. Later ones are free.
    latest: Option<Timestamp>,
}

impl IdClock {
    /// Never hands out a time up to `latest`.
    pub(super) fn begin_after(&mut self, latest: Timestamp) {
        self.latest = self.latest.max(Some(latest));
    }

    /// `wall`, unless that millisecond or a later one was handed out: no time is ever later than the
    /// clock, so that a process that starts later hands out later ones.
    pub(super) fn tick(&mut self, wall: Timestamp) -> Option<Timestamp> {
        let is_free = self.latest.is_none_or(|latest| latest < wall);
        is_free.then(|| {
            self.latest = Some(wall);
            wall
        })
    }

    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.latest
    }
}
