//! The engine: [`Intuition`].

use std::hash::{BuildHasher, RandomState};

use embedded_db_common::{Error, Result};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::{Config, check_capacity, share};
use crate::table::{Chains, Entry, Float, Table};
use crate::usefulness::Queue;

/// Answers by key, each as sure as it was learnt and as feedback made it.
pub struct Intuition<V: Send + Sync> {
    config: Config,
    capacity: usize,
    /// So that nobody can choose keys which meet in one chain.
    seed: u64,
    /// The usefulness of what left last.
    level: Float,
    table: Table<V, Ledger>,
}

/// What writers know.
#[derive(Default)]
struct Ledger {
    queue: Queue,
    reflexes: usize,
    learned: u64,
    evicted: u64,
}

/// What somebody says of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback<V> {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// It is wrong, and this is right.
    Corrected(V),
}

/// What an engine has done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    /// Reflexes there are, with those that are not sure enough to be given.
    pub total_reflexes: usize,
    /// Most that there may be.
    pub capacity: usize,
    /// Lookups that were answered.
    pub hits: u64,
    /// Lookups that were not.
    pub misses: u64,
    /// Calls that stored an answer.
    pub learned: u64,
    /// Reflexes that left for others.
    pub evicted: u64,
    /// Mean time of a lookup, of one in 256 that are timed; 0 while there was none.
    pub avg_fast_path_time_ns: f64,
}

impl<V: Send + Sync> Intuition<V> {
    /// Without reflexes, for at most `capacity` of them.
    ///
    /// # Errors
    /// `InvalidInput` for numbers out of range.
    pub fn new(config: Config, capacity: usize) -> Result<Self> {
        config.check()?;
        check_capacity(capacity)?;
        Ok(Self {
            config,
            capacity,
            seed: RandomState::new().hash_one(capacity),
            level: Float::default(),
            table: Table::new(capacity, Ledger::default()),
        })
    }

    /// Stores an answer, in the place of the one that its key had. The least useful reflex leaves for a
    /// new one when there is no room.
    ///
    /// # Errors
    /// `InvalidInput` for a confidence that is no number from 0 to 1.
    pub fn learn(&self, key: &str, answer: V, confidence: f64) -> Result<()> {
        self.put(key, answer, confidence, false)
    }

    fn put(&self, key: &str, answer: V, confidence: f64, keeps_confidence: bool) -> Result<()> {
        share("confidence", confidence)?;
        let entry = self.entry(key, answer, confidence);
        let hash = self.hash(key);
        self.table.write(|chains, ledger| {
            if let Some(old) = chains.find(hash, key) {
                if keeps_confidence {
                    entry.set_confidence(old.confidence());
                }
                let ticket = old.ticket();
                ledger.replace(chains, hash, ticket, entry);
                return;
            }
            if ledger.reflexes == self.capacity {
                self.evict(chains, ledger);
            }
            entry.set_ticket(ledger.queue.enter(entry.usefulness(), hash));
            chains.insert(entry);
            ledger.reflexes += 1;
            ledger.learned += 1;
        });
        Ok(())
    }

    /// Stores an answer, which is as sure as the one that its key had, or, with a new key, as it says.
    ///
    /// # Errors
    /// As [`Intuition::learn`].
    pub fn renew(&self, key: &str, answer: V, confidence: f64) -> Result<()> {
        self.put(key, answer, confidence, true)
    }

    /// What `take` makes of the answer to a key, if there is one that is sure enough. Takes no lock, and
    /// may run beside anything; only what `take` does may wait.
    pub fn lookup<R>(&self, key: &str, take: impl FnOnce(&V) -> R) -> Option<R> {
        self.table.lookup(self.hash(key), key, |entry, number| {
            // Not while it is less: a number that is none would pass.
            (entry.confidence() >= self.config.min_confidence).then(|| {
                entry.use_at(self.level.get(), number);
                take(&entry.answer)
            })
        })
    }

    /// Makes a reflex more or less sure, or another; how sure it is then.
    ///
    /// # Errors
    /// `NotFound` when nothing is known of the key.
    pub fn feedback(&self, key: &str, feedback: Feedback<V>) -> Result<f64> {
        let hash = self.hash(key);
        let corrected = self.config.corrected_confidence;
        let (judge, mut correction): (fn(&Config, f64) -> f64, _) = match feedback {
            Feedback::Right => (|config, sure| sure + (1.0 - sure) * config.reward, None),
            Feedback::Wrong => (|config, sure| sure * (1.0 - config.penalty), None),
            Feedback::Corrected(answer) => {
                (|config, _| config.corrected_confidence, Some(self.entry(key, answer, corrected)))
            }
        };
        // What is not used of `correction` is dropped behind the lock.
        self.table.write(|chains, ledger| {
            let entry = chains.find(hash, key).ok_or_else(|| unknown(key))?;
            let confidence = judge(&self.config, entry.confidence()).clamp(0.0, 1.0);
            if let Some(correction) = correction.take() {
                let ticket = entry.ticket();
                ledger.replace(chains, hash, ticket, correction);
                return Ok(confidence);
            }
            entry.set_confidence(confidence);
            entry.set_ticket(ledger.queue.enter(entry.usefulness(), hash));
            ledger.tidy(chains);
            Ok(confidence)
        })
    }

    /// Forgets a reflex; whether there was one.
    pub fn forget(&self, key: &str) -> bool {
        let hash = self.hash(key);
        self.table.write(|chains, ledger| {
            let Some(ticket) = chains.find(hash, key).map(Entry::ticket) else { return false };
            chains.take_out(hash, ticket);
            ledger.reflexes -= 1;
            ledger.tidy(chains);
            true
        })
    }

    /// Forgets everything. What was counted stays counted.
    pub fn clear(&self) {
        self.table.write(|chains, ledger| {
            chains.clear();
            (ledger.queue, ledger.reflexes) = (Queue::default(), 0);
        });
    }

    /// How sure the answer to a key is, if there is one.
    pub fn confidence(&self, key: &str) -> Option<f64> {
        let hash = self.hash(key);
        self.table.write(|chains, _| chains.find(hash, key).map(Entry::confidence))
    }

    /// How many reflexes there are.
    pub fn len(&self) -> usize {
        self.table.write(|_, ledger| ledger.reflexes)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows every answer, unless somebody is writing. `visit` must not call the engine.
    pub fn visit(&self, visit: &mut dyn FnMut(&V)) {
        self.table.try_write(|chains, _| chains.each(&mut |entry| visit(&entry.answer)));
    }

    /// What there is, and what was done.
    pub fn stats(&self) -> Stats {
        let (total_reflexes, learned, evicted) =
            self.table.write(|_, ledger| (ledger.reflexes, ledger.learned, ledger.evicted));
        let counts = self.table.counts();
        Stats {
            total_reflexes,
            capacity: self.capacity,
            hits: counts.hits,
            misses: counts.misses,
            learned,
            evicted,
            avg_fast_path_time_ns: counts.mean_nanoseconds,
        }
    }

    fn hash(&self, key: &str) -> u64 {
        xxh3_64_with_seed(key.as_bytes(), self.seed)
    }

    fn entry(&self, key: &str, answer: V, confidence: f64) -> Entry<V> {
        Entry::new(self.hash(key), key, answer, confidence, self.level.get())
    }

    fn evict(&self, chains: &mut Chains<'_, V>, ledger: &mut Ledger) {
        let now =
            |chains: &Chains<'_, V>, hash, ticket| chains.at(hash, ticket).map(Entry::usefulness);
        let least = ledger.queue.leave(|place| now(chains, place.hash, place.ticket));
        let least = least.expect("every reflex has a place in the queue");
        self.level.set(self.level.get().max(least.at_least));
        chains.take_out(least.hash, least.ticket);
        ledger.reflexes -= 1;
        ledger.evicted += 1;
    }
}

impl Ledger {
    /// Puts an entry in the place of that with `ticket`, whose usefulness it takes over.
    fn replace<V>(&mut self, chains: &mut Chains<'_, V>, hash: u64, ticket: u64, entry: Entry<V>) {
        if let Some(old) = chains.at(hash, ticket) {
            entry.take_uses_of(old);
        }
        entry.set_ticket(self.queue.enter(entry.usefulness(), hash));
        chains.replace(ticket, entry);
        self.learned += 1;
        self.tidy(chains);
    }

    fn tidy<V>(&mut self, chains: &Chains<'_, V>) {
        self.queue.tidy(self.reflexes, |place| chains.at(place.hash, place.ticket).is_some());
    }
}

fn unknown(key: &str) -> Error {
    Error::NotFound { kind: "reflex", id: key.to_owned() }
}
