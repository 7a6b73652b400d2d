//! What is next: the messages of one subscription, without locks, threads or files.
//!
//! A message waits at its level, in the chain of its key behind another one, until a time, or among those that are
//! ready out of turn; or it is flying: delivered and not acknowledged. Of each key at most one is not in its chain.
//! Whoever waits longest counts most: a level is worth `ageing`, so the next is the one with the least
//! `stamp - priority × ageing`, where `stamp` is when it came. That never changes while it waits, so a level is a queue,
//! and nothing starves.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use embedded_db_common::clock::Micros;
use rustc_hash::FxHashMap;

use crate::message::{DeadLetter, Delivery, Message};
use crate::options::{Options, Overflow, PRIORITIES};

/// What waits.
#[derive(Debug, Clone)]
struct Entry {
    message: Arc<Message>,
    order: u64,
    stamp: Micros,
    attempts: u32,
}

/// Where the next one is looked for: the least of `(stamp - priority × ageing, order)`.
type Rank = (Micros, u64);

/// Where something waits.
#[derive(Debug, Clone)]
enum Place {
    Level(usize),
    Chain(Arc<str>),
    Ready(Rank),
    Delayed(Micros),
}

/// What happened to messages, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// They are gone: acknowledged, dropped, or too old.
    pub(crate) gone: Vec<u64>,
    /// They are dead, and why.
    pub(crate) dead: Vec<(u64, Arc<str>)>,
    /// They were delivered so often.
    pub(crate) tried: Vec<(u64, u32)>,
}

impl Events {
    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.dead.is_empty() && self.tried.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.gone.clear();
        self.dead.clear();
        self.tried.clear();
    }
}

/// How many there are, and were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not delivered, or to be delivered again.
    pub waiting: usize,
    /// Delivered and not acknowledged.
    pub in_flight: usize,
    /// Dead letters.
    pub dead: usize,
    /// Deliveries.
    pub delivered: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Gone since there was no room.
    pub dropped: u64,
    /// Gone since their time was over.
    pub expired: u64,
}

/// The messages of one subscription.
#[derive(Debug)]
pub(crate) struct Queue {
    options: Options,
    /// Whether it only keeps what nobody subscribes to: order is all that counts there.
    keeps_only: bool,
    levels: [VecDeque<Entry>; PRIORITIES],
    /// Which levels hold something.
    filled: u16,
    ready: BTreeMap<Rank, Entry>,
    delayed: BTreeMap<Rank, Entry>,
    /// By the number of the delivery: one that was given back is none any more, whoever still holds it.
    flying: FxHashMap<u64, Entry>,
    /// In the order of time, for all have the same time to be acknowledged.
    deadlines: VecDeque<(Micros, u64)>,
    /// The keys of which one is not in its chain, with their chains.
    keys: HashMap<Arc<str>, VecDeque<Entry>>,
    /// Where everything waits, by age: only to drop the oldest.
    places: Option<BTreeMap<u64, Place>>,
    dead: VecDeque<DeadLetter>,
    order: u64,
    deliveries: u64,
    /// Time never goes back in here.
    time: Micros,
    /// No message expires before.
    next_expiry: Micros,
    waiting: usize,
    counts: Counts,
    pub(crate) events: Events,
    /// How many count no more against the capacity; less than 0 when dead letters came back.
    pub(crate) freed: isize,
}

impl Queue {
    pub(crate) fn new(options: Options, keeps_only: bool) -> Self {
        let drops = options.overflow == Overflow::DropOldest;
        Self {
            options,
            keeps_only,
            levels: Default::default(),
            filled: 0,
            ready: BTreeMap::new(),
            delayed: BTreeMap::new(),
            flying: FxHashMap::default(),
            deadlines: VecDeque::new(),
            keys: HashMap::new(),
            places: drops.then(BTreeMap::new),
            dead: VecDeque::new(),
            order: 0,
            deliveries: 0,
            time: Micros::MIN,
            next_expiry: Micros::MAX,
            waiting: 0,
            counts: Counts::default(),
            events: Events::default(),
            freed: 0,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let (in_flight, dead) = (self.flying.len(), self.dead.len());
        Counts { waiting: self.waiting, in_flight, dead, ..self.counts }
    }

    fn at(&mut self, now: Micros) -> Micros {
        self.time = self.time.max(now);
        self.time
    }

    fn rank(&self, entry: &Entry) -> Rank {
        let worth = i64::from(entry.message.priority).saturating_mul(self.options.ageing);
        (entry.stamp.saturating_sub(worth), entry.order)
    }

    /// A message of before a restart comes again. One whose last time ended with the process is dead: it may have
    /// been its end.
    pub(crate) fn restore(&mut self, message: Arc<Message>, attempts: u32) {
        let stamp = message.published;
        if attempts < self.options.max_attempts {
            self.admit(message, attempts, stamp);
            return;
        }
        self.freed += 1;
        self.lay_out(message, attempts, "the process ended before it was acknowledged".into());
    }

    /// A message comes.
    pub(crate) fn admit(&mut self, message: Arc<Message>, attempts: u32, now: Micros) {
        let stamp = self.at(now.max(message.published));
        self.order += 1;
        self.next_expiry = self.next_expiry.min(message.expires);
        let entry = Entry { message, order: self.order, stamp, attempts };
        if let Some(key) = entry.message.key.clone().filter(|_| !self.keeps_only) {
            match self.keys.entry(key.clone()) {
                Slot::Occupied(mut chain) => {
                    self.waiting += 1;
                    note(&mut self.places, entry.order, || Place::Chain(key));
                    chain.get_mut().push_back(entry);
                    return;
                }
                Slot::Vacant(free) => _ = free.insert(VecDeque::new()),
            }
        }
        let level = usize::from(entry.message.priority).min(PRIORITIES - 1);
        self.waiting += 1;
        note(&mut self.places, entry.order, || Place::Level(level));
        self.filled |= 1 << level;
        self.levels[level].push_back(entry);
    }

    /// Delivers up to `limit` messages. Whatever it did to them is in `events`.
    pub(crate) fn take(&mut self, now: Micros, limit: usize, out: &mut Vec<Delivery>) {
        let now = self.at(now);
        self.tick(now);
        while out.len() < limit {
            let Some(mut entry) = self.pop() else { return };
            if entry.message.is_expired(now) {
                self.expire(entry);
                continue;
            }
            entry.attempts += 1;
            self.counts.delivered += 1;
            self.events.tried.push((entry.message.id, entry.attempts));
            self.deliveries += 1;
            let (message, attempts, number) =
                (entry.message.clone(), entry.attempts, self.deliveries);
            out.push(Delivery { message, attempts, number });
            self.deadlines.push_back((now.saturating_add(self.options.ack_deadline), number));
            self.flying.insert(number, entry);
        }
    }

    /// Whether there is something for those who wait: messages, or a time to wait for.
    pub(crate) fn has_news(&self) -> bool {
        self.filled != 0 || !self.ready.is_empty() || !self.delayed.is_empty()
    }

    /// When something changes without anybody doing anything.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        let delayed = self.delayed.first_key_value().map(|((due, _), _)| *due);
        let deadline = self.deadlines.front().map(|(deadline, _)| *deadline);
        delayed.into_iter().chain(deadline).min()
    }

    /// Acknowledges a delivery; whether it was still this consumer's.
    pub(crate) fn ack(&mut self, delivery: &Delivery) -> bool {
        let Some(entry) = self.land(delivery) else { return false };
        self.counts.acked += 1;
        self.freed += 1;
        self.events.gone.push(entry.message.id);
        self.free_key(&entry);
        true
    }

    /// Gives a delivery back, to be delivered again after `delay`, unless that was its last time.
    pub(crate) fn nack(
        &mut self,
        delivery: &Delivery,
        delay: Micros,
        reason: &str,
        now: Micros,
    ) -> bool {
        let now = self.at(now);
        let Some(entry) = self.land(delivery) else { return false };
        if entry.attempts >= self.options.max_attempts {
            self.bury(entry, reason.into());
        } else if delay > 0 {
            let due = now.saturating_add(delay);
            self.waiting += 1;
            note(&mut self.places, entry.order, || Place::Delayed(due));
            self.delayed.insert((due, entry.order), entry);
        } else {
            self.make_ready(entry);
        }
        true
    }

    /// Gives a delivery back as if it had never been.
    pub(crate) fn release(&mut self, delivery: &Delivery) -> bool {
        let Some(mut entry) = self.land(delivery) else { return false };
        entry.attempts -= 1;
        self.counts.delivered -= 1;
        self.events.tried.push((entry.message.id, entry.attempts));
        self.make_ready(entry);
        true
    }

    /// What was to come by itself by now.
    fn tick(&mut self, now: Micros) {
        while self.deadlines.front().is_some_and(|(deadline, _)| *deadline <= now) {
            let Some((_, number)) = self.deadlines.pop_front() else { break };
            let Some(entry) = self.flying.remove(&number) else { continue };
            if entry.attempts >= self.options.max_attempts {
                self.bury(entry, "it was not acknowledged in time".into());
            } else {
                self.make_ready(entry);
            }
        }
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let entry = first.remove();
            self.waiting -= 1;
            self.make_ready(entry);
        }
        // Those that were acknowledged in time are in the way of those behind them.
        let flying = &self.flying;
        while self.deadlines.front().is_some_and(|(_, number)| !flying.contains_key(number)) {
            self.deadlines.pop_front();
        }
        if self.deadlines.len() > 2 * flying.len() + 1024 {
            self.deadlines.retain(|(_, number)| flying.contains_key(number));
        }
    }

    /// Takes what is next from where it waits.
    fn pop(&mut self) -> Option<Entry> {
        let mut best: Option<(Rank, usize)> = None;
        let mut filled = self.filled;
        while filled != 0 {
            let level = filled.trailing_zeros() as usize;
            filled &= filled - 1;
            let rank = self.levels[level].front().map(|entry| self.rank(entry))?;
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, level));
            }
        }
        let ready = self.ready.first_key_value().map(|(rank, _)| *rank);
        let entry = match (best, ready) {
            (Some((rank, level)), other) if other.is_none_or(|other| rank < other) => {
                self.pop_level(level)
            }
            _ => self.ready.pop_first().map(|(_, entry)| entry),
        }?;
        self.leave(&entry);
        Some(entry)
    }

    fn pop_level(&mut self, level: usize) -> Option<Entry> {
        let entry = self.levels[level].pop_front();
        if self.levels[level].is_empty() {
            self.filled &= !(1 << level);
        }
        entry
    }

    /// It waits no more.
    fn leave(&mut self, entry: &Entry) {
        self.waiting -= 1;
        if let Some(places) = &mut self.places {
            places.remove(&entry.order);
        }
    }

    fn make_ready(&mut self, entry: Entry) {
        let rank = self.rank(&entry);
        self.waiting += 1;
        note(&mut self.places, entry.order, || Place::Ready(rank));
        self.ready.insert(rank, entry);
    }

    /// What was delivered, if it is still this delivery.
    fn land(&mut self, delivery: &Delivery) -> Option<Entry> {
        self.flying.remove(&delivery.number)
    }

    /// Whoever waits behind it in the chain of its key is ready.
    fn free_key(&mut self, entry: &Entry) {
        let Some(key) = entry.message.key.as_ref().filter(|_| !self.keeps_only) else { return };
        let Some(chain) = self.keys.get_mut(key) else { return };
        match chain.pop_front() {
            Some(next) => {
                self.waiting -= 1;
                self.make_ready(next);
            }
            None => _ = self.keys.remove(key),
        }
    }

    fn bury(&mut self, entry: Entry, reason: Arc<str>) {
        self.free_key(&entry);
        self.freed += 1;
        self.lay_out(entry.message, entry.attempts, reason);
    }

    fn lay_out(&mut self, message: Arc<Message>, attempts: u32, reason: Arc<str>) {
        self.events.dead.push((message.id, reason.clone()));
        self.dead.push_back(DeadLetter { message, attempts, reason });
        if self.dead.len() > self.options.capacity
            && let Some(oldest) = self.dead.pop_front()
        {
            self.counts.dropped += 1;
            self.events.gone.push(oldest.message.id);
        }
    }
}

fn note(places: &mut Option<BTreeMap<u64, Place>>, order: u64, place: impl FnOnce() -> Place) {
    if let Some(places) = places {
        places.insert(order, place());
    }
}

mod leaving;
#[cfg(test)]
mod tests;
