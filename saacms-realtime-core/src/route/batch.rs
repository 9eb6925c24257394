use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::ndjson::{Results, lines};
use super::{Problem, Reply};
use crate::event::Event;
use crate::name::ResourceKey;

/// Lines of NDJSON that a router distributes to the objects of their records, and their results.
///
/// Send the lines of each [`next_part`](Self::next_part) to the object of its record, and pass the
/// body of its answer to [`insert`](Self::insert). When no part is left, answer with
/// [`into_reply`](Self::into_reply).
#[derive(Debug)]
pub struct Batch {
    /// The result of each line, in order; `None` while its object has not answered.
    results: Vec<Option<Vec<u8>>>,
    /// The parts still to be sent, one per record.
    parts: VecDeque<Part>,
    /// Counts the lines that fail before any object is asked, and those that are then not tried.
    limits: Results,
}

/// The lines of one record, in order.
#[derive(Debug)]
pub struct Part {
    key: ResourceKey,
    lines: Vec<u8>,
    /// The index of the result of each line.
    indexes: Vec<usize>,
}

impl Part {
    fn new(key: ResourceKey) -> Self {
        Self {
            key,
            lines: Vec::new(),
            indexes: Vec::new(),
        }
    }

    fn add(&mut self, line: &[u8], index: usize) {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        self.indexes.push(index);
    }

    /// The record.
    pub fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// The body of a publish to the object of the record.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

impl Batch {
    /// Sorts the lines of a body by record. A line that is not an event gets its result at once.
    pub fn new(body: &[u8]) -> Self {
        let mut batch = Self {
            results: Vec::new(),
            parts: VecDeque::new(),
            limits: Results::default(),
        };
        let mut part_of = BTreeMap::new();

        for line in lines(body) {
            if !batch.limits.wants(line) {
                continue;
            }
            let result = match Event::from_json(line) {
                Ok(event) => {
                    // Only the key is used here: the object reads the line itself.
                    let at = *part_of
                        .entry(event.key().clone())
                        .or_insert_with_key(|key| {
                            batch.parts.push_back(Part::new(key.clone()));
                            batch.parts.len() - 1
                        });
                    batch.parts[at].add(line, batch.results.len());
                    None
                }
                Err(error) => {
                    let problem = Problem::from(error);
                    batch.limits.push_failure(&problem);
                    Some(problem.to_json().into_bytes())
                }
            };
            batch.results.push(result);
        }
        batch
    }

    /// The next part to send.
    pub fn next_part(&mut self) -> Option<Part> {
        self.parts.pop_front()
    }

    /// Inserts an object's answer to its part: one result per line. A line without a result has
    /// failed.
    pub fn insert(&mut self, part: &Part, answer: &[u8]) {
        for (index, line) in part.indexes.iter().zip(lines(answer)) {
            self.results[*index] = Some(line.to_vec());
        }
    }

    /// The router's answer: all results, in the order of the lines.
    pub fn into_reply(self) -> Reply {
        let failed = Problem::record_unreachable().to_json();
        let mut results = self.limits.emptied();
        for result in &self.results {
            results.push(result.as_deref().unwrap_or(failed.as_bytes()));
        }
        results.into_reply()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned as _;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn lines_go_to_their_objects_and_results_come_back_in_order() {
        let event = |id: &str, etag: &str| {
            format!(r#"{{"type":"changed","slug":"s","id":"{id}","record":1,"etag":"{etag}"}}"#)
        };
        let body = [
            event("a", "1"),
            event("b", "2"),
            "nope".to_owned(),
            event("a", "3"),
            event("c", "4"),
        ]
        .join("\n");
        let mut batch = Batch::new(body.as_bytes());

        let part = batch.next_part().expect("a");
        let lines = format!("{}\n{}\n", event("a", "1"), event("a", "3"));
        assert_eq!((part.key().id(), part.lines()), ("a", lines.as_bytes()));
        batch.insert(&part, b"A1\nA3\n");
        let part = batch.next_part().expect("b");
        batch.insert(&part, b"B2\n");
        let part = batch.next_part().expect("c");
        batch.insert(&part, b"");
        assert!(batch.next_part().is_none());

        let reply = batch.into_reply();
        assert_eq!(reply.status, 200);
        let body = String::from_utf8(reply.body).expect("UTF-8");
        let lines: Vec<_> = body.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3]), ("A1", "B2", "A3"));
        assert!(lines[2].contains("invalid-event") && lines[4].contains("record-unreachable"));
    }

    #[test]
    fn after_a_thousand_bad_lines_the_rest_is_sent_to_no_object() {
        let event = r#"{"type":"deleted","slug":"s","id":"a"}"#;
        let body = format!("{event}\n{}{event}\n{event}\n", "x\n".repeat(1_000));
        let mut batch = Batch::new(body.as_bytes());
        let part = batch.next_part().expect("the line before the bad ones");
        assert_eq!(part.lines(), format!("{event}\n").as_bytes());
        assert!(batch.next_part().is_none());
        batch.insert(&part, b"A");
        let body = String::from_utf8(batch.into_reply().body).expect("UTF-8");
        let lines: Vec<_> = body.lines().collect();
        assert_eq!((lines.len(), lines[0]), (1_002, "A"));
        assert!(lines[1_001].contains("last 2 lines"), "{}", lines[1_001]);
    }
}
