//! Time as a value: the caller reads the clocks, this crate compares.

use core::fmt;
use core::time::Duration;

/// A moment on the caller's monotonic clock, in whole milliseconds since any fixed start.
///
/// `std::time::Instant` has no zero, and panics on `wasm32-unknown-unknown`; a number of
/// milliseconds does neither. Ages and heartbeats are measured with it, so setting the wall clock
/// changes neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// The moment `millis` milliseconds after the start of the clock.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start of the clock.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, at most the last one of the clock.
    ///
    /// Fractions of a millisecond are rounded up: a deadline is never early.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }

    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// `duration` in milliseconds, rounded up, at most `u64::MAX`.
pub(crate) const fn whole_millis(duration: Duration) -> u64 {
    // `as_nanos` would divide 128 bits.
    let millis = duration.subsec_nanos().div_ceil(1_000_000) as u64;
    duration
        .as_secs()
        .saturating_mul(1_000)
        .saturating_add(millis)
}

/// A moment on the wall clock, in milliseconds since 1970-01-01T00:00:00Z; may be negative.
///
/// It is written as `Date.prototype.toISOString` writes it (ECMA-262, 21.4.1.32):
///
/// ```
/// use saacms_realtime_core::Timestamp;
/// assert_eq!(Timestamp::from_millis(1_709_210_096_789).to_string(), "2024-02-29T12:34:56.789Z");
/// assert_eq!(Timestamp::from_millis(253_402_300_800_000).to_string(), "+010000-01-01T00:00:00.000Z");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last moment that has a text in ECMA-262.
    pub const MAX: Self = Self(8_640_000_000_000_000);
    /// The first moment that has a text in ECMA-262.
    pub const MIN: Self = Self(-Self::MAX.0);

    /// The moment `millis` milliseconds after 1970, clamped to [`MIN`](Self::MIN)..=
    /// [`MAX`](Self::MAX).
    pub const fn from_millis(millis: i64) -> Self {
        const MIN: i64 = Timestamp::MIN.0;
        const MAX: i64 = Timestamp::MAX.0;
        match millis {
            i64::MIN..MIN => Self::MIN,
            MIN..=MAX => Self(millis),
            _ => Self::MAX,
        }
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

#[cfg(feature = "std")]
impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(error) => -millis(error.duration()),
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);

        // Years of four digits have no sign, others have one and six digits.
        if (0..=9999).contains(&year) {
            write!(f, "{year:04}")?;
        } else {
            let sign = if year.is_negative() { '-' } else { '+' };
            write!(f, "{sign}{:06}", year.unsigned_abs())?;
        }

        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, milli) = (millis / 1_000 % 60, millis % 1_000);
        write!(
            f,
            "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

/// Year, month and day `days` days after 1970-01-01, in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on 1 March: the leap day is the last day of its year.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01; an era has 146,097.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);

    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);

    // From March on, each five months have 153 days: 31, 30, 31, 30, 31.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };

    // January and February belong to the year that began in March.
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

/// Both clocks, read at the same moment by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: ages, heartbeats, deadlines.
    pub instant: Instant,
    /// The wall clock: time IDs.
    pub wall: Timestamp,
}

impl Now {
    /// Both clocks from their milliseconds.
    pub const fn from_millis(instant: u64, wall: i64) -> Self {
        Self {
            instant: Instant::from_millis(instant),
            wall: Timestamp::from_millis(wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn dates_are_written_as_ecma_262_writes_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
            (i64::MAX, "+275760-09-13T00:00:00.000Z"),
            (i64::MIN, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        // An interpreter takes long over all of them.
        let (mut date, last_year) = if cfg!(miri) {
            ((1999, 1, 1), 2001)
        } else {
            ((-400, 1, 1), 2401)
        };
        let first_day = if cfg!(miri) {
            10_592
        } else {
            -719_528 - 146_097
        };
        for days in first_day.. {
            assert_eq!(civil_from_days(days), date, "day {days}");
            let (year, month, day) = date;
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days_of_month = match month {
                4 | 6 | 9 | 11 => 30,
                2 if is_leap => 29,
                2 => 28,
                _ => 31,
            };
            date = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == days_of_month => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
            if date.0 == last_year {
                return;
            }
        }
    }

    #[test]
    #[cfg(feature = "std")]
    fn the_clock_of_the_system_may_show_any_year() {
        let millis = |time| Timestamp::from(time).as_millis();
        let (epoch, second) = (std::time::UNIX_EPOCH, Duration::from_millis(1_000));
        assert_eq!(millis(epoch + second), 1_000);
        assert_eq!(millis(epoch - second), -1_000);
        assert_eq!(
            Timestamp::from(epoch + second * (1 << 31) * 1_000_000),
            Timestamp::MAX
        );
    }

    #[test]
    fn a_deadline_is_never_early() {
        let start = Instant::from_millis(5);
        assert_eq!(
            start
                .saturating_add(Duration::from_micros(1_001))
                .as_millis(),
            7
        );
        assert_eq!(start.saturating_add(Duration::MAX).as_millis(), u64::MAX);
        assert_eq!(whole_millis(Duration::from_millis(u64::MAX)), u64::MAX);
        assert_eq!(
            whole_millis(Duration::from_millis(u64::MAX - 1)),
            u64::MAX - 1
        );
    }
}
