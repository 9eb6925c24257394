//! Edits of the records, as a CMS would publish them.

use saacms_realtime_core::{Event, EventIds, HubConfig, Now, ResourceKey};

use super::World;
use crate::chance::Chance;
use crate::client::{DELETED, Version};
use crate::sut::Sut;

impl<S: Sut> World<S> {
    pub(super) fn publish(
        &mut self,
        record: usize,
        big: bool,
        chance: &mut Chance,
    ) -> Result<(), String> {
        let version = match chance.below(100) {
            0..8 => DELETED,
            _ => self.next_version,
        };
        let is_tagged = version != DELETED && chance.percent(self.settings.tagged);
        let again = self.tags[record].len().min(6);
        let version = if is_tagged && again > 0 && chance.percent(25) {
            // The record returns to an earlier state: the same ETag, the same content.
            self.tags[record][self.tags[record].len() - 1 - chance.index(again)]
        } else {
            version
        };
        let etag = is_tagged.then(|| etag(version));
        if version == self.next_version {
            self.next_version += 1;
            self.tags[record].extend(is_tagged.then_some(version));
        }
        let padding = if big {
            self.settings.padding
        } else {
            chance.index(20)
        };
        let kind = match version {
            DELETED => "deleted",
            _ if chance.percent(20) => "snapshot",
            _ => "changed",
        };
        let id = self.keys[record].id();
        let data = match version {
            DELETED => format!("{{\"id\":\"{id}\"}}"),
            _ => format!("{{\"v\":{version},\"x\":\"{}\"}}", "y".repeat(padding)),
        };
        let body = body(
            kind,
            &self.keys[record],
            &data,
            etag.as_deref(),
            chance.percent(20),
        );
        self.truth[record] = version;
        if let Some(etag) = &etag {
            *self.uses.entry((record, etag.clone())).or_default() += 1;
        }
        let Some(sut) = &self.sut else {
            self.counts.published_while_down += 1;
            return Ok(());
        };
        let event = Event::from_json(body.as_bytes()).map_err(|error| error.to_string())?;
        let at = self.now - chance.below(self.settings.skew + 1);
        let before = sut.stats();
        let answer = sut.publish(event, Now::from_millis(at, self.wall));
        let after = sut.stats();
        let right = self
            .reference
            .publish(record, kind, etag.as_deref(), &data, at);
        self.log.line(
            self.now,
            format_args!("  {data:.40} as {etag:?}: {answer:?}"),
        );
        if answer.is_ok() != right.is_ok() {
            return Err(format!("a publish was answered {answer:?}, not {right:?}"));
        }
        self.counts.published += u64::from(answer.is_ok());
        self.counts.publishes_refused += u64::from(answer.is_err());
        if etag.is_none() {
            self.count_time_id();
        }
        let limit = self.settings.hub.max_history_bytes;
        if before.history_bytes + data.len() + self.overhead + 600 > limit {
            self.counts.memory_freed += 1;
            self.reference.history_freed(at, &after)?;
        }
        if answer.is_ok() && after.history_bytes > limit {
            return Err(format!(
                "{after:?} after a publish, and {limit} bytes are the limit"
            ));
        }
        self.reference.check(&after)
    }
}

/// What a hub counts for an event beside its bytes.
pub(crate) fn overhead<S: Sut>() -> usize {
    let sut = S::start(
        HubConfig {
            event_ids: EventIds::Etag,
            ..HubConfig::default()
        },
        0,
    );
    let key = ResourceKey::new("a", "1").expect("a valid key");
    sut.publish(Event::deleted(key), Now::from_millis(0, 0))
        .expect("room for one");
    let frame = "event: deleted\nid: 1970-01-01T00:00:00.000Z\ndata: {\"id\":\"1\"}\n\n";
    sut.stats().history_bytes - frame.len() - "1970-01-01T00:00:00.000Z".len()
}

/// The ETag of a version, in one of four forms.
fn etag(version: Version) -> String {
    match version % 4 {
        0 => format!("W/\"{version}\""),
        1 => format!("é{version}"),
        2 => format!("{:040}", version),
        _ => format!("v{version}"),
    }
}

fn body(kind: &str, key: &ResourceKey, data: &str, etag: Option<&str>, is_spaced: bool) -> String {
    let (slug, id) = (key.slug(), key.id());
    let tag = etag.unwrap_or_default().replace('"', "\\\"");
    if is_spaced {
        let data = data.replacen(':', " : ", 1);
        return format!(
            "{{ \"record\": {data} , \"etag\":\"{tag}\",\n\"id\":\"{id}\",\"slug\":\"{slug}\",\"type\":\"{kind}\"}}\n"
        );
    }
    let member = if etag.is_some() {
        format!(",\"etag\":\"{tag}\"")
    } else {
        String::new()
    };
    format!("{{\"type\":\"{kind}\",\"slug\":\"{slug}\",\"id\":\"{id}\",\"record\":{data}{member}}}")
}
