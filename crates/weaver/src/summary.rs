//! The summary of one chat.

use std::sync::Arc;

use embedded_db_common::{NamespaceId, Result, Slot, SpaceId};
use embedded_db_indexing::graph::{Artefact, GraphWriter};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{Direction, ReadTxn, Store};

use crate::models::Models;

/// Newest messages that a summary is made of.
const MOST_MESSAGES: usize = 20_000;

struct Chat {
    texts: Vec<String>,
    vectors: Vec<f32>,
    first: String,
    last: String,
    /// What the chat held: if it holds something else at the end, the summary is made again.
    messages: Vec<Slot>,
}

/// Makes and stores the summary of a chat.
pub(crate) fn work(
    store: &Arc<Store>,
    names: &Names,
    namespace: NamespaceId,
    chat: Slot,
    space: Option<(SpaceId, usize)>,
    models: &dyn Models,
) -> Result<()> {
    let read = read(store, names, namespace, chat, space)?;
    let dimension = space.map_or(0, |(_, dimension)| dimension);
    let text = match &read {
        Some(read) => models.summarize(&read.texts, &read.vectors, dimension)?,
        None => String::new(),
    };
    let names = *names;
    let (first, last, expected) = match read {
        Some(read) => (read.first, read.last, read.messages),
        None => Default::default(),
    };
    store.write(move |txn| {
        let is_chat = txn.node(namespace, chat)?.is_some_and(|node| node.has_label(names.chat));
        if !is_chat {
            return GraphWriter::new(txn, &names, namespace).done(Artefact::Summary, chat);
        }
        let messages = messages(txn, &names, namespace, chat)?;
        let mut writer = GraphWriter::new(txn, &names, namespace);
        if text.trim().is_empty() {
            writer.remove_summary(chat)?;
        } else {
            writer.put_summary(chat, text.trim(), &first, &last)?;
        }
        if expected.is_empty() || messages == expected {
            writer.done(Artefact::Summary, chat)?;
        }
        Ok(())
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

/// The messages that have a text and a vector; `None` when there are none.
fn read(
    store: &Arc<Store>,
    names: &Names,
    namespace: NamespaceId,
    chat: Slot,
    space: Option<(SpaceId, usize)>,
) -> Result<Option<Chat>> {
    let snapshot = store.read()?;
    let messages = messages(&snapshot, names, namespace, chat)?;
    let (mut texts, mut vectors) = (Vec::new(), Vec::new());
    let (mut first, mut last) = (None, String::new());
    for slot in &messages[messages.len().saturating_sub(MOST_MESSAGES)..] {
        let Some(node) = snapshot.node(namespace, *slot)? else { continue };
        let Some(message) = names.message_text(&node)? else { continue };
        if let Some((space, dimension)) = space {
            let parts = snapshot.embeddings_of(namespace, space, *slot)?;
            let Some(mean) = mean(&parts, dimension) else { continue };
            vectors.extend(mean);
        }
        first.get_or_insert_with(|| node.id.to_owned());
        last = node.id.to_owned();
        texts.push(message.text);
    }
    Ok(first.map(|first| Chat { texts, vectors, first, last, messages }))
}

/// The normalised mean of the parts of a vector.
fn mean(
    parts: &[(u16, embedded_db_storage::EmbeddingRecord<'_>)],
    dimension: usize,
) -> Option<Vec<f32>> {
    if parts.is_empty() {
        return None;
    }
    let mut sum = vec![0.0f32; dimension];
    for (_, part) in parts {
        for (total, value) in sum.iter_mut().zip(part.values()) {
            *total += value;
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        sum.iter_mut().for_each(|value| *value /= length);
    }
    Some(sum)
}
