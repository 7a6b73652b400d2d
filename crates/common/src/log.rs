//! What happens beside what callers are answered, for a program that wants to write it down. Without one nothing
//! is made of it.
//!
//! A record names things by words of this library, by numbers, by names of errors and by paths of databases.
//! It never holds what is stored, what somebody asks, or a token.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::clock::{self, Micros};
use crate::trace::{self, Context};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// For who looks for a mistake.
    Debug,
    /// As it should be.
    Info,
    /// It works, but somebody may want to do something.
    Warning,
    /// Something does not work.
    Error,
}

impl Level {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warning, Self::Error];

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// From its public name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// What a record says of something.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A number, or a count.
    Number(u64),
    /// Seconds.
    Seconds(f64),
    /// A word of this library, such as the name of an error.
    Word(&'static str),
    /// A path, an id of a request, or what an error of the system says.
    Text(String),
}

impl From<u64> for Field {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&'static str> for Field {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub time: Micros,
    /// How much it matters.
    pub level: Level,
    /// The part of the library: `storage`, `weaver`, `server`…
    pub target: &'static str,
    /// What.
    pub message: &'static str,
    /// What there is to say of it.
    pub fields: Vec<(&'static str, Field)>,
    /// What this thread was at.
    pub span: Option<Context>,
}

/// Takes records. It may be called under locks, so that it must not wait, nor call into a database.
pub type Sink = Box<dyn Fn(Record) + Send + Sync>;

static SINK: OnceLock<Sink> = OnceLock::new();
/// The least level that is taken; behind the last one, none is.
static LEAST: AtomicU8 = AtomicU8::new(u8::MAX);

/// Has records of a level, and of those above it, taken; `None` for no records.
pub fn set_level(least: Option<Level>) {
    LEAST.store(least.map_or(u8::MAX, |least| least as u8), Relaxed);
}

/// Whether records of a level are taken.
pub fn takes(level: Level) -> bool {
    level as u8 >= LEAST.load(Relaxed)
}

/// Has records taken by a sink, for as long as the process is there; false if there is one.
pub fn install(sink: Sink) -> bool {
    SINK.set(sink).is_ok()
}

/// Something happens; its fields are only made if somebody wants to know.
pub fn log<const N: usize>(
    level: Level,
    target: &'static str,
    message: &'static str,
    fields: impl FnOnce() -> [(&'static str, Field); N],
) {
    if takes(level)
        && let Some(sink) = SINK.get()
    {
        let (time, span, fields) = (clock::now(), trace::current(), fields().into());
        sink(Record { time, level, target, message, fields, span });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::trace::{Tracer, Tracing};

    /// One test, for the sink is that of the process.
    #[test]
    fn records_are_taken_from_their_level_on_with_the_span_of_their_thread() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&taken);
        log(Level::Error, "test", "before there is a sink", || []);
        assert!(install(Box::new(move |record| sink.lock().unwrap().push(record))));
        assert!(!install(Box::new(|_| {})));
        log(Level::Error, "test", "nobody wants to know", || {
            unreachable!("fields of none") as [_; 0]
        });
        set_level(Some(Level::Warning));
        log(Level::Info, "test", "too little", || unreachable!("fields of none") as [_; 0]);
        log(Level::Warning, "test", "alone", || [("number", 3.into())]);
        let tracer = Tracer::new(&Tracing { normal: 1.0, slow: 1.0, ..Tracing::default() });
        let within = || {
            log(Level::Error, "test", "within", || [("code", "Timeout".into())]);
            Ok(trace::current())
        };
        let span = tracer.call("query", within).unwrap();
        set_level(None);
        log(Level::Error, "test", "after", || []);
        let taken = taken.lock().unwrap();
        let [alone, within] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!((alone.message, alone.level, alone.span), ("alone", Level::Warning, None));
        assert_eq!(alone.fields, [("number", Field::Number(3))]);
        assert_eq!((within.span, within.span.is_some()), (span, true));
        let kept = tracer.queue().take(std::time::Duration::ZERO).0;
        assert_eq!(
            within.span.map(|span| (span.trace, span.span)),
            Some((kept[0].id, kept[0].span_id(0)))
        );
    }

    #[test]
    fn levels_have_names() {
        for level in Level::ALL {
            assert_eq!(Level::parse(level.name()), Some(level));
        }
        assert_eq!(Level::parse("INFO"), None);
    }
}
