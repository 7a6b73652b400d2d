//! The feed of changes, as users follow it.

use std::sync::Arc;

use embedded_db_common::{Error, Lsn, Result, Symbol};
use embedded_db_storage::{ChangeOp, ChangeRecord, Kind, ReadEmbeddings, ReadTxn, Snapshot};

use crate::database::Database;

/// Rows that are looked at for one page, whatever is picked of them.
const LOOKED_AT: usize = 4096;
/// Changes in a page.
const PAGE: usize = 256;

/// That something was stored or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub lsn: u64,
    /// Of what.
    pub kind: Kind,
    /// Stored, or deleted.
    pub op: ChangeOp,
    /// The id of the object; of a namespace, its name.
    pub id: String,
    /// Version of the object after it; of a delete, the last it had.
    pub version: u64,
    /// The labels of a node, the type of an edge, the space of an embedding.
    pub names: Vec<Arc<str>>,
}

/// Some changes that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    /// Those that were asked for.
    pub changes: Vec<Change>,
    /// What was looked at reaches to here: where the next page begins.
    pub reached: u64,
    /// The last change of all, when it was looked.
    pub last: u64,
}

impl Database {
    /// The changes of this namespace after one of them, or from the oldest that is kept. `labels` picks nodes.
    pub fn changes_after(
        &self,
        after: Option<u64>,
        labels: Option<&[String]>,
    ) -> Result<ChangesPage> {
        let snapshot = self.engine()?.store.read()?;
        let (last, oldest) = (snapshot.lsn()?.0, snapshot.oldest_change()?);
        let oldest = oldest.map_or(last + 1, |oldest| oldest.0);
        let after = after.unwrap_or(oldest - 1);
        if after > last {
            return Err(Error::InvalidInput(format!(
                "since is {after}, but the last change of this database is {last}; is it another \
                 database, or one that was restored? Begin anew with since=None"
            )));
        }
        if after + 1 < oldest {
            return Err(Error::ChangesTrimmed { since: after, oldest });
        }
        let labels = labels.map(|labels| known(&snapshot, labels)).transpose()?;
        let namespace = self.namespace_id();
        let mut page = ChangesPage { changes: Vec::new(), reached: after, last };
        let mut looked_at = 0;
        snapshot.changes_after(Lsn(after), |lsn, change| {
            page.reached = lsn.0;
            looked_at += 1;
            let picked = change.filter(|change| match change.kind {
                Kind::Namespace => change.id == self.namespace_name(),
                _ if change.namespace != namespace => false,
                Kind::Node => labels.as_ref().is_none_or(|labels| {
                    change.names.symbols().any(|label| labels.contains(&label))
                }),
                Kind::Edge | Kind::Embedding => labels.is_none(),
            });
            if let Some(change) = picked {
                let names = match change.kind {
                    Kind::Embedding => vec![self.space_name(&snapshot, &change)?],
                    _ => {
                        let names = change.names.symbols();
                        names.map(|name| snapshot.symbol_name(name)).collect::<Result<_>>()?
                    }
                };
                page.changes.push(Change {
                    lsn: lsn.0,
                    kind: change.kind,
                    op: change.op,
                    id: change.id.to_owned(),
                    version: change.version,
                    names,
                });
            }
            Ok(looked_at < LOOKED_AT && page.changes.len() < PAGE)
        })?;
        Ok(page)
    }

    fn space_name(&self, snapshot: &Snapshot, change: &ChangeRecord<'_>) -> Result<Arc<str>> {
        let space = snapshot.space(change.space)?;
        space.map(|space| space.name.into()).ok_or_else(|| Error::Corruption {
            path: self.path().to_owned(),
            object: format!("the change of the embedding {:?}", change.id),
            detail: format!("{:?} is not there", change.space),
        })
    }
}

/// The symbols of those names that have one.
fn known(snapshot: &Snapshot, names: &[String]) -> Result<Vec<Symbol>> {
    let mut symbols = Vec::with_capacity(names.len());
    for name in names {
        symbols.extend(snapshot.symbol(name)?);
    }
    Ok(symbols)
}
