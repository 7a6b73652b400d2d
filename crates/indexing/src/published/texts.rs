//! Files of texts and sessions: they are sealed together.

use std::sync::Arc;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot};
use embedded_db_storage::{
    ChangeRecord, Kind, ReadTxn, SegmentFile, Snapshot, Store, ViewKind, ViewRecord, Visible,
};
use roaring::RoaringBitmap;

use super::{CHUNK, MOST_CHANGES, NO_SPACE, Sealed, changed, damaged};
use crate::bitmaps::labelled_any;
use crate::changes::by_lsn;
use crate::merging::merged_from;
use crate::recipes::Recipes;
use crate::sessions::file::{Draft, SessionFile, VERSION as SESSION_VERSION};
use crate::sessions::{Message, Sessions};
use crate::text::{SEGMENT_VERSION, TextIndex, TextSegment, write_segment};
use crate::views::Views;

/// What the files depend on beside the records.
fn recipe(language: &str, recipes: &Recipes) -> String {
    use std::fmt::Write;
    let mut out = format!("{language}/{SEGMENT_VERSION}");
    for (label, recipe) in recipes.labels().iter().filter(|(_, recipe)| !recipe.text.is_empty()) {
        let properties: Vec<String> = recipe.text.iter().map(|it| it.0.to_string()).collect();
        // Writing to a String cannot fail.
        let _written = write!(out, " {}:{}", label.0, properties.join(","));
    }
    out
}

/// The same for the files of sessions.
fn session_recipe(language: &str, recipes: &Recipes) -> String {
    use std::fmt::Write;
    let mut out = format!("{}/{SESSION_VERSION}", recipe(language, recipes));
    for (label, _) in recipes.labels().iter().filter(|(_, recipe)| recipe.has_texts()) {
        // Writing to a String cannot fail.
        let _written = write!(out, " {}", label.0);
    }
    out
}

fn is_of_node(change: &ChangeRecord<'_>) -> bool {
    change.kind == Kind::Node
}

impl Views {
    /// The texts of a namespace as files and the changes since have them; `None` when there are no files
    /// that can be used.
    pub(crate) fn open_texts(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        recipes: &Recipes,
    ) -> Result<Option<(TextIndex, ViewRecord)>> {
        let Some(record) = snapshot.view_record(namespace, ViewKind::Text, NO_SPACE)? else {
            return Ok(None);
        };
        if record.recipe != recipe(self.language_name(), recipes) {
            return Ok(None);
        }
        let node_slots = snapshot.namespace_counters(namespace)?.node_slots;
        let open = |file| TextSegment::open(file, node_slots);
        let Some(segments) = self.published.open(snapshot, &record.files, open)? else {
            return Ok(None);
        };
        let Some(mut index) = TextIndex::over(self.analyzer(), segments, record.lsn) else {
            self.published.distrust(record.files.into_iter().map(|file| file.name));
            return Ok(None);
        };
        let lsn = snapshot.lsn()?;
        let Some(found) = changed(snapshot, namespace, record.lsn, is_of_node)? else {
            return Ok(None);
        };
        let all = Visible::all(snapshot);
        for (at, slot) in by_lsn(found) {
            match self.text_of(&all, namespace, slot, recipes)? {
                Some(text) => index.upsert(slot, at, &text),
                None => index.remove(slot, at),
            }
        }
        index.advance(lsn);
        if index.is_damaged() {
            self.published.distrust(index.file_names());
            return Ok(None);
        }
        Ok(Some((index, record)))
    }

    /// The searchable text of a slot.
    pub(crate) fn text_of(
        &self,
        txn: &impl ReadTxn,
        namespace: NamespaceId,
        slot: Slot,
        recipes: &Recipes,
    ) -> Result<Option<String>> {
        match txn.node(namespace, slot)? {
            Some(node) => recipes.searchable_text(self.names(), &node),
            None => Ok(None),
        }
    }

    /// Chats and sessions as files and the changes since have them, with the lengths that an index of the same
    /// state has; `None` when there are no files that can be used.
    pub(crate) fn open_sessions(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        recipes: &Recipes,
        index: &TextIndex,
    ) -> Result<Option<Sessions>> {
        let found = snapshot.view_record(namespace, ViewKind::Sessions, NO_SPACE)?;
        let recipe = session_recipe(self.language_name(), recipes);
        let Some(record) = found.filter(|record| record.recipe == recipe) else { return Ok(None) };
        let files = self.session_files(snapshot, namespace, &record.files)?;
        let Some(mut sessions) = files.and_then(|files| Sessions::of_files(files.iter())) else {
            self.published.distrust(record.files.into_iter().map(|file| file.name));
            return Ok(None);
        };
        let Some(found) = changed(snapshot, namespace, record.lsn, is_of_node)? else {
            return Ok(None);
        };
        let lengths = (index, snapshot.lsn()?);
        for slot in found.into_keys() {
            self.with_message(
                snapshot,
                namespace,
                slot,
                recipes,
                lengths,
                |message| match message {
                    Some(message) => sessions.upsert(slot, message),
                    None => sessions.remove(slot),
                },
            )?;
        }
        Ok(Some(sessions))
    }

    /// Opens files of sessions; `None` when one is damaged.
    fn session_files(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        files: &[SegmentFile],
    ) -> Result<Option<Vec<SessionFile>>> {
        let node_slots = snapshot.namespace_counters(namespace)?.node_slots;
        let open = |file: &SegmentFile| {
            let found = self.published.trusted(snapshot, file)?;
            Ok(found.and_then(|found| SessionFile::open(found, node_slots)))
        };
        files.iter().map(open).collect()
    }

    /// What the view of sessions keeps of a slot, with the length that its text has in an index at an LSN.
    pub(crate) fn with_message(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        slot: Slot,
        recipes: &Recipes,
        (index, at): (&TextIndex, Lsn),
        then: impl FnOnce(Option<Message<'_>>),
    ) -> Result<()> {
        let all = Visible::all(snapshot);
        let node = all.node(namespace, slot)?;
        let message = match &node {
            Some(node) => recipes.session_message(self.names(), &all, node)?,
            None => None,
        };
        let words = index.length(slot, at).unwrap_or(0);
        then(message.map(|message| Message { words, ..message }));
        Ok(())
    }

    /// Seals what of a namespace's texts and messages is in no file, if these are `least` texts or more, if the
    /// files have fallen behind, or if some that should be there cannot be used. `going_on` is asked now and
    /// then, and ends the work with its error. One thread at a time does this for a store.
    pub fn publish(
        &self,
        store: &Arc<Store>,
        namespace: NamespaceId,
        least: u64,
        going_on: &dyn Fn() -> Result<()>,
    ) -> Result<Sealed> {
        let snapshot = store.read_quietly()?;
        let recipes = Recipes::read(&snapshot, namespace)?;
        let seal =
            Seal { views: self, snapshot: &snapshot, namespace, recipes: &recipes, going_on };
        let before = |view| snapshot.view_record(namespace, view, NO_SPACE);
        let (texts_before, sessions_before) =
            (before(ViewKind::Text)?, before(ViewKind::Sessions)?);
        let lsn = snapshot.lsn()?;
        let opened = self.open_texts(&snapshot, namespace, &recipes)?;
        let session_recipe = session_recipe(self.language_name(), &recipes);
        let sessions =
            self.published.usable(&snapshot, sessions_before.as_ref(), &session_recipe)?;
        let (texts, index) = match opened {
            Some((index, record)) => {
                let behind = lsn.0.saturating_sub(record.lsn.0);
                let left = index.unsealed();
                if left < least && behind < MOST_CHANGES && sessions.is_some() {
                    return Ok(Sealed::Enough { left });
                }
                let mut files = record.files;
                if left > 0 {
                    seal.texts(&index, &mut files)?;
                }
                (files, index)
            }
            None => {
                let labels = recipes.text_labels(self.names());
                let slots = labelled_any(&Visible::all(&snapshot), namespace, &labels)?;
                if slots.len() < least && texts_before.is_none() {
                    return Ok(Sealed::Enough { left: slots.len() });
                }
                seal.all_texts(&slots)?
            }
        };
        let said = match sessions {
            Some(record) => changed(&snapshot, namespace, record.lsn, is_of_node)?,
            None => None,
        };
        let sessions = match (sessions, said) {
            (Some(record), Some(said)) => {
                let mut draft = Draft::default();
                for slot in said.into_keys() {
                    let lengths = (&index, lsn);
                    self.with_message(&snapshot, namespace, slot, &recipes, lengths, |message| {
                        draft.add(slot, message);
                    })?;
                }
                let mut names = record.files.clone();
                if draft.len() > 0 {
                    seal.sessions(draft, &mut names)?;
                }
                names
            }
            _ => seal.all_sessions(&index)?,
        };
        let texts =
            ViewRecord { lsn, recipe: recipe(self.language_name(), &recipes), files: texts };
        let sessions = ViewRecord { lsn, recipe: session_recipe, files: sessions };
        let generation = snapshot.generation().number();
        drop(snapshot);
        let published = store.write(move |txn| {
            let of = |view| (namespace, view, NO_SPACE);
            let (text, session) = (of(ViewKind::Text), of(ViewKind::Sessions));
            Ok(txn.publish_view(generation, text, texts_before.as_ref(), &texts)?
                && txn.publish_view(generation, session, sessions_before.as_ref(), &sessions)?)
        })?;
        // If another generation has come, or the namespace has gone, what was written is named by nobody.
        store.remove_unnamed_segments()?;
        Ok(if published { Sealed::Published } else { Sealed::Overtaken })
    }
}

/// What is sealed, and of which state.
struct Seal<'a> {
    views: &'a Views,
    snapshot: &'a Snapshot,
    namespace: NamespaceId,
    recipes: &'a Recipes,
    going_on: &'a dyn Fn() -> Result<()>,
}

impl Seal<'_> {
    /// Writes what is in no file of an index into one, with those that are to be merged with it.
    fn texts(&self, index: &TextIndex, files: &mut Vec<SegmentFile>) -> Result<()> {
        let from = index.merged_from();
        let mut out = self.snapshot.begin_segment(ViewKind::Text, self.namespace)?;
        let documents = write_segment(index, from, &mut out, self.going_on)?;
        if index.is_damaged() {
            self.views.published.distrust(index.file_names());
            return Err(damaged(self.snapshot.shared_store(), "texts"));
        }
        files.truncate(from);
        files.push(out.finish(documents)?);
        Ok(())
    }

    /// Writes all texts anew, piece by piece; the files, and the index over them.
    fn all_texts(&self, slots: &RoaringBitmap) -> Result<(Vec<SegmentFile>, TextIndex)> {
        let (mut files, mut slots) = (Vec::new(), slots.iter().peekable());
        let all = Visible::all(self.snapshot);
        while slots.peek().is_some() {
            let mut index = TextIndex::new(self.views.analyzer());
            for (count, slot) in slots.by_ref().take(CHUNK).enumerate() {
                let text = self.views.text_of(&all, self.namespace, Slot(slot), self.recipes)?;
                if let Some(text) = text {
                    index.upsert(Slot(slot), Lsn(0), &text);
                }
                if count.is_multiple_of(256) {
                    (self.going_on)()?;
                }
            }
            let mut file = Vec::new();
            self.texts(&index, &mut file)?;
            files.append(&mut file);
        }
        let node_slots = self.snapshot.namespace_counters(self.namespace)?.node_slots;
        let open = |file| TextSegment::open(file, node_slots);
        let segments = self.views.published.open(self.snapshot, &files, open)?;
        let lsn = self.snapshot.lsn()?;
        let index = segments
            .and_then(|segments| TextIndex::over(self.views.analyzer(), segments, lsn))
            .ok_or_else(|| Error::StorageError {
                path: self.snapshot.shared_store().path().to_owned(),
                detail: "a file of the text index does not read as it was written".into(),
            })?;
        Ok((files, index))
    }

    /// Writes what has changed into a file, with those that are to be merged with it.
    fn sessions(&self, draft: Draft, names: &mut Vec<SegmentFile>) -> Result<()> {
        let rows: Vec<u64> = names.iter().map(|file| file.rows.into()).collect();
        let from = merged_from(&rows, draft.len() as u64);
        let distrust = || {
            let wrong = names.iter().skip(from).map(|file| file.name.clone());
            self.views.published.distrust(wrong);
            damaged(self.snapshot.shared_store(), "sessions")
        };
        let merged = self.views.session_files(self.snapshot, self.namespace, &names[from..])?;
        let merged = merged.ok_or_else(distrust)?;
        let mut out = self.snapshot.begin_segment(ViewKind::Sessions, self.namespace)?;
        let count = draft.write(&merged, from == 0, &mut out)?;
        if merged.iter().any(SessionFile::is_damaged) {
            return Err(distrust());
        }
        names.truncate(from);
        names.push(out.finish(count)?);
        Ok(())
    }

    /// Writes all messages anew.
    fn all_sessions(&self, index: &TextIndex) -> Result<Vec<SegmentFile>> {
        let mut draft = Draft::default();
        let (views, namespace) = (self.views, self.namespace);
        let labels = self.recipes.asked_labels(views.names());
        let slots = labelled_any(&Visible::all(self.snapshot), namespace, &labels)?;
        let lengths = (index, self.snapshot.lsn()?);
        for (count, slot) in slots.into_iter().enumerate() {
            let slot = Slot(slot);
            views.with_message(
                self.snapshot,
                namespace,
                slot,
                self.recipes,
                lengths,
                |message| {
                    draft.add(slot, message);
                },
            )?;
            if count.is_multiple_of(256) {
                (self.going_on)()?;
            }
        }
        let mut names = Vec::new();
        self.sessions(draft, &mut names)?;
        Ok(names)
    }
}
