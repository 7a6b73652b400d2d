//! Changes of the graph with everything that follows from them in the same transaction: property
//! postings, the edges of chats, the work that is now due, and what derived data loses its ground.

use embedded_db_common::record::Properties;
use embedded_db_common::{
    ContentHash, Draft, Error, MAX_DIMENSION, NamespaceId, Result, Slot, SpaceId, Symbol, ValueRef,
    clock, encode_properties, names,
};
use embedded_db_storage::{
    Direction, EdgeFields, EdgeTimes, IndexId, Kind, Neighbor, NodeRecord, ReadTxn, SpaceRecord,
    WriteTxn, text_value,
};

use crate::schema::Names;

/// What the weaver makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Artefact {
    /// The vector of a message.
    Embedding = 1,
    /// The entities a message mentions.
    Entities = 2,
    /// The relations between entities that a message mentions together.
    Links = 3,
    /// The summary of a chat.
    Summary = 4,
}

impl Artefact {
    /// In the order of the work.
    pub const ALL: [Self; 4] = [Self::Embedding, Self::Entities, Self::Links, Self::Summary];

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Entities => "entities",
            Self::Links => "links",
            Self::Summary => "summary",
        }
    }

    /// From its public name.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|artefact| artefact.name() == name).ok_or_else(|| {
            Error::InvalidInput(format!(
                "{name:?} is no artefact; use \"embedding\", \"entities\", \"links\" or \"summary\""
            ))
        })
    }

    /// The posting of the nodes that wait for it.
    fn value(self, namespace: NamespaceId) -> [u8; 5] {
        let [a, b, c, d] = namespace.0.to_be_bytes();
        [self as u8, a, b, c, d]
    }
}

/// Whether a node waits for an artefact.
pub fn is_pending(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    artefact: Artefact,
    slot: Slot,
) -> Result<bool> {
    txn.posted(NamespaceId::SYSTEM, IndexId::PENDING, &artefact.value(namespace), slot)
}

/// All nodes of a namespace that wait for an artefact.
pub fn pending(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    artefact: Artefact,
) -> Result<roaring::RoaringBitmap> {
    let value = artefact.value(namespace);
    crate::posting(txn, NamespaceId::SYSTEM, IndexId::PENDING, &value)
}

/// A node to be made.
#[derive(Debug, Clone, Default)]
pub struct NodeDraft {
    /// Its id; made when none is given.
    pub id: Option<String>,
    /// At least one.
    pub labels: Vec<String>,
    /// Its properties.
    pub properties: Draft,
}

/// What changes on a node or edge.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Properties that get a value.
    pub set: Draft,
    /// Properties that go.
    pub remove: Vec<String>,
}

/// An edge to be made.
#[derive(Debug, Clone)]
pub struct EdgeDraft {
    /// Its id; made when none is given.
    pub id: Option<String>,
    /// Id of the node where it begins.
    pub source: String,
    /// Id of the node where it ends.
    pub target: String,
    /// Its type.
    pub edge_type: String,
    /// Its properties.
    pub properties: Draft,
    /// Its weight.
    pub weight: f64,
    /// True in the world from here on; microseconds UTC.
    pub valid_from: Option<i64>,
    /// True in the world until here; microseconds UTC.
    pub valid_to: Option<i64>,
    /// Ids of what it was derived from.
    pub sources: Vec<String>,
}

/// What changes on an edge.
#[derive(Debug, Clone, Default)]
pub struct EdgeChanges {
    /// Properties.
    pub properties: Changes,
    /// A new weight.
    pub weight: Option<f64>,
    /// A new beginning of validity; `Some(None)` removes it.
    pub valid_from: Option<Option<i64>>,
    /// A new end of validity; `Some(None)` removes it.
    pub valid_to: Option<Option<i64>>,
}

/// A vector to be stored.
#[derive(Debug, Clone)]
pub struct EmbeddingDraft {
    /// Its id; made when none is given.
    pub id: Option<String>,
    /// Id of its node.
    pub node_id: String,
    /// Name of the space; the default one when none is given.
    pub space: Option<String>,
    /// Its numbers.
    pub vector: Vec<f32>,
}

/// Writes one namespace of the graph.
pub struct GraphWriter<'t, 'e> {
    /// The transaction.
    pub txn: &'t mut WriteTxn<'e>,
    names: &'t Names,
    namespace: NamespaceId,
}

impl<'t, 'e> GraphWriter<'t, 'e> {
    /// A writer over a transaction.
    pub fn new(txn: &'t mut WriteTxn<'e>, names: &'t Names, namespace: NamespaceId) -> Self {
        Self { txn, names, namespace }
    }

    // ---- nodes

    /// Makes a node; returns its id.
    pub fn create_node(&mut self, draft: &NodeDraft) -> Result<(String, Slot)> {
        self.make_node(draft, false)
    }

    fn make_node(&mut self, draft: &NodeDraft, derived: bool) -> Result<(String, Slot)> {
        if draft.labels.is_empty() {
            return Err(Error::InvalidInput("a node needs at least one label; give labels".into()));
        }
        let mut labels = Vec::with_capacity(draft.labels.len());
        for label in &draft.labels {
            names::check("a label", label)?;
            let symbol = self.txn.intern(label)?;
            if !labels.contains(&symbol) {
                labels.push(symbol);
            }
        }
        let id = match &draft.id {
            Some(id) => {
                names::check("a node id", id)?;
                id.clone()
            }
            None => clock::new_id(&names::snake_case(&draft.labels[0])),
        };
        let properties = self.encode(&draft.properties)?;
        let slot = self.txn.insert_node(self.namespace, &id, &labels, &properties, derived)?;
        self.post_properties(slot, &properties, true)?;
        if labels.contains(&self.names.message) {
            self.text_changed(slot)?;
        }
        Ok((id, slot))
    }

    /// Changes properties of a node.
    pub fn update_node(&mut self, slot: Slot, changes: &Changes) -> Result<()> {
        let node = self.node(slot)?;
        let old = node.properties.as_bytes().to_vec();
        let text = self.names.message_text(&node)?;
        let found_by = self.entity_key(&node)?;
        let properties = self.merge(&old, changes)?;
        self.post_properties(slot, &old, false)?;
        self.txn.update_node(self.namespace, slot, &properties)?;
        self.post_properties(slot, &properties, true)?;
        let now_found_by = self.entity_key(&self.node(slot)?)?;
        if now_found_by != found_by {
            if let Some(key) = found_by {
                self.txn.unpost(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
            }
            if let Some(key) = now_found_by {
                self.txn.post(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
            }
        }
        if self.names.message_text(&self.node(slot)?)? != text {
            self.retract_derived(slot)?;
            self.text_changed(slot)?;
            self.mark_summary(slot)?;
        }
        Ok(())
    }

    /// Removes a node, its edges and vectors, and what was derived from it. A chat goes with its
    /// messages and summary; the neighbours of a message in its chat close up.
    pub fn delete_node(&mut self, slot: Slot) -> Result<()> {
        let node = self.node(slot)?;
        let (chat, message) = (node.has_label(self.names.chat), node.has_label(self.names.message));
        let entity = node.has_label(self.names.entity);
        if chat {
            for owned in self.targets(slot, Direction::Out, self.names.contains)? {
                if self.is_labelled(owned, self.names.message)? {
                    self.delete_message(owned, false)?;
                }
            }
            for summary in self.targets(slot, Direction::In, self.names.summarizes)? {
                if self.is_labelled(summary, self.names.summary)? {
                    self.remove_node(summary)?;
                }
            }
        }
        if entity {
            for message in self.targets(slot, Direction::In, self.names.mentions)? {
                self.leave_pairs(message, slot)?;
            }
        }
        if message { self.delete_message(slot, true) } else { self.remove_node(slot) }
    }

    /// Users may tie anything together, twice over: whether a node is (still) there with a label.
    fn is_labelled(&self, slot: Slot, label: Symbol) -> Result<bool> {
        Ok(self.txn.node(self.namespace, slot)?.is_some_and(|node| node.has_label(label)))
    }

    fn delete_message(&mut self, slot: Slot, close_up: bool) -> Result<()> {
        let next = self.names.next;
        let before = self.txn.last_neighbor(self.namespace, slot, Direction::In, next)?;
        let after = self.txn.last_neighbor(self.namespace, slot, Direction::Out, next)?;
        let chats = self.targets(slot, Direction::In, self.names.contains)?;
        // A user's own mentions go with the message: they hold no entity back.
        let derived = self.derived_mentions(slot)?;
        for end in self.ends(slot, Direction::Out, self.names.mentions)? {
            if !derived.contains(&(end.edge, end.node)) {
                self.txn.delete_edge(self.namespace, end.edge)?;
            }
        }
        self.retract_derived(slot)?;
        self.remove_node(slot)?;
        if close_up {
            if let (Some(before), Some(after)) = (before, after) {
                self.link(before.node, after.node, next, "next", 1.0, &[], &Draft::new())?;
            }
            for chat in chats {
                self.mark(Artefact::Summary, chat)?;
            }
        }
        Ok(())
    }

    /// Removes the node itself with its postings and work.
    fn remove_node(&mut self, slot: Slot) -> Result<()> {
        let node = self.node(slot)?;
        let properties = node.properties.as_bytes().to_vec();
        let key = self.entity_key(&node)?;
        self.post_properties(slot, &properties, false)?;
        if let Some(key) = key {
            self.txn.unpost(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
        }
        for artefact in Artefact::ALL {
            self.unmark(artefact, slot)?;
            self.txn.delete_work(self.namespace, slot, artefact as u8)?;
        }
        self.txn.delete_node(self.namespace, slot)
    }

    fn node(&self, slot: Slot) -> Result<NodeRecord<'_>> {
        self.txn.node(self.namespace, slot)?.ok_or_else(|| {
            Error::Internal(format!("{slot:?} was resolved in this transaction but is not there"))
        })
    }

    /// Nodes at the other end of edges of one type.
    fn targets(&self, slot: Slot, direction: Direction, edge_type: Symbol) -> Result<Vec<Slot>> {
        let ends = self.ends(slot, direction, edge_type)?;
        Ok(ends.into_iter().map(|neighbor| neighbor.node).collect())
    }

    /// Edges of one type, each with the node at its other end.
    fn ends(&self, slot: Slot, direction: Direction, edge_type: Symbol) -> Result<Vec<Neighbor>> {
        let mut out = Vec::new();
        self.txn.neighbors(self.namespace, slot, direction, Some(edge_type), |_, neighbor| {
            out.push(neighbor);
            true
        })?;
        Ok(out)
    }

    /// Version of a node or edge; 0 when there is none. An embedding has its existence only.
    pub fn version(&self, kind: Kind, id: &str) -> Result<u64> {
        let Some(found) = self.txn.resolve(self.namespace, kind, id)? else { return Ok(0) };
        Ok(match kind {
            Kind::Node => self.node(found.slot)?.version,
            Kind::Namespace => 0,
            Kind::Edge => self.txn.edge(self.namespace, found.slot)?.map_or(0, |edge| edge.version),
            Kind::Embedding => {
                let part = (found.space, found.slot, found.part);
                let stored = self.txn.embedding(self.namespace, part.0, part.1, part.2)?;
                stored.map_or(0, |embedding| embedding.lsn.0)
            }
        })
    }

    // ---- properties

    fn encode(&mut self, draft: &Draft) -> Result<Vec<u8>> {
        draft.check_names()?;
        let mut properties = Vec::with_capacity(draft.iter().len());
        for (name, value) in draft.iter() {
            properties.push((self.txn.intern(name)?, value));
        }
        Ok(encode_properties(properties.into_iter()))
    }

    fn merge(&mut self, old: &[u8], changes: &Changes) -> Result<Vec<u8>> {
        changes.set.check_names()?;
        let mut properties: Vec<(Symbol, &[u8])> = Vec::new();
        for entry in Properties::new(old).iter_raw()? {
            properties.push(entry?);
        }
        for name in &changes.remove {
            if let Some(symbol) = self.txn.symbol(name)? {
                properties.retain(|(known, _)| *known != symbol);
            }
        }
        for (name, value) in changes.set.iter() {
            let symbol = self.txn.intern(name)?;
            match properties.iter_mut().find(|(known, _)| *known == symbol) {
                Some((_, place)) => *place = value,
                None => properties.push((symbol, value)),
            }
        }
        Ok(encode_properties(properties.into_iter()))
    }

    fn post_properties(&mut self, slot: Slot, properties: &[u8], present: bool) -> Result<()> {
        let properties = Properties::new(properties);
        for index in self.names.indexes() {
            if let Some(ValueRef::Str(text)) = properties.get(index.property)? {
                let value = text_value(text);
                if present {
                    self.txn.post(self.namespace, index.index, &value, slot)?;
                } else {
                    self.txn.unpost(self.namespace, index.index, &value, slot)?;
                }
            }
        }
        Ok(())
    }

    // ---- edges

    /// Makes an edge; returns its id.
    pub fn create_edge(&mut self, draft: &EdgeDraft) -> Result<(String, Slot)> {
        names::check("an edge type", &draft.edge_type)?;
        let source = self.txn.require_node(self.namespace, &draft.source)?;
        let target = self.txn.require_node(self.namespace, &draft.target)?;
        let edge_type = self.txn.intern(&draft.edge_type)?;
        check_weight(draft.weight)?;
        check_interval(draft.valid_from, draft.valid_to)?;
        let id = match &draft.id {
            Some(id) => {
                names::check("an edge id", id)?;
                id.clone()
            }
            None => clock::new_id(&names::snake_case(&draft.edge_type)),
        };
        for source in &draft.sources {
            names::check("a source", source)?;
        }
        let properties = self.encode(&draft.properties)?;
        let times = EdgeTimes {
            valid_from: draft.valid_from,
            valid_to: draft.valid_to,
            recorded_at: self.txn.now(),
            retracted_at: None,
        };
        let sources = draft.sources.iter().map(String::as_str).collect();
        let fields = EdgeFields {
            derived: false,
            source,
            target,
            edge_type,
            weight: draft.weight,
            times,
            sources,
            properties: &properties,
        };
        let slot = self.txn.insert_edge(self.namespace, &id, &fields)?;
        Ok((id, slot))
    }

    /// An edge that the database makes by itself.
    #[allow(clippy::too_many_arguments)]
    fn link(
        &mut self,
        source: Slot,
        target: Slot,
        edge_type: Symbol,
        prefix: &str,
        weight: f64,
        sources: &[&str],
        properties: &Draft,
    ) -> Result<Slot> {
        let properties = self.encode(properties)?;
        let times = EdgeTimes { recorded_at: self.txn.now(), ..EdgeTimes::default() };
        let fields = EdgeFields {
            derived: true,
            source,
            target,
            edge_type,
            weight,
            times,
            sources: sources.to_vec(),
            properties: &properties,
        };
        self.txn.insert_edge(self.namespace, &clock::new_id(prefix), &fields)
    }

    /// Changes an edge.
    pub fn update_edge(&mut self, slot: Slot, changes: &EdgeChanges) -> Result<()> {
        self.change_edge(slot, changes, 1)
    }

    /// `step` is what the change adds to the version: nothing, when no user made it.
    fn change_edge(&mut self, slot: Slot, changes: &EdgeChanges, step: u64) -> Result<()> {
        let edge = self.txn.edge(self.namespace, slot)?.ok_or_else(|| {
            Error::Internal(format!("edge {slot:?} was resolved in this transaction but is gone"))
        })?;
        let (id, version) = (edge.id.to_owned(), edge.version + step);
        let (source, target, edge_type) = (edge.source, edge.target, edge.edge_type);
        let derived = edge.derived;
        let weight = changes.weight.unwrap_or(edge.weight);
        let times = EdgeTimes {
            valid_from: changes.valid_from.unwrap_or(edge.times.valid_from),
            valid_to: changes.valid_to.unwrap_or(edge.times.valid_to),
            ..edge.times
        };
        check_weight(weight)?;
        check_interval(times.valid_from, times.valid_to)?;
        let sources: Vec<String> = edge.sources().map(str::to_owned).collect();
        let old = edge.properties.as_bytes().to_vec();
        let properties = self.merge(&old, &changes.properties)?;
        let fields = EdgeFields {
            derived,
            source,
            target,
            edge_type,
            weight,
            times,
            sources: sources.iter().map(String::as_str).collect(),
            properties: &properties,
        };
        self.txn.update_edge(self.namespace, slot, version, &id, &fields)
    }

    /// Removes an edge. A derived mention goes with what it counted for.
    pub fn delete_edge(&mut self, slot: Slot) -> Result<()> {
        if let Some(edge) = self.txn.edge(self.namespace, slot)?
            && edge.edge_type == self.names.mentions
        {
            let (message, entity) = (edge.source, edge.target);
            if self.derived_mentions(message)?.contains(&(slot, entity)) {
                self.leave_pairs(message, entity)?;
                self.txn.delete_edge(self.namespace, slot)?;
                return self.count_mention(entity, -1);
            }
        }
        self.txn.delete_edge(self.namespace, slot)
    }

    // ---- embeddings

    /// The space of this name, or the default one; made when it is new.
    pub fn space(
        &mut self,
        name: Option<&str>,
        dimension: usize,
    ) -> Result<(SpaceId, SpaceRecord)> {
        let spaces = self.txn.spaces()?;
        let wanted = match name {
            Some(name) => spaces.iter().find(|(_, space)| space.name == name),
            None => {
                let default = self.txn.default_space()?;
                spaces.iter().find(|(id, _)| Some(*id) == default)
            }
        };
        if let Some(found) = wanted {
            return Ok(found.clone());
        }
        let name = name.unwrap_or("default");
        names::check("the name of a space", name)?;
        let space = SpaceRecord {
            name: name.to_owned(),
            model: String::new(),
            provider: "user".into(),
            precision: "fp32".into(),
            dimension: u32::try_from(dimension).map_err(|_| dimension_error(dimension))?,
            metric: "cosine".into(),
        };
        let id = self.txn.create_space(&space)?;
        if self.txn.default_space()?.is_none() {
            self.txn.set_default_space(id)?;
        }
        Ok((id, space))
    }

    /// Stores a vector that a user gives; returns its id.
    pub fn create_embedding(&mut self, draft: &EmbeddingDraft) -> Result<String> {
        check_vector(&draft.vector)?;
        let node = self.txn.require_node(self.namespace, &draft.node_id)?;
        let (space, record) = self.space(draft.space.as_deref(), draft.vector.len())?;
        check_dimension(&record, draft.vector.len())?;
        let id = match &draft.id {
            Some(id) => {
                names::check("an embedding id", id)?;
                if self.txn.resolve(self.namespace, Kind::Embedding, id)?.is_some() {
                    return Err(Error::AlreadyExists { kind: "embedding", id: id.clone() });
                }
                id.clone()
            }
            None => clock::new_id("embedding"),
        };
        // A user's vector stands for the whole node.
        self.txn.delete_embeddings(self.namespace, space, node)?;
        self.txn.put_embedding(
            self.namespace,
            space,
            node,
            0,
            &id,
            true,
            ContentHash([0; 16]),
            &draft.vector,
        )?;
        // One in a space of the user's own does not stand for the model's.
        if self.txn.default_space()? == Some(space) {
            self.done(Artefact::Embedding, node)?;
            self.mark_summary(node)?;
        }
        Ok(id)
    }

    /// Replaces the numbers of a vector.
    pub fn update_embedding(&mut self, id: &str, vector: &[f32]) -> Result<()> {
        check_vector(vector)?;
        let found = self.txn.resolve(self.namespace, Kind::Embedding, id)?;
        let found = found.ok_or_else(|| not_found("embedding", id))?;
        let spaces = self.txn.spaces()?;
        if let Some((_, record)) = spaces.iter().find(|(space, _)| *space == found.space) {
            check_dimension(record, vector.len())?;
        }
        self.txn.put_embedding(
            self.namespace,
            found.space,
            found.slot,
            found.part,
            id,
            true,
            ContentHash([0; 16]),
            vector,
        )
    }

    /// Removes the embedding of a node of which `id` is a part. A message gets the model's again.
    pub fn delete_embedding(&mut self, id: &str) -> Result<()> {
        let found = self.txn.resolve(self.namespace, Kind::Embedding, id)?;
        let found = found.ok_or_else(|| not_found("embedding", id))?;
        self.txn.delete_embeddings(self.namespace, found.space, found.slot)?;
        let due = self.txn.default_space()? == Some(found.space)
            && self.names.message_text(&self.node(found.slot)?)?.is_some();
        if due { self.mark(Artefact::Embedding, found.slot) } else { Ok(()) }
    }

    // ---- chats

    /// The chat of this id, made when it is new.
    pub fn ensure_chat(&mut self, chat_id: &str) -> Result<Slot> {
        if let Some(slot) = self.txn.node_slot(self.namespace, chat_id)? {
            if self.node(slot)?.has_label(self.names.chat) {
                return Ok(slot);
            }
            return Err(Error::InvalidInput(format!(
                "the node {chat_id:?} is no Chat; give the id of a chat, or a new one"
            )));
        }
        let draft = NodeDraft {
            id: Some(chat_id.to_owned()),
            labels: vec!["Chat".into()],
            properties: Draft::new(),
        };
        self.create_node(&draft).map(|(_, slot)| slot)
    }

    /// Appends a message to a chat. `properties` hold what a message has besides its chat.
    pub fn add_message(
        &mut self,
        chat: Slot,
        chat_id: &str,
        id: Option<&str>,
        properties: &Draft,
    ) -> Result<Slot> {
        let mut all = Draft::new();
        all.set("chat_id", &embedded_db_common::Value::Str(chat_id.to_owned()))?;
        for (name, value) in properties.iter() {
            all.push(name, |out| {
                out.extend_from_slice(value);
                Ok::<(), Error>(())
            })?;
        }
        if all.get("timestamp").is_none() {
            all.set("timestamp", &embedded_db_common::Value::Time(self.txn.now()))?;
        }
        let draft = NodeDraft {
            id: id.map(str::to_owned),
            labels: vec!["Message".into()],
            properties: all,
        };
        let contains = self.names.contains;
        let last = self.txn.last_neighbor(self.namespace, chat, Direction::Out, contains)?;
        let (_, slot) = self.create_node(&draft)?;
        self.link(chat, slot, contains, "contains", 1.0, &[], &Draft::new())?;
        if let Some(last) = last {
            self.link(last.node, slot, self.names.next, "next", 1.0, &[], &Draft::new())?;
        }
        Ok(slot)
    }

    // ---- derived data and work

    /// The text of a message is new: work is due.
    fn text_changed(&mut self, slot: Slot) -> Result<()> {
        let has_text = self.names.message_text(&self.node(slot)?)?.is_some();
        let by_user = match self.txn.default_space()? {
            Some(space) => {
                let parts = self.txn.embeddings_of(self.namespace, space, slot)?;
                parts.first().is_some_and(|(_, embedding)| embedding.set_by_user)
            }
            None => false,
        };
        for artefact in [Artefact::Embedding, Artefact::Entities] {
            self.txn.delete_work(self.namespace, slot, artefact as u8)?;
            if has_text && !(by_user && artefact == Artefact::Embedding) {
                self.mark(artefact, slot)?;
            } else {
                self.unmark(artefact, slot)?;
            }
        }
        Ok(())
    }

    /// Takes back what was derived from a message: its vectors (unless a user set them), mentions,
    /// and its part in the counts of entities and relations.
    pub fn retract_derived(&mut self, slot: Slot) -> Result<()> {
        let spaces = self.txn.spaces()?;
        for (space, _) in spaces {
            let parts = self.txn.embeddings_of(self.namespace, space, slot)?;
            if parts.first().is_some_and(|(_, embedding)| !embedding.set_by_user) {
                drop(parts);
                self.txn.delete_embeddings(self.namespace, space, slot)?;
            }
        }
        self.retract_mentions(slot)
    }

    /// Takes back the mentions of a message and what they counted for.
    pub fn retract_mentions(&mut self, slot: Slot) -> Result<()> {
        let mentioned = self.mentioned(slot)?;
        let linked =
            !mentioned.is_empty() && !is_pending(self.txn, self.namespace, Artefact::Links, slot)?;
        if linked {
            self.count_pairs(&mentioned, -1.0)?;
        }
        self.unmark(Artefact::Links, slot)?;
        self.txn.delete_work(self.namespace, slot, Artefact::Links as u8)?;
        for (edge, _) in self.derived_mentions(slot)? {
            self.txn.delete_edge(self.namespace, edge)?;
        }
        for entity in mentioned {
            self.count_mention(entity, -1)?;
        }
        Ok(())
    }

    /// Entities that were found in a message, first mention first, each once.
    pub fn mentioned(&self, slot: Slot) -> Result<Vec<Slot>> {
        let mut out = Vec::new();
        for (_, entity) in self.derived_mentions(slot)? {
            if !out.contains(&entity) {
                out.push(entity);
            }
        }
        Ok(out)
    }

    /// Edge and entity of each mention that was derived from a message. Edges of this type that a
    /// user has made are the user's.
    fn derived_mentions(&self, slot: Slot) -> Result<Vec<(Slot, Slot)>> {
        let mut derived = Vec::new();
        for end in self.ends(slot, Direction::Out, self.names.mentions)? {
            let edge = self.txn.edge(self.namespace, end.edge)?;
            if edge.is_some_and(|edge| edge.derived)
                && self.is_labelled(end.node, self.names.entity)?
            {
                derived.push((end.edge, end.node));
            }
        }
        Ok(derived)
    }

    /// A message is no longer counted in the relations of one of its entities; others may take its
    /// place among those that are paired.
    fn leave_pairs(&mut self, message: Slot, entity: Slot) -> Result<()> {
        if is_pending(self.txn, self.namespace, Artefact::Links, message)? {
            return Ok(());
        }
        let mut mentioned = self.mentioned(message)?;
        if mentioned.contains(&entity) {
            self.count_pairs(&mentioned, -1.0)?;
            mentioned.retain(|other| *other != entity);
            self.count_pairs(&mentioned, 1.0)?;
        }
        Ok(())
    }

    /// Adds a mention of an entity, which is made when it is new. `times` is how often the message
    /// names it; `start` and `end` are the characters of the first time.
    pub fn add_mention(
        &mut self,
        message: Slot,
        name: &str,
        entity_type: &str,
        (start, end): (usize, usize),
        times: usize,
    ) -> Result<Slot> {
        use embedded_db_common::Value;
        let entity = self.ensure_entity(name, entity_type)?;
        let mut properties = Draft::new();
        properties.set("start", &Value::Int(start as i64))?;
        properties.set("end", &Value::Int(end as i64))?;
        let source = self.node(message)?.id.to_owned();
        self.link(
            message,
            entity,
            self.names.mentions,
            "mentions",
            times as f64,
            &[&source],
            &properties,
        )?;
        self.count_mention(entity, 1)?;
        Ok(entity)
    }

    fn ensure_entity(&mut self, name: &str, entity_type: &str) -> Result<Slot> {
        use embedded_db_common::Value;
        let key = text_value(&fold(name));
        let known = crate::posting(self.txn, self.namespace, IndexId::ENTITY_KEY, &key)?;
        for slot in known {
            let Some(node) = self.txn.node(self.namespace, Slot(slot))? else { continue };
            if let Some(ValueRef::Str(label)) = node.properties.get(self.names.label)?
                && fold(label) == fold(name)
            {
                return Ok(Slot(slot));
            }
        }
        let mut properties = Draft::new();
        properties.set("label", &Value::Str(name.to_owned()))?;
        properties.set("entity_type", &Value::Str(entity_type.to_owned()))?;
        properties.set("aliases", &Value::List(Vec::new()))?;
        properties.set("mention_count", &Value::Int(0))?;
        let draft = NodeDraft { id: None, labels: vec!["Entity".into()], properties };
        let (_, slot) = self.make_node(&draft, true)?;
        self.txn.post(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
        Ok(slot)
    }

    /// The posting key of an entity that the weaver made; no other node has one.
    fn entity_key(&self, node: &NodeRecord<'_>) -> Result<Option<Vec<u8>>> {
        if !(node.derived && node.has_label(self.names.entity)) {
            return Ok(None);
        }
        let label = node.properties.get(self.names.label)?;
        Ok(label.and_then(|label| label.as_str()).map(|label| text_value(&fold(label))))
    }

    /// Changes the count of messages that mention an entity. One that nobody mentions any more goes,
    /// unless a user has tied it to something.
    fn count_mention(&mut self, entity: Slot, by: i64) -> Result<()> {
        use embedded_db_common::Value;
        let node = self.node(entity)?;
        let count = match node.properties.get(self.names.mention_count)? {
            Some(ValueRef::Int(count)) => count + by,
            _ => by.max(0),
        };
        let old = node.properties.as_bytes().to_vec();
        if count <= 0 {
            let mut tied = false;
            for direction in [Direction::Out, Direction::In] {
                self.txn.neighbors(self.namespace, entity, direction, None, |edge_type, _| {
                    // Mentions that the weaver has made were counted: the rest are a user's.
                    tied |= edge_type != self.names.related_to;
                    !tied
                })?;
            }
            if !tied {
                return self.remove_node(entity);
            }
        }
        let mut changes = Changes::default();
        changes.set.set("mention_count", &Value::Int(count.max(0)))?;
        let properties = self.merge(&old, &changes)?;
        self.txn.touch_node(self.namespace, entity, &properties)
    }

    /// Counts a message in the relations between the entities it mentions.
    pub fn link_mentions(&mut self, message: Slot) -> Result<()> {
        let mentioned = self.mentioned(message)?;
        self.count_pairs(&mentioned, 1.0)
    }

    fn count_pairs(&mut self, entities: &[Slot], by: f64) -> Result<()> {
        /// Pairs of more entities than this would drown a graph in one long message.
        const MOST: usize = 16;
        let entities = &entities[..entities.len().min(MOST)];
        for (at, first) in entities.iter().enumerate() {
            for second in &entities[at + 1..] {
                self.count_pair(*first.min(second), *first.max(second), by)?;
            }
        }
        Ok(())
    }

    fn count_pair(&mut self, source: Slot, target: Slot, by: f64) -> Result<()> {
        let related_to = self.names.related_to;
        let mut found = None;
        self.txn.neighbors(
            self.namespace,
            source,
            Direction::Out,
            Some(related_to),
            |_, neighbor| {
                if neighbor.node == target {
                    found = Some(neighbor.edge);
                }
                found.is_none()
            },
        )?;
        let Some(edge) = found else {
            if by > 0.0 {
                self.link(source, target, related_to, "related_to", by, &[], &Draft::new())?;
            }
            return Ok(());
        };
        let weight = self.txn.edge(self.namespace, edge)?.map_or(0.0, |edge| edge.weight) + by;
        if weight <= 0.0 {
            return self.txn.delete_edge(self.namespace, edge);
        }
        let changes = EdgeChanges { weight: Some(weight), ..EdgeChanges::default() };
        self.change_edge(edge, &changes, 0)
    }

    /// Stores the summary of a chat in place of an earlier one.
    pub fn put_summary(
        &mut self,
        chat: Slot,
        text: &str,
        first_message: &str,
        last_message: &str,
    ) -> Result<Slot> {
        use embedded_db_common::Value;
        let chat_id = self.node(chat)?.id.to_owned();
        let mut properties = Draft::new();
        for (name, value) in [
            ("chat_id", chat_id.as_str()),
            ("text", text),
            ("first_message", first_message),
            ("last_message", last_message),
        ] {
            properties.set(name, &Value::Str(value.to_owned()))?;
        }
        if let Some(summary) = self.targets(chat, Direction::In, self.names.summarizes)?.first() {
            self.update_node(*summary, &Changes { set: properties, remove: Vec::new() })?;
            return Ok(*summary);
        }
        let draft = NodeDraft { id: None, labels: vec!["Summary".into()], properties };
        let (_, slot) = self.make_node(&draft, true)?;
        let summarizes = self.names.summarizes;
        self.link(slot, chat, summarizes, "summarizes", 1.0, &[&chat_id], &Draft::new())?;
        Ok(slot)
    }

    /// Removes the summary of a chat that has no messages any more.
    pub fn remove_summary(&mut self, chat: Slot) -> Result<()> {
        for summary in self.targets(chat, Direction::In, self.names.summarizes)? {
            self.remove_node(summary)?;
        }
        Ok(())
    }

    /// Work on an artefact is due.
    pub fn mark(&mut self, artefact: Artefact, slot: Slot) -> Result<()> {
        let value = artefact.value(self.namespace);
        self.txn.post(NamespaceId::SYSTEM, IndexId::PENDING, &value, slot)
    }

    /// The summary of the chat that contains a message is due.
    pub fn mark_summary(&mut self, message: Slot) -> Result<()> {
        let contains = self.names.contains;
        let chat = self.txn.last_neighbor(self.namespace, message, Direction::In, contains)?;
        match chat {
            Some(chat) => self.mark(Artefact::Summary, chat.node),
            None => Ok(()),
        }
    }

    fn unmark(&mut self, artefact: Artefact, slot: Slot) -> Result<()> {
        let value = artefact.value(self.namespace);
        self.txn.unpost(NamespaceId::SYSTEM, IndexId::PENDING, &value, slot)
    }

    /// Work on an artefact is done, or was given up: nothing waits.
    pub fn done(&mut self, artefact: Artefact, slot: Slot) -> Result<()> {
        self.unmark(artefact, slot)?;
        self.txn.delete_work(self.namespace, slot, artefact as u8).map(drop)
    }

    /// Work on an artefact was given up; the record of why stays.
    pub fn give_up(&mut self, artefact: Artefact, slot: Slot) -> Result<()> {
        self.unmark(artefact, slot)
    }
}

/// The form of a name in which two spellings are one entity.
pub fn fold(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

fn not_found(kind: &'static str, id: &str) -> Error {
    Error::NotFound { kind, id: id.to_owned() }
}

fn check_weight(weight: f64) -> Result<()> {
    if weight.is_finite() {
        return Ok(());
    }
    Err(Error::InvalidInput(format!("the weight of an edge is {weight}; it must be finite")))
}

fn check_interval(from: Option<i64>, to: Option<i64>) -> Result<()> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => Err(Error::InvalidInput(format!(
            "valid_from ({from} µs) is after valid_to ({to} µs); swap them"
        ))),
        _ => Ok(()),
    }
}

fn dimension_error(dimension: usize) -> Error {
    Error::InvalidInput(format!(
        "the vector has {dimension} dimensions; 1 to {MAX_DIMENSION} are possible"
    ))
}

/// A vector must have a possible dimension and finite numbers.
pub fn check_vector(vector: &[f32]) -> Result<()> {
    if vector.is_empty() || vector.len() > MAX_DIMENSION {
        return Err(dimension_error(vector.len()));
    }
    match vector.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NonFiniteVector { index, value: vector[index] }),
        None => Ok(()),
    }
}

/// A vector must have the dimension of its space.
pub fn check_dimension(space: &SpaceRecord, got: usize) -> Result<()> {
    let expected = space.dimension as usize;
    if expected == got {
        return Ok(());
    }
    Err(Error::DimensionMismatch { expected, got, space: space.name.clone() })
}
