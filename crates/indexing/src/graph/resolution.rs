//! Which entity a name leads to. That is a function of the names that are said in the chat and of what
//! users have decided, not of the order in which messages came: when it changes, the mentions follow in
//! the same transaction.
//!
//! Long names, such as that of a person with first and last name, lead to the entity of their key in the
//! whole namespace. A short one, such as a first name, leads to the only long name of its chat that it
//! can stand for, and to an entity of its own key when there is none or more than one. The postings
//! `NAME_SAID` list the messages of a chat by the short forms of its long names, and by its short names.

use std::collections::{BTreeMap, BTreeSet};

use embedded_db_common::{Result, Slot, clock};
use embedded_db_storage::{EdgeFields, EdgeTimes, IndexId, ReadPostings, ReadTxn};

use super::names::{Long, StandsFor};
use super::said::{self, Mention, Rule, Said};
use super::{Artefact, Changes, EdgeChanges, GraphWriter, is_pending};

/// What follows from a change of what is said.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// Short names of chats that may lead elsewhere now.
    short: BTreeSet<Vec<u8>>,
    /// Keys of entities that went…
    gone: BTreeSet<String>,
    /// …and of those whose own name is still said, and leads elsewhere.
    moved: BTreeSet<String>,
}

/// Most messages whose names one transaction lets lead elsewhere: the others wait, so that writers do not.
pub const MOST_MOVED: usize = 64;
/// With more long names than this a short one is ambiguous, whatever they lead to.
const MOST_LONG: usize = 16;

/// How often each name is said more than before.
type NameCounts = Vec<(String, i64)>;
/// The posting of a long name and a message that says it.
type LongName = (Vec<u8>, Slot);

/// What a message is found to say while its names are placed.
struct Placing {
    message: Slot,
    chat: Option<[u8; 8]>,
    /// Where long names of this message lead to.
    long: Vec<(Vec<u8>, Slot)>,
    placed: Vec<(Slot, Said)>,
}

impl GraphWriter<'_, '_> {
    /// Makes a message say this and nothing else. With `linked` the relations of its entities follow.
    /// Entities that no message mentions any more go; see [`Self::settle`].
    pub(super) fn say(
        &mut self,
        message: Slot,
        said: Vec<Said>,
        linked: bool,
    ) -> Result<BTreeSet<String>> {
        let mut unsettled = Unsettled::default();
        self.place(message, said, linked, &mut unsettled)?;
        self.settle(unsettled)
    }

    /// Lets the messages that use short names follow what these now lead to, or wait for it where they are
    /// many. Gives the keys of the entities that went, do not come again with a name that follows, and whose names
    /// are not said any more.
    pub(super) fn settle(&mut self, mut unsettled: Unsettled) -> Result<BTreeSet<String>> {
        let mut left = MOST_MOVED;
        while let Some(short) = unsettled.short.pop_first() {
            let messages = crate::posting(self.txn, self.namespace, IndexId::NAME_SAID, &short)?;
            for message in messages {
                if left == 0 {
                    if !self.awaits_decision(Slot(message))? {
                        self.mark(Artefact::Resolution, Slot(message))?;
                    }
                } else {
                    left -= 1;
                    self.place_again(Slot(message), &mut unsettled)?;
                }
            }
        }
        let mut gone = BTreeSet::new();
        for key in &unsettled.gone - &unsettled.moved {
            if !self.is_there(&key)? {
                gone.insert(key);
            }
        }
        Ok(gone)
    }

    /// Lets the names of those of some messages that wait for it lead where they now do.
    pub fn follow_names(&mut self, messages: &[Slot]) -> Result<()> {
        let mut unsettled = Unsettled::default();
        for message in messages {
            if self.awaits_decision(*message)?
                || is_pending(self.txn, self.namespace, Artefact::Resolution, *message)?
            {
                self.done(Artefact::Resolution, *message)?;
                self.place_again(*message, &mut unsettled)?;
            }
        }
        for key in self.settle(unsettled)? {
            self.forget_decisions(&key)?;
        }
        Ok(())
    }

    /// Lets the names of a message lead where they now do.
    pub(super) fn place_again(&mut self, message: Slot, unsettled: &mut Unsettled) -> Result<()> {
        let mentions = self.look().mentions_of(message)?;
        let said = mentions.into_iter().flat_map(|mention| mention.said).collect();
        let linked = self.is_linked(message)?;
        self.place(message, said, linked, unsettled)
    }

    fn place(
        &mut self,
        message: Slot,
        said: Vec<Said>,
        linked: bool,
        unsettled: &mut Unsettled,
    ) -> Result<()> {
        let before = self.look().mentions_of(message)?;
        let pairs_before = if linked { self.pairs_of(message)? } else { Vec::new() };
        let chat = self.look().chat_mark(message)?;
        self.ask_short_names((message, chat), &before, unsettled)?;
        if let Some(chat) = chat {
            let old = said::values_of(chat, &before);
            self.repost(message, &old, &said::values(chat, &said), unsettled)?;
        }
        let placed = self.targets_of(message, chat, said)?;
        self.note_moves((message, chat), &before, &placed, unsettled)?;
        let fewer = self.write_mentions(message, before, placed)?;
        if linked {
            self.recount_pairs(message, &pairs_before)?;
        }
        for (entity, names) in fewer {
            let key = self.key_of(entity)?;
            if self.count_mention(entity, -1, &names)? {
                unsettled.gone.extend(key);
            }
        }
        Ok(())
    }

    /// The short forms of long names that lead elsewhere than before are unsettled: of several messages
    /// that say one, the short ones ask the first.
    fn note_moves(
        &self,
        (message, chat): (Slot, Option<[u8; 8]>),
        before: &[Mention],
        placed: &[(Slot, Said)],
        unsettled: &mut Unsettled,
    ) -> Result<()> {
        for mention in before {
            let of = self.key_of(mention.entity)?;
            for said in &mention.said {
                let same =
                    |now: &Said| (&now.name, &now.entity_type) == (&said.name, &said.entity_type);
                if !placed.iter().any(|(to, now)| *to != mention.entity && same(now)) {
                    continue;
                }
                let reading = said.reading();
                if of.as_ref() == Some(&reading.key) {
                    unsettled.moved.insert(reading.key.clone());
                }
                if let Some(chat) = chat {
                    for value in said::long_values(chat, &reading) {
                        if self.is_first(&value, message)? {
                            unsettled.short.insert(said::short_of(&value));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a message is to follow what a user has decided.
    fn awaits_decision(&self, message: Slot) -> Result<bool> {
        is_pending(self.txn, self.namespace, Artefact::Decisions, message)
    }

    /// What a user decides about an entity may concern short names of its chats that do not lead to it: it
    /// is no longer one of those between which they could not choose, or is one again. The first message that
    /// says a long name unsettles them, once: what settles them sets no such bit.
    pub(super) fn ask_short_names(
        &mut self,
        (message, chat): (Slot, Option<[u8; 8]>),
        mentions: &[Mention],
        unsettled: &mut Unsettled,
    ) -> Result<()> {
        if !self.awaits_decision(message)? {
            return Ok(());
        }
        self.done(Artefact::Decisions, message)?;
        for value in chat.map(|chat| said::values_of(chat, mentions)).unwrap_or_default() {
            if said::kind_of(&value).is_some() && self.is_first(&value, message)? {
                unsettled.short.insert(said::short_of(&value));
            }
        }
        Ok(())
    }

    /// Whether a message is the first that is found under what it says.
    fn is_first(&self, value: &[u8], message: Slot) -> Result<bool> {
        let mut first = None;
        self.txn.containers(self.namespace, IndexId::NAME_SAID, value, |container| {
            first = container.slots().next();
            false
        })?;
        Ok(first == Some(message.0))
    }

    /// The message is found under what it says. Where the long names of a chat are no longer the same,
    /// its short ones are unsettled.
    pub(super) fn repost(
        &mut self,
        message: Slot,
        before: &[Vec<u8>],
        after: &[Vec<u8>],
        unsettled: &mut Unsettled,
    ) -> Result<()> {
        for value in before.iter().filter(|value| !after.contains(value)) {
            self.txn.unpost(self.namespace, IndexId::NAME_SAID, value, message)?;
            self.note_change(value, unsettled)?;
        }
        for value in after.iter().filter(|value| !before.contains(value)) {
            self.note_change(value, unsettled)?;
            self.txn.post(self.namespace, IndexId::NAME_SAID, value, message)?;
        }
        Ok(())
    }

    /// A long name comes into its chat, or has gone from it: now no message lists it.
    fn note_change(&self, value: &[u8], unsettled: &mut Unsettled) -> Result<()> {
        if said::kind_of(value).is_some() {
            let mut any = false;
            self.txn.containers(self.namespace, IndexId::NAME_SAID, value, |_| {
                any = true;
                false
            })?;
            if !any {
                unsettled.short.insert(said::short_of(value));
            }
        }
        Ok(())
    }

    /// Where each name leads: long ones first, since those of the same message count for the short.
    fn targets_of(
        &mut self,
        message: Slot,
        chat: Option<[u8; 8]>,
        said: Vec<Said>,
    ) -> Result<Vec<(Slot, Said)>> {
        let mut sorted: Vec<(u8, Said)> = Vec::with_capacity(said.len());
        for said in said {
            let rank = match said.reading().stands_for {
                None => 0,
                Some(StandsFor::Titled(_) | StandsFor::OfFamily(_)) => 1,
                Some(StandsFor::Part(_) | StandsFor::Initials(_)) => 2,
            };
            sorted.push((rank, said));
        }
        sorted.sort_by_key(|(rank, said)| (*rank, said.start));
        let mut placing = Placing { message, chat, long: Vec::new(), placed: Vec::new() };
        for (_, mut said) in sorted {
            let reading = said.reading();
            let short = match (&reading.stands_for, chat) {
                (Some(short), Some(chat)) => self.long_name(&placing, chat, &said, short)?,
                _ => None,
            };
            let (entity, rule) = match short {
                Some(found) => found,
                None => self.named(&said, &reading.key)?,
            };
            said.rule = rule;
            if let Some(chat) = placing.chat {
                let values = said::long_values(chat, &reading);
                placing.long.extend(values.into_iter().map(|value| (value, entity)));
            }
            placing.placed.push((entity, said));
        }
        Ok(placing.placed)
    }

    /// The entity of the only long name in a chat that a short one can stand for.
    fn long_name(
        &mut self,
        placing: &Placing,
        chat: [u8; 8],
        said: &Said,
        short: &StandsFor,
    ) -> Result<Option<(Slot, Rule)>> {
        if matches!(short, StandsFor::OfFamily(_)) {
            return Ok(None);
        }
        let own = said::long_values(chat, &said.reading());
        let (mut full, mut titled, mut initials) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut titles, mut of_family, mut other_titles) = (0, false, false);
        let value = said::short_value(chat, short.token());
        let Some(longs) = self.long_names(&value)? else { return Ok(None) };
        for (value, message) in longs {
            if own.contains(&value) {
                continue;
            }
            // Of titled names in one message none is placed before all the others.
            other_titles |= matches!(said::kind_of(&value), Some(Long::Titled | Long::OfFamily));
            let Some(entity) = self.said_by(placing, &value, message)? else { continue };
            if self.are_apart(said, entity)? {
                continue;
            }
            match said::kind_of(&value) {
                Some(Long::Full) => _ = full.insert(entity),
                Some(Long::Initials) => _ = initials.insert(entity),
                Some(kind) => {
                    titled.insert(entity);
                    titles += 1;
                    of_family |= kind == Long::OfFamily;
                }
                None => {}
            }
        }
        let only = |of: &BTreeSet<Slot>| of.first().copied().filter(|_| of.len() == 1);
        Ok(match short {
            StandsFor::Initials(_) => only(&initials).map(|entity| (entity, Rule::Initials)),
            StandsFor::Titled(_) => {
                only(&full).filter(|_| !other_titles).map(|entity| (entity, Rule::Part))
            }
            StandsFor::Part(token) => {
                let rule = if token.starts_with('@') { Rule::Handle } else { Rule::Part };
                // A title of a family leaves open whether it is that of the full name.
                let is_of_full = titled.is_subset(&full) && !of_family;
                let one = if full.is_empty() { titles == 1 } else { is_of_full };
                let found = if full.is_empty() { &titled } else { &full };
                only(found).filter(|_| one).map(|entity| (entity, rule))
            }
            StandsFor::OfFamily(_) => None,
        })
    }

    /// The long names of a chat that a short one can stand for, each with a message that says it;
    /// `None` if there are too many.
    fn long_names(&self, short: &[u8]) -> Result<Option<Vec<LongName>>> {
        let mut out: Vec<LongName> = Vec::new();
        let prefix = said::long_prefix(short);
        let index = IndexId::NAME_SAID;
        self.txn.values_from(self.namespace, index, &prefix, |value, container| {
            let first = container.slots().next();
            if out.last().is_none_or(|(last, _)| last != value) {
                out.extend(first.map(|slot| (value.to_vec(), Slot(slot))));
            }
            out.len() <= MOST_LONG
        })?;
        Ok(Some(out).filter(|out| out.len() <= MOST_LONG))
    }

    /// Where a long name leads to that a message says.
    fn said_by(&self, placing: &Placing, value: &[u8], message: Slot) -> Result<Option<Slot>> {
        if let Some((_, entity)) = placing.long.iter().find(|(own, _)| own == value) {
            return Ok(Some(*entity));
        }
        let Some(chat) = placing.chat.filter(|_| message != placing.message) else {
            return Ok(None);
        };
        for mention in self.look().mentions_of(message)? {
            let says = |said: &Said| {
                said::long_values(chat, &said.reading()).iter().any(|own| own == value)
            };
            if mention.said.iter().any(says) {
                return Ok(Some(mention.entity));
            }
        }
        Ok(None)
    }

    /// Writes what has changed; gives the entities that the message no longer mentions, with the names
    /// that it had for them.
    fn write_mentions(
        &mut self,
        message: Slot,
        before: Vec<Mention>,
        placed: Vec<(Slot, Said)>,
    ) -> Result<Vec<(Slot, NameCounts)>> {
        let mut after: BTreeMap<Slot, Vec<Said>> = BTreeMap::new();
        for (entity, said) in placed {
            after.entry(entity).or_default().push(said);
        }
        for said in after.values_mut() {
            said.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        }
        let source = self.node(message)?.id.to_owned();
        let mut fewer = Vec::new();
        // A name that leads elsewhere now was known before.
        let mut known: Vec<(String, i64)> = Vec::new();
        for mention in before {
            let Some(said) = after.remove(&mention.entity) else {
                if let Some(edge) = self.txn.edge(self.namespace, mention.edge)? {
                    let since = edge.times.recorded_at;
                    known.extend(mention.said.iter().map(|said| (said.name.clone(), since)));
                }
                self.txn.delete_edge(self.namespace, mention.edge)?;
                fewer.push((mention.entity, counts(&mention.said, &[])));
                continue;
            };
            if said != mention.said || !mention.stored {
                let weight = Some(said::weight(&said));
                let properties = Changes { set: said::properties(&said)?, ..Changes::default() };
                let changes = EdgeChanges { weight, properties, ..EdgeChanges::default() };
                self.change_edge(mention.edge, &changes, 0, None)?;
                self.count_mention(mention.entity, 0, &counts(&mention.said, &said))?;
            }
        }
        let mut new: Vec<(Slot, Vec<Said>)> = after.into_iter().collect();
        new.sort_by_key(|(_, said)| said.first().map(|said| said.start));
        for (entity, said) in new {
            let properties = self.encode(&said::properties(&said)?)?;
            let was_known = known.iter().filter(|(name, _)| said.iter().any(|s| s.name == *name));
            let since = was_known.map(|(_, since)| *since).min();
            let recorded_at = since.unwrap_or_else(|| self.txn.now());
            let fields = EdgeFields {
                derived: true,
                source: message,
                target: entity,
                edge_type: self.names.mentions,
                weight: said::weight(&said),
                times: EdgeTimes { recorded_at, ..EdgeTimes::default() },
                sources: vec![&source],
                properties: &properties,
            };
            self.txn.insert_edge(self.namespace, &clock::new_id("mentions"), &fields)?;
            self.count_mention(entity, 1, &counts(&[], &said))?;
        }
        Ok(fewer)
    }
}

/// How often each name is said more than before.
pub(super) fn counts(before: &[Said], after: &[Said]) -> NameCounts {
    let mut out: BTreeMap<String, i64> = BTreeMap::new();
    for (said, by) in [(before, -1), (after, 1)] {
        for said in said {
            *out.entry(said.name.clone()).or_default() += by;
        }
    }
    out.into_iter().filter(|(_, by)| *by != 0).collect()
}
