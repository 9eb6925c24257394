//! The end of a run: nothing goes wrong any more, and every client must know all events.

use super::world::{Check, World};
use crate::chance::Chance;

/// Turns of a node until it must be at rest: a burst of live events has to be delivered, too.
const TURNS: usize = 2_000;

impl World {
    pub(super) fn come_to_rest(&mut self, seed: u64) -> Check {
        self.chance = Chance::new(seed);
        self.stop_dropping();
        for node in 0..self.nodes.len() {
            self.reconnect(node);
            // Without a fault nobody needs to ask; after one, once is enough.
            if self.is_doubtful() {
                self.doubt(node);
            }
        }
        self.engine.replicate();

        for node in 0..self.nodes.len() {
            self.bring_to_rest(node)?;
        }
        self.check_all_is_known()
    }

    fn bring_to_rest(&mut self, node: usize) -> Check {
        for _ in 0..TURNS {
            let at = &self.nodes[node];
            if at.wire.is_empty() && at.follower.is_live() && at.ask.is_none() {
                if !at.is_fresh {
                    return Ok(());
                }
                // As a driver does a moment after each join: a replica that is behind may not have
                // had an event that was told before this node watched the record.
                self.nodes[node].follower.make_sure();
            }
            self.deliver(node)?;
            self.ask(node);
            self.answer(node)?;
        }
        let follower = &self.nodes[node].follower;
        Err(format!("node {node} does not come to rest: {follower:?}"))
    }

    fn check_all_is_known(&mut self) -> Check {
        let all = self.engine.history.all.len();
        for (number, client) in self.clients.iter().enumerate() {
            if client.node.is_none() {
                continue;
            }
            if !client.is_placed {
                return Err(format!("client {number} waits for ever"));
            }
            if client.known != all {
                let known = client.known;
                return Err(format!("client {number} knows {known} of {all} events"));
            }
            self.counts.converged += 1;
        }
        Ok(())
    }
}
