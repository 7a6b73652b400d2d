//! Records, rows and keys: what is read from bytes says the same bytes again, or was refused. Where the
//! format lets a reader ignore what is behind the last field, that alone is missing.

use embedded_db_common::record::{Cursor, Properties, Read, open, put_varint, seal};
use embedded_db_common::{NamespaceId, Slot, ValueRef};
use roaring::RoaringBitmap;

use crate::adjacency;
use crate::columns::{self, COLUMN_SLOTS, Cells};
use crate::indexes::IndexRecord;
use crate::keys::{self, Direction, Former};
use crate::postings::{self, CONTAINER_SLOTS, Container, Updated};
use crate::read::Resolved;
use crate::recipes::RecipeRecord;
use crate::records::{
    ChangeRecord, DatabaseCounters, EdgeRecord, EmbeddingRecord, NamespaceCounters, NodeRecord,
    SpaceRecord, WorkRecord,
};

/// Of a node whose sources are stored, which this version reads and does not write.
const SOURCES: u8 = 4;

/// Reads bytes as what their first one says.
///
/// # Panics
///
/// When what was read is not what stands there.
pub fn records(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    // Who is asked and refuses has done right.
    let _refused = match kind % 17 {
        0 => node(rest),
        1 => edge(rest),
        2 => embedding(rest),
        3 => space(rest),
        4 => change(rest),
        5 => work(rest),
        6 => database_counters(rest),
        7 => namespace_counters(rest),
        8 => index(rest),
        9 => recipe(rest),
        10 => resolved(rest),
        11 => neighbors(rest),
        12 => container(rest),
        13 => cells(rest),
        14 => value(rest),
        15 => key(rest),
        _ => sealed(rest),
    };
}

fn node(bytes: &[u8]) -> Read<()> {
    let node = NodeRecord::parse(bytes)?;
    let labels: Vec<_> = node.labels().collect();
    labels.iter().for_each(|label| assert!(node.has_label(*label)));
    let mut out = Vec::new();
    let properties = node.properties.as_bytes();
    let times = node.times();
    let NodeRecord { derived, lsn, version, id, .. } = node;
    NodeRecord::encode(&mut out, derived, lsn, version, times, id, &labels, properties);
    if bytes[1] & SOURCES == 0 {
        assert_eq!(out, bytes);
    }
    same_properties(node.properties)
}

fn edge(bytes: &[u8]) -> Read<()> {
    let edge = EdgeRecord::parse(bytes)?;
    let mut out = Vec::new();
    edge.fields().encode(&mut out, edge.lsn, edge.version, edge.id);
    assert_eq!(out, bytes);
    same_properties(edge.properties)
}

fn same_properties(properties: Properties<'_>) -> Read<()> {
    let (mut count, mut entries) = (0, Vec::new());
    for entry in properties.iter_raw()? {
        let (symbol, raw) = entry?;
        same_value(raw)?;
        put_varint(&mut entries, symbol.0.into());
        entries.extend_from_slice(raw);
        count += 1;
        properties.get(symbol)?.expect("a property that is listed is found");
    }
    let mut out = Vec::new();
    put_varint(&mut out, count);
    out.extend(entries);
    assert!(properties.as_bytes().is_empty() || out == properties.as_bytes());
    Ok(())
}

fn value(bytes: &[u8]) -> Read<()> {
    let mut cursor = Cursor::new(bytes);
    ValueRef::read(&mut cursor)?;
    same_value(&bytes[..bytes.len() - cursor.rest().len()])
}

fn same_value(bytes: &[u8]) -> Read<()> {
    let mut cursor = Cursor::new(bytes);
    let read = ValueRef::read(&mut cursor)?;
    assert!(cursor.rest().is_empty());
    let value = read.to_value()?;
    let mut out = Vec::new();
    value.write(&mut out).expect("what was stored can be stored");
    assert_eq!(out, bytes);
    assert_eq!(value.compare(&value), std::cmp::Ordering::Equal);
    // Where an index would have it.
    let key = crate::index_value(&read);
    assert_eq!(key, crate::index_value_of(&value));
    if let (Some(key), Some(place)) = (&key, columns::Cell::of(&read).and_then(|cell| cell.place()))
    {
        assert_eq!(columns::Place::of_key(key), Some(place));
    }
    Ok(())
}

fn embedding(bytes: &[u8]) -> Read<()> {
    let read = EmbeddingRecord::parse(bytes)?;
    let vector: Vec<f32> = read.values().collect();
    assert!(read.copy_to(&mut vec![0.0; read.dimension()]));
    let mut out = Vec::new();
    let EmbeddingRecord { lsn, set_by_user, created_at, content, id, .. } = read;
    EmbeddingRecord::encode(&mut out, lsn, set_by_user, created_at, content, id, &vector);
    assert_eq!(out, bytes);
    Ok(())
}

/// What was written is how the bytes begin.
fn begins(bytes: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Read<()> {
    let mut out = Vec::new();
    write(&mut out);
    assert!(bytes.starts_with(&out), "{out:?} of {bytes:?}");
    Ok(())
}

fn space(bytes: &[u8]) -> Read<()> {
    let space = SpaceRecord::parse(bytes)?;
    begins(bytes, |out| space.encode(out))
}

fn change(bytes: &[u8]) -> Read<()> {
    let Some(change) = ChangeRecord::parse(bytes)? else { return Ok(()) };
    begins(bytes, |out| change.encode(out))
}

fn work(bytes: &[u8]) -> Read<()> {
    let work = WorkRecord::parse(bytes)?;
    begins(bytes, |out| work.encode(out))
}

fn database_counters(bytes: &[u8]) -> Read<()> {
    let counters = DatabaseCounters::parse(bytes)?;
    begins(bytes, |out| counters.encode(out))
}

fn namespace_counters(bytes: &[u8]) -> Read<()> {
    let counters = NamespaceCounters::parse(bytes)?;
    begins(bytes, |out| counters.encode(out))
}

fn index(bytes: &[u8]) -> Read<()> {
    let index = IndexRecord::parse(bytes)?;
    begins(bytes, |out| out.extend(index.encode()))
}

fn recipe(bytes: &[u8]) -> Read<()> {
    let recipe = RecipeRecord::parse(bytes)?;
    begins(bytes, |out| out.extend(recipe.encode()))
}

fn resolved(bytes: &[u8]) -> Read<()> {
    let mut out = Vec::new();
    Resolved::parse(bytes)?.encode(&mut out);
    assert_eq!(out, bytes);
    Ok(())
}

fn neighbors(bytes: &[u8]) -> Read<()> {
    let mut out = Vec::new();
    adjacency::entries(bytes)?.for_each(|entry| adjacency::push(&mut out, entry));
    assert_eq!(out, bytes);
    assert_eq!(adjacency::entries(bytes)?.rev().count() * 8, bytes.len());
    Ok(())
}

/// The number at the end of the key, a slot of its row, and the payload.
fn row(bytes: &[u8]) -> Read<([u8; 4], u16, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let (key, at) = (cursor.array()?, cursor.u16()?);
    Ok((key, at, cursor.rest()))
}

fn container(bytes: &[u8]) -> Read<()> {
    let (key, at, payload) = row(bytes)?;
    let container = Container::parse(&key, payload)?;
    // A few bytes may tell of all slots: a bitmap of them has no more than 8 KiB.
    let slots_of = |container: &Container<'_>| {
        let mut slots = RoaringBitmap::new();
        container.add_to(&mut slots);
        assert!(container.slots().eq(&slots), "{slots:?}");
        slots
    };
    let (base, slots) = (container.base(), slots_of(&container));
    assert!(slots.iter().all(|slot| slot >= base && slot - base < CONTAINER_SLOTS));
    assert_eq!(container.len() as u64, slots.len());
    let encoded =
        postings::encode(&slots.iter().map(|slot| (slot - base) as u16).collect::<Vec<_>>());
    assert!(encoded.len() <= payload.len());
    assert_eq!(slots_of(&Container::parse(&key, &encoded)?), slots, "in the shortest form");
    let slot = base + u32::from(at) % CONTAINER_SLOTS;
    for present in [true, false] {
        let now = match postings::update(Some(container), Slot(slot), present) {
            Updated::Unchanged => slots.clone(),
            Updated::Empty => RoaringBitmap::new(),
            Updated::Container(payload) => {
                let slots = slots_of(&Container::parse(&key, &payload)?);
                assert!(!slots.is_empty(), "a container without slots is not stored");
                slots
            }
        };
        let mut expected = slots.clone();
        if present {
            expected.insert(slot);
        } else {
            expected.remove(slot);
        }
        assert_eq!(now, expected);
    }
    Ok(())
}

fn cells(bytes: &[u8]) -> Read<()> {
    let (key, at, payload) = row(bytes)?;
    let cells = Cells::parse(&key, payload)?;
    let all: Vec<_> = cells.iter().collect();
    let placed: Vec<_> = all.iter().map(|(slot, cell)| (slot.0 - cells.base(), *cell)).collect();
    let encoded = columns::encode_row(&placed);
    if !cells.is_in_form() {
        // What stands where nothing belongs is for `verify` to tell.
        return Ok(());
    }
    assert_eq!(encoded, payload);
    assert!(cells.others().count() <= all.len());
    let everything = columns::CellRange::of_places(columns::Place::START, columns::Place::END);
    let mask = everything.mask(&cells);
    for (place, cell) in &placed {
        assert!(mask >> place & 1 == 1 || cell.place().is_none(), "{cell:?} has a place");
    }
    let slot = Slot(cells.base() + u32::from(at) % COLUMN_SLOTS);
    for cell in [None, all.first().map(|(_, cell)| *cell)] {
        let Some(changed) = Cells::with(Some(cells), slot, cell) else {
            assert!(cell.is_none());
            continue;
        };
        let changed = Cells::parse(&key, &changed)?;
        assert_eq!(changed.get(slot), cell);
        let others = |cells: Cells<'_>| cells.iter().filter(|(it, _)| *it != slot).count();
        assert_eq!(others(changed), others(cells));
    }
    Ok(())
}

fn key(bytes: &[u8]) -> Read<()> {
    if let Some((namespace, at, node)) = keys::parse_expiry(bytes) {
        assert_eq!(keys::expiry(namespace, at, node).as_slice(), bytes);
    }
    let Some(former) = Former::parse(bytes) else { return Ok(()) };
    let namespace = NamespaceId(keys::u32_at(bytes, 0)?);
    let key = match former {
        Former::Version(edge, at) => keys::version(namespace, edge, at),
        Former::Neighbor(node, direction, edge_type, edge) => {
            let direction = if direction == 0 { Direction::Out } else { Direction::In };
            keys::former_neighbor(namespace, node, direction, edge_type, edge)
        }
    };
    assert_eq!(key.as_slice(), bytes);
    Ok(())
}

fn sealed(bytes: &[u8]) -> Read<()> {
    let mut cursor = Cursor::new(bytes);
    let (table, key) = (cursor.u8()?, cursor.bytes()?);
    let payload = cursor.rest();
    let mut sealed = payload.to_vec();
    seal(table, key, &mut sealed);
    assert_eq!(open(table, key, &sealed), Ok(payload));
    let mut again = open(table, key, payload)?.to_vec();
    seal(table, key, &mut again);
    assert_eq!(again, payload);
    Ok(())
}
