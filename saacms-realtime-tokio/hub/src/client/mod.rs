//! Shared by `publish` and `tail`: the hub's URL, its token, and the texts of errors.

mod base_url;
mod error_answer;

use core::time::Duration;
use std::env;
use std::fs;
use std::path::PathBuf;

use saacms_realtime_core::settings::text;

pub(crate) use self::base_url::{BaseUrl, percent_encoded};
pub(crate) use self::error_answer::{ErrorAnswer, Problem};
use crate::terminal::seconds;

const URL_VARIABLE: &str = "SAACMS_REALTIME_URL";
const TOKEN_VARIABLE: &str = "SAACMS_REALTIME_PUBLISH_TOKEN";

/// The flag that tells where the hub is.
#[derive(Debug, clap::Args)]
pub(crate) struct HubArgs {
    /// URL of the hub, with its base path
    #[arg(
        long,
        value_name = "URL",
        env = unless_empty(URL_VARIABLE),
        default_value = "http://127.0.0.1:8787/api/saacms/v1"
    )]
    pub(crate) url: BaseUrl,
}

/// The variable for clap to read; `None` if it is empty, which counts as not set.
fn unless_empty(variable: &'static str) -> Option<&'static str> {
    let is_empty = env::var_os(variable).is_some_and(|value| value.is_empty());
    (!is_empty).then_some(variable)
}

/// The flag for the publish token.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// File with the token to send (Authorization: Bearer); without it, the token comes from the
    /// environment variable SAACMS_REALTIME_PUBLISH_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// Reads the token, if the arguments or the environment name one.
    pub(crate) fn token(&self) -> Result<Option<String>, String> {
        // No flag has the token itself: arguments are visible to every user of the machine.
        let (content, source) = match &self.token_file {
            Some(path) => {
                let content = fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                (content, path.display().to_string())
            }
            None => {
                let value = env::var_os(TOKEN_VARIABLE).unwrap_or_default();
                let Some(value) = text::non_empty(value.to_string_lossy()) else {
                    return Ok(None);
                };
                (value.into_owned(), TOKEN_VARIABLE.to_owned())
            }
        };

        let token = text::without_mark(&content).trim();
        // The hub decides whether it is long enough; here it only has to fit into a header.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{source} has no token: a token is one word of printable ASCII characters"
            ));
        }
        Ok(Some(token.to_owned()))
    }
}

/// The text of a connection's error, without the layers that passed it on.
///
/// `silence` is the timeout of the connection.
pub(crate) fn transport_error(error: &ureq::Error, silence: Option<Duration>) -> String {
    match (error, silence) {
        // ureq's body readers wrap its errors in I/O errors.
        (ureq::Error::Io(error), _) => match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(inner) => transport_error(inner, silence),
            None => error.to_string(),
        },
        (ureq::Error::Timeout(ureq::Timeout::PerRead), Some(silence)) => {
            format!("no data for {}", seconds(silence))
        }
        _ => error.to_string(),
    }
}
