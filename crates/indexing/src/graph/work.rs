//! The work that is due: which artefacts of which nodes wait for the weaver.

use embedded_db_common::{Error, NamespaceId, Result, Slot};
use embedded_db_storage::{IndexId, ReadPostings, ReadSpaces, ReadTxn};

use super::GraphWriter;

/// What the weaver makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Artefact {
    /// The vector of a message, or of a node with declared texts.
    Embedding = 1,
    /// The entities a message mentions.
    Entities = 2,
    /// The relations between entities that a message mentions together.
    Links = 3,
    /// The summary of a chat.
    Summary = 4,
    /// The vector of a text in the space of another model, which is to take the place of the one in use.
    Reembedding = 5,
    /// The topics of a namespace: an entity whose mentions have changed waits for them.
    Topics = 6,
    /// Where the names of a message lead, when there are too many messages for the transaction of the change.
    Resolution = 7,
    /// Ties to similar nodes: a node that has a new vector waits for them.
    Curiosity = 8,
    /// Where the names of a message lead, and the short names that may stand for them, since a user has
    /// decided about an entity that it mentions.
    Decisions = 9,
}

impl Artefact {
    /// In the order of the work.
    pub const ALL: [Self; 9] = [
        Self::Embedding,
        Self::Entities,
        Self::Links,
        Self::Summary,
        Self::Reembedding,
        Self::Topics,
        Self::Resolution,
        Self::Curiosity,
        Self::Decisions,
    ];
    /// Those that a node has for good.
    pub const LASTING: [Self; 8] = [
        Self::Embedding,
        Self::Entities,
        Self::Links,
        Self::Summary,
        Self::Topics,
        Self::Resolution,
        Self::Curiosity,
        Self::Decisions,
    ];

    /// Whether a model makes it.
    pub fn needs_model(self) -> bool {
        !matches!(
            self,
            Self::Links | Self::Topics | Self::Resolution | Self::Curiosity | Self::Decisions
        )
    }

    /// Whether it is made only when nothing else is to be done.
    pub fn is_of_leisure(self) -> bool {
        matches!(self, Self::Topics | Self::Curiosity)
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Entities => "entities",
            Self::Links => "links",
            Self::Summary => "summary",
            Self::Reembedding => "reembedding",
            Self::Topics => "topics",
            Self::Resolution => "resolution",
            Self::Curiosity => "curiosity",
            Self::Decisions => "decisions",
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

    /// From its number in the store; `None` for one that this version does not know.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|artefact| *artefact as u8 == number)
    }

    /// The posting of the nodes that wait for it.
    pub(super) fn value(self, namespace: NamespaceId) -> [u8; 5] {
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

impl GraphWriter<'_, '_> {
    /// A node is new: what is due for its text. Nothing has been done for a slot before it was given.
    pub(super) fn text_is_due(&mut self, slot: Slot) -> Result<()> {
        let (has_text, is_message) = self.texts_of(slot)?;
        if has_text {
            self.mark(Artefact::Embedding, slot)?;
            if self.txn.next_space()?.is_some() {
                self.mark(Artefact::Reembedding, slot)?;
            }
        }
        if is_message { self.mark(Artefact::Entities, slot) } else { Ok(()) }
    }

    /// Whether a node has a text that is embedded, and whether names are looked for in it.
    fn texts_of(&mut self, slot: Slot) -> Result<(bool, bool)> {
        let recipes = self.recipes()?;
        let node = self.node(slot)?;
        let has_text = recipes.embedded_text(self.names, &node)?.is_some();
        Ok((has_text, self.names.message_text(&node)?.is_some()))
    }

    /// The text of a node is another one: work is due.
    pub(super) fn text_changed(&mut self, slot: Slot) -> Result<()> {
        let (has_text, is_message) = self.texts_of(slot)?;
        for artefact in [Artefact::Embedding, Artefact::Reembedding, Artefact::Entities] {
            self.txn.delete_work(self.namespace, slot, artefact as u8)?;
        }
        self.vectors_are_due(slot, has_text)?;
        if is_message {
            self.mark(Artefact::Entities, slot)
        } else {
            self.unmark(Artefact::Entities, slot)
        }
    }

    /// Work on an artefact is due.
    pub fn mark(&mut self, artefact: Artefact, slot: Slot) -> Result<()> {
        let value = artefact.value(self.namespace);
        self.txn.post(NamespaceId::SYSTEM, IndexId::PENDING, &value, slot)
    }

    pub(super) fn unmark(&mut self, artefact: Artefact, slot: Slot) -> Result<()> {
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
