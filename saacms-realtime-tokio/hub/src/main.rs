//! The program `saacms-realtime`: it runs the hub, publishes to it, and follows records.

#![forbid(unsafe_code)]

mod client;
mod engine;
mod logging;
mod publish;
mod serve;
mod settings;
mod tail;
mod terminal;

use core::error::Error;
use std::env;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
use tikv_jemallocator::Jemalloc;

use crate::engine::EngineArgs;
use crate::publish::PublishArgs;
use crate::settings::{ServeArgs, StartError, UncheckedSettings};
use crate::tail::TailArgs;
use crate::terminal::{print, print_error};

/// jemalloc, because it gives memory back: when ten thousand clients connect at once and leave, nine
/// tenths of what they took is free again within a minute. `tests/faults` asserts that.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Streams "this record was edited" to browsers over Server-Sent Events.
///
/// Without a command, it runs the hub: publishers post events about records, and subscribers get them
/// live. A client that reconnects gets the events it missed, or is told to refetch.
#[derive(Debug, Parser)]
#[command(name = "saacms-realtime", version, after_help = SERVE_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Of `serve`, before its name or without it.
    #[command(flatten)]
    serve: ServeArgs,
}

impl Cli {
    /// Reads the arguments. Exits with their error, or after `--help` and `--version`.
    fn read() -> Command {
        let Self { command, serve } = Self::parse();
        let command = match command {
            None => return Command::Serve(serve),
            Some(Command::Serve(args)) => return Command::Serve(args.or(serve)),
            Some(command) => command,
        };

        if let Some(flag) = serve.first_flag() {
            let message = format!("{flag} is an option of `serve`, not of this command");
            Self::command()
                .error(ErrorKind::ArgumentConflict, message)
                .exit();
        }
        command
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub; the default without a command
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    Publish(PublishArgs),
    Tail(TailArgs),
    Engine(EngineArgs),
    /// Print the version
    Version,
}

const SERVE_HELP: &str = "\
Examples:
  saacms-realtime
      serves http://127.0.0.1:8787/api/saacms/v1, with a live page at http://127.0.0.1:8787/
  saacms-realtime --max-age 15m --cors-origin https://www.example.org
      keeps events for 15 minutes; pages of www.example.org may subscribe
  (umask 077; head -c 32 /dev/urandom | base64 > publish-token)
  saacms-realtime --listen 0.0.0.0:8787 --publish-token-file publish-token
      listens on every address; publishing needs the token in that file
  saacms-realtime --data-dir /var/lib/saacms-realtime
      keeps the history on the disk: clients go on where they were after a restart
  saacms-realtime --print-config > realtime.toml
  saacms-realtime --config realtime.toml
      writes every setting to a file, then starts from that file

Settings: a flag wins over its environment variable, which wins over the --config file, which wins
  over the default. A key in the file is the flag without its leading dashes: max-events = 100,
  max-age = \"1h\", cors-origin = [\"https://www.example.org\"]. An unknown key or
  SAACMS_REALTIME_ variable is an error. An empty variable counts as not set.
Sizes: bytes, or KiB MiB GiB TiB (times 1024), kB MB GB TB (times 1000): 65536, 64KiB, 4MB.
Times: with a unit, 500ms, 90s, 5m, 1h, 1h30m, 7d; or 0.
Exit codes: 0 done, 1 failed while running, 2 invalid usage or settings.";

fn main() -> ExitCode {
    let served = match Cli::read() {
        Command::Serve(args) => serve(args),
        Command::Publish(args) => return publish::run(args),
        Command::Tail(args) => return tail::run(args),
        Command::Engine(args) => return engine::run(args),
        Command::Version => print(&Cli::command().render_version()).map_err(ServeError::from),
    };

    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServeError::Start(error)) => {
            print_error(error);
            ExitCode::from(2)
        }
        Err(ServeError::Run(error)) => {
            print_error(with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: ServeArgs) -> Result<(), ServeError> {
    let print_config = args.print_config;
    let unchecked = UncheckedSettings::read(args, env::vars_os())?;
    if print_config {
        // Printed before the check: the origin of a value matters most when the value is refused.
        print(&unchecked.to_toml())?;
        unchecked.check()?;
        return Ok(());
    }

    let settings = unchecked.check()?;
    logging::init(settings.log_format, &settings.log_level)?;
    // Logged only now, because the log itself starts with these settings.
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let realtime = serve::open(&settings)?;
        Ok(serve::run(realtime, settings).await?)
    })
}

/// Why `serve` failed.
enum ServeError {
    /// It did not start: exit code 2.
    Start(StartError),
    /// It failed while running: exit code 1.
    Run(Box<dyn Error>),
}

impl From<StartError> for ServeError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<Box<dyn Error>> for ServeError {
    fn from(error: Box<dyn Error>) -> Self {
        Self::Run(error)
    }
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Run(error.into())
    }
}

/// The error and its causes, on one line.
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
