//! The summaries of one chat: of each of its weeks (or days) where there are several, and of all of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use embedded_db_common::{ContentHash, Lsn, NamespaceId, Result, Slot, SpaceId, SummarySpan};
use embedded_db_indexing::graph::{Artefact, GraphWriter, SpanSummary, is_pending, span_summaries};
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
    /// What each of the newest messages said, where it had something to be told.
    contents: HashMap<Slot, Option<ContentHash>>,
    /// Messages that have a text to be told: their texts, and…
    texts: Vec<String>,
    /// …their vectors, row by row, with zeros where there is none…
    vectors: Vec<f32>,
    /// …their ids…
    ids: Vec<String>,
    /// …and when they were said.
    times: Vec<Option<i64>>,
    /// Whether there are older messages, too.
    cut: bool,
    /// Whether some of them wait for theirs.
    lacks_vectors: bool,
    /// The summaries of spans.
    stored: Vec<(Slot, SpanSummary)>,
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

/// What has become of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Summarised {
    /// It is done.
    Done,
    /// A text changed meanwhile, or it was to end: it is still due. What is there of it by then stays.
    Changed,
    /// Messages that are to be told wait for their vectors.
    LacksVectors,
}

/// What the work needs.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Arc<Store>,
    pub(crate) names: Names,
    pub(crate) generation: u64,
    pub(crate) namespace: NamespaceId,
    pub(crate) chat: Slot,
    pub(crate) space: Option<(SpaceId, usize)>,
    pub(crate) models: &'a dyn Models,
    pub(crate) span: Option<SummarySpan>,
    /// Whether the work is to end.
    pub(crate) stops: &'a dyn Fn() -> bool,
}

impl Work<'_> {
    /// Makes and stores the summaries of a chat.
    pub(crate) fn run(&self) -> Result<Summarised> {
        let read = Arc::new(Chat::read(self)?);
        if read.generation != self.generation {
            return Ok(Summarised::Changed);
        }
        if read.lacks_vectors {
            return Ok(Summarised::LacksVectors);
        }
        // First of all, so that the whole is told once, however often these are broken off.
        if !self.spans(&read)? {
            return Ok(Summarised::Changed);
        }
        let text = match &read.covered {
            Some(_) => self.tell(&read, 0..read.texts.len())?,
            None => String::new(),
        };
        let chat = self.chat;
        let is_written = self.write(&read, move |writer, read, since| {
            match &read.covered {
                Some((first, last)) if !text.is_empty() => {
                    writer.put_summary(chat, &text, first, last)?;
                }
                _ => writer.remove_summary(chat)?,
            }
            if since == Since::Same {
                writer.done(Artefact::Summary, chat)?;
            }
            Ok(())
        })?;
        Ok(if is_written { Summarised::Done } else { Summarised::Changed })
    }

    /// The same of the spans of the chat.
    fn spans(&self, read: &Arc<Chat>) -> Result<bool> {
        let spans = self.span.map_or_else(Spans::default, |span| Spans::of(read, span));
        for (of, rows) in &spans.wanted {
            if read.stored.iter().any(|(_, stored)| stored == of) {
                continue;
            }
            if (self.stops)() {
                return Ok(false);
            }
            let (text, chat, of) = (self.tell(read, rows.iter().copied())?, self.chat, of.clone());
            if text.is_empty() {
                continue;
            }
            if !self.write(read, move |writer, _, _| {
                writer.put_span_summary(chat, &text, &of).map(drop)
            })? {
                return Ok(false);
            }
        }
        if read.stored.iter().all(|(_, stored)| spans.keeps(stored)) {
            return Ok(true);
        }
        let chat = self.chat;
        self.write(read, move |writer, _, _| {
            writer.keep_span_summaries(chat, |stored| spans.keeps(stored))
        })
    }

    /// What a model makes of some of the messages.
    fn tell(&self, read: &Chat, rows: impl Iterator<Item = usize> + Clone) -> Result<String> {
        let dimension = self.space.map_or(0, |(_, dimension)| dimension);
        let texts: Vec<String> = rows.clone().map(|row| read.texts[row].clone()).collect();
        let vectors = rows.flat_map(|row| &read.vectors[row * dimension..(row + 1) * dimension]);
        let vectors: Vec<f32> = vectors.copied().collect();
        let text = self.models.summarize(&texts, &vectors, dimension)?;
        Ok(text.trim().to_owned())
    }

    /// Writes what is true of the chat as it was read; false when it is not any more.
    fn write(
        &self,
        read: &Arc<Chat>,
        write: impl Fn(&mut GraphWriter<'_, '_>, &Chat, Since) -> Result<()> + Send + 'static,
    ) -> Result<bool> {
        let (names, namespace, chat) = (self.names, self.namespace, self.chat);
        let (generation, read) = (self.generation, Arc::clone(read));
        self.store.write(move |txn| {
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
            write(&mut GraphWriter::new(txn, &names, namespace), &read, since)?;
            Ok(true)
        })
    }
}

/// Which spans of a chat are to have a summary.
#[derive(Default)]
struct Spans {
    /// Each with the rows of its messages.
    wanted: Vec<(SpanSummary, Vec<usize>)>,
    /// What began before was not read, or not all of it: its summary stays.
    from: i64,
}

impl Spans {
    fn of(read: &Chat, span: SummarySpan) -> Self {
        let mut rows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (row, time) in read.times.iter().enumerate() {
            if let Some(time) = time {
                rows.entry(span.begin(*time)).or_default().push(row);
            }
        }
        // The whole says as much as a single one.
        if rows.len() < 2 && !read.cut {
            return Self::default();
        }
        let first = rows.keys().next().copied().filter(|_| read.cut);
        let from = first.map_or(i64::MIN, |first| first.saturating_add(1));
        let wanted = rows.into_iter().filter(|(begins_at, _)| *begins_at >= from);
        let wanted = wanted.filter_map(|(begins_at, rows)| {
            let of = SpanSummary {
                span: span.name().to_owned(),
                begins_at,
                first_message: read.ids.get(*rows.first()?)?.clone(),
                last_message: read.ids.get(*rows.last()?)?.clone(),
                message_count: rows.len() as i64,
            };
            Some((of, rows))
        });
        Self { wanted: wanted.collect(), from }
    }

    fn keeps(&self, stored: &SpanSummary) -> bool {
        let same = |of: &SpanSummary| (&of.span, of.begins_at) == (&stored.span, stored.begins_at);
        stored.begins_at < self.from || self.wanted.iter().any(|(of, _)| same(of))
    }
}

/// What a message says, and when.
fn said(text: &str, time: Option<i64>) -> ContentHash {
    ContentHash::of(&format!("{time:?} {text}"))
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
    fn read(work: &Work<'_>) -> Result<Self> {
        let (names, namespace) = (&work.names, work.namespace);
        let snapshot = work.store.read_quietly()?;
        let messages = messages(&snapshot, names, namespace, work.chat)?;
        let first = messages.len().saturating_sub(MOST_MESSAGES);
        let mut chat = Self {
            generation: snapshot.generation().number(),
            lsn: snapshot.lsn()?,
            contents: HashMap::new(),
            texts: Vec::new(),
            vectors: Vec::new(),
            ids: Vec::new(),
            times: Vec::new(),
            covered: None,
            cut: first > 0,
            lacks_vectors: false,
            stored: span_summaries(&snapshot, names, namespace, work.chat)?,
            messages,
        };
        for slot in &chat.messages[first..] {
            let node = snapshot.node(namespace, *slot)?;
            let message = node.as_ref().map_or(Ok(None), |node| names.told_text(node))?;
            let time = node.as_ref().map_or(Ok(None), |node| names.told_time(node))?;
            chat.contents.insert(*slot, message.as_ref().map(|message| said(&message.text, time)));
            let (Some(node), Some(message)) = (node, message) else { continue };
            if let Some((space, dimension)) = work.space {
                let parts = snapshot.embeddings_of(namespace, space, *slot)?;
                let whole = direction(parts.iter().map(|(_, part)| part.values()));
                if whole.is_none() && is_pending(&snapshot, namespace, Artefact::Embedding, *slot)?
                {
                    chat.lacks_vectors = true;
                    return Ok(chat);
                }
                chat.vectors.extend(whole.unwrap_or_else(|| vec![0.0; dimension]));
            }
            let last = node.id.to_owned();
            chat.ids.push(last.clone());
            let before = chat.covered.take();
            chat.covered = Some((before.map_or_else(|| last.clone(), |(first, _)| first), last));
            chat.texts.push(message.text);
            chat.times.push(time);
        }
        Ok(chat)
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
            let time = node.as_ref().map_or(Ok(None), |node| names.told_time(node))?;
            let (before, now) = (self.contents[&slot], message.map(|m| said(&m.text, time)));
            if before != now {
                let had_text = before.is_some();
                since = since.max(if had_text { Since::Changed } else { Since::More });
            }
        }
        Ok(since)
    }
}
