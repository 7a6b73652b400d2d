//! Files of sessions.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use embedded_db_common::Slot;
use roaring::RoaringBitmap;

use super::files::{self, Image};
use super::{NODE_SLOTS, changed};
use crate::sessions::file::{Draft, SessionFile};
use crate::sessions::{Layout, Message, SessionId, Sessions};

/// Two files of which the second replaces messages of the first, and what they answer.
static SESSIONS: LazyLock<([Image; 2], Vec<u64>)> = LazyLock::new(|| {
    let write = |slots: std::ops::Range<u32>, is_first| {
        let mut draft = Draft::default();
        for slot in slots {
            let (chat, sender) = (format!("chat {}", slot % 3), format!("sender {}", slot % 5));
            let message = Message {
                chat: (slot % 7 != 0).then_some(&*chat),
                sender: Some(&*sender).filter(|_| slot % 4 != 0),
                time: (slot % 9 != 0).then(|| i64::from(slot) * 1_500_000_000),
                content: if slot.is_multiple_of(2) { "why?" } else { "so" },
                words: slot % 30,
                superseded: slot % 11 == 0,
            };
            draft.add(Slot(slot), (slot % 13 != 0).then_some(message));
        }
        files::write(|out| draft.write(&[], is_first, out))
    };
    let images = [write(0..80, true), write(70..120, false)];
    let opened = open(&images).expect("both were just written");
    let right = Sessions::of_files(opened.iter()).map(|sessions| answers(&sessions));
    (images, right.expect("both were just written"))
});

fn open(images: &[Image]) -> Option<Vec<SessionFile>> {
    images.iter().map(|image| SessionFile::open(files::open(image)?, NODE_SLOTS)).collect()
}

/// All that can be asked.
fn answers(sessions: &Sessions) -> Vec<u64> {
    let mut out = Vec::new();
    let some: RoaringBitmap = (0..NODE_SLOTS).step_by(2).collect();
    for slots in [sessions.slots(), sessions.in_chats(), sessions.superseded()] {
        out.extend(slots.iter().map(u64::from));
    }
    for layout in
        [sessions.layout(None), sessions.layout(Some(&some)), sessions.current().layout.clone()]
    {
        lying(&layout, &mut out);
    }
    for (number, said) in (0..).zip(sessions.senders_of(sessions.slots())) {
        out.extend([u64::from(sessions.messages_of(number)), said.into()]);
    }
    for sender in ["sender 0", "sender 3", "", "nobody"] {
        out.push(sessions.senders().number(sender).map_or(u64::MAX, u64::from));
    }
    out
}

fn lying(layout: &Layout, out: &mut Vec<u64>) {
    let totals = [layout.turn_totals(), layout.session_totals(), layout.window_totals()];
    out.extend(totals.iter().flat_map(|totals| [totals.documents, totals.words]));
    let sessions = (0..layout.sessions()).map(SessionId);
    let mut sessions: Vec<Vec<u64>> = sessions.map(|session| lies(layout, session)).collect();
    // Which of them is the first depends on the order in which they were met.
    sessions.sort_unstable();
    out.extend(sessions.into_iter().flatten());
}

fn lies(layout: &Layout, session: SessionId) -> Vec<u64> {
    let mut out = Vec::new();
    for place in layout.places_of(session) {
        let slot = layout.slot(place);
        assert_eq!(layout.place(slot), Some(place));
        let beside = layout.beside(place, 1).map_or(u32::MAX, |other| layout.slot(other).0);
        let numbers = [slot.0, layout.words(place), layout.window_words(place), beside];
        out.extend(numbers.map(u64::from));
        out.push(layout.sender(place).map_or(u64::MAX, u64::from));
    }
    out.extend([u64::from(layout.session_words(session)), layout.stands_alone(session).into()]);
    let (first, last) = layout.span(session).unwrap_or_default();
    out.extend([first as u64, last as u64]);
    out
}

pub(super) fn read_changed(given: &mut Unstructured<'_>) {
    let (images, right) = &*SESSIONS;
    let (images, is_sealed) = changed(images, given);
    let Some(opened) = open(&images) else { return };
    let found = Sessions::of_files(opened.iter());
    let found = found.map(|sessions| answers(&sessions));
    assert!(is_sealed || found.as_ref() == Some(right));
    for from in 0..=images.len() {
        let merged = &opened[from..];
        let merged = files::write(|out| Draft::default().write(merged, from == 0, out));
        let Some(found) = &found else { continue };
        let again = open(&[&images[..from], &[merged]].concat());
        let again = again.and_then(|again| Sessions::of_files(again.iter()));
        let again = again.map(|sessions| answers(&sessions));
        assert!(again.as_ref() == Some(found), "merged from {from}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots that no namespace has, for which there would be memory, and those that do not ascend.
    #[test]
    fn what_no_file_says_is_damage_with_right_checksums_too() {
        let (images, _) = &*SESSIONS;
        for (at, slot) in [(0, 9), (32 * 72, NODE_SLOTS), (32 * 72, u32::MAX)] {
            let changed = [images[0].with(2, at, &slot.to_le_bytes()), images[1].clone()];
            assert!(open(&changed).is_none(), "slot {slot}");
        }
    }
}
