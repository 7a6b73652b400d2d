//! How much may be stored.

use std::collections::BTreeMap;

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Nodes.
    Nodes,
    /// Edges, with those that were retracted.
    Edges,
    /// Embeddings; a long text has one for each part.
    Embeddings,
    /// Bytes of the records of nodes, edges and embeddings.
    Bytes,
    /// Bytes of memory that indexes take beside their files.
    Memory,
    /// Bytes that the disk has left.
    Disk,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nodes, Self::Edges, Self::Embeddings, Self::Bytes, Self::Memory, Self::Disk];

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Edges => "edges",
            Self::Embeddings => "embeddings",
            Self::Bytes => "bytes",
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    /// The option that limits it.
    pub fn option(self) -> &'static str {
        match self {
            Self::Nodes => "max_nodes",
            Self::Edges => "max_edges",
            Self::Embeddings => "max_embeddings",
            Self::Bytes => "max_bytes",
            Self::Memory => "max_memory",
            Self::Disk => "disk_reserve",
        }
    }
}

/// How much is stored, or may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Nodes.
    pub nodes: u64,
    /// Edges.
    pub edges: u64,
    /// Embeddings.
    pub embeddings: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

impl Amounts {
    /// Each with its name, in the order of [`NamespaceQuota::limits`].
    pub fn each(&self) -> [(Resource, u64); 4] {
        [
            (Resource::Nodes, self.nodes),
            (Resource::Edges, self.edges),
            (Resource::Embeddings, self.embeddings),
            (Resource::Bytes, self.bytes),
        ]
    }

    /// With what came in place of what was there. In between, sums may have no meaning.
    #[must_use]
    pub fn changed(self, now: Self, before: Self) -> Self {
        let changed = |sum: u64, now: u64, before: u64| sum.wrapping_add(now).wrapping_sub(before);
        Self {
            nodes: changed(self.nodes, now.nodes, before.nodes),
            edges: changed(self.edges, now.edges, before.edges),
            embeddings: changed(self.embeddings, now.embeddings, before.embeddings),
            bytes: changed(self.bytes, now.bytes, before.bytes),
        }
    }
}

/// Most of what may be stored in one namespace; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceQuota {
    /// Nodes.
    pub max_nodes: Option<u64>,
    /// Edges.
    pub max_edges: Option<u64>,
    /// Embeddings.
    pub max_embeddings: Option<u64>,
    /// Bytes of records.
    pub max_bytes: Option<u64>,
}

impl NamespaceQuota {
    /// In the order of [`Amounts::each`].
    pub fn limits(&self) -> [Option<u64>; 4] {
        [self.max_nodes, self.max_edges, self.max_embeddings, self.max_bytes]
    }

    /// What would be passed by a change: the first of which there is more than before and than may be.
    pub fn passed(&self, before: Amounts, after: Amounts) -> Option<(Resource, u64, u64)> {
        let limits = self.limits().into_iter().zip(after.each()).zip(before.each());
        limits.into_iter().find_map(|((limit, (resource, used)), (_, was))| {
            limit.filter(|limit| used > *limit && used > was).map(|limit| (resource, used, limit))
        })
    }
}

/// Most of what may be stored in a database. Nothing is limited by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota {
    /// In all namespaces together.
    pub whole: NamespaceQuota,
    /// Bytes of memory that indexes may take before nothing more is stored.
    pub max_memory: Option<u64>,
    /// Bytes that are to stay free on the disk.
    pub disk_reserve: u64,
    /// In each namespace that is not named.
    pub each: NamespaceQuota,
    /// In some namespaces by their names.
    pub named: BTreeMap<String, NamespaceQuota>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_above_a_limit_passes_it() {
        let quota = NamespaceQuota { max_nodes: Some(10), ..NamespaceQuota::default() };
        let nodes = |nodes| Amounts { nodes, ..Amounts::default() };
        assert_eq!(quota.passed(nodes(9), nodes(10)), None);
        assert_eq!(quota.passed(nodes(10), nodes(11)), Some((Resource::Nodes, 11, 10)));
        assert_eq!(quota.passed(nodes(20), nodes(19)), None, "a deletion above it");
        assert_eq!(quota.passed(nodes(20), nodes(20)), None, "a change above it");
        let edges = Amounts { edges: 99, ..nodes(10) };
        assert_eq!(quota.passed(nodes(10), edges), None, "another resource");
    }
}
