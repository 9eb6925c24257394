//! Law 3, settings: a hub refuses values out of range.

use core::time::Duration;

use saacms_realtime_core::{Hub, HubConfig};

#[test]
fn a_setting_out_of_its_range_is_refused_and_named() {
    for (setting, config) in out_of_range() {
        let error = Hub::new(config, 0).expect_err(setting);
        assert_eq!(error.setting, setting);
        assert!(
            error.to_string().starts_with(&format!("{setting} is ")),
            "{error}"
        );
    }

    let odd_but_sensible = HubConfig {
        max_events: 0,
        max_age: Duration::ZERO,
        heartbeat: Duration::ZERO,
        ..HubConfig::default()
    };
    assert!(Hub::new(odd_but_sensible, 0).is_ok());
}

#[test]
fn a_setting_may_have_the_first_and_the_last_value_of_its_range_and_none_beyond() {
    for (setting, first, last, unit, set) in RANGES {
        let checked = |value| {
            let mut config = HubConfig::default();
            set(&mut config, value);
            config.check()
        };
        assert_eq!(
            (checked(first), checked(last)),
            (Ok(()), Ok(())),
            "{setting}"
        );

        // A range that starts at 0 has no value below it.
        for beyond in first.checked_sub(1).into_iter().chain([last + 1]) {
            let error = checked(beyond).expect_err(setting);
            assert_eq!(
                (error.setting, error.value, error.unit),
                (setting, beyond, unit)
            );
            assert_eq!(error.allowed, first..=last, "{setting}");
        }
    }

    let off = HubConfig {
        heartbeat: Duration::ZERO,
        stall_timeout: Duration::ZERO,
        ..HubConfig::default()
    };
    assert_eq!(off.check(), Ok(()), "0 stands for off");
}

const DAY: u64 = 86_400_000;

/// Sets one setting.
type Set = fn(&mut HubConfig, u64);

/// Each setting with the first and last value of its range, in its unit.
const RANGES: [(&str, u64, u64, &str, Set); 13] = [
    ("max_events", 0, 1_000_000, "events", |config, to| {
        config.max_events = to as usize
    }),
    ("max_age", 0, 365 * DAY, "ms", |config, to| {
        config.max_age = Duration::from_millis(to)
    }),
    ("max_lag", 1, 1_000_000, "events", |config, to| {
        config.max_lag = to as usize
    }),
    ("max_lag_bytes", 1 << 10, 1 << 40, "bytes", |config, to| {
        config.max_lag_bytes = to as usize
    }),
    ("max_topics", 1, 100_000_000, "topics", |config, to| {
        config.max_topics = to as usize
    }),
    (
        "max_subscribers",
        1,
        100_000_000,
        "subscribers",
        |config, to| {
            config.max_subscribers = to as usize;
        },
    ),
    (
        "max_subscribers_per_topic",
        1,
        100_000_000,
        "subscribers",
        |config, to| {
            config.max_subscribers_per_topic = to as usize;
        },
    ),
    (
        "max_streams_per_address",
        0,
        100_000_000,
        "streams",
        |config, to| {
            config.max_streams_per_address = to as usize;
        },
    ),
    (
        "max_history_bytes",
        1 << 16,
        1 << 44,
        "bytes",
        |config, to| {
            config.max_history_bytes = to as usize;
        },
    ),
    (
        "max_unread_bytes",
        1 << 20,
        1 << 44,
        "bytes",
        |config, to| {
            config.max_unread_bytes = to as usize;
        },
    ),
    ("stall_timeout", 100, 24 * DAY, "ms", |config, to| {
        config.stall_timeout = Duration::from_millis(to)
    }),
    ("heartbeat", 10, 24 * DAY, "ms", |config, to| {
        config.heartbeat = Duration::from_millis(to)
    }),
    ("drain_retry", 1, 3_600_000, "ms", |config, to| {
        config.drain_retry = Duration::from_millis(to);
    }),
];

/// Each setting with a value out of its range.
fn out_of_range() -> [(&'static str, HubConfig); 13] {
    let default = HubConfig::default();
    [
        (
            "max_events",
            HubConfig {
                max_events: 1_000_001,
                ..default
            },
        ),
        (
            "max_age",
            HubConfig {
                max_age: Duration::MAX,
                ..default
            },
        ),
        (
            "max_lag",
            HubConfig {
                max_lag: 0,
                ..default
            },
        ),
        (
            "max_lag_bytes",
            HubConfig {
                max_lag_bytes: 0,
                ..default
            },
        ),
        (
            "max_topics",
            HubConfig {
                max_topics: 0,
                ..default
            },
        ),
        (
            "max_subscribers",
            HubConfig {
                max_subscribers: 0,
                ..default
            },
        ),
        (
            "max_subscribers_per_topic",
            HubConfig {
                max_subscribers_per_topic: 0,
                ..default
            },
        ),
        (
            "max_streams_per_address",
            HubConfig {
                max_streams_per_address: usize::MAX,
                ..default
            },
        ),
        (
            "max_history_bytes",
            HubConfig {
                max_history_bytes: usize::MAX,
                ..default
            },
        ),
        (
            "max_unread_bytes",
            HubConfig {
                max_unread_bytes: 0,
                ..default
            },
        ),
        (
            "stall_timeout",
            HubConfig {
                stall_timeout: Duration::from_millis(99),
                ..default
            },
        ),
        (
            "heartbeat",
            HubConfig {
                heartbeat: Duration::from_millis(9),
                ..default
            },
        ),
        (
            "drain_retry",
            HubConfig {
                drain_retry: Duration::ZERO,
                ..default
            },
        ),
    ]
}
