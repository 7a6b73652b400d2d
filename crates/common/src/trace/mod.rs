//! Spans of what is done, gathered by thread, and kept or dropped when the outermost ends.
//!
//! A trace belongs to the thread that began it: what begins while it is open there is a span within it. Nothing is
//! allocated for one that is dropped, and names are of this library, so that no stored content gets into any.
//! Whether it is kept is decided at its end, when it is known whether it failed or was slow; see [`Tracer`].

mod context;
mod kept;
mod sampling;
mod slow;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

pub use self::context::Context;
pub use self::kept::{Kept, Lost, Queue};
pub use self::sampling::{Decision, Tracer, Tracing};
use crate::{chance, clock};

/// Spans of one trace; of those beyond only the number is told.
pub const MOST_SPANS: usize = 256;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What.
    pub name: &'static str,
    /// The span that it is a part of, by its place; of the outermost its own.
    pub parent: usize,
    /// When it began.
    pub begun: Instant,
    /// When it ended; until then its beginning.
    pub ended: Instant,
    /// The name of the error that it ended with.
    pub failed: Option<&'static str>,
    /// How many things it was about, or found.
    pub rows: Option<u64>,
}

impl Span {
    fn new(name: &'static str, parent: usize, begun: Instant) -> Self {
        Self { name, parent, begun, ended: begun, failed: None, rows: None }
    }
}

/// Whose side of a conversation a trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A call within this process, or work of its own.
    Internal,
    /// A request of somebody else.
    Server,
}

/// What a trace is called, and what the ids of its spans begin with: other spans may be in a trace of the same name.
#[derive(Debug, Clone, Copy)]
struct Id {
    trace: u128,
    spans: u64,
}

/// A trace that goes on.
#[derive(Debug)]
struct Trace {
    side: Side,
    parent: Option<Context>,
    /// Made when somebody asks for it.
    id: Option<Id>,
    spans: Vec<Span>,
    /// The place of the innermost span that has not ended.
    open: usize,
    /// How many spans there was no room for.
    lost: u32,
}

impl Trace {
    const NONE: Self =
        Self { side: Side::Internal, parent: None, id: None, spans: Vec::new(), open: 0, lost: 0 };

    /// Whether it goes on.
    fn is_open(&self) -> bool {
        !self.spans.is_empty()
    }

    fn begin(&mut self, name: &'static str, begun: Instant) -> Place {
        if self.spans.len() == MOST_SPANS {
            self.lost += 1;
            return Place::Lost;
        }
        let place = self.spans.len();
        self.spans.push(Span::new(name, self.open, begun));
        self.open = place;
        Place::Within(place)
    }

    fn end(&mut self, place: usize, ended: Instant, failed: Option<&'static str>) {
        if let Some(span) = self.spans.get_mut(place) {
            (span.ended, span.failed) = (ended, failed.or(span.failed));
            self.open = span.parent;
        }
    }

    fn id(&mut self) -> Id {
        let parent = self.parent;
        *self.id.get_or_insert_with(|| {
            let new = clock::new_number();
            let spans = chance::mixed((new >> 64) as u64) ^ new as u64;
            Id { trace: parent.map_or(new, |parent| parent.trace), spans }
        })
    }
}

thread_local! {
    static CURRENT: RefCell<Trace> = const { RefCell::new(Trace::NONE) };
    /// What the caller of this thread is at.
    static CALLER: Cell<Option<Context>> = const { Cell::new(None) };
}

/// Where a span is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It is the outermost of its trace.
    Outermost,
    Within(usize),
    /// Nobody looks at it.
    Lost,
}

/// A span that goes on; one that is dropped before its end has failed: a panic drops it.
#[must_use]
pub struct Open<'t> {
    tracer: &'t Tracer,
    place: Place,
}

impl Open<'_> {
    /// It ends.
    pub fn end(mut self, ended: Instant, failed: Option<&'static str>) {
        self.close(ended, failed);
    }

    fn close(&mut self, ended: Instant, failed: Option<&'static str>) {
        match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Lost => {}
            Place::Within(place) => {
                CURRENT.with_borrow_mut(|trace| trace.end(place, ended, failed))
            }
            Place::Outermost => CURRENT.with_borrow_mut(|trace| {
                trace.end(0, ended, failed);
                self.tracer.decide(trace);
            }),
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !matches!(self.place, Place::Lost) {
            self.close(Instant::now(), Some("InternalError"));
        }
    }
}

impl Tracer {
    /// Something begins: within the trace of this thread, or as one of its own.
    pub fn begin(&self, name: &'static str, begun: Instant) -> Open<'_> {
        let place = CURRENT.with_borrow_mut(|trace| {
            if trace.is_open() {
                return trace.begin(name, begun);
            }
            let parent = CALLER.get();
            if parent.is_some_and(|parent| !parent.sampled) {
                self.count(Decision::Dropped);
                return Place::Lost;
            }
            (trace.side, trace.parent) = (Side::Internal, parent);
            trace.begin(name, begun);
            Place::Outermost
        });
        Open { tracer: self, place }
    }

    /// Does something as a span.
    pub fn call<T>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> crate::Result<T>,
    ) -> crate::Result<T> {
        let span = self.begin(name, Instant::now());
        let done = work();
        span.end(Instant::now(), done.as_ref().err().map(crate::Error::code));
        done
    }

    /// The same, where spans are wanted.
    pub fn call_if<T>(
        tracer: Option<&Arc<Self>>,
        name: &'static str,
        work: impl FnOnce() -> crate::Result<T>,
    ) -> crate::Result<T> {
        match tracer {
            Some(tracer) => tracer.call(name, work),
            None => work(),
        }
    }

    /// Something has failed that is no span while it goes well, for looking at the clock would cost too much.
    #[cold]
    pub fn failed(&self, name: &'static str, error: &'static str) {
        let now = Instant::now();
        self.begin(name, now).end(now, Some(error));
    }

    /// A trace that goes on in one thread after another.
    pub fn begin_moving(
        self: &Arc<Self>,
        name: &'static str,
        caller: Option<Context>,
        begun: Instant,
    ) -> Moving {
        let mut trace = Trace { side: Side::Server, parent: caller, ..Trace::NONE };
        if caller.is_none_or(|caller| caller.sampled) {
            trace.begin(name, begun);
        }
        Moving { tracer: Arc::clone(self), trace, goes_on: true }
    }
}

/// A trace between threads.
pub struct Moving {
    tracer: Arc<Tracer>,
    /// Empty where the caller wants none.
    trace: Trace,
    goes_on: bool,
}

impl Moving {
    /// Does a part of it in this thread.
    pub fn on_this_thread<T>(&mut self, work: impl FnOnce() -> T) -> T {
        /// Takes the trace out of the thread again, however the work ends.
        struct Visit<'m> {
            moving: &'m mut Moving,
            caller: Option<Context>,
        }
        impl Drop for Visit<'_> {
            fn drop(&mut self) {
                CURRENT.with_borrow_mut(|own| std::mem::swap(own, &mut self.moving.trace));
                CALLER.set(self.caller);
            }
        }
        let caller = CALLER.replace(self.trace.parent);
        CURRENT.with_borrow_mut(|own| std::mem::swap(own, &mut self.trace));
        let _visit = Visit { moving: self, caller };
        work()
    }

    /// It ends.
    pub fn end(mut self, failed: Option<&'static str>) {
        self.close(failed);
    }

    fn close(&mut self, failed: Option<&'static str>) {
        if !std::mem::take(&mut self.goes_on) {
            return;
        }
        if self.trace.is_open() {
            self.trace.end(0, Instant::now(), failed);
            self.tracer.decide(&mut self.trace);
        } else {
            self.tracer.count(Decision::Dropped);
        }
    }
}

impl Drop for Moving {
    /// Nobody has waited for its end.
    fn drop(&mut self) {
        self.close(Some("Interrupted"));
    }
}

/// A part of the trace of this thread that has ended, if there is a trace.
pub fn step(name: &'static str, begun: Instant, ended: Instant, rows: Option<u64>) {
    CURRENT.with_borrow_mut(|trace| {
        if trace.is_open()
            && let Place::Within(place) = trace.begin(name, begun)
        {
            trace.end(place, ended, None);
            trace.spans[place].rows = rows;
        }
    });
}

/// Does something, which is a part of the trace of this thread if there is one.
pub fn within<T>(name: &'static str, work: impl FnOnce() -> crate::Result<T>) -> crate::Result<T> {
    if !is_open() {
        return work();
    }
    let place = CURRENT.with_borrow_mut(|trace| trace.begin(name, Instant::now()));
    /// The span ends also with a panic.
    struct End(Place, Option<&'static str>);
    impl Drop for End {
        fn drop(&mut self) {
            if let Place::Within(place) = self.0 {
                CURRENT.with_borrow_mut(|trace| trace.end(place, Instant::now(), self.1));
            }
        }
    }
    let mut end = End(place, Some("InternalError"));
    let done = work();
    end.1 = done.as_ref().err().map(crate::Error::code);
    done
}

/// What this thread is at has failed, whatever is made of that.
pub fn failed(error: &'static str) {
    CURRENT.with_borrow_mut(|trace| {
        if let Some(outermost) = trace.spans.first_mut() {
            outermost.failed = Some(error);
        }
    });
}

/// Whether this thread is in a trace.
pub fn is_open() -> bool {
    CURRENT.with_borrow(Trace::is_open)
}

/// The trace and the span that this thread is in. It is also asked where a panic is told, which may have come
/// from anywhere, and where the thread ends.
pub fn current() -> Option<Context> {
    let asked = CURRENT.try_with(|trace| context_of(&mut *trace.try_borrow_mut().ok()?));
    asked.ok().flatten()
}

fn context_of(trace: &mut Trace) -> Option<Context> {
    trace.is_open().then(|| {
        let id = trace.id();
        Context { trace: id.trace, span: kept::span_id(id.spans, trace.open), sampled: true }
    })
}

/// What the caller of this thread is at, until it is dropped.
pub struct Called(Option<Context>);

impl Called {
    /// Until it is dropped, traces that begin in this thread are parts of what the caller is at.
    pub fn by(caller: Option<Context>) -> Self {
        Self(CALLER.replace(caller))
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        CALLER.set(self.0);
    }
}

#[cfg(test)]
mod tests;
