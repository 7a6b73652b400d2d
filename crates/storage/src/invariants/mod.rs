//! What every commit leaves true of the tables themselves: the invariants of the file format that need
//! no knowledge of what an index means. Every row is read, so every checksum is checked too.

mod history;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use embedded_db_common::record::{Damaged, Properties};
use embedded_db_common::{NamespaceId, Result, Slot, SpaceId, Symbol};

use crate::adjacency::{self, CHUNK_ENTRIES};
use crate::columns::Cells;
use crate::indexes::index_definition;
use crate::keys::{self, Kind, Table, parse_expiry};
use crate::postings::{Container, IndexId};
use crate::read::{ReadEmbeddings, ReadTxn, ReadWork, Resolved};
use crate::records::{EdgeRecord, NodeRecord};
use crate::segments::views;
use crate::strengths::Strength;
use crate::touched::pack;

/// Rows between two looks at whether the caller wants the work to end.
const ROWS: u32 = 1024;

/// Tells `problem` of everything in the tables that does not agree.
pub fn check_invariants<T: ReadTxn>(
    txn: &T,
    interrupted: &dyn Fn() -> Result<()>,
    problem: &mut dyn FnMut(String),
) -> Result<()> {
    let (names, nodes, symbols, bytes, expiring) = Default::default();
    let rows = 0;
    let mut check =
        Check { txn, interrupted, problem, rows, names, nodes, symbols, bytes, expiring };
    check.namespaces()?;
    check.symbols()?;
    check.nodes()?;
    check.edges()?;
    check.history()?;
    check.embeddings()?;
    check.counters()?;
    check.ids()?;
    check.adjacency()?;
    check.hashes()?;
    check.strengths()?;
    check.postings()?;
    check.columns()?;
    check.work()?;
    check.expiries()?;
    check.views()?;
    check.dropped_namespaces()
}

struct Check<'a, T> {
    txn: &'a T,
    interrupted: &'a dyn Fn() -> Result<()>,
    problem: &'a mut dyn FnMut(String),
    rows: u32,
    names: HashMap<NamespaceId, String>,
    nodes: HashMap<NamespaceId, HashSet<Slot>>,
    symbols: HashSet<Symbol>,
    /// Bytes of the payloads that count.
    bytes: HashMap<NamespaceId, u64>,
    /// When nodes expire, by their records.
    expiring: HashMap<(NamespaceId, Slot), i64>,
}

/// All rows of a table.
fn rows<T: ReadTxn>(
    txn: &T,
    table: Table,
) -> Result<impl Iterator<Item = Result<(&[u8], &[u8])>> + '_> {
    let rows = txn.rows().between(table, &[], None)?;
    Ok(rows.map(move |row| txn.row(table, row)))
}

fn u32_at(key: &[u8], at: usize) -> Option<u32> {
    keys::u32_at(key, at).ok()
}

fn namespace_of(key: &[u8]) -> NamespaceId {
    NamespaceId(u32_at(key, 0).unwrap_or(u32::MAX))
}

impl<T: ReadTxn> Check<'_, T> {
    fn tick(&mut self) -> Result<()> {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS) { (self.interrupted)() } else { Ok(()) }
    }

    /// A problem in a namespace.
    fn report(&mut self, namespace: NamespaceId, text: &str) {
        let name = self.names.get(&namespace);
        let name = name.cloned().unwrap_or_else(|| format!("{namespace:?}"));
        (self.problem)(format!("{name}: {text}"));
    }

    fn has_node(&self, namespace: NamespaceId, slot: Slot) -> bool {
        self.nodes.get(&namespace).is_some_and(|nodes| nodes.contains(&slot))
    }

    fn namespaces(&mut self) -> Result<()> {
        for (name, namespace) in self.txn.namespaces()? {
            let key = keys::namespace_name(namespace);
            if self.txn.get(Table::Meta, &key)? != Some(name.as_bytes()) {
                (self.problem)(format!("the namespace {name:?} does not know its name"));
            }
            self.names.insert(namespace, name);
        }
        Ok(())
    }

    /// Names and numbers lead to each other.
    fn symbols(&mut self) -> Result<()> {
        let (mut by_name, mut by_number) = (HashMap::new(), HashMap::new());
        for row in rows(self.txn, Table::Symbols)? {
            let (key, payload) = row?;
            self.tick()?;
            by_name
                .insert(key.get(4..).unwrap_or_default().to_vec(), u32_at(payload, 0).map(Symbol));
        }
        for row in rows(self.txn, Table::Names)? {
            let (key, payload) = row?;
            self.tick()?;
            by_number.insert(u32_at(key, 4).map(Symbol), payload.to_vec());
        }
        let given = self.txn.counters()?.symbols;
        for (name, symbol) in &by_name {
            let text = String::from_utf8_lossy(name);
            if by_number.get(symbol) != Some(name) {
                (self.problem)(format!("the name {text:?} has a number without that name"));
            }
            if symbol.is_none_or(|symbol| symbol.0 == 0 || symbol.0 > given) {
                (self.problem)(format!("the name {text:?} has a number that was never given"));
            }
        }
        for (symbol, name) in &by_number {
            if !by_name.contains_key(name) {
                let text = String::from_utf8_lossy(name);
                (self.problem)(format!("the symbol {symbol:?} has a name, {text:?}, without it"));
            }
        }
        self.symbols = by_number.into_keys().flatten().collect();
        Ok(())
    }

    fn named(&mut self, namespace: NamespaceId, id: &str, symbol: Symbol) {
        if !self.symbols.contains(&symbol) {
            self.report(namespace, &format!("{id:?} uses {symbol:?}, which has no name"));
        }
    }

    fn properties(&mut self, ns: NamespaceId, id: &str, properties: Properties<'_>) -> Result<()> {
        for entry in properties.iter()? {
            self.named(ns, id, entry?.0);
        }
        Ok(())
    }

    fn nodes(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Nodes)? {
            let (key, payload) = row?;
            self.tick()?;
            let (namespace, slot) = (namespace_of(key), Slot(u32_at(key, 4).unwrap_or(u32::MAX)));
            self.nodes.entry(namespace).or_default().insert(slot);
            *self.bytes.entry(namespace).or_default() += payload.len() as u64;
            let node = self.txn.located(Table::Nodes, key, NodeRecord::parse(payload))?;
            if let Some(at) = node.expires_at {
                self.expiring.insert((namespace, slot), at);
            }
            for label in node.labels() {
                self.named(namespace, node.id, label);
            }
            self.properties(namespace, node.id, node.properties)?;
            if slot.0 >= self.txn.namespace_counters(namespace)?.node_slots {
                let text = format!("the node {:?} has a slot that was never given", node.id);
                self.report(namespace, &text);
            }
        }
        Ok(())
    }

    fn edges(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Edges)? {
            let (key, payload) = row?;
            self.tick()?;
            let (namespace, slot) = (namespace_of(key), u32_at(key, 4).unwrap_or(u32::MAX));
            *self.bytes.entry(namespace).or_default() += payload.len() as u64;
            let edge = self.txn.located(Table::Edges, key, EdgeRecord::parse(payload))?;
            self.named(namespace, edge.id, edge.edge_type);
            self.properties(namespace, edge.id, edge.properties)?;
            self.retracted(namespace, Slot(slot), &edge)?;
            if slot >= self.txn.namespace_counters(namespace)?.edge_slots {
                let text = format!("the edge {:?} has a slot that was never given", edge.id);
                self.report(namespace, &text);
            }
        }
        Ok(())
    }

    fn embeddings(&mut self) -> Result<()> {
        let known: HashSet<SpaceId> = self.txn.spaces()?.into_iter().map(|(id, _)| id).collect();
        for row in rows(self.txn, Table::Embeddings)? {
            let (key, payload) = row?;
            self.tick()?;
            let namespace = namespace_of(key);
            *self.bytes.entry(namespace).or_default() += payload.len() as u64;
            let space = key.get(4..6).and_then(|bytes| bytes.try_into().ok());
            if space.is_none_or(|space| !known.contains(&SpaceId(u16::from_be_bytes(space)))) {
                self.report(namespace, "a vector belongs to no space");
            }
        }
        Ok(())
    }

    fn counters(&mut self) -> Result<()> {
        let namespaces: Vec<_> = self.names.keys().copied().collect();
        for namespace in namespaces {
            let counted = self.txn.namespace_counters(namespace)?.bytes;
            let stored = self.bytes.get(&namespace).copied().unwrap_or(0);
            if counted != stored {
                let text = format!("{stored} bytes are stored, counted {counted}");
                self.report(namespace, &text);
            }
        }
        Ok(())
    }

    /// Each id has its record. That each record has its id is for those to check who read it anyway.
    fn ids(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Ids)? {
            let (key, payload) = row?;
            self.tick()?;
            let namespace = namespace_of(key);
            let (kind, id) = keys::kind_and_id(key).unwrap_or_default();
            let id = String::from_utf8_lossy(&id.concat()).into_owned();
            let to = self.txn.located(Table::Ids, key, Resolved::parse(payload))?;
            let found = match kind {
                Some(Kind::Node) => self.txn.node(namespace, to.slot)?.map(|node| node.id),
                Some(Kind::Edge) => self.txn.edge(namespace, to.slot)?.map(|edge| edge.id),
                Some(Kind::Embedding) => self
                    .txn
                    .embedding(namespace, to.space, to.slot, to.part)?
                    .map(|embedding| embedding.id),
                _ => None,
            };
            if found != Some(id.as_str()) {
                let kind = kind.map_or("unknown", Kind::name);
                self.report(namespace, &format!("the {kind} id {id:?} leads to no record of it"));
            }
        }
        Ok(())
    }

    /// Edges ascend within a chunk and from chunk to chunk, and respect the bound in the key.
    fn adjacency(&mut self) -> Result<()> {
        let mut last: Option<(Vec<u8>, Slot)> = None;
        for row in rows(self.txn, Table::Adjacency)? {
            let (key, payload) = row?;
            self.tick()?;
            let namespace = namespace_of(key);
            let (Some(node), Some(bound), 17) = (u32_at(key, 4), u32_at(key, 13), key.len()) else {
                self.report(namespace, "a chunk of neighbours has a key of the wrong length");
                continue;
            };
            let (list, node) = (pack(Table::Adjacency, key), Slot(node));
            if !self.has_node(namespace, node) {
                self.report(namespace, &format!("{node:?} has neighbours but is no node"));
            }
            let entries = adjacency::entries(payload);
            let entries = self.txn.located(Table::Adjacency, key, entries)?;
            let edges: Vec<Slot> = entries.map(|entry| entry.edge).collect();
            let before = last.take().filter(|(of, _)| of == list).map(|(_, edge)| edge);
            let ascending = edges.is_sorted_by(|one, next| one < next)
                && edges.first().is_some_and(|first| {
                    first.0 >= bound && before.is_none_or(|before| before.0 < bound)
                });
            if !ascending || edges.len() > CHUNK_ENTRIES {
                self.report(namespace, &format!("the neighbours of {node:?} are out of order"));
            }
            last = edges.last().map(|edge| (list.to_vec(), *edge));
        }
        Ok(())
    }

    /// A hash leads to a node that has a vector of it in that space.
    fn hashes(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Hashes)? {
            let (key, _) = row?;
            self.tick()?;
            let namespace = namespace_of(key);
            let parts: Result<&[u8; 26], _> = key.try_into();
            let parts = parts.map_err(|_| Damaged("has a key of the wrong length"));
            let parts = self.txn.located(Table::Hashes, key, parts)?;
            let space = SpaceId(u16::from_be_bytes([parts[4], parts[5]]));
            let node = Slot(u32_at(parts, 22).unwrap_or(u32::MAX));
            let vectors = self.txn.embeddings_of(namespace, space, node)?;
            if !vectors.iter().any(|(_, vector)| vector.content.0 == parts[6..22]) {
                self.report(namespace, &format!("a hash leads to {node:?}, without its vector"));
            }
        }
        Ok(())
    }

    /// A strength is that of an edge.
    fn strengths(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Strengths)? {
            let (key, payload) = row?;
            self.tick()?;
            let namespace = namespace_of(key);
            self.txn.located(Table::Strengths, key, Strength::parse(payload))?;
            let parts: Result<&[u8; 8], _> = key.try_into();
            let parts = parts.map_err(|_| Damaged("has a key of the wrong length"));
            let edge =
                Slot(u32_at(self.txn.located(Table::Strengths, key, parts)?, 4).unwrap_or(0));
            if self.txn.get(Table::Edges, key)?.is_none() {
                self.report(namespace, &format!("{edge:?} has a strength and is no edge"));
            }
        }
        Ok(())
    }

    fn postings(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Postings)? {
            let (key, payload) = row?;
            self.tick()?;
            let container = Container::parse(key, payload);
            let container = self.txn.located(Table::Postings, key, container)?;
            let index = IndexId(u32_at(key, 4).unwrap_or(0));
            let namespace = if index == IndexId::PENDING {
                NamespaceId(u32_at(key, 9).unwrap_or(u32::MAX))
            } else {
                namespace_of(key)
            };
            if index >= IndexId::ON_DEMAND && !self.keeps(namespace, index)? {
                continue;
            }
            let slots: Vec<u32> = container.slots().collect();
            if slots.is_empty() {
                self.report(namespace, &format!("a container of {index:?} is not in its form"));
            }
            let gone = slots.iter().filter(|slot| !self.has_node(namespace, Slot(**slot))).count();
            if gone > 0 {
                let what = if index == IndexId::PENDING { "work waits for" } else { "it lists" };
                let text = format!("{index:?}: {what} {gone} nodes that are gone");
                self.report(namespace, &text);
            }
            if index == IndexId::LABEL {
                self.labels(namespace, Symbol(u32_at(key, 8).unwrap_or(0)), &slots)?;
            }
        }
        Ok(())
    }

    /// Cells belong to nodes, and stand in rows that are no longer than they must be.
    fn columns(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Columns)? {
            let (key, payload) = row?;
            self.tick()?;
            let cells = self.txn.located(Table::Columns, key, Cells::parse(key, payload))?;
            let (namespace, index) = (namespace_of(key), IndexId(u32_at(key, 4).unwrap_or(0)));
            if key.len() != 12 || !cells.is_in_form() {
                self.report(
                    namespace,
                    &format!("a row of the column of {index:?} is not in its form"),
                );
            }
            if index < IndexId::ON_DEMAND && index != IndexId::TIMESTAMP {
                self.report(namespace, &format!("{index:?} has a column but no values for one"));
            }
            if index >= IndexId::ON_DEMAND && !self.keeps(namespace, index)? {
                continue;
            }
            let gone = cells.iter().filter(|(slot, _)| !self.has_node(namespace, *slot)).count();
            if gone > 0 {
                let text = format!("{index:?}: its column has {gone} nodes that are gone");
                self.report(namespace, &text);
            }
        }
        Ok(())
    }

    /// Whether an index made on demand is kept: another may list nodes that are gone.
    fn keeps(&mut self, namespace: NamespaceId, index: IndexId) -> Result<bool> {
        // A dropped namespace is told of elsewhere.
        let known = self.names.contains_key(&namespace);
        match index_definition(self.txn, namespace, index)? {
            Some(definition) => Ok(definition.is_kept()),
            None if known => {
                self.report(namespace, &format!("{index:?} has values but is not defined"));
                Ok(false)
            }
            None => Ok(false),
        }
    }

    fn labels(&mut self, namespace: NamespaceId, label: Symbol, slots: &[u32]) -> Result<()> {
        for slot in slots {
            let node = self.txn.node(namespace, Slot(*slot))?;
            if let Some(node) = node.filter(|node| !node.has_label(label)) {
                let text = format!("{label:?} lists {:?}, which does not have it", node.id);
                self.report(namespace, &text);
            }
        }
        Ok(())
    }

    /// Work that failed belongs to a node.
    fn work(&mut self) -> Result<()> {
        let mut lost = Vec::new();
        self.txn.scan_work(|namespace, slot, artefact, _| {
            // The slot that is none stands for work which belongs to no node.
            if slot.0 != u32::MAX && !self.has_node(namespace, slot) {
                lost.push((namespace, slot, artefact));
            }
            Ok(())
        })?;
        for (namespace, slot, artefact) in lost {
            let text = format!("work {artefact} on {slot:?} failed, which is no node");
            self.report(namespace, &text);
        }
        Ok(())
    }

    /// The table of expiries says of each node that expires when, and nothing else.
    fn expiries(&mut self) -> Result<()> {
        for row in rows(self.txn, Table::Expiry)? {
            let (key, payload) = row?;
            self.tick()?;
            let parts = parse_expiry(key).filter(|_| payload.is_empty());
            let Some((namespace, at, slot)) = parts else {
                self.report(namespace_of(key), "an expiry is not in its form");
                continue;
            };
            match self.expiring.get(&(namespace, slot)) {
                Some(known) if *known == at => {
                    self.expiring.remove(&(namespace, slot));
                }
                _ => self.report(
                    namespace,
                    &format!("{slot:?} is listed as expiring at {at} µs, which it does not"),
                ),
            }
        }
        for ((namespace, slot), at) in std::mem::take(&mut self.expiring) {
            let text = format!("{slot:?} expires at {at} µs, but is not listed");
            self.report(namespace, &text);
        }
        Ok(())
    }

    /// No view is ahead of the records.
    fn views(&mut self) -> Result<()> {
        let lsn = self.txn.lsn()?;
        for (namespace, view, _, record) in views(self.txn)? {
            if record.lsn > lsn {
                let text = format!("the files of its {} are ahead of what is stored", view.name());
                self.report(namespace, &text);
            }
        }
        Ok(())
    }

    /// Nothing is left of a dropped namespace but its changes.
    fn dropped_namespaces(&mut self) -> Result<()> {
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Changes) {
            let mut left: HashMap<NamespaceId, u64> = HashMap::new();
            for row in rows(self.txn, table)? {
                let (key, _) = row?;
                self.tick()?;
                let namespace = namespace_of(key);
                if namespace != NamespaceId::SYSTEM && !self.names.contains_key(&namespace) {
                    *left.entry(namespace).or_default() += 1;
                }
            }
            for (namespace, count) in left {
                let text = format!("{count} rows of {} are left, but it was dropped", table.name());
                self.report(namespace, &text);
            }
        }
        Ok(())
    }
}
