//! What people read where something is refused: what is wrong, and what is allowed.
#![cfg(feature = "std")]

use core::time::Duration;

use saacms_realtime_core::hub::{HubConfig, Refusal};

#[test]
fn a_refusal_of_the_hub_names_the_limit_that_is_reached() {
    for (refusal, said) in [
        (Refusal::Draining, "the hub is shutting down; reconnect in a moment"),
        (
            Refusal::TooManyTopics { limit: 3 },
            "the hub has 3 records with subscribers, which is its limit",
        ),
        (Refusal::TooManySubscribers { limit: 4 }, "the hub has 4 subscribers, which is its limit"),
        (
            Refusal::TooManySubscribersOfTopic { limit: 5 },
            "this record has 5 subscribers, which is the limit",
        ),
    ] {
        assert_eq!(refusal.to_string(), said);
    }
}

#[test]
fn a_setting_that_is_refused_is_told_with_its_range_and_its_unit() {
    let said = |config: HubConfig| config.check().expect_err("out of its range").to_string();
    assert_eq!(
        said(HubConfig { max_lag: 0, ..HubConfig::default() }),
        "max_lag is 0 events; allowed is 1 to 1000000 events"
    );
    assert_eq!(
        said(HubConfig { heartbeat: Duration::from_millis(9), ..HubConfig::default() }),
        "heartbeat is 9 ms; allowed is 10 to 2073600000 ms, or 0 for off"
    );
}
