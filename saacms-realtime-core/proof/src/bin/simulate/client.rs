use saacms_realtime_core::RESYNC;
use saacms_realtime_core::sse::Message;

/// The state of a record: its version, or that it is deleted.
pub(crate) type Version = i64;

pub(crate) const DELETED: Version = -1;

/// The state that a client keeps when its connection is lost.
#[derive(Clone, Debug)]
pub(crate) struct Knowledge {
    pub(crate) id: String,
    pub(crate) record: Version,
    /// The client fetched the record after the event that its ID names.
    pub(crate) is_ahead: bool,
}

/// A page that shows one record, as a browser would run it.
#[derive(Debug)]
pub(crate) struct Client {
    /// The record that the page shows.
    pub(crate) watches: usize,
    pub(crate) knows: Knowledge,
    /// Its earlier states, oldest first: pages that a browser restores.
    pub(crate) earlier: Vec<Knowledge>,
    /// The page is open.
    pub(crate) is_on: bool,
    /// The client does not read.
    pub(crate) is_stalled: bool,
    pub(crate) reconnect_at: Option<u64>,
    /// Milliseconds from a lost connection to the next.
    pub(crate) retry: u64,
}

impl Client {
    pub(crate) fn new(watches: usize) -> Self {
        let knows = Knowledge {
            id: String::new(),
            record: 0,
            is_ahead: false,
        };
        Self {
            watches,
            knows,
            earlier: Vec::new(),
            is_on: false,
            is_stalled: false,
            reconnect_at: None,
            retry: 3_000,
        }
    }

    /// Applies a message; `truth` is what a refetch would return.
    pub(crate) fn apply(&mut self, message: &Message, truth: Version) -> Result<(), String> {
        let is_resync = message.event_type == RESYNC;
        let record = match &*message.event_type {
            RESYNC => truth,
            "deleted" => DELETED,
            _ => version(&message.data).ok_or_else(|| format!("no record: {}", message.data))?,
        };

        // After a resync the page fetches the record, which may be newer than the event it names.
        self.knows = Knowledge {
            id: message.last_event_id.clone(),
            record,
            is_ahead: is_resync,
        };

        if self.earlier.len() == 8 {
            self.earlier.remove(0);
        }
        self.earlier.push(self.knows.clone());

        Ok(())
    }
}

/// The version in the data of an event, as `publish` writes it.
fn version(data: &str) -> Option<Version> {
    let digits = data.strip_prefix("{\"v\":")?;
    digits[..digits.find([',', '}'])?].parse().ok()
}
