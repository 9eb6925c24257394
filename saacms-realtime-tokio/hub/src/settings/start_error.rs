use core::fmt;

/// How to get a token, for whoever needs one.
pub(super) const HOW_TO_MAKE_A_TOKEN: &str = "make one with (umask 077; head -c 32 /dev/urandom | base64 > publish-token), then start with \
     --publish-token-file publish-token";

/// Where all names are.
pub(super) const LIST_ALL: &str =
    "`saacms-realtime --print-config` lists all settings with their values";

/// Why the server does not start, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartError {
    pub(super) message: String,
    pub(super) hint: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.message, self.hint)
    }
}

impl core::error::Error for StartError {}
