use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::json::{Outline, outline};
use super::{Event, EventError};
use crate::config::text;
use crate::excerpt::excerpt;
use crate::name::{EventType, ResourceKey};

/// Reading a posted event.
impl Event {
    /// Reads an event as clients post it: `{"type","slug","id","record"?,"etag"?}`.
    ///
    /// A byte order mark before it is skipped. Other members are ignored. If a member is repeated, the last one counts, as in JavaScript. The
    /// `record` and `etag` of a `deleted` event are ignored.
    ///
    /// # Errors
    ///
    /// The first invalid member, and what is allowed.
    pub fn from_json(body: &[u8]) -> Result<Self, EventError> {
        let text = core::str::from_utf8(body).map_err(|error| EventError::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        let text = text::without_mark(text);

        // Checked before anything parses the body, whose depth has no limit until then.
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
            found: excerpt(&type_text).into(),
        })?;
        // A deletion needs neither `record` nor `etag`, so even malformed ones are ignored.
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
}

/// The members of a posted event, each as the JSON text that was posted.
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
        // Read raw, because a name with escapes cannot be borrowed as `&str`.
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

            // Overwrites a repeated member: the last one counts.
            *member = Some(map.next_value()?);
        }
        Ok(members)
    }
}

/// The value of a JSON string; `None` if it is not a string, or has a lone surrogate.
pub(super) fn unescaped(json: &str) -> Option<Cow<'_, str>> {
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
                found: excerpt(json).into(),
            }
        }
    })
}
