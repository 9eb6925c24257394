//! Numbers, sizes, times and words as people write them.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::borrow::Cow;

/// Units of a size, the largest first in each system; letters count whatever their case.
const SIZES: [(&str, u64); 10] = [
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

/// Units of a time in nanoseconds, the largest first.
const TIMES: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A whole number.
pub(super) fn count(text: &str) -> Result<usize, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err("must be a whole number, such as 100".to_owned());
    }
    text.parse().map_err(|_| "is too large".to_owned())
}

/// A size in bytes: `65536`, `64KiB`, `4 MB`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let wrong = || "must be a size, such as 65536, 64KiB, 4MiB or 4MB".to_owned();
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(end);
    let (_, bytes) = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()))
        .filter(|_| !digits.is_empty())
        .ok_or_else(wrong)?;
    let size = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*bytes));
    size.and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| "is too large".to_owned())
}

/// A time with a unit: `90s`, `1h30m`; or `0`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("needs a unit: {text}s, {text}m or {text}h"));
    }
    humantime::parse_duration(text)
        .map_err(|_| "must be a time, such as 500ms, 90s, 5m or 1h30m".to_owned())
}

/// One of `words`.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("must be {}", words.join(" or "))
        })
}

/// `value`, where it is `allowed`.
pub(super) fn within<T: PartialOrd>(
    value: T,
    allowed: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if allowed.contains(&value) {
        Ok(value)
    } else {
        let (low, high) = (show(allowed.start()), show(allowed.end()));
        Err(format!("out of range; allowed is {low} to {high}"))
    }
}

/// A size in the largest unit of 1024 that says it exactly.
pub(super) fn show_size(size: u64) -> String {
    let exact = |unit: u64| unit >= 1 << 10 && unit.is_power_of_two() && size.is_multiple_of(unit);
    match SIZES.iter().find(|(_, unit)| size != 0 && exact(*unit)) {
        Some((name, unit)) => format!("{}{name}", size / unit),
        None => size.to_string(),
    }
}

/// A time in as many units as it takes to say it exactly: `1h30m`.
pub(super) fn show_time(time: Duration) -> String {
    let mut rest = time.as_nanos();
    let mut text = String::new();
    for (name, unit) in TIMES {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// `text` where it can be read on a terminal as it is; in quotes, with escapes, otherwise.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |char: char| !char.is_whitespace() && !char.is_control() && char != '"';
    if !text.is_empty() && text.chars().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_digits() {
        assert_eq!(count("0"), Ok(0));
        assert_eq!(count("110000"), Ok(110_000));
        for text in ["", "-1", "+1", "1.5", "0x10", "1_000", " 1", "١"] {
            assert!(
                count(text)
                    .unwrap_err()
                    .starts_with("must be a whole number"),
                "{text:?}"
            );
        }
        assert_eq!(
            count("99999999999999999999"),
            Err("is too large".to_owned())
        );
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
            assert!(
                size(text).unwrap_err().starts_with("must be a size"),
                "{text:?}"
            );
        }
        for text in ["99999999999999999999", "18446744073709551615KiB"] {
            assert_eq!(size(text), Err("is too large".to_owned()));
        }
    }

    #[test]
    fn a_time_has_a_unit_unless_it_is_zero() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
        ] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(time("30"), Err("needs a unit: 30s, 30m or 30h".to_owned()));
        for text in ["", "s", "-1s", "soon", "99999999999999999999h", "1é"] {
            assert!(
                time(text).unwrap_err().starts_with("must be a time"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_word_is_one_of_few() {
        let words = [("etag", 1), ("position", 2)];
        assert_eq!(word("position", &words), Ok(2));
        assert_eq!(
            word("ETag", &words),
            Err("must be etag or position".to_owned())
        );
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same() {
        for bytes in [0, 1, 1_000, 1_024, 1_536, 4 << 20, 1 << 44, usize::MAX] {
            assert_eq!(size(&show_size(bytes as u64)), Ok(bytes));
        }
        assert_eq!(show_size(1_536), "1536");
        assert_eq!(show_size(256 << 20), "256MiB");
        for (millis, text) in [
            (0, "0s"),
            (10, "10ms"),
            (5_400_000, "1h30m"),
            (365 * 86_400_000, "365d"),
        ] {
            assert_eq!(show_time(Duration::from_millis(millis)), text);
        }
        for shown in [
            Duration::from_nanos(1),
            Duration::from_micros(1_500),
            Duration::MAX,
        ] {
            assert_eq!(time(&show_time(shown)), Ok(shown));
        }
    }
}
