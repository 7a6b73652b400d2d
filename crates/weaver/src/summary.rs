//! The summary of one chat.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use embedded_db_common::{ContentHash, Lsn, NamespaceId, Result, Slot, SpaceId};
use embedded_db_indexing::graph::{Artefact, GraphWriter};
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::vector::direction;
use embedded_db_storage::{Direction, Kind, ReadEmbeddings, ReadTxn, Store};

use crate::models::Models;

/// Newest messages that a summary is made of.
const MOST_MESSAGES: usize = 20_000;

/// What a chat held when it was read.
struct Chat {
    /// In which the slots mean something.
    generation: u64,
    lsn: Lsn,
    /// All that it contained, in order.
    messages: Vec<Slot>,
    /// The text of each of the newest messages, where it had one to be told.
    contents: HashMap<Slot, Option<ContentHash>>,
    /// Messages that have a text to be told and a vector: their texts, and…
    texts: Vec<String>,
    /// …their vectors, row by row.
    vectors: Vec<f32>,
    /// Ids of the first and the last of them.
    covered: Option<(String, String)>,
}

/// What has become of a chat since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Since {
    /// It is the same.
    Same,
    /// More is there to be told: a summary of what was read is true, but not the newest.
    More,
    /// A text that was read is another or gone: a summary of it must not be stored.
    Changed,
}

/// Makes and stores the summary of a chat; false when a text changed meanwhile, so that the work is
/// still due.
pub(crate) fn work(
    store: &Arc<Store>,
    names: &Names,
    generation: u64,
    namespace: NamespaceId,
    chat: Slot,
    space: Option<(SpaceId, usize)>,
    models: &dyn Models,
) -> Result<bool> {
    let read = Chat::read(store, names, namespace, chat, space)?;
    if read.generation != generation {
        return Ok(false);
    }
    let dimension = space.map_or(0, |(_, dimension)| dimension);
    let text = match &read.covered {
        Some(_) => models.summarize(&read.texts, &read.vectors, dimension)?,
        None => String::new(),
    };
    let names = *names;
    store.write(move |txn| {
        if txn.generation().number() != generation {
            return Ok(false);
        }
        let is_chat = txn.node(namespace, chat)?.is_some_and(|node| node.has_label(names.chat));
        if !is_chat {
            GraphWriter::new(txn, &names, namespace).done(Artefact::Summary, chat)?;
            return Ok(true);
        }
        let since = read.since(txn, &names, namespace, chat)?;
        if since == Since::Changed {
            return Ok(false);
        }
        let mut writer = GraphWriter::new(txn, &names, namespace);
        match &read.covered {
            Some((first, last)) if !text.trim().is_empty() => {
                writer.put_summary(chat, text.trim(), first, last)?;
            }
            _ => writer.remove_summary(chat)?,
        }
        if since == Since::Same {
            writer.done(Artefact::Summary, chat)?;
        }
        Ok(true)
    })
}

fn messages(
    txn: &impl ReadTxn,
    names: &Names,
    namespace: NamespaceId,
    chat: Slot,
) -> Result<Vec<Slot>> {
    let mut out = Vec::new();
    txn.neighbors(namespace, chat, Direction::Out, Some(names.contains), |_, neighbor| {
        out.push(neighbor.node);
        true
    })?;
    Ok(out)
}

impl Chat {
    fn read(
        store: &Arc<Store>,
        names: &Names,
        namespace: NamespaceId,
        chat: Slot,
        space: Option<(SpaceId, usize)>,
    ) -> Result<Self> {
        let snapshot = store.read()?;
        let messages = messages(&snapshot, names, namespace, chat)?;
        let (mut contents, mut texts, mut vectors) = <(HashMap<_, _>, Vec<_>, Vec<_>)>::default();
        let mut covered: Option<(String, String)> = None;
        for slot in &messages[messages.len().saturating_sub(MOST_MESSAGES)..] {
            let node = snapshot.node(namespace, *slot)?;
            let message = node.as_ref().map_or(Ok(None), |node| names.told_text(node))?;
            let hash = message.as_ref().map(|message| ContentHash::of(&message.text));
            contents.insert(*slot, hash);
            let (Some(node), Some(message)) = (node, message) else { continue };
            if let Some((space, _)) = space {
                let parts = snapshot.embeddings_of(namespace, space, *slot)?;
                let whole = direction(parts.iter().map(|(_, part)| part.values()));
                let Some(whole) = whole else { continue };
                vectors.extend(whole);
            }
            let last = node.id.to_owned();
            covered = Some((covered.map_or_else(|| last.clone(), |(first, _)| first), last));
            texts.push(message.text);
        }
        let generation = snapshot.generation().number();
        Ok(Self { generation, lsn: snapshot.lsn()?, messages, contents, texts, vectors, covered })
    }

    /// Compares what was read with what is there now. Only what the change table names is looked at:
    /// a long chat is not read again inside a write.
    fn since(
        &self,
        txn: &impl ReadTxn,
        names: &Names,
        namespace: NamespaceId,
        chat: Slot,
    ) -> Result<Since> {
        let mut since = Since::Same;
        let now = messages(txn, names, namespace, chat)?;
        if now != self.messages {
            let now: HashSet<Slot> = now.into_iter().collect();
            let gone =
                self.contents.iter().any(|(slot, text)| text.is_some() && !now.contains(slot));
            since = if gone { Since::Changed } else { Since::More };
        }
        let (mut touched, mut last) = (Vec::new(), self.lsn);
        txn.changes_after(self.lsn, |lsn, change| {
            if lsn.0 != last.0 + 1 {
                // A gap: what happened in it is not known.
                since = Since::Changed;
            }
            last = lsn;
            if let Some(change) = change
                && change.namespace == namespace
                && self.contents.contains_key(&change.slot)
            {
                match change.kind {
                    Kind::Node => touched.push(change.slot),
                    Kind::Embedding => since = since.max(Since::More),
                    Kind::Edge | Kind::Namespace => {}
                }
            }
            Ok(since != Since::Changed)
        })?;
        if since != Since::Changed && last != txn.lsn()? {
            // The same, at the end.
            since = Since::Changed;
        }
        for slot in touched {
            let node = txn.node(namespace, slot)?;
            let message = node.as_ref().map_or(Ok(None), |node| names.told_text(node))?;
            let (before, now) = (self.contents[&slot], message.map(|m| ContentHash::of(&m.text)));
            if before != now {
                let had_text = before.is_some();
                since = since.max(if had_text { Since::Changed } else { Since::More });
            }
        }
        Ok(since)
    }
}
