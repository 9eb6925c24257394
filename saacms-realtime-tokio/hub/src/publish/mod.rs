//! `publish`: one event from arguments, or many from lines of JSON.

mod hub_client;
mod ndjson;

use std::io::Read as _;
use std::process::ExitCode;
use std::{fs, io};

use saacms_realtime_core::settings::text;
use saacms_realtime_core::{Event, EventType};
use serde_json::value::RawValue;

use self::hub_client::HubClient;
use crate::client::{HubArgs, TokenArgs};
use crate::terminal::{print_error, print_status, printable};

/// Publish one event, or a file of events
///
/// One event: `publish changed posts 1 '{"title":"x"}' --etag v1`, `publish deleted posts 1`. Many:
/// `publish --ndjson events.ndjson`, each line of this form:
/// `{"type":"changed","slug":"posts","id":"1","record":{"title":"x"},"etag":"v1"}`.
///
/// Exit codes: 0 all events are published; 1 an event was refused, or the hub cannot be reached; 2 the
/// arguments are not an event, and nothing was sent.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// What happened to the record: snapshot, changed or deleted
    #[arg(value_name = "TYPE", value_parser = event_type, required_unless_present = "ndjson")]
    event_type: Option<EventType>,

    /// Collection of the record
    #[arg(value_name = "COLLECTION", required_unless_present = "ndjson")]
    slug: Option<String>,

    /// ID of the record
    #[arg(
        value_name = "ID",
        required_unless_present = "ndjson",
        allow_negative_numbers = true
    )]
    id: Option<String>,

    /// The record as JSON, `@FILE` to read it from a file, `-` to read it from standard input
    #[arg(value_name = "RECORD", allow_negative_numbers = true)]
    record: Option<String>,

    /// The record's ETag; subscribers see it as the event ID
    #[arg(long)]
    etag: Option<String>,

    /// File with one event per line, `-` for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["event_type", "slug", "id", "record", "etag"]
    )]
    ndjson: Option<String>,

    #[command(flatten)]
    hub: HubArgs,

    #[command(flatten)]
    token: TokenArgs,

    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Publishes the events that the arguments name.
pub(crate) fn run(args: PublishArgs) -> ExitCode {
    match publish(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(usage) => {
            print_error(usage);
            ExitCode::from(2)
        }
    }
}

/// Returns whether all events are published.
///
/// # Errors
///
/// The arguments are not an event, so nothing was sent.
fn publish(args: PublishArgs) -> Result<bool, String> {
    let token = args.token.token()?;
    let hub = HubClient::new(args.hub.url, token, args.quiet);
    if let Some(file) = &args.ndjson {
        return ndjson::publish(hub, file);
    }

    // Cannot fail: clap has checked it, see `required_unless_present`.
    let (Some(event_type), Some(slug), Some(id)) = (args.event_type, args.slug, args.id) else {
        return Err("name an event type, a collection and an ID, or --ndjson FILE".to_owned());
    };
    let record = args.record.map(read_record).transpose()?;
    // Built before the request: a mistake in the arguments sends nothing.
    let body = event_json(
        event_type,
        &slug,
        &id,
        record.as_deref(),
        args.etag.as_deref(),
    )?;

    match hub.post("application/json", body.as_bytes()) {
        Ok(_) => {
            if !hub.quiet {
                print_status(format_args!("published {event_type} {slug}/{id}"));
            }
            Ok(true)
        }
        Err(failure) => {
            hub.report_failure("", &failure);
            Ok(false)
        }
    }
}

fn event_type(text: &str) -> Result<EventType, String> {
    EventType::parse(text).ok_or_else(|| "must be snapshot, changed or deleted".to_owned())
}

/// Returns the record: the argument itself, or the text that `@FILE` or `-` stands for, without a
/// byte order mark.
fn read_record(argument: String) -> Result<String, String> {
    let record = read_text(argument)?;
    Ok(text::without_mark(&record).to_owned())
}

fn read_text(argument: String) -> Result<String, String> {
    if argument == "-" {
        let mut text = String::new();
        match io::stdin().read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(format!(
                "cannot read the record from standard input: {error}"
            )),
        }
    } else if let Some(path) = argument.strip_prefix('@') {
        fs::read_to_string(path).map_err(|error| format!("cannot read the record {path}: {error}"))
    } else {
        Ok(argument)
    }
}

/// The event as it is posted, with the text of the record unchanged.
fn event_json(
    event_type: EventType,
    slug: &str,
    id: &str,
    record: Option<&str>,
    etag: Option<&str>,
) -> Result<String, String> {
    let string = |text: &str| serde_json::Value::from(text).to_string();
    let mut json = format!(
        r#"{{"type":"{event_type}","slug":{},"id":{}"#,
        string(slug),
        string(id)
    );

    match (event_type, record) {
        (EventType::Deleted, Some(_)) => return Err("a deleted event has no record".to_owned()),
        (EventType::Deleted, None) if etag.is_some() => {
            return Err("a deleted event has no ETag".to_owned());
        }
        (EventType::Deleted, None) => {}
        (_, None) => {
            return Err(format!(
                "a {event_type} event needs the record: JSON, `@FILE`, or `-` for standard input"
            ));
        }
        (_, Some(record)) => {
            // Parsed alone first: a text that closes the record and adds members to the event would
            // also make a valid event.
            let record: &RawValue = serde_json::from_str(record).map_err(|error| {
                format!("the record is not JSON: {error}; a string needs its quotes: '\"text\"'")
            })?;
            json.push_str(r#","record":"#);
            json.push_str(record.get());
        }
    }

    if let Some(etag) = etag {
        json.push_str(r#","etag":"#);
        json.push_str(&string(etag));
    }
    json.push('}');

    // Checked as the hub will check it, so that no request is spent on a mistake.
    match Event::from_json(json.as_bytes()) {
        Ok(_) => Ok(json),
        Err(error) => Err(printable(&error.to_string()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_posted_as_it_was_written() {
        let record = " {\"b\": 1.0,\n\"a\":\"\\u00e9\"} \n";
        assert_eq!(
            event_json(
                EventType::Changed,
                "posts",
                "a\"b",
                Some(record),
                Some("W/\"1\"")
            )
            .unwrap(),
            "{\"type\":\"changed\",\"slug\":\"posts\",\"id\":\"a\\\"b\",\
             \"record\":{\"b\": 1.0,\n\"a\":\"\\u00e9\"},\"etag\":\"W/\\\"1\\\"\"}"
        );
        assert_eq!(
            event_json(EventType::Deleted, "posts", "1", None, None).unwrap(),
            r#"{"type":"deleted","slug":"posts","id":"1"}"#
        );
    }

    #[test]
    fn arguments_that_are_no_event_are_refused_with_the_reason() {
        let error = |event_type, slug, record, etag| {
            event_json(event_type, slug, "1", record, etag).expect_err(slug)
        };
        let changed = |record| error(EventType::Changed, "posts", Some(record), None);
        assert!(changed("hello").contains("not JSON"));
        assert!(changed(r#"1,"slug":"other""#).contains("not JSON"));
        assert!(error(EventType::Changed, "posts", None, None).contains("needs the record"));
        assert!(error(EventType::Deleted, "posts", Some("1"), None).contains("no record"));
        assert!(error(EventType::Deleted, "posts", None, Some("v1")).contains("no ETag"));
        assert!(error(EventType::Changed, "a:b", Some("1"), None).contains("`slug`"));
        assert!(error(EventType::Snapshot, "a", Some("1"), Some("a\nb")).contains("`etag`"));
    }
}
