//! What outlives the process: a log of what was published and what became of it, and the sum of both, from which the
//! log is written anew when most of it is over.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use embedded_db_common::record::{Cursor, Damaged, Read, put_bytes, put_varint};
use embedded_db_common::{Error, Result};
use embedded_db_storage::AppendLog;

use crate::lock;
use crate::message::{DeadLetter, Message};
use crate::options::Durability;
use crate::pattern::covers;
use crate::queue::Events;

/// A shorter log is not written anew.
const WORTH_REWRITING: u64 = 16 << 20;
/// What a record takes beside the body of its message, about.
const AROUND: u64 = 64;
/// The subscription of what nobody subscribes to.
pub(crate) const UNCLAIMED: u64 = 0;

mod kind {
    pub(super) const NEXT: u8 = 1;
    pub(super) const SUBSCRIBED: u8 = 2;
    pub(super) const UNSUBSCRIBED: u8 = 3;
    pub(super) const MESSAGE: u8 = 4;
    pub(super) const GONE: u8 = 5;
    pub(super) const TRIED: u8 = 6;
    pub(super) const DEAD: u8 = 7;
}

/// The log of a bus.
pub(crate) struct Journal {
    state: Mutex<State>,
    synced: Condvar,
    durability: Durability,
}

struct State {
    /// None when the bus is closed.
    log: Option<AppendLog>,
    held: Held,
    syncing: bool,
    /// From which length on it is written anew, when most of it is over.
    rewrite_at: u64,
}

/// What the log says, all in all.
#[derive(Default)]
struct Held {
    messages: BTreeMap<u64, HeldMessage>,
    subscriptions: BTreeMap<u64, (Box<str>, Box<str>)>,
    next_message: u64,
    next_subscription: u64,
    /// Bytes that it would take.
    size: u64,
}

struct HeldMessage {
    message: Arc<Message>,
    at: Vec<HeldAt>,
}

/// A message in one subscription.
struct HeldAt {
    subscription: u64,
    attempts: u32,
    dead: Option<Arc<str>>,
}

/// A subscription of before.
pub(crate) struct Restored {
    pub(crate) number: u64,
    pub(crate) pattern: Box<str>,
    pub(crate) group: Box<str>,
    pub(crate) messages: Vec<(Arc<Message>, u32)>,
    pub(crate) dead: Vec<DeadLetter>,
}

impl Journal {
    /// The log of a directory, and what it says: first the subscription of what nobody subscribes to.
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<(Self, Vec<Restored>)> {
        let (log, records) = AppendLog::open(path)?;
        let mut held =
            Held { next_message: 1, next_subscription: UNCLAIMED + 1, ..Held::default() };
        for record in &records {
            held.read(record).map_err(|Damaged(detail)| Error::DamagedFile {
                path: path.to_owned(),
                detail: format!("a record {detail}"),
            })?;
        }
        let restored = held.restored();
        let state = State { log: Some(log), held, syncing: false, rewrite_at: WORTH_REWRITING };
        Ok((Self { state: Mutex::new(state), synced: Condvar::new(), durability }, restored))
    }

    /// Notes messages, which get their numbers, and returns when they count as published.
    pub(crate) fn publish(&self, messages: Vec<Message>, at: &[u64]) -> Result<Vec<Arc<Message>>> {
        let mut state = lock(&self.state);
        let first = state.held.next_message;
        let numbered = messages.into_iter().zip(first..);
        let messages: Vec<_> =
            numbered.map(|(message, id)| Arc::new(Message { id, ..message })).collect();
        let records: Vec<_> = messages.iter().map(|message| message_record(message, at)).collect();
        let place = state.append(&records)?;
        for message in &messages {
            state.held.publish(Arc::clone(message), at);
        }
        if self.durability == Durability::Durable {
            self.sync(state, place)?;
        }
        Ok(messages)
    }

    /// Notes a new subscription, which has from now on what nobody subscribed to and its pattern covers. Nobody waits
    /// for the disk: what is published to it later is not there without what stands before it.
    pub(crate) fn subscribe(&self, pattern: &str, group: &str) -> Result<u64> {
        let mut state = lock(&self.state);
        let number = state.held.next_subscription;
        state.append(&[subscribed_record(number, pattern, group)])?;
        state.held.subscribe(number, pattern, group);
        Ok(number)
    }

    /// Notes the end of a subscription, with all that it holds. Should the machine fail, it may be there again.
    pub(crate) fn unsubscribe(&self, number: u64) -> Result<()> {
        let mut state = lock(&self.state);
        let mut record = vec![kind::UNSUBSCRIBED];
        put_varint(&mut record, number);
        state.append(&[record])?;
        state.held.unsubscribe(number);
        Ok(())
    }

    /// Notes what became of messages. It outlives the process; should the machine fail, they may come again.
    pub(crate) fn note(&self, number: u64, events: &Events) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut state = lock(&self.state);
        state.append(&event_records(number, events))?;
        state.held.apply(number, events);
        Ok(())
    }

    /// Has the disk have everything, and lets the directory go.
    pub(crate) fn close(&self) -> Result<()> {
        let state = lock(&self.state);
        let Some(place) = state.log.as_ref().map(|log| log.syncing().place) else { return Ok(()) };
        let synced = self.sync(state, place);
        lock(&self.state).log = None;
        synced
    }

    /// Returns when the disk has what was appended up to a place: whoever comes while another waits for the disk
    /// waits for the next sync, which is one for all that have come by then.
    fn sync<'s>(&'s self, mut state: MutexGuard<'s, State>, place: u64) -> Result<()> {
        loop {
            let log = state.log()?;
            if log.has_synced(place) {
                return Ok(());
            }
            log.check()?;
            if state.syncing {
                state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let syncing = state.log()?.syncing();
            state.syncing = true;
            drop(state);
            let outcome = syncing.run();
            state = lock(&self.state);
            state.syncing = false;
            if let Some(log) = &mut state.log {
                log.synced(syncing.place, outcome.is_ok());
            }
            self.synced.notify_all();
            outcome?;
        }
    }
}

impl State {
    fn log(&mut self) -> Result<&mut AppendLog> {
        self.log.as_mut().ok_or(Error::BusClosed)
    }

    fn append(&mut self, records: &[Vec<u8>]) -> Result<u64> {
        let Self { log, held, rewrite_at, .. } = self;
        let log = log.as_mut().ok_or(Error::BusClosed)?;
        let length = log.length();
        if length > *rewrite_at && length / 2 > held.size {
            // If there is no room for that, there may be later.
            *rewrite_at = length.saturating_add(WORTH_REWRITING);
            log.rewrite(&mut held.records())?;
            *rewrite_at = WORTH_REWRITING;
        }
        log.append(records.iter().map(Vec::as_slice))
    }
}

impl Held {
    fn publish(&mut self, message: Arc<Message>, at: &[u64]) {
        self.next_message = self.next_message.max(message.id + 1);
        let at = at.iter().map(|number| HeldAt { subscription: *number, attempts: 0, dead: None });
        self.size += size(&message);
        self.messages.insert(message.id, HeldMessage { message, at: at.collect() });
    }

    fn subscribe(&mut self, number: u64, pattern: &str, group: &str) {
        self.next_subscription = self.next_subscription.max(number + 1);
        self.subscriptions.insert(number, (pattern.into(), group.into()));
        for held in self.messages.values_mut() {
            let unclaimed = held.at.iter_mut().find(|at| at.subscription == UNCLAIMED);
            if let Some(at) = unclaimed.filter(|_| covers(pattern, &held.message.channel)) {
                at.subscription = number;
            }
        }
    }

    fn unsubscribe(&mut self, number: u64) {
        self.subscriptions.remove(&number);
        let all: Vec<u64> = self.messages.keys().copied().collect();
        all.into_iter().for_each(|id| self.gone(number, id));
    }

    fn apply(&mut self, number: u64, events: &Events) {
        for (id, attempts) in &events.tried {
            if let Some(at) = self.at(number, *id) {
                at.attempts = *attempts;
                at.dead = None;
            }
        }
        for (id, reason) in &events.dead {
            if let Some(at) = self.at(number, *id) {
                at.dead = Some(Arc::clone(reason));
            }
        }
        events.gone.iter().for_each(|id| self.gone(number, *id));
    }

    fn at(&mut self, number: u64, id: u64) -> Option<&mut HeldAt> {
        self.messages.get_mut(&id)?.at.iter_mut().find(|at| at.subscription == number)
    }

    fn gone(&mut self, number: u64, id: u64) {
        let Some(held) = self.messages.get_mut(&id) else { return };
        held.at.retain(|at| at.subscription != number);
        if held.at.is_empty()
            && let Some(held) = self.messages.remove(&id)
        {
            self.size -= size(&held.message);
        }
    }

    fn restored(&self) -> Vec<Restored> {
        let unclaimed = (UNCLAIMED, (Box::from("**"), Box::from("")));
        let all = std::iter::once(unclaimed).chain(self.subscriptions.clone());
        let mut restored: BTreeMap<u64, Restored> = all
            .map(|(number, (pattern, group))| {
                (
                    number,
                    Restored { number, pattern, group, messages: Vec::new(), dead: Vec::new() },
                )
            })
            .collect();
        for held in self.messages.values() {
            for at in &held.at {
                let Some(restored) = restored.get_mut(&at.subscription) else { continue };
                let (message, attempts) = (Arc::clone(&held.message), at.attempts);
                match &at.dead {
                    Some(reason) => {
                        let reason = Arc::clone(reason);
                        restored.dead.push(DeadLetter { message, attempts, reason });
                    }
                    None => restored.messages.push((message, attempts)),
                }
            }
        }
        restored.into_values().collect()
    }

    /// All of it, as records.
    fn records(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut next = vec![kind::NEXT];
        put_varint(&mut next, self.next_message);
        put_varint(&mut next, self.next_subscription);
        let subscribed = self.subscriptions.iter();
        let subscribed =
            subscribed.map(|(number, (pattern, group))| subscribed_record(*number, pattern, group));
        let messages = self.messages.values().flat_map(|held| {
            let at: Vec<u64> = held.at.iter().map(|at| at.subscription).collect();
            let mut records = vec![message_record(&held.message, &at)];
            for at in held.at.iter().filter(|at| at.attempts > 0) {
                let mut events = Events::default();
                events.tried.push((held.message.id, at.attempts));
                events
                    .dead
                    .extend(at.dead.iter().map(|reason| (held.message.id, Arc::clone(reason))));
                records.extend(event_records(at.subscription, &events));
            }
            records
        });
        // Subscriptions come first: there is nothing unclaimed yet that they would claim.
        std::iter::once(next).chain(subscribed).chain(messages)
    }

    fn read(&mut self, record: &[u8]) -> Read<()> {
        let mut cursor = Cursor::new(record);
        match cursor.u8()? {
            kind::NEXT => {
                self.next_message = self.next_message.max(cursor.varint()?);
                self.next_subscription = self.next_subscription.max(cursor.varint()?);
            }
            kind::SUBSCRIBED => {
                let (number, pattern, group) = (cursor.varint()?, cursor.str()?, cursor.str()?);
                if number == UNCLAIMED || number == u64::MAX {
                    return Err(Damaged("has no number of a subscription"));
                }
                self.subscribe(number, pattern, group);
            }
            kind::UNSUBSCRIBED => self.unsubscribe(cursor.varint()?),
            kind::MESSAGE => {
                let (message, at) = read_message(&mut cursor)?;
                self.publish(Arc::new(message), &at);
            }
            event @ (kind::GONE | kind::TRIED | kind::DEAD) => {
                let number = cursor.varint()?;
                let mut events = Events::default();
                for _ in 0..cursor.bounded_count()? {
                    let id = cursor.varint()?;
                    match event {
                        kind::GONE => events.gone.push(id),
                        kind::TRIED => {
                            let attempts = u32::try_from(cursor.varint()?);
                            events
                                .tried
                                .push((id, attempts.map_err(|_| Damaged("has a wrong count"))?));
                        }
                        _ => events.dead.push((id, cursor.str()?.into())),
                    }
                }
                self.apply(number, &events);
            }
            _ => return Err(Damaged("is of no known kind")),
        }
        Ok(())
    }
}

fn size(message: &Message) -> u64 {
    message.body.len() as u64 + message.channel.len() as u64 + AROUND
}

fn subscribed_record(number: u64, pattern: &str, group: &str) -> Vec<u8> {
    let mut record = vec![kind::SUBSCRIBED];
    put_varint(&mut record, number);
    put_bytes(&mut record, pattern.as_bytes());
    put_bytes(&mut record, group.as_bytes());
    record
}

fn message_record(message: &Message, at: &[u64]) -> Vec<u8> {
    let mut record = Vec::with_capacity(usize::try_from(size(message)).unwrap_or(0));
    record.push(kind::MESSAGE);
    put_varint(&mut record, message.id);
    put_bytes(&mut record, message.channel.as_bytes());
    record.extend([message.priority, message.kind]);
    record.extend(message.published.to_le_bytes());
    record.extend(message.expires.to_le_bytes());
    let texts = [message.key.as_deref(), message.reply_to.as_deref()];
    for text in texts {
        record.push(u8::from(text.is_some()));
        put_bytes(&mut record, text.unwrap_or_default().as_bytes());
    }
    put_varint(&mut record, at.len() as u64);
    at.iter().for_each(|number| put_varint(&mut record, *number));
    put_bytes(&mut record, &message.body);
    record
}

fn read_message(cursor: &mut Cursor<'_>) -> Read<(Message, Vec<u64>)> {
    let (id, channel) = (cursor.varint()?, cursor.str()?);
    let (priority, kind) = (cursor.u8()?, cursor.u8()?);
    let (published, expires) = (cursor.i64()?, cursor.i64()?);
    let mut text = || -> Read<Option<String>> {
        let is_there = cursor.u8()? != 0;
        let text = cursor.str()?;
        Ok(is_there.then(|| text.to_owned()))
    };
    let (key, reply_to) = (text()?.map(Into::into), text()?.map(Into::into));
    let count = cursor.bounded_count()?;
    let at = (0..count).map(|_| cursor.varint()).collect::<Read<_>>()?;
    if id == u64::MAX {
        return Err(Damaged("has no number of a message"));
    }
    let (channel, body) = (channel.into(), cursor.bytes()?.into());
    Ok((Message { id, channel, key, reply_to, priority, kind, published, expires, body }, at))
}

fn event_records(number: u64, events: &Events) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut add = |kind: u8, count: usize, put: &dyn Fn(&mut Vec<u8>)| {
        if count > 0 {
            let mut record = vec![kind];
            put_varint(&mut record, number);
            put_varint(&mut record, count as u64);
            put(&mut record);
            records.push(record);
        }
    };
    add(kind::TRIED, events.tried.len(), &|record| {
        for (id, attempts) in &events.tried {
            put_varint(record, *id);
            put_varint(record, u64::from(*attempts));
        }
    });
    add(kind::DEAD, events.dead.len(), &|record| {
        for (id, reason) in &events.dead {
            put_varint(record, *id);
            put_bytes(record, reason.as_bytes());
        }
    });
    add(kind::GONE, events.gone.len(), &|record| {
        events.gone.iter().for_each(|id| put_varint(record, *id));
    });
    records
}
