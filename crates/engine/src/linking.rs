//! Makes graphs of the vectors that were sealed, in a thread of low priority that is there while there is
//! something to link.
//!
//! Nothing depends on it: what is in no graph is scanned. It holds no snapshot and no lock while it links.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use embedded_db_common::{Error, Result, SpaceId};
use embedded_db_indexing::{Linked, Views};
use embedded_db_storage::{ReadSpaces, Store, ViewKind, views, yield_to_others};

use crate::worker::{Next, PAUSE, Work};

/// Between two looks at whether files may be written.
const LOOK: Duration = Duration::from_millis(20);

/// Links vectors.
pub(crate) struct LinkWork {
    store: Arc<Store>,
    views: Arc<Views>,
    ending: AtomicBool,
}

impl Work for LinkWork {
    const NAME: &'static str = "linking";
    const LONGEST_PAUSE: Duration = PAUSE.saturating_mul(64);

    fn step(&self) -> Result<Next> {
        yield_to_others();
        let snapshot = self.store.read_quietly()?;
        let spaces = snapshot.live_spaces()?;
        let found = views(&snapshot)?;
        drop(snapshot);
        let mut next = Next::Nothing;
        for (namespace, kind, space, _) in found {
            let of = |(id, _): &&(SpaceId, _)| *id == space;
            let Some((_, record)) = spaces.iter().find(of).filter(|_| kind == ViewKind::Vectors)
            else {
                continue;
            };
            let (right, going_on) = (|| self.right(), || self.going_on());
            let of = (space, record);
            match self.views.link_vectors(&self.store, namespace, of, &right, &going_on)? {
                Linked::Enough => {}
                // More may have come meanwhile.
                Linked::Published | Linked::Overtaken => next = Next::AtOnce,
            }
        }
        Ok(next)
    }

    fn ends_the_wait(_error: &Error) -> bool {
        true
    }
}

impl LinkWork {
    pub(crate) fn new(store: Arc<Store>, views: Arc<Views>) -> Self {
        Self { store, views, ending: AtomicBool::new(false) }
    }

    /// Breaks off what it is at.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    fn going_on(&self) -> Result<()> {
        if self.ending.load(Ordering::Acquire) {
            return Err(Error::DatabaseClosed { path: self.store.name().to_owned() });
        }
        self.store.usable()
    }

    /// Waits for the right to write files.
    fn right(&self) -> Result<MutexGuard<'_, ()>> {
        loop {
            self.going_on()?;
            if let Some(right) = self.store.begin_sealing() {
                return Ok(right);
            }
            std::thread::sleep(LOOK);
        }
    }
}
