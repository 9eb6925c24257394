use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use super::bell::RecordWaker;
use super::record::{Record, earliest};
use super::stream::{Outgoing, Piece};
use super::{Lane, Turn};
use crate::hub::Subscription;
use crate::time::{Instant, Now};

/// Bytes after which a turn of streams that are polled by themselves ends.
///
/// Each of them may get a piece that it shares with no other, and everything that is handed out and
/// not yet written is unread: thousands that reconnect together would exceed
/// [`max_unread_bytes`](crate::HubConfig::max_unread_bytes), and those that read would be cut.
const SINGLES_BYTES: usize = 4 << 20;

/// How many of them are polled before those bytes are counted.
const SINGLES_TOGETHER: usize = 16;

/// Turns: of records that changed or are due, and of streams that are polled by themselves.
impl<S> Lane<S> {
    pub(super) fn poll_record(
        &mut self,
        index: usize,
        most: usize,
        now: Now,
        outgoing: &mut Vec<Outgoing>,
    ) {
        let Some(record) = self.records.get_mut(index) else {
            return;
        };
        if !mem::take(&mut record.has_turn) {
            // An earlier record with this number was queued here, and has left.
            return;
        }

        let members = record.take_pending(most);
        let before = outgoing.len();
        let due = record.poll(&record.members[members], &mut self.streams, now, outgoing);
        // A stream that got a piece may have more waiting: only an idle poll shows that it has not.
        record.is_woken |= outgoing.len() > before;
        self.bring_forward(index, due);
        self.queue_record(index);
    }

    pub(super) fn poll_singles(&mut self, most: usize, now: Now, outgoing: &mut Vec<Outgoing>) {
        let count = most.min(self.singles.len());
        let mut singles = Vec::with_capacity(count);
        for index in self.singles.drain(..count) {
            if let Some(stream) = self.streams.get_mut(index)
                && mem::take(&mut stream.is_single)
            {
                singles.push(index);
            }
        }

        let before = outgoing.len();
        let (mut rest, mut bytes) = (&singles[..], 0);
        while bytes < SINGLES_BYTES
            && let Some(first) = rest.first()
        {
            // Neighbours of one record are polled together, under one lock.
            let record = self.streams[*first].record;
            let is_member = |stream: &&usize| self.streams[**stream].record == record;
            let together = rest.iter().take(SINGLES_TOGETHER).take_while(is_member);
            let (members, others) = rest.split_at(together.count());
            rest = others;

            let given = outgoing.len();
            let due = self.records[record].poll(members, &mut self.streams, now, outgoing);
            self.bring_forward(record, due);
            bytes += bytes_of(&outgoing[given..]);
        }

        for &stream in rest.iter().rev() {
            self.streams[stream].is_single = true;
            self.singles.push_front(stream);
        }
        // Whatever is left waits until all other turns are over.
        if !self.singles.is_empty() {
            self.turns.push_back(Turn::Singles);
        }
        // A stream that got a piece may have more waiting, for which no waker is called.
        for given in &outgoing[before..] {
            self.queue_single(given.stream);
        }
    }

    /// The record that a subscription joins, created if there is none. It shares the record's waker
    /// from here on.
    pub(super) fn record_of(&mut self, subscription: &mut Subscription) -> usize {
        if let Some(&index) = self.by_key.get(subscription.key())
            && self.records[index].adopt(subscription)
        {
            return index;
        }

        // If the key has a record of an earlier life of the topic, that one keeps its members.
        let entry = self.records.vacant_entry();
        let index = entry.key();
        let waker = Waker::from(Arc::new(RecordWaker {
            bell: Arc::clone(&self.bell),
            record: index,
        }));
        entry.insert(Record::new(subscription, waker));
        self.by_key.insert(subscription.key().clone(), index);
        index
    }

    /// Queues a stream to be polled by itself.
    pub(super) fn queue_single(&mut self, stream: usize) {
        if mem::replace(&mut self.streams[stream].is_single, true) {
            return;
        }
        if self.singles.is_empty() {
            self.turns.push_back(Turn::Singles);
        }
        self.singles.push_back(stream);
    }

    /// Queues a record for a pass over all its members.
    pub(super) fn wake_record(&mut self, index: usize) {
        // The bell may still name a record that has left.
        if let Some(record) = self.records.get_mut(index) {
            record.is_woken = true;
            self.queue_record(index);
        }
    }

    /// Queues a record if it has members to poll and is not queued.
    fn queue_record(&mut self, index: usize) {
        if self.records[index].begin_pass() {
            self.turns.push_back(Turn::Record(index));
        }
    }

    /// Makes sure that the record is polled at `due` at the latest.
    fn bring_forward(&mut self, index: usize, due: Option<Instant>) {
        self.set_due(index, earliest(self.records[index].due, due));
    }

    /// Sets when the record is polled: at `due` or a little later, together with others.
    pub(super) fn set_due(&mut self, index: usize, due: Option<Instant>) {
        let beat = self.beat_millis;
        // Rounded up: a poll before the heartbeat is due would find nothing to send.
        let due = due.map(|due| {
            let beats = due.as_millis().div_ceil(beat);
            Instant::from_millis(beats.saturating_mul(beat))
        });

        let former = mem::replace(&mut self.records[index].due, due);
        if former == due {
            return;
        }
        if let Some(former) = former {
            self.deadlines.remove(&(former, index));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, index));
        }
    }
}

/// Bytes of these pieces. Neighbours that share a piece count once.
fn bytes_of(given: &[Outgoing]) -> usize {
    let mut last = core::ptr::null();
    let own_bytes = given.iter().map(|given| match &given.piece {
        Piece::Frames(frames) if frames.as_ptr() != last => {
            last = frames.as_ptr();
            frames.len()
        }
        Piece::Frames(_) | Piece::End => 0,
    });
    own_bytes.sum()
}
