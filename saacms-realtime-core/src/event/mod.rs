//! A record event: made in the process or read from JSON, checked, and written as a frame.

mod error;
mod json;
mod posted;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString as _;

use serde::Serialize;

use crate::excerpt::both_ends;
use crate::name::{EventId, EventType, ResourceKey};
use crate::sse::OpenFrame;

pub use error::EventError;

use json::{Outline, append_compact, outline};

/// A record event that can be published.
///
/// It is checked, and already written as a frame in which only the ID is missing: the slow part is
/// done before the topic's lock is taken.
///
/// ```
/// use saacms_realtime_core::Event;
/// let event = Event::from_json(
///     br#"{"type":"changed","slug":"posts","id":"1","record":{ "title": "x" },"etag":"v1"}"#,
/// )?;
/// assert_eq!(event.data(), br#"{"title":"x"}"#);
/// # Ok::<(), saacms_realtime_core::EventError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    key: ResourceKey,
    /// The event ID under the ETag policy. A `deleted` event has none.
    etag: Option<EventId<Box<str>>>,
    frame: OpenFrame,
}

impl Event {
    /// The deepest nesting of arrays and objects in a JSON event, the event itself included.
    pub const MAX_NESTING: usize = 128;

    /// Room for an ID that the topic generates: a time has at most 27 bytes, a position 37.
    const GENERATED_ID_LEN: usize = 48;

    /// A `changed` event. `record` is serialized to JSON; an empty `etag` counts as none.
    ///
    /// A `serde_json::value::RawValue` is passed through as it was written.
    ///
    /// # Errors
    ///
    /// [`EventError::Record`] if `record` cannot be serialized, [`EventError::Etag`] if `etag` is
    /// not a valid event ID, [`EventError::TooDeep`] if `record` is nested more than 127 deep.
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

    /// A `deleted` event. The topic generates its ID.
    pub fn deleted(key: ResourceKey) -> Self {
        let id = serde_json::to_string(key.id()).expect("every string has a JSON form");
        let data = format!(r#"{{"id":{id}}}"#);
        let frame = OpenFrame::new(
            EventType::Deleted,
            Self::GENERATED_ID_LEN,
            data.len(),
            |out| {
                out.extend_from_slice(data.as_bytes());
            },
        );

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
                message: both_ends(&error.to_string()).into(),
            })?;

        let Outline {
            depth,
            has_whitespace,
        } = outline(record.get());
        // One level more, as in a posted event, which encloses its record.
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
            // An empty ETag is no version of a record, and no event ID.
            None | Some("") => None,
            Some(etag) => Some(EventId::new(etag).map_err(EventError::Etag)?.into_boxed()),
        };

        // Under the position policy, even an event with a short ETag gets a position as its ID.
        let id_len = etag
            .as_ref()
            .map_or(0, |etag| etag.as_str().len())
            .max(Self::GENERATED_ID_LEN);

        let frame = OpenFrame::new(event_type, id_len, record.len(), |out| {
            append_compact(out, record, has_whitespace);
        });
        Ok(Self { key, etag, frame })
    }

    /// The record.
    pub fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// The event type.
    pub fn event_type(&self) -> EventType {
        self.frame.event_type()
    }

    /// The ETag of the record, if there is one.
    pub fn etag(&self) -> Option<&EventId<Box<str>>> {
        self.etag.as_ref()
    }

    /// The data as readers get it: JSON in UTF-8, one line.
    pub fn data(&self) -> &[u8] {
        self.frame.data()
    }

    pub(crate) fn into_parts(self) -> (ResourceKey, Option<EventId<Box<str>>>, OpenFrame) {
        (self.key, self.etag, self.frame)
    }
}

#[cfg(test)]
mod tests;
