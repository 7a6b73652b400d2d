//! What a database holds, as one hash: the same for two databases that hold the same, wherever their
//! records lie.

use std::collections::HashMap;

use embedded_db_common::record::{Damaged, Properties, put_bytes, put_varint};
use embedded_db_common::{Digest, Error, NamespaceId, Result, Sha256, Slot, SpaceId, Symbol};
use embedded_db_indexing::graph::{Artefact, pending};
use embedded_db_indexing::properties::declared_indexes;
use embedded_db_storage::{
    EdgeRecord, IndexState, Kind, NodeRecord, Progress, ReadEmbeddings, ReadHistory, ReadSpaces,
    ReadTxn, ReadWork, Snapshot, SpaceRecord, recipes,
};
use roaring::RoaringBitmap;

use crate::database::Database;

/// What it begins with: another way to compute it gets another number.
const BEGIN: &[u8] = b"embedded-db logical hash 1\n";
/// Objects between two calls of the progress.
const OBJECTS: u64 = 1024;

impl Database {
    /// A SHA-256 over all that is stored in all namespaces, by id: nodes, edges with their history,
    /// vectors, work, spaces, declared indexes and labels. Slots, LSNs, numbers of names and everything
    /// that follows from records leave no trace in it.
    pub fn logical_hash(&self, progress: &mut Progress<'_>) -> Result<Sha256> {
        let snapshot = self.engine()?.store.read()?;
        let namespaces = snapshot.namespaces()?;
        let mut total = 0;
        for (_, namespace) in &namespaces {
            let counters = snapshot.namespace_counters(*namespace)?;
            for count in [counters.nodes, counters.edges, counters.embeddings] {
                total = u64::saturating_add(total, count);
            }
        }
        let (digest, out) = Default::default();
        let mut hash = Hash { snapshot: &snapshot, digest, out, progress, done: 0, total };
        hash.digest.update(BEGIN);
        let spaces = hash.spaces()?;
        for (name, namespace) in &namespaces {
            hash.namespace(name, *namespace, &spaces)?;
        }
        (hash.progress)(total, total)?;
        hash.digest.update(&hash.out);
        Ok(hash.digest.finish())
    }
}

struct Hash<'a, 'p> {
    snapshot: &'a Snapshot,
    digest: Digest,
    /// What is not yet in the digest.
    out: Vec<u8>,
    progress: &'a mut Progress<'p>,
    done: u64,
    total: u64,
}

/// The name of each space.
type Spaces = HashMap<SpaceId, String>;

impl Hash<'_, '_> {
    fn text(&mut self, text: &str) {
        put_bytes(&mut self.out, text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        put_varint(&mut self.out, number);
    }

    fn time(&mut self, time: i64) {
        self.out.extend_from_slice(&time.to_le_bytes());
    }

    fn optional_time(&mut self, time: Option<i64>) {
        self.out.push(u8::from(time.is_some()));
        time.into_iter().for_each(|time| self.time(time));
    }

    fn name(&mut self, symbol: Symbol) -> Result<()> {
        let name = self.snapshot.symbol_name(symbol)?;
        self.text(&name);
        Ok(())
    }

    fn names(&mut self, symbols: &[Symbol]) -> Result<()> {
        self.number(symbols.len() as u64);
        symbols.iter().try_for_each(|symbol| self.name(*symbol))
    }

    fn properties(&mut self, properties: Properties<'_>) -> Result<()> {
        let all: Result<Vec<_>, Damaged> = properties.iter_raw()?.collect();
        let all = all?;
        self.number(all.len() as u64);
        for (symbol, value) in all {
            self.name(symbol)?;
            put_bytes(&mut self.out, value);
        }
        Ok(())
    }

    /// One object is done.
    fn object(&mut self) -> Result<()> {
        self.digest.update(&self.out);
        self.out.clear();
        self.done += 1;
        if self.done.is_multiple_of(OBJECTS) {
            (self.progress)(self.done.min(self.total), self.total)?;
        }
        Ok(())
    }

    fn missing(&self, what: &str, id: &str) -> Error {
        Error::Corruption {
            path: self.snapshot.store().path().to_owned(),
            object: format!("the {what} {id:?}"),
            detail: "its id is known but its record is missing".into(),
        }
    }

    fn spaces(&mut self) -> Result<Spaces> {
        let mut all = self.snapshot.live_spaces()?;
        let roles = [
            self.snapshot.default_space()?,
            self.snapshot.model_space()?,
            self.snapshot.next_space()?,
        ];
        all.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        self.number(all.len() as u64);
        for (id, space) in &all {
            let SpaceRecord { name, model, provider, precision, dimension, metric } = space;
            for text in [name, model, provider, precision, metric] {
                self.text(text);
            }
            self.number(u64::from(*dimension));
            let is = |role: Option<SpaceId>| u8::from(role == Some(*id));
            self.out.push(is(roles[0]) | is(roles[1]) << 1 | is(roles[2]) << 2);
        }
        Ok(all.into_iter().map(|(id, space)| (id, space.name)).collect())
    }

    fn namespace(&mut self, name: &str, namespace: NamespaceId, spaces: &Spaces) -> Result<()> {
        self.text(name);
        self.indexes(namespace)?;
        self.declared(namespace)?;
        self.nodes(namespace)?;
        self.edges(namespace)?;
        self.embeddings(namespace, spaces)
    }

    fn indexes(&mut self, namespace: NamespaceId) -> Result<()> {
        let mut all = Vec::new();
        for index in declared_indexes(self.snapshot, namespace)? {
            if index.record.state != IndexState::Dropped {
                let label = self.snapshot.symbol_name(index.record.label)?;
                all.push((label, index.property, index.record.unique));
            }
        }
        all.sort();
        self.number(all.len() as u64);
        for (label, property, unique) in all {
            self.text(&label);
            self.text(&property);
            self.out.push(u8::from(unique));
        }
        Ok(())
    }

    fn declared(&mut self, namespace: NamespaceId) -> Result<()> {
        let mut all = Vec::new();
        for (label, recipe) in recipes(self.snapshot, namespace)? {
            if recipe.has_texts() {
                all.push((self.snapshot.symbol_name(label)?, recipe));
            }
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.number(all.len() as u64);
        for (label, recipe) in all {
            self.text(&label);
            self.names(&recipe.text)?;
            self.names(&recipe.embed)?;
        }
        Ok(())
    }

    fn nodes(&mut self, namespace: NamespaceId) -> Result<()> {
        let snapshot = self.snapshot;
        let mut waiting = Vec::new();
        for artefact in Artefact::ALL {
            waiting.push((artefact, pending(snapshot, namespace, artefact)?));
        }
        self.number(snapshot.namespace_counters(namespace)?.nodes);
        snapshot.ids(namespace, Kind::Node, |id, found| {
            let node = snapshot.node(namespace, found.slot)?;
            self.node(&node.ok_or_else(|| self.missing("node", id))?)?;
            self.work(namespace, found.slot, &waiting)?;
            self.object()
        })
    }

    fn node(&mut self, node: &NodeRecord<'_>) -> Result<()> {
        self.text(node.id);
        self.out.push(u8::from(node.derived));
        self.number(node.version);
        self.time(node.created_at);
        self.time(node.updated_at);
        self.optional_time(node.expires_at);
        self.names(&node.labels().collect::<Vec<_>>())?;
        self.properties(node.properties)
    }

    fn work(
        &mut self,
        namespace: NamespaceId,
        node: Slot,
        waiting: &[(Artefact, RoaringBitmap)],
    ) -> Result<()> {
        for (artefact, waiting) in waiting {
            self.out.push(u8::from(waiting.contains(node.0)));
            let failed = self.snapshot.work(namespace, node, *artefact as u8)?;
            self.out.push(failed.as_ref().map_or(0, |work| work.state as u8));
            if let Some(work) = failed {
                self.number(u64::from(work.attempts));
                self.time(work.due);
                self.text(&work.error);
            }
        }
        Ok(())
    }

    fn edges(&mut self, namespace: NamespaceId) -> Result<()> {
        let snapshot = self.snapshot;
        self.number(snapshot.namespace_counters(namespace)?.edges);
        snapshot.ids(namespace, Kind::Edge, |id, found| {
            let versions = snapshot.edge_versions(namespace, found.slot)?;
            if versions.is_empty() {
                return Err(self.missing("edge", id));
            }
            self.text(id);
            self.number(versions.len() as u64);
            for version in versions {
                self.edge(namespace, &EdgeRecord::parse(version)?)?;
            }
            self.object()
        })
    }

    fn edge(&mut self, namespace: NamespaceId, edge: &EdgeRecord<'_>) -> Result<()> {
        self.out.push(u8::from(edge.derived));
        self.number(edge.version);
        for end in [edge.source, edge.target] {
            let node = self.snapshot.node(namespace, end)?;
            let node = node.ok_or_else(|| self.missing("node at an end of the edge", edge.id))?;
            self.text(node.id);
        }
        self.name(edge.edge_type)?;
        self.out.extend_from_slice(&edge.weight.to_le_bytes());
        self.optional_time(edge.times.valid_from);
        self.optional_time(edge.times.valid_to);
        self.time(edge.times.recorded_at);
        self.optional_time(edge.times.retracted_at);
        let sources: Vec<&str> = edge.sources().collect();
        self.number(sources.len() as u64);
        sources.into_iter().for_each(|source| self.text(source));
        self.properties(edge.properties)
    }

    fn embeddings(&mut self, namespace: NamespaceId, spaces: &Spaces) -> Result<()> {
        let snapshot = self.snapshot;
        self.number(snapshot.namespace_counters(namespace)?.embeddings);
        snapshot.ids(namespace, Kind::Embedding, |id, found| {
            let embedding = snapshot.embedding(namespace, found.space, found.slot, found.part)?;
            let embedding = embedding.ok_or_else(|| self.missing("embedding", id))?;
            let node = snapshot.node(namespace, found.slot)?;
            let node = node.ok_or_else(|| self.missing("node of the embedding", id))?;
            self.text(id);
            self.text(node.id);
            self.text(spaces.get(&found.space).map_or("", String::as_str));
            self.number(u64::from(found.part));
            self.out.push(u8::from(embedding.set_by_user));
            self.time(embedding.created_at);
            self.out.extend_from_slice(&embedding.content.0);
            self.number(embedding.dimension() as u64);
            embedding.values().for_each(|value| self.out.extend_from_slice(&value.to_le_bytes()));
            self.object()
        })
    }
}
