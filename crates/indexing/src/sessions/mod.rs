//! Who said what when: the messages of one namespace by chat and session, with their senders.
//!
//! A chat is its messages in the order of their slots. A session is a run of messages of a chat in
//! which none comes more than an hour after the one before; a message whose timestamp is no time
//! belongs to the session it stands in. A text that is in no chat, such as a fact, stands alone: it
//! is a chat of its own. [`Sessions`] holds one state of a namespace, exactly that of
//! the snapshot it was read from or brought up to. Whoever asks holds it by `Arc`, and its parts are
//! shared by `Arc` again: a change copies what others still read, and only that.

pub(crate) mod file;
mod layout;
mod senders;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use embedded_db_common::Slot;
use roaring::RoaringBitmap;

pub use layout::{Layout, Place, SessionId, Totals};
pub use senders::{NamedSender, Senders};

/// The longest time between two messages of a session, in microseconds; forwards or back, for messages
/// may be stored in any order.
pub const LONGEST_PAUSE: i64 = 3_600_000_000;

const PAGE: usize = 256;
/// No chat: the slot holds no message.
const NOBODY: u32 = u32::MAX;

/// What the view keeps of a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    /// The id of its chat; `None` for a text that stands alone.
    pub chat: Option<&'a str>,
    /// Who wrote it.
    pub sender: Option<&'a str>,
    /// When, in microseconds since 1970 UTC.
    pub time: Option<i64>,
    /// The text.
    pub content: &'a str,
    /// Number of words of its searchable text.
    pub words: u32,
    /// Whether it is a fact whose place another has taken.
    pub superseded: bool,
}

/// What the view takes in of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Said {
    /// Its chat; `None` for a text that stands alone.
    chat: Option<u32>,
    sender: u32,
    time: Option<i64>,
    words: u32,
    marks: Marks,
    superseded: bool,
}

/// A message in the view.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    chat: u32,
    sender: u32,
    /// Number of its session in the chat, from 0.
    session: u32,
    words: u32,
    /// Its own time, or the last one known before it in the chat.
    time: Option<i64>,
    has_time: bool,
    marks: Marks,
}

/// Question marks in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Whether it holds one.
    pub asks: bool,
    /// Whether it ends with one.
    pub ends_asking: bool,
}

impl Marks {
    fn of(content: &str) -> Self {
        let is_mark = |c| matches!(c, '?' | '？' | '؟');
        Self { asks: content.contains(is_mark), ends_asking: content.trim_end().ends_with(is_mark) }
    }
}

const ABSENT: Row = Row {
    chat: NOBODY,
    sender: NOBODY,
    session: 0,
    words: 0,
    time: None,
    has_time: false,
    marks: Marks { asks: false, ends_asking: false },
};

/// The messages of a namespace.
#[derive(Clone, Default)]
pub struct Sessions {
    /// By slot.
    pages: Vec<Option<Arc<[Row; PAGE]>>>,
    /// Slots of each chat, ascending. A chat that has lost its messages stays, empty.
    chats: Vec<Arc<Vec<u32>>>,
    chat_numbers: Arc<HashMap<Box<str>, u32>>,
    senders: Arc<Senders>,
    /// Messages of each sender.
    sender_messages: Vec<u32>,
    slots: RoaringBitmap,
    /// Those of them that are in a chat.
    in_chats: RoaringBitmap,
    /// Those of them whose place another has taken.
    superseded: RoaringBitmap,
    whole: OnceLock<Arc<Layout>>,
    current: OnceLock<Arc<Current>>,
}

/// All messages whose place no other has taken.
pub struct Current {
    /// Their slots.
    pub slots: RoaringBitmap,
    /// How they lie.
    pub layout: Arc<Layout>,
    /// By sender: whether one of them is the sender's.
    pub senders: Vec<bool>,
}

impl Current {
    fn memory_bytes(&self) -> usize {
        self.slots.serialized_size() + self.layout.memory_bytes() + self.senders.capacity()
    }
}

impl Sessions {
    /// No messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// The slots of all messages.
    pub fn slots(&self) -> &RoaringBitmap {
        &self.slots
    }

    /// The slots of the messages that are in a chat.
    pub fn in_chats(&self) -> &RoaringBitmap {
        &self.in_chats
    }

    /// The slots of the messages whose place another has taken.
    pub fn superseded(&self) -> &RoaringBitmap {
        &self.superseded
    }

    /// All messages but those. Most searches are for them: they are found once for many.
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(self.current.get_or_init(|| {
            let slots = &self.slots - &self.superseded;
            let layout = self.layout(Some(&slots));
            Arc::new(Current { senders: self.senders_of(&slots), layout, slots })
        }))
    }

    /// The senders; some may have no message any more.
    pub fn senders(&self) -> &Senders {
        &self.senders
    }

    /// Number of messages of a sender.
    pub fn messages_of(&self, sender: u32) -> u32 {
        self.sender_messages.get(sender as usize).copied().unwrap_or(0)
    }

    /// The senders of some nodes, as far as these are messages.
    pub fn senders_of(&self, slots: &RoaringBitmap) -> Vec<bool> {
        let mut out = vec![false; self.sender_messages.len()];
        for slot in slots {
            if let Some(row) = self.row(slot)
                && row.sender != NOBODY
            {
                out[row.sender as usize] = true;
            }
        }
        out
    }

    /// How the messages lie, all of them or those that are `allowed`.
    pub fn layout(&self, allowed: Option<&RoaringBitmap>) -> Arc<Layout> {
        match allowed {
            Some(allowed) if !self.slots.is_subset(allowed) => {
                Arc::new(Layout::of(self, &(allowed & &self.slots)))
            }
            _ => Arc::clone(self.whole.get_or_init(|| Arc::new(Layout::of(self, &self.slots)))),
        }
    }

    /// The slot holds this message from now on.
    pub fn upsert(&mut self, slot: Slot, message: Message<'_>) {
        let chat = message.chat.map(|chat| self.chat_number(chat));
        let sender = message.sender.filter(|sender| !sender.is_empty());
        let said = Said {
            chat,
            sender: sender.map_or(NOBODY, |sender| self.sender_number(sender)),
            time: message.time,
            words: message.words,
            marks: Marks::of(message.content),
            superseded: message.superseded,
        };
        self.put(slot, said);
    }

    /// The same, with the numbers of chat and sender.
    fn put(&mut self, slot: Slot, said: Said) {
        self.changed();
        let Said { sender, .. } = said;
        let chat = match said.chat {
            Some(chat) => chat,
            // No identifier holds a NUL.
            None => self.chat_number(&format!("\0{}", slot.0)),
        };
        let before = self.row(slot.0).copied();
        if let Some(before) = before
            && before.chat != chat
        {
            self.remove(slot);
        } else if let Some(before) = before {
            self.count_sender(before.sender, false);
        }
        self.count_sender(sender, true);
        if said.chat.is_some() {
            self.in_chats.insert(slot.0);
        } else {
            self.in_chats.remove(slot.0);
        }
        if said.superseded {
            self.superseded.insert(slot.0);
        } else {
            self.superseded.remove(slot.0);
        }
        let row = Row {
            chat,
            sender,
            session: 0,
            words: said.words,
            time: said.time,
            has_time: said.time.is_some(),
            marks: said.marks,
        };
        // A message that stays where and when it was stays in its session.
        if let Some(before) = before.filter(|before| before.chat == chat)
            && before.has_time == row.has_time
            && (!row.has_time || before.time == row.time)
        {
            *self.row_mut(slot.0) = Row { session: before.session, time: before.time, ..row };
            return;
        }
        *self.row_mut(slot.0) = row;
        self.slots.insert(slot.0);
        let slots = Arc::make_mut(&mut self.chats[chat as usize]);
        let place = match slots.binary_search(&slot.0) {
            Ok(place) => place,
            Err(place) => {
                slots.insert(place, slot.0);
                place
            }
        };
        self.divide(chat, place);
    }

    /// The slot holds no message from now on.
    pub fn remove(&mut self, slot: Slot) {
        let Some(&row) = self.row(slot.0) else { return };
        self.changed();
        self.count_sender(row.sender, false);
        *self.row_mut(slot.0) = ABSENT;
        self.slots.remove(slot.0);
        self.in_chats.remove(slot.0);
        self.superseded.remove(slot.0);
        let slots = Arc::make_mut(&mut self.chats[row.chat as usize]);
        if let Ok(place) = slots.binary_search(&slot.0) {
            slots.remove(place);
            self.divide(row.chat, place);
        }
    }

    /// What was made of all messages is that of other ones.
    fn changed(&mut self) {
        self.whole = OnceLock::new();
        self.current = OnceLock::new();
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        let chats: usize = self.chats.iter().map(|slots| slots.capacity() * size_of::<u32>()).sum();
        let names: usize = self.chat_numbers.keys().map(|id| id.len() + 32).sum();
        self.pages.iter().flatten().count() * size_of::<[Row; PAGE]>()
            + self.pages.capacity() * size_of::<usize>()
            + chats
            + names
            + self.senders.memory_bytes()
            + self.slots.serialized_size()
            + self.in_chats.serialized_size()
            + self.superseded.serialized_size()
            + self.whole.get().map_or(0, |layout| layout.memory_bytes())
            + self.current.get().map_or(0, |current| current.memory_bytes())
    }

    /// Finds the sessions of a chat anew from a place on.
    fn divide(&mut self, chat: u32, from: usize) {
        let slots = Arc::clone(&self.chats[chat as usize]);
        let last = from.checked_sub(1).and_then(|before| self.row(slots[before]));
        let mut last = last.map(|row| (row.session, row.time));
        for (place, &slot) in slots.iter().enumerate().skip(from) {
            let row = self.row_mut(slot);
            let (session, time) = match (last, row.time.filter(|_| row.has_time)) {
                (None, own) => (0, own),
                (Some((session, None)), own) => (session, own),
                (Some((session, before)), None) => (session, before),
                (Some((session, Some(before))), Some(own)) => {
                    let pause = own.abs_diff(before) > LONGEST_PAUSE.unsigned_abs();
                    (session + u32::from(pause), Some(own))
                }
            };
            // Behind the place that changed, the first that is as it was leaves the rest so.
            if place > from && (row.session, row.time) == (session, time) {
                return;
            }
            (row.session, row.time) = (session, time);
            last = Some((session, time));
        }
    }

    fn row(&self, slot: u32) -> Option<&Row> {
        let page = self.pages.get(slot as usize / PAGE)?.as_ref()?;
        Some(&page[slot as usize % PAGE]).filter(|row| row.chat != NOBODY)
    }

    fn row_mut(&mut self, slot: u32) -> &mut Row {
        let page = slot as usize / PAGE;
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
        let page = self.pages[page].get_or_insert_with(|| Arc::new([ABSENT; PAGE]));
        &mut Arc::make_mut(page)[slot as usize % PAGE]
    }

    fn chat_number(&mut self, chat: &str) -> u32 {
        if let Some(&number) = self.chat_numbers.get(chat) {
            return number;
        }
        let number = self.chats.len() as u32;
        Arc::make_mut(&mut self.chat_numbers).insert(chat.into(), number);
        self.chats.push(Arc::default());
        number
    }

    fn sender_number(&mut self, sender: &str) -> u32 {
        if let Some(number) = self.senders.number(sender) {
            return number;
        }
        self.sender_messages.push(0);
        Arc::make_mut(&mut self.senders).add(sender)
    }

    fn count_sender(&mut self, sender: u32, more: bool) {
        if sender != NOBODY {
            let count = &mut self.sender_messages[sender as usize];
            *count = if more { *count + 1 } else { *count - 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = LONGEST_PAUSE;

    type Model = BTreeMap<u32, (u8, Option<i64>)>;

    fn message(chat: &str, time: Option<i64>) -> Message<'_> {
        let (chat, sender) = (Some(chat), Some("Ann Lee"));
        Message { chat, sender, time, content: "a b?", words: 2, superseded: false }
    }

    /// Sessions as the promise says: slot by slot, a new one after a pause.
    fn divided(model: &Model) -> Vec<Vec<u32>> {
        let mut out = Vec::new();
        for chat in 0..4u8 {
            let mut last: Option<i64> = None;
            let mut session: Vec<u32> = Vec::new();
            for (&slot, &(_, time)) in model.iter().filter(|(_, (c, _))| *c == chat) {
                if let (Some(last), Some(time)) = (last, time)
                    && (time - last).abs() > HOUR
                {
                    out.push(std::mem::take(&mut session));
                }
                session.push(slot);
                last = time.or(last);
            }
            out.push(session);
        }
        out.retain(|session: &Vec<u32>| !session.is_empty());
        out.sort();
        out
    }

    fn seen(layout: &Layout) -> Vec<Vec<u32>> {
        let sessions = (0..layout.sessions()).map(SessionId);
        let slots = |id| layout.places_of(id).map(|place| layout.slot(place).0).collect();
        let mut out: Vec<Vec<u32>> = sessions.map(slots).collect();
        out.sort();
        out
    }

    proptest! {
        #[test]
        fn sessions_follow_every_change(
            changes in prop::collection::vec(
                (
                    0u32..600,
                    0u8..4,
                    prop::option::of(0i64..9),
                    prop::bool::weighted(0.8),
                    prop::bool::weighted(0.2),
                ),
                1..80,
            ),
            allowed in prop::collection::btree_set(0u32..600, 0..300),
        ) {
            let mut sessions = Sessions::new();
            let (mut model, mut superseded) = (Model::new(), RoaringBitmap::new());
            for (slot, chat, time, present, gives_way) in changes {
                let time = time.map(|time| time * HOUR / 2);
                let before = sessions.clone();
                let expected = divided(&model);
                if present {
                    model.insert(slot, (chat, time));
                    let chat = chat.to_string();
                    let said = Message { superseded: gives_way, ..message(&chat, time) };
                    sessions.upsert(Slot(slot), said);
                } else {
                    model.remove(&slot);
                    sessions.remove(Slot(slot));
                }
                superseded.remove(slot);
                if present && gives_way {
                    superseded.insert(slot);
                }
                let mut current = divided(&model);
                for session in &mut current {
                    session.retain(|slot| !superseded.contains(*slot));
                }
                current.retain(|session| !session.is_empty());
                current.sort();
                prop_assert_eq!(seen(&sessions.current().layout), current);
                prop_assert_eq!(seen(&sessions.layout(None)), divided(&model));
                prop_assert_eq!(seen(&before.layout(None)), expected, "who held it sees no change");
            }
            let some: RoaringBitmap = allowed.iter().copied().collect();
            let mut expected = divided(&model);
            for session in &mut expected {
                session.retain(|slot| allowed.contains(slot));
            }
            expected.retain(|session| !session.is_empty());
            expected.sort();
            prop_assert_eq!(seen(&sessions.layout(Some(&some))), expected);
            let count = model.len() as u32;
            prop_assert_eq!(sessions.slots().len(), u64::from(count));
            if let Some(ann) = sessions.senders().number("Ann Lee") {
                prop_assert_eq!(sessions.messages_of(ann), count);
            }
        }
    }

    #[test]
    fn an_hour_is_no_pause_and_more_is_one() {
        let mut sessions = Sessions::new();
        for (slot, time) in [(0, 0), (1, HOUR), (2, 2 * HOUR + 1), (3, 5), (4, 6)] {
            sessions.upsert(Slot(slot), message("c", Some(time)));
        }
        assert_eq!(seen(&sessions.layout(None)), [vec![0, 1], vec![2], vec![3, 4]]);
        let layout = sessions.layout(None);
        assert_eq!(layout.span(SessionId(2)), Some((5, 6)));
    }

    #[test]
    fn what_is_in_no_chat_stands_alone() {
        let mut sessions = Sessions::new();
        let alone = Message { chat: None, ..message("", Some(0)) };
        for slot in [1, 3] {
            sessions.upsert(Slot(slot), message("c", Some(0)));
            sessions.upsert(Slot(slot + 1), alone);
        }
        let layout = sessions.layout(None);
        assert_eq!(seen(&layout), [vec![1, 3], vec![2], vec![4]]);
        let is_alone =
            |slot| layout.stands_alone(layout.session(layout.place(Slot(slot)).unwrap()));
        assert_eq!([1, 2, 3, 4].map(is_alone), [false, true, false, true]);
        assert_eq!(layout.session_totals(), Totals { documents: 1, words: 4 });
        assert_eq!(layout.turn_totals(), Totals { documents: 4, words: 8 });
        // It may get into a chat, and out of it.
        sessions.upsert(Slot(2), message("c", Some(0)));
        assert_eq!(seen(&sessions.layout(None)), [vec![1, 2, 3], vec![4]]);
        sessions.upsert(Slot(1), alone);
        sessions.remove(Slot(4));
        assert_eq!(seen(&sessions.layout(None)), [vec![1], vec![2, 3]]);
        assert_eq!(sessions.in_chats().iter().collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn question_marks_of_other_scripts_count() {
        assert_eq!(Marks::of("why? because"), Marks { asks: true, ends_asking: false });
        assert_eq!(Marks::of("why？ \n"), Marks { asks: true, ends_asking: true });
        assert_eq!(Marks::of(""), Marks::default());
    }
}
