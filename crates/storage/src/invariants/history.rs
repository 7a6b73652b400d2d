//! The history of edges: the versions of each follow each other without a gap, and an edge that was
//! retracted stands at both of its ends, as nothing else does.

use embedded_db_common::record::Damaged;
use embedded_db_common::{NamespaceId, Result, Slot};

use super::{Check, namespace_of, rows};
use crate::keys::{self, Direction, Former, Table};
use crate::read::ReadTxn;
use crate::records::EdgeRecord;

impl<T: ReadTxn> Check<'_, T> {
    /// An edge that was retracted is listed at both ends.
    pub(super) fn retracted(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        edge: &EdgeRecord<'_>,
    ) -> Result<()> {
        if edge.times.retracted_at.is_none() {
            return Ok(());
        }
        for (node, direction, other) in
            [(edge.source, Direction::Out, edge.target), (edge.target, Direction::In, edge.source)]
        {
            let key = keys::former_neighbor(namespace, node, direction, edge.edge_type, slot);
            if self.txn.get(Table::History, &key)? != Some(&other.0.to_le_bytes()) {
                let text = format!("the retracted edge {:?} is not listed at {node:?}", edge.id);
                self.report(namespace, &text);
            }
        }
        Ok(())
    }

    pub(super) fn history(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::History)? {
            let (key, payload) = row?;
            self.tick()?;
            let namespace = namespace_of(key);
            match Former::parse(key) {
                Some(Former::Version(slot, recorded_at)) => {
                    let read = EdgeRecord::parse(payload);
                    let version = self.txn.located(Table::History, key, read)?;
                    if version.times.recorded_at != recorded_at {
                        self.report(
                            namespace,
                            &format!("a version of {:?} is not under its time", version.id),
                        );
                    }
                    self.version(namespace, slot, &version)?;
                }
                Some(Former::Neighbor(node, direction, edge_type, slot)) => {
                    let other = payload.try_into().map_err(|_| Damaged("has no slot"));
                    let other = self.txn.located(Table::History, key, other)?;
                    let other = Slot(u32::from_le_bytes(other));
                    let ends = if direction == Direction::Out as u8 {
                        (node, other)
                    } else {
                        (other, node)
                    };
                    let edge = self.txn.edge(namespace, slot)?;
                    let right = edge.is_some_and(|edge| {
                        edge.times.retracted_at.is_some()
                            && edge.edge_type == edge_type
                            && (edge.source, edge.target) == ends
                    });
                    if !right {
                        let text = format!("{node:?} lists {slot:?}, no retracted edge of its own");
                        self.report(namespace, &text);
                    }
                }
                None => self.report(namespace, "the history has a row of an unknown kind"),
            }
        }
        Ok(())
    }

    /// A version belongs to an edge that is stored, and is of that edge.
    fn version(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        version: &EdgeRecord<'_>,
    ) -> Result<()> {
        self.named(namespace, version.id, version.edge_type);
        self.properties(namespace, version.id, version.properties)?;
        let Some(edge) = self.txn.edge(namespace, slot)? else {
            let text = format!("a version of {:?} is left, but the edge is gone", version.id);
            self.report(namespace, &text);
            return Ok(());
        };
        let of = |edge: &EdgeRecord<'_>| (edge.source, edge.target, edge.edge_type);
        if version.id != edge.id || of(version) != of(&edge) || version.version >= edge.version {
            let text = format!("{:?} has a version that is not of it", edge.id);
            self.report(namespace, &text);
        }
        let begin = keys::version(namespace, slot, version.times.recorded_at.saturating_add(1));
        let versions = keys::versions(namespace, slot);
        let next = match self.txn.prefix_from(Table::History, versions, &begin)?.next() {
            Some(row) => match Former::parse(row?.0) {
                Some(Former::Version(_, recorded_at)) => recorded_at,
                _ => return Ok(()),
            },
            None => edge.times.recorded_at,
        };
        if version.times.retracted_at != Some(next) {
            let text =
                format!("a version of {:?} does not end when the next was recorded", edge.id);
            self.report(namespace, &text);
        }
        Ok(())
    }
}
