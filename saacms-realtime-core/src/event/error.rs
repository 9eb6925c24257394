use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::fmt;

use super::Event;
use crate::excerpt::both_ends;
use crate::name::{InvalidEventId, InvalidKey, KeyPart};

/// Why an event is invalid. Nothing was published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The body is not UTF-8.
    NotUtf8 {
        /// Offset of the first invalid byte.
        at: usize,
    },
    /// The body is not JSON, or not an object.
    NotJson {
        /// The message of the parser.
        message: Box<str>,
    },
    /// The record cannot be written as JSON.
    Record {
        /// The message of the writer.
        message: Box<str>,
    },
    /// Arrays and objects are nested too deep.
    TooDeep {
        /// The depth.
        depth: usize,
    },
    /// A member is absent.
    Missing {
        /// The member.
        member: &'static str,
    },
    /// A member must be a string.
    NotAString {
        /// The member.
        member: &'static str,
        /// Its first characters.
        found: Box<str>,
    },
    /// A string has half of a surrogate pair, which has no UTF-8.
    LoneSurrogate {
        /// The member.
        member: &'static str,
    },
    /// The event type is none of the three.
    UnknownType {
        /// Its first characters.
        found: Box<str>,
    },
    /// Slug and ID are not a valid resource key.
    Key(InvalidKey),
    /// The ETag is not a valid event ID.
    Etag(InvalidEventId),
}

impl EventError {
    pub(super) fn not_json(error: serde_json::Error) -> Self {
        Self::NotJson {
            message: both_ends(&error.to_string()).into(),
        }
    }
}

impl From<InvalidKey> for EventError {
    fn from(error: InvalidKey) -> Self {
        Self::Key(error)
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { at } => write!(f, "the event is not UTF-8: byte {at} is invalid"),
            Self::NotJson { message } => write!(
                f,
                "the event is not a JSON object with the members `type`, `slug`, `id`, `record` and \
                 `etag`: {message}"
            ),
            Self::Record { message } => write!(f, "`record` cannot be written as JSON: {message}"),
            Self::TooDeep { depth } => write!(
                f,
                "arrays and objects are nested {depth} deep; at most {} levels are allowed",
                Event::MAX_NESTING
            ),
            Self::Missing { member: "record" } => f.write_str(
                "`record` is missing; `snapshot` and `changed` need a record, which may be `null`",
            ),
            Self::Missing { member } => write!(f, "`{member}` is missing; it must be a string"),
            Self::NotAString { member, found } => {
                write!(f, "`{member}` must be a string, found {found}")
            }
            Self::LoneSurrogate { member } => {
                write!(
                    f,
                    "`{member}` has a lone surrogate, which UTF-8 cannot carry"
                )
            }
            Self::UnknownType { found } => write!(
                f,
                "`type` is \"{found}\", but must be \"snapshot\", \"changed\" or \"deleted\""
            ),
            // The member as it is posted: a key names the same part by the word of the API's paths.
            Self::Key(error) => match error.part() {
                KeyPart::Slug => write!(f, "`slug`: {error}"),
                KeyPart::Id => write!(f, "`id`: {error}"),
            },
            Self::Etag(error) => write!(f, "`etag` {error}"),
        }
    }
}

impl core::error::Error for EventError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            Self::Etag(error) => Some(error),
            Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::Record { .. }
            | Self::TooDeep { .. }
            | Self::Missing { .. }
            | Self::NotAString { .. }
            | Self::LoneSurrogate { .. }
            | Self::UnknownType { .. } => None,
        }
    }
}
