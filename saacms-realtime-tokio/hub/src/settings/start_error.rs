use core::fmt;

/// The hint for a missing or unusable token.
pub(super) const HOW_TO_MAKE_A_TOKEN: &str = "make one with (umask 077; head -c 32 /dev/urandom | base64 > publish-token), then start with \
     --publish-token-file publish-token, or set SAACMS_REALTIME_PUBLISH_TOKEN";

/// The hint for an unknown name.
pub(super) const LIST_ALL: &str =
    "`saacms-realtime --print-config` lists all settings with their values";

/// The reason why the server does not start, and a hint what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartError {
    pub(super) message: String,
    pub(super) hint: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer than any message about a value that someone typed.
        const MAX_CHARS: usize = 1_000;

        match self.message.char_indices().nth(MAX_CHARS) {
            Some((end, _)) => write!(f, "{}…", &self.message[..end])?,
            None => f.write_str(&self.message)?,
        }
        write!(f, "\nhint: {}", self.hint)
    }
}

impl core::error::Error for StartError {}
