use core::time::Duration;

use saacms_realtime_core::{Instant, Now};

use super::driver::{Damaged, Driver, damage_of};
use super::store::pages;
use super::{Store, StoreError};

/// How long events are refused after one was not stored, before the next ones are tried. So it is with
/// another life that could not begin.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Bytes that must be free on the disk before events are taken again: room for a few of them, or the
/// first ones would be refused once more.
const MIN_FREE_BYTES: u64 = 1 << 20;

/// Bytes of the event that is tried.
const PROBED_BYTES: usize = 65_536;

/// When events are tried again that could not be stored.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// `None` = events are stored.
    at: Option<Instant>,
}

impl Probe {
    /// An event was not stored. Returns whether that is the first one.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let at = now.saturating_add(PROBE_EVERY);
        self.at.replace(at).is_none()
    }

    /// Events are stored. Returns whether they were refused before.
    pub(super) fn end(&mut self) -> bool {
        self.at.take().is_some()
    }

    /// Whether events are refused without a try.
    pub(super) fn is_refusing(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now < at)
    }

    /// When the next try is due, if events are refused.
    pub(super) fn due(&self) -> Option<Instant> {
        self.at
    }
}

impl Driver {
    /// Notes that events cannot be stored, and says so once.
    pub(super) fn begin_probe(&mut self, error: &StoreError, now: Now) {
        if self.probe.begin(now.instant) {
            let folder = self.folder.path().display();
            let bytes_free = self.folder.bytes_free();
            tracing::error!(%folder, bytes_free, "events are refused: {error}");
        }
        self.state.set_full(true);
    }

    /// Notes that events are stored.
    pub(super) fn end_probe(&mut self) {
        if self.probe.end() {
            tracing::info!("events are stored again");
            self.state.set_full(false);
        }
    }

    /// While events are refused and none comes, finds out once a second whether one could be stored: a
    /// hub that is not ready may get none.
    pub(super) fn try_again(&mut self, store: &mut Store<'_>) -> Result<(), Damaged> {
        let now = self.clock.now().instant;
        let is_due = self.probe.due().is_some_and(|due| due <= now);
        if !is_due || !self.publishes.is_empty() {
            return Ok(());
        }

        let probed = store.probe(self.folder.bytes_free());
        if probed.is_ok() {
            self.end_probe();
        } else {
            self.probe.begin(now);
        }
        damage_of(&probed)
    }
}

impl Store<'_> {
    /// Tries whether an event can be stored, without one. `free_bytes` of the disk are free, if that
    /// is known.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: as a publish would.
    pub(super) fn probe(&mut self, free_bytes: Option<u64>) -> Result<(), StoreError> {
        if free_bytes.is_some_and(|free_bytes| free_bytes < MIN_FREE_BYTES) {
            return Err(StoreError::Full);
        }

        // At the limit of the file, an event does not even get a page. A record that nobody reads any
        // more makes room for it, as it would for an event.
        while let Err(error) = self.take_pages() {
            if error != StoreError::Full || !self.make_room(pages(1, PROBED_BYTES))? {
                return Err(error);
            }
        }

        // The disk itself is written here.
        self.transact(|_| Ok(()))
    }

    /// Takes as many pages as an event may, and gives them back.
    fn take_pages(&mut self) -> Result<(), StoreError> {
        self.roll_back()?;
        self.statements.begin.execute([])?;
        let added = self.connection.execute(
            "INSERT INTO event VALUES (-1, 0, 0, 0, zeroblob(?), 0)",
            [PROBED_BYTES as i64],
        );
        self.roll_back()?;
        added?;
        Ok(())
    }
}
