//! Output to the terminal, and text made safe for one.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;
use std::io::{self, Write as _};

use owo_colors::OwoColorize as _;

/// Writes to standard output. A reader that has closed it (`| head`) is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a line to standard error.
pub(crate) fn print_status(message: impl fmt::Display) {
    // If standard error is closed, nobody reads it, which is no reason to fail.
    let _ = writeln!(anstream::stderr(), "{message}");
}

/// Writes an error to standard error.
pub(crate) fn print_error(message: impl fmt::Display) {
    print_status(format_args!("{} {message}", "error:".red().bold()));
}

/// `text` without characters that move a terminal's cursor or change its colours.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(replace).collect()
}

/// `text` unchanged if it is one printable word, otherwise in quotes and with escapes.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
    if !text.is_empty() && text.chars().all(is_plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{text:?}"))
    }
}

/// A waiting time, for people: `50 ms`, `1.5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{} ms", duration.as_millis());
    }
    let text = format!("{:.1}", duration.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_text_never_controls_the_terminal() {
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
