//! Namespaces, spaces, definitions and counters.
//!
//! Numbers of namespaces and spaces are given once, and what they stand for never changes, so it does not
//! matter of which state such a row is. Definitions of indexes and labels come and go: where those of the
//! state do not read, the newest others that are together on one page are taken.

use std::collections::{BTreeMap, HashMap};

use embedded_db_common::{NamespaceId, Result, SpaceId, Symbol, names};

use super::Item;
use super::copy::{Copy, namespace_of};
use crate::indexes::{IndexRecord, IndexState};
use crate::keys::{self, Table, meta};
use crate::pages::{Depth, Found};
use crate::recipes::RecipeRecord;
use crate::records::{DatabaseCounters, NamespaceCounters, SpaceRecord};
use crate::spaces::{Dropped, named_space};

/// The namespace that every database has.
const DEFAULT: &str = "default";

/// Rows that are to be written at the end.
#[derive(Default)]
pub(super) struct Meta {
    namespaces: BTreeMap<NamespaceId, (String, Depth)>,
    spaces: BTreeMap<SpaceId, Vec<u8>>,
    definitions: BTreeMap<Vec<u8>, Vec<u8>>,
    slots: HashMap<NamespaceId, (u32, u32)>,
    /// Every row of the state was read.
    whole: bool,
}

/// Definitions that stand on one page, and the counters that were there with them.
#[derive(Default)]
struct Together {
    age: (u64, i64),
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Copy<'_, '_, '_> {
    pub(super) fn read_meta(&mut self) -> Result<Meta> {
        let mut meta = Meta::default();
        let mut rows = 0;
        for depth in self.depths(Table::Meta) {
            let mut pages: HashMap<u64, Together> = HashMap::new();
            self.visit(Table::Meta, *depth, &mut |copy, row| {
                rows += u64::from(*depth == Depth::State);
                let page = pages.entry(row.at.page()).or_default();
                meta.add(copy, row, *depth, page);
                Ok(())
            })?;
            if *depth == Depth::State {
                meta.definitions = pages.into_values().flat_map(|page| page.rows).collect();
                meta.whole = self.file.is_whole(Table::Meta)
                    && self.missing_rows(Table::Meta, rows) == Some(0);
                if meta.whole {
                    break;
                }
            } else if let Some(newest) = pages.into_values().max_by_key(|page| page.age)
                && newest.age > (0, 0)
                && meta.definitions.is_empty()
            {
                if !newest.rows.is_empty() {
                    self.remarks.push(format!(
                        "definitions of indexes and labels are those of LSN {}",
                        newest.age.0
                    ));
                }
                meta.definitions = newest.rows;
            }
        }
        meta.namespaces.insert(NamespaceId::DEFAULT, (DEFAULT.into(), Depth::State));
        // A name is given again only when what had it was dropped.
        let mut latest = BTreeMap::new();
        for (number, (name, _)) in &meta.namespaces {
            self.dropped.extend(latest.insert(name.clone(), *number));
        }
        meta.namespaces.retain(|number, _| !self.dropped.contains(number));
        self.namespaces =
            meta.namespaces.iter().map(|(number, (name, _))| (*number, name.clone())).collect();
        Ok(meta)
    }

    /// Writes what is left of it when everything else is there.
    pub(super) fn put_meta(&mut self, mut meta: Meta) -> Result<()> {
        let kept = &self.kept;
        let is_used = |namespace: &NamespaceId| {
            kept.get(namespace).is_some_and(|kept| !kept.nodes.is_empty())
        };
        // One that was dropped may be found all the same, but nothing is in it.
        meta.namespaces
            .retain(|namespace, (_, depth)| *depth == Depth::State || is_used(namespace));
        let mut rows = BTreeMap::new();
        for (namespace, (name, _)) in &meta.namespaces {
            let by_name = keys::namespace_number(name);
            rows.insert(by_name.to_vec(), namespace.0.to_be_bytes().to_vec());
            rows.insert(keys::namespace_name(*namespace).to_vec(), name.clone().into());
            let (nodes, edges) = meta.slots.get(namespace).copied().unwrap_or_default();
            let counters = &mut self.kept.entry(*namespace).or_default().counters;
            counters.node_slots = counters.node_slots.max(nodes);
            counters.edge_slots = counters.edge_slots.max(edges);
            let mut payload = Vec::new();
            counters.encode(&mut payload);
            rows.insert(keys::counters(*namespace).to_vec(), payload);
            self.counters.namespaces = self.counters.namespaces.max(namespace.0);
        }
        for (space, payload) in std::mem::take(&mut meta.spaces) {
            rows.insert(keys::space(space).to_vec(), payload);
            self.counters.spaces = self.counters.spaces.max(space.0.into());
            self.saved[Item::Spaces] += 1;
        }
        self.saved[Item::Namespaces] = meta.namespaces.len() as u64;
        self.put_definitions(&meta, &mut rows);
        let mut payload = Vec::new();
        self.counters.encode(&mut payload);
        rows.insert(keys::counters(NamespaceId::SYSTEM).to_vec(), payload);
        for (key, payload) in rows {
            self.put_payload(Table::Meta, &key, payload)?;
        }
        for item in [Item::Namespaces, Item::Spaces] {
            self.lost[item] = meta.whole.then_some(0);
        }
        Ok(())
    }

    /// Those whose names are known, in namespaces that are.
    fn put_definitions(&mut self, meta: &Meta, rows: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        let (mut indexes, mut labels) = (0, 0);
        for (key, payload) in &meta.definitions {
            let namespace = namespace_of(key).unwrap_or(NamespaceId::SYSTEM);
            if namespace != NamespaceId::SYSTEM && !meta.namespaces.contains_key(&namespace) {
                continue;
            }
            match key.get(4) {
                Some(tag @ &(meta::DEFAULT_SPACE | meta::MODEL_SPACE | meta::NEXT_SPACE)) => {
                    let space = named_space(*tag, payload);
                    if space.is_some_and(|space| self.spaces.contains_key(&space)) {
                        rows.insert(key.clone(), payload.clone());
                    }
                }
                // What is left of one that was cleared is cleared again.
                Some(&meta::DROPPED_SPACE) => {
                    let space = key.last_chunk::<2>().map(|id| SpaceId(u16::from_be_bytes(*id)));
                    if space.is_some_and(|space| self.spaces.contains_key(&space)) {
                        rows.insert(key.clone(), vec![Dropped::Clearing as u8]);
                    }
                }
                Some(&meta::INDEX) => {
                    let record = IndexRecord::parse(payload).ok();
                    // One that is being removed is as good as gone.
                    if record.as_ref().is_some_and(|it| it.state == IndexState::Dropped) {
                        continue;
                    }
                    let named = record.is_some_and(|it| {
                        let mut symbols = [it.label, it.property].into_iter().chain(it.first);
                        symbols.all(|symbol| self.names.contains(&symbol))
                    });
                    if named {
                        rows.insert(key.clone(), payload.clone());
                        self.saved[Item::Indexes] += 1;
                    } else {
                        indexes += 1;
                    }
                }
                _ => {
                    let label = keys::last_u32(key).map(Symbol).into_iter();
                    let recipe = RecipeRecord::parse(payload).ok();
                    let named = recipe.is_some_and(|it| {
                        let mut symbols = label.chain(it.text).chain(it.embed);
                        symbols.all(|symbol| self.names.contains(&symbol))
                    });
                    if named {
                        rows.insert(key.clone(), payload.clone());
                        self.saved[Item::Labels] += 1;
                    } else {
                        labels += 1;
                    }
                }
            }
        }
        self.lost[Item::Indexes] = meta.whole.then_some(indexes);
        self.lost[Item::Labels] = meta.whole.then_some(labels);
    }
}

impl Meta {
    /// Adds a row, unless a better one is there.
    fn add(
        &mut self,
        copy: &mut Copy<'_, '_, '_>,
        row: Found<'_>,
        depth: Depth,
        page: &mut Together,
    ) {
        let (Ok(namespace), Some((tag, rest))) =
            (namespace_of(row.key), row.key.get(4..).and_then(<[u8]>::split_first))
        else {
            return;
        };
        match (*tag, namespace) {
            (meta::COUNTERS, NamespaceId::SYSTEM) => {
                if let Ok(found) = DatabaseCounters::parse(row.payload) {
                    page.age = (found.lsn, found.time);
                    if depth == Depth::State {
                        copy.state_lsn = Some(found.lsn);
                    }
                    if depth == Depth::State || copy.state_lsn.is_none() {
                        raise(&mut copy.counters, &found);
                    }
                }
            }
            (meta::COUNTERS, namespace) => {
                if let Ok(found) = NamespaceCounters::parse(row.payload) {
                    let (nodes, edges) = self.slots.entry(namespace).or_default();
                    *nodes = (*nodes).max(found.node_slots);
                    *edges = (*edges).max(found.edge_slots);
                }
            }
            (meta::NAMESPACE, NamespaceId::SYSTEM) => {
                if let Ok(number) = row.payload.try_into().map(u32::from_be_bytes) {
                    self.add_namespace(NamespaceId(number), rest, depth);
                }
            }
            (meta::NAMESPACE, namespace) => self.add_namespace(namespace, row.payload, depth),
            (meta::SPACE, NamespaceId::SYSTEM) => {
                if let (Ok(number), Ok(space)) =
                    (rest.try_into().map(u16::from_be_bytes), SpaceRecord::parse(row.payload))
                {
                    let number = SpaceId(number);
                    copy.spaces.entry(number).or_insert(space.dimension);
                    self.spaces.entry(number).or_insert_with(|| row.payload.to_vec());
                }
            }
            (
                meta::DEFAULT_SPACE | meta::MODEL_SPACE | meta::NEXT_SPACE | meta::DROPPED_SPACE,
                NamespaceId::SYSTEM,
            )
            | (meta::INDEX | meta::RECIPE, _) => {
                page.rows.insert(row.key.to_vec(), row.payload.to_vec());
            }
            // That another generation was to take the place is over.
            _ => {}
        }
    }

    fn add_namespace(&mut self, number: NamespaceId, name: &[u8], depth: Depth) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        if number != NamespaceId::SYSTEM && names::check("a name", name).is_ok() {
            self.namespaces.entry(number).or_insert_with(|| (name.to_owned(), depth));
        }
    }
}

/// Nothing of it ever goes back.
fn raise(counters: &mut DatabaseCounters, found: &DatabaseCounters) {
    counters.lsn = counters.lsn.max(found.lsn);
    counters.time = counters.time.max(found.time);
    counters.symbols = counters.symbols.max(found.symbols);
    counters.namespaces = counters.namespaces.max(found.namespaces);
    counters.spaces = counters.spaces.max(found.spaces);
    counters.vectors_computed = counters.vectors_computed.max(found.vectors_computed);
    counters.vectors_reused = counters.vectors_reused.max(found.vectors_reused);
}
