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
        write!(f, "{}\nhint: {}", self.message, self.hint)
    }
}

impl core::error::Error for StartError {}
