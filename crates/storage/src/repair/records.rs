//! Nodes, edges and vectors: saved as they were, or not at all.

use std::collections::HashSet;

use embedded_db_common::record::{Properties, Read};
use embedded_db_common::{MAX_NAME, NamespaceId, Result, Slot, SpaceId, Symbol};

use super::Item;
use super::copy::{Copy, namespace_of};
use super::derived::Part;
use super::standing::{Object, Standing};
use crate::keys::{self, Kind, Table};
use crate::pages::{Depth, Found, RowPlace};
use crate::read::Resolved;
use crate::records::{EdgeRecord, EmbeddingRecord, NodeRecord};

/// What a record is of, and when it was written.
struct Identity {
    object: Object,
    lsn: u64,
}

/// A record that is not known to be what was last stored.
struct Candidate {
    identity: Identity,
    at: RowPlace,
}

fn identity(table: Table, row: Found<'_>) -> Option<Identity> {
    let read = || -> Read<(Kind, String, u64)> {
        Ok(match table {
            Table::Nodes => {
                let node = NodeRecord::parse(row.payload)?;
                (Kind::Node, node.id.to_owned(), node.lsn.0)
            }
            Table::Edges => {
                let edge = EdgeRecord::parse(row.payload)?;
                (Kind::Edge, edge.id.to_owned(), edge.lsn.0)
            }
            _ => {
                let embedding = EmbeddingRecord::parse(row.payload)?;
                (Kind::Embedding, embedding.id.to_owned(), embedding.lsn.0)
            }
        })
    };
    let (kind, id, lsn) = read().ok()?;
    let fits = (1..=MAX_NAME).contains(&id.len());
    fits.then_some(Identity { object: (namespace_of(row.key).ok()?, kind, id), lsn })
}

impl Copy<'_, '_, '_> {
    pub(super) fn copy_records(&mut self, table: Table) -> Result<()> {
        self.visit(table, Depth::State, &mut |copy, row| {
            identity(table, row).map_or(Ok(()), |identity| copy.save(table, row, &identity, true))
        })?;
        let mut candidates = Vec::new();
        self.visit(table, Depth::Loose, &mut |copy, row| {
            if copy.rows.get(table, row.key)?.is_none() {
                let found = identity(table, row);
                candidates.extend(found.map(|identity| Candidate { identity, at: row.at }));
            }
            Ok(())
        })?;
        self.copy_candidates(table, candidates)
    }

    /// Saves what is not known to be old, the newest first.
    fn copy_candidates(&mut self, table: Table, mut candidates: Vec<Candidate>) -> Result<()> {
        if candidates.is_empty() {
            return Ok(());
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.identity.lsn));
        let objects: HashSet<Object> =
            candidates.iter().map(|candidate| candidate.identity.object.clone()).collect();
        let standings = self.standings(&objects)?;
        for Candidate { identity, at } in candidates {
            let standing = standings.of(&identity.object, identity.lsn);
            if standing == Standing::Old {
                continue;
            }
            let mut saved = false;
            self.again(table, at, &mut |copy, row| {
                if copy.rows.get(table, row.key)?.is_none() {
                    copy.save(table, row, &identity, standing == Standing::Newest)?;
                    saved = copy.rows.get(table, row.key)?.is_some();
                }
                Ok(())
            })?;
            if saved && standing == Standing::Unknown {
                let (namespace, kind, id) = &identity.object;
                let why = "something newer of it may have been lost";
                self.doubtful.note(*kind, *namespace, id, why);
            }
        }
        Ok(())
    }

    /// Saves a record, if everything that it needs is there. It is missed only if it is `certain` that it
    /// was stored last.
    fn save(
        &mut self,
        table: Table,
        row: Found<'_>,
        identity: &Identity,
        certain: bool,
    ) -> Result<()> {
        let (namespace, kind, id) = &identity.object;
        if self.dropped.contains(namespace) {
            return Ok(());
        }
        let outcome = match table {
            _ if !self.namespaces.contains_key(namespace) => {
                Err("the name of its namespace was lost")
            }
            Table::Nodes => self.node_fits(row),
            Table::Edges => self.edge_fits(*namespace, row),
            _ => self.embedding_fits(*namespace, row),
        };
        let resolved = match outcome {
            Ok(resolved) => resolved,
            Err(why) => {
                if certain {
                    self.missing.note(*kind, *namespace, id, why);
                }
                return Ok(());
            }
        };
        let key = keys::id(*namespace, *kind, id);
        let mut payload = Vec::new();
        resolved.encode(&mut payload);
        embedded_db_common::record::seal(Table::Ids as u8, &key, &mut payload);
        if !self.rows.put_new(Table::Ids, &key, &payload)? {
            if certain {
                self.missing.note(*kind, *namespace, id, "another has its id");
            }
            return Ok(());
        }
        self.put(table, row.key, row.sealed)?;
        self.missing.forget(*kind, *namespace, id);
        self.counters.lsn = self.counters.lsn.max(identity.lsn);
        self.kept(*namespace).counters.bytes += row.payload.len() as u64;
        match table {
            Table::Nodes => self.saved_node(*namespace, resolved.slot, row),
            Table::Edges => {
                self.saved_edge(*namespace, resolved.slot, row);
                Ok(())
            }
            _ => {
                self.saved_embedding(*namespace, resolved, row);
                Ok(())
            }
        }
    }

    pub(super) fn names_properties(&self, properties: Properties<'_>) -> Read<bool> {
        let mut all = true;
        for entry in properties.iter_raw()? {
            all &= self.names.contains(&entry?.0);
        }
        Ok(all)
    }

    fn node_fits(&self, row: Found<'_>) -> Result<Resolved, &'static str> {
        let node = NodeRecord::parse(row.payload).map_err(|_| UNREADABLE)?;
        let slot = slot_of(row.key)?;
        let labels: Vec<Symbol> = node.labels().collect();
        let named = labels.iter().all(|label| self.names.contains(label));
        let named = named && self.names_properties(node.properties).map_err(|_| UNREADABLE)?;
        if labels.is_empty() {
            return Err(UNREADABLE);
        }
        if named { Ok(Resolved { slot, space: SpaceId(0), part: 0 }) } else { Err(UNNAMED) }
    }

    fn edge_fits(&self, namespace: NamespaceId, row: Found<'_>) -> Result<Resolved, &'static str> {
        let edge = EdgeRecord::parse(row.payload).map_err(|_| UNREADABLE)?;
        let slot = slot_of(row.key)?;
        let named = self.names_properties(edge.properties).map_err(|_| UNREADABLE)?;
        if !named || !self.names.contains(&edge.edge_type) {
            return Err(UNNAMED);
        }
        if !self.has_node(namespace, edge.source) || !self.has_node(namespace, edge.target) {
            return Err("an end of it was lost");
        }
        Ok(Resolved { slot, space: SpaceId(0), part: 0 })
    }

    fn embedding_fits(
        &self,
        namespace: NamespaceId,
        row: Found<'_>,
    ) -> Result<Resolved, &'static str> {
        let embedding = EmbeddingRecord::parse(row.payload).map_err(|_| UNREADABLE)?;
        let key: &[u8; 12] = row.key.try_into().map_err(|_| UNREADABLE)?;
        let [_, _, _, _, a, b, c, d, e, f, g, h] = *key;
        let space = SpaceId(u16::from_be_bytes([a, b]));
        let slot = Slot(u32::from_be_bytes([c, d, e, f]));
        let part = u16::from_be_bytes([g, h]);
        if !self.has_node(namespace, slot) {
            return Err("its node was lost");
        }
        match self.spaces.get(&space) {
            None => Err("its space was lost"),
            Some(dimension) if *dimension as usize != embedding.dimension() => Err(UNREADABLE),
            Some(_) => Ok(Resolved { slot, space, part }),
        }
    }

    fn saved_node(&mut self, namespace: NamespaceId, slot: Slot, row: Found<'_>) -> Result<()> {
        let kept = self.kept(namespace);
        kept.nodes.insert(slot.0);
        kept.counters.nodes += 1;
        kept.counters.node_slots = kept.counters.node_slots.max(slot.0 + 1);
        self.saved[Item::Nodes] += 1;
        let Ok(node) = NodeRecord::parse(row.payload) else { return Ok(()) };
        self.counters.time = self.counters.time.max(node.updated_at);
        for label in node.labels() {
            self.labelled.add(namespace, label, slot);
        }
        if let Some(at) = node.expires_at {
            let key = keys::expiry(namespace, at, slot);
            self.put_payload(Table::Expiry, &key, Vec::new())?;
        }
        Ok(())
    }

    fn saved_edge(&mut self, namespace: NamespaceId, slot: Slot, row: Found<'_>) {
        let kept = self.kept(namespace);
        kept.edges.insert(slot.0);
        kept.counters.edges += 1;
        kept.counters.edge_slots = kept.counters.edge_slots.max(slot.0 + 1);
        self.saved[Item::Edges] += 1;
        if let Ok(edge) = EdgeRecord::parse(row.payload) {
            let told = edge.times.retracted_at.unwrap_or(edge.times.recorded_at);
            self.counters.time = self.counters.time.max(told);
            self.ends.add(namespace, slot, &edge);
        }
    }

    fn saved_embedding(&mut self, namespace: NamespaceId, at: Resolved, row: Found<'_>) {
        self.kept(namespace).counters.embeddings += 1;
        self.saved[Item::Embeddings] += 1;
        if let Ok(embedding) = EmbeddingRecord::parse(row.payload) {
            let (content, by_user) = (embedding.content, embedding.set_by_user);
            self.parts.add(Part {
                namespace,
                space: at.space,
                node: at.slot,
                part: at.part,
                by_user,
                content,
            });
        }
    }
}

const UNREADABLE: &str = "it does not read";
const UNNAMED: &str = "a name that it uses was lost";

/// The slot of a record; the last one is never given.
fn slot_of(key: &[u8]) -> Result<Slot, &'static str> {
    let slot = (key.len() == 8).then(|| keys::u32_at(key, 4).ok()).flatten();
    slot.filter(|slot| *slot != u32::MAX).map(Slot).ok_or(UNREADABLE)
}
