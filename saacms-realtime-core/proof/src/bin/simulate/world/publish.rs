//! Edits of the records, as a CMS would publish them.

use saacms_realtime_core::{Event, EventIds, HubConfig, Now, ResourceKey, Stats};

use super::World;
use crate::chance::Chance;
use crate::client::{DELETED, Version};
use crate::reference::Kept;
use crate::sut::Sut;

/// One edit of a record, and the event that a CMS would publish for it.
struct Edit {
    version: Version,
    kind: &'static str,
    etag: Option<String>,
    data: String,
    /// The event as it is posted.
    body: String,
}

impl<S: Sut> World<S> {
    /// Edits a record, and publishes the event if the hub is up.
    pub(super) fn publish(
        &mut self,
        record: usize,
        big: bool,
        chance: &mut Chance,
    ) -> Result<(), String> {
        let edit = self.draw_edit(record, big, chance);
        let etag = edit.etag.as_deref();
        // The database changes even if the hub is down and never learns of it.
        self.truth[record] = edit.version;
        if let Some(etag) = etag {
            *self.uses.entry((record, etag.to_owned())).or_default() += 1;
        }
        let Some(sut) = &self.sut else {
            self.counts.published_while_down += 1;
            return Ok(());
        };

        let event = Event::from_json(edit.body.as_bytes()).map_err(|error| error.to_string())?;
        // Threads read the clock at different times, so a publish may be passed an earlier `now`.
        let at = self.now - chance.below(self.settings.skew + 1);
        let before = sut.stats();
        let answer = sut.publish(event, Now::from_millis(at, self.wall));
        let after = sut.stats();
        let right = self
            .reference
            .publish(record, edit.kind, etag, &edit.data, (at, self.wall));

        self.log.push_line(
            self.now,
            format_args!("  {:.40} as {etag:?}: {answer:?}", edit.data),
        );
        if answer.is_ok() != right.is_ok() {
            return Err(format!("a publish was answered {answer:?}, not {right:?}"));
        }
        self.counts.published += u64::from(answer.is_ok());
        self.counts.publishes_refused += u64::from(answer.is_err());
        self.counts.published_unkept += u64::from(right == Ok(Kept::No));
        if etag.is_none() {
            self.count_time_id();
        }
        self.check_memory(before.history_bytes + edit.data.len(), at, &after)?;
        if answer.is_ok() && after.history_bytes > self.settings.hub.max_history_bytes {
            let limit = self.settings.hub.max_history_bytes;
            return Err(format!(
                "{after:?} after a publish, and {limit} bytes are the limit"
            ));
        }
        self.reference.check(&after)
    }

    fn draw_edit(&mut self, record: usize, big: bool, chance: &mut Chance) -> Edit {
        let (version, is_tagged) = self.draw_version(record, chance);
        let etag = is_tagged.then(|| etag(version));
        if version == self.next_version {
            self.next_version += 1;
            self.tags[record].extend(is_tagged.then_some(version));
        }

        // Drawn for a deletion, too: a seed is the same run only if the same numbers are drawn.
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

        let key = &self.keys[record];
        let data = match version {
            DELETED => format!("{{\"id\":\"{}\"}}", key.id()),
            _ => format!("{{\"v\":{version},\"x\":\"{}\"}}", "y".repeat(padding)),
        };
        let body = body(kind, key, &data, etag.as_deref(), chance.percent(20));
        Edit {
            version,
            kind,
            etag,
            data,
            body,
        }
    }

    /// The state that a record gets, and whether it has an ETag.
    fn draw_version(&self, record: usize, chance: &mut Chance) -> (Version, bool) {
        let version = match chance.below(100) {
            0..8 => DELETED,
            _ => self.next_version,
        };
        let is_tagged = version != DELETED && chance.percent(self.settings.tagged);

        let tags = &self.tags[record];
        let again = tags.len().min(6);
        if is_tagged && again > 0 && chance.percent(25) {
            // The record returns to an earlier state: the same ETag, the same content.
            return (tags[tags.len() - 1 - chance.index(again)], true);
        }
        (version, is_tagged)
    }

    /// Tells the reference if the hub may have freed history for a publish; `bytes` are those before
    /// it, with its data.
    fn check_memory(&mut self, bytes: usize, at: u64, after: &Stats) -> Result<(), String> {
        // 600 covers the rest of the frame and the ID. Too high an estimate only makes the reference
        // less certain.
        if bytes + self.overhead + 600 > self.settings.hub.max_history_bytes {
            self.counts.memory_freed += 1;
            self.reference.history_freed(at, after)?;
        }
        Ok(())
    }
}

/// Bytes that a hub counts for an event besides its frame and its ID.
pub(crate) fn overhead<S: Sut>() -> usize {
    let sut = S::start(
        HubConfig {
            event_ids: EventIds::Etag,
            ..HubConfig::default()
        },
        0,
    );
    let key = ResourceKey::new("a", "1").expect("a valid key");

    // Measured, as it depends on the size of a pointer: one event, less what is known of it.
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

/// The event as JSON, in one of two forms that mean the same.
fn body(kind: &str, key: &ResourceKey, data: &str, etag: Option<&str>, is_spaced: bool) -> String {
    let (slug, id) = (key.slug(), key.id());
    let tag = etag.unwrap_or_default().replace('"', "\\\"");

    // Blanks, another order, and an empty ETag, which counts as none.
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
