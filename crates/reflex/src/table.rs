//! A hash table of chains that readers follow while a writer changes them.
//!
//! An entry never moves, and its key and answer never change: a new answer is a new entry in the old
//! one's place. Pointers are read and written sequentially consistent, which is what [`Readers`] asks for.
//! This is the only file with unsafe code; what it relies on is that an entry is freed by [`Retired`] alone.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU64};
use std::sync::{Mutex, PoisonError};

use crate::readers::{Counts, Readers, Retired};

/// Longest key, in bytes, that lies beside what is read with it: an entry whose answer is one word or two is two
/// lines of the cache then.
const SHORT: usize = 62;

/// Uses that are counted one by one.
const EXACT: u64 = 16;

/// A reflex.
#[repr(C, align(64))]
pub(crate) struct Entry<V> {
    hash: u64,
    next: AtomicPtr<Entry<V>>,
    confidence: Float,
    level: Float,
    uses: AtomicU64,
    ticket: AtomicU64,
    pub(crate) answer: V,
    key: Key,
}

/// A number that several threads may write; one of what they wrote stays.
#[derive(Default)]
pub(crate) struct Float(AtomicU64);

impl Float {
    pub(crate) fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    pub(crate) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

enum Key {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Key {
    fn new(key: &str) -> Self {
        let key = key.as_bytes();
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(key);
                Self::Short { length, bytes }
            }
            _ => Self::Long(key.into()),
        }
    }

    fn is(&self, key: &str) -> bool {
        match self {
            Self::Short { length, bytes } => bytes[..usize::from(*length)] == *key.as_bytes(),
            Self::Long(bytes) => **bytes == *key.as_bytes(),
        }
    }
}

impl<V> Entry<V> {
    pub(crate) fn new(hash: u64, key: &str, answer: V, confidence: f64, level: f64) -> Self {
        Self {
            hash,
            next: AtomicPtr::default(),
            confidence: Float::new(confidence),
            level: Float::new(level),
            uses: AtomicU64::new(0),
            ticket: AtomicU64::new(0),
            answer,
            key: Key::new(key),
        }
    }

    pub(crate) fn confidence(&self) -> f64 {
        self.confidence.get()
    }

    pub(crate) fn set_confidence(&self, confidence: f64) {
        self.confidence.set(confidence);
    }

    /// Counts a use: each of the first, then about one of so many for all of them, since what is written at
    /// every lookup has to be moved from cache to cache. Of two at the same time one may be lost.
    pub(crate) fn use_at(&self, level: f64, number: u64) {
        let uses = self.uses.load(Relaxed);
        if uses < EXACT {
            self.uses.store(uses + 1, Relaxed);
        } else if number.is_multiple_of(EXACT) {
            self.uses.store(uses + EXACT, Relaxed);
        }
        if self.level.get() != level {
            self.level.set(level);
        }
    }

    pub(crate) fn usefulness(&self) -> f64 {
        self.level.get() + self.confidence() * (1 + self.uses.load(Relaxed)) as f64
    }

    /// As useful as another was.
    pub(crate) fn take_uses_of(&self, other: &Self) {
        self.uses.store(other.uses.load(Relaxed), Relaxed);
        self.level.set(other.level.get());
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.ticket.load(Relaxed)
    }

    pub(crate) fn set_ticket(&self, ticket: u64) {
        self.ticket.store(ticket, Relaxed);
    }
}

/// An entry that nobody finds any more.
struct Taken<V>(NonNull<Entry<V>>);

// SAFETY: it owns its entry, as a box would.
#[allow(unsafe_code)]
unsafe impl<V: Send> Send for Taken<V> {}

impl<V> Drop for Taken<V> {
    fn drop(&mut self) {
        // SAFETY: the pointer is that of a box, and taken out once. `Retired` lets it go when no reader
        // can have it any more, or the table has ended.
        #[allow(unsafe_code)]
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

type Link<V> = AtomicPtr<Entry<V>>;

/// The table, with what its writers keep beside it.
pub(crate) struct Table<V: Send + Sync, S> {
    buckets: Box<[Link<V>]>,
    readers: Readers,
    writer: Mutex<Writer<V, S>>,
}

struct Writer<V, S> {
    retired: Retired<Taken<V>>,
    state: S,
}

/// The chains, for the one who writes.
pub(crate) struct Chains<'t, V> {
    buckets: &'t [Link<V>],
    retired: &'t mut Retired<Taken<V>>,
}

impl<V: Send + Sync, S> Table<V, S> {
    /// For about so many entries.
    pub(crate) fn new(capacity: usize, state: S) -> Self {
        let buckets = (2 * capacity).next_power_of_two();
        Self {
            buckets: (0..buckets).map(|_| Link::default()).collect(),
            readers: Readers::new(),
            writer: Mutex::new(Writer { retired: Retired::new(), state }),
        }
    }

    /// What `take` makes of the entry of a key and the number of the lookup; a miss when that is nothing.
    pub(crate) fn lookup<R>(
        &self,
        hash: u64,
        key: &str,
        take: impl FnOnce(&Entry<V>, u64) -> Option<R>,
    ) -> Option<R> {
        self.readers.lookup(|mut reading| {
            let mut link = bucket(&self.buckets, hash);
            let found = loop {
                // SAFETY: `reading` began before the link was read and ends behind `take`.
                #[allow(unsafe_code)]
                let entry = unsafe { follow(link) }?;
                if entry.hash == hash && entry.key.is(key) {
                    break take(entry, reading.number());
                }
                link = &entry.next;
            };
            if found.is_some() {
                reading.hit();
            }
            found
        })
    }

    /// Writes, one at a time. What leaves is dropped behind the lock.
    pub(crate) fn write<R>(&self, write: impl FnOnce(&mut Chains<'_, V>, &mut S) -> R) -> R {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { retired, state } = &mut *writer;
        let mut chains = Chains { buckets: &self.buckets, retired };
        let result = write(&mut chains, state);
        let free = writer.retired.free(&self.readers);
        drop(writer);
        drop(free);
        result
    }

    /// As `write`, unless somebody writes.
    pub(crate) fn try_write(&self, write: impl FnOnce(&mut Chains<'_, V>, &mut S)) {
        if let Ok(mut writer) = self.writer.try_lock() {
            let Writer { retired, state } = &mut *writer;
            write(&mut Chains { buckets: &self.buckets, retired }, state);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.readers.counts()
    }
}

impl<V: Send + Sync, S> Drop for Table<V, S> {
    fn drop(&mut self) {
        for link in &mut self.buckets {
            let mut next = NonNull::new(*link.get_mut());
            while let Some(entry) = next {
                let taken = Taken(entry);
                // SAFETY: nobody reads or writes any more, and `taken` still has it.
                #[allow(unsafe_code)]
                let after = unsafe { taken.0.as_ref() }.next.load(Relaxed);
                next = NonNull::new(after);
            }
        }
    }
}

impl<V> Chains<'_, V> {
    /// The entry of a key.
    pub(crate) fn find(&self, hash: u64, key: &str) -> Option<&Entry<V>> {
        self.chain(hash).find(|entry| entry.hash == hash && entry.key.is(key))
    }

    /// The entry with a ticket.
    pub(crate) fn at(&self, hash: u64, ticket: u64) -> Option<&Entry<V>> {
        self.chain(hash).find(|entry| entry.ticket() == ticket)
    }

    pub(crate) fn each(&self, visit: &mut dyn FnMut(&Entry<V>)) {
        self.buckets.iter().for_each(|bucket| self.behind(bucket).for_each(&mut *visit));
    }

    pub(crate) fn insert(&mut self, entry: Entry<V>) {
        let link = bucket(self.buckets, entry.hash);
        put(link, link.load(SeqCst), entry);
    }

    /// Puts an entry in the place of one that is there.
    pub(crate) fn replace(&mut self, ticket: u64, entry: Entry<V>) {
        let hash = entry.hash;
        self.change(hash, ticket, |link, next| put(link, next, entry));
    }

    /// Takes out an entry that is there.
    pub(crate) fn take_out(&mut self, hash: u64, ticket: u64) {
        self.change(hash, ticket, |link, next| link.store(next, SeqCst));
    }

    /// Takes out all entries.
    pub(crate) fn clear(&mut self) {
        for link in self.buckets {
            let mut next = NonNull::new(link.swap(ptr::null_mut(), SeqCst));
            while let Some(entry) = next {
                // SAFETY: entries go when they are retired, which this one is only now.
                #[allow(unsafe_code)]
                let after = unsafe { entry.as_ref() }.next.load(Relaxed);
                self.retired.push(Taken(entry));
                next = NonNull::new(after);
            }
        }
    }

    /// `change` leads the link to an entry past it.
    fn change(&mut self, hash: u64, ticket: u64, change: impl FnOnce(&Link<V>, *mut Entry<V>)) {
        let mut link = bucket(self.buckets, hash);
        // SAFETY: entries go when they are retired, and this is the one who retires.
        #[allow(unsafe_code)]
        while let Some(entry) = unsafe { follow(link) } {
            if entry.ticket() == ticket {
                // That of the box: one that is made of the reference may not be freed.
                let taken = NonNull::new(link.load(Relaxed));
                change(link, entry.next.load(Relaxed));
                taken.into_iter().for_each(|entry| self.retired.push(Taken(entry)));
                return;
            }
            link = &entry.next;
        }
    }

    fn chain(&self, hash: u64) -> impl Iterator<Item = &Entry<V>> {
        self.behind(bucket(self.buckets, hash))
    }

    fn behind<'c>(&'c self, link: &'c Link<V>) -> impl Iterator<Item = &'c Entry<V>> {
        // SAFETY: entries go when they are retired, for which somebody must have all of `self`.
        #[allow(unsafe_code)]
        let follow = |link: &'c Link<V>| unsafe { follow(link) };
        std::iter::successors(follow(link), move |entry| follow(&entry.next))
    }
}

fn bucket<V>(buckets: &[Link<V>], hash: u64) -> &Link<V> {
    // Their number is a power of two.
    &buckets[hash as usize & (buckets.len() - 1)]
}

/// Leads a link to a new entry, and that to `next`.
fn put<V>(link: &Link<V>, next: *mut Entry<V>, entry: Entry<V>) {
    entry.next.store(next, Relaxed);
    link.store(Box::into_raw(Box::new(entry)), SeqCst);
}

/// The entry behind a link.
///
/// # Safety
/// Nothing that is retired while `'e` lasts may be freed while it lasts.
#[allow(unsafe_code)]
unsafe fn follow<'e, V>(link: &Link<V>) -> Option<&'e Entry<V>> {
    // SAFETY: links lead nowhere, or to the entry of a box that is not freed, says the caller.
    unsafe { link.load(SeqCst).as_ref() }
}
