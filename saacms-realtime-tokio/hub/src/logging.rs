//! The log: for people or as lines of JSON, always to standard error.

use core::error::Error;
use std::env;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines to read, coloured on a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

/// Starts the log of the whole process. `filter` selects what is logged.
///
/// # Errors
///
/// `filter` is not a filter, or the process has a log already.
pub(crate) fn init(format: LogFormat, filter: &str) -> Result<(), Box<dyn Error>> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr)
        // A line that cannot be written is lost, on a full disk or a pipe that nobody reads. Otherwise
        // that is reported with `eprintln!`, which panics, because it cannot be written either.
        .log_internal_errors(false)
        .with_ansi(colours_wanted());
    let started = match format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error as Box<dyn Error>)
}

/// Checks that `text` is a filter without a misspelt level.
///
/// # Errors
///
/// The reason, if it is not one.
pub(crate) fn check_filter(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be empty; `off` logs nothing".to_owned());
    }

    for directive in text
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
    {
        // `EnvFilter` reads a bare word that is not a level as the name of a module, so a misspelt
        // `inof` would silence everything else.
        let bare = !directive.contains(['=', '[', ']', '{', '}']);
        if bare && directive.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "`{}` must be error, warn, info, debug, trace or off; to name a module write \
                 `module=level`",
                directive.escape_debug()
            ));
        }
    }

    match EnvFilter::try_new(text) {
        Ok(_) => Ok(()),
        Err(_) => Err("must be a level, or a list such as info,hyper=warn".to_owned()),
    }
}

/// Whether standard error is a terminal whose user does not refuse colours (<https://no-color.org>).
fn colours_wanted() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_no_filter() {
        for text in [
            "info",
            "WARN",
            "off",
            "info,hyper=warn",
            "info,",
            "info,[conn{peer}]=debug",
        ] {
            assert_eq!(check_filter(text), Ok(()), "{text}");
        }
        for text in ["", " ", "inof", "info,hyper", "hyper=loud", "\u{1b}[31m"] {
            assert!(check_filter(text).is_err(), "{text:?}");
        }
    }
}
