//! `tail`: follows records in the terminal, as a browser would.

mod follow;
mod indent;
mod json;
mod print;
mod report;
mod request;

use core::time::Duration;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use saacms_realtime_core::ResourceKey;
use saacms_realtime_core::settings::text;

use self::follow::Follower;
use self::print::Printer;
use self::report::{News, Report};
use self::request::{StreamRequest, read_headers};
use crate::client::{HubArgs, TokenArgs};
use crate::terminal::{print_error, print_status};

/// How many reports may wait for standard output. Small, so that when its reader stops, the followers
/// stop reading too, and the hub resyncs them.
const MAX_WAITING_REPORTS: usize = 16;

/// Follow records: print each event as it arrives
///
/// Reconnects as a browser does: with the last event ID, after the reconnection time of the hub (at
/// most a day) or 3 seconds, and more slowly after each failure. Events go to standard output,
/// everything else to standard error.
///
/// With --json, each line of output is an object with the members at, key, kind, type, id, data and
/// replayed. `kind` is event, resync, connected or disconnected; members that a kind does not have
/// are null. `replayed` is true for events that arrived in one burst after a connection that named a
/// last event ID. The hub does not mark replays, so an event published at that moment can be among
/// them.
///
/// Exit codes: 0 the hub ended all streams for good (204), --count events are printed, or nobody
/// reads standard output; 1 a record was refused; 2 invalid usage.
#[derive(Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// Records, each as COLLECTION/ID; the ID is everything after the first slash
    #[arg(value_name = "RECORD", required = true, value_parser = record)]
    records: Vec<ResourceKey>,

    #[command(flatten)]
    hub: HubArgs,

    #[command(flatten)]
    token: TokenArgs,

    /// Header to send to the hub or to a proxy in front of it; repeat it for more. `@FILE` reads them
    /// from a file, one per line: other users of this machine can see arguments. With headers, no
    /// redirect is followed
    #[arg(long = "header", value_name = "NAME:VALUE")]
    headers: Vec<String>,

    /// Last event ID to start from: the events after it are sent first
    #[arg(long, value_name = "ID")]
    last_event_id: Option<String>,

    /// Exit after this many events; resyncs count too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    /// Print each record on several lines
    #[arg(long, conflicts_with = "json")]
    pretty: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = clap::ColorChoice::Auto)]
    color: clap::ColorChoice,

    /// Reconnect after this long without even a comment; 0 = never. The default is 2.5 times a hub's
    /// default heartbeat
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "75s",
        value_parser = text::time
    )]
    timeout: Duration,

    /// Largest event to accept, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 20)]
    max_event_bytes: usize,

    /// Print nothing but errors on standard error, among them the first failed attempt of an outage
    #[arg(short, long)]
    quiet: bool,
}

/// Follows the records that the arguments name.
pub(crate) fn run(args: TailArgs) -> ExitCode {
    let token = args.token.token();
    let headers = match token.and_then(|token| read_headers(&args.headers, token)) {
        Ok(headers) => Arc::new(headers),
        Err(usage) => {
            print_error(usage);
            return ExitCode::from(2);
        }
    };
    match args.color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();

    // A record that is named twice is followed once; otherwise its events would be printed twice.
    let mut records = args.records;
    records.sort_unstable();
    records.dedup();

    let printer = Printer::new(args.json, args.pretty, &records);
    let silence = Some(args.timeout).filter(|timeout| !timeout.is_zero());
    // A redirect would take the headers to another host. Only `Authorization` never goes there.
    let max_redirects = if args.headers.is_empty() { 10 } else { 0 };
    let agent = args.hub.url.agent(silence, max_redirects);

    let (sender, reports) = mpsc::sync_channel(MAX_WAITING_REPORTS);
    for key in records {
        let follower = Follower::new(
            StreamRequest {
                agent: agent.clone(),
                url: args.hub.url.subscribe(&key),
                headers: Arc::clone(&headers),
            },
            Arc::new(key),
            args.last_event_id.clone().unwrap_or_default(),
            args.max_event_bytes,
            silence,
            sender.clone(),
        );
        if let Err(error) = thread::Builder::new().spawn(move || follower.run()) {
            print_error(format_args!(
                "cannot start a thread for each record: {error}"
            ));
            return ExitCode::FAILURE;
        }
    }
    // The followers have clones; the reports end when the last follower has ended.
    drop(sender);

    // JSON has no colours, so an escape sequence in it belongs to the data and must stay.
    let output: &mut dyn Write = if args.json {
        &mut io::stdout()
    } else {
        &mut anstream::stdout()
    };
    match print_reports(reports, &printer, output, args.count, args.quiet) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!("cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints reports until all followers have ended or `count` events are printed.
///
/// Returns false if a record was refused.
fn print_reports(
    reports: impl IntoIterator<Item = Report>,
    printer: &Printer,
    output: &mut dyn Write,
    count: Option<u64>,
    quiet: bool,
) -> io::Result<bool> {
    let mut events = 0;
    let mut none_refused = true;

    for report in reports {
        match &report.news {
            News::Message { .. } => {}
            // Errors, so `quiet` does not silence them.
            News::Refused { .. } => {
                none_refused = false;
                print_error(printer.state(&report));
            }
            // One line for each outage.
            News::Lost {
                is_outage: true, ..
            } if quiet => print_error(printer.state(&report)),
            News::Connected {
                last_event_id,
                again: true,
            } if quiet && last_event_id.is_empty() => print_error(printer.state(&report)),
            News::Connected { .. } | News::Lost { .. } | News::Ended => {
                if !quiet {
                    print_status(printer.state(&report));
                }
            }
        }

        if let Some(text) = printer.output(&report) {
            output.write_all(text.as_bytes())?;
            // Into a pipe, too, an event must not wait for the next one.
            output.flush()?;
        }

        if let News::Message { .. } = report.news {
            events += 1;
            if Some(events) == count {
                break;
            }
        }
    }
    Ok(none_refused)
}

fn record(text: &str) -> Result<ResourceKey, String> {
    let (slug, id) = text
        .split_once('/')
        .ok_or("a record is named as COLLECTION/ID")?;
    ResourceKey::new(slug, id).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_everything_after_the_first_slash() {
        let key = record("posts/a/b%20c").expect("a record");
        assert_eq!((key.slug(), key.id()), ("posts", "a/b%20c"));
        assert!(record("posts").is_err());
        assert!(record("posts/").is_err());
        assert!(record("a:b/1").is_err());
    }
}
