//! Publishers and readers of a cluster.

use saacms_realtime_core::Publishing;

use super::cluster::{Cluster, Node, outcome};
use crate::support::{Client, changed, key};

impl Cluster {
    /// Submits an event whose record is its number and whose ETag is `v<number>`.
    pub(crate) fn submit(&self, node: usize, id: &str, number: usize) -> Publishing {
        let etag = format!("v{number}");
        let event = changed(&key(id), number, Some(&etag));
        self.hub(node).submit(event, self.now())
    }

    /// Publishes events through a hub.
    pub(crate) fn publish(
        &mut self,
        node: usize,
        id: &str,
        numbers: impl IntoIterator<Item = usize>,
    ) {
        for number in numbers {
            let mut publishing = self.submit(node, id, number);
            self.run();
            assert_eq!(outcome(&mut publishing), Some(Ok(())));
        }
    }

    /// Connects a client to a hub, and lets it read everything that the engine answers at once.
    pub(crate) fn join(
        &mut self,
        node: usize,
        id: &str,
        last_event_id: Option<&str>,
    ) -> (Client, Vec<String>) {
        let hub = self.hub(node).clone();
        let mut client = Client::connect(&hub, &key(id), last_event_id, self.now());
        let said = self.read(&mut client);
        (client, said)
    }

    /// Lets a client read everything that the engine answers at once.
    pub(crate) fn read(&mut self, client: &mut Client) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            self.run();
            let more = client.read(self.now());
            // The client itself may have made the hub ask.
            self.collect_all();
            let asks = |node: &Node| !node.is_held && !node.waiting.is_empty();
            if more.is_empty() && !self.nodes.iter().any(asks) {
                return said;
            }
            said.extend(more);
        }
    }

    fn collect_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.collect(node);
        }
    }

    /// Disconnects a client, and connects it to a hub with its last event ID.
    pub(crate) fn move_to(
        &mut self,
        node: usize,
        id: &str,
        client: Client,
    ) -> (Client, Vec<String>) {
        let last = Some(client.last_event_id().to_owned()).filter(|id| !id.is_empty());
        drop(client);
        self.join(node, id, last.as_deref())
    }
}
