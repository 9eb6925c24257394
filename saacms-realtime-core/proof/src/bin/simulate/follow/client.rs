//! A client: what it knows of the record, and what it names when it comes back.

/// What a client names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// An event by an ID of its own, as an ETag.
    Event(u64),
    /// A sequence in one life of the engine: that of an event, or a place without an event.
    Position { life: u64, sequence: u64 },
}

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// The node that it is connected to.
    pub(crate) node: Option<usize>,
    /// Whether it has a place in the feed of its node. Before that, it waits.
    pub(crate) is_placed: bool,
    /// What it named when it came.
    pub(crate) named: Option<Id>,
    /// How many asks its node had asked when it came.
    pub(crate) asks: u64,
    /// It knows all events before this index of the engine's history.
    pub(crate) known: usize,
    /// The index of the event that it got last on this connection, or since the last resync.
    last: Option<usize>,
    /// The last event ID that it received.
    pub(crate) id: Option<Id>,
}

impl Client {
    /// Gives it a place in the feed: what comes next begins a new run of events.
    pub(crate) fn place(&mut self) {
        self.is_placed = true;
        self.last = None;
    }

    /// It fetches the record, which has had this many events.
    pub(crate) fn refetch(&mut self, events: usize, id: Id) {
        self.known = events;
        self.last = None;
        self.id = Some(id);
    }

    /// It gets an event. `index`: where that is in the engine's history, if it was not lost since.
    pub(crate) fn receive(&mut self, index: Option<usize>, id: Id) -> Result<(), String> {
        self.id = Some(id);
        let Some(index) = index else { return Ok(()) };

        if index > self.known {
            let known = self.known;
            return Err(format!("a gap: it knows {known} events, and gets {index}"));
        }
        if let Some(last) = self.last
            && index != last + 1
        {
            return Err(format!("event {index} came after {last}"));
        }
        self.last = Some(index);
        self.known = self.known.max(index + 1);
        Ok(())
    }

    /// The engine lost all events but this many.
    pub(crate) fn lose(&mut self, left: usize) {
        if self.known > left {
            self.known = left;
            self.last = None;
        }
    }
}
