//! `publish`: one event from arguments, or many from lines of JSON.

mod ndjson;

use core::time::Duration;
use std::io::Read as _;
use std::process::ExitCode;
use std::{fs, io, thread};

use indicatif::ProgressBar;
use saacms_realtime_core::event::Event;
use saacms_realtime_core::name::EventType;
use serde_json::value::RawValue;
use ureq::http::{StatusCode, header};

use crate::client::{
    BaseUrl, HubArgs, Refusal, TokenArgs, printable, say, say_error, seconds, transport_error,
};

/// How long the hub may be silent in the middle of a request.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a request is repeated that the hub was too busy for.
const MAX_RETRIES: u32 = 5;

/// The longest time that is waited before such a request is repeated.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// From this size on a body is sent only when the hub has seen the head and wants it: a hub that
/// refuses the head and closes can cut the connection before its answer is read.
const MIN_EXPECT_LEN: usize = 64 * 1024;

/// What the answer to a batch may have.
const MAX_ANSWER_LEN: u64 = 8 << 20;

/// Publish one event, or a file of events
///
/// One event: `publish changed posts 1 '{"title":"x"}' --etag v1`, `publish deleted posts 1`. Many:
/// `publish --ndjson events.ndjson`, each line being
/// `{"type":"changed","slug":"posts","id":"1","record":{"title":"x"},"etag":"v1"}`.
///
/// Ends with 0 when all was published, with 1 when anything was refused or the hub could not be
/// reached, with 2 when the arguments cannot be an event; then nothing was sent.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// What happened to the record: snapshot, changed or deleted
    #[arg(value_name = "TYPE", value_parser = event_type, required_unless_present = "ndjson")]
    event_type: Option<EventType>,

    /// Slug of the collection
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

    /// File with one event a line, `-` for standard input
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

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Publishes what the arguments say.
pub(crate) fn run(args: PublishArgs) -> ExitCode {
    match publish(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(usage) => {
            say_error(usage);
            ExitCode::from(2)
        }
    }
}

/// Whether all was published; an error where the arguments kept anything from being sent.
fn publish(args: PublishArgs) -> Result<bool, String> {
    let token = args.token.token()?;
    let hub = Hub::new(args.hub.url, token, args.quiet);
    if let Some(file) = &args.ndjson {
        return ndjson::publish(hub, file);
    }
    // The command line has no other form, see `required_unless_present`.
    let (Some(event_type), Some(slug), Some(id)) = (args.event_type, args.slug, args.id) else {
        return Err("name an event type, a collection and an ID, or --ndjson FILE".to_owned());
    };
    let record = args.record.map(read_record).transpose()?;
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
                say(format_args!("published {event_type} {slug}/{id}"));
            }
            Ok(true)
        }
        Err(failure) => {
            hub.say_failure("", &failure);
            Ok(false)
        }
    }
}

fn event_type(text: &str) -> Result<EventType, String> {
    EventType::parse(text).ok_or_else(|| "allowed are snapshot, changed and deleted".to_owned())
}

/// The text behind `@FILE` and `-`.
fn read_record(argument: String) -> Result<String, String> {
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

/// The event as it is posted, the record as it was given.
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
            // Checked alone first: text that closes the record and goes on with members of the
            // event would be a valid event too.
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
    match Event::from_json(json.as_bytes()) {
        Ok(_) => Ok(json),
        Err(error) => Err(printable(&error.to_string()).into_owned()),
    }
}

/// The hub as a publisher sees it.
struct Hub {
    agent: ureq::Agent,
    base: BaseUrl,
    token: Option<String>,
    quiet: bool,
    /// Shown while many events are published.
    progress: ProgressBar,
}

impl Hub {
    fn new(base: BaseUrl, token: Option<String>, quiet: bool) -> Self {
        // A redirected POST arrives as a GET, or not at all.
        let agent = base.agent(Some(SILENCE), 0);
        Self {
            agent,
            base,
            token,
            quiet,
            progress: ProgressBar::hidden(),
        }
    }

    /// Posts `body` and reads the answer, again where the hub asks to try again later.
    fn post(&self, content_type: &str, body: &[u8]) -> Result<Vec<u8>, PostError> {
        let mut retries = 0;
        loop {
            let refusal = match self.post_once(content_type, body) {
                Err(PostError::Refused(refusal)) => refusal,
                answer => return answer,
            };
            // A whole request that was refused has published nothing, so it can be repeated.
            match refusal.retry_after {
                Some(wait)
                    if is_busy(refusal.status)
                        && retries < MAX_RETRIES
                        && wait <= MAX_RETRY_AFTER =>
                {
                    retries += 1;
                    if !self.quiet {
                        self.say(format_args!(
                            "{refusal}; trying again in {} ({retries} of {MAX_RETRIES})",
                            seconds(wait),
                        ));
                    }
                    thread::sleep(wait);
                }
                _ => return Err(PostError::Refused(refusal)),
            }
        }
    }

    fn post_once(&self, content_type: &str, body: &[u8]) -> Result<Vec<u8>, PostError> {
        let mut request = self
            .agent
            .post(self.base.publish())
            .header(header::CONTENT_TYPE, content_type);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.len() >= MIN_EXPECT_LEN {
            request = request.header(header::EXPECT, "100-continue");
        }
        let mut response = request.send(body).map_err(PostError::NoAnswer)?;
        if !response.status().is_success() {
            return Err(PostError::Refused(Refusal::read(response)));
        }
        let body = response.body_mut().with_config().limit(MAX_ANSWER_LEN);
        body.read_to_vec().map_err(PostError::NoAnswer)
    }

    /// Tells why nothing was published, and what to do; `what` leads in.
    fn say_failure(&self, what: &str, failure: &PostError) {
        let url = self.base.publish();
        self.progress.suspend(|| match failure {
            PostError::NoAnswer(error) => say_error(format_args!(
                "{what}no answer from {url}: {}\n  \
                 is the hub running? start it with `saacms-realtime serve`",
                transport_error(error, Some(SILENCE)),
            )),
            PostError::Refused(refusal) => {
                let hint = hint(refusal.status);
                let separator = if hint.is_empty() { "" } else { "\n  " };
                say_error(format_args!(
                    "{what}{url} answered {refusal}{separator}{hint}"
                ));
            }
        });
    }

    fn say(&self, message: impl core::fmt::Display) {
        self.progress.suspend(|| say(message));
    }
}

/// Why a request was not taken.
enum PostError {
    /// It is not known what became of it.
    NoAnswer(ureq::Error),
    /// Nothing of it was published.
    Refused(Refusal),
}

fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// What to do about a refusal.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => {
            "name the hub's token with --token-file, or in SAACMS_REALTIME_PUBLISH_TOKEN"
        }
        StatusCode::FORBIDDEN => "the token is not the one that the hub was started with",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            "does --url end with the hub's base path?"
        }
        _ if is_busy(status) => "the hub is at one of its limits; publish again later",
        _ if status.is_redirection() => "name that address with --url",
        _ => "",
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
    fn what_cannot_be_an_event_is_refused_with_its_reason() {
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
