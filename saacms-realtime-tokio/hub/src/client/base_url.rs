use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use core::time::Duration;
use std::borrow::Cow;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use saacms_realtime_core::ResourceKey;

/// The timeout for resolving the name, and that for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The hub's URL up to and including its base path, without a slash at the end.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    /// The URL to which events are posted.
    pub(crate) fn publish(&self) -> String {
        format!("{}/publish", self.0)
    }

    /// The URL of a record's stream.
    pub(crate) fn subscribe(&self, key: &ResourceKey) -> String {
        let (slug, id) = (percent_encoded(key.slug()), percent_encoded(key.id()));
        format!("{}/{slug}/{id}/subscribe", self.0)
    }

    /// Creates an agent that gives up on a connection after `silence`: that long without a byte in
    /// either direction.
    pub(crate) fn agent(&self, silence: Option<Duration>, max_redirects: u32) -> ureq::Agent {
        let mut config = ureq::Agent::config_builder()
            // An error answer is read as well: its body has the reason.
            .http_status_as_error(false)
            .max_redirects(max_redirects)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(silence)
            .timeout_per_write(silence)
            .user_agent(concat!("saacms-realtime/", env!("CARGO_PKG_VERSION")));
        if self.is_loopback() {
            // A proxy from the environment cannot reach this machine's loopback.
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
            // The token has a flag of its own, and a URL ends up in logs.
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

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `text` as one segment of a path, or one value of a query.
pub(crate) fn percent_encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, RESERVED).into()
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
            ("1.5~x-y_z", "1.5~x-y_z"),
        ] {
            let path =
                format!("http://[::1]:8787/api/%D0%BF%D0%BE%D1%81%D1%82/{encoded}/subscribe");
            assert_eq!(url(id), path);
        }
    }

    #[test]
    fn a_url_that_is_no_hub_is_refused() {
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
}
