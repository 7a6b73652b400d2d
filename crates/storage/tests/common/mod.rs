//! What the tests of the store share.

#![allow(dead_code)] // each test file uses a part of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::{
    Durability, Error, Lsn, NamespaceId, Options, Result, Slot, Symbol, Value, encode_properties,
};
use embedded_db_storage::{
    ChangeOp, Direction, EdgeFields, EdgeTimes, Kind, Neighbor, ReadTxn, SpaceRecord, Store,
    WriteTxn,
};
use tempfile::TempDir;

pub(crate) const NS: NamespaceId = NamespaceId::DEFAULT;

/// Nothing is synced: what is tested here is not the disk. Nobody waits for whoever writes.
pub(crate) fn fast() -> Options {
    Options { durability: Durability::Memory, lock_timeout: Duration::ZERO, ..Options::default() }
}

/// A store in a directory of its own that can be opened anew.
pub(crate) struct Scratch {
    directory: TempDir,
    options: Options,
    store: Option<Arc<Store>>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::with(fast())
    }

    /// Holds the namespace `NS`.
    pub(crate) fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db"), &options).unwrap();
        let namespace = store.write(|txn| txn.create_namespace("default")).unwrap();
        assert_eq!(namespace, NS);
        Self { directory, options, store: Some(store) }
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    pub(crate) fn close(&mut self) {
        if let Some(store) = self.store.take() {
            store.close();
        }
    }

    pub(crate) fn reopen(&mut self) {
        self.close();
        self.store = Some(Store::open(&self.path(), &self.options).unwrap());
    }
}

pub(crate) fn properties(txn: &mut WriteTxn<'_>, values: &[(&str, Value)]) -> Result<Vec<u8>> {
    let mut encoded = Vec::new();
    for (name, value) in values {
        let mut bytes = Vec::new();
        value.write(&mut bytes)?;
        encoded.push((txn.intern(name)?, bytes));
    }
    Ok(encode_properties(encoded.iter().map(|(symbol, bytes)| (*symbol, bytes.as_slice()))))
}

/// A node without properties.
pub(crate) fn node(store: &Arc<Store>, namespace: NamespaceId, id: &str) -> Result<Slot> {
    let id = id.to_owned();
    store.write(move |txn| bare_node(txn, namespace, &id))
}

pub(crate) fn bare_node(txn: &mut WriteTxn<'_>, namespace: NamespaceId, id: &str) -> Result<Slot> {
    let label = txn.intern("Thing")?;
    txn.insert_node(namespace, id, &[label], &[], false, None)
}

/// An edge without properties.
pub(crate) fn bare_edge(
    txn: &mut WriteTxn<'_>,
    namespace: NamespaceId,
    id: &str,
    source: Slot,
    target: Slot,
    edge_type: Symbol,
) -> Result<Slot> {
    let fields = EdgeFields {
        source,
        target,
        edge_type,
        weight: 1.0,
        times: EdgeTimes { recorded_at: txn.now(), ..EdgeTimes::default() },
        sources: Vec::new(),
        derived: false,
        properties: &[],
    };
    txn.insert_edge(namespace, id, &fields)
}

pub(crate) fn space(name: &str, dimension: u32) -> SpaceRecord {
    SpaceRecord {
        name: name.into(),
        model: "fake".into(),
        provider: "testing".into(),
        precision: "fp32".into(),
        dimension,
        metric: "cosine".into(),
    }
}

pub(crate) fn neighbors(
    txn: &impl ReadTxn,
    node: Slot,
    direction: Direction,
    edge_type: Option<Symbol>,
) -> Vec<(Symbol, Neighbor)> {
    let mut out = Vec::new();
    let visit = |edge_type, neighbor| {
        out.push((edge_type, neighbor));
        true
    };
    txn.neighbors(NS, node, direction, edge_type, visit).unwrap();
    out
}

/// One row of the change table, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) op: ChangeOp,
    pub(crate) slot: Slot,
    pub(crate) id: String,
    pub(crate) version: u64,
}

/// All changes; their numbers follow each other without a gap up to the state's own.
pub(crate) fn changes(txn: &impl ReadTxn) -> Vec<Change> {
    let mut out = Vec::new();
    txn.changes_after(Lsn(0), |lsn, change| {
        assert_eq!(lsn.0, out.len() as u64 + 1, "the numbers of changes follow each other");
        let change = change.expect("of a known kind");
        let (kind, op, slot, version) = (change.kind, change.op, change.slot, change.version);
        out.push(Change { kind, op, slot, id: change.id.to_owned(), version });
        Ok(true)
    })
    .unwrap();
    assert_eq!(txn.lsn().unwrap(), Lsn(out.len() as u64), "the last number is the state's");
    out
}

/// Content of every file below a directory.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            let content = std::fs::read(&path).unwrap();
            out.insert(path, content);
        }
    }
    out
}

pub(crate) fn data_file(database: &Path) -> PathBuf {
    database.join("gen-0000000001").join("data.mdb")
}

/// The error of an opening that must fail.
pub(crate) fn refused(path: &Path, options: &Options) -> Error {
    match Store::open(path, options) {
        Ok(_) => panic!("{path:?} was opened"),
        Err(error) => error,
    }
}
