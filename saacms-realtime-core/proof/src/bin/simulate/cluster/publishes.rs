//! Publishes: from the call on a hub to the engine, and what the publisher is told.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use saacms_realtime_core::engine::{NotStored, Report};
use saacms_realtime_core::{Event, Publishing, Refusal};

use super::adapter::Waiting;
use super::host::set_flag;
use super::world::{Check, WALL, World, say};
use crate::connection::Flag;
use crate::sut::Sut;

/// A publish, from its call on.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) record: usize,
    pub(super) etag: Option<String>,
    pub(super) at: u64,
    pub(super) publishing: Option<Publishing>,
    woken: Arc<Flag>,
    /// The index of the engine's event.
    pub(super) stored: Option<usize>,
    /// Its publisher was told that it was not published.
    is_refused: bool,
}

impl<S: Sut> World<S> {
    /// Publishes the next version of a record to one of the hubs.
    pub(super) fn submit(&mut self, host: usize) -> Check {
        let record = self.chance.index(self.keys.len());
        let number = self.publishes.len();
        let is_tagged = self.chance.percent(self.settings.tagged);
        let etag = is_tagged.then(|| format!("e{number}"));
        let is_big = self.chance.percent(20);
        let padding = " ".repeat(if is_big { self.settings.padding } else { 0 });
        let tag = etag
            .as_ref()
            .map_or(String::new(), |it| format!(r#","etag":"{it}""#));
        let body = format!(
            r#"{{"type":"changed","slug":"posts","id":"{record}","record":{{"v":{number},"p":"{padding}"}}{tag}}}"#
        );
        let event = Event::from_json(body.as_bytes()).map_err(|error| error.to_string())?;

        let publishing = self.hosts[host].hub.submit(event, self.at());
        self.publishes.push(Publish {
            record,
            etag,
            at: self.now,
            publishing: Some(publishing),
            woken: set_flag(),
            stored: None,
            is_refused: false,
        });
        self.counts.submitted += 1;
        say!(self, "publish {number} of record {record} to hub {host}");
        Ok(())
    }

    /// Takes what publishers are told.
    pub(super) fn settle_publishes(&mut self) -> Check {
        for number in self.settled..self.publishes.len() {
            let publish = &mut self.publishes[number];
            let Some(publishing) = &mut publish.publishing else {
                if number == self.settled {
                    self.settled += 1;
                }
                continue;
            };
            // Not without a call of the waker, as a task would.
            if !publish.woken.take() {
                continue;
            }
            let waker = Waker::from(Arc::clone(&publish.woken));
            let Poll::Ready(result) = Pin::new(publishing).poll(&mut Context::from_waker(&waker))
            else {
                continue;
            };
            publish.publishing = None;
            self.check_outcome(number, result)?;
        }
        Ok(())
    }

    fn check_outcome(&mut self, number: usize, result: Result<(), Refusal>) -> Check {
        say!(self, "publish {number}: {result:?}");
        self.log.hash_number(number as u64);
        let publish = &mut self.publishes[number];
        match result {
            Ok(()) if publish.stored.is_none() => {
                return Err(format!(
                    "publish {number} is accepted, and not in the engine"
                ));
            }
            Ok(()) => self.counts.accepted += 1,
            Err(Refusal::MaybePublished) => self.counts.unsure += 1,
            Err(refusal) if publish.stored.is_some() => {
                return Err(format!(
                    "publish {number} is refused, {refusal:?}, and stored"
                ));
            }
            Err(_) => {
                publish.is_refused = true;
                self.counts.refused += 1;
            }
        }
        Ok(())
    }

    /// How many publishes have no outcome.
    pub(super) fn unsettled(&self) -> usize {
        let publishes = self.publishes.iter();
        publishes.filter(|it| it.publishing.is_some()).count()
    }

    /// The engine looks at a publish: it stores it, or not.
    pub(super) fn store(&mut self, host: usize) -> Check {
        if !self.hosts[host].adapter.is_up {
            return Ok(());
        }
        let Some(waiting) = self.hosts[host].adapter.publishes.pop_front() else {
            return Ok(());
        };

        let ticket = waiting.ticket;
        let fate = if self.is_calm {
            99
        } else {
            self.chance.below(100)
        };
        let refusal = match fate {
            0..3 => Some(NotStored::Full),
            3..5 => Some(NotStored::Away),
            5..6 => Some(NotStored::TooLarge { limit: 1 }),
            6..9 => Some(NotStored::Unknown),
            _ => None,
        };
        if let Some(refusal) = refusal {
            let report = Report::Stored(ticket, Err(refusal));
            self.hosts[host].adapter.outcomes.push_back(report);
            return Ok(());
        }

        let sequence = self.keep(waiting)?;
        let result = match fate {
            9..14 => {
                self.counts.mute += 1;
                return Ok(());
            }
            14..18 => Err(NotStored::Unknown),
            _ => Ok(sequence),
        };
        let report = Report::Stored(ticket, result);
        self.hosts[host].adapter.outcomes.push_back(report);
        Ok(())
    }

    /// Stores an event, and sends live copies to the hubs that watch its record.
    fn keep(&mut self, waiting: Waiting) -> Result<u64, String> {
        let Waiting {
            record,
            number,
            packed,
            ..
        } = waiting;
        let publish = &mut self.publishes[number];
        if publish.is_refused {
            return Err(format!("publish {number} was refused, and is sent"));
        }
        if publish.stored.is_some() || publish.record != record {
            return Err(format!("publish {number} is sent twice, or elsewhere"));
        }
        publish.stored = Some(self.engine.events.len());
        let wall = WALL + self.now as i64;
        let etag = publish.etag.clone();
        let told = self.engine.store(record, number, etag, packed, wall);
        self.counts.stored += 1;
        say!(
            self,
            "the engine stores {number} of record {record} as {:?}",
            told.mark
        );

        for host in 0..self.hosts.len() {
            let adapter = &mut self.hosts[host].adapter;
            if !adapter.watched.contains(&record) {
                continue;
            }
            if self.chance.percent(self.settings.dropped) {
                self.counts.dropped += 1;
                continue;
            }
            let live = Report::Live(self.keys[record].clone(), told.clone());
            if self.chance.percent(5) {
                adapter.wire.push_back(live.clone());
                self.counts.doubled += 1;
            }
            adapter.wire.push_back(live);
            if self.chance.percent(15) && adapter.wire.len() > 1 {
                let last = adapter.wire.len() - 1;
                adapter.wire.swap(last, last - 1);
                self.counts.swapped += 1;
            }
        }
        Ok(told.mark.sequence)
    }

    /// Delivers an outcome of a publish to its hub.
    pub(super) fn confirm(&mut self, host: usize) {
        let adapter = &mut self.hosts[host].adapter;
        // Answers of publishes may overtake each other.
        if adapter.outcomes.len() > 1 && self.chance.percent(30) {
            adapter.outcomes.swap(0, 1);
        }
        if adapter.is_up
            && let Some(outcome) = adapter.outcomes.pop_front()
        {
            self.report(host, outcome);
        }
    }
}

/// The number of the publish that has this data.
pub(super) fn number_of(data: &str) -> Option<usize> {
    let digits = data.strip_prefix("{\"v\":")?;
    digits[..digits.find(',')?].parse().ok()
}
