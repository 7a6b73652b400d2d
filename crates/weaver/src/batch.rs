//! One batch of messages: read, enrich, store.

use std::collections::HashMap;
use std::sync::Arc;

use embedded_db_common::{ContentHash, Error, NamespaceId, Result, Slot, SpaceId, clock};
use embedded_db_indexing::graph::{Artefact, GraphWriter, Rule, Said, is_pending};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadEmbeddings, ReadTxn, Snapshot, Store, WriteTxn};

use crate::goal::Goal;
use crate::limits::{Function, Grant};
use crate::models::{Enriched, Mention, Models, TextToEnrich};
use crate::said_before::{SaidBefore, Saying};

/// Most bytes of the texts of one call, unless one text has more: who comes with a long text does not wait for all of
/// it to be worked on.
const MOST_BYTES: usize = 64 << 10;

/// A message whose text is to be worked on.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) slot: Slot,
    pub(crate) content: ContentHash,
    request: TextToEnrich,
}

/// Messages of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// In which the slots mean something.
    pub(crate) generation: u64,
    pub(crate) namespace: NamespaceId,
    /// What its vectors are for; nobody wants any without.
    pub(crate) goal: Option<Goal>,
    pub(crate) items: Vec<Item>,
}

/// Where the vectors of an item come from.
#[derive(Debug, Clone)]
enum Vectors {
    /// Nobody wants them.
    None,
    /// Rows that the model computed.
    Computed(Vec<Vec<f32>>),
    /// An equal text has them already.
    Of(Slot),
}

/// What is to be stored for one item.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) slot: Slot,
    pub(crate) content: ContentHash,
    vectors: Vectors,
    mentions: Option<Vec<Mention>>,
}

/// What a stored batch did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) embedded: u64,
    pub(crate) entities: u64,
    /// Chats of which more can be told now.
    pub(crate) chats: Vec<Slot>,
}

impl Batch {
    /// Reads the texts of the messages that wait. Those without a text are left out. Of `slots` those stay that it was
    /// made of: texts that would be too much for one call are for the next.
    pub(crate) fn read(
        snapshot: &Snapshot,
        names: &Names,
        namespace: NamespaceId,
        slots: &mut Vec<Slot>,
        goal: Option<Goal>,
    ) -> Result<Self> {
        let recipes = Recipes::read(snapshot, namespace)?;
        let mut items: Vec<Item> = Vec::with_capacity(slots.len());
        let (mut bytes, mut read) = (0, 0);
        for slot in &*slots {
            read += 1;
            let Some(node) = snapshot.node(namespace, *slot)? else { continue };
            let Some(message) = recipes.embedded_text(names, &node)? else { continue };
            bytes += message.text.len();
            if bytes > MOST_BYTES && !items.is_empty() {
                read -= 1;
                break;
            }
            let vectors = match goal {
                Some(goal) => is_pending(snapshot, namespace, goal.artefact, *slot)?,
                None => false,
            };
            items.push(Item {
                slot: *slot,
                content: ContentHash::of(&message.text),
                request: TextToEnrich {
                    start: message.text[..message.start].chars().count(),
                    text: message.text,
                    vectors,
                    entities: is_pending(snapshot, namespace, Artefact::Entities, *slot)?,
                },
            });
        }
        slots.truncate(read);
        Ok(Self { generation: snapshot.generation().number(), namespace, goal, items })
    }

    /// The same batch, one item.
    pub(crate) fn single(&self, at: usize) -> Self {
        Self { items: vec![self.items[at].clone()], ..*self }
    }

    /// The same batch, asking for one artefact only.
    pub(crate) fn only(&self, artefact: Artefact) -> Self {
        let mut batch = self.clone();
        for item in &mut batch.items {
            item.request.vectors &= artefact == self.vectors();
            item.request.entities &= artefact == Artefact::Entities;
        }
        batch.items.retain(|item| item.request.vectors || item.request.entities);
        batch
    }

    /// The same batch without one artefact.
    pub(crate) fn without(&self, artefact: Artefact) -> Self {
        match artefact {
            Artefact::Entities => self.only(self.vectors()),
            _ => self.only(Artefact::Entities),
        }
    }

    /// Which work its vectors are.
    pub(crate) fn vectors(&self) -> Artefact {
        self.goal.map_or(Artefact::Embedding, |goal| goal.artefact)
    }

    /// Whether an artefact is asked for.
    pub(crate) fn wants(&self, artefact: Artefact) -> bool {
        self.count(artefact) > 0
    }

    /// How many items want it.
    pub(crate) fn count(&self, artefact: Artefact) -> usize {
        let wants = |item: &&Item| match artefact {
            Artefact::Embedding | Artefact::Reembedding => {
                artefact == self.vectors() && item.request.vectors
            }
            Artefact::Entities => item.request.entities,
            _ => false,
        };
        self.items.iter().filter(wants).count()
    }

    /// Calls the model functions, with no lock and no transaction held. Of equal texts they see one. What
    /// their limits leave no room for now has no outcome.
    pub(crate) fn enrich(
        &self,
        store: &Arc<Store>,
        models: &dyn Models,
        said: &SaidBefore,
    ) -> Result<Vec<Outcome>> {
        let space = self.goal.map(|goal| (goal.space, goal.dimension));
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(self.items.len());
        let mut requests: Vec<TextToEnrich> = Vec::new();
        // Where in the requests each outcome finds its answers.
        let mut asked: Vec<Asked> = Vec::with_capacity(self.items.len());
        let mut first_of: HashMap<ContentHash, usize> = HashMap::new();
        let mut searched: HashMap<Saying, usize> = HashMap::new();
        let mut grant = Grant::new(models.limits());
        let snapshot = store.read_committed()?;
        if snapshot.generation().number() != self.generation {
            // Its messages have other slots now, and still wait.
            return Ok(Vec::new());
        }
        for (at, item) in self.items.iter().enumerate() {
            let mut request = item.request.clone();
            let mut vectors = Vectors::None;
            if let (true, Some((space, _))) = (request.vectors, space) {
                let own = snapshot.embeddings_of(self.namespace, space, item.slot)?;
                let own = own.first().filter(|(_, found)| found.set_by_user).map(|_| item.slot);
                let known = snapshot.embedding_of_text(self.namespace, space, item.content)?;
                let known = own.or(known);
                let earlier = first_of.get(&item.content).map(|first| self.items[*first].slot);
                if let Some(owner) = known.or(earlier) {
                    vectors = Vectors::Of(owner);
                    request.vectors = false;
                } else {
                    request.vectors = grant.take(Function::Embedding, &request.text)?;
                    if request.vectors {
                        first_of.insert(item.content, at);
                    }
                }
            } else {
                request.vectors = false;
            }
            let mut mentions = None;
            let mut entities = None;
            if request.entities {
                let saying = Saying { content: item.content, start: request.start };
                mentions = said.mentions(&saying);
                if mentions.is_none() {
                    entities = searched.get(&saying).copied();
                    if entities.is_none() && grant.take(Function::Entities, &request.text)? {
                        entities = Some(requests.len());
                        searched.insert(saying, requests.len());
                    }
                }
                request.entities = entities == Some(requests.len());
            }
            asked.push(Asked { vectors: request.vectors.then_some(requests.len()), entities });
            if request.vectors || request.entities {
                requests.push(request);
            }
            let (slot, content) = (item.slot, item.content);
            outcomes.push(Outcome { slot, content, vectors, mentions });
        }
        drop(snapshot);
        if requests.is_empty() {
            outcomes.retain(Outcome::is_any);
            return Ok(outcomes);
        }
        let enriched = models.enrich(&requests)?;
        let dimension = space.map_or(0, |(_, dimension)| dimension);
        let mut rows = check(&requests, &enriched, dimension)?;
        for (saying, at) in searched {
            said.note(saying, &requests[at].text, &enriched.mentions[at]);
        }
        for (outcome, asked) in outcomes.iter_mut().zip(asked) {
            if let Some(at) = asked.vectors {
                outcome.vectors = Vectors::Computed(std::mem::take(&mut rows[at]));
            }
            if let Some(at) = asked.entities {
                outcome.mentions = Some(enriched.mentions[at].clone());
            }
        }
        outcomes.retain(Outcome::is_any);
        Ok(outcomes)
    }
}

/// Which requests answer for an item.
struct Asked {
    vectors: Option<usize>,
    entities: Option<usize>,
}

/// The rows of each text, after checking that the answer fits the question.
fn check(
    requests: &[TextToEnrich],
    enriched: &Enriched,
    dimension: usize,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let failed = |message: String| Error::EnrichmentFailed { message };
    let mut rows: Vec<Vec<Vec<f32>>> = vec![Vec::new(); requests.len()];
    if requests.iter().any(|request| request.vectors) {
        if enriched.dimension != dimension {
            return Err(Error::EnrichmentFailed {
                message: format!(
                    "the embedding function returned vectors of {} dimensions; its space has \
                     {dimension}",
                    enriched.dimension
                ),
            });
        }
        if enriched.vectors.len() != enriched.owners.len() * dimension {
            return Err(failed(format!(
                "the embedding function returned {} numbers for {} rows of {dimension}",
                enriched.vectors.len(),
                enriched.owners.len()
            )));
        }
        if let Some(at) = enriched.vectors.iter().position(|value| !value.is_finite()) {
            return Err(failed(format!(
                "the embedding function returned {} at number {} of row {}; vectors must be finite",
                enriched.vectors[at],
                at % dimension,
                at / dimension
            )));
        }
        for (owner, row) in enriched.owners.iter().zip(enriched.vectors.chunks_exact(dimension)) {
            let rows = rows.get_mut(*owner).ok_or_else(|| {
                failed(format!(
                    "the embedding function returned a row for text {owner}, of {}",
                    requests.len()
                ))
            })?;
            rows.push(row.to_vec());
        }
    }
    for (at, (request, rows)) in requests.iter().zip(&rows).enumerate() {
        if request.vectors && rows.is_empty() {
            return Err(failed(format!("the embedding function returned no vector for text {at}")));
        }
        if rows.len() > usize::from(u16::MAX) {
            return Err(failed(format!("text {at} has {} parts; 65,535 are possible", rows.len())));
        }
    }
    if requests.iter().any(|request| request.entities) {
        if enriched.mentions.len() != requests.len() {
            return Err(failed(format!(
                "the entity function answered for {} of {} texts",
                enriched.mentions.len(),
                requests.len()
            )));
        }
        for (request, mentions) in requests.iter().zip(&enriched.mentions) {
            if request.entities {
                check_mentions(request, mentions)?;
            }
        }
    }
    Ok(rows)
}

/// A mention must be a name with a class, and stand where it says.
fn check_mentions(request: &TextToEnrich, mentions: &[Mention]) -> Result<()> {
    let content: Vec<char> = request.text.chars().skip(request.start).collect();
    for mention in mentions {
        let (text, start, end) = (&mention.text, mention.start, mention.end);
        let there = content.get(start..end).map(|there| there.iter().collect::<String>());
        let longest = text.len().max(mention.label.len());
        let wrong = if text.trim().is_empty() || mention.label.is_empty() {
            "a name and a class are needed".to_owned()
        } else if longest > embedded_db_common::MAX_NAME {
            format!("a name or a class has at most {} bytes", embedded_db_common::MAX_NAME)
        } else {
            match there {
                Some(there) if there == *text => continue,
                Some(there) => format!("there it says {there:?}; text[start:end] must be the name"),
                None if start > end => "it ends before it begins".to_owned(),
                None => format!("the text has {} characters", content.len()),
            }
        };
        let message = format!(
            "the entity function returned {text:?} ({}) at {start}..{end}: {wrong}",
            mention.label
        );
        return Err(Error::EnrichmentFailed { message });
    }
    Ok(())
}

/// Stores what was found of messages of one namespace, all of it or nothing; nothing in another
/// generation than theirs, where they wait under other slots.
pub(crate) fn store_all(
    store: &Arc<Store>,
    names: &Names,
    generation: u64,
    namespace: NamespaceId,
    goal: Option<Goal>,
    outcomes: Arc<[Outcome]>,
) -> Result<Stored> {
    let names = *names;
    store.write(move |txn| {
        let mut stored = Stored::default();
        if txn.generation().number() != generation {
            return Ok(stored);
        }
        for outcome in &*outcomes {
            outcome.store(txn, &names, namespace, goal, &mut stored)?;
        }
        Ok(stored)
    })
}

impl Outcome {
    /// Whether there is anything to be stored.
    fn is_any(&self) -> bool {
        self.mentions.is_some() || !matches!(self.vectors, Vectors::None)
    }

    /// About how many bytes of the store it takes.
    pub(crate) fn size(&self) -> usize {
        /// Of a record with its id, its row of the changes and its place among neighbours.
        const ROW: usize = 256;
        let vectors = match &self.vectors {
            Vectors::Computed(rows) => rows.iter().map(|row| row.len() * 4 + ROW).sum(),
            // It has found room once before.
            Vectors::None | Vectors::Of(_) => 0,
        };
        vectors + self.mentions.as_ref().map_or(0, |mentions| mentions.len() * 4 * ROW)
    }

    /// What there is of each artefact, apart.
    pub(crate) fn apart(&self, vectors: Artefact) -> Vec<(Artefact, Self)> {
        let mut parts = Vec::new();
        if !matches!(self.vectors, Vectors::None) {
            parts.push((vectors, Self { mentions: None, ..self.clone() }));
        }
        if self.mentions.is_some() {
            parts.push((Artefact::Entities, Self { vectors: Vectors::None, ..self.clone() }));
        }
        parts
    }

    /// Stores it, unless the message has changed or gone since it was read.
    fn store(
        &self,
        txn: &mut WriteTxn<'_>,
        names: &Names,
        namespace: NamespaceId,
        goal: Option<Goal>,
        stored: &mut Stored,
    ) -> Result<()> {
        let text = match txn.node(namespace, self.slot)? {
            Some(node) => Recipes::read(txn, namespace)?.embedded_text(names, &node)?,
            None => None,
        };
        if text.is_none_or(|text| ContentHash::of(&text.text) != self.content) {
            return Ok(());
        }
        if let Some(goal) = goal
            && goal.holds(txn)?
            && self.store_vectors(txn, namespace, goal.space)?
        {
            stored.embedded += 1;
            let mut writer = GraphWriter::new(txn, names, namespace);
            writer.done(goal.artefact, self.slot)?;
            if goal.artefact == Artefact::Embedding {
                stored.chats.extend(writer.mark_summary(self.slot)?);
                writer.mark(Artefact::Curiosity, self.slot)?;
            }
        }
        if let Some(mentions) = &self.mentions {
            self.store_mentions(txn, names, namespace, mentions)?;
            stored.entities += 1;
        }
        Ok(())
    }

    /// Whether the message now has its vectors.
    fn store_vectors(
        &self,
        txn: &mut WriteTxn<'_>,
        namespace: NamespaceId,
        space: SpaceId,
    ) -> Result<bool> {
        if matches!(self.vectors, Vectors::None) {
            return Ok(false);
        }
        let present = txn.embeddings_of(namespace, space, self.slot)?;
        let keep = present
            .first()
            .is_some_and(|(_, found)| found.set_by_user || found.content == self.content);
        drop(present);
        if keep {
            return Ok(true);
        }
        let copied;
        let rows = match &self.vectors {
            Vectors::None => return Ok(false),
            Vectors::Computed(rows) => rows,
            Vectors::Of(owner) => {
                let owned = txn.embeddings_of(namespace, space, *owner)?;
                let rows: Vec<Vec<f32>> = owned
                    .iter()
                    .filter(|(_, found)| found.content == self.content)
                    .map(|(_, found)| found.values().collect())
                    .collect();
                if rows.is_empty() {
                    // The owner has gone since: the message waits for the next round.
                    return Ok(false);
                }
                copied = rows;
                &copied
            }
        };
        for (part, row) in (0..).zip(rows) {
            let id = clock::new_id("embedding");
            txn.put_embedding(namespace, space, self.slot, part, &id, false, self.content, row)?;
        }
        txn.put_text_hash(namespace, space, self.content, self.slot)?;
        if let Vectors::Computed(_) = self.vectors {
            txn.count_vectors(1, 0);
        } else {
            txn.count_vectors(0, 1);
        }
        Ok(true)
    }

    fn store_mentions(
        &self,
        txn: &mut WriteTxn<'_>,
        names: &Names,
        namespace: NamespaceId,
        mentions: &[Mention],
    ) -> Result<()> {
        let mut said: Vec<Said> = Vec::new();
        for mention in mentions {
            let name = mention.text.trim();
            let same = |said: &&mut Said| said.name == name && said.entity_type == mention.label;
            match said.iter_mut().find(same) {
                Some(said) => said.times += 1,
                None => said.push(Said {
                    name: name.to_owned(),
                    entity_type: mention.label.clone(),
                    start: mention.start as i64,
                    end: mention.end as i64,
                    times: 1,
                    rule: Rule::default(),
                }),
            }
        }
        GraphWriter::new(txn, names, namespace).put_mentions(self.slot, said)
    }
}
