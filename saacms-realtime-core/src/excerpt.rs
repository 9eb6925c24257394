//! Excerpts of foreign text for messages: no message repeats a whole input.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

/// The most characters of foreign text that a message quotes.
const MAX_CHARS: usize = 40;

/// The first 40 characters of `text`. Control characters, which could move a terminal's cursor, are
/// replaced.
pub fn excerpt(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(MAX_CHARS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}

/// Both ends of a parser's message, which quotes the input first and says last what it expected.
pub(crate) fn both_ends(message: &str) -> String {
    const FRONT: usize = 60;
    const BACK: usize = 110;

    if message.len() <= FRONT + BACK {
        return message.to_owned();
    }
    let is_boundary = |at: &usize| message.is_char_boundary(*at);
    // Both are found: 0 and the length are boundaries.
    let front = (0..=FRONT).rev().find(is_boundary).unwrap_or(0);
    let back = (message.len() - BACK..=message.len()).find(is_boundary);
    let back = back.unwrap_or(message.len());
    format!("{}…{}", &message[..front], &message[back..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_moves_no_terminal() {
        assert_eq!(excerpt("a\u{1b}b"), "a\u{fffd}b");
        assert_eq!(excerpt(&"é".repeat(40)), "é".repeat(40));
        assert_eq!(excerpt(&"é".repeat(41)), "é".repeat(40) + "…");
    }

    #[test]
    fn a_long_message_keeps_both_ends() {
        let short = "x".repeat(170);
        assert_eq!(both_ends(&short), short);
        let long = both_ends(&("é".repeat(500_000) + ", expected an object"));
        assert!(long.len() <= 173 && long.starts_with("éé"), "{long}");
        assert!(long.ends_with("é, expected an object"), "{long}");
    }
}
