//! How messages leave other than by being acknowledged, and what of the dead ones becomes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use embedded_db_common::clock::Micros;

use super::{Entry, Place, Queue};
use crate::message::{DeadLetter, Message};
use crate::options::PRIORITIES;

impl Queue {
    /// Lets the oldest message that waits go; whether there was one.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let Some((order, place)) = self.places.as_mut().and_then(BTreeMap::pop_first) else {
            return false;
        };
        // The oldest of all is the first of its level or chain.
        let is_chained = matches!(place, Place::Chain(_));
        let entry = match place {
            Place::Level(level) => self.pop_level(level),
            Place::Chain(key) => self.keys.get_mut(&key).and_then(VecDeque::pop_front),
            Place::Ready(rank) => self.ready.remove(&rank),
            Place::Delayed(due) => self.delayed.remove(&(due, order)),
        };
        let Some(entry) = entry else { return false };
        self.waiting -= 1;
        self.freed += 1;
        self.counts.dropped += 1;
        self.events.gone.push(entry.message.id);
        if !is_chained {
            self.free_key(&entry);
        }
        true
    }

    /// Lets all go whose time is over; cheap when there is none.
    pub(crate) fn drop_expired(&mut self, now: Micros) {
        let now = self.at(now);
        if now < self.next_expiry {
            return;
        }
        let is_over = |entry: &Entry| entry.message.is_expired(now);
        let mut over = Vec::new();
        for level in &mut self.levels {
            part(level, is_over, &mut over);
        }
        for held in [&mut self.ready, &mut self.delayed] {
            over.extend(held.extract_if(.., |_, entry| is_over(entry)).map(|(_, entry)| entry));
        }
        let mut chained = Vec::new();
        for chain in self.keys.values_mut() {
            part(chain, is_over, &mut chained);
        }
        self.note_filled();
        for entry in &chained {
            self.leave(entry);
            self.count_expired(entry);
        }
        for entry in over {
            self.leave(&entry);
            self.expire(entry);
        }
        self.next_expiry =
            self.held().map(|entry| entry.message.expires).min().unwrap_or(Micros::MAX);
    }

    /// Takes out, in their order, the messages of which `wanted` is true. Only for what keeps only.
    pub(crate) fn extract(&mut self, wanted: impl Fn(&Message) -> bool) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        for level in &mut self.levels {
            part(level, |entry| wanted(&entry.message), &mut found);
        }
        self.note_filled();
        found.iter().for_each(|entry| self.leave(entry));
        self.freed += found.len() as isize;
        found.sort_by_key(|entry| entry.order);
        found.into_iter().map(|entry| entry.message).collect()
    }

    /// The dead letters, oldest first.
    pub(crate) fn dead(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter()
    }

    /// A dead letter of before a restart.
    pub(crate) fn add_dead(&mut self, letter: DeadLetter) {
        self.dead.push_back(letter);
    }

    /// The dead letters come again as if they had just been published.
    pub(crate) fn revive(&mut self, now: Micros) -> usize {
        let letters = std::mem::take(&mut self.dead);
        let many = letters.len();
        for letter in letters {
            self.events.tried.push((letter.message.id, 0));
            self.freed -= 1;
            self.admit(letter.message, 0, now);
        }
        many
    }

    /// Lets the dead letters go.
    pub(crate) fn discard_dead(&mut self) -> usize {
        let letters = std::mem::take(&mut self.dead);
        self.events.gone.extend(letters.iter().map(|letter| letter.message.id));
        letters.len()
    }

    /// All that is there, delivered or not.
    fn held(&self) -> impl Iterator<Item = &Entry> {
        let queued = self.levels.iter().chain(self.keys.values()).flatten();
        let flying = self.flying.values();
        queued.chain(self.ready.values()).chain(self.delayed.values()).chain(flying)
    }

    pub(super) fn expire(&mut self, entry: Entry) {
        self.count_expired(&entry);
        self.free_key(&entry);
    }

    fn count_expired(&mut self, entry: &Entry) {
        self.counts.expired += 1;
        self.freed += 1;
        self.events.gone.push(entry.message.id);
    }

    fn note_filled(&mut self) {
        let filled = (0..PRIORITIES).filter(|level| !self.levels[*level].is_empty());
        self.filled = filled.fold(0, |all, level| all | 1 << level);
    }
}

/// Moves what is wanted from a queue to `out`; both keep their order.
fn part(queue: &mut VecDeque<Entry>, wanted: impl Fn(&Entry) -> bool, out: &mut Vec<Entry>) {
    if queue.iter().any(&wanted) {
        let (found, kept): (Vec<_>, Vec<_>) = queue.drain(..).partition(wanted);
        queue.extend(kept);
        out.extend(found);
    }
}
