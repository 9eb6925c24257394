//! Attacks the followers of one record of an engine.
//!
//! One to three nodes follow the record. Live copies are dropped, doubled and swapped, replicas are
//! stale, asks fail, nodes lose their connection or forget the record; the engine drops events by
//! age and for room, and loses some. Clients move between the nodes and name what they know. At
//! every step, a client must get the event after those that it knows, or a resync; and at rest it
//! must know all of them.

mod client;
mod clients;
mod counts;
mod engine;
mod node;
mod rest;
mod world;

use crate::chance::Chance;
use crate::drawn::{self, Drawn, Op};
use crate::history::Kind;
use crate::log::Log;
use crate::run::{Outcome, catching_panics};

use counts::Counts;
use world::World;

/// Most events of the record that the engine keeps.
const KEEP: usize = 8;

/// Most events that the engine loses if nobody says so: less than half of those that it keeps, see
/// the residual risks in GUARANTEES.md.
const DEPTH: usize = 3;

pub(crate) type Scenario = Drawn<Settings>;

/// The settings of one run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    nodes: usize,
    clients: usize,
    engine: Kind,
    /// The engine keeps no other record, so its oldest event is one of this record.
    is_alone: bool,
    /// The percentage of live copies that do not arrive.
    dropped: u64,
    /// Whether events are lost, connections too, and events are dropped for lack of room.
    is_wild: bool,
    /// Whether events are dropped by age.
    ages: bool,
    /// Whether clients name events by their position, or else by an ID of the event.
    names_positions: bool,
}

impl drawn::Settings for Settings {
    type Counts = Counts;

    const OPS: usize = 250;

    fn draw(chance: &mut Chance) -> Self {
        Self {
            nodes: 1 + chance.index(3),
            clients: 1 + chance.index(4),
            engine: *chance.pick(&[
                Kind::Numbers,
                Kind::Numbers,
                Kind::Numbers,
                Kind::Prints,
                Kind::Prints,
                Kind::Life,
            ]),
            is_alone: chance.percent(50),
            dropped: *chance.pick(&[0, 10, 40]),
            is_wild: chance.percent(50),
            ages: chance.percent(50),
            names_positions: chance.percent(50),
        }
    }

    fn run(&self, seed: u64, ops: &[Op], is_traced: bool) -> Outcome<Counts> {
        let mut world = World::new(self, Log::new(is_traced));
        let result = catching_panics(|| {
            for op in ops {
                world.run(*op)?;
            }
            world.come_to_rest(seed)
        });
        Outcome::new(world.log, world.counts, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Simulation as _;

    #[test]
    fn fifty_seeds_hold() {
        // Few, because Miri runs this test.
        for seed in 0..50 {
            let result = Scenario::draw(seed).run(false).result;
            assert_eq!(result, Ok(()), "seed {seed}");
        }
    }
}
