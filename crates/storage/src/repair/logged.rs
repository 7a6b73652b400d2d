//! What the log has of a state: the rows that were written last, whatever became of their pages.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use embedded_db_common::{NamespaceId, Result, record};

use crate::keys::{Key, Table};
use crate::log::{Change, FoundLog, read_changes};
use crate::pages::{DamagedFile, Depth};
use crate::postings::IndexId;

/// A table and a key.
type RowKey = (u8, Vec<u8>);

/// The last changes of rows, in front of those of the data file.
#[derive(Default)]
pub(super) struct Logged {
    /// What a row is, or that it is gone, in the order of the keys.
    rows: Vec<(RowKey, Option<Vec<u8>>)>,
    /// Rows of the data file that are gone: from a key up to another.
    removed: Vec<(Table, Vec<u8>, Vec<u8>)>,
    /// Commits are missing, or may be.
    pub(super) is_cut: bool,
    /// Rows of what waits that were changed, and do not read.
    pub(super) lost_work: bool,
    /// How many more rows each table has; `None` where nobody knows.
    more: HashMap<Table, Option<i64>>,
}

impl Logged {
    /// Without what it may have had behind the state of a data file.
    pub(super) fn cut() -> Self {
        Self { is_cut: true, ..Self::default() }
    }

    /// What a log that is in use has of the state of a data file.
    pub(super) fn read(
        log: Option<&FoundLog>,
        directory: &Path,
        file: &DamagedFile,
        remarks: &mut Vec<String>,
    ) -> Result<Self> {
        let mut logged = Self::default();
        let (Some(log), Some(state)) = (log, file.transaction()) else { return Ok(logged) };
        let frames = log.frames(directory);
        if let Some(missing) = frames.missing_after(state, file.written()?) {
            logged.is_cut = true;
            remarks.push(missing);
        }
        // Frames that end before the state would put older rows in the place of newer ones.
        if frames.end() <= state {
            return Ok(logged);
        }
        let mut rows = BTreeMap::new();
        for (transaction, changes) in frames.iter() {
            for change in read_changes(changes) {
                let Ok(change) = change else {
                    logged.is_cut = true;
                    remarks.push(format!("the commit {transaction} does not read in the log"));
                    break;
                };
                logged.add(&mut rows, file, change, transaction > state)?;
            }
        }
        logged.rows = rows.into_iter().collect();
        logged.count(file)?;
        Ok(logged)
    }

    /// `later` says that the data file does not have it yet.
    fn add(
        &mut self,
        rows: &mut BTreeMap<RowKey, Option<Vec<u8>>>,
        file: &DamagedFile,
        change: Change<'_>,
        later: bool,
    ) -> Result<()> {
        match change {
            Change::Put { table, key, sealed } => {
                let is_right = record::open(table as u8, key, sealed).is_ok();
                let row = Some(sealed.to_vec()).filter(|_| is_right);
                // What does not read hides what was there before all the same.
                rows.insert((table as u8, key.to_vec()), row);
            }
            Change::Patch { table, key, patch } => {
                if table != Table::Postings || !says_what_waits(key) {
                    return Ok(());
                }
                let known = rows.get(&(table as u8, key.to_vec()));
                let before = match known {
                    Some(before) => before.clone(),
                    // What the data file has was changed by this already.
                    None if !later => return Ok(()),
                    None => file.get(table, key)?,
                };
                let after = before.and_then(|before| patch.apply(&before).ok());
                match after {
                    Some(after) => _ = rows.insert((table as u8, key.to_vec()), Some(after)),
                    None => self.lost_work = true,
                }
            }
            Change::Delete { table, key } => {
                rows.insert((table as u8, key.to_vec()), None);
            }
            Change::DeleteBetween { table, from, end } => {
                let range = (table as u8, from.to_vec())..(table as u8, end.to_vec());
                if range.start < range.end {
                    rows.range_mut(range).for_each(|(_, row)| *row = None);
                    self.removed.push((table, from.to_vec(), end.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// Whether a row of the data file is not what it says any more.
    pub(super) fn replaces(&self, table: Table, key: &[u8]) -> bool {
        let there = self
            .rows
            .binary_search_by(|((of, known), _)| (*of, known.as_slice()).cmp(&(table as u8, key)));
        there.is_ok()
            || self.removed.iter().any(|(of, from, end)| {
                *of == table && from.as_slice() <= key && key < end.as_slice()
            })
    }

    /// The rows of a table, each with its number among all.
    pub(super) fn rows(&self, table: Table) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
        let first = self.rows.partition_point(|((of, _), _)| *of < table as u8);
        let all = (0..).zip(&self.rows).skip(first);
        let of_table = all.take_while(move |(_, ((of, _), _))| *of == table as u8);
        of_table.filter_map(|(number, ((_, key), row))| {
            row.as_ref().map(|sealed| (number, key.as_slice(), sealed.as_slice()))
        })
    }

    /// A row by its number.
    pub(super) fn row(&self, number: u32) -> Option<(&[u8], &[u8])> {
        let ((_, key), row) = self.rows.get(number as usize)?;
        row.as_ref().map(|sealed| (key.as_slice(), sealed.as_slice()))
    }

    /// How many rows more than the data file a table has; `None` if nobody knows.
    pub(super) fn more(&self, table: Table) -> Option<i64> {
        self.more.get(&table).copied().unwrap_or(Some(0))
    }

    fn count(&mut self, file: &DamagedFile) -> Result<()> {
        for table in Table::ALL {
            let there = self.rows(table).count() as i64;
            let touched = self.rows.iter().any(|((of, _), _)| *of == table as u8)
                || self.removed.iter().any(|(of, ..)| *of == table);
            if !touched {
                continue;
            }
            let mut hidden = 0;
            file.rows(table, Depth::State, &mut |row| {
                hidden += i64::from(self.replaces(table, row.key));
                Ok(())
            })?;
            let known = file.is_whole(table).then_some(there - hidden);
            self.more.insert(table, known);
        }
        Ok(())
    }
}

/// Whether a row of postings says which work waits.
fn says_what_waits(key: &[u8]) -> bool {
    key.starts_with(&Key::new(NamespaceId::SYSTEM).u32(IndexId::PENDING.0))
}
