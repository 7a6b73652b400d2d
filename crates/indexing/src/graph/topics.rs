//! Topics: groups of messages and the entities that they mention, made by the weaver. A topic `GROUPS`
//! its members, and is `PART_OF` a wider one.
//!
//! Invariants of those that the weaver has made:
//!
//! - A message or an entity is in one topic at most, the narrowest; in the wider ones through it.
//! - `message_count` is the number of messages in it and in its parts, and never 0: a topic goes with the
//!   last of its messages.
//! - Its `terms`, and its `label`, which is made of them, are names of entities in it as these are written now.

use std::collections::BTreeMap;

use embedded_db_common::{Draft, Lsn, NamespaceId, Result, Slot, Symbol, Value, ValueRef};
use embedded_db_storage::{Direction, ReadTxn};

use super::look::Look;
use super::{Artefact, Changes, GraphWriter, NodeDraft, is_pending, pending};
use crate::schema::{LABEL, Names};

/// The label of topics. Neither it nor the types of their edges are among the names that every file has:
/// it may have been made before the first topic.
pub const TOPIC: &str = "Topic";
/// From a topic to a message or an entity in it.
pub const GROUPS: &str = "GROUPS";
/// From a topic to the wider one.
pub const PART_OF: &str = "PART_OF";
/// Property of a topic: the names of its most telling entities.
const TERMS: &str = "terms";
/// Property of a topic: how many wider ones it is in, and itself.
const LEVEL: &str = "level";
/// Property of a topic: the messages in it and in its parts.
pub(crate) const MESSAGE_COUNT: &str = "message_count";

/// Terms that make the label of a topic.
const NAMED_BY: usize = 3;

/// A topic as it is to be, without its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDraft {
    /// Names of its most telling entities, the best first.
    pub terms: Vec<String>,
    /// 1 of the widest.
    pub level: i64,
    /// The topics that are directly part of it.
    pub parts: Vec<Slot>,
}

/// A topic that the weaver has made, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTopic {
    /// Its draft, the parts in the order of their slots.
    pub draft: TopicDraft,
    /// What it groups directly.
    pub members: Vec<Slot>,
}

/// A topic that the weaver has made; `None` when the node is none.
pub fn stored_topic<T: ReadTxn>(
    txn: &T,
    names: &Names,
    namespace: NamespaceId,
    topic: Slot,
) -> Result<Option<StoredTopic>> {
    let look = Look { txn, names, namespace };
    let Some(symbols) = Symbols::read(txn)? else { return Ok(None) };
    if !look.is_topic(&symbols, topic)? {
        return Ok(None);
    }
    let (terms, level) = (look.terms(topic)?, look.number(topic, LEVEL)?);
    let ends = look.derived_ends(topic, Direction::In, symbols.part_of)?;
    let mut parts: Vec<Slot> = ends.into_iter().map(|(_, part)| part).collect();
    parts.sort_unstable();
    let members = look.derived_ends(topic, Direction::Out, symbols.groups)?;
    let members = members.into_iter().map(|(_, member)| member).collect();
    Ok(Some(StoredTopic { draft: TopicDraft { terms, level, parts }, members }))
}

/// What is wrong with a topic that the weaver has made.
pub fn topic_problem<T: ReadTxn>(
    txn: &T,
    names: &Names,
    namespace: NamespaceId,
    topic: Slot,
) -> Result<Option<String>> {
    let look = Look { txn, names, namespace };
    let Some(symbols) = Symbols::read(txn)? else { return Ok(None) };
    if !look.is_topic(&symbols, topic)? {
        return Ok(None);
    }
    let mut count = 0;
    for (_, member) in look.derived_ends(topic, Direction::Out, symbols.groups)? {
        count += i64::from(look.is_labelled(member, names.message)?);
        let topics = look.derived_ends(member, Direction::In, symbols.groups)?;
        if topics.len() > 1 {
            return Ok(Some(format!("{member:?} is in {} topics", topics.len())));
        }
    }
    for (_, part) in look.derived_ends(topic, Direction::In, symbols.part_of)? {
        count += look.number(part, MESSAGE_COUNT)?;
    }
    let counted = look.number(topic, MESSAGE_COUNT)?;
    // Users may have set it to any number, and made a version of it.
    let is_own = txn.stored_node(namespace, topic)?.version == 1;
    if is_own && (count != counted || count == 0) {
        return Ok(Some(format!("{count} messages are in {topic:?}, counted {counted}")));
    }
    Ok(None)
}

/// The names of topics, once there was one.
#[derive(Clone, Copy)]
pub(crate) struct Symbols {
    topic: Symbol,
    pub(crate) groups: Symbol,
    part_of: Symbol,
}

impl Symbols {
    pub(crate) fn read(txn: &impl ReadTxn) -> Result<Option<Self>> {
        let Some(topic) = txn.symbol(TOPIC)? else { return Ok(None) };
        // Nothing has the symbol 0: there may be topics and no part of one.
        let groups = txn.symbol(GROUPS)?.unwrap_or(Symbol(0));
        let part_of = txn.symbol(PART_OF)?.unwrap_or(Symbol(0));
        Ok(Some(Self { topic, groups, part_of }))
    }
}

impl<T: ReadTxn> Look<'_, T> {
    /// Whether the weaver has made a node, as a topic.
    pub(crate) fn is_topic(&self, symbols: &Symbols, slot: Slot) -> Result<bool> {
        let node = self.txn.node(self.namespace, slot)?;
        Ok(node.is_some_and(|node| node.derived && node.has_label(symbols.topic)))
    }

    /// Edges of one type that the database has made, each with the node at its other end.
    fn derived_ends(
        &self,
        slot: Slot,
        direction: Direction,
        edge_type: Symbol,
    ) -> Result<Vec<(Slot, Slot)>> {
        let mut out = Vec::new();
        for end in self.ends(slot, direction, edge_type)? {
            let edge = self.txn.edge(self.namespace, end.edge)?;
            if edge.is_some_and(|edge| edge.derived) {
                out.push((end.edge, end.node));
            }
        }
        Ok(out)
    }

    /// The topic that groups a node, with the edge.
    pub(crate) fn topic_of(&self, symbols: &Symbols, member: Slot) -> Result<Option<(Slot, Slot)>> {
        let ends = self.derived_ends(member, Direction::In, symbols.groups)?;
        Ok(ends.first().copied())
    }

    /// A topic, the one that it is part of, and so on.
    pub(crate) fn with_wider(&self, symbols: &Symbols, topic: Slot) -> Result<Vec<Slot>> {
        let mut out = vec![topic];
        while let Some(last) = out.last() {
            let wider = self.derived_ends(*last, Direction::Out, symbols.part_of)?;
            match wider.first() {
                Some((_, wider)) if !out.contains(wider) => out.push(*wider),
                _ => break,
            }
        }
        Ok(out)
    }

    /// Visits the messages in a topic and in its parts, until `visit` says that it is enough.
    pub(crate) fn messages_in(
        &self,
        symbols: &Symbols,
        topic: Slot,
        mut visit: impl FnMut(Slot) -> Result<bool>,
    ) -> Result<()> {
        let (mut topics, mut seen) = (vec![topic], Vec::new());
        while let Some(topic) = topics.pop() {
            for end in self.ends(topic, Direction::Out, symbols.groups)? {
                if self.is_labelled(end.node, self.names.message)? && !visit(end.node)? {
                    return Ok(());
                }
            }
            seen.push(topic);
            let parts = self.derived_ends(topic, Direction::In, symbols.part_of)?;
            topics.extend(parts.into_iter().map(|(_, part)| part).filter(|at| !seen.contains(at)));
        }
        Ok(())
    }

    /// A number that a topic has.
    pub(crate) fn number(&self, topic: Slot, name: &str) -> Result<i64> {
        let node = self.txn.stored_node(self.namespace, topic)?;
        let symbol = self.txn.symbol(name)?;
        let value = symbol.map_or(Ok(None), |symbol| node.properties.get(symbol))?;
        Ok(match value {
            Some(ValueRef::Int(number)) => number,
            _ => 0,
        })
    }

    fn terms(&self, topic: Slot) -> Result<Vec<String>> {
        let node = self.txn.stored_node(self.namespace, topic)?;
        let mut out = Vec::new();
        if let Some(symbol) = self.txn.symbol(TERMS)?
            && let Some(ValueRef::List(list)) = node.properties.get(symbol)?
        {
            for term in list.iter()? {
                if let ValueRef::Str(term) = term? {
                    out.push(term.to_owned());
                }
            }
        }
        Ok(out)
    }
}

impl GraphWriter<'_, '_> {
    fn topic_symbols(&mut self) -> Result<Symbols> {
        let (topic, groups) = (self.txn.intern(TOPIC)?, self.txn.intern(GROUPS)?);
        Ok(Symbols { topic, groups, part_of: self.txn.intern(PART_OF)? })
    }

    /// Makes a topic, or changes one that is still there, and puts nodes into it, each out of the one that
    /// it was in. Gives it, unless no message is in it.
    pub fn put_topic(
        &mut self,
        known: Option<Slot>,
        draft: &TopicDraft,
        members: &[Slot],
    ) -> Result<Option<Slot>> {
        let symbols = self.topic_symbols()?;
        let known = match known {
            Some(slot) if self.look().is_topic(&symbols, slot)? => Some(slot),
            _ => None,
        };
        let slot = match known {
            Some(slot) => slot,
            None => {
                let mut properties = Draft::new();
                properties.set(MESSAGE_COUNT, &Value::Int(0))?;
                let labels = vec![TOPIC.into()];
                let node = NodeDraft { labels, properties, ..NodeDraft::default() };
                self.make_node(&node, true)?.1
            }
        };
        let mut counts = Counts::default();
        self.describe(slot, draft)?;
        self.attach(&symbols, slot, &draft.parts, &mut counts)?;
        for member in members {
            self.move_member(&symbols, *member, Some(slot), &mut counts)?;
        }
        self.count_messages(&symbols, counts)?;
        if self.txn.node_payload(self.namespace, slot)?.is_none() {
            return Ok(None);
        }
        if self.look().number(slot, MESSAGE_COUNT)? > 0 {
            return Ok(Some(slot));
        }
        self.remove_node(slot).map(|()| None)
    }

    /// Those of some nodes which are still there, and of messages those that say what they said at `read`.
    pub fn unchanged_since(&self, members: &[Slot], read: Lsn) -> Result<Vec<Slot>> {
        let mut out = Vec::with_capacity(members.len());
        for member in members {
            if let Some(node) = self.txn.node(self.namespace, *member)?
                && (node.lsn <= read || !node.has_label(self.names.message))
            {
                out.push(*member);
            }
        }
        Ok(out)
    }

    /// Marks topics that were copied, where members of theirs were lost or are in others already: they are made to
    /// agree when topics are next made.
    pub fn mark_wrong_topics(&mut self) -> Result<()> {
        let Some(symbols) = Symbols::read(self.txn)? else { return Ok(()) };
        for slot in crate::labelled(self.txn, self.namespace, symbols.topic)? {
            let topic = Slot(slot);
            if topic_problem(self.txn, self.names, self.namespace, topic)?.is_some() {
                self.mark(Artefact::Topics, topic)?;
            }
        }
        Ok(())
    }

    /// Makes topics that were marked so agree with what is there.
    fn settle_topics(&mut self) -> Result<()> {
        let Some(symbols) = Symbols::read(self.txn)? else { return Ok(()) };
        let mut own = Vec::new();
        for slot in crate::labelled(self.txn, self.namespace, symbols.topic)? {
            let (topic, mut count) = (Slot(slot), 0);
            if !self.look().is_topic(&symbols, topic)? {
                continue;
            }
            for (edge, member) in self.look().derived_ends(topic, Direction::Out, symbols.groups)? {
                let first = self.look().topic_of(&symbols, member)?;
                if first.is_some_and(|(first, _)| first != edge) {
                    self.txn.delete_edge(self.namespace, edge)?;
                } else {
                    count += i64::from(self.is_labelled(member, self.names.message)?);
                }
            }
            own.push((topic, count));
        }
        let mut all = Counts::default();
        for (topic, count) in &own {
            for topic in self.look().with_wider(&symbols, *topic)? {
                all.add(topic, *count);
            }
        }
        for (topic, count) in all.0 {
            if count == 0 {
                self.remove_node(topic)?;
            } else if self.look().number(topic, MESSAGE_COUNT)? != count {
                let mut changes = Changes::default();
                changes.set.set(MESSAGE_COUNT, &Value::Int(count))?;
                self.touch_topic(topic, &changes)?;
            }
        }
        Ok(())
    }

    /// Takes nodes out of their topics.
    pub fn ungroup(&mut self, members: &[Slot]) -> Result<()> {
        let Some(symbols) = Symbols::read(self.txn)? else { return Ok(()) };
        let mut counts = Counts::default();
        for member in members {
            self.move_member(&symbols, *member, None, &mut counts)?;
        }
        self.count_messages(&symbols, counts)
    }

    /// Removes a topic that the weaver has made.
    pub fn remove_topic(&mut self, topic: Slot) -> Result<()> {
        let Some(symbols) = Symbols::read(self.txn)? else { return Ok(()) };
        if !self.look().is_topic(&symbols, topic)? {
            return Ok(());
        }
        let mut counts = Counts::default();
        self.widen(&symbols, topic, &mut counts)?;
        self.count_messages(&symbols, counts)?;
        self.remove_node(topic)
    }

    pub(super) fn is_topic(&self, slot: Slot) -> Result<bool> {
        let symbols = Symbols::read(self.txn)?;
        symbols.map_or(Ok(false), |symbols| self.look().is_topic(&symbols, slot))
    }

    /// The same for a user, or because its time has come: what it was made of is due.
    pub(super) fn delete_topic(&mut self, topic: Slot) -> Result<()> {
        self.mark_any(topic)?;
        self.remove_topic(topic)
    }

    /// Takes a topic out of the wider one.
    fn widen(&mut self, symbols: &Symbols, topic: Slot, counts: &mut Counts) -> Result<()> {
        for (edge, _) in self.look().derived_ends(topic, Direction::Out, symbols.part_of)? {
            self.detach(symbols, edge, topic, counts)?;
        }
        Ok(())
    }

    /// What is due of topics is going to be done from what is stored now: a message stands for it until
    /// [`Self::end_topics`], so that the end of the process loses nothing, and what changes meanwhile is
    /// due again. Nothing else ever marks a message.
    pub fn begin_topics(&mut self) -> Result<Option<Slot>> {
        let (messages, _) = self.labelled_from(self.names.message, Slot(0), 1)?;
        let (due, mut is_wrong) = (pending(self.txn, self.namespace, Artefact::Topics)?, false);
        for slot in due {
            is_wrong |= self.is_topic(Slot(slot))?;
            self.done(Artefact::Topics, Slot(slot))?;
        }
        if is_wrong {
            self.settle_topics()?;
        }
        if let Some(message) = messages.first() {
            self.mark(Artefact::Topics, *message)?;
        }
        Ok(messages.first().copied())
    }

    /// All that was due of topics is done for which a message has stood.
    pub fn end_topics(&mut self, message: Slot) -> Result<()> {
        self.done(Artefact::Topics, message)
    }

    /// What a topic is called and where it stands. A user's label stays.
    fn describe(&mut self, topic: Slot, draft: &TopicDraft) -> Result<()> {
        let same = self.look().terms(topic)? == draft.terms
            && self.look().number(topic, LEVEL)? == draft.level;
        if same {
            return Ok(());
        }
        self.call(topic, &draft.terms, Some(draft.level))
    }

    /// Gives a topic these terms, and the label that they make.
    fn call(&mut self, topic: Slot, terms: &[String], level: Option<i64>) -> Result<()> {
        let mut changes = Changes::default();
        let label = terms.iter().take(NAMED_BY).map(String::as_str).collect::<Vec<_>>().join(", ");
        // Users make versions; the weaver makes none.
        if self.node(topic)?.version == 1 {
            changes.set.set(LABEL, &Value::Str(label))?;
        }
        let terms = terms.iter().map(|term| Value::Str(term.clone())).collect();
        changes.set.set(TERMS, &Value::List(terms))?;
        if let Some(level) = level {
            changes.set.set(LEVEL, &Value::Int(level))?;
        }
        self.touch_topic(topic, &changes)
    }

    fn touch_topic(&mut self, topic: Slot, changes: &Changes) -> Result<()> {
        let old = self.node(topic)?.properties.as_bytes().to_vec();
        let properties = self.merge(&old, changes)?;
        self.txn.touch_node(self.namespace, topic, &properties)?;
        self.post_properties(topic, Some(&old), Some(&properties))
    }

    /// Makes these and no others the parts of a topic.
    fn attach(
        &mut self,
        symbols: &Symbols,
        topic: Slot,
        parts: &[Slot],
        counts: &mut Counts,
    ) -> Result<()> {
        let before = self.look().derived_ends(topic, Direction::In, symbols.part_of)?;
        for (edge, part) in before {
            if !parts.contains(&part) {
                self.detach(symbols, edge, part, counts)?;
            }
        }
        // One that was wider is a part now.
        let wider = self.look().with_wider(symbols, topic)?;
        if wider.iter().skip(1).any(|wider| parts.contains(wider)) {
            self.widen(symbols, topic, counts)?;
        }
        for part in parts {
            if *part == topic || !self.look().is_topic(symbols, *part)? {
                continue;
            }
            let wider = self.look().derived_ends(*part, Direction::Out, symbols.part_of)?;
            if wider.iter().any(|(_, of)| *of == topic) {
                continue;
            }
            for (edge, _) in wider {
                self.detach(symbols, edge, *part, counts)?;
            }
            let count = self.look().number(*part, MESSAGE_COUNT)?;
            counts.add(topic, count);
            let id = self.node(*part)?.id.to_owned();
            self.link(*part, topic, symbols.part_of, "part_of", 1.0, &[&id], &Draft::new())?;
        }
        Ok(())
    }

    fn detach(
        &mut self,
        symbols: &Symbols,
        edge: Slot,
        part: Slot,
        counts: &mut Counts,
    ) -> Result<()> {
        let count = self.look().number(part, MESSAGE_COUNT)?;
        for wider in self.look().with_wider(symbols, part)?.into_iter().skip(1).take(1) {
            counts.add(wider, -count);
        }
        self.txn.delete_edge(self.namespace, edge)
    }

    fn move_member(
        &mut self,
        symbols: &Symbols,
        member: Slot,
        topic: Option<Slot>,
        counts: &mut Counts,
    ) -> Result<()> {
        let Some(node) = self.txn.node(self.namespace, member)? else { return Ok(()) };
        let (id, message) = (node.id.to_owned(), node.has_label(self.names.message));
        let count = i64::from(message);
        if let Some((edge, before)) = self.look().topic_of(symbols, member)? {
            if Some(before) == topic {
                return Ok(());
            }
            self.txn.delete_edge(self.namespace, edge)?;
            counts.add(before, -count);
        }
        if let Some(topic) = topic {
            self.link(topic, member, symbols.groups, "groups", 1.0, &[&id], &Draft::new())?;
            counts.add(topic, count);
        }
        Ok(())
    }

    /// Counts messages that have come into topics or left them, in the wider ones, too. Those without any go.
    fn count_messages(&mut self, symbols: &Symbols, counts: Counts) -> Result<()> {
        let mut all = Counts::default();
        for (topic, by) in counts.0 {
            for topic in self.look().with_wider(symbols, topic)? {
                all.add(topic, by);
            }
        }
        for (topic, by) in all.0.into_iter().filter(|(_, by)| *by != 0) {
            if !self.look().is_topic(symbols, topic)? {
                continue;
            }
            let count = self.look().number(topic, MESSAGE_COUNT)?.saturating_add(by);
            if count <= 0 {
                self.remove_node(topic)?;
                continue;
            }
            let mut changes = Changes::default();
            changes.set.set(MESSAGE_COUNT, &Value::Int(count))?;
            self.touch_topic(topic, &changes)?;
        }
        Ok(())
    }

    /// A message says something else, or will be gone: it is in no topic any more. What it mentioned is due.
    pub(super) fn leave_topics(&mut self, message: Slot) -> Result<()> {
        self.ungroup(&[message])?;
        if is_pending(self.txn, self.namespace, Artefact::Topics, message)? {
            self.done(Artefact::Topics, message)?;
            self.mark_any(message)?;
        }
        Ok(())
    }

    /// An entity will be gone: topics are not called by it any more. They follow from all that is said, so
    /// that what is left is due.
    pub(super) fn end_in_topics(&mut self, entity: Slot) -> Result<()> {
        if let Some(symbols) = Symbols::read(self.txn)?
            && let Some((_, topic)) = self.look().topic_of(&symbols, entity)?
            && let Some(term) = self.term_of(entity)?
        {
            for topic in self.look().with_wider(&symbols, topic)? {
                self.replace_term(topic, &term, None)?;
            }
        }
        self.mark_any(entity)
    }

    /// Marks any entity but one, or a topic where there is none: all topics are made at once.
    fn mark_any(&mut self, but: Slot) -> Result<()> {
        let labels = [Some(self.names.entity), self.txn.symbol(TOPIC)?];
        for label in labels.into_iter().flatten() {
            let (found, _) = self.labelled_from(label, Slot(0), 2)?;
            if let Some(slot) = found.into_iter().find(|slot| *slot != but) {
                return self.mark(Artefact::Topics, slot);
            }
        }
        Ok(())
    }

    /// The name of an entity.
    pub(super) fn term_of(&self, slot: Slot) -> Result<Option<String>> {
        let node = self.node(slot)?;
        if !node.has_label(self.names.entity) {
            return Ok(None);
        }
        let label = node.properties.get(self.names.label)?;
        Ok(label.and_then(|label| label.as_str()).map(str::to_owned))
    }

    /// An entity is called otherwise: so are its topics.
    pub(super) fn rename_in_topics(&mut self, entity: Slot, before: Option<&str>) -> Result<()> {
        let Some(before) = before else { return Ok(()) };
        let Some(symbols) = Symbols::read(self.txn)? else { return Ok(()) };
        let now = self.term_of(entity)?;
        if now.as_deref() == Some(before) {
            return Ok(());
        }
        let Some((_, topic)) = self.look().topic_of(&symbols, entity)? else { return Ok(()) };
        for topic in self.look().with_wider(&symbols, topic)? {
            self.replace_term(topic, before, now.as_deref())?;
        }
        Ok(())
    }

    fn replace_term(&mut self, topic: Slot, before: &str, now: Option<&str>) -> Result<()> {
        let mut terms = self.look().terms(topic)?;
        let Some(at) = terms.iter().position(|term| term == before) else { return Ok(()) };
        match now {
            Some(now) => terms[at] = now.to_owned(),
            None => _ = terms.remove(at),
        }
        self.call(topic, &terms, None)
    }
}

/// By how many messages topics change.
#[derive(Default)]
struct Counts(BTreeMap<Slot, i64>);

impl Counts {
    fn add(&mut self, topic: Slot, by: i64) {
        *self.0.entry(topic).or_default() += by;
    }
}
