//! An index of vectors without a store: the graph and the tail of the database, over f32 rows in
//! memory.
//!
//! A vector has an id, which its user chooses, and a slot, which counts up. Its row is in the graph or
//! in the tail. What is added comes into the tail, and is found from then on; when the tail has
//! grown, its rows are linked into a copy of the graph by whoever added last. One at a time adds and
//! removes; searches go on meanwhile, in the state of the moment at which they began, and wait only
//! while a few rows are put in.
//!
//! - `rows`: f32 values. `state`: what a search sees. `linking`: rows on their way from the
//!   tail into the graph. `file`: all of it as bytes, and back.

mod file;
mod linking;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use embedded_db_common::{Error, Result};

use self::state::State;
use super::Metric;
use super::arrays::{Best, Compared, Interrupt, NotFinite, are_finite};
use super::graph::{Effort, Profile};

/// Rows put in between two moments at which searches may begin.
const ROWS_AT_ONCE: usize = 256;
/// Rows of the tail that are worth a graph.
const TAIL_ROWS: usize = 4096;
/// And at least this part of the rows in the graph.
const TAIL_SHARE: usize = 8;
/// Rows that were removed are given up when they are so many, and so many in a hundred.
const LOST_ROWS: usize = 1024;
const LOST_PER_CENT: usize = 30;

/// How an index is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HnswOptions {
    /// Number of dimensions.
    pub dim: usize,
    /// How vectors are compared.
    pub metric: Metric,
    /// How many links rows have.
    pub profile: Profile,
    /// Threads that link rows, and search for many queries; at least one.
    pub threads: usize,
}

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub struct HnswRequest<'a> {
    /// Vectors wanted.
    pub k: usize,
    /// How surely the best are found; `None`: none of them may be missed.
    pub effort: Option<Effort>,
    /// The ids that may be found; all without. Unknown ones do not matter.
    pub filter: Option<&'a [i64]>,
}

/// An index of vectors in memory.
pub struct HnswIndex {
    options: HnswOptions,
    /// Held by whoever changes the state, all the while.
    writing: Mutex<()>,
    state: RwLock<State>,
}

impl HnswIndex {
    /// An empty one.
    ///
    /// # Panics
    /// If the dimension is 0 or more than [`crate::kernels::MAX_DIM`].
    pub fn new(options: HnswOptions) -> Self {
        Self::with(options, State::new(&options))
    }

    fn with(options: HnswOptions, state: State) -> Self {
        Self { options, writing: Mutex::new(()), state: RwLock::new(state) }
    }

    /// How it was made.
    pub fn options(&self) -> HnswOptions {
        self.options
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a vector with this id.
    pub fn contains(&self, id: i64) -> bool {
        self.read().slot(id).is_some()
    }

    /// Adds vectors, all or none; their ids, which count up from the greatest there was unless they
    /// are given.
    ///
    /// # Errors
    /// `AlreadyExists` for an id that is taken, `InvalidInput` for one below 0; what `interrupt`
    /// says: then the vectors are in, and are linked when more are added.
    ///
    /// # Panics
    /// If the vectors are not of the index's dimension, or ids are given and not as many.
    pub fn add(
        &self,
        vectors: &[f32],
        ids: Option<&[i64]>,
        interrupt: Interrupt<'_>,
    ) -> Compared<Vec<i64>> {
        let dim = self.options.dim;
        assert!(vectors.len().is_multiple_of(dim), "vectors of {dim} dimensions");
        if !are_finite(vectors) {
            return Ok(Err(NotFinite));
        }
        let count = vectors.len() / dim;
        let _writing = self.begin_writing();
        let ids = match ids {
            Some(ids) => {
                assert_eq!(ids.len(), count, "an id for a vector");
                self.read().check_new(ids)?;
                ids.to_vec()
            }
            None => self.read().next_ids(count)?,
        };
        let mut rows = vectors.chunks_exact(dim).zip(&ids);
        while rows.len() > 0 {
            let mut state = self.write();
            rows.by_ref().take(ROWS_AT_ONCE).for_each(|(row, &id)| state.push(id, row));
        }
        self.settle(interrupt)?;
        Ok(Ok(ids))
    }

    /// Removes vectors, all or none.
    ///
    /// # Errors
    /// `NotFound` for an id that has none, `InvalidInput` for one that is named twice; what
    /// `interrupt` says: then the vectors are gone, and their memory is given back later.
    pub fn remove(&self, ids: &[i64], interrupt: Interrupt<'_>) -> Result<()> {
        let _writing = self.begin_writing();
        let mut seen = HashSet::with_capacity(ids.len());
        for (item, &id) in ids.iter().enumerate() {
            if self.read().slot(id).is_none() {
                let missing = Error::NotFound { kind: "vector", id: id.to_string() };
                return Err(missing.of_item(item));
            }
            if !seen.insert(id) {
                let message = format!("the id {id} is given twice; give each id once");
                return Err(Error::InvalidInput(message).of_item(item));
            }
        }
        for some in ids.chunks(ROWS_AT_ONCE) {
            self.write().remove(some);
        }
        self.settle(interrupt)
    }

    /// The best for one query, the best first, equal scores in the order in which they were added.
    ///
    /// # Errors
    /// What `interrupt` says.
    ///
    /// # Panics
    /// If the query has not the index's dimension.
    pub fn search(
        &self,
        query: &[f32],
        request: &HnswRequest<'_>,
        interrupt: Interrupt<'_>,
    ) -> Compared<Best> {
        if !are_finite(query) {
            return Ok(Err(NotFinite));
        }
        let state = self.read();
        let allowed = request.filter.map(|ids| state.slots(ids));
        state.search(query, request, allowed.as_ref(), interrupt).map(Ok)
    }

    /// The same for many queries, all in one state: changes wait for the last of them.
    ///
    /// # Errors
    /// What `interrupt` says.
    ///
    /// # Panics
    /// If the queries have not the index's dimension.
    pub fn search_batch(
        &self,
        queries: &[f32],
        request: &HnswRequest<'_>,
        interrupt: Interrupt<'_>,
    ) -> Compared<Vec<Best>> {
        let dim = self.options.dim;
        assert!(queries.len().is_multiple_of(dim), "queries of {dim} dimensions");
        if !are_finite(queries) {
            return Ok(Err(NotFinite));
        }
        let (state, count) = (self.read(), queries.len() / dim);
        let allowed = request.filter.map(|ids| state.slots(ids));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            loop {
                let query = next.fetch_add(1, Ordering::Relaxed);
                if query >= count {
                    return Ok(found);
                }
                let vector = &queries[query * dim..(query + 1) * dim];
                match state.search(vector, request, allowed.as_ref(), interrupt) {
                    Ok(best) => found.push((query, best)),
                    Err(error) => {
                        next.store(count, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        };
        let found: Vec<Result<Vec<(usize, Best)>>> = std::thread::scope(|scope| {
            let others = 1..self.options.threads.min(count);
            let others: Vec<_> = others.map(|_| scope.spawn(work)).collect();
            let own = work();
            let joined = others
                .into_iter()
                .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            std::iter::once(own).chain(joined).collect()
        });
        let mut out = vec![Best::default(); count];
        for found in found {
            found?.into_iter().for_each(|(query, best)| out[query] = best);
        }
        Ok(Ok(out))
    }

    /// Writes it into a file, in the place of what is there.
    ///
    /// # Errors
    /// As [`embedded_db_storage::replace_file`].
    pub fn save(&self, path: &Path) -> Result<()> {
        embedded_db_storage::replace_file(path, &self.to_bytes())
    }

    /// What `save` writes.
    pub fn to_bytes(&self) -> Vec<u8> {
        file::encode(&self.options, &self.read())
    }

    /// An index as it was saved.
    ///
    /// # Errors
    /// `DamagedFile` where the file is not what was written, `FormatTooNew`, what `interrupt` says,
    /// and as [`embedded_db_storage::read_file`].
    pub fn load(path: &Path, threads: usize, interrupt: Interrupt<'_>) -> Result<Self> {
        let index = Self::from_bytes(path, &embedded_db_storage::read_file(path)?, threads)?;
        {
            // A file that was written without a graph.
            let _writing = index.begin_writing();
            index.settle(interrupt)?;
        }
        Ok(index)
    }

    /// An index of what the file at `path` holds, as it is: without a graph, if it has none.
    ///
    /// # Errors
    /// `DamagedFile` and `FormatTooNew`.
    pub fn from_bytes(path: &Path, bytes: &[u8], threads: usize) -> Result<Self> {
        let (options, state) = file::decode(path, bytes, threads)?;
        Ok(Self::with(options, state))
    }

    /// Links the tail, or makes all anew, if that is due. Called by whoever may write.
    fn settle(&self, interrupt: Interrupt<'_>) -> Result<()> {
        let state = self.read();
        let (held, lost) = (state.held(), state.held() - state.len());
        if lost >= LOST_ROWS && lost * 100 > held * LOST_PER_CENT {
            let mut fresh = state.without_lost(&self.options);
            drop(state);
            // Searches have the old one until the new one is linked.
            if fresh.unlinked() >= TAIL_ROWS {
                let linked = fresh.linking(&self.options).run(&self.options, interrupt)?;
                fresh.adopt(linked);
            }
            *self.write() = fresh;
            return Ok(());
        }
        let unlinked = state.unlinked();
        if unlinked < TAIL_ROWS || unlinked < (held - unlinked) / TAIL_SHARE {
            return Ok(());
        }
        let linking = state.linking(&self.options);
        drop(state);
        let linked = linking.run(&self.options, interrupt)?;
        self.write().adopt(linked);
        Ok(())
    }

    fn begin_writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
