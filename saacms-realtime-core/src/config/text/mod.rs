//! Reads the text of a setting, for every adapter.
//!
//! An environment variable means the same to a server and to a Worker, because both read it here.
//! [`HUB_SETTINGS`](super::HUB_SETTINGS) lists which function reads which setting.

mod time;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

pub use time::{show_time, time};

/// Units of a size, largest first in each system. Case does not matter.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

/// The value of an environment variable. An empty variable counts as not set.
pub fn non_empty<T: AsRef<str>>(value: T) -> Option<T> {
    (!value.as_ref().is_empty()).then_some(value)
}

/// `text` without the byte order mark that some editors put before it.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The items of a comma-separated list, without blanks around them. Empty items are skipped.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Reads a whole number: `100`.
///
/// # Errors
///
/// The text is not a whole number, or is too large.
pub fn count(text: &str) -> Result<usize, InvalidText> {
    if !is_digits(text) {
        return Err(InvalidText::NotACount);
    }
    text.parse().map_err(|_| InvalidText::TooLarge)
}

/// Reads a size in bytes: `65536`, `64KiB`, `4 MB`.
///
/// # Errors
///
/// The text is not a size, or is too large.
pub fn size(text: &str) -> Result<usize, InvalidText> {
    let (digits, unit) = split_after(text, |char| char.is_ascii_digit());
    let unit = SIZE_UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()));

    // Checked before the digits: without a known unit, it does not matter how many they are.
    let Some((_, unit_bytes)) = unit.filter(|_| !digits.is_empty()) else {
        return Err(InvalidText::NotASize);
    };

    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*unit_bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or(InvalidText::TooLarge)
}

/// Reads one of `words`.
///
/// # Errors
///
/// The text is none of them. Case matters.
pub fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, InvalidText> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| InvalidText::NotOneOf {
            words: words.iter().map(|(word, _)| *word).collect(),
        })
}

/// Reads `true` or `false`.
///
/// # Errors
///
/// The text is neither.
pub fn switch(text: &str) -> Result<bool, InvalidText> {
    word(text, &[("true", true), ("false", false)])
}

/// Returns `value` if it is `allowed`; `show` writes the limits for the error.
///
/// # Errors
///
/// The value is out of range.
pub fn within<T: PartialOrd>(
    value: T,
    allowed: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, InvalidText> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    Err(InvalidText::OutOfRange {
        low: show(allowed.start()).into(),
        high: show(allowed.end()).into(),
    })
}

/// Writes a size in the largest binary unit that is exact: `256MiB`, `1536`.
pub fn show_size(bytes: u64) -> String {
    // The table also has decimal units.
    let is_exact =
        |unit: u64| unit >= 1 << 10 && unit.is_power_of_two() && bytes.is_multiple_of(unit);
    let unit = SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes != 0 && is_exact(*unit));

    match unit {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Why a text is not a valid value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidText {
    /// It is not a whole number.
    NotACount,
    /// It is not a size.
    NotASize,
    /// It is not a time, or is too long.
    NotATime,
    /// It is a time without a unit.
    NoUnit {
        /// The number without a unit.
        number: Box<str>,
    },
    /// It is a number or a size that is too large.
    TooLarge,
    /// It is not one of the known words.
    NotOneOf {
        /// The known words.
        words: Vec<&'static str>,
    },
    /// It is out of range.
    OutOfRange {
        /// The smallest allowed value.
        low: Box<str>,
        /// The largest allowed value.
        high: Box<str>,
    },
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACount => f.write_str("must be a whole number, such as 100"),
            Self::NotASize => f.write_str("must be a size, such as 65536, 64KiB, 4MiB or 4MB"),
            Self::NotATime => f.write_str("must be a time, such as 500ms, 90s, 5m or 1h30m"),
            Self::NoUnit { number } => {
                write!(f, "needs a unit: {number}s, {number}m or {number}h")
            }
            Self::TooLarge => f.write_str("is too large"),
            Self::NotOneOf { words } => write!(f, "must be {}", words.join(" or ")),
            Self::OutOfRange { low, high } => {
                write!(f, "out of range; must be {low} to {high}")
            }
        }
    }
}

impl core::error::Error for InvalidText {}

/// The text of the error, so that `?` works where errors of several types become texts.
impl From<InvalidText> for String {
    fn from(error: InvalidText) -> Self {
        error.to_string()
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits `text` after the characters at its beginning that `belongs` accepts.
fn split_after(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|char| !belongs(char)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_digits() {
        assert_eq!(count("0"), Ok(0));
        assert_eq!(count("110000"), Ok(110_000));
        for text in ["", "-1", "+1", "1.5", "0x10", "1_000", " 1", "١"] {
            assert_eq!(count(text), Err(InvalidText::NotACount), "{text:?}");
        }
        assert_eq!(count("99999999999999999999"), Err(InvalidText::TooLarge));
    }

    #[test]
    fn a_size_is_bytes_or_has_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4_096),
            ("12B", 12),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("4 MiB", 4 << 20),
            ("4MB", 4_000_000),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "4M", "1.5GiB", "-1KiB", "4MiB!", "4é", "½MiB"] {
            assert_eq!(size(text), Err(InvalidText::NotASize), "{text:?}");
        }
        for text in ["99999999999999999999", "18446744073709551615KiB"] {
            assert_eq!(size(text), Err(InvalidText::TooLarge), "{text}");
        }
    }

    #[test]
    fn a_word_is_one_of_a_fixed_set() {
        let words = [("etag", 1), ("position", 2)];
        assert_eq!(word("position", &words), Ok(2));
        let error = word("ETag", &words).expect_err("case matters");
        assert_eq!(error.to_string(), "must be etag or position");
        assert_eq!(switch("true"), Ok(true));
        assert_eq!(
            switch("yes").expect_err("a word").to_string(),
            "must be true or false"
        );
    }

    #[test]
    fn the_error_for_a_value_out_of_range_names_the_range() {
        let show = |bytes: &u64| show_size(*bytes);
        assert_eq!(within(1_024, &(0..=1_024), show), Ok(1_024));
        let error = within(1_025, &(0..=1_024), show).expect_err("too large");
        assert_eq!(error.to_string(), "out of range; must be 0 to 1KiB");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(non_empty(""), None);
        assert_eq!(non_empty("0"), Some("0"));
    }

    #[test]
    fn a_list_is_split_at_commas_and_blanks_are_ignored() {
        assert!(list(" a, b ,,c").eq(["a", "b", "c"]));
        assert_eq!(list(" , ").count(), 0);
    }

    #[test]
    fn a_displayed_size_is_read_back_as_the_same() {
        for bytes in [0, 1, 1_000, 1_024, 1_536, 4 << 20, 1 << 44, usize::MAX] {
            assert_eq!(size(&show_size(bytes as u64)), Ok(bytes));
        }
        assert_eq!(show_size(1_536), "1536");
        assert_eq!(show_size(256 << 20), "256MiB");
    }
}
