//! Facts that a transaction deletes: what they took the place of, as its own reads see it.

use embedded_db_common::{Result, Value};
use embedded_db_indexing::graph::Changes;
use embedded_db_indexing::schema::{SUPERSEDED_BY, SUPERSEDES};
use embedded_db_storage::Direction;

use super::Transaction;
use crate::objects::Node;

impl Transaction {
    /// A fact that goes was never told; see `GraphWriter::give_place_back`, which does the same at the
    /// commit. What gets its place back was written.
    pub(super) fn give_place_back(&mut self, id: &str) -> Result<()> {
        let before = self.peek_neighbors(id, SUPERSEDES, Direction::Out)?;
        if before.is_empty() {
            return Ok(());
        }
        let heir = self.peek_node(id)?.map_or(Ok(None), |node| superseded_by(&node))?;
        let heir = match heir.filter(|heir| heir != id) {
            Some(heir) => self.peek_node(&heir)?.map(|_| heir),
            None => None,
        };
        for old in before {
            let Some(node) = self.peek_node(&old)? else { continue };
            if old == id || superseded_by(&node)?.as_deref() != Some(id) {
                continue;
            }
            let mut changes = Changes::default();
            match heir.as_ref().filter(|heir| **heir != old) {
                Some(heir) => {
                    changes.set.set(SUPERSEDED_BY, &Value::Str(heir.clone()))?;
                    if !self.peek_neighbors(heir, SUPERSEDES, Direction::Out)?.contains(&old) {
                        self.link(heir, &old, SUPERSEDES);
                    }
                }
                None => changes.remove.push(SUPERSEDED_BY.into()),
            }
            self.draft_update(&old, &changes)?;
        }
        Ok(())
    }
}

fn superseded_by(node: &Node) -> Result<Option<String>> {
    let text = node.property(SUPERSEDED_BY, |value| Ok(value.as_str().map(str::to_owned)))?;
    Ok(text.flatten())
}
