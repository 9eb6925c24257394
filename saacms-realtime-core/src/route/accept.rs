use super::EVENT_STREAM;

/// Whether a client with this `Accept` header accepts an event stream (RFC 9110, 12.5.1).
///
/// The most specific of the ranges that match decides; weight 0 means "not this".
pub(super) fn accepts_event_stream(accept: Option<&[u8]>) -> bool {
    let Some(accept) = accept else { return true };
    let Ok(accept) = core::str::from_utf8(accept) else {
        return false;
    };

    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let specificity = match parts.next()? {
            range if range.eq_ignore_ascii_case(EVENT_STREAM) => 3,
            range if range.eq_ignore_ascii_case("text/*") => 2,
            "*/*" => 1,
            // Matches no event stream, so it decides nothing.
            _ => return None,
        };
        Some((specificity, !parts.any(is_weight_zero)))
    });

    // Where a range is listed twice, the one that allows the stream wins.
    ranges.max().is_some_and(|(_, wanted)| wanted)
}

/// Whether a client with this `Accept` header accepts nothing but an event stream, as an
/// `EventSource` does. It sees no status: at any other than 200 it gives up for good.
pub(super) fn accepts_only_event_stream(accept: Option<&[u8]>) -> bool {
    accept.is_some_and(|accept| {
        accept
            .trim_ascii()
            .eq_ignore_ascii_case(EVENT_STREAM.as_bytes())
    })
}

/// Whether a parameter is `q=0`, `q=0.0` and so on.
fn is_weight_zero(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let value = value.trim();
    name.trim().eq_ignore_ascii_case("q")
        && value.starts_with('0')
        && value
            .trim_start_matches('0')
            .trim_start_matches('.')
            .trim_end_matches('0')
            .is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_accepts_a_stream_gets_one() {
        for accept in [
            "text/event-stream",
            "Text/Event-Stream",
            "text/*",
            "*/*",
            "text/html, text/event-stream",
            "text/event-stream;q=0.1",
            "text/event-stream; charset=utf-8",
            "text/*;q=0, text/event-stream",
            "application/json;q=0,*/*;q=0.001",
        ] {
            assert!(accepts_event_stream(Some(accept.as_bytes())), "{accept}");
        }
        assert!(accepts_event_stream(None));
    }

    #[test]
    fn only_who_names_just_the_event_stream_accepts_nothing_else() {
        for (accept, is_only) in [
            ("text/event-stream", true),
            (" Text/Event-Stream ", true),
            ("text/event-stream, */*", false),
            ("text/event-stream, application/problem+json", false),
            ("text/event-stream;q=0.9", false),
            ("text/*", false),
            ("*/*", false),
            ("", false),
        ] {
            let only = accepts_only_event_stream(Some(accept.as_bytes()));
            assert_eq!(only, is_only, "{accept}");
        }
        assert!(!accepts_only_event_stream(None));
    }

    #[test]
    fn a_client_that_accepts_no_stream_gets_none() {
        for accept in [
            "",
            "application/json",
            "text/html",
            "application/x-text/event-stream+foo",
            "text/event-stream;q=0",
            "text/event-stream;q=0.000",
            "text/event-stream; Q=0, */*",
            "text/*;q=0, */*",
        ] {
            assert!(!accepts_event_stream(Some(accept.as_bytes())), "{accept}");
        }
        assert!(!accepts_event_stream(Some(b"\xff")));
    }
}
