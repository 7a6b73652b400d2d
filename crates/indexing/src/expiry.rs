//! What snapshots do not see: nodes whose time has come, with all that deleting them takes along, until
//! they are deleted.
//!
//! What is hidden is decided once for a snapshot, at the time at which it is taken, by going through
//! the deletions that are due in the order of their times as `graph` would make them. It is kept for
//! the next snapshot of the same state, which only adds what has become due in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use embedded_db_common::{NamespaceId, Result, Slot, ValueRef};
use embedded_db_storage::{Direction, Hidden, ReadExpiries, ReadTxn, Snapshot, State, Visible};
use roaring::RoaringBitmap;

use crate::graph::{Look, MESSAGE_COUNT, TopicSymbols};
use crate::schema::Names;

/// What is hidden in the states that were looked at last.
pub(crate) struct Expired {
    names: Names,
    known: Mutex<HashMap<NamespaceId, Known>>,
}

/// What is hidden in one state from one time on, and before another.
#[derive(Clone)]
struct Known {
    state: State,
    from: i64,
    before: i64,
    going: Going,
    hidden: Option<Arc<Hidden>>,
}

impl Expired {
    pub(crate) fn new(names: Names) -> Self {
        Self { names, known: Mutex::default() }
    }

    /// Makes a snapshot blind to what has expired in a namespace by now.
    pub(crate) fn hide(&self, snapshot: &mut Snapshot, namespace: NamespaceId) -> Result<()> {
        if !snapshot.has_expiries()? {
            return Ok(());
        }
        let at = snapshot.instant()?;
        if let Some(hidden) = self.hidden(snapshot, namespace, at)? {
            snapshot.hide(namespace, hidden);
        }
        Ok(())
    }

    fn hidden(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        at: i64,
    ) -> Result<Option<Arc<Hidden>>> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let state = snapshot.state();
        let known = all.get(&namespace).filter(|known| known.state == state && known.from <= at);
        let known = match known {
            Some(known) if at < known.before => return Ok(known.hidden.clone()),
            Some(known) => known.clone(),
            None => Known::nothing(state),
        };
        let known = known.until(snapshot, &self.names, namespace, at)?;
        let hidden = known.hidden.clone();
        all.insert(namespace, known);
        Ok(hidden)
    }
}

impl Known {
    /// Before all times nothing is hidden.
    fn nothing(state: State) -> Self {
        let (going, hidden) = (Going::default(), None);
        Self { state, from: i64::MIN, before: i64::MIN, going, hidden }
    }

    /// Goes on to a time.
    fn until<T: ReadTxn>(
        mut self,
        txn: &T,
        names: &Names,
        namespace: NamespaceId,
        at: i64,
    ) -> Result<Self> {
        let (mut due, mut from, mut before) = (Vec::new(), self.from, i64::MAX);
        txn.expiries(namespace, self.before, |time, slot| {
            if time > at {
                before = time;
                return false;
            }
            from = time;
            due.push(slot);
            true
        })?;
        (self.from, self.before) = (from, before);
        if due.is_empty() {
            return Ok(self);
        }
        let look = Look { txn, names, namespace };
        for slot in due {
            self.going.delete(&look, slot)?;
        }
        self.hidden = Some(Arc::new(self.going.hidden(&look)?));
        Ok(self)
    }
}

/// The nodes of a namespace that are hidden at a time, if there are any.
pub fn hidden<T: ReadTxn>(
    txn: &T,
    names: &Names,
    namespace: NamespaceId,
    at: i64,
) -> Result<Option<Arc<Hidden>>> {
    let known = Known::nothing(State::default());
    Ok(known.until(&Visible::all(txn), names, namespace, at)?.hidden)
}

/// What is gone after some deletions, none of which was made.
#[derive(Clone, Default)]
struct Going {
    gone: RoaringBitmap,
    /// Messages over which their chats close up.
    closing: RoaringBitmap,
    /// Messages that still mention an entity.
    mentions: HashMap<Slot, i64>,
    /// Messages that are still in a topic.
    grouped: HashMap<Slot, i64>,
}

impl Going {
    /// As `GraphWriter::delete_node`.
    fn delete<T: ReadTxn>(&mut self, look: &Look<'_, T>, slot: Slot) -> Result<()> {
        let names = look.names;
        let Some(node) = look.txn.node(look.namespace, slot)? else { return Ok(()) };
        if self.gone.contains(slot.0) {
            return Ok(());
        }
        if node.has_label(names.chat) {
            let (messages, summaries) = look.owned(slot)?;
            for message in messages {
                if !self.gone.contains(message.0) {
                    self.delete_message(look, message)?;
                }
            }
            self.gone.extend(summaries.iter().map(|summary| summary.0));
        }
        if node.has_label(names.message) {
            self.closing.insert(slot.0);
            self.delete_message(look, slot)?;
        }
        self.gone.insert(slot.0);
        Ok(())
    }

    /// As `GraphWriter::delete_message`: summaries that cover it go, and entities that no message
    /// mentions any more.
    fn delete_message<T: ReadTxn>(&mut self, look: &Look<'_, T>, message: Slot) -> Result<()> {
        let names = look.names;
        for end in look.ends(message, Direction::In, names.contains)? {
            if self.gone.contains(end.node.0) || !look.is_labelled(end.node, names.chat)? {
                continue;
            }
            for summary in look.made_summaries(end.node)? {
                if !self.gone.contains(summary.0) && look.covers(summary, end.node, end.edge)? {
                    self.gone.insert(summary.0);
                }
            }
        }
        let mut entities = Vec::new();
        for (_, entity) in look.derived_mentions(message)? {
            if !entities.contains(&entity) && !self.gone.contains(entity.0) {
                entities.push(entity);
            }
        }
        for entity in entities {
            let left = match self.mentions.get(&entity) {
                Some(left) => *left,
                None => self.counted(look, entity)?,
            };
            // Users may have set it to any number.
            let left = left.saturating_sub(1);
            let is_gone = |edge_type, other: Slot| {
                self.gone.contains(other.0) || (edge_type == names.mentions && other == message)
            };
            if left <= 0 && !look.is_tied(entity, is_gone)? {
                self.gone.insert(entity.0);
            }
            self.mentions.insert(entity, left.max(0));
        }
        self.leave_topics(look, message)?;
        self.gone.insert(message.0);
        Ok(())
    }

    /// As `GraphWriter::leave_topics`: topics go with the last of their messages.
    fn leave_topics<T: ReadTxn>(&mut self, look: &Look<'_, T>, message: Slot) -> Result<()> {
        let Some(symbols) = TopicSymbols::read(look.txn)? else { return Ok(()) };
        let Some((_, topic)) = look.topic_of(&symbols, message)? else { return Ok(()) };
        for topic in look.with_wider(&symbols, topic)? {
            let left = match self.grouped.get(&topic) {
                Some(left) => *left,
                None => look.number(topic, MESSAGE_COUNT)?,
            };
            let left = left.saturating_sub(1);
            if left <= 0 {
                self.gone.insert(topic.0);
            }
            self.grouped.insert(topic, left);
        }
        Ok(())
    }

    fn counted<T: ReadTxn>(&self, look: &Look<'_, T>, entity: Slot) -> Result<i64> {
        let Some(node) = look.txn.node(look.namespace, entity)? else { return Ok(0) };
        Ok(match node.properties.get(look.names.mention_count)? {
            Some(ValueRef::Int(count)) => count,
            _ => 0,
        })
    }

    /// What is not seen, with the ends of chains that close up over it.
    fn hidden<T: ReadTxn>(&self, look: &Look<'_, T>) -> Result<Hidden> {
        let (chain, mut bridges) = (look.names.next, HashMap::new());
        for first in &self.closing {
            let Some(before) = look.beside(Slot(first), Direction::In)? else { continue };
            if self.gone.contains(before.0) {
                continue;
            }
            let mut next = look.beside(Slot(first), Direction::Out)?;
            // Users may tie chains into rings.
            let mut steps = self.closing.len();
            while let Some(slot) = next.filter(|slot| steps > 0 && self.closing.contains(slot.0)) {
                next = look.beside(slot, Direction::Out)?;
                steps -= 1;
            }
            if let Some(after) = next.filter(|after| !self.gone.contains(after.0)) {
                bridges.insert((before, Direction::Out), after);
                bridges.insert((after, Direction::In), before);
            }
        }
        Ok(Hidden { nodes: self.gone.clone(), chain, bridges })
    }
}
