//! What a repair saved, what it lost, and what it cannot vouch for.

use std::collections::BTreeMap;

use embedded_db_common::NamespaceId;

use crate::keys::Kind;
use crate::pages::Origin;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Item {
    /// Namespaces.
    Namespaces,
    /// Names of labels, types and properties.
    Names,
    /// Embedding spaces.
    Spaces,
    /// Definitions of indexes made on demand.
    Indexes,
    /// Declarations of labels.
    Labels,
    /// Nodes.
    Nodes,
    /// Edges, with those that were retracted.
    Edges,
    /// Earlier versions of edges.
    Versions,
    /// Vectors.
    Embeddings,
    /// Work that waits, or has failed.
    Jobs,
    /// Rows of the list of changes.
    Changes,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Namespaces,
        Self::Names,
        Self::Spaces,
        Self::Indexes,
        Self::Labels,
        Self::Nodes,
        Self::Edges,
        Self::Versions,
        Self::Embeddings,
        Self::Jobs,
        Self::Changes,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Names => "names",
            Self::Spaces => "spaces",
            Self::Indexes => "indexes",
            Self::Labels => "labels",
            Self::Nodes => "nodes",
            Self::Edges => "edges",
            Self::Versions => "versions",
            Self::Embeddings => "embeddings",
            Self::Jobs => "jobs",
            Self::Changes => "changes",
        }
    }
}

/// A number of each of the [items](Item).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts<T>([T; Item::ALL.len()]);

#[expect(clippy::indexing_slicing, reason = "there is one for each item")]
impl<T> std::ops::Index<Item> for Amounts<T> {
    type Output = T;

    fn index(&self, item: Item) -> &T {
        &self.0[item as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "there is one for each item")]
impl<T> std::ops::IndexMut<Item> for Amounts<T> {
    fn index_mut(&mut self, item: Item) -> &mut T {
        &mut self.0[item as usize]
    }
}

/// An object by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// `node`, `edge` or `embedding`.
    pub kind: &'static str,
    /// Name of its namespace; empty when that was lost.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// What happened to it.
    pub why: &'static str,
}

/// What came of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// The generation that was read.
    pub generation: u64,
    /// How its state was found.
    pub origin: Origin,
    /// LSN of the last change that the result holds.
    pub lsn: u64,
    /// How much is in the result.
    pub saved: Amounts<u64>,
    /// How much is not; `None` where nobody knows.
    pub lost: Amounts<Option<u64>>,
    /// What is not in the result, as far as its id reads.
    pub lost_objects: Vec<ObjectName>,
    /// What is in the result though a newer version of it, or its deletion, may have been lost.
    pub doubtful: Vec<ObjectName>,
    /// Pages of the file.
    pub pages: u64,
    /// Pages of its state that are damaged or missing.
    pub damaged_pages: u64,
    /// What else was wrong.
    pub remarks: Vec<String>,
}

impl Salvaged {
    /// Nothing was lost, and nothing is in doubt.
    pub fn is_complete(&self) -> bool {
        matches!(self.origin, Origin::Newest | Origin::Found)
            && self.doubtful.is_empty()
            && self.lost_objects.is_empty()
            && Item::ALL.into_iter().all(|item| self.lost[item] == Some(0))
    }
}

/// Objects with what happened to them, each once.
#[derive(Default)]
pub(super) struct Register(BTreeMap<(Kind, NamespaceId, String), &'static str>);

impl Register {
    /// Notes an object, unless it is known.
    pub(super) fn note(&mut self, kind: Kind, namespace: NamespaceId, id: &str, why: &'static str) {
        self.0.entry((kind, namespace, id.to_owned())).or_insert(why);
    }

    pub(super) fn forget(&mut self, kind: Kind, namespace: NamespaceId, id: &str) {
        self.0.remove(&(kind, namespace, id.to_owned()));
    }

    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.0.keys().filter(|(known, ..)| *known == kind).count() as u64
    }

    /// Nodes first, with the names of the namespaces.
    pub(super) fn named(self, names: &BTreeMap<NamespaceId, String>) -> Vec<ObjectName> {
        let all = self.0.into_iter().map(|((kind, namespace, id), why)| {
            let namespace = names.get(&namespace).cloned().unwrap_or_default();
            ObjectName { kind: kind.name(), namespace, id, why }
        });
        all.collect()
    }
}
