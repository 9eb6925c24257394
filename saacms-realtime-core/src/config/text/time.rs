use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::{InvalidText, is_digits, split_after};
use crate::excerpt::excerpt;

/// Names of each unit of time, and its length. Case matters: `m` is a minute, `M` a month.
///
/// These are the units of the crate `humantime`: its texts are accepted here, with the same
/// meaning.
const TIME_UNITS: [(&[&str], Duration); 10] = [
    (&["nanos", "nsec", "ns"], FINEST_UNIT),
    (&["usec", "us", "µs"], Duration::from_micros(1)),
    (&["millis", "msec", "ms"], Duration::from_millis(1)),
    (
        &["seconds", "second", "secs", "sec", "s"],
        Duration::from_secs(1),
    ),
    (&["minutes", "minute", "mins", "min", "m"], MINUTE),
    (
        &["hours", "hour", "hrs", "hr", "h"],
        Duration::from_secs(3_600),
    ),
    (&["days", "day", "d"], Duration::from_secs(86_400)),
    (
        &["weeks", "week", "wks", "wk", "w"],
        Duration::from_secs(604_800),
    ),
    // 30.44 days
    (&["months", "month", "M"], Duration::from_secs(2_630_016)),
    // 365.25 days
    (
        &["years", "year", "yrs", "yr", "y"],
        Duration::from_secs(31_557_600),
    ),
];

const FINEST_UNIT: Duration = Duration::from_nanos(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Units that a time is shown in, with their nanoseconds, largest first.
const SHOWN_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a time with units: `90s`, `1h30m`, `1.5 hours`, `1week`; or `0`.
///
/// # Errors
///
/// The text is not a time, or is too long.
pub fn time(text: &str) -> Result<Duration, InvalidText> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if is_digits(text) {
        return Err(InvalidText::NoUnit {
            number: excerpt(text).into(),
        });
    }
    sum_of_spans(text).ok_or(InvalidText::NotATime)
}

/// Writes a time in as many units as it takes to be exact: `1h30m`.
pub fn show_time(time: Duration) -> String {
    let mut rest = time.as_nanos();
    let mut text = String::new();

    for (name, unit) in SHOWN_UNITS {
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

/// The sum of spans such as `1h 30.5min`; `None` unless there is one or more, each with a unit.
fn sum_of_spans(text: &str) -> Option<Duration> {
    // Blanks may stand between the digits of a number: `1 000ms`.
    let is_number = |char: char| char.is_ascii_digit() || char.is_whitespace();
    let is_unit = |char: char| char.is_ascii_alphabetic() || char == 'µ';

    // `None` until there is a span: an empty text is not a time.
    let mut total = None;
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (whole, after) = split_after(rest, is_number);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => {
                let (fraction, after) = split_after(after, is_number);
                (Some(fraction), after)
            }
            None => (None, after),
        };
        let (unit, after) = split_after(after, is_unit);

        let span = span(whole, fraction, unit)?;
        total = Some(total.unwrap_or(Duration::ZERO).checked_add(span)?);
        rest = after.trim_start();
    }
    total
}

/// The time of one span; `None` if a part is malformed, too large, or too fine to be exact.
fn span(whole: &str, fraction: Option<&str>, unit: &str) -> Option<Duration> {
    let (_, unit) = TIME_UNITS.iter().find(|(names, _)| names.contains(&unit))?;
    let whole: u64 = digits_of(whole).parse().ok()?;

    // A unit is either shorter than a second, or whole seconds.
    let span = match unit.as_secs() {
        0 => Duration::from_nanos(whole.checked_mul(u64::from(unit.subsec_nanos()))?),
        secs => Duration::from_secs(whole.checked_mul(secs)?),
    };
    let Some(fraction) = fraction else {
        return Some(span);
    };
    // Nothing is finer, and even `1.0ns` is refused.
    if *unit == FINEST_UNIT {
        return None;
    }

    let digits = digits_of(fraction);
    let numerator: u64 = digits.parse().ok()?;
    let denominator = 10_u64.checked_pow(u32::try_from(digits.len()).ok()?)?;

    let exact = |length: u64| {
        let product = numerator.checked_mul(length)?;
        (product % denominator == 0).then(|| product / denominator)
    };

    // Longer units are divided into whole seconds only, as in `humantime`.
    let part = if *unit <= MINUTE {
        Duration::from_nanos(exact(u64::try_from(unit.as_nanos()).ok()?)?)
    } else {
        Duration::from_secs(exact(unit.as_secs())?)
    };

    span.checked_add(part)
}

/// The digits of a number that may have blanks between them.
fn digits_of(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_unless_it_is_zero() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            (" 1 h 30 min ", 5_400_000),
            ("1.5h", 5_400_000),
            ("0.25 seconds", 250),
            ("1 000ms", 1_000),
            ("1M", 2_630_016_000),
            ("1week1yr", 32_162_400_000),
            ("2000µs", 2),
        ] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(
            time("30").map_err(String::from),
            Err("needs a unit: 30s, 30m or 30h".to_owned())
        );
        for text in [
            "",
            " ",
            "s",
            "-1s",
            "soon",
            "99999999999999999999h",
            "1é",
            "1S",
            "1.h",
            ".5h",
            "1h30",
            "1.0001h",
            "1.0ns",
            "18446744073709551615y",
            "18446744073709551615s1s",
        ] {
            assert_eq!(time(text), Err(InvalidText::NotATime), "{text:?}");
        }
    }

    #[test]
    fn a_displayed_time_is_read_back_as_the_same() {
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
