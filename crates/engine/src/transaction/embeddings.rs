//! Embeddings of a transaction.

use embedded_db_common::{Error, Result, clock, names};
use embedded_db_indexing::graph::{EmbeddingDraft, GivenVector, check_vector};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_storage::{Kind, ReadEmbeddings, ReadSpaces, ReadTxn};

use super::Transaction;
use super::commit::Op;
use crate::objects::{Embedding, Node};

impl Transaction {
    /// Stores a vector; returns the id of the embedding.
    pub fn create_embedding(&mut self, mut draft: EmbeddingDraft) -> Result<String> {
        check_vector(&draft.vector)?;
        self.check_node(&draft.node_id)?;
        let id = match draft.id.clone() {
            Some(id) => {
                names::check("an embedding id", &id)?;
                if self.has_embedding(&id)? {
                    return Err(Error::AlreadyExists { kind: "embedding", id });
                }
                id
            }
            // Nobody has it.
            None => clock::new_id("embedding"),
        };
        draft.id = Some(id.clone());
        self.own.put_embedding(&id, true);
        self.ops.push(Op::CreateEmbedding(draft));
        Ok(id)
    }

    /// The vector that comes with a node which was made in the same step.
    pub(super) fn embed_new_node(&mut self, id: &str, given: Option<GivenVector>) -> Result<()> {
        let Some(GivenVector { space, numbers }) = given else { return Ok(()) };
        let draft = EmbeddingDraft { id: None, node_id: id.to_owned(), space, vector: numbers };
        self.create_embedding(draft).map(drop).map_err(|error| error.of_field("embedding"))
    }

    /// Removes an embedding.
    pub fn delete_embedding(&mut self, id: &str) -> Result<()> {
        if !self.has_embedding(id)? {
            return Err(Error::NotFound { kind: "embedding", id: id.to_owned() });
        }
        self.own.put_embedding(id, false);
        self.ops.push(Op::DeleteEmbedding(id.to_owned()));
        Ok(())
    }

    /// The vector of a whole node, own writes included: what was given here, and none of a text that was
    /// changed here but for one that a user has set.
    pub fn embedding_of(&mut self, id: &str, space: Option<&str>) -> Result<Option<Embedding>> {
        let node = self.require_node(id)?;
        if let Some(given) = self.given_here(id, space)? {
            return Ok(Some(given));
        }
        let Some(stored) = self.reads.get_node(id)? else { return Ok(None) };
        let parts = self.reads.embeddings(id, space)?;
        let Some(first) = parts.first() else { return Ok(None) };
        let is_gone = parts.iter().any(|part| self.own.embedding(&part.id) == Some(false));
        let is_another = node.created_at()? != stored.created_at()?;
        if is_gone || is_another || (!first.set_by_user && self.says_otherwise(&node, &stored)?) {
            return Ok(None);
        }
        self.reads.embedding_of(id, space)
    }

    /// The vector that was last given here to a node in a space, which may be made at the commit.
    fn given_here(&self, id: &str, space: Option<&str>) -> Result<Option<Embedding>> {
        let mut given = self.ops.iter().rev().map_while(|op| match op {
            Op::DeleteNode(gone) if gone == id => None,
            op => Some(op),
        });
        let default = self.reads.reader(|reader| reader.space(None))?;
        let default = default.map_or_else(|| "default".to_owned(), |(_, record)| record.name);
        let wanted = space.unwrap_or(&default);
        let draft = given.find_map(|op| match op {
            Op::CreateEmbedding(draft) if draft.node_id == id => {
                (draft.space.as_deref().unwrap_or(&default) == wanted).then_some(draft)
            }
            _ => None,
        });
        let Some(EmbeddingDraft { id: Some(own), node_id, vector, .. }) = draft else {
            return Ok(None);
        };
        let spaces = self.reads.reader(|reader| reader.snapshot.live_spaces())?;
        let model = spaces.into_iter().find(|(_, record)| record.name == wanted);
        let is_there = self.own.embedding(own) == Some(true);
        Ok(is_there.then(|| Embedding {
            id: own.clone(),
            node_id: node_id.clone(),
            vector: vector.clone(),
            space: wanted.to_owned(),
            model: model.map_or_else(String::new, |(_, record)| record.model),
            part: 0,
            set_by_user: true,
            created_at: clock::now(),
        }))
    }

    /// Whether the text of a node that is embedded has been changed here.
    fn says_otherwise(&self, now: &Node, before: &Node) -> Result<bool> {
        let properties = self.reads.reader(|reader| {
            let recipes = Recipes::read(reader.snapshot, reader.namespace)?;
            before.embedded_properties(&recipes, &reader.engine.names)
        })?;
        for property in properties {
            let value = |node: &Node| node.property(&property, |value| Ok(value.to_value()?));
            if value(now)? != value(before)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an embedding exists, own writes included.
    fn has_embedding(&mut self, id: &str) -> Result<bool> {
        if let Some(own) = self.own.embedding(id) {
            return Ok(own);
        }
        let namespace = self.database.namespace_id();
        let version = self.reads.reader(|reader| {
            let found = match reader.snapshot.resolve(namespace, Kind::Embedding, id)? {
                Some(at) => reader.snapshot.embedding(namespace, at.space, at.slot, at.part)?,
                None => None,
            };
            Ok(found.map_or(0, |embedding| embedding.lsn.0))
        })?;
        self.see(Kind::Embedding, id, version)?;
        Ok(version > 0)
    }
}
