//! What follows from records: neighbours, labels, hashes, work that waits. It is made anew from what was
//! saved.

use embedded_db_common::{ContentHash, NamespaceId, Result, Slot, SpaceId, Symbol};
use roaring::RoaringBitmap;

use super::Item;
use super::copy::{Copy, Kept, namespace_of};
use super::standing::NO_SLOT;
use crate::adjacency::{self, CHUNK_ENTRIES, Neighbor};
use crate::keys::{self, Direction, Key, Kind, Table};
use crate::pages::Depth;
use crate::postings::{self, CONTAINER_SLOTS, Container, IndexId};
use crate::read::Resolved;
use crate::records::{EdgeRecord, EmbeddingRecord, WorkRecord};

/// An end of an edge: where it is listed, and what stands there.
type End = (NamespaceId, Slot, u8, Symbol, Slot, Slot);

/// The ends of edges that were saved.
#[derive(Default)]
pub(super) struct Ends {
    now: Vec<End>,
    retracted: Vec<End>,
}

impl Ends {
    pub(super) fn add(&mut self, namespace: NamespaceId, slot: Slot, edge: &EdgeRecord<'_>) {
        let (source, target, of) = (edge.source, edge.target, edge.edge_type);
        let list =
            if edge.times.retracted_at.is_some() { &mut self.retracted } else { &mut self.now };
        list.push((namespace, source, Direction::Out as u8, of, slot, target));
        list.push((namespace, target, Direction::In as u8, of, slot, source));
    }
}

/// The labels of nodes that were saved.
#[derive(Default)]
pub(super) struct Labelled(Vec<(NamespaceId, Symbol, Slot)>);

impl Labelled {
    pub(super) fn add(&mut self, namespace: NamespaceId, label: Symbol, slot: Slot) {
        self.0.push((namespace, label, slot));
    }
}

/// A part of a vector that was saved.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) namespace: NamespaceId,
    pub(super) space: SpaceId,
    pub(super) node: Slot,
    pub(super) part: u16,
    pub(super) by_user: bool,
    pub(super) content: ContentHash,
}

impl Part {
    fn vector(&self) -> (NamespaceId, SpaceId, Slot) {
        (self.namespace, self.space, self.node)
    }
}

/// The parts of vectors that were saved.
#[derive(Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    pub(super) fn add(&mut self, part: Part) {
        self.0.push(part);
    }
}

impl Copy<'_, '_, '_> {
    /// A model has made all parts of a vector of one text: without one of them the others go too, so
    /// that it is made again.
    pub(super) fn drop_parts(&mut self) -> Result<()> {
        let mut parts = std::mem::take(&mut self.parts.0);
        parts.sort_by_key(|part| (part.vector(), part.part));
        let lost = self.lost_parts()?;
        let mut kept = Vec::with_capacity(parts.len());
        for vector in parts.chunk_by(|a, b| a.vector() == b.vector()) {
            let Some(first) = vector.first() else { continue };
            let whole = vector.iter().zip(0..).all(|(part, number)| part.part == number)
                && vector.iter().all(|part| part.content == first.content)
                && lost.binary_search(&first.vector()).is_err();
            if whole || vector.iter().all(|part| part.by_user && part.part == 0) {
                kept.extend_from_slice(vector);
            } else {
                vector.iter().try_for_each(|part| self.drop_part(part))?;
            }
        }
        for part in kept {
            if part.content.0 != [0; 16] {
                let key = keys::hash(part.namespace, part.space, part.content, part.node);
                self.put_payload(Table::Hashes, &key, Vec::new())?;
            }
        }
        Ok(())
    }

    /// Vectors of which an id names a part that is not there.
    fn lost_parts(&mut self) -> Result<Vec<(NamespaceId, SpaceId, Slot)>> {
        let mut lost = Vec::new();
        self.visit(Table::Ids, Depth::State, &mut |copy, row| {
            let (Ok(namespace), Ok(to)) = (namespace_of(row.key), Resolved::parse(row.payload))
            else {
                return Ok(());
            };
            let kind = keys::kind_and_id(row.key).and_then(|(kind, _)| kind);
            if kind == Some(Kind::Embedding) && copy.rows.get(Table::Ids, row.key)?.is_none() {
                lost.push((namespace, to.space, to.slot));
            }
            Ok(())
        })?;
        lost.sort_unstable();
        Ok(lost)
    }

    fn drop_part(&mut self, part: &Part) -> Result<()> {
        let Part { namespace, space, node, part, .. } = *part;
        let key = keys::embedding(namespace, space, node, part);
        let Some(payload) = self.rows.get(Table::Embeddings, &key)? else { return Ok(()) };
        if let Ok(embedding) = EmbeddingRecord::parse(&payload) {
            let id = keys::id(namespace, Kind::Embedding, embedding.id);
            self.rows.remove_pack(Table::Ids, &id)?;
            let why = "a part of it was lost";
            self.missing.note(Kind::Embedding, namespace, embedding.id, why);
            self.doubtful.forget(Kind::Embedding, namespace, embedding.id);
        }
        self.rows.remove_pack(Table::Embeddings, &key)?;
        let counters = &mut self.kept(namespace).counters;
        counters.embeddings -= 1;
        counters.bytes -= payload.len() as u64;
        self.saved[Item::Embeddings] -= 1;
        Ok(())
    }

    /// Work that has failed, and work that waits.
    pub(super) fn copy_work(&mut self) -> Result<()> {
        let mut saved = 0;
        self.visit(Table::Work, Depth::State, &mut |copy, row| {
            let parts = (namespace_of(row.key), keys::u32_at(row.key, 4));
            let (Ok(namespace), Ok(slot), 9) = (parts.0, parts.1, row.key.len()) else {
                return Ok(());
            };
            let known = copy.namespaces.contains_key(&namespace)
                && (Slot(slot) == NO_SLOT || copy.has_node(namespace, Slot(slot)));
            if known && WorkRecord::parse(row.payload).is_ok() {
                copy.put(Table::Work, row.key, row.sealed)?;
                saved += 1;
            }
            Ok(())
        })?;
        let failed_lost = self.missing_rows(Table::Work, saved);
        let (mut waiting, mut rows) = ((0, 0), 0);
        self.visit(Table::Postings, Depth::State, &mut |copy, row| {
            rows += 1;
            let index = keys::u32_at(row.key, 4).map(IndexId);
            let of = (namespace_of(row.key), index, keys::u32_at(row.key, 9));
            let (Ok(NamespaceId::SYSTEM), Ok(IndexId::PENDING), Ok(namespace)) = of else {
                return Ok(());
            };
            let Ok(container) = Container::parse(row.key, row.payload) else { return Ok(()) };
            let nodes = copy.kept.get(&NamespaceId(namespace)).map(|kept: &Kept| &kept.nodes);
            let all: RoaringBitmap = container.slots().collect();
            let there = nodes.map_or_else(RoaringBitmap::new, |nodes| nodes & &all);
            waiting.0 += all.len();
            waiting.1 += there.len();
            if !there.is_empty() {
                let offsets: Vec<u16> =
                    there.iter().map(|slot| (slot % CONTAINER_SLOTS) as u16).collect();
                copy.put_payload(Table::Postings, row.key, postings::encode(&offsets))?;
            }
            Ok(())
        })?;
        self.saved[Item::Jobs] = saved + waiting.1;
        let read = self.waiting_reads(rows)?;
        self.lost_work = !read;
        self.lost[Item::Jobs] =
            failed_lost.filter(|_| read).map(|lost| lost + waiting.0 - waiting.1);
        Ok(())
    }

    /// Whether all that says what waits was read, of so many rows of postings that were.
    fn waiting_reads(&self, rows: u64) -> Result<bool> {
        let end = Key::new(NamespaceId::SYSTEM).u32(IndexId::PENDING.0 + 1);
        if self.missing_rows(Table::Postings, rows) == Some(0) && !self.logged.lost_work {
            return Ok(true);
        }
        Ok(!self.logged.lost_work && self.file.reads_below(Table::Postings, &end)?)
    }

    /// Neighbours, former neighbours and labels.
    pub(super) fn put_derived(&mut self) -> Result<()> {
        let Ends { mut now, retracted } = std::mem::take(&mut self.ends);
        now.sort_unstable();
        for list in now.chunk_by(|a, b| (a.0, a.1, a.2, a.3) == (b.0, b.1, b.2, b.3)) {
            for chunk in list.chunks(CHUNK_ENTRIES) {
                self.put_chunk(chunk)?;
            }
        }
        drop(now);
        for (namespace, node, direction, of, edge, other) in retracted {
            let key = keys::former_neighbor(namespace, node, direction_of(direction), of, edge);
            self.put_payload(Table::History, &key, other.0.to_le_bytes().to_vec())?;
        }
        let mut labelled = std::mem::take(&mut self.labelled.0);
        labelled.sort_unstable();
        labelled.dedup();
        let container = |(namespace, label, slot): &(NamespaceId, Symbol, Slot)| {
            (*namespace, *label, slot.0 / CONTAINER_SLOTS)
        };
        for slots in labelled.chunk_by(|a, b| container(a) == container(b)) {
            let Some(&(namespace, label, first)) = slots.first() else { continue };
            let offsets: Vec<u16> =
                slots.iter().map(|(.., slot)| (slot.0 % CONTAINER_SLOTS) as u16).collect();
            let value = label.0.to_be_bytes();
            let key = postings::container_key(namespace, IndexId::LABEL, &value, first);
            self.put_payload(Table::Postings, &key, postings::encode(&offsets))?;
        }
        Ok(())
    }

    fn put_chunk(&mut self, chunk: &[End]) -> Result<()> {
        let Some(&(namespace, node, direction, of, first, _)) = chunk.first() else {
            return Ok(());
        };
        let mut payload = Vec::with_capacity(chunk.len() * 8 + 4);
        for (.., edge, other) in chunk {
            adjacency::push(&mut payload, Neighbor { node: *other, edge: *edge });
        }
        let key = keys::adjacency(namespace, node, direction_of(direction), of, first);
        self.put_payload(Table::Adjacency, &key, payload)
    }
}

fn direction_of(byte: u8) -> Direction {
    if byte == Direction::Out as u8 { Direction::Out } else { Direction::In }
}
