//! Publishing, subscribing, opening and closing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use embedded_db_common::clock::{self, Micros};
use embedded_db_common::{Error, Place, Result};
use embedded_db_storage::{fork_generation, real_path};

use crate::journal::{Journal, UNCLAIMED};
use crate::message::Message;
use crate::options::{MAX_MESSAGE, MAX_NAME, Options, Overflow, PRIORITIES};
use crate::pattern::{check_channel, check_pattern, is_own};
use crate::routes::{Route, Routes};
use crate::subscription::Subscription;

/// What is published, but for its channel.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// Messages with the same key keep their order.
    pub key: Option<Arc<str>>,
    /// The channel on which an answer is awaited.
    pub reply_to: Option<Box<str>>,
    /// 0 to 9; 9 goes first.
    pub priority: u8,
    /// What kind of bytes the body is.
    pub kind: u8,
    /// For how long it may be delivered.
    pub ttl: Option<Micros>,
    /// What it says.
    pub body: Box<[u8]>,
}

/// What became of messages that were to be published.
pub struct Outcome {
    /// The numbers of the first ones, which are published.
    pub ids: Vec<u64>,
    /// What had no room for the next one.
    pub full: Option<Arc<Subscription>>,
}

/// Channels, and who subscribes to them. All of it may be used by any number of threads.
pub struct Bus {
    options: Options,
    journal: Option<Arc<Journal>>,
    routes: RwLock<Routes>,
    next_message: AtomicU64,
    is_closed: AtomicBool,
    process: u32,
    forks: u32,
}

impl Bus {
    /// A bus in memory alone, or one with a log in a directory, in which it finds what it held before.
    ///
    /// # Errors
    ///
    /// `InvalidInput`; of the log `BusLocked`, `DamagedFile`, `FormatTooNew`, `StorageError`, `StorageFull`.
    pub fn new(path: Option<&Path>, options: Options) -> Result<Self> {
        check_options(&options)?;
        // Without what may stand at its end.
        let path = path.map(|path| real_path(path).components().collect::<PathBuf>());
        let opened = path.map(|path| Journal::open(&path, options.durability)).transpose()?;
        let (journal, restored) = match opened {
            Some((journal, restored)) => (Some(Arc::new(journal)), restored),
            None => (None, Vec::new()),
        };
        let make =
            |name: (&str, &str), number| Subscription::new(name, number, options, journal.clone());
        let mut routes = Routes::new(Arc::new(make(("**", ""), UNCLAIMED)));
        for one in restored {
            let subscription = if one.number == UNCLAIMED {
                Arc::clone(routes.unclaimed())
            } else {
                Arc::new(make((&one.pattern, &one.group), one.number))
            };
            subscription.restore(one.messages, one.dead)?;
            if one.number != UNCLAIMED {
                routes.add(subscription);
            }
        }
        Ok(Self {
            options,
            journal,
            routes: RwLock::new(routes),
            next_message: AtomicU64::new(1),
            is_closed: AtomicBool::new(false),
            process: std::process::id(),
            forks: fork_generation(),
        })
    }

    /// Whether it has a log.
    pub fn is_durable(&self) -> bool {
        self.journal.is_some()
    }

    /// Publishes messages on a channel in their order, as far as there is room at once. What was not published stays
    /// in `given`.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, `ValueTooLarge`, `BusClosed`, `ForkedBus`; errors of the log, after which it is not known
    /// whether they were published; `CapacityExceeded`, if the bus does not wait for room. Of a batch the error tells
    /// the item; those before are published.
    pub fn try_publish(&self, channel: &str, given: &mut Vec<Publish>) -> Result<Outcome> {
        self.check()?;
        check(given)?;
        let count = given.len();
        let mut drafts = std::mem::take(given).into_iter();
        let mut ids = Vec::with_capacity(count);
        let mut full = None;
        while full.is_none() && drafts.len() > 0 {
            let item = ids.len();
            let stepped = self.step(channel, &mut drafts, &mut ids);
            full = stepped.map_err(|error| of_item(error, item, count))?;
            if let Some(full) = full.as_ref().filter(|full| full.overflow() != Overflow::Block) {
                return Err(of_item(full.full(), item, count));
            }
        }
        given.extend(drafts);
        Ok(Outcome { ids, full })
    }

    /// Publishes the rest of messages, of which the first ones are published, on a channel in their order, and waits
    /// for room, for ever without a limit.
    ///
    /// # Errors
    ///
    /// As for [`Bus::try_publish`]; `Timeout`; what `interrupted` says.
    pub fn publish(
        &self,
        channel: &str,
        mut ids: Vec<u64>,
        mut given: Vec<Publish>,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<u64>> {
        let begun = Instant::now();
        let count = ids.len() + given.len();
        loop {
            let outcome = self.try_publish(channel, &mut given).map_err(|error| match error {
                Error::At { place, error } => {
                    of_item(*error, ids.len() + place.item.unwrap_or(0), count)
                }
                other => of_item(other, ids.len(), count),
            })?;
            ids.extend(outcome.ids);
            let Some(full) = outcome.full else { return Ok(ids) };
            let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            if !full.wait_for_room(left, interrupted)? {
                let what = format!("room on the channel {channel:?}");
                let seconds = timeout.unwrap_or_default().as_secs_f64();
                return Err(of_item(Error::Timeout { what, seconds }, ids.len(), count));
            }
        }
    }

    /// A subscription; it is made if there is none of that pattern and group, and has from then on what nobody
    /// subscribed to before.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, `BusClosed`, `ForkedBus`, errors of the log.
    pub fn subscribe(&self, pattern: &str, group: &str) -> Result<Arc<Subscription>> {
        self.check()?;
        check_pattern(pattern)?;
        check_name("group", group)?;
        if let Some(found) = self.read().get(pattern, group) {
            return Ok(Arc::clone(found));
        }
        let mut routes = self.write();
        self.check()?;
        if let Some(found) = routes.get(pattern, group) {
            return Ok(Arc::clone(found));
        }
        // What the bus itself waits for ends with the process.
        let journal = self.journal.as_ref().filter(|_| !is_own(pattern));
        let number = journal.map_or(Ok(UNCLAIMED), |journal| journal.subscribe(pattern, group))?;
        let made = Subscription::new((pattern, group), number, self.options, journal.cloned());
        let claimed =
            routes.unclaimed().extract(|message| crate::covers(pattern, &message.channel));
        made.restore(claimed.into_iter().map(|message| (message, 0)).collect(), Vec::new())?;
        let made = Arc::new(made);
        routes.add(Arc::clone(&made));
        let unclaimed = Arc::clone(routes.unclaimed());
        drop(routes);
        unclaimed.settle();
        Ok(made)
    }

    /// Ends a subscription, and lets all go that it holds; whether there was one.
    ///
    /// # Errors
    ///
    /// `BusClosed`, `ForkedBus`, errors of the log.
    pub fn unsubscribe(&self, pattern: &str, group: &str) -> Result<bool> {
        self.check()?;
        let mut routes = self.write();
        let Some(found) = routes.get(pattern, group).cloned() else { return Ok(false) };
        if let Some(journal) = self.journal.as_ref().filter(|_| !is_own(pattern)) {
            journal.unsubscribe(found.number)?;
        }
        routes.remove(pattern, group);
        found.end();
        drop(routes);
        found.wake_all();
        Ok(true)
    }

    /// The subscriptions, by pattern and group.
    ///
    /// # Errors
    ///
    /// `BusClosed`, `ForkedBus`.
    pub fn subscriptions(&self) -> Result<Vec<Arc<Subscription>>> {
        self.check()?;
        let routes = self.read();
        let mut all: Vec<_> = routes.all().filter(|one| !is_own(one.pattern())).cloned().collect();
        all.sort_by(|one, two| (one.pattern(), one.group()).cmp(&(two.pattern(), two.group())));
        Ok(all)
    }

    /// How many messages nobody subscribes to.
    ///
    /// # Errors
    ///
    /// `BusClosed`, `ForkedBus`.
    pub fn unclaimed(&self) -> Result<usize> {
        self.check()?;
        let unclaimed = Arc::clone(self.read().unclaimed());
        Ok(unclaimed.counts()?.waiting)
    }

    /// The name of a channel that nobody else has, for an answer.
    ///
    /// # Errors
    ///
    /// `BusClosed`, `ForkedBus`.
    pub fn new_own_channel(&self) -> Result<String> {
        self.check()?;
        // A log may hold questions of a process before.
        Ok(clock::new_id("_reply"))
    }

    /// Ends the bus: whoever waits gets `BusClosed`. With a log everything is on the disk then.
    ///
    /// # Errors
    ///
    /// Errors of the log.
    pub fn close(&self) -> Result<()> {
        if fork_generation() != self.forks || self.is_closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let routes = self.write();
        let all: Vec<_> = routes.all().chain([routes.unclaimed()]).cloned().collect();
        drop(routes);
        for one in all {
            one.end();
            one.wake_all();
        }
        self.journal.as_ref().map_or(Ok(()), |journal| journal.close())
    }

    /// Fails when it is closed, or was made in another process.
    ///
    /// # Errors
    ///
    /// `BusClosed`, `ForkedBus`.
    pub fn check(&self) -> Result<()> {
        if fork_generation() != self.forks {
            return Err(Error::ForkedBus { parent: self.process });
        }
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Error::BusClosed);
        }
        Ok(())
    }

    /// Publishes as many as there is room for at once; else what is full.
    fn step(
        &self,
        channel: &str,
        drafts: &mut std::vec::IntoIter<Publish>,
        ids: &mut Vec<u64>,
    ) -> Result<Option<Arc<Subscription>>> {
        let mut routes = self.read();
        let route = loop {
            if let Some(route) = routes.remembered(channel) {
                break Arc::clone(route);
            }
            drop(routes);
            check_channel(channel)?;
            self.write().learn(channel);
            routes = self.read();
        };
        let outcome = match reserve(&route, drafts.len()) {
            Ok(Ok(many)) => self.push(&route, drafts.take(many), many, ids).map(|()| Ok(many)),
            Ok(Err(full)) => Ok(Err(full)),
            Err(error) => Err(error),
        };
        drop(routes);
        // Callbacks may need what somebody holds who waits for the routes.
        match &outcome {
            Ok(Ok(many)) => route.to.iter().for_each(|one| one.tell_arrived(*many)),
            _ => route.to.iter().for_each(|one| one.settle()),
        }
        Ok(outcome?.err())
    }

    /// Publishes messages for which there is room.
    fn push(
        &self,
        route: &Route,
        drafts: impl Iterator<Item = Publish>,
        many: usize,
        ids: &mut Vec<u64>,
    ) -> Result<()> {
        let published = clock::now();
        let message = |draft: Publish, id| Message {
            id,
            channel: Arc::clone(&route.channel),
            key: draft.key,
            reply_to: draft.reply_to,
            priority: draft.priority,
            kind: draft.kind,
            published,
            expires: draft.ttl.map_or(Micros::MAX, |ttl| published.saturating_add(ttl)),
            body: draft.body,
        };
        let mut send = |message: Arc<Message>| {
            ids.push(message.id);
            if let Some((last, others)) = route.to.split_last() {
                others.iter().for_each(|one| one.push(Arc::clone(&message)));
                last.push(message);
            }
        };
        let Some(journal) = self.journal.as_ref().filter(|_| !is_own(&route.channel)) else {
            let first = self.next_message.fetch_add(many as u64, Ordering::Relaxed);
            drafts.zip(first..).for_each(|(draft, id)| send(Arc::new(message(draft, id))));
            return Ok(());
        };
        let unnumbered = drafts.map(|draft| message(draft, 0)).collect();
        match journal.publish(unnumbered, &route.numbers) {
            Ok(messages) => messages.into_iter().for_each(send),
            Err(error) => {
                route.to.iter().for_each(|one| one.unreserve(many));
                return Err(error);
            }
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // Nobody is left who could be told.
        drop(self.close());
    }
}

/// Room everywhere for up to so many messages; else what has none.
fn reserve(route: &Route, wanted: usize) -> Result<Result<usize, Arc<Subscription>>> {
    let mut many = wanted;
    for (place, one) in route.to.iter().enumerate() {
        let got = one.reserve(many);
        let kept = *got.as_ref().unwrap_or(&0);
        // Those before have room for as many as had the ones before them.
        route.to[..place].iter().for_each(|before| before.unreserve(many - kept));
        many = kept;
        got?;
        if many == 0 {
            return Ok(Err(Arc::clone(one)));
        }
    }
    Ok(Ok(many))
}

/// An error that tells which item of a batch it is about: those before are published.
fn of_item(error: Error, item: usize, count: usize) -> Error {
    match error {
        _ if count < 2 => error,
        // They are about no message.
        Error::At { .. } | Error::BusClosed | Error::ForkedBus { .. } | Error::Interrupted => error,
        _ => Error::At {
            place: Place { item: Some(item), ..Place::default() },
            error: Box::new(error),
        },
    }
}

fn check(given: &[Publish]) -> Result<()> {
    for (item, draft) in given.iter().enumerate() {
        check_draft(draft).map_err(|error| of_item(error, item, given.len()))?;
    }
    Ok(())
}

fn check_draft(draft: &Publish) -> Result<()> {
    if draft.body.len() > MAX_MESSAGE {
        let (what, size) = ("a message".to_owned(), draft.body.len());
        return Err(Error::ValueTooLarge { what, size, limit: MAX_MESSAGE });
    }
    if usize::from(draft.priority) >= PRIORITIES {
        return Err(Error::InvalidInput(format!(
            "the priority is {}; it is 0 to 9",
            draft.priority
        )));
    }
    draft.key.as_deref().map_or(Ok(()), |key| check_name("key", key))
}

fn check_name(what: &'static str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME {
        let message = format!("the {what} has {} bytes; it has 1 to {MAX_NAME}", name.len());
        return Err(Error::InvalidInput(message));
    }
    Ok(())
}

fn check_options(options: &Options) -> Result<()> {
    let wrong = options.capacity == 0
        || options.max_attempts == 0
        || options.ageing < 1
        || options.ack_deadline < 1;
    if wrong {
        return Err(Error::InvalidInput(
            "capacity, max_attempts, ageing and ack_deadline are more than 0".into(),
        ));
    }
    Ok(())
}
