//! The output of `tail --json`, for programs.

use saacms_realtime_core::RESYNC;
use serde_json::value::RawValue;

use super::report::{News, Report};

/// A report as `--json` writes it.
#[derive(serde::Serialize)]
struct JsonLine<'a> {
    at: String,
    key: JsonKey<'a>,
    kind: &'static str,
    r#type: Option<&'a str>,
    id: Option<&'a str>,
    data: Option<&'a RawValue>,
    replayed: bool,
}

#[derive(serde::Serialize)]
struct JsonKey<'a> {
    slug: &'a str,
    id: &'a str,
}

/// The line of a report.
pub(super) fn json_line(report: &Report) -> String {
    let mut line = JsonLine {
        at: report.at.to_string(),
        key: JsonKey {
            slug: report.key.slug(),
            id: report.key.id(),
        },
        kind: "disconnected",
        r#type: None,
        id: None,
        data: None,
        replayed: false,
    };

    // Declared by itself, because the line borrows it.
    let data = match &report.news {
        News::Message { message, .. } => json_data(&message.data),
        News::Lost { reason, wait, .. } => {
            json_value(serde_json::json!({ "reason": reason, "retry_ms": wait.as_millis() as u64 }))
        }
        News::Refused { reason } => {
            json_value(serde_json::json!({ "reason": reason, "retry_ms": null }))
        }
        News::Connected { .. } | News::Ended => None,
    };
    line.data = data.as_deref();

    match &report.news {
        News::Message { message, replayed } => {
            line.kind = if message.event_type == RESYNC {
                "resync"
            } else {
                "event"
            };
            line.r#type = Some(&message.event_type);
            line.id = Some(&message.last_event_id);
            line.replayed = replayed.is_some();
        }
        News::Connected { last_event_id, .. } => {
            line.kind = "connected";
            // Empty means that the request named no ID.
            line.id = Some(&**last_event_id).filter(|id| !id.is_empty());
        }
        News::Lost { .. } | News::Ended | News::Refused { .. } => {}
    }

    // Strings and valid JSON can always be serialized.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

/// `data` unchanged if it is JSON, otherwise as a JSON string; always on one line.
fn json_data(data: &str) -> Option<Box<RawValue>> {
    if !data.contains(['\n', '\r'])
        && let Ok(json) = serde_json::from_str(data)
    {
        return Some(json);
    }
    // A line break can only be between tokens, where it means nothing: strings have none.
    match serde_json::from_str::<Box<RawValue>>(data) {
        Ok(json) => RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok(),
        Err(_) => json_value(data.into()),
    }
}

fn json_value(value: serde_json::Value) -> Option<Box<RawValue>> {
    RawValue::from_string(value.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_json_on_one_line_whatever_came() {
        let data = |text| json_data(text).expect("JSON").get().to_owned();
        assert_eq!(data(r#"{"a":1.0}"#), r#"{"a":1.0}"#);
        assert_eq!(data("{\n\"a\":\r1.0}"), "{ \"a\": 1.0}");
        assert_eq!(data("not\njson"), r#""not\njson""#);
    }
}
