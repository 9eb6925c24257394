//! The contract's answer to a posted event: the reasons to refuse it, or its frame.

use saacms_realtime_core::{EventError, InvalidEventId, InvalidKey, KeyPart, Timestamp};

use super::json::{Document, Json, Unreadable};

/// A posted event as the contract reads it.
pub(crate) struct Reading {
    /// Why it is refused; empty if it is not. A hub may name any of them.
    pub(crate) faults: Vec<Fault>,
    /// The event, if enough could be read for a frame. Some refused events have one too.
    pub(crate) event: Option<Posted>,
}

pub(crate) struct Posted {
    pub(crate) event_type: String,
    pub(crate) key: (String, String),
    /// Never empty, but possibly invalid.
    pub(crate) etag: Option<String>,
    pub(crate) data: String,
}

impl Posted {
    /// The frame of this event, written without core's encoder.
    pub(crate) fn frame(&self, id: &str) -> String {
        format!(
            "event: {}\nid: {id}\ndata: {}\n\n",
            self.event_type, self.data
        )
    }
}

/// The text of a time ID.
pub(crate) fn time_id(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

/// Why an event is refused (contract, sections 1, 2 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NotUtf8,
    NotJson,
    TooDeep,
    UnknownType,
    Member(&'static str, Wrong),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Missing,
    NotAString,
    LoneSurrogate,
    Empty,
    TooLong,
    Control,
    Separator,
    Dots,
    Reserved,
    OuterBlank,
    BlanksInARow,
}

impl Fault {
    /// Core's error as a fault.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "errors of core may become more"
    )]
    pub(crate) fn of(error: &EventError) -> Self {
        match error {
            EventError::NotUtf8 { .. } => Self::NotUtf8,
            EventError::NotJson { .. } => Self::NotJson,
            EventError::TooDeep { .. } => Self::TooDeep,
            EventError::UnknownType { .. } => Self::UnknownType,
            EventError::Missing { member } => Self::Member(member, Wrong::Missing),
            EventError::NotAString { member, .. } => Self::Member(member, Wrong::NotAString),
            EventError::LoneSurrogate { member } => Self::Member(member, Wrong::LoneSurrogate),
            EventError::Key(error) => Self::of_key(*error),
            EventError::Etag(error) => Self::Member(
                "etag",
                match error {
                    InvalidEventId::TooLong { .. } => Wrong::TooLong,
                    InvalidEventId::ControlCharacter => Wrong::Control,
                    InvalidEventId::OuterBlank => Wrong::OuterBlank,
                    InvalidEventId::BlanksInARow => Wrong::BlanksInARow,
                    other => panic!("an etag is not refused for that: {other}"),
                },
            ),
            other => panic!("a refusal that the contract does not have: {other}"),
        }
    }

    pub(crate) fn of_key(error: InvalidKey) -> Self {
        let name = |part| if part == KeyPart::Slug { "slug" } else { "id" };
        match error {
            InvalidKey::Empty { part } => Self::Member(name(part), Wrong::Empty),
            InvalidKey::TooLong { part, .. } => Self::Member(name(part), Wrong::TooLong),
            InvalidKey::ControlCharacter { part } => Self::Member(name(part), Wrong::Control),
            InvalidKey::Separator => Self::Member("slug", Wrong::Separator),
            InvalidKey::DotSegment { part } => Self::Member(name(part), Wrong::Dots),
            InvalidKey::Reserved => Self::Member("id", Wrong::Reserved),
            other => panic!("a refusal that the contract does not have: {other}"),
        }
    }
}

/// Reads a posted body.
pub(crate) fn read(body: &[u8]) -> Reading {
    let unreadable = |fault| Reading {
        faults: vec![fault],
        event: None,
    };
    // A byte order mark is skipped (Q16).
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(text) = core::str::from_utf8(body) else {
        return unreadable(Fault::NotUtf8);
    };
    match Document::read(text, 128) {
        Ok(document) if matches!(document.root, Json::Object(_)) => read_members(&document),
        Ok(_) | Err(Unreadable::NotJson) => unreadable(Fault::NotJson),
        Err(Unreadable::TooDeep) => unreadable(Fault::TooDeep),
    }
}

fn read_members(document: &Document) -> Reading {
    let mut faults = Vec::new();
    let mut string = |name| {
        string(document, name)
            .map_err(|wrong| faults.push(Fault::Member(name, wrong)))
            .ok()
    };
    let (event_type, slug, id) = (string("type"), string("slug"), string("id"));

    // The `etag` and `record` of a deleted event are ignored.
    let is_deleted = event_type.as_deref() == Some("deleted");
    let etag_given = document
        .member("etag")
        .is_some_and(|etag| !matches!(etag.value, Json::Null));
    let etag = if is_deleted || !etag_given {
        Some(String::new())
    } else {
        string("etag")
    };
    let data = if is_deleted {
        // Escaped as `JSON.stringify` does.
        id.as_ref()
            .map(|id| format!(r#"{{"id":{}}}"#, serde_json::Value::from(id.as_str())))
    } else {
        document
            .member("record")
            .map(|record| document.compact[record.text.clone()].to_owned())
    };

    if data.is_none() && !is_deleted {
        faults.push(Fault::Member("record", Wrong::Missing));
    }

    if event_type
        .as_ref()
        .is_some_and(|text| !["snapshot", "changed", "deleted"].contains(&text.as_str()))
    {
        faults.push(Fault::UnknownType);
    }

    if let Some(slug) = &slug {
        faults.extend(key_part_faults("slug", slug, 128));
        if slug.contains([':', '/']) {
            faults.push(Fault::Member("slug", Wrong::Separator));
        }
    }

    faults.extend(id.iter().flat_map(|id| key_part_faults("id", id, 512)));
    faults.extend(etag.iter().flat_map(|etag| etag_faults(etag)));
    let event = match (event_type, slug, id, etag, data) {
        (Some(event_type), Some(slug), Some(id), Some(etag), Some(data)) => Some(Posted {
            event_type,
            key: (slug, id),
            etag: Some(etag).filter(|etag| !etag.is_empty()),
            data,
        }),
        _ => None,
    };
    Reading { faults, event }
}

fn string(document: &Document, name: &str) -> Result<String, Wrong> {
    match document.member(name).map(|member| &member.value) {
        None => Err(Wrong::Missing),
        Some(Json::String(units)) => String::from_utf16(units).map_err(|_| Wrong::LoneSurrogate),
        Some(_) => Err(Wrong::NotAString),
    }
}

/// Why `text` is not valid as this part of a key.
pub(crate) fn key_part_faults(part: &'static str, text: &str, max_len: usize) -> Vec<Fault> {
    let wrongs = [
        (text.is_empty(), Wrong::Empty),
        (text.len() > max_len, Wrong::TooLong),
        (text.chars().any(char::is_control), Wrong::Control),
        (matches!(text, "." | ".."), Wrong::Dots),
        (part == "id" && text == "*", Wrong::Reserved),
    ];
    found(part, &wrongs)
}

/// Why `etag` is not valid as an event ID.
pub(crate) fn etag_faults(etag: &str) -> Vec<Fault> {
    let wrongs = [
        (etag.len() > 512, Wrong::TooLong),
        (
            etag.contains(|c: char| c.is_ascii_control() && c != '\t'),
            Wrong::Control,
        ),
        (etag != without_blanks(etag), Wrong::OuterBlank),
        (
            ["  ", "\t\t", " \t", "\t "]
                .iter()
                .any(|two| etag.contains(two)),
            Wrong::BlanksInARow,
        ),
    ];
    found("etag", &wrongs)
}

fn found(member: &'static str, wrongs: &[(bool, Wrong)]) -> Vec<Fault> {
    wrongs
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, wrong)| Fault::Member(member, *wrong))
        .collect()
}

/// A header value as HTTP passes it on, without blanks at either end.
pub(crate) fn without_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
