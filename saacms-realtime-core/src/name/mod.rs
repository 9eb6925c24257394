//! Names: event types, event IDs, resource keys. Checked once, valid from then on.

#[cfg(feature = "alloc")]
mod key;

use core::fmt;

#[cfg(feature = "alloc")]
pub use key::{InvalidKey, KeyPart, ResourceKey};

use crate::position::Position;
use crate::time::Timestamp;

/// The event type of a record event, as `event:` carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventType {
    /// The record as it stands.
    Snapshot,
    /// The record after an edit.
    Changed,
    /// The record is gone.
    Deleted,
}

impl EventType {
    /// All event types that can be published.
    pub const ALL: [Self; 3] = [Self::Snapshot, Self::Changed, Self::Deleted];

    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
        }
    }

    /// The event type with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|event_type| event_type.as_str() == text)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Event type of the frame that tells a client to refetch. It cannot be published.
pub const RESYNC: &str = "saacms-resync";

/// Event type of the frame that tells an `EventSource` why it gets no stream. It cannot be published.
pub const UNAVAILABLE: &str = "saacms-unavailable";

/// Why a client is told to refetch. Clients need to know only the event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResyncReason {
    /// The last event ID is not in the buffer.
    BufferMiss,
    /// The connection was read too slowly.
    Lagged,
    /// The position belongs to another epoch.
    Restarted,
    /// The engine behind the hub lost data.
    SourceLost,
}

impl ResyncReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [
        Self::BufferMiss,
        Self::Lagged,
        Self::Restarted,
        Self::SourceLost,
    ];

    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BufferMiss => "buffer-miss",
            Self::Lagged => "lagged",
            Self::Restarted => "restarted",
            Self::SourceLost => "source-lost",
        }
    }
}

impl fmt::Display for ResyncReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event ID: a text that comes back unchanged as `Last-Event-ID`.
///
/// 1..=512 bytes, of those that the value of a header may have (RFC 9110, 5.5): 0x21..=0x7e and
/// 0x80..=0xff, so any UTF-8, with single spaces or tabs between them. A client could not send any
/// other ID back: servers refuse control characters, HTTP drops blanks at either end, and some
/// clients join blanks in a row. The text may be in any memory: `EventId<&str>`,
/// `EventId<Box<str>>` and `EventId<heapless::String<32>>` are all valid IDs.
///
/// ```
/// use saacms_realtime_core::EventId;
/// assert!(EventId::new("W/\"5f1\"").is_ok());
/// assert!(EventId::new("v1\ndata: forged").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId<S>(S);

impl<S: AsRef<str>> EventId<S> {
    /// The longest ID, in bytes.
    pub const MAX_LEN: usize = 512;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// The reason why `text` is not a valid event ID.
    pub fn new(text: S) -> Result<Self, InvalidEventId> {
        let bytes = text.as_ref().as_bytes();
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');

        if bytes.is_empty() {
            Err(InvalidEventId::Empty)
        } else if bytes.len() > Self::MAX_LEN {
            Err(InvalidEventId::TooLong { len: bytes.len() })
        } else if bytes
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            Err(InvalidEventId::ControlCharacter)
        } else if bytes.first().is_some_and(is_blank) || bytes.last().is_some_and(is_blank) {
            Err(InvalidEventId::OuterBlank)
        } else if bytes.windows(2).any(|pair| pair.iter().all(is_blank)) {
            Err(InvalidEventId::BlanksInARow)
        } else {
            Ok(Self(text))
        }
    }

    /// The ID's text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The same ID, borrowed.
    pub fn borrowed(&self) -> EventId<&str> {
        EventId(self.as_str())
    }
}

#[cfg(feature = "alloc")]
impl<S: Into<alloc::boxed::Box<str>>> EventId<S> {
    /// The same ID in memory of its own, of exactly its length.
    pub fn into_boxed(self) -> EventId<alloc::boxed::Box<str>> {
        EventId(self.0.into())
    }
}

impl<S: AsRef<str>> AsRef<str> for EventId<S> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<S: AsRef<str>> fmt::Display for EventId<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event ID that a topic hands out, before it is written anywhere. Always valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdText<'a> {
    /// A record's ETag.
    Etag(EventId<&'a str>),
    /// A time that the topic gives to no other event.
    Time(Timestamp),
    /// A position.
    Position(Position),
}

impl IdText<'_> {
    /// The ID in memory of the caller's choice, such as `String` or `heapless::String<40>`.
    ///
    /// # Errors
    ///
    /// The memory is too small. A time has at most 27 bytes, a position 37, an ETag 512.
    ///
    /// ```
    /// use saacms_realtime_core::{IdText, Timestamp};
    /// let id = IdText::Time(Timestamp::from_millis(0)).to_event_id::<String>();
    /// assert_eq!(id.unwrap().as_str(), "1970-01-01T00:00:00.000Z");
    /// ```
    pub fn to_event_id<S>(self) -> Result<EventId<S>, fmt::Error>
    where
        S: Default + fmt::Write + AsRef<str>,
    {
        let mut text = S::default();
        write!(text, "{self}")?;
        Ok(EventId(text))
    }
}

impl fmt::Display for IdText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etag(etag) => etag.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Position(position) => position.fmt(f),
        }
    }
}

/// Why a text is not a valid event ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidEventId {
    /// It is empty.
    Empty,
    /// It has more than 512 bytes.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It has a byte of 0x00..=0x1f that is not a tab, or 0x7f.
    ControlCharacter,
    /// It begins or ends with a space or a tab.
    OuterBlank,
    /// It has two spaces or tabs in a row.
    BlanksInARow,
}

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { len } => write!(f, "has {len} bytes; at most 512 are allowed"),
            Self::ControlCharacter => f.write_str(
                "must not contain control characters: visible characters are allowed, with single \
                 blanks between them",
            ),
            Self::OuterBlank => f.write_str("must not begin or end with a space or a tab"),
            Self::BlanksInARow => f.write_str("must not contain two blanks in a row"),
        }
    }
}

impl core::error::Error for InvalidEventId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_refused_if_a_line_or_http_would_change_it() {
        use InvalidEventId::*;
        for (text, wrong) in [
            ("", Empty),
            ("a\nb", ControlCharacter),
            ("a\r", ControlCharacter),
            ("\0", ControlCharacter),
            ("a\u{1}b", ControlCharacter),
            ("\u{1b}", ControlCharacter),
            ("\u{1f}", ControlCharacter),
            ("\u{7f}", ControlCharacter),
            (" x", OuterBlank),
            ("y\t", OuterBlank),
            (" ", OuterBlank),
            ("a  b", BlanksInARow),
            ("a\t b", BlanksInARow),
        ] {
            assert_eq!(EventId::new(text), Err(wrong), "{text:?}");
        }
        assert!(EventId::new("x".repeat(512)).is_ok());
        assert_eq!(EventId::new("x".repeat(513)), Err(TooLong { len: 513 }));
        for text in [
            "a b \u{2028}é",
            "a\tb",
            "!~",
            "\u{80}\u{ff}\u{10ffff}",
            "\"q\"",
            "v 1",
        ] {
            assert!(EventId::new(text).is_ok(), "{text:?}");
        }
    }
}
