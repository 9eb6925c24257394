//! The command line of both hubs: their flags, and the signals that stop them.

use std::error::Error;
use std::net::TcpListener;

use async_signal::{Signal, Signals};
use futures_lite::StreamExt as _;
use lexopt::{Arg, Parser, ValueExt as _};
use saacms_realtime_asyncstd::{Api, HubConfig, Realtime};

const HELP: &str = "\
Streams record changes over Server-Sent Events at /api/saacms/v1.

  --listen HOST:PORT         address to listen on [default: 127.0.0.1:8787]
  --max-events COUNT         events per record that a reconnect can be answered from [default: 100]
  --quiet-resume true|false  a client that has seen everything is not told to refetch because its
                             last event has expired [default: true]
  --greeting true|false      a client that names no last event ID is told its place [default: true]";

/// The hub and its listener as the flags ask for, and a future that is ready at SIGTERM or Ctrl-C.
///
/// `None` if only help was asked for.
pub(crate) fn start() -> Result<Option<(Realtime, TcpListener, impl Future)>, Box<dyn Error>> {
    let mut listen = "127.0.0.1:8787".to_owned();
    let mut config = HubConfig::default();
    let mut flags = Parser::from_env();

    while let Some(flag) = flags.next()? {
        match flag {
            Arg::Long("listen") => listen = flags.value()?.string()?,
            Arg::Long("max-events") => config.max_events = flags.value()?.parse()?,
            Arg::Long("quiet-resume") => config.quiet_resume = flags.value()?.parse()?,
            Arg::Long("greeting") => config.greeting = flags.value()?.parse()?,
            Arg::Short('h') | Arg::Long("help") => {
                println!("{HELP}");
                return Ok(None);
            }
            Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => return Err(flag.unexpected().into()),
        }
    }

    // Each stream is an open file, and most systems begin with a limit of 1,024 of them.
    rlimit::increase_nofile_limit(u64::MAX)?;

    // Whoever starts a hub without a token lets every program of this machine publish.
    let realtime = Realtime::new(config, Api::default().with_local_publish())?;
    let listener = TcpListener::bind(listen)?;
    // Before anything is served: an early signal must end the hub gracefully, too.
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;

    println!(
        "serving http://{}{}",
        listener.local_addr()?,
        realtime.api().base_path()
    );
    Ok(Some((
        realtime,
        listener,
        async move { signals.next().await },
    )))
}
