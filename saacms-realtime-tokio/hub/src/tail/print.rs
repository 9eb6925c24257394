//! The output of `tail`, for people.

use core::fmt::Write as _;

use owo_colors::OwoColorize as _;
use saacms_realtime_core::sse::Message;
use saacms_realtime_core::{RESYNC, ResourceKey};
use serde_json::value::RawValue;

use super::indent::indented;
use super::json::json_line;
use super::report::{News, Replayed, Report};
use crate::terminal::{printable, seconds};

/// The widest that the column of names gets. Longer names overflow it.
const MAX_KEY_WIDTH: usize = 32;

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

    /// The lines for standard output, if there are any.
    pub(super) fn output(&self, report: &Report) -> Option<String> {
        if self.json {
            return Some(json_line(report));
        }
        match &report.news {
            News::Message { message, replayed } => {
                Some(self.event_line(report, message, *replayed))
            }
            News::Connected { .. } | News::Lost { .. } | News::Ended | News::Refused { .. } => None,
        }
    }

    /// The line about the connection for standard error.
    pub(super) fn state(&self, report: &Report) -> String {
        let key = printable(&report.key.to_string()).into_owned();
        match &report.news {
            News::Connected {
                last_event_id,
                again: true,
            } if last_event_id.is_empty() => {
                format!(
                    "{key}: connected without a last event ID: events may be missing, refetch this \
                     record"
                )
            }
            News::Connected { last_event_id, .. } if last_event_id.is_empty() => {
                format!("{key}: connected")
            }
            News::Connected { last_event_id, .. } => {
                format!(
                    "{key}: connected, last event ID {}",
                    printable(last_event_id)
                )
            }
            News::Lost { reason, wait, .. } => {
                format!(
                    "{key}: {}, reconnecting in {}",
                    printable(reason),
                    seconds(*wait)
                )
            }
            News::Ended => format!("{key}: the hub ended the stream for good"),
            News::Refused { reason } => format!("{key}: {}", printable(reason)),
            News::Message { .. } => String::new(),
        }
    }

    fn event_line(&self, report: &Report, message: &Message, replayed: Option<Replayed>) -> String {
        let at = report.at.to_string();
        let time = at.split_once('T').map_or(&*at, |(_, time)| time);
        let key = printable(&report.key.to_string()).into_owned();
        let width = self.key_width;

        let mut line = format!("{} {:width$} ", time.dimmed(), key.cyan());
        let id = printable(&message.last_event_id);

        // Writing to a string cannot fail, so its results are ignored.
        if message.event_type == RESYNC {
            let reason = resync_reason(&message.data);
            let notice = format!("resync ({}): refetch this record", printable(&reason));
            let _ = write!(line, "{} {}", notice.yellow().bold(), id.dimmed());
        } else {
            // 8: the length of `snapshot`, the longest type of a hub.
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

            // Data that is not JSON is printed as it is, even with --pretty.
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

fn resync_reason(data: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Data {
        reason: String,
    }
    serde_json::from_str(data)
        .map_or_else(|_| "no reason given".to_owned(), |Data { reason }| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resync_shows_its_reason_if_it_has_one() {
        assert_eq!(resync_reason(r#"{"reason":"lagged"}"#), "lagged");
        assert_eq!(resync_reason("x"), "no reason given");
    }
}
