//! The reference: a list of all events of one record, and how many of them each client knows.

use core::time::Duration;

use saacms_realtime_core::{EventIds, HubConfig, Instant};

/// All events in order. They are numbered from 1, and each one's record is its number.
pub(crate) struct Reference {
    pub(crate) config: HubConfig,
    published: Vec<Published>,
    pub(crate) now: Instant,
    /// How often the hub forgot the history or lost its source.
    pub(crate) life: usize,
}

struct Published {
    /// `None` if the hub gives the ID.
    etag: Option<String>,
    at: Instant,
}

/// A last event ID that a client could name, and what that client knew.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) id: String,
    /// How many events the client knew, because it got them or fetched the record after them.
    pub(crate) place: usize,
    /// The life of the history that the ID belongs to.
    pub(crate) life: usize,
}

/// What a connected client knows.
pub(crate) struct Reader {
    place: usize,
    /// The last event ID that it named, until its first event or resync.
    named: Option<Named>,
    /// Whether a resync must come before any event.
    resync_is_due: bool,
    /// The life of the history when it joined or was last resynced.
    life: usize,
}

/// A last event ID.
#[derive(Clone)]
pub(crate) enum Named {
    /// The hub gave it to the client that names it.
    True(Memory),
    /// It was made up. If the hub happens to know it, any events may follow.
    Invented(String),
}

impl Named {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::True(memory) => &memory.id,
            Self::Invented(id) => id,
        }
    }
}

impl Reference {
    /// IDs that the hub never gives.
    pub(crate) const UNKNOWN: [&str; 4] = ["zz", "", "0.0", "000000000000feed.999"];

    pub(crate) fn new(config: HubConfig) -> Self {
        Self {
            config,
            published: Vec::new(),
            now: Instant::ZERO,
            life: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.published.len()
    }

    pub(crate) fn published(&mut self, etag: Option<String>) {
        let etag = etag.filter(|_| self.config.event_ids == EventIds::Etag);
        self.published.push(Published { etag, at: self.now });
    }

    pub(crate) fn joined(&self, named: Option<Named>) -> Reader {
        let (place, resync_is_due) = match &named {
            None => (self.len(), false),
            Some(Named::True(memory)) => (memory.place, !self.can_replay(memory)),
            Some(Named::Invented(id)) => (0, Self::UNKNOWN.contains(&id.as_str())),
        };
        Reader {
            place,
            named,
            resync_is_due,
            life: self.life,
        }
    }

    /// Whether everything that a client with this memory missed can be replayed.
    fn can_replay(&self, memory: &Memory) -> bool {
        let missed = &self.published[memory.place..];
        memory.life == self.life
            && missed.len() <= self.config.max_events
            && missed
                .first()
                .is_none_or(|event| self.is_within(event, self.config.max_age))
    }

    fn is_within(&self, event: &Published, age: Duration) -> bool {
        u128::from(self.now.millis_since(event.at)) <= age.as_millis()
    }

    pub(crate) fn received(&self, reader: &mut Reader, number: usize) {
        let follows = number == reader.place + 1;
        let fits = match reader.named.take() {
            None => follows,
            // A repeated ETag may stand for any event that had it: each carries the whole record.
            Some(Named::True(memory)) => follows || self.has_etag(number - 1, &memory.id),
            Some(Named::Invented(_)) => !reader.resync_is_due,
        };
        assert!(fits, "event {number} came after {}", reader.place);
        reader.place = number;
    }

    fn has_etag(&self, number: usize, id: &str) -> bool {
        let event = number.checked_sub(1).map(|index| &self.published[index]);
        event.and_then(|event| event.etag.as_deref()) == Some(id)
    }

    pub(crate) fn resynced(&self, reader: &mut Reader, reason: &str) {
        assert!(
            self.may_resync(reader),
            "resync `{reason}` of a reader that knows {} of {}",
            reader.place,
            self.len()
        );
        *reader = Reader {
            place: self.len(),
            named: None,
            resync_is_due: false,
            life: self.life,
        };
    }

    fn may_resync(&self, reader: &Reader) -> bool {
        let missed = &self.published[reader.place..];
        let held = self.config.max_lag.max(self.config.max_events);
        let lag_age = self.config.max_age.max(Duration::from_secs(60));
        let lagged = missed.len() > held
            || missed
                .first()
                .is_some_and(|event| !self.is_within(event, lag_age));
        let may_be_unknown = match &reader.named {
            None => false,
            Some(Named::Invented(_)) => true,
            Some(Named::True(memory)) => !self.is_exact() || self.is_repeated(&memory.id),
        };
        reader.resync_is_due || lagged || may_be_unknown || reader.life != self.life
    }

    /// Whether the hub recognizes every client that missed nothing.
    fn is_exact(&self) -> bool {
        self.config.quiet_resume || self.config.event_ids == EventIds::Position
    }

    /// Whether several events had this ID, so that replay may start at an earlier one.
    fn is_repeated(&self, id: &str) -> bool {
        (1..=self.len())
            .filter(|number| self.has_etag(*number, id))
            .count()
            > 1
    }

    /// Checks that a reader for which nothing waits knows every event. Returns its memory, under
    /// its last event ID `id`.
    pub(crate) fn has_read_all(&self, reader: &mut Reader, id: &str) -> Option<Memory> {
        let (place, len) = (reader.place, self.len());
        let (stands_for_the_newest, is_honest) = match &reader.named {
            None => (false, true),
            Some(Named::Invented(_)) => (!reader.resync_is_due, false),
            Some(Named::True(memory)) => (self.has_etag(len, &memory.id), true),
        };

        assert!(
            place == len || stands_for_the_newest,
            "it knows {place} of {len}, and was told nothing"
        );
        assert_eq!(
            reader.life, self.life,
            "its source was lost, and it was told nothing"
        );

        reader.place = len;
        let is_remembered = is_honest && !id.is_empty();
        is_remembered.then(|| Memory {
            id: id.to_owned(),
            place: len,
            life: self.life,
        })
    }
}
