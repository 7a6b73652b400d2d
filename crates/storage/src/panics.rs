//! Panics of this library, whatever catches them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use embedded_db_common::log::{self, Level};
use embedded_db_common::{Error, Result};

use crate::blackbox::panicked;
use crate::writer::panic_text;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics from now on, and has them written into black boxes; what was done with them before is still done.
pub fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Relaxed);
            panicked(panic.location());
            log::log(Level::Error, "panic", "a defect of the library", || {
                let place = panic.location();
                let file = place.map(|place| place.file().to_owned()).unwrap_or_default();
                [("file", file.into()), ("line", place.map_or(0, |at| at.line().into()).into())]
            });
            before(panic);
        }));
    });
}

/// How many there were since they are counted.
pub fn panics() -> u64 {
    PANICS.load(Relaxed)
}

/// Does something; a panic of it is an error.
pub fn caught<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Error::Internal(format!("{what} panicked: {}", panic_text(&*panic))))
    })
}

/// Panics where a test of this thread wants it to.
pub(crate) fn planted(_place: &str) {
    #[cfg(test)]
    planting::panic_at(_place);
}

#[cfg(test)]
pub(crate) mod planting {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Has this thread panic when it next comes to a place.
    pub(crate) fn plant(place: &'static str) {
        PLANTED.set(Some(place));
    }

    pub(super) fn panic_at(place: &str) {
        if PLANTED.get() == Some(place) {
            PLANTED.set(None);
            panic!("planted in {place}");
        }
    }
}
