//! What only a database with several pages of one thing shows. The tests of the engine damage whole
//! databases in every way.

use std::path::PathBuf;

use embedded_db_common::{ContentHash, Durability, NamespaceId, Slot, SpaceId};

use super::*;
use crate::invariants::check_invariants;
use crate::read::ReadEmbeddings;
use crate::records::SpaceRecord;

const NS: NamespaceId = NamespaceId::DEFAULT;
const SPACE: SpaceId = SpaceId(1);
const NODES: u32 = 3;
const PARTS: u16 = 3;
/// A vector takes more than half a page.
const DIMENSION: u32 = 900;
const PAGE: usize = 4096;

/// A number that no other vector has.
fn number_of(node: u32, part: u16) -> f32 {
    (node * 100 + u32::from(part)) as f32 + 1234.5
}

/// Nodes with vectors of several parts.
fn fill(path: &Path) -> PathBuf {
    let options = Options { durability: Durability::Memory, ..Options::default() };
    let store = Store::open(path, &options).unwrap();
    store
        .write(|txn| {
            txn.create_namespace("default")?;
            let [name, model, provider, precision, metric] =
                ["s", "m", "p", "float32", "dot"].map(str::to_owned);
            let dimension = DIMENSION;
            let space = SpaceRecord { name, model, provider, precision, metric, dimension };
            assert_eq!(txn.create_space(&space)?, SPACE);
            let label = txn.intern("Thing")?;
            for n in 0..NODES {
                let node = txn.insert_node(NS, &format!("n{n}"), &[label], &[], false, None)?;
                let hash = ContentHash::of(&format!("the text of {n}"));
                for part in 0..PARTS {
                    let vector = vec![number_of(n, part); DIMENSION as usize];
                    let id = format!("v{n}.{part}");
                    txn.put_embedding(NS, SPACE, node, part, &id, false, hash, &vector)?;
                }
                txn.put_text_hash(NS, SPACE, hash, node)?;
            }
            Ok(())
        })
        .unwrap();
    store.close();
    Current::read(path).unwrap().directory(path).join("data.mdb")
}

/// Destroys the page in which this vector begins.
fn destroy(data: &Path, number: f32) {
    let mut bytes = fs::read(data).unwrap();
    let pattern = number.to_le_bytes().repeat(8);
    let mut destroyed = 0;
    for page in bytes.chunks_mut(PAGE) {
        if page.windows(pattern.len()).any(|window| window == pattern) {
            page[PAGE / 2] ^= 1;
            destroyed += 1;
        }
    }
    assert!(destroyed > 0);
    fs::write(data, bytes).unwrap();
}

#[test]
fn a_vector_goes_with_any_of_its_parts() {
    for part in 0..PARTS {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("old"), directory.path().join("new"));
        let data = fill(&path);
        destroy(&data, number_of(1, part));
        let repairing = Repairing::begin(&path, &target, &mut |_, _| Ok(())).unwrap();
        let store = repairing.open(&Options::default()).unwrap();
        let snapshot = store.read().unwrap();
        let mut problems = Vec::new();
        check_invariants(&snapshot, &|| Ok(()), &mut |problem| problems.push(problem)).unwrap();
        assert_eq!(problems, [""; 0]);
        for n in 0..NODES {
            for of in 0..PARTS {
                let found = snapshot.embedding(NS, SPACE, Slot(n), of).unwrap();
                let vector = found.map(|it| it.values().collect::<Vec<_>>());
                let there = vec![number_of(n, of); DIMENSION as usize];
                assert_eq!(vector, (n != 1).then_some(there), "part {of} of {n}");
            }
        }
        let salvaged = repairing.salvaged();
        assert_eq!(salvaged.saved[Item::Nodes], u64::from(NODES));
        assert_eq!(salvaged.saved[Item::Embeddings], u64::from((NODES - 1) * u32::from(PARTS)));
        assert_eq!(salvaged.lost[Item::Embeddings], Some(u64::from(PARTS)));
        let mut named: Vec<_> = salvaged.lost_objects.iter().map(|it| (&*it.id, it.why)).collect();
        named.sort_unstable();
        let why = |of| if of == part { "it does not read" } else { "a part of it was lost" };
        let ids: Vec<String> = (0..PARTS).map(|of| format!("v1.{of}")).collect();
        let wanted: Vec<_> = ids.iter().zip(0..).map(|(id, of)| (&**id, why(of))).collect();
        assert_eq!(named, wanted);
    }
}
