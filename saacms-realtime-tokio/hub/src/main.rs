//! The `saacms-realtime` command: runs the hub, publishes to it, follows it.

#![forbid(unsafe_code)]

mod client;
mod logging;
mod publish;
mod serve;
mod settings;
mod tail;

use core::error::Error;
use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tikv_jemallocator::Jemalloc;

use crate::publish::PublishArgs;
use crate::settings::{Loaded, Refusal, ServeArgs};
use crate::tail::TailArgs;

/// Of what ten thousand clients took that came at once and went, it gives back all but a tenth within
/// a minute, which `tests/faults` asserts.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Streams "this record was edited" to browsers over Server-Sent Events.
///
/// Without a command it serves: publishers post record events, subscribers get them live, and
/// whoever reconnects gets what was missed or is told to refetch.
#[derive(Debug, Parser)]
#[command(name = "saacms-realtime", version, after_help = SERVE_HELP)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub; what happens without a command, too
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    Publish(PublishArgs),
    Tail(TailArgs),
}

const SERVE_HELP: &str = "\
Examples:
  saacms-realtime
      serves http://127.0.0.1:8787/api/saacms/v1, with a page to try it at http://127.0.0.1:8787/
  saacms-realtime --max-age 15m --cors-origin https://www.example.org
      forgets after 15 minutes; pages of www.example.org may subscribe
  (umask 077; head -c 32 /dev/urandom | base64 > publish-token)
  saacms-realtime --listen 0.0.0.0:8787 --publish-token-file publish-token
      serves the network; publishing needs the token in that file
  saacms-realtime --print-config > realtime.toml
  saacms-realtime --config realtime.toml
      writes every setting to a file, starts from the file

Settings: a flag wins over its environment variable, that over the --config file, that over the
  default. A key in the file is the flag without the dashes: max-events = 100, max-age = \"1h\",
  cors-origin = [\"https://www.example.org\"]. A key or SAACMS_REALTIME_ variable that does not
  exist is an error.
Sizes: bytes, or KiB MiB GiB TiB (times 1024), kB MB GB TB (times 1000): 65536, 64KiB, 4MB.
Times: with a unit, 500ms, 90s, 5m, 1h, 1h30m, 7d; or 0.
Exit codes: 0 done, 1 failed while running, 2 wrong usage or settings.";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let served = match cli.command {
        None => serve(cli.serve),
        Some(Command::Serve(args)) => serve(args),
        Some(Command::Publish(args)) => return publish::run(args),
        Some(Command::Tail(args)) => return tail::run(args),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(refusal)) => {
            print_error(&refusal.to_string());
            ExitCode::from(2)
        }
        Err(Failure::Broke(error)) => {
            print_error(&with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: ServeArgs) -> Result<(), Failure> {
    let print_config = args.print_config;
    let loaded = Loaded::read(args, env::vars_os())?;
    if print_config {
        // Printed first and checked second: where a value comes from is wanted most when it is
        // refused.
        print(&loaded.to_toml())?;
        loaded.check()?;
        return Ok(());
    }
    let settings = loaded.check()?;
    logging::init(settings.log_format, &settings.log_level)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(serve::run(settings))?)
}

/// Why `serve` ended.
enum Failure {
    /// It never started: exit code 2.
    Refused(Refusal),
    /// It could not do what it was told: exit code 1.
    Broke(Box<dyn Error>),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Box<dyn Error>> for Failure {
    fn from(error: Box<dyn Error>) -> Self {
        Self::Broke(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broke(error.into())
    }
}

/// Writes to standard output; a reader that went away (`| head`) wants no more.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn print_error(text: &str) {
    // Where standard error is closed nobody is there to be told.
    let _ = writeln!(io::stderr(), "error: {text}");
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
