//! How far back the feed of changes reaches.

use std::time::Duration;

use embedded_db_common::record::Damaged;
use embedded_db_common::{Lsn, Result};

use super::WriteTxn;
use crate::keys::{self, Table};
use crate::read::ReadTxn;
use crate::segments::views;

/// Between two notes of when a change was committed.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Changes that are removed at once, beside twice as many as came in: what a long time has gathered goes
/// little by little.
const REMOVED_AT_ONCE: u64 = 512;

/// Changes that are kept for the files of views at the most.
const VIEWS_BEHIND: u64 = 1 << 17;

/// Changes between two looks at whether some are to go.
pub(crate) const LOOK_EVERY: u64 = if cfg!(test) { 2 } else { 256 };
/// Time between two looks.
pub(crate) const LOOK_AFTER: Duration = NOTE_EVERY;

impl WriteTxn<'_> {
    /// Removes changes that need not be kept any more, the oldest first, and notes when the last one before
    /// was committed. So many have come in since it was last done.
    pub(crate) fn trim_changes(&mut self, came_in: u64) -> Result<()> {
        let noted = self.last_note()?.unwrap_or((Lsn(0), i64::MIN));
        let (before, at) = self.state.before;
        let is_due = self.state.now.saturating_sub(noted.1) >= NOTE_EVERY.as_micros() as i64;
        if before > noted.0 && is_due {
            self.put(Table::Meta, &keys::committed(before), at.to_le_bytes().to_vec())?;
        }
        let Some(first) = self.oldest_change()? else { return Ok(()) };
        let last = self.lsn()?.0;
        let keep_from = self.too_old()?.max(self.too_many(first.0, last)?);
        let at_once = REMOVED_AT_ONCE.saturating_add(came_in.saturating_mul(2));
        let end = keep_from.min(first.0.saturating_add(at_once)).min(last);
        let end = end.min(self.needed_by_views(last)?);
        if end <= first.0 {
            return Ok(());
        }
        self.delete_between(Table::Changes, &keys::change(first), &keys::change(Lsn(end)))?;
        let (from, end) = (keys::committed(Lsn(0)), keys::committed(Lsn(end)));
        self.delete_between(Table::Meta, &from, &end)
    }

    /// The first change that files of views do not have. They are renewed long before it matters; who has
    /// not done so for very long opens no file any more.
    fn needed_by_views(&self, last: u64) -> Result<u64> {
        let mut needed = u64::MAX;
        for (_, _, _, record) in views(self)? {
            let first = record.lsn.0.saturating_add(1);
            if last.saturating_sub(first) <= VIEWS_BEHIND {
                needed = needed.min(first);
            }
        }
        Ok(needed)
    }

    /// Number and time of the last change that was noted.
    fn last_note(&self) -> Result<Option<(Lsn, i64)>> {
        let all = (&*keys::committed(Lsn(0)), &*keys::committed(Lsn(u64::MAX)));
        let mut last = None;
        self.rows_between(Table::Meta, all, true, |key, payload| {
            last = Some(self.note(key, payload)?);
            Ok(false)
        })?;
        Ok(last)
    }

    /// The first change that is not known to be older than what is kept.
    fn too_old(&self) -> Result<u64> {
        let kept = self.store.options.changes_retention.as_micros();
        let since = self.state.now.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
        let mut first = 0;
        for row in self.prefix(Table::Meta, &keys::all_committed())? {
            let (key, payload) = row?;
            let (lsn, at) = self.note(key, payload)?;
            if at >= since {
                break;
            }
            first = lsn.0.saturating_add(1);
        }
        Ok(first)
    }

    fn note(&self, key: &[u8], payload: &[u8]) -> Result<(Lsn, i64)> {
        let note = || {
            let (lsn, at) = (key.last_chunk::<8>()?, payload.as_array::<8>()?);
            Some((Lsn(u64::from_be_bytes(*lsn)), i64::from_le_bytes(*at)))
        };
        self.located(Table::Meta, key, note().ok_or(Damaged("has the wrong length")))
    }

    /// The first change of those that fit into the bytes that they may take.
    fn too_many(&self, first: u64, last: u64) -> Result<u64> {
        let stat = self.generation.table(Table::Changes).stat(&self.txn);
        let stat = stat.map_err(|error| self.generation.lmdb_error(error))?;
        let pages = stat.branch_pages.saturating_add(stat.leaf_pages) as u64;
        let most = self.store.options.changes_retention_bytes as u64;
        let most = most.checked_div(stat.page_size.into()).unwrap_or_default();
        let rows = last.saturating_add(1).saturating_sub(first);
        let excess = rows.saturating_mul(pages.saturating_sub(most)).checked_div(pages);
        Ok(first.saturating_add(excess.unwrap_or_default()))
    }
}
