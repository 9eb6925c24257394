use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use memchr::memchr2;

use crate::event::Event;
use crate::name::{EventId, EventType, InvalidEventId};
use crate::time::Timestamp;

/// The first byte of a packed event in this layout.
const VERSION: u8 = 1;

/// Where the parts begin: after the version come the flags, the stamp, the length of the ETag, the
/// ETag, and the data.
const FLAGS: usize = 1;
const STAMP: usize = 2;
const ETAG_LEN: usize = 10;
const ETAG: usize = 12;

const TYPE_MASK: u8 = 0b0011;
const IS_STAMPED: u8 = 0b0100;
const IS_ID: u8 = 0b1000;

/// An event as engines keep it: one piece of bytes for all of them.
///
/// It holds the event type, the ETag, the data, and a [`Stamp`] once there is one. It does not hold
/// the record's key, under which an engine keeps it, nor the event ID, which each hub gives when it
/// writes the frame.
///
/// A hub [parses](Self::parse) it as untrusted input. If it cannot, because a newer version wrote
/// the event, its readers are told to refetch: the event is not skipped.
///
/// ```
/// use saacms_realtime_core::{Event, Timestamp};
/// use saacms_realtime_core::engine::{Packed, Stamp};
///
/// let event = Event::from_json(
///     br#"{"type":"changed","slug":"posts","id":"1","record":{},"etag":"v1"}"#,
/// )?;
/// let mut packed = Packed::new(&event);
/// packed.stamp(Stamp { at: Timestamp::from_millis(7), is_id: true });
///
/// let stored = packed.as_bytes().clone();
/// let packed = Packed::from_bytes(stored);
/// let unpacked = packed.parse()?;
/// assert_eq!((unpacked.event_type.as_str(), unpacked.data), ("changed", "{}"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed(Bytes);

/// When an event was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The wall clock of the engine, or of the publisher's hub. It may repeat and go back.
    pub at: Timestamp,
    /// Whether the time may be the ID of the event: no other event of its record has
    /// this ID, or will have it.
    pub is_id: bool,
}

/// The parts of a [`Packed`] event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked<'a> {
    /// When the event was stored; `None` if it was not stamped.
    pub stamp: Option<Stamp>,
    /// The event type.
    pub event_type: EventType,
    /// The record's ETag.
    pub etag: Option<EventId<&'a str>>,
    /// The data as readers get it, in one line.
    pub data: &'a str,
}

impl Packed {
    /// Packs an event, without a stamp.
    pub fn new(event: &Event) -> Self {
        let etag = event.etag().map_or("", |etag| etag.as_str());
        let etag_len = u16::try_from(etag.len()).expect("an event ID is short");

        let mut bytes = Vec::with_capacity(ETAG + etag.len() + event.data().len());
        bytes.extend([VERSION, type_flags(event.event_type())]);
        bytes.extend([0; ETAG_LEN - STAMP]);
        bytes.extend(etag_len.to_be_bytes());
        bytes.extend_from_slice(etag.as_bytes());
        bytes.extend_from_slice(event.data());
        Self(bytes.into())
    }

    /// Wraps bytes that an engine has kept. They are checked when they are [parsed](Self::parse).
    pub const fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Records when the event is stored.
    ///
    /// Copies nothing unless the bytes are shared. Bytes that are not a packed event are
    /// left as they are.
    pub fn stamp(&mut self, stamp: Stamp) {
        if self.0.len() < ETAG || self.0[0] != VERSION {
            return;
        }

        let bytes = core::mem::take(&mut self.0);
        let mut bytes = bytes
            .try_into_mut()
            .unwrap_or_else(|shared| (&shared[..]).into());
        let id_flag = if stamp.is_id { IS_ID } else { 0 };
        bytes[FLAGS] = bytes[FLAGS] & TYPE_MASK | IS_STAMPED | id_flag;
        bytes[STAMP..ETAG_LEN].copy_from_slice(&stamp.at.as_millis().to_be_bytes());
        self.0 = bytes.freeze();
    }

    /// All bytes, for an engine to keep.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Reads the parts.
    ///
    /// # Errors
    ///
    /// The first part that is not as [`new`](Self::new) writes it.
    pub fn parse(&self) -> Result<Unpacked<'_>, InvalidPacked> {
        let (&version, _) = self.0.split_first().ok_or(InvalidPacked::TooShort)?;
        if version != VERSION {
            return Err(InvalidPacked::Version { found: version });
        }
        let (head, rest) = self
            .0
            .split_first_chunk::<ETAG>()
            .ok_or(InvalidPacked::TooShort)?;

        let [_, flags, at @ .., len_high, len_low] = *head;
        let etag_len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let (etag, data) = rest
            .split_at_checked(etag_len)
            .ok_or(InvalidPacked::TooShort)?;

        Ok(Unpacked {
            stamp: stamp(flags, i64::from_be_bytes(at))?,
            event_type: event_type(flags)?,
            etag: match text(etag)? {
                "" => None,
                etag => Some(EventId::new(etag).map_err(InvalidPacked::Etag)?),
            },
            data: one_line(data)?,
        })
    }
}

fn type_flags(event_type: EventType) -> u8 {
    match event_type {
        EventType::Snapshot => 0,
        EventType::Changed => 1,
        EventType::Deleted => 2,
    }
}

fn event_type(flags: u8) -> Result<EventType, InvalidPacked> {
    EventType::ALL
        .into_iter()
        .find(|event_type| type_flags(*event_type) == flags & TYPE_MASK)
        .ok_or(InvalidPacked::Flags { found: flags })
}

fn stamp(flags: u8, at: i64) -> Result<Option<Stamp>, InvalidPacked> {
    let stamp = Stamp {
        at: Timestamp::from_millis(at),
        is_id: flags & IS_ID != 0,
    };
    match flags & !TYPE_MASK {
        0 if at == 0 => Ok(None),
        IS_STAMPED if stamp.at.as_millis() == at => Ok(Some(stamp)),
        flags if flags == IS_STAMPED | IS_ID && stamp.at.as_millis() == at => Ok(Some(stamp)),
        _ => Err(InvalidPacked::Flags { found: flags }),
    }
}

fn text(bytes: &[u8]) -> Result<&str, InvalidPacked> {
    core::str::from_utf8(bytes).map_err(|_| InvalidPacked::NotUtf8)
}

/// A line break would end the data in the middle of its frame.
fn one_line(bytes: &[u8]) -> Result<&str, InvalidPacked> {
    match memchr2(b'\r', b'\n', bytes) {
        Some(_) => Err(InvalidPacked::LineBreak),
        None => text(bytes),
    }
}

/// Why bytes of an engine are not an event that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPacked {
    /// The bytes end before the event does.
    TooShort,
    /// Another version of this library wrote the event.
    Version {
        /// Its number.
        found: u8,
    },
    /// The event type or the stamp is unknown.
    Flags {
        /// The byte of flags that says so.
        found: u8,
    },
    /// The ETag is not a valid event ID.
    Etag(InvalidEventId),
    /// The ETag or the data is not UTF-8.
    NotUtf8,
    /// The data has a line break.
    LineBreak,
}

impl fmt::Display for InvalidPacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("the stored event is cut short"),
            Self::Version { found } => write!(
                f,
                "the stored event has version {found}; this program reads version {VERSION}"
            ),
            Self::Flags { found } => {
                write!(
                    f,
                    "the stored event has a type or stamp that is unknown: {found:#04x}"
                )
            }
            Self::Etag(error) => write!(f, "the ETag of the stored event {error}"),
            Self::NotUtf8 => f.write_str("the stored event is not UTF-8"),
            Self::LineBreak => f.write_str("the data of the stored event has a line break"),
        }
    }
}

impl core::error::Error for InvalidPacked {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Etag(error) => Some(error),
            Self::TooShort
            | Self::Version { .. }
            | Self::Flags { .. }
            | Self::NotUtf8
            | Self::LineBreak => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ResourceKey;
    use std::vec;

    fn events() -> [Event; 3] {
        let key = || ResourceKey::new("posts", "1").expect("valid");
        [
            Event::changed(key(), "é", Some("v1")).expect("valid"),
            Event::snapshot(key(), &1, None).expect("valid"),
            Event::deleted(key()),
        ]
    }

    #[test]
    fn a_packed_event_is_read_back_with_its_stamp() {
        let at = Timestamp::from_millis(-7);
        for event in events() {
            let mut packed = Packed::new(&event);
            for stamp in [None, Some(false), Some(true)] {
                let stamp = stamp.map(|is_id| Stamp { at, is_id });
                if let Some(stamp) = stamp {
                    packed.stamp(stamp);
                }

                let kept = Packed::from_bytes(packed.as_bytes().clone());
                let unpacked = kept.parse().expect("as it was packed");
                assert_eq!(unpacked.stamp, stamp);
                assert_eq!(unpacked.event_type, event.event_type());
                assert_eq!(unpacked.etag, event.etag().map(EventId::borrowed));
                assert_eq!(unpacked.data.as_bytes(), event.data());
            }
        }
    }

    #[test]
    fn a_stamp_is_not_seen_by_those_who_share_the_bytes() {
        let mut packed = Packed::new(&events()[0]);
        let shared = packed.clone();
        packed.stamp(Stamp {
            at: Timestamp::MAX,
            is_id: true,
        });
        assert_eq!(shared.parse().expect("valid").stamp, None);
    }

    #[test]
    fn bytes_that_are_no_packed_event_say_why() {
        let valid = Packed::new(&events()[0]).as_bytes().to_vec();
        let changed = |at: usize, byte: u8| {
            let mut bytes = valid.clone();
            bytes[at] = byte;
            bytes
        };
        let etag = InvalidPacked::Etag(EventId::new("\n1").expect_err("a line break"));
        let last = valid.len() - 1;
        for (bytes, error) in [
            (vec![], InvalidPacked::TooShort),
            (vec![1; 11], InvalidPacked::TooShort),
            (vec![2], InvalidPacked::Version { found: 2 }),
            (changed(FLAGS, 3), InvalidPacked::Flags { found: 3 }),
            (changed(FLAGS, 9), InvalidPacked::Flags { found: 9 }),
            (changed(FLAGS, 17), InvalidPacked::Flags { found: 17 }),
            // A time, although the event is not stamped.
            (changed(STAMP, 1), InvalidPacked::Flags { found: 1 }),
            (changed(ETAG_LEN, 1), InvalidPacked::TooShort),
            (changed(ETAG, b'\n'), etag),
            (changed(ETAG, 0xff), InvalidPacked::NotUtf8),
            (changed(last, 0xff), InvalidPacked::NotUtf8),
            (changed(last, b'\r'), InvalidPacked::LineBreak),
            (changed(last, b'\n'), InvalidPacked::LineBreak),
        ] {
            let packed = Packed::from_bytes(bytes.into());
            assert_eq!(packed.parse(), Err(error), "{packed:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_packed_event_cannot_be_stamped() {
        for bytes in [&b""[..], b"\x01", b"\x02 of a later version"] {
            let mut packed = Packed::from_bytes(Bytes::from_static(bytes));
            packed.stamp(Stamp {
                at: Timestamp::MAX,
                is_id: true,
            });
            assert_eq!(packed.as_bytes(), bytes);
        }
    }
}
