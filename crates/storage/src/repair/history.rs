//! Earlier versions of edges: those of an edge that was saved which follow each other without a gap up to
//! what it says now. A version never changes, so it does not matter of which state its row is.

use embedded_db_common::record::Properties;
use embedded_db_common::{NamespaceId, Result, Slot};

use super::Item;
use super::copy::{Copy, namespace_of};
use crate::keys::{self, Former, Table};
use crate::pages::{Depth, RowPlace};
use crate::records::EdgeRecord;

/// A version that was found.
struct Version {
    of: (NamespaceId, Slot),
    recorded_at: i64,
    retracted_at: Option<i64>,
    at: RowPlace,
}

impl Copy<'_, '_, '_> {
    pub(super) fn copy_history(&mut self) -> Result<()> {
        let (mut versions, mut read) = (Vec::new(), 0);
        let mut in_state = 0;
        for depth in self.depths(Table::History) {
            self.visit(Table::History, *depth, &mut |_, row| {
                read += u64::from(*depth == Depth::State);
                let Ok(namespace) = namespace_of(row.key) else { return Ok(()) };
                let Some(Former::Version(slot, recorded_at)) = Former::parse(row.key) else {
                    return Ok(());
                };
                in_state += u64::from(*depth == Depth::State);
                if let Ok(edge) = EdgeRecord::parse(row.payload)
                    && edge.times.recorded_at == recorded_at
                {
                    versions.push(Version {
                        of: (namespace, slot),
                        recorded_at,
                        retracted_at: edge.times.retracted_at,
                        at: row.at,
                    });
                }
                Ok(())
            })?;
        }
        // Those of the state come first, and stay.
        versions.sort_by_key(|version| (version.of, version.recorded_at));
        versions.dedup_by_key(|version| (version.of, version.recorded_at));
        let mut saved = 0;
        for of_edge in versions.chunk_by(|a, b| a.of == b.of) {
            saved += self.copy_versions(of_edge)?;
        }
        self.saved[Item::Versions] = saved;
        // Beside them stand the ends of retracted edges, so only of a table that reads is it known how
        // many versions there are.
        let all_read = self.missing_rows(Table::History, read) == Some(0);
        self.lost[Item::Versions] = all_read.then(|| in_state.saturating_sub(saved));
        Ok(())
    }

    /// Copies those of one edge, and tells how many.
    fn copy_versions(&mut self, versions: &[Version]) -> Result<u64> {
        let Some(Version { of: (namespace, slot), .. }) = versions.first() else { return Ok(0) };
        let Some(payload) = self.rows.get(Table::Edges, &keys::slot(*namespace, *slot))? else {
            return Ok(0);
        };
        let Ok(edge) = EdgeRecord::parse(&payload) else { return Ok(0) };
        let (mut begins, mut number, mut saved) = (edge.times.recorded_at, edge.version, 0);
        for version in versions.iter().rev() {
            if version.retracted_at != Some(begins) {
                break;
            }
            let mut follows = false;
            self.again(Table::History, version.at, &mut |copy, row| {
                let Ok(before) = EdgeRecord::parse(row.payload) else { return Ok(()) };
                let of = |edge: &EdgeRecord<'_>| (edge.source, edge.target, edge.edge_type);
                follows = before.id == edge.id
                    && of(&before) == of(&edge)
                    && before.version < number
                    && copy.names_all(before.properties);
                if follows {
                    number = before.version;
                    copy.put(Table::History, row.key, row.sealed)?;
                }
                Ok(())
            })?;
            if !follows {
                break;
            }
            begins = version.recorded_at;
            saved += 1;
        }
        Ok(saved)
    }

    fn names_all(&self, properties: Properties<'_>) -> bool {
        self.names_properties(properties).is_ok_and(|all| all)
    }
}
