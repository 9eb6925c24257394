//! `tail`: follows records in the terminal, as a browser would.

mod follow;
mod print;

use core::time::Duration;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use saacms_realtime_core::name::ResourceKey;

use crate::client::{HubArgs, say, say_error};

use self::follow::{Follower, Item, What};
use self::print::Printer;

/// Items that wait for standard output. Few: when it is not read, neither is the hub's stream, and
/// the hub says what that cost.
const WAITING_ITEMS: usize = 16;

/// Follow records: print each event as it arrives
///
/// Reconnects as a browser does: with the last event ID, after the time that the hub named, else 3
/// seconds; after failures more and more slowly. Events on standard output, all else on standard
/// error.
///
/// With --json, each line of output is an object with the members at, key, kind, type, id, data and
/// replayed. `kind` is event, resync, connected or disconnected; what a kind does not have is null.
/// `replayed` is true for what came in one go after a connection that named a last event ID: the
/// hub does not mark what it sends again, so an event of that very moment can be among it.
///
/// Ends with 0 when the hub ended all streams for good (204), after --count events, or when nobody
/// reads standard output; with 1 when a record was refused.
#[derive(Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// Records, each as COLLECTION/ID; the ID is what stands after the first slash
    #[arg(value_name = "RECORD", required = true, value_parser = record)]
    records: Vec<ResourceKey>,

    #[command(flatten)]
    hub: HubArgs,

    /// Last event ID to begin with: what happened since is sent first
    #[arg(long, value_name = "ID")]
    last_event_id: Option<String>,

    /// End after this many events, resyncs among them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    /// Print each record on several lines
    #[arg(long, conflicts_with = "json")]
    pretty: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = clap::ColorChoice::Auto)]
    color: clap::ColorChoice,

    /// Reconnect when not even a comment has come for this long; 0s = never. The default is 2.5
    /// times the heartbeat of a hub
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "75s",
        value_parser = humantime::parse_duration
    )]
    timeout: Duration,

    /// The longest event that is read, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 20)]
    max_event_bytes: usize,

    /// Say nothing but errors on standard error
    #[arg(short, long)]
    quiet: bool,
}

/// Follows what the arguments name.
pub(crate) fn run(args: TailArgs) -> ExitCode {
    match args.color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();

    let mut records = args.records;
    records.sort_unstable();
    records.dedup();
    let printer = Printer::new(args.json, args.pretty, &records);
    let silence = Some(args.timeout).filter(|timeout| !timeout.is_zero());
    let agent = args.hub.url.agent(silence, 10);
    let (sender, items) = mpsc::sync_channel(WAITING_ITEMS);
    for key in records {
        let follower = Follower::new(
            agent.clone(),
            args.hub.url.subscribe(&key),
            Arc::new(key),
            args.last_event_id.clone().unwrap_or_default(),
            args.max_event_bytes,
            silence,
            sender.clone(),
        );
        if let Err(error) = thread::Builder::new().spawn(move || follower.run()) {
            say_error(format_args!(
                "cannot start a thread for each record: {error}"
            ));
            return ExitCode::FAILURE;
        }
    }
    drop(sender);

    // JSON is written as it is: it has no colours, and what looks like one belongs to the data.
    let output: &mut dyn Write = if args.json {
        &mut io::stdout()
    } else {
        &mut anstream::stdout()
    };
    match print_items(items, &printer, output, args.count, args.quiet) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say_error(format_args!("cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints until there is no more or it is enough; whether no record was refused.
fn print_items(
    items: impl IntoIterator<Item = Item>,
    printer: &Printer,
    output: &mut dyn Write,
    count: Option<u64>,
    quiet: bool,
) -> io::Result<bool> {
    let mut events = 0;
    let mut all_well = true;
    for item in items {
        if let What::Refused { .. } = item.what {
            all_well = false;
            say_error(printer.state(&item));
        } else if !quiet && !matches!(item.what, What::Message { .. }) {
            say(printer.state(&item));
        }
        if let Some(text) = printer.output(&item) {
            output.write_all(text.as_bytes())?;
            output.flush()?;
        }
        if let What::Message { .. } = item.what {
            events += 1;
            if Some(events) == count {
                break;
            }
        }
    }
    Ok(all_well)
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
    fn the_id_is_all_that_stands_after_the_first_slash() {
        let key = record("posts/a/b%20c").expect("a record");
        assert_eq!((key.slug(), key.id()), ("posts", "a/b%20c"));
        assert!(record("posts").is_err());
        assert!(record("posts/").is_err());
        assert!(record("a:b/1").is_err());
    }
}
