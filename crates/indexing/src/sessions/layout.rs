//! Messages side by side, session after session: what scoring walks over.

use std::ops::Range;

use embedded_db_common::Slot;
use roaring::RoaringBitmap;

use super::{Marks, NOBODY, Row, Sessions};

/// A message's place in a [`Layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

/// A session's number in a [`Layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// What BM25 must know about a collection: documents that hold a word, and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Documents.
    pub documents: u64,
    /// Words in all of them.
    pub words: u64,
}

impl Totals {
    fn add(&mut self, words: u32) {
        self.documents += u64::from(words > 0);
        self.words += u64::from(words);
    }
}

/// Messages on each side that belong to the window around one.
const WINDOW: u32 = 2;

/// Some messages, as if there were no others: those of a session next to each other in the order of
/// the chat. Where sessions end is decided by the whole chat.
#[derive(Debug, Default)]
pub struct Layout {
    slots: Vec<u32>,
    sessions: Vec<u32>,
    words: Vec<u32>,
    senders: Vec<u32>,
    marks: Vec<Marks>,
    /// By slot, from `first_slot` on.
    places: Vec<u32>,
    first_slot: u32,
    /// By session, with one more at the end.
    starts: Vec<u32>,
    session_words: Vec<u32>,
    /// By session: whether it is a text in no chat.
    alone: Vec<bool>,
    spans: Vec<Option<(i64, i64)>>,
    turns: Totals,
    whole_sessions: Totals,
    windows: Totals,
}

impl Layout {
    pub(super) fn of(sessions: &Sessions, slots: &RoaringBitmap) -> Self {
        let mut out = Self::default();
        let rows = by_chat(sessions, slots);
        let (Some(first), Some(last)) = (slots.min(), slots.max()) else {
            out.starts.push(0);
            return out;
        };
        out.first_slot = first;
        out.places = vec![NOBODY; (last - first) as usize + 1];
        let mut current = None;
        for (slot, row) in rows {
            if current != Some((row.chat, row.session)) {
                current = Some((row.chat, row.session));
                out.starts.push(out.slots.len() as u32);
                out.session_words.push(0);
                out.alone.push(!sessions.in_chats.contains(slot));
                out.spans.push(None);
            }
            out.push(slot, row);
        }
        out.starts.push(out.slots.len() as u32);
        out.count();
        out
    }

    fn push(&mut self, slot: u32, row: &Row) {
        let session = self.session_words.len() - 1;
        self.places[(slot - self.first_slot) as usize] = self.slots.len() as u32;
        self.slots.push(slot);
        self.sessions.push(session as u32);
        self.words.push(row.words);
        self.senders.push(row.sender);
        self.marks.push(row.marks);
        let words = &mut self.session_words[session];
        *words = words.saturating_add(row.words);
        if let Some(time) = row.time.filter(|_| row.has_time) {
            let (first, last) = self.spans[session].unwrap_or((time, time));
            self.spans[session] = Some((first.min(time), last.max(time)));
        }
    }

    fn count(&mut self) {
        let (mut turns, mut sessions, mut windows) =
            (Totals::default(), Totals::default(), Totals::default());
        self.words.iter().for_each(|&words| turns.add(words));
        // Texts that stand alone are short, and many: they would change what a long session is.
        let in_chats = self.session_words.iter().zip(&self.alone).filter(|(_, alone)| !**alone);
        in_chats.for_each(|(&words, _)| sessions.add(words));
        for place in 0..self.len() {
            windows.add(self.window_words(Place(place)));
        }
        (self.turns, self.whole_sessions, self.windows) = (turns, sessions, windows);
    }

    /// Number of messages.
    pub fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Number of sessions.
    pub fn sessions(&self) -> u32 {
        self.session_words.len() as u32
    }

    /// The place of a message, if it is among them.
    #[inline]
    pub fn place(&self, slot: Slot) -> Option<Place> {
        let at = slot.0.checked_sub(self.first_slot)?;
        let place = *self.places.get(at as usize)?;
        (place != NOBODY).then_some(Place(place))
    }

    /// The message in a place.
    #[inline]
    pub fn slot(&self, place: Place) -> Slot {
        Slot(self.slots[place.0 as usize])
    }

    /// The session of a message.
    #[inline]
    pub fn session(&self, place: Place) -> SessionId {
        SessionId(self.sessions[place.0 as usize])
    }

    /// The messages of a session, in order.
    pub fn places_of(&self, session: SessionId) -> impl ExactSizeIterator<Item = Place> + use<> {
        self.range(session).map(Place)
    }

    /// The message so many before (negative) or after one, if it is in the same session.
    #[inline]
    pub fn beside(&self, place: Place, steps: i32) -> Option<Place> {
        let other = place.0.checked_add_signed(steps)?;
        let same = *self.sessions.get(other as usize)? == self.sessions[place.0 as usize];
        same.then_some(Place(other))
    }

    /// The message with up to two on each side, inside its session.
    #[inline]
    pub fn window(&self, place: Place) -> impl ExactSizeIterator<Item = Place> + use<> {
        let session = self.range(self.session(place));
        let start = place.0.saturating_sub(WINDOW).max(session.start);
        let end = place.0.saturating_add(WINDOW + 1).min(session.end);
        (start..end).map(Place)
    }

    /// Number of words of a message.
    #[inline]
    pub fn words(&self, place: Place) -> u32 {
        self.words[place.0 as usize]
    }

    /// Number of words of a message's window.
    #[inline]
    pub fn window_words(&self, place: Place) -> u32 {
        self.window(place).fold(0, |words, place| words.saturating_add(self.words(place)))
    }

    /// Number of words of a session.
    #[inline]
    pub fn session_words(&self, session: SessionId) -> u32 {
        self.session_words[session.0 as usize]
    }

    /// Whether a session is one text that is in no chat.
    #[inline]
    pub fn stands_alone(&self, session: SessionId) -> bool {
        self.alone[session.0 as usize]
    }

    /// Number of the message's sender; `None` when it has none.
    pub fn sender(&self, place: Place) -> Option<u32> {
        Some(self.senders[place.0 as usize]).filter(|sender| *sender != NOBODY)
    }

    /// The question marks of a message.
    pub fn marks(&self, place: Place) -> Marks {
        self.marks[place.0 as usize]
    }

    /// The earliest and the latest time of a session's messages, in microseconds since 1970 UTC.
    pub fn span(&self, session: SessionId) -> Option<(i64, i64)> {
        self.spans[session.0 as usize]
    }

    /// Messages as documents.
    pub fn turn_totals(&self) -> Totals {
        self.turns
    }

    /// Sessions of chats as documents.
    pub fn session_totals(&self) -> Totals {
        self.whole_sessions
    }

    /// Windows as documents.
    pub fn window_totals(&self) -> Totals {
        self.windows
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let by_place = 4 * size_of::<u32>() + size_of::<Marks>();
        let by_session = 2 * size_of::<u32>() + size_of::<bool>() + size_of::<Option<(i64, i64)>>();
        self.slots.capacity() * by_place
            + self.places.capacity() * size_of::<u32>()
            + self.starts.capacity() * by_session
    }

    fn range(&self, session: SessionId) -> Range<u32> {
        let session = session.0 as usize;
        self.starts[session]..self.starts[session + 1]
    }
}

/// The messages in these slots, chat after chat, each chat in its order.
fn by_chat<'a>(
    sessions: &'a Sessions,
    slots: &'a RoaringBitmap,
) -> Box<dyn Iterator<Item = (u32, &'a Row)> + 'a> {
    if slots.len() == sessions.slots.len() {
        let all = sessions.chats.iter().flat_map(|slots| slots.iter().copied());
        return Box::new(all.filter_map(|slot| Some((slot, sessions.row(slot)?))));
    }
    // Slots ascend in a chat: collecting them by chat, in order, is all that sorting takes.
    let mut next = vec![0u32; sessions.chats.len() + 1];
    let rows = || slots.iter().filter_map(|slot| Some((slot, sessions.row(slot)?)));
    for (_, row) in rows() {
        next[row.chat as usize + 1] += 1;
    }
    for chat in 1..next.len() {
        next[chat] += next[chat - 1];
    }
    let mut sorted = vec![0u32; *next.last().unwrap_or(&0) as usize];
    for (slot, row) in rows() {
        let place = &mut next[row.chat as usize];
        sorted[*place as usize] = slot;
        *place += 1;
    }
    Box::new(sorted.into_iter().filter_map(|slot| Some((slot, sessions.row(slot)?))))
}
