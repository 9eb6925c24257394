use rusqlite::{Connection, Result, Statement};

/// All statements of a store, prepared once: to parse one takes longer than to run it.
#[derive(Debug)]
pub(super) struct Statements<'f> {
    pub(super) begin: Statement<'f>,
    pub(super) commit: Statement<'f>,
    pub(super) rollback: Statement<'f>,
    pub(super) save_meta: Statement<'f>,

    pub(super) find_record: Statement<'f>,
    pub(super) add_record: Statement<'f>,
    pub(super) save_record: Statement<'f>,
    pub(super) delete_record: Statement<'f>,
    pub(super) last_record: Statement<'f>,
    pub(super) records_between: Statement<'f>,

    pub(super) event_at: Statement<'f>,
    pub(super) events_from: Statement<'f>,
    pub(super) save_event: Statement<'f>,
    pub(super) delete_events: Statement<'f>,
}

impl<'f> Statements<'f> {
    pub(super) fn prepare(connection: &'f Connection) -> Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        Ok(Self {
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            rollback: prepare("ROLLBACK")?,
            save_meta: prepare(
                "UPDATE meta SET life = ?, lost = ?, sequence = ?, floor = ?, floor_time = ?,
                 latest_time = ?, deleted = ?, sum = ?",
            )?,

            find_record: prepare(
                "SELECT number, since, newest, next, oldest, latest_time, slots, sum FROM record
                 WHERE slug = ? AND id = ?",
            )?,
            add_record: prepare("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?,
            save_record: prepare(
                "UPDATE record SET newest = ?, next = ?, oldest = ?, latest_time = ?, slots = ?, sum = ?
                 WHERE number = ?",
            )?,
            delete_record: prepare("DELETE FROM record WHERE number = ?")?,
            last_record: prepare("SELECT max(number) FROM record")?,
            records_between: prepare(
                "SELECT number, slug, id, newest FROM record WHERE number > ? AND number <= ?
                 ORDER BY number LIMIT ?",
            )?,

            event_at: prepare(
                "SELECT place, n, sequence, before, packed, sum FROM event WHERE place = ?",
            )?,
            events_from: prepare(
                "SELECT place, n, sequence, before, packed, sum FROM event
                 WHERE place BETWEEN ? AND ? AND sequence >= ?",
            )?,
            save_event: prepare("INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?, ?)")?,
            delete_events: prepare(
                "DELETE FROM event WHERE place BETWEEN ? AND ? AND sequence < ?",
            )?,
        })
    }
}
