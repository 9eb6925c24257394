//! The request for a stream, and the headers that the user adds to it.

use std::fs;
use std::sync::Arc;

use saacms_realtime_core::settings::text;
use ureq::Body;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use crate::client::percent_encoded;

const LAST_EVENT_ID: &str = "last-event-id";

/// What each connection of a follower asks for.
#[derive(Debug)]
pub(super) struct StreamRequest {
    pub(super) agent: ureq::Agent,
    pub(super) url: String,
    /// Of the user, with the token.
    pub(super) headers: Arc<HeaderMap>,
}

impl StreamRequest {
    pub(super) fn send(&self, last_event_id: &str) -> Result<Response<Body>, ureq::Error> {
        let mut url = self.url.clone();
        let mut id_header = None;

        if !last_event_id.is_empty() {
            // An ID with a control character cannot be the value of a header, but a query can have it.
            match HeaderValue::from_bytes(last_event_id.as_bytes()) {
                Ok(value) => id_header = Some(value),
                Err(_) => {
                    url.push_str("?lastEventId=");
                    url.push_str(&percent_encoded(last_event_id));
                }
            }
        }

        let mut request = self
            .agent
            .get(url)
            // Naming the problem document asks for refusals as statuses, not within a stream.
            .header(
                header::ACCEPT,
                "text/event-stream, application/problem+json",
            )
            .header(header::CACHE_CONTROL, "no-cache");
        for (name, value) in &*self.headers {
            request = request.header(name, value);
        }
        if let Some(id) = id_header {
            request = request.header(LAST_EVENT_ID, id);
        }
        request.call()
    }
}

/// Reads the headers that the user adds: `NAME:VALUE`, or `@FILE` with one per line. A token becomes
/// `Authorization`, unless they have that already.
pub(super) fn read_headers(
    arguments: &[String],
    token: Option<String>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for argument in arguments {
        let Some(path) = argument.strip_prefix('@') else {
            add_header(&mut headers, argument)?;
            continue;
        };
        let content = fs::read_to_string(path)
            .map_err(|error| format!("cannot read the headers {path}: {error}"))?;
        for line in text::without_mark(&content)
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            add_header(&mut headers, line).map_err(|error| format!("{path}: {error}"))?;
        }
    }

    if let (Some(token), false) = (token, headers.contains_key(header::AUTHORIZATION)) {
        add_header(&mut headers, &format!("authorization: Bearer {token}"))?;
    }
    Ok(headers)
}

/// The value is in no error: it may be a secret.
fn add_header(headers: &mut HeaderMap, line: &str) -> Result<(), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or("a header is written as NAME:VALUE")?;
    let name: HeaderName = name
        .trim()
        .parse()
        .map_err(|_| "the name of a header must be one word, such as Authorization")?;
    if name == LAST_EVENT_ID {
        return Err("the last event ID is set with --last-event-id".to_owned());
    }
    if [header::ACCEPT, header::CACHE_CONTROL].contains(&name) {
        return Err(format!("the header {name} is set by tail itself"));
    }

    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_| format!("the value of the header {name} must be printable ASCII"))?;
    value.set_sensitive(true);
    headers.append(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_cannot_be_sent_is_refused_without_its_value() {
        for (argument, said) in [
            ("secret", "NAME:VALUE"),
            ("a b: secret", "one word"),
            (": secret", "one word"),
            ("X: secret\r\nY: 1", "the header x"),
            ("last-event-ID: secret", "--last-event-id"),
            ("Accept: secret", "accept"),
            ("@/no/such/file", "/no/such/file"),
        ] {
            let error = read_headers(&[argument.to_owned()], None).expect_err(argument);
            assert!(error.contains(said), "{argument}: {error}");
            assert!(!error.contains("secret"), "{argument}: {error}");
        }
    }

    #[test]
    fn an_authorization_of_the_users_own_stands_before_the_token() {
        let read = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
            read_headers(&arguments, Some("token".to_owned())).expect("valid")
        };
        assert_eq!(read(&[])[header::AUTHORIZATION], "Bearer token");
        assert_eq!(
            read(&["authorization:Basic x"])[header::AUTHORIZATION],
            "Basic x"
        );
        assert_eq!(read(&["X:1", "X: 2"]).get_all("x").iter().count(), 2);
    }
}
