//! Rows of one generation as rows of the next.

use std::collections::{HashMap, HashSet};

use embedded_db_common::record::{Damaged, Properties, Read, seal};
use embedded_db_common::{NamespaceId, Result, Slot, Symbol};

use super::packs::{OpenPack, Put, give};
use super::slots::{Renumbering, Slots};
use crate::adjacency;
use crate::columns::Cells;
use crate::indexes::{IndexRecord, IndexState, index_definition};
use crate::keys::{self, Former, Kind, Table, meta, u32_at};
use crate::new_file::Rows;
use crate::postings::{Container, IndexId};
use crate::read::ReadTxn;
use crate::recipes::RecipeRecord;
use crate::records::{EdgeRecord, NodeRecord};
use crate::store::{Snapshot, State, symbol_key, symbol_name_key};
use crate::touched::{is_packed, pack};

/// A slot that is none.
const NO_SLOT: u32 = u32::MAX;
/// What is left to say of an index whose values were not unique, when nobody is to know them.
const NOT_UNIQUE: &str = "several nodes had the same value";

/// What becomes of rows that are not needed for what is stored now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keep {
    /// They are kept.
    All,
    /// Nothing that says what was once stored: neither changes nor names that are no longer used, but
    /// for these.
    Present(HashSet<Symbol>),
}

/// Turns the rows of states of one generation into rows of the next.
pub(crate) struct Copyist {
    renumbering: Renumbering,
    keep: Keep,
    /// The names that copied rows use.
    used: HashSet<Symbol>,
    /// Whether an index made on demand is right, in the state that is being copied.
    kept: HashMap<(NamespaceId, IndexId), bool>,
    /// The state up to which rows were copied.
    state: State,
}

fn namespace_of(key: &[u8]) -> Read<NamespaceId> {
    u32_at(key, 0).map(NamespaceId)
}

/// Replaces a little-endian number of a payload.
fn replace_le(payload: &mut [u8], at: usize, with: impl FnOnce(u32) -> Read<u32>) -> Read<()> {
    let place = payload.get_mut(at..).and_then(|place| place.first_chunk_mut::<4>());
    let place = place.ok_or(Damaged("ends early"))?;
    *place = with(u32::from_le_bytes(*place))?.to_le_bytes();
    Ok(())
}

/// What the next generation has of something that is referred to.
pub(super) fn known<T>(found: Option<T>) -> Read<T> {
    found.ok_or(Damaged("refers to what is not stored"))
}

/// The namespace in which the slots of a posting mean something.
fn posted_in(key: &[u8]) -> Read<NamespaceId> {
    if u32_at(key, 4)? == IndexId::PENDING.0 {
        return u32_at(key, 9).map(NamespaceId);
    }
    namespace_of(key)
}

impl Copyist {
    pub(crate) fn new(snapshot: &Snapshot, keep: Keep) -> Result<Self> {
        let (used, kept) = Default::default();
        let (renumbering, state) = (Renumbering::of(snapshot)?, snapshot.state());
        Ok(Self { renumbering, keep, used, kept, state })
    }

    /// Copies a whole table, in order; `row` is called for each row.
    pub(crate) fn copy_table<T: ReadTxn>(
        &mut self,
        txn: &T,
        table: Table,
        out: &mut Rows<'_>,
        row: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let put: &mut Put<'_> = &mut |key, sealed| out.append(table, key, sealed);
        let mut open = None;
        for found in txn.rows().between(table, &[], None)? {
            let (key, sealed) = found?;
            row()?;
            if self.wants(table, key) {
                let payload = txn.opened(table, key, sealed)?;
                self.copy_row(txn, table, key, payload, &mut open, put)?;
            }
        }
        OpenPack::end(open, put)
    }

    /// Puts rows that are packed together, or one row, in the place of what the next generation has of
    /// them.
    pub(crate) fn copy_pack<T: ReadTxn>(
        &mut self,
        txn: &T,
        table: Table,
        which: &[u8],
        out: &mut Rows<'_>,
    ) -> Result<()> {
        if !self.wants(table, which) {
            return Ok(());
        }
        let new = txn.located(table, which, self.new_key(table, which))?;
        if let Some(new) = new {
            out.remove_pack(table, &new)?;
        }
        let put: &mut Put<'_> = &mut |key, sealed| out.put(table, key, sealed);
        if !is_packed(table) {
            let Some(payload) = txn.get(table, which)? else { return Ok(()) };
            return self.copy_row(txn, table, which, payload, &mut None, put);
        }
        let mut open = None;
        for found in txn.prefix(table, which)? {
            let (key, payload) = found?;
            // A longer one belongs to another pack that begins alike.
            if pack(table, key) == which {
                self.copy_row(txn, table, key, payload, &mut open, put)?;
            }
        }
        OpenPack::end(open, put)
    }

    /// Rows are of this state from now on; whether it is another than before.
    pub(crate) fn begin_state(&mut self, state: State) -> bool {
        // Definitions of indexes may be others.
        self.kept.clear();
        std::mem::replace(&mut self.state, state) != state
    }

    /// Copies the names that are used, where not all are kept; which they are.
    pub(crate) fn copy_names<T: ReadTxn>(
        &mut self,
        txn: &T,
        out: &mut Rows<'_>,
    ) -> Result<Option<HashSet<Symbol>>> {
        let Keep::Present(needed) = &self.keep else { return Ok(None) };
        let used: HashSet<Symbol> = self.used.union(needed).copied().collect();
        for symbol in &used {
            let name = txn.symbol_name(*symbol)?;
            let number = symbol.0.to_be_bytes();
            for (table, key, payload) in [
                (Table::Symbols, symbol_key(&name), &number[..]),
                (Table::Names, symbol_name_key(*symbol), name.as_bytes()),
            ] {
                let mut sealed = payload.to_vec();
                seal(table as u8, &key, &mut sealed);
                out.put(table, &key, &sealed)?;
            }
        }
        Ok(Some(used))
    }

    /// Whether a row has a place in the next generation.
    fn wants(&self, table: Table, key: &[u8]) -> bool {
        match table {
            Table::Changes | Table::Symbols | Table::Names => self.keep == Keep::All,
            // Their files stay behind.
            Table::Views => false,
            Table::Meta => *key != *keys::successor(),
            _ => true,
        }
    }

    fn copy_row<T: ReadTxn>(
        &mut self,
        txn: &T,
        table: Table,
        key: &[u8],
        payload: &[u8],
        open: &mut Option<OpenPack>,
        put: &mut Put<'_>,
    ) -> Result<()> {
        if is_packed(table) {
            return self.add_to_pack(txn, table, key, payload, open, put);
        }
        let row = self.new_key(table, key).and_then(|new| {
            let new = known(new)?;
            let mut payload = payload.to_vec();
            self.renew(table, key, &mut payload)?;
            self.note_names(table, key, &payload)?;
            seal(table as u8, &new, &mut payload);
            Ok((new, payload))
        });
        let (key, sealed) = txn.located(table, key, row)?;
        put(&key, &sealed)
    }

    fn add_to_pack<T: ReadTxn>(
        &mut self,
        txn: &T,
        table: Table,
        key: &[u8],
        payload: &[u8],
        open: &mut Option<OpenPack>,
        put: &mut Put<'_>,
    ) -> Result<()> {
        if table != Table::Adjacency && !self.keeps(txn, table, key)? {
            return Ok(());
        }
        let which = pack(table, key);
        if open.as_ref().is_none_or(|open| open.which != which) {
            OpenPack::end(open.take(), put)?;
            let new = self.new_key(table, which).and_then(known);
            *open = Some(OpenPack::new(table, which, txn.located(table, key, new)?));
        }
        let Some(open) = open else { return Ok(()) };
        let slots = |namespace: Read<NamespaceId>| -> Result<&Slots> {
            Ok(self.renumbering.slots(txn.located(table, key, namespace)?))
        };
        match table {
            Table::Adjacency => {
                let slots = slots(namespace_of(key))?;
                for entry in txn.located(table, key, adjacency::entries(payload))? {
                    give(txn.located(table, key, open.neighbor(entry, slots))?, put)?;
                }
            }
            Table::Postings => {
                let slots = slots(posted_in(key))?;
                let container = txn.located(table, key, Container::parse(key, payload))?;
                for slot in container.slots() {
                    give(txn.located(table, key, open.slot(Slot(slot), slots))?, put)?;
                }
            }
            _ => {
                let slots = slots(namespace_of(key))?;
                let cells = txn.located(table, key, Cells::parse(key, payload))?;
                for (slot, cell) in cells.iter() {
                    give(txn.located(table, key, open.cell(slot, cell, slots))?, put)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the rows of an index are right: those of a dropped one may list what is gone.
    fn keeps<T: ReadTxn>(&mut self, txn: &T, table: Table, key: &[u8]) -> Result<bool> {
        let index = IndexId(txn.located(table, key, u32_at(key, 4))?);
        if index < IndexId::ON_DEMAND {
            return Ok(true);
        }
        let namespace = txn.located(table, key, namespace_of(key))?;
        if let Some(known) = self.kept.get(&(namespace, index)) {
            return Ok(*known);
        }
        let definition = index_definition(txn, namespace, index)?;
        let kept = definition.is_some_and(|definition| definition.is_kept());
        self.kept.insert((namespace, index), kept);
        Ok(kept)
    }

    /// The key of a row, or of rows that are packed together, in the next generation. `None` when it
    /// names a slot of which nothing is stored.
    fn new_key(&self, table: Table, key: &[u8]) -> Read<Option<Vec<u8>>> {
        let mut new = key.to_vec();
        let slots = self.renumbering.slots(namespace_of(key)?);
        let mut replace = |at: usize, of: &dyn Fn(Slot) -> Option<Slot>| -> Read<bool> {
            let Some(slot) = of(Slot(u32_at(key, at)?)) else { return Ok(false) };
            let place = new.get_mut(at..).and_then(|place| place.first_chunk_mut::<4>());
            *place.ok_or(Damaged("has a short key"))? = slot.0.to_be_bytes();
            Ok(true)
        };
        let node = |slot| slots.nodes.of(slot);
        let edge = |slot| slots.edges.of(slot);
        let work = |slot: Slot| if slot.0 == NO_SLOT { Some(slot) } else { slots.nodes.of(slot) };
        let there = match table {
            Table::Nodes | Table::Adjacency => replace(4, &node)?,
            Table::Edges | Table::Strengths => replace(4, &edge)?,
            Table::Work => replace(4, &work)?,
            Table::Embeddings => replace(6, &node)?,
            Table::Hashes => replace(22, &node)?,
            Table::Expiry => replace(12, &node)?,
            Table::History => match Former::parse(key).ok_or(Damaged("has an unknown key"))? {
                Former::Version(..) => replace(5, &edge)?,
                Former::Neighbor(..) => replace(5, &node)? && replace(14, &edge)?,
            },
            Table::Meta
            | Table::Symbols
            | Table::Names
            | Table::Ids
            | Table::Postings
            | Table::Columns
            | Table::Changes => true,
            Table::Views | Table::Sources | Table::Tokens => {
                return Err(Damaged("is in a table that is reserved"));
            }
        };
        Ok(there.then_some(new))
    }

    /// Makes a payload that of the next generation; the key is that of the old one.
    fn renew(&self, table: Table, key: &[u8], payload: &mut Vec<u8>) -> Read<()> {
        let slots = self.renumbering.slots(namespace_of(key)?);
        let node = |slot| known(slots.nodes.of(Slot(slot))).map(|slot| slot.0);
        match table {
            Table::Edges => {
                // Source and target stand behind version, flags and LSN.
                replace_le(payload, 10, node)?;
                replace_le(payload, 14, node)
            }
            Table::History => match Former::parse(key) {
                Some(Former::Version(..)) => {
                    replace_le(payload, 10, node)?;
                    replace_le(payload, 14, node)
                }
                _ => replace_le(payload, 0, node),
            },
            Table::Ids => {
                let slot = Slot(u32_at(payload, 0)?);
                let new = match keys::kind_and_id(key).and_then(|(kind, _)| kind) {
                    Some(Kind::Node | Kind::Embedding) => known(slots.nodes.of(slot))?,
                    Some(Kind::Edge) => known(slots.edges.of(slot))?,
                    _ => return Err(Damaged("is of an unknown kind")),
                };
                let place = payload.first_chunk_mut::<4>().ok_or(Damaged("ends early"))?;
                *place = new.0.to_be_bytes();
                Ok(())
            }
            // Behind version, kind, operation and namespace; only the newer ones are looked up.
            Table::Changes => replace_le(payload, 7, |_| Ok(NO_SLOT)),
            Table::Meta => self.renew_meta(slots, key, payload),
            _ => Ok(()),
        }
    }

    fn renew_meta(&self, slots: &Slots, key: &[u8], payload: &mut Vec<u8>) -> Read<()> {
        let system = namespace_of(key)? == NamespaceId::SYSTEM;
        match key.get(4) {
            Some(&meta::COUNTERS) if !system => {
                replace_le(payload, 1, |given| Ok(slots.nodes.rank(Slot(given)).0))?;
                replace_le(payload, 5, |given| Ok(slots.edges.rank(Slot(given)).0))
            }
            Some(&meta::INDEX) => {
                replace_le(payload, 3, |next| Ok(slots.nodes.rank(Slot(next)).0))?;
                if self.keep != Keep::All {
                    let mut record = IndexRecord::parse(payload)?;
                    if record.state == IndexState::Failed {
                        // It lists values that may have gone since.
                        record.error = NOT_UNIQUE.into();
                        *payload = record.encode();
                    }
                }
                Ok(())
            }
            Some(&meta::RECIPE) => replace_le(payload, 1, |next| {
                let done = next == RecipeRecord::DONE.0;
                Ok(if done { next } else { slots.nodes.rank(Slot(next)).0 })
            }),
            _ => Ok(()),
        }
    }

    /// Notes the names that a row uses, where not all are kept.
    fn note_names(&mut self, table: Table, key: &[u8], payload: &[u8]) -> Read<()> {
        if self.keep == Keep::All {
            return Ok(());
        }
        let used = &mut self.used;
        match table {
            Table::Nodes => {
                let node = NodeRecord::parse(payload)?;
                used.extend(node.labels());
                note_properties(used, node.properties)
            }
            Table::Edges => note_edge(used, payload),
            Table::History if matches!(Former::parse(key), Some(Former::Version(..))) => {
                note_edge(used, payload)
            }
            Table::Meta if key.get(4) == Some(&meta::INDEX) => {
                let index = IndexRecord::parse(payload)?;
                used.extend([index.label, index.property].into_iter().chain(index.first));
                Ok(())
            }
            Table::Meta if key.get(4) == Some(&meta::RECIPE) => {
                used.insert(Symbol(u32_at(key, 5)?));
                let recipe = RecipeRecord::parse(payload)?;
                used.extend(recipe.text.into_iter().chain(recipe.embed));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn note_edge(used: &mut HashSet<Symbol>, payload: &[u8]) -> Read<()> {
    let edge = EdgeRecord::parse(payload)?;
    used.insert(edge.edge_type);
    note_properties(used, edge.properties)
}

fn note_properties(used: &mut HashSet<Symbol>, properties: Properties<'_>) -> Read<()> {
    for entry in properties.iter_raw()? {
        used.insert(entry?.0);
    }
    Ok(())
}
