//! What all connections share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use embedded_db_engine::Database;
use embedded_db_engine::common::trace::Tracer;
use embedded_db_engine::common::{Result, clock};
use tokio::sync::{Semaphore, watch};

use crate::cursors::Cursors;
use crate::document::Document;
use crate::explorer::Explorer;
use crate::feeds::Feeds;
use crate::figures::Figures;
use crate::options::Options;

/// Wrong tokens that one address may send in a minute.
const GUESSES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are remembered at most: with more of them all begin anew.
const ADDRESSES: usize = 10_000;

/// The server, as connections see it.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) options: Options,
    pub(crate) document: Document,
    pub(crate) figures: Figures,
    pub(crate) cursors: Cursors,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) explorer: Explorer,
    /// Permits of requests, and of bytes of bodies.
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) tracer: Option<Arc<Tracer>>,
    guesses: Mutex<(Option<Instant>, HashMap<IpAddr, u32>)>,
    /// What request ids begin with, so that those of two runs differ.
    run: String,
    next: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        database: Database,
        mut options: Options,
        document: Document,
    ) -> Result<Self> {
        let explorer = Explorer::new(std::mem::take(&mut options.explorer));
        let limits = options.limits.clone();
        let run = clock::new_identity();
        Ok(Self {
            tracer: database.tracer()?,
            figures: Figures::new(&document),
            feeds: Arc::new(Feeds::new(database.clone())),
            database,
            document,
            explorer,
            cursors: Cursors::default(),
            requests: Arc::new(Semaphore::new(limits.requests)),
            bodies: Arc::new(Semaphore::new(limits.bodies)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            stop: watch::Sender::new(false),
            guesses: Mutex::default(),
            run: run.get(..12).unwrap_or_default().to_owned(),
            next: AtomicU64::new(0),
            options,
        })
    }

    pub(crate) fn stops(&self) -> bool {
        *self.stop.borrow()
    }

    pub(crate) fn request_id(&self) -> String {
        format!("{}-{}", self.run, self.next.fetch_add(1, Relaxed))
    }

    /// Counts a token that is wrong; whether the address has sent too many of them.
    pub(crate) fn guessed(&self, from: IpAddr) -> bool {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if guesses.0.is_none_or(|since| now.duration_since(since) >= MINUTE)
            || guesses.1.len() >= ADDRESSES
        {
            *guesses = (Some(now), HashMap::new());
        }
        let count = guesses.1.entry(from).or_default();
        *count = count.saturating_add(1);
        *count > GUESSES
    }
}
