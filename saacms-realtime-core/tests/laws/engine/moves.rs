//! Law 1 over hubs: clients that move between the hubs of an engine get each event once and in
//! order, or are told to refetch.

use saacms_realtime_core::engine::Report;
use saacms_realtime_core::{EventIds, HubConfig};

use super::cluster::Cluster;
use crate::support::{Chance, Client, quiet_config};

/// What a client has got: the number of the newest event that it knows.
struct Traveller {
    client: Option<Client>,
    node: usize,
    last_event_id: Option<String>,
    knows: usize,
    refetched: usize,
}

impl Traveller {
    /// Takes what it is told; `newest` is what a refetch returns.
    fn take(&mut self, said: Vec<String>, newest: usize) {
        for word in said {
            if word == "keepalive" {
                continue;
            }
            if word.starts_with("resync") {
                self.refetched += 1;
                self.knows = newest;
                continue;
            }
            let number: usize = word.parse().expect("a number");
            // A refetch may be ahead of what follows it.
            assert!(
                number <= self.knows + 1,
                "gap: {number} after {}",
                self.knows
            );
            self.knows = self.knows.max(number);
        }
    }
}

#[test]
fn a_client_that_moves_between_three_hubs_misses_nothing() {
    let (seeds, is_lossy) = (if cfg!(miri) { 2 } else { 300 }, [false, true]);
    let mut refetched = 0;
    for seed in 0..seeds {
        for is_lossy in is_lossy {
            refetched += run(seed, is_lossy);
        }
    }
    // Live events that are lost on the way are read again, so nobody has a reason to refetch.
    assert_eq!(refetched, 0);
}

fn run(seed: u64, is_lossy: bool) -> usize {
    let mut chance = Chance::new(seed);
    let config = HubConfig {
        event_ids: *chance.pick(&[EventIds::Etag, EventIds::Position]),
        quiet_resume: chance.percent(50),
        ..quiet_config()
    };
    let mut cluster = Cluster::of(3, config);
    cluster.stamps_ids = chance.percent(50);
    let mut published = 0;
    let mut traveller = Traveller {
        client: None,
        node: 0,
        last_event_id: None,
        knows: 0,
        refetched: 0,
    };

    for _ in 0..60 {
        let node = chance.below(3) as usize;
        match chance.below(8) {
            0 | 1 => {
                published += 1;
                cluster.publish(node, "1", [published]);
            }
            2 => cluster.publish(node, "2", [0]),
            3 => {
                traveller.node = node;
                if let Some(client) = traveller.client.take() {
                    traveller.last_event_id = Some(client.last_event_id().to_owned());
                }
                let known = traveller.last_event_id.clone().filter(|id| !id.is_empty());
                if known.is_none() {
                    // A client that knows no place reads the record after its stream is open.
                    traveller.knows = published;
                }
                let (client, said) = cluster.join(node, "1", known.as_deref());
                traveller.client = Some(client);
                traveller.take(said, published);
            }
            4 if is_lossy => {
                cluster.nodes[node].drops_live = !cluster.nodes[node].drops_live;
                cluster.report(node, Report::Doubt(None));
            }
            5 if is_lossy => cluster.nodes[node].is_behind_by = chance.below(3) as usize,
            6 if chance.percent(25) => {
                cluster.report(node, Report::Down);
                cluster.up(node);
            }
            _ => cluster.advance(chance.below(1_500)),
        }
        if let Some(mut client) = traveller.client.take() {
            let said = cluster.read(&mut client);
            traveller.take(said, published);
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
        traveller.take(said, published);
        assert_eq!(traveller.knows, published, "seed {seed}");
    }
    traveller.refetched
}
