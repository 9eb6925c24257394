//! What `tail` writes: for people, and for programs.

use core::fmt::Write as _;

use owo_colors::OwoColorize as _;
use saacms_realtime_core::name::{RESYNC, ResourceKey};
use saacms_realtime_core::sse::Message;
use serde_json::value::RawValue;

use crate::client::{printable, seconds};

use super::follow::{Item, Replayed, What};

/// Records whose names are wider do not move the others' columns.
const MAX_KEY_WIDTH: usize = 32;

/// How much deeper nesting is not shown by deeper indentation.
const MAX_INDENT: usize = 32;

/// Turns reports into text.
#[derive(Debug)]
pub(super) struct Printer {
    json: bool,
    pretty: bool,
    key_width: usize,
}

impl Printer {
    pub(super) fn new(json: bool, pretty: bool, records: &[ResourceKey]) -> Self {
        let widths = records.iter().map(|key| key.to_string().chars().count());
        let key_width = widths
            .filter(|width| *width <= MAX_KEY_WIDTH)
            .max()
            .unwrap_or(0);
        Self {
            json,
            pretty,
            key_width,
        }
    }

    /// What `item` puts on standard output.
    pub(super) fn output(&self, item: &Item) -> Option<String> {
        if self.json {
            return Some(json_line(item));
        }
        match &item.what {
            What::Message { message, replayed } => Some(self.event_line(item, message, *replayed)),
            What::Connected { .. } | What::Lost { .. } | What::Ended | What::Refused { .. } => None,
        }
    }

    /// What `item` says about the connection, for standard error.
    pub(super) fn state(&self, item: &Item) -> String {
        let key = printable(&item.key.to_string()).into_owned();
        match &item.what {
            What::Connected { last_event_id } if last_event_id.is_empty() => {
                format!("{key}: connected")
            }
            What::Connected { last_event_id } => {
                format!(
                    "{key}: connected, last event ID {}",
                    printable(last_event_id)
                )
            }
            What::Lost { reason, wait } => {
                format!(
                    "{key}: {}, reconnecting in {}",
                    printable(reason),
                    seconds(*wait)
                )
            }
            What::Ended => format!("{key}: the hub ended the stream for good"),
            What::Refused { reason } => format!("{key}: {}", printable(reason)),
            What::Message { .. } => String::new(),
        }
    }

    fn event_line(&self, item: &Item, message: &Message, replayed: Option<Replayed>) -> String {
        let at = item.at.to_string();
        let time = at.split_once('T').map_or(&*at, |(_, time)| time);
        let key = printable(&item.key.to_string()).into_owned();
        let width = self.key_width;
        let mut line = format!("{} {:width$} ", time.dimmed(), key.cyan());
        let id = printable(&message.last_event_id);
        // Writing to a string cannot fail.
        if message.event_type == RESYNC {
            let reason = resync_reason(&message.data);
            let told = format!("resync ({}): refetch this record", printable(&reason));
            let _ = write!(line, "{} {}", told.yellow().bold(), id.dimmed());
        } else {
            let event_type = format!("{:8}", printable(&message.event_type));
            let _ = match &*message.event_type {
                "snapshot" => write!(line, "{}", event_type.green()),
                "deleted" => write!(line, "{}", event_type.red()),
                _ => write!(line, "{}", event_type.blue()),
            };
            let _ = write!(line, " {}", id.magenta());
            match replayed {
                None => {}
                Some(Replayed::AfterConnect) => {
                    let _ = write!(line, " {}", "(after connect)".yellow());
                }
                Some(Replayed::AfterReconnect) => {
                    let _ = write!(line, " {}", "(after reconnect)".yellow());
                }
            }
            match serde_json::from_str::<&RawValue>(&message.data) {
                Ok(data) if self.pretty => {
                    line.push_str("\n  ");
                    line.push_str(&indented(data.get()));
                }
                Ok(_) | Err(_) => {
                    line.push(' ');
                    line.push_str(&printable(&message.data));
                }
            }
        }
        line.push('\n');
        line
    }
}

/// One report as `--json` writes it.
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

fn json_line(item: &Item) -> String {
    let mut line = JsonLine {
        at: item.at.to_string(),
        key: JsonKey {
            slug: item.key.slug(),
            id: item.key.id(),
        },
        kind: "disconnected",
        r#type: None,
        id: None,
        data: None,
        replayed: false,
    };
    let data = match &item.what {
        What::Message { message, .. } => json_data(&message.data),
        What::Lost { reason, wait } => {
            json_value(serde_json::json!({ "reason": reason, "retry_ms": wait.as_millis() as u64 }))
        }
        What::Refused { reason } => {
            json_value(serde_json::json!({ "reason": reason, "retry_ms": null }))
        }
        What::Connected { .. } | What::Ended => None,
    };
    line.data = data.as_deref();
    match &item.what {
        What::Message { message, replayed } => {
            line.kind = if message.event_type == RESYNC {
                "resync"
            } else {
                "event"
            };
            line.r#type = Some(&message.event_type);
            line.id = Some(&message.last_event_id);
            line.replayed = replayed.is_some();
        }
        What::Connected { last_event_id } => {
            line.kind = "connected";
            line.id = Some(&**last_event_id).filter(|id| !id.is_empty());
        }
        What::Lost { .. } | What::Ended | What::Refused { .. } => {}
    }
    // Strings and valid JSON only: there is nothing in it that cannot be written.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

/// `data` as it is where it is JSON, otherwise as a JSON string; always one line.
fn json_data(data: &str) -> Option<Box<RawValue>> {
    if !data.contains(['\n', '\r'])
        && let Ok(json) = serde_json::from_str(data)
    {
        return Some(json);
    }
    // A line break between tokens means nothing; within a string none can be.
    match serde_json::from_str::<Box<RawValue>>(data) {
        Ok(json) => RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok(),
        Err(_) => json_value(data.into()),
    }
}

fn json_value(value: serde_json::Value) -> Option<Box<RawValue>> {
    RawValue::from_string(value.to_string()).ok()
}

fn resync_reason(data: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Data {
        reason: String,
    }
    serde_json::from_str(data)
        .map_or_else(|_| "no reason given".to_owned(), |Data { reason }| reason)
}

/// JSON on several lines, indented by one step more than its first line.
///
/// Works on the text, so that numbers, the order of members and repeated members stay as they are.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 1_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            text.push(if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            });
            in_string = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                text.push(c);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ if c.is_ascii_whitespace() => {}
            _ => {
                in_string = c == '"';
                text.push(c);
            }
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(core::iter::repeat_n("  ", depth.min(MAX_INDENT)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_json_is_the_same_text_but_for_blanks() {
        let json = r#"{"b":1.0,"a":[],"b":{ },"c":["x\"}, y\\",-0,{"d":1e400}]}"#;
        let text = indented(json);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "{",
                r#"    "b": 1.0,"#,
                r#"    "a": [],"#,
                r#"    "b": {},"#,
                r#"    "c": ["#,
                r#"      "x\"}, y\\","#,
                "      -0,",
                "      {",
                r#"        "d": 1e400"#,
                "      }",
                "    ]",
                "  }",
            ]
        );
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        assert!(indented(&deep).len() < 100_000 * 70);
    }

    #[test]
    fn data_is_json_on_one_line_whatever_came() {
        let data = |text| json_data(text).expect("JSON").get().to_owned();
        assert_eq!(data(r#"{"a":1.0}"#), r#"{"a":1.0}"#);
        assert_eq!(data("{\n\"a\":\r1.0}"), "{ \"a\": 1.0}");
        assert_eq!(data("not\njson"), r#""not\njson""#);
    }

    #[test]
    fn a_resync_says_why_where_it_can() {
        assert_eq!(resync_reason(r#"{"reason":"lagged"}"#), "lagged");
        assert_eq!(resync_reason("x"), "no reason given");
    }
}
