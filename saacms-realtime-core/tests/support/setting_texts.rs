//! What the text of a setting means: one table that core, the program and the Worker are tested
//! against, so that a variable means the same to all of them.

/// A setting of the hub, as flags and files name it; a text; and the value as displayed, or a part
/// of the error.
pub(crate) type Case = (
    &'static str,
    &'static str,
    Result<&'static str, &'static str>,
);

const NO_COUNT: Result<&str, &str> = Err("must be a whole number, such as 100");
const NO_SIZE: Result<&str, &str> = Err("must be a size, such as 65536, 64KiB, 4MiB or 4MB");
const NO_TIME: Result<&str, &str> = Err("must be a time, such as 500ms, 90s, 5m or 1h30m");

/// The expected value or error of each text. The program and the Worker both have all of these
/// settings.
#[rustfmt::skip] // one case, one line
pub(crate) const CASES: &[Case] = &[
    ("max-events", "0", Ok("0")),
    ("max-events", "007", Ok("7")),
    ("max-events", "1000000", Ok("1000000")),
    ("max-events", "1000001", Err("must be 0 to 1000000 events")),
    ("max-events", "99999999999999999999", Err("is too large")),
    ("max-events", "-1", NO_COUNT),
    ("max-events", "1_000", NO_COUNT),
    ("max-events", "1k", NO_COUNT),
    ("max-events", " 1", NO_COUNT),
    ("max-lag", "0", Err("must be 1 to 1000000 events")),
    ("max-subscribers-per-topic", "5000", Ok("5000")),

    ("max-lag-bytes", "65536", Ok("64KiB")),
    ("max-lag-bytes", "64KiB", Ok("64KiB")),
    ("max-lag-bytes", "64kib", Ok("64KiB")),
    ("max-lag-bytes", "64 KIB", Ok("64KiB")),
    ("max-lag-bytes", "2000B", Ok("2000")),
    ("max-lag-bytes", "4MB", Ok("4000000")),
    ("max-lag-bytes", "4mb", Ok("4000000")),
    ("max-lag-bytes", "3kB", Ok("3000")),
    ("max-lag-bytes", "1GiB", Ok("1GiB")),
    ("max-lag-bytes", "1GB", Ok("1000000000")),
    ("max-lag-bytes", "1TiB", Ok("1TiB")),
    ("max-lag-bytes", "1023", Err("must be 1024 to 1099511627776 bytes")),
    ("max-lag-bytes", "99999999TiB", Err("is too large")),
    ("max-lag-bytes", "4M", NO_SIZE),
    ("max-lag-bytes", "1.5GiB", NO_SIZE),
    ("max-lag-bytes", "64KiB ", NO_SIZE),
    ("max-lag-bytes", "KiB", NO_SIZE),

    ("max-age", "0", Ok("0s")),
    ("max-age", "500ms", Ok("500ms")),
    ("max-age", "90s", Ok("1m30s")),
    ("max-age", "90 sec", Ok("1m30s")),
    ("max-age", "1h30m", Ok("1h30m")),
    ("max-age", "1hour 30mins", Ok("1h30m")),
    ("max-age", "1.5hr", Ok("1h30m")),
    ("max-age", "1d", Ok("1d")),
    ("max-age", "1week", Ok("7d")),
    ("max-age", "2wks", Ok("14d")),
    ("max-age", "1M", Ok("30d10h33m36s")),
    ("max-age", "1 month", Ok("30d10h33m36s")),
    ("max-age", "1500us", Ok("1ms500us")),
    ("max-age", "1y", Err("must be 0 to 31536000000 ms")),
    ("max-age", "60", Err("needs a unit: 60s, 60m or 60h")),
    ("max-age", "1H", NO_TIME),
    ("max-age", "1x", NO_TIME),
    ("max-age", "-1s", NO_TIME),
    ("max-age", "1h30", NO_TIME),
    ("max-age", "99999999999999999999h", NO_TIME),
    ("heartbeat", "0", Ok("0s")),
    ("heartbeat", "0ms", Ok("0s")),
    ("heartbeat", "15s", Ok("15s")),
    ("heartbeat", "5ms", Err("must be 10 to 2073600000 ms, or 0 for off")),

    ("event-ids", "etag", Ok("etag")),
    ("event-ids", "position", Ok("position")),
    ("event-ids", "ETag", Err("must be etag or position")),
    ("quiet-resume", "false", Ok("false")),
    ("quiet-resume", "True", Err("must be true or false")),
    ("quiet-resume", "1", Err("must be true or false")),
    ("greeting", "false", Ok("false")),
    ("greeting", "off", Err("must be true or false")),
];
