//! A record event: read from JSON, checked, and already written as a frame but for its ID.

mod json;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;

use serde::Serialize;
use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use crate::name::{EventId, EventType, InvalidEventId, InvalidKey, ResourceKey};
use crate::sse::OpenFrame;

use self::json::{Outline, append_compact, outline};

/// A record event, ready to be published: valid, and already written as a frame but for its ID.
///
/// ```
/// use saacms_realtime_core::event::Event;
/// let event = Event::from_json(
///     br#"{"type":"changed","slug":"posts","id":"1","record":{ "title": "x" },"etag":"v1"}"#,
/// )?;
/// assert_eq!(event.data(), br#"{"title":"x"}"#);
/// # Ok::<(), saacms_realtime_core::event::EventError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    key: ResourceKey,
    etag: Option<EventId<Box<str>>>,
    frame: OpenFrame,
}

impl Event {
    /// The deepest nesting of arrays and objects in a JSON event, the event itself included.
    pub const MAX_NESTING: usize = 128;

    /// Room for the ID of an event without an ETag: a time, or a position.
    const GIVEN_ID_LEN: usize = 48;

    /// Reads an event as it is posted: `{"type","slug","id","record"?,"etag"?}`.
    ///
    /// Other members are ignored; of a repeated member the last one counts, as in JavaScript. A
    /// `deleted` event has neither record nor ETag; what it names as such is ignored.
    ///
    /// # Errors
    ///
    /// Which member is wrong, and what is allowed.
    pub fn from_json(body: &[u8]) -> Result<Self, EventError> {
        let text = core::str::from_utf8(body).map_err(|error| EventError::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        let Outline {
            depth,
            has_whitespace,
        } = outline(text);
        if depth > Self::MAX_NESTING {
            return Err(EventError::TooDeep { depth });
        }
        let members = Members::parse(text)?;
        let key = ResourceKey::new(&string("slug", members.slug)?, &string("id", members.id)?)?;
        let type_text = string("type", members.event_type)?;
        let event_type = EventType::parse(&type_text).ok_or_else(|| EventError::UnknownType {
            found: excerpt(&type_text),
        })?;
        if event_type == EventType::Deleted {
            return Ok(Self::deleted(key));
        }
        let etag = match members.etag.map(RawValue::get) {
            None | Some("null") => None,
            Some(raw) => Some(string_value("etag", raw)?),
        };
        let record = members
            .record
            .ok_or(EventError::Missing { member: "record" })?;
        Self::with_record(
            key,
            event_type,
            record.get(),
            has_whitespace,
            etag.as_deref(),
        )
    }

    /// A `changed` event; `record` is written as JSON, an empty `etag` is none.
    ///
    /// A `serde_json::value::RawValue` is passed through as it was written.
    ///
    /// # Errors
    ///
    /// [`EventError::Record`] where `record` has no JSON, [`EventError::Etag`] where `etag` cannot be
    /// an event ID, [`EventError::TooDeep`] where `record` is nested more than 127 deep.
    pub fn changed(
        key: ResourceKey,
        record: &(impl Serialize + ?Sized),
        etag: Option<&str>,
    ) -> Result<Self, EventError> {
        Self::serialized(key, EventType::Changed, record, etag)
    }

    /// A `snapshot` event, otherwise as [`changed`](Self::changed).
    ///
    /// # Errors
    ///
    /// As [`changed`](Self::changed).
    pub fn snapshot(
        key: ResourceKey,
        record: &(impl Serialize + ?Sized),
        etag: Option<&str>,
    ) -> Result<Self, EventError> {
        Self::serialized(key, EventType::Snapshot, record, etag)
    }

    /// A `deleted` event. Its ID is always given by the hub.
    pub fn deleted(key: ResourceKey) -> Self {
        let id = serde_json::to_string(key.id()).unwrap_or_default();
        let data = format!(r#"{{"id":{id}}}"#);
        let frame = OpenFrame::new(EventType::Deleted, Self::GIVEN_ID_LEN, data.len(), |out| {
            out.extend_from_slice(data.as_bytes());
        });
        Self {
            key,
            etag: None,
            frame,
        }
    }

    fn serialized(
        key: ResourceKey,
        event_type: EventType,
        record: &(impl Serialize + ?Sized),
        etag: Option<&str>,
    ) -> Result<Self, EventError> {
        let record =
            serde_json::value::to_raw_value(record).map_err(|error| EventError::Record {
                message: error.to_string().into(),
            })?;
        let Outline {
            depth,
            has_whitespace,
        } = outline(record.get());
        // As deep as the event would be that it is posted in.
        let depth = depth + 1;
        if depth > Self::MAX_NESTING {
            return Err(EventError::TooDeep { depth });
        }
        Self::with_record(key, event_type, record.get(), has_whitespace, etag)
    }

    fn with_record(
        key: ResourceKey,
        event_type: EventType,
        record: &str,
        has_whitespace: bool,
        etag: Option<&str>,
    ) -> Result<Self, EventError> {
        let etag = match etag {
            None | Some("") => None,
            Some(etag) => Some(EventId::new(etag).map_err(EventError::Etag)?.into_boxed()),
        };
        let id_len = etag
            .as_ref()
            .map_or(0, |etag| etag.as_str().len())
            .max(Self::GIVEN_ID_LEN);
        let frame = OpenFrame::new(event_type, id_len, record.len(), |out| {
            append_compact(out, record, has_whitespace);
        });
        Ok(Self { key, etag, frame })
    }

    /// Which record it is about.
    pub fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// What happened to the record.
    pub fn event_type(&self) -> EventType {
        self.frame.event_type()
    }

    /// The record's ETag, where one was given.
    pub fn etag(&self) -> Option<&EventId<Box<str>>> {
        self.etag.as_ref()
    }

    /// The data as subscribers get it: JSON in UTF-8, one line.
    pub fn data(&self) -> &[u8] {
        self.frame.data()
    }

    pub(crate) fn into_parts(self) -> (ResourceKey, Option<EventId<Box<str>>>, OpenFrame) {
        (self.key, self.etag, self.frame)
    }
}

/// The members of a posted event, each as it was written.
#[derive(Default)]
struct Members<'a> {
    event_type: Option<&'a RawValue>,
    slug: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    record: Option<&'a RawValue>,
    etag: Option<&'a RawValue>,
}

impl<'a> Members<'a> {
    fn parse(text: &'a str) -> Result<Self, EventError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json
            .deserialize_map(MembersVisitor)
            .map_err(EventError::not_json)?;
        json.end().map_err(EventError::not_json)?;
        Ok(members)
    }
}

struct MembersVisitor;

impl<'de> de::Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members type, slug, id, record and etag")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<&RawValue>()? {
            let member = match unescaped(name.get()).as_deref() {
                Some("type") => &mut members.event_type,
                Some("slug") => &mut members.slug,
                Some("id") => &mut members.id,
                Some("record") => &mut members.record,
                Some("etag") => &mut members.etag,
                Some(_) | None => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *member = Some(map.next_value()?);
        }
        Ok(members)
    }
}

/// The value of a JSON string; `None` where it is no string or has a lone surrogate.
fn unescaped(json: &str) -> Option<Cow<'_, str>> {
    match json.strip_prefix('"')?.strip_suffix('"') {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
    }
}

fn string<'a>(
    member: &'static str,
    value: Option<&'a RawValue>,
) -> Result<Cow<'a, str>, EventError> {
    string_value(member, value.ok_or(EventError::Missing { member })?.get())
}

fn string_value<'a>(member: &'static str, json: &'a str) -> Result<Cow<'a, str>, EventError> {
    unescaped(json).ok_or_else(|| {
        if json.starts_with('"') {
            EventError::LoneSurrogate { member }
        } else {
            EventError::NotAString {
                member,
                found: excerpt(json),
            }
        }
    })
}

/// The first characters of `text`, for a message.
fn excerpt(text: &str) -> Box<str> {
    const MAX: usize = 40;
    let mut short: String = text
        .chars()
        .take(MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX).is_some() {
        short.push('…');
    }
    short.into()
}

/// A posted event cannot be published. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The body is not UTF-8.
    NotUtf8 {
        /// Where the first wrong byte is, from 0.
        at: usize,
    },
    /// The body is not JSON, or not an object.
    NotJson {
        /// What the parser says.
        message: Box<str>,
    },
    /// The record cannot be written as JSON.
    Record {
        /// What the writer says.
        message: Box<str>,
    },
    /// Arrays and objects are nested too deep.
    TooDeep {
        /// How deep.
        depth: usize,
    },
    /// A member is absent.
    Missing {
        /// Which one.
        member: &'static str,
    },
    /// A member must be a string.
    NotAString {
        /// Which one.
        member: &'static str,
        /// How it begins.
        found: Box<str>,
    },
    /// A string has half of a surrogate pair, which UTF-8 cannot carry.
    LoneSurrogate {
        /// Which one.
        member: &'static str,
    },
    /// The event type is none of the three.
    UnknownType {
        /// How it begins.
        found: Box<str>,
    },
    /// Slug or ID cannot be a resource key.
    Key(InvalidKey),
    /// The ETag cannot be an event ID.
    Etag(InvalidEventId),
}

impl EventError {
    fn not_json(error: serde_json::Error) -> Self {
        Self::NotJson {
            message: error.to_string().into(),
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
            Self::NotUtf8 { at } => write!(f, "the event is not UTF-8: byte {at} is wrong"),
            Self::NotJson { message } => write!(
                f,
                "the event is not a JSON object with the members `type`, `slug`, `id`, `record` and \
                 `etag`: {message}"
            ),
            Self::Record { message } => write!(f, "`record` cannot be written as JSON: {message}"),
            Self::TooDeep { depth } => write!(
                f,
                "arrays and objects are nested {depth} deep; at most {} is allowed",
                Event::MAX_NESTING
            ),
            Self::Missing { member: "record" } => f.write_str(
                "`record` is missing; `snapshot` and `changed` need the record, `null` is one",
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
                "`type` is \"{found}\"; allowed are \"snapshot\", \"changed\" and \"deleted\""
            ),
            Self::Key(error) => error.fmt(f),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> EventError {
        Event::from_json(body.as_bytes()).expect_err(body)
    }

    #[test]
    fn the_record_stays_as_it_was_written() {
        let event = Event::from_json(
            br#" {"record" : {"b":1.0, "a":-0 ,"a":"\u00e9\/ "}, "type":"changed","slug":"s","id":"i"} "#,
        )
        .expect("valid");
        assert_eq!(event.data(), br#"{"b":1.0,"a":-0,"a":"\u00e9\/ "}"#);
        assert_eq!(event.etag(), None);
    }

    #[test]
    fn null_is_a_record_and_absence_is_not() {
        let event = Event::from_json(br#"{"type":"snapshot","slug":"s","id":"i","record":null}"#)
            .expect("");
        assert_eq!(event.data(), b"null");
        assert_eq!(
            error(r#"{"type":"snapshot","slug":"s","id":"i"}"#),
            EventError::Missing { member: "record" }
        );
    }

    #[test]
    fn of_a_repeated_member_the_last_one_counts_however_it_is_spelled() {
        let event = Event::from_json(
            br#"{"type":5,"slug":"s","id":"a","id":"b","t\u0079pe":"deleted","etag":[]}"#,
        )
        .expect("valid");
        assert_eq!(
            (event.event_type(), event.key().id()),
            (EventType::Deleted, "b")
        );
        assert_eq!(event.data(), br#"{"id":"b"}"#);
    }

    #[test]
    fn a_refusal_names_the_member_and_what_is_allowed() {
        let said = |body: &str| error(body).to_string();
        assert_eq!(
            said(r#"{"type":"updated","slug":"s","id":"i"}"#),
            r#"`type` is "updated"; allowed are "snapshot", "changed" and "deleted""#
        );
        assert_eq!(
            said(r#"{"type":"changed","slug":"s","id":6}"#),
            "`id` must be a string, found 6"
        );
        assert_eq!(
            said(r#"{"type":"changed","slug":"s","id":"i","record":1,"etag":"a\r"}"#),
            "`etag` must not contain CR, LF or NUL"
        );
        assert_eq!(
            said(r#"{"type":"changed","slug":"s","id":"\ud800"}"#),
            "`id` has a lone surrogate, which UTF-8 cannot carry"
        );
        assert!(said("[]").contains("invalid type: sequence"));
        assert!(said(r#"{"type":"changed"} x"#).contains("trailing characters"));
    }

    #[test]
    fn an_event_made_in_the_process_is_what_it_was_made_of() {
        let key = || ResourceKey::new("s", "a\"b").expect("valid");
        let changed = Event::changed(key(), "x", Some("v1")).expect("valid");
        assert_eq!(
            (changed.event_type(), changed.data()),
            (EventType::Changed, &b"\"x\""[..])
        );
        assert_eq!(changed.etag().map(EventId::as_str), Some("v1"));
        let snapshot = Event::snapshot(key(), &[1], Some("")).expect("valid");
        assert_eq!(
            (snapshot.event_type(), snapshot.data()),
            (EventType::Snapshot, &b"[1]"[..])
        );
        assert_eq!(snapshot.etag(), None, "an empty ETag is none (Q05)");
        let deleted = Event::deleted(key());
        assert_eq!(
            (deleted.event_type(), deleted.key()),
            (EventType::Deleted, &key())
        );
        assert_eq!(deleted.data(), br#"{"id":"a\"b"}"#);
        let nested = |depth: usize| {
            let record = "[".repeat(depth) + &"]".repeat(depth);
            let record = RawValue::from_string(record).expect("JSON");
            Event::changed(key(), &*record, None).map(drop)
        };
        // Within the event that a client could have posted.
        assert_eq!(
            (nested(127), nested(128)),
            (Ok(()), Err(EventError::TooDeep { depth: 129 }))
        );
    }

    #[test]
    fn a_string_is_copied_only_where_it_has_escapes() {
        assert!(matches!(
            unescaped(r#""plain""#),
            Some(Cow::Borrowed("plain"))
        ));
        assert_eq!(unescaped(r#""\u0061""#).as_deref(), Some("a"));
        assert_eq!((unescaped("5"), unescaped(r#""\ud800""#)), (None, None));
    }

    #[test]
    fn nesting_over_128_is_refused_wherever_it_is() {
        let nested = |member: &str, depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let body = std::format!(
                r#"{{"type":"changed","slug":"s","id":"i","record":1,"{member}":{open}{close}}}"#
            );
            Event::from_json(body.as_bytes())
        };
        assert!(nested("record", 127).is_ok());
        assert_eq!(
            nested("record", 128).unwrap_err(),
            EventError::TooDeep { depth: 129 }
        );
        assert_eq!(
            nested("other", 100_000).unwrap_err(),
            EventError::TooDeep { depth: 100_001 }
        );
    }
}
