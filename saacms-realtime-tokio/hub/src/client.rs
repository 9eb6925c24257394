//! What `publish` and `tail` share: the hub's URL, its token, the HTTP agent, the text of a refusal.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use core::time::Duration;
use std::borrow::Cow;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use http::Uri;
use owo_colors::OwoColorize as _;
use saacms_realtime_core::name::ResourceKey;
use ureq::http::{Response, StatusCode, header};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What of a refusal's body is read.
const MAX_PROBLEM_LEN: u64 = 64 * 1024;

/// Where the hub is.
#[derive(Debug, clap::Args)]
pub(crate) struct HubArgs {
    /// URL of the hub, with its base path
    #[arg(
        long,
        value_name = "URL",
        env = "SAACMS_REALTIME_URL",
        default_value = "http://127.0.0.1:8787/api/saacms/v1"
    )]
    pub(crate) url: BaseUrl,
}

/// The hub's URL up to and with its base path, without a slash at the end.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    /// Where events are posted.
    pub(crate) fn publish(&self) -> String {
        format!("{}/publish", self.0)
    }

    /// Where a record is followed.
    pub(crate) fn subscribe(&self, key: &ResourceKey) -> String {
        let (slug, id) = (percent_encoded(key.slug()), percent_encoded(key.id()));
        format!("{}/{slug}/{id}/subscribe", self.0)
    }

    /// An agent that gives up on a connection on which nothing moves for `silence`.
    pub(crate) fn agent(&self, silence: Option<Duration>, max_redirects: u32) -> ureq::Agent {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(max_redirects)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(silence)
            .timeout_per_write(silence)
            .user_agent(concat!("saacms-realtime/", env!("CARGO_PKG_VERSION")));
        if self.is_loopback() {
            // A proxy of the environment is on another machine, or means another loopback.
            config = config.proxy(None);
        }
        config.build().new_agent()
    }

    fn is_loopback(&self) -> bool {
        let uri = self.0.parse::<Uri>().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || address
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("it must begin with http:// or https://".to_owned());
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err("it must not contain a user name or a password".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err("it must end with the base path, without `?` and `#`".to_owned());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The token that the hub asks of publishers.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// File with the hub's publish token; without it, the token is taken from the environment
    /// variable SAACMS_REALTIME_PUBLISH_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The token, where there is one.
    pub(crate) fn token(&self) -> Result<Option<String>, String> {
        const VARIABLE: &str = "SAACMS_REALTIME_PUBLISH_TOKEN";
        let (text, source) = match &self.token_file {
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                (text, path.display().to_string())
            }
            None => match std::env::var_os(VARIABLE) {
                Some(value) if !value.is_empty() => {
                    (value.to_string_lossy().into_owned(), VARIABLE.to_owned())
                }
                Some(_) | None => return Ok(None),
            },
        };
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{source} has no token: a token is one word of printable ASCII characters"
            ));
        }
        Ok(Some(token.to_owned()))
    }
}

/// An answer other than the one that was hoped for.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// How long the hub asks to wait.
    pub(crate) retry_after: Option<Duration>,
    reason: Option<String>,
}

impl Refusal {
    /// Reads what the hub says about it.
    pub(crate) fn read(response: Response<ureq::Body>) -> Self {
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let retry_after = header(header::RETRY_AFTER)
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs);
        let mut reason = header(header::LOCATION).map(|to| format!("the hub is at {to}"));
        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader().take(MAX_PROBLEM_LEN);
        // What could be read is as good as it gets: the status alone says that it is a refusal.
        if reader.read_to_end(&mut body).is_ok() || !body.is_empty() {
            reason = reason.or_else(|| Problem::parse(&body).reason());
        }
        Self {
            status,
            retry_after,
            reason,
        }
    }

    /// Whether the same request can succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{}: {}", self.status, printable(reason)),
            None => self.status.fmt(f),
        }
    }
}

/// A problem document (RFC 9457), or what stands in its place.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) status: Option<u16>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

impl Problem {
    /// Reads a document; of any other text the first line is the detail.
    pub(crate) fn parse(body: &[u8]) -> Self {
        const MAX_CHARS: usize = 200;
        serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            let line = text.lines().map(str::trim).find(|line| !line.is_empty());
            Self {
                detail: line.map(|line| line.chars().take(MAX_CHARS).collect()),
                ..Self::default()
            }
        })
    }

    /// What it says, in one line.
    pub(crate) fn reason(self) -> Option<String> {
        self.detail.or(self.title).filter(|text| !text.is_empty())
    }
}

/// What is wrong with the connection, without the layers that found it out.
pub(crate) fn transport_error(error: &ureq::Error, silence: Option<Duration>) -> String {
    match (error, silence) {
        (ureq::Error::Io(error), _) => match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(inner) => transport_error(inner, silence),
            None => error.to_string(),
        },
        (ureq::Error::Timeout(ureq::Timeout::PerRead), Some(silence)) => {
            format!("nothing came for {}", seconds(silence))
        }
        _ => error.to_string(),
    }
}

/// `text` as one segment of a path, or one value of a query.
pub(crate) fn percent_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // `.` and `..` are segments with a meaning of their own.
    let only_dots = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            b'.' if !only_dots => encoded.push('.'),
            _ => {
                encoded.push('%');
                encoded.push(char::from(HEX[usize::from(byte >> 4)]));
                encoded.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    encoded
}

/// `text` with nothing in it that moves a terminal's cursor or changes its colours.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.chars()
            .map(|c| {
                if c.is_control() {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            })
            .collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// A waiting time, for people.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{} ms", duration.as_millis());
    }
    let text = format!("{:.1}", duration.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

/// Tells `message` on standard error, whose end is no reason to fail.
pub(crate) fn say(message: impl fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{message}");
}

/// Tells an error.
pub(crate) fn say_error(message: impl fmt::Display) {
    say(format_args!("{} {message}", "error:".red().bold()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_two_segments_whatever_its_id_is() {
        let base: BaseUrl = "http://[::1]:8787/api/".parse().expect("a URL");
        assert!(base.is_loopback());
        let url = |id| base.subscribe(&ResourceKey::new("пост", id).expect("a key"));
        for (id, encoded) in [
            ("a/b?c#d %é", "a%2Fb%3Fc%23d%20%25%C3%A9"),
            ("..", "%2E%2E"),
            ("1.5~x-y_z", "1.5~x-y_z"),
        ] {
            let path =
                format!("http://[::1]:8787/api/%D0%BF%D0%BE%D1%81%D1%82/{encoded}/subscribe");
            assert_eq!(url(id), path);
        }
    }

    #[test]
    fn a_url_that_cannot_be_meant_is_refused() {
        for url in [
            "localhost:8787",
            "ftp://x/",
            "http://u:p@x/",
            "http://x/?a",
            "http://x/#a",
            "x",
        ] {
            assert!(url.parse::<BaseUrl>().is_err(), "{url}");
        }
        assert!(
            !"https://hub.example/base"
                .parse::<BaseUrl>()
                .expect("a URL")
                .is_loopback()
        );
    }

    #[test]
    fn a_problem_is_told_by_its_detail_else_title_else_first_line() {
        let reason = |body: &str| Problem::parse(body.as_bytes()).reason();
        assert_eq!(
            reason(r#"{"title":"t","detail":"d"}"#).as_deref(),
            Some("d")
        );
        assert_eq!(reason(r#"{"title":"t"}"#).as_deref(), Some("t"));
        assert_eq!(
            reason("\n Bad Gateway \nmore").as_deref(),
            Some("Bad Gateway")
        );
        assert_eq!(reason(""), None);
        assert_eq!(printable("a\u{1b}[31mb\u{9b}"), "a\u{fffd}[31mb\u{fffd}");
    }

    #[test]
    fn waiting_times_are_short_to_read() {
        let read = |millis| seconds(Duration::from_millis(millis));
        assert_eq!(
            [read(50), read(3_000), read(1_540)],
            ["50 ms", "3 s", "1.5 s"]
        );
    }
}
