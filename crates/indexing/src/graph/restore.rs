//! What was stored before, in this or another database, comes back as it was: with its versions and
//! times, and with the mark of what the database had made.

use embedded_db_common::{ContentHash, Draft, Error, Result, Slot, SpaceId, clock, names};
use embedded_db_storage::{
    EdgeFields, EdgeTimes, IndexId, Kind, ReadEmbeddings, ReadSpaces, ReadTxn, SpaceRecord,
};

use super::{
    Artefact, EdgeDraft, GraphWriter, NodeDraft, TOPIC, check_dimension, check_vector, is_pending,
    of_draft,
};

/// How far ahead of this machine the clock of another may have been.
const AHEAD: i64 = 24 * 60 * 60 * 1_000_000;

/// A node as it was.
#[derive(Debug, Clone)]
pub struct RestoredNode {
    /// Its id, labels and properties.
    pub draft: NodeDraft,
    /// Its version.
    pub version: u64,
    /// When it was made.
    pub created_at: i64,
    /// When a user last changed it.
    pub updated_at: i64,
    /// Whether the database made it by itself.
    pub derived: bool,
}

/// An edge as it was, with what it said before.
#[derive(Debug, Clone)]
pub struct RestoredEdge {
    /// Its id.
    pub id: String,
    /// Id of the node where it begins.
    pub source: String,
    /// Id of the node where it ends.
    pub target: String,
    /// Its type.
    pub edge_type: String,
    /// Whether the database made it by itself.
    pub derived: bool,
    /// Oldest first; the last is what it says, or said until it was retracted.
    pub versions: Vec<EdgeVersion>,
}

/// What an edge said from one time to another.
#[derive(Debug, Clone)]
pub struct EdgeVersion {
    /// Its number.
    pub version: u64,
    /// When it was true, and when it was believed.
    pub times: EdgeTimes,
    /// Its weight.
    pub weight: f64,
    /// Ids of what it was derived from.
    pub sources: Vec<String>,
    /// Its properties.
    pub properties: Draft,
}

/// One part of the vector of a node as it was.
#[derive(Debug, Clone)]
pub struct RestoredEmbedding {
    /// Its id.
    pub id: String,
    /// Id of its node.
    pub node_id: String,
    /// Name of its space.
    pub space: String,
    /// Which part of the text; 0 for the first.
    pub part: u16,
    /// Whether a user set it.
    pub set_by_user: bool,
    /// When it was made.
    pub created_at: i64,
    /// Its numbers.
    pub vector: Vec<f32>,
}

impl GraphWriter<'_, '_> {
    /// Stores a node as it was; its id must be free. All work on it is due until
    /// [`Self::restore_due`] says what is.
    pub fn restore_node(&mut self, node: &RestoredNode) -> Result<()> {
        check_version(node.version)?;
        if node.updated_at < node.created_at {
            return Err(Error::InvalidInput(format!(
                "updated_at ({} µs) is before created_at ({} µs); take both from one export",
                node.updated_at, node.created_at
            )));
        }
        self.check_time(node.updated_at)?;
        let times = (node.created_at, node.updated_at);
        let (_, slot) = self.make_node_as(&node.draft, node.derived, node.version, times)?;
        for key in self.entity_keys(&self.node(slot)?)? {
            self.txn.post(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
        }
        Ok(())
    }

    /// Stores an edge as it was, retracted or not, with its earlier versions; its id must be free.
    pub fn restore_edge(&mut self, edge: &RestoredEdge) -> Result<()> {
        check_versions(edge)?;
        for version in &edge.versions {
            self.check_time(version.times.retracted_at.unwrap_or(version.times.recorded_at))?;
        }
        let source = self.txn.require_node(self.namespace, &edge.source);
        let source = source.map_err(|error| error.of_field("source"))?;
        let target = self.txn.require_node(self.namespace, &edge.target);
        let target = target.map_err(|error| error.of_field("target"))?;
        let edge_type = self.txn.intern(&edge.edge_type)?;
        let mut properties = Vec::with_capacity(edge.versions.len());
        for version in &edge.versions {
            properties.push(self.encode(&version.properties)?);
        }
        let mut versions: Vec<(u64, EdgeFields<'_>)> = Vec::with_capacity(edge.versions.len());
        for (version, properties) in edge.versions.iter().zip(&properties) {
            let fields = EdgeFields {
                derived: edge.derived,
                source,
                target,
                edge_type,
                weight: version.weight,
                times: version.times,
                sources: version.sources.iter().map(String::as_str).collect(),
                properties,
            };
            versions.push((version.version, fields));
        }
        let Some((version, newest)) = versions.pop() else { return Ok(()) };
        let (namespace, txn) = (self.namespace, &mut *self.txn);
        let restored = txn.restore_edge(namespace, &edge.id, version, &newest, &versions);
        restored.map_err(of_draft)?;
        if newest.times.retracted_at.is_none() && edge_type == self.names.contains {
            self.mark_summary(target)?;
        }
        if edge_type == self.names.mentions {
            self.post_names(source)?;
        }
        Ok(())
    }

    /// Stores a part of a vector as it was. One that a model made is taken for that of the text that
    /// the node has.
    pub fn restore_embedding(&mut self, embedding: &RestoredEmbedding) -> Result<()> {
        names::check("an embedding id", &embedding.id).map_err(|error| error.of_field("id"))?;
        check_vector(&embedding.vector)?;
        self.check_time(embedding.created_at)?;
        let node = self.txn.require_node(self.namespace, &embedding.node_id);
        let node = node.map_err(|error| error.of_field("node_id"))?;
        let (space, record) = self.space(Some(&embedding.space), embedding.vector.len())?;
        check_dimension(&record, embedding.vector.len())?;
        if self.txn.resolve(self.namespace, Kind::Embedding, &embedding.id)?.is_some()
            || self.txn.embedding(self.namespace, space, node, embedding.part)?.is_some()
        {
            let taken = Error::AlreadyExists { kind: "embedding", id: embedding.id.clone() };
            return Err(taken.of_field("id"));
        }
        let mut content = ContentHash([0; 16]);
        if !embedding.set_by_user
            && let Some(text) = self.recipes()?.embedded_text(self.names, &self.node(node)?)?
        {
            content = ContentHash::of(&text.text);
            self.txn.put_text_hash(self.namespace, space, content, node)?;
        }
        self.txn.restore_embedding(
            self.namespace,
            space,
            node,
            embedding.part,
            &embedding.id,
            embedding.set_by_user,
            content,
            &embedding.vector,
            embedding.created_at,
        )?;
        self.vector_is_set(space, node)
    }

    /// Says when a node that was restored expires; one that is gone again has no need of it.
    pub fn restore_expiry(&mut self, id: &str, expires_at: i64) -> Result<()> {
        let Some(found) = self.resolve(Kind::Node, id)? else { return Ok(()) };
        self.txn.restore_expiry(self.namespace, found.slot, Some(expires_at))
    }

    /// Says what of a node is due, and that nothing else is but a vector that it lacks.
    pub fn restore_due(&mut self, id: &str, due: &[Artefact]) -> Result<()> {
        let slot = self.txn.require_node(self.namespace, id)?;
        for artefact in Artefact::LASTING {
            let lacks = artefact == Artefact::Embedding
                && is_pending(self.txn, self.namespace, artefact, slot)?;
            if lacks || due.contains(&artefact) && self.makes(artefact, slot)? {
                self.mark(artefact, slot)?;
            } else {
                self.done(artefact, slot)?;
            }
        }
        Ok(())
    }

    /// Whether there is such an artefact of a node.
    fn makes(&mut self, artefact: Artefact, slot: Slot) -> Result<bool> {
        let recipes = self.recipes()?;
        let node = self.node(slot)?;
        Ok(match artefact {
            Artefact::Embedding | Artefact::Reembedding => {
                recipes.embedded_text(self.names, &node)?.is_some()
            }
            Artefact::Entities | Artefact::Links | Artefact::Resolution | Artefact::Decisions => {
                node.has_label(self.names.message)
            }
            Artefact::Summary => node.has_label(self.names.chat),
            Artefact::Curiosity => !node.derived,
            Artefact::Topics => {
                let topic = self.txn.symbol(TOPIC)?;
                let labels = [Some(self.names.entity), Some(self.names.message), topic];
                labels.into_iter().flatten().any(|label| node.has_label(label))
            }
        })
    }

    /// Makes a space as it was; false when its vectors cannot be taken over: its name is that of another
    /// model's space, or it was the default one of a model, and this database has another's.
    pub fn restore_space(&mut self, space: &SpaceRecord, default: bool) -> Result<bool> {
        names::check("the name of a space", &space.name)?;
        let known = self.txn.live_spaces()?;
        let of_model = |space: &SpaceRecord| !space.model.is_empty();
        let found = known.iter().find(|(_, known)| known.name == space.name);
        if let Some((_, found)) = found {
            let made = |space: &SpaceRecord| {
                (space.model.clone(), space.precision.clone(), space.dimension)
            };
            if of_model(space) {
                return Ok(made(found) == made(space));
            }
            check_dimension(found, space.dimension as usize)?;
            return Ok(true);
        }
        let has_model = self.txn.model_space()?.is_some();
        if of_model(space) && default && has_model {
            return Ok(false);
        }
        let made: SpaceId = self.txn.create_space(space)?;
        if of_model(space) && !has_model {
            self.txn.set_model_space(made)?;
        }
        if default && self.txn.default_space()?.is_none() {
            self.txn.set_default_space(made)?;
        }
        Ok(true)
    }

    /// A time of another machine becomes one that this database is not before; one that lies ahead is
    /// no time at which anything can have been stored.
    fn check_time(&mut self, time: i64) -> Result<()> {
        let now = clock::now();
        if time > now.saturating_add(AHEAD) {
            return Err(Error::InvalidInput(format!(
                "it was stored at {time} µs, but it is {now} µs now; set the clock of this machine"
            )));
        }
        self.txn.not_before(time);
        Ok(())
    }
}

fn check_version(version: u64) -> Result<()> {
    if version > 0 {
        return Ok(());
    }
    Err(Error::InvalidInput("the version is 0; the first one is 1".into()))
}

/// Whether what an edge said can have followed each other.
fn check_versions(edge: &RestoredEdge) -> Result<()> {
    for version in &edge.versions {
        check_version(version.version)?;
        let EdgeTimes { valid_from, valid_to, .. } = version.times;
        let draft = EdgeDraft {
            id: Some(edge.id.clone()),
            source: edge.source.clone(),
            target: edge.target.clone(),
            edge_type: edge.edge_type.clone(),
            properties: Draft::new(),
            weight: version.weight,
            valid_from,
            valid_to,
            sources: version.sources.clone(),
        };
        draft.check()?;
        if version.times.retracted_at.is_some_and(|end| end < version.times.recorded_at) {
            return Err(out_of_order(edge));
        }
    }
    for pair in edge.versions.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let follows = before.times.retracted_at == Some(after.times.recorded_at)
            && before.times.recorded_at < after.times.recorded_at
            && before.version < after.version;
        if !follows {
            return Err(out_of_order(edge));
        }
    }
    if edge.versions.is_empty() { Err(out_of_order(edge)) } else { Ok(()) }
}

fn out_of_order(edge: &RestoredEdge) -> Error {
    Error::InvalidInput(format!(
        "the versions of the edge {:?} do not follow each other: each ends when the next was \
         recorded; take all of them from one export",
        edge.id
    ))
}
