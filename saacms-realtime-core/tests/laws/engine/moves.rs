//! Law 1 over hubs: clients that move between the hubs of an engine get each event once and in
//! order, or are told to refetch.

use saacms_realtime_core::engine::Report;
use saacms_realtime_core::{EventIds, HubConfig};

use super::cluster::Cluster;
use crate::support::{Chance, Client, key, quiet_config, sweep};

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    /// Live events do not arrive, servers are behind, hubs start again.
    OnTheWay,
    /// The engine loses events, too.
    Losses,
}

/// A client, and what it knows.
#[derive(Default)]
struct Traveller {
    client: Option<Client>,
    last_event_id: Option<String>,
    /// The newest event that it knows: events are numbered, and numbers that were lost are given again.
    knows: usize,
    refetched: usize,
}

impl Traveller {
    /// Takes what it is told; `state` is what a refetch returns.
    fn take(&mut self, said: Vec<String>, state: usize) {
        for word in said {
            match word.as_str() {
                "keepalive" => {}
                resync if resync.starts_with("resync") => {
                    self.refetched += 1;
                    self.knows = state;
                }
                event => {
                    let number: usize = event.parse().expect("a number");
                    // What was refetched may be ahead of the next events.
                    assert!(number <= self.knows + 1, "{number} after {}", self.knows);
                    self.knows = self.knows.max(number);
                }
            }
        }
    }

    fn leave(&mut self) {
        if let Some(client) = self.client.take() {
            let id = client.last_event_id().to_owned();
            self.last_event_id = Some(id).filter(|id| !id.is_empty());
        }
    }
}

#[test]
fn a_client_that_moves_between_three_hubs_misses_nothing() {
    for faults in [Faults::None, Faults::OnTheWay, Faults::Losses] {
        let refetched: usize = (0..SEEDS)
            .map(|seed| run(Chance::new(seed), quiet_config(), faults))
            .sum();
        // What is lost on the way is read again, so nobody has a reason to refetch.
        assert_eq!(refetched > 0, faults == Faults::Losses);
    }
}

#[test]
fn a_client_of_hubs_with_tight_limits_is_told_whenever_it_missed_something() {
    for faults in [Faults::None, Faults::OnTheWay, Faults::Losses] {
        let refetched: usize = (0..SEEDS)
            .map(|seed| {
                let mut chance = Chance::new(seed);
                let config = HubConfig {
                    max_events: *chance.pick(&[0, 1, 2, 5]),
                    max_lag: *chance.pick(&[1, 3]),
                    max_topics: *chance.pick(&[1, 2]),
                    ..quiet_config()
                };
                run(chance, config, faults)
            })
            .sum();
        assert!(refetched > 0);
    }
}

const SEEDS: u64 = if cfg!(miri) { 2 } else { 300 };

fn run(mut chance: Chance, config: HubConfig, faults: Faults) -> usize {
    let config = HubConfig {
        event_ids: *chance.pick(&[EventIds::Etag, EventIds::Position]),
        quiet_resume: chance.percent(50),
        ..config
    };
    let mut cluster = Cluster::of(3, config);
    cluster.stamps_ids = chance.percent(50);
    let (mut state, mut traveller) = (0, Traveller::default());

    for _ in 0..60 {
        let node = chance.index(3);
        match chance.below(10) {
            0 | 1 => {
                let before = state;
                state += 1 + chance.index(4);
                cluster.publish(node, "1", before + 1..=state);
            }
            2 => cluster.publish(node, "2", [0]),
            3 => {
                traveller.leave();
                if traveller.last_event_id.is_none() {
                    // It reads the record after its stream is open.
                    traveller.knows = state;
                }
                let known = traveller.last_event_id.clone();
                let (client, said) = cluster.join(node, "1", known.as_deref());
                traveller.client = Some(client);
                traveller.take(said, state);
            }
            4 if chance.percent(25) => {
                cluster.report(node, Report::Down);
                cluster.up(node);
            }
            5 if faults != Faults::None => {
                cluster.nodes[node].drops_live = chance.percent(50);
                cluster.report(node, Report::Doubt(None));
            }
            6 if faults != Faults::None => cluster.nodes[node].is_behind_by = chance.index(3),
            7 if faults != Faults::None => {
                traveller.leave();
                cluster.restart(node, config);
            }
            8 if faults == Faults::Losses && chance.percent(25) => {
                cluster.lose(chance.below(cluster.sequence.min(3) + 1));
                state = cluster.records.get(&key("1")).map_or(0, |kept| kept.len());
            }
            _ => cluster.advance(chance.below(1_500)),
        }
        if chance.percent(70)
            && let Some(mut client) = traveller.client.take()
        {
            let said = cluster.read(&mut client);
            traveller.take(said, state);
            traveller.client = Some(client);
        }
    }

    // At rest it knows everything.
    for node in 0..3 {
        cluster.nodes[node].drops_live = false;
        cluster.nodes[node].is_behind_by = 0;
        cluster.report(node, Report::Doubt(None));
    }
    cluster.advance(5_000);
    if let Some(mut client) = traveller.client.take() {
        let said = cluster.read(&mut client);
        traveller.take(said, state);
        assert_eq!(traveller.knows, state);
    }
    leaves_nothing(&mut cluster);
    traveller.refetched
}

/// Once all clients have left, no hub keeps or wants anything.
fn leaves_nothing(cluster: &mut Cluster) {
    cluster.advance(80_000);
    for node in 0..cluster.nodes.len() {
        sweep(cluster.hub(node), cluster.now());
        cluster.run();
        let stats = cluster.hub(node).stats();
        assert_eq!((stats.topics, stats.history_bytes), (0, 0));
        assert_eq!(stats.engine.expect("an engine").in_flight, 0);
        assert!(cluster.nodes[node].watched.is_empty());
        assert_eq!(cluster.nodes[node].wake_at, None);
    }
}
