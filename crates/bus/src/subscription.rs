//! A subscription: what was published to it and not acknowledged, for any number of publishers and consumers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_queue::SegQueue;
use embedded_db_common::clock::{Micros, StoreTime};
use embedded_db_common::{Error, Result};

use crate::journal::Journal;
use crate::message::{DeadLetter, Delivery, Message};
use crate::options::{Options, Overflow};
use crate::queue::Queue;
use crate::waiting::{Look, Waiting, Waker};
use crate::{LOOK, lock};

pub use crate::queue::Counts;

/// A pattern of channels and a group.
///
/// Nothing that calls back (wakers) is called while a lock is held.
pub struct Subscription {
    pattern: Box<str>,
    group: Box<str>,
    /// Its name in the log; 0 of what keeps only.
    pub(crate) number: u64,
    options: Options,
    journal: Option<Arc<Journal>>,
    /// What was published since somebody took something.
    inbox: SegQueue<Arc<Message>>,
    /// Not acknowledged, or about to be in the inbox: never more than the capacity.
    len: AtomicUsize,
    core: Mutex<Core>,
    arrived: Waiting,
    room: Waiting,
    /// Publishers that may be told of so much room.
    owed: AtomicUsize,
    ended: AtomicBool,
}

struct Core {
    queue: Queue,
    time: StoreTime,
}

impl Subscription {
    pub(crate) fn new(
        (pattern, group): (&str, &str),
        number: u64,
        options: Options,
        journal: Option<Arc<Journal>>,
    ) -> Self {
        let queue = Queue::new(options, group.is_empty());
        Self {
            pattern: pattern.into(),
            group: group.into(),
            number,
            options,
            journal,
            inbox: SegQueue::new(),
            len: AtomicUsize::new(0),
            core: Mutex::new(Core { queue, time: StoreTime::new() }),
            arrived: Waiting::default(),
            room: Waiting::default(),
            owed: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Which channels it is about.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whose it is.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// How many messages there are, and were.
    ///
    /// # Errors
    ///
    /// None of its own.
    pub fn counts(&self) -> Result<Counts> {
        self.change(|queue, _| Ok(queue.counts()))
    }

    /// Delivers up to `limit` messages: at least one, unless the time is over. Waits for ever without one.
    ///
    /// # Errors
    ///
    /// `BusClosed`, `NotFound` when it was unsubscribed, what `interrupted` says, errors of the log.
    pub fn take(
        &self,
        limit: usize,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<Delivery>> {
        let mut taken = self.try_take(limit)?;
        if taken.is_empty() && timeout != Some(Duration::ZERO) {
            let look = || match self.look(limit)? {
                (taken, later) if taken.is_empty() => Ok(Look::Later(later)),
                (taken, _) => Ok(Look::Here(taken)),
            };
            taken = self.arrived.wait(timeout, interrupted, look)?.unwrap_or_default();
            self.settle();
        }
        Ok(taken)
    }

    /// Delivers up to `limit` messages, if there are any.
    ///
    /// # Errors
    ///
    /// As for [`Subscription::take`].
    pub fn try_take(&self, limit: usize) -> Result<Vec<Delivery>> {
        let (taken, _) = self.look(limit)?;
        self.settle();
        Ok(taken)
    }

    fn look(&self, limit: usize) -> Result<(Vec<Delivery>, Duration)> {
        self.check()?;
        self.change(|queue, now| {
            let mut taken = Vec::new();
            queue.take(now, limit, &mut taken);
            let noted = self.note(queue);
            if noted.is_err() {
                taken.iter().for_each(|delivery| _ = queue.release(delivery));
            }
            noted?;
            let due = queue.next_due().map(|due| due.saturating_sub(now).max(0).unsigned_abs());
            Ok((taken, due.map_or(LOOK, Duration::from_micros)))
        })
    }

    /// In how long something may be ready without anybody doing anything.
    ///
    /// # Errors
    ///
    /// None of its own.
    pub fn next_due(&self) -> Result<Option<Duration>> {
        self.change(|queue, now| {
            let due = queue.next_due().map(|due| due.saturating_sub(now).max(0).unsigned_abs());
            Ok(due.map(Duration::from_micros))
        })
    }

    /// Acknowledges deliveries; how many of them were still this consumer's.
    ///
    /// # Errors
    ///
    /// Errors of the log: they may come again after a restart.
    pub fn ack<'d>(&self, deliveries: impl IntoIterator<Item = &'d Delivery>) -> Result<usize> {
        self.give_back(|queue, _| deliveries.into_iter().filter(|one| queue.ack(one)).count())
    }

    /// Gives a delivery back: it comes again after `delay`, or is a dead letter when that was its last time. Whether it
    /// was still this consumer's.
    ///
    /// # Errors
    ///
    /// Errors of the log.
    pub fn nack(&self, delivery: &Delivery, delay: Micros, reason: &str) -> Result<bool> {
        self.give_back(|queue, now| queue.nack(delivery, delay, reason, now))
    }

    /// Gives deliveries back that nobody has looked at: as if they had never been.
    ///
    /// # Errors
    ///
    /// Errors of the log.
    pub fn release<'d>(&self, deliveries: impl IntoIterator<Item = &'d Delivery>) -> Result<usize> {
        self.give_back(|queue, _| deliveries.into_iter().filter(|one| queue.release(one)).count())
    }

    /// The dead letters, oldest first.
    ///
    /// # Errors
    ///
    /// None of its own.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        self.change(|queue, _| Ok(queue.dead().cloned().collect()))
    }

    /// Publishes the dead letters to this subscription again; how many.
    ///
    /// # Errors
    ///
    /// Errors of the log.
    pub fn retry_dead_letters(&self) -> Result<usize> {
        self.give_back(|queue, now| queue.revive(now))
    }

    /// Lets the dead letters go; how many.
    ///
    /// # Errors
    ///
    /// Errors of the log.
    pub fn discard_dead_letters(&self) -> Result<usize> {
        self.give_back(|queue, _| queue.discard_dead())
    }

    /// Has somebody called when there may be something to take; he looks after that, for it may have come before.
    pub fn call_when_arrived(&self, waker: Waker) -> u64 {
        self.arrived.call(waker)
    }

    /// He does not wait any more.
    pub fn leave_arrivals(&self, number: u64) {
        self.arrived.leave(number);
    }

    /// The same for those who want to publish.
    pub fn call_when_room(&self, waker: Waker) -> u64 {
        self.room.call(waker)
    }

    /// He does not wait any more.
    pub fn leave_room(&self, number: u64) {
        self.room.leave(number);
    }

    /// Room for up to so many messages: how many, 0 when it is full.
    pub(crate) fn reserve(&self, many: usize) -> Result<usize> {
        let capacity = self.options.capacity;
        if self.options.overflow == Overflow::DropOldest {
            let many = many.min(capacity);
            let len = self.len.fetch_add(many, Ordering::SeqCst) + many;
            // What others are over is theirs to make room for.
            let over = len.saturating_sub(capacity).min(many);
            let dropped = match over {
                0 => Ok(0),
                over => self.change(|queue, _| {
                    let dropped = (0..over).take_while(|_| queue.drop_oldest()).count();
                    self.note(queue).map(|()| dropped)
                }),
            };
            let missing = dropped.as_ref().map_or(many, |dropped| over - dropped);
            self.len.fetch_sub(missing, Ordering::SeqCst);
            return dropped.map(|_| many - missing);
        }
        let got = self.reserve_free(many);
        if got > 0 {
            return Ok(got);
        }
        self.change(|queue, now| {
            queue.drop_expired(now);
            self.note(queue)
        })?;
        Ok(self.reserve_free(many))
    }

    fn reserve_free(&self, many: usize) -> usize {
        let capacity = self.options.capacity;
        let add = |len: usize| (len < capacity).then(|| len + many.min(capacity - len));
        let before = self.len.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
        before.map_or(0, |len| many.min(capacity - len))
    }

    /// Room that is not needed after all.
    pub(crate) fn unreserve(&self, many: usize) {
        self.len.fetch_sub(many, Ordering::SeqCst);
        self.owed.fetch_add(many, Ordering::SeqCst);
    }

    /// A message for which there is room.
    pub(crate) fn push(&self, message: Arc<Message>) {
        self.inbox.push(message);
    }

    /// Tells consumers of messages that were pushed.
    pub(crate) fn tell_arrived(&self, many: usize) {
        self.arrived.tell(many);
        self.settle();
    }

    /// Waits until there may be room; whether there is.
    pub(crate) fn wait_for_room(
        &self,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let look = || {
            let gone = self.ended.load(Ordering::SeqCst);
            if gone || self.len.load(Ordering::SeqCst) < self.options.capacity {
                return Ok(Look::Here(()));
            }
            self.change(|queue, now| {
                queue.drop_expired(now);
                self.note(queue)
            })?;
            let free = self.len.load(Ordering::SeqCst) < self.options.capacity;
            Ok(if free { Look::Here(()) } else { Look::Later(LOOK) })
        };
        Ok(self.room.wait(timeout, interrupted, look)?.is_some())
    }

    /// What was there before a restart, or before anybody subscribed; it is in the log already.
    ///
    /// # Errors
    ///
    /// Errors of the log.
    pub(crate) fn restore(
        &self,
        messages: Vec<(Arc<Message>, u32)>,
        dead: Vec<DeadLetter>,
    ) -> Result<()> {
        self.len.fetch_add(messages.len(), Ordering::SeqCst);
        self.change(|queue, _| {
            dead.into_iter().for_each(|letter| queue.add_dead(letter));
            messages.into_iter().for_each(|(message, attempts)| queue.restore(message, attempts));
            self.note(queue)
        })
    }

    /// Takes out what another subscription is to have. Nobody publishes meanwhile.
    pub(crate) fn extract(&self, wanted: impl Fn(&Message) -> bool) -> Vec<Arc<Message>> {
        self.change(|queue, _| Ok(queue.extract(wanted))).unwrap_or_default()
    }

    /// Nobody waits for it any more. Wakers are told by [`Subscription::wake_all`].
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn wake_all(&self) {
        self.arrived.tell_all();
        self.room.tell_all();
    }

    pub(crate) fn overflow(&self) -> Overflow {
        self.options.overflow
    }

    /// The error of a publisher who does not wait.
    pub(crate) fn full(&self) -> Error {
        let limit = self.options.capacity as u64;
        let what = "messages that are not acknowledged";
        let remedy = "consume them, raise capacity, or choose another overflow";
        Error::CapacityExceeded { what, used: limit + 1, limit, remedy }
    }

    fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(Error::NotFound {
                kind: "subscription",
                id: format!("{}/{}", self.pattern, self.group),
            });
        }
        Ok(())
    }

    /// Puts what was published into the queue, and does something with it.
    fn change<T>(&self, work: impl FnOnce(&mut Queue, Micros) -> Result<T>) -> Result<T> {
        let core = &mut *lock(&self.core);
        while let Some(message) = self.inbox.pop() {
            let stamp = message.published;
            core.queue.admit(message, 0, stamp);
        }
        let now = core.time.now(Micros::MIN);
        let outcome = work(&mut core.queue, now);
        core.queue.events.clear();
        let freed = std::mem::take(&mut core.queue.freed);
        if freed >= 0 {
            self.len.fetch_sub(freed.unsigned_abs(), Ordering::SeqCst);
            self.owed.fetch_add(freed.unsigned_abs(), Ordering::SeqCst);
        } else {
            self.len.fetch_add(freed.unsigned_abs(), Ordering::SeqCst);
        }
        outcome
    }

    /// A change after which others may have something to do.
    fn give_back<T>(&self, work: impl FnOnce(&mut Queue, Micros) -> T) -> Result<T> {
        let mut has_news = false;
        let outcome = self.change(|queue, now| {
            let outcome = work(queue, now);
            has_news = queue.has_news();
            self.note(queue).map(|()| outcome)
        });
        if has_news {
            self.arrived.tell(1);
        }
        self.settle();
        outcome
    }

    fn note(&self, queue: &mut Queue) -> Result<()> {
        match &self.journal {
            Some(journal) => journal.note(self.number, &queue.events),
            None => Ok(()),
        }
    }

    /// Tells publishers of room.
    pub(crate) fn settle(&self) {
        let owed = self.owed.swap(0, Ordering::SeqCst);
        if owed > 0 {
            self.room.tell(owed);
        }
    }
}
