//! Traces on their way to a collector, in a thread that nobody waits for.
//!
//! Every second, or when half of the queue is taken, what waits is sent at once. A collector that is away, slow or
//! refuses costs what waited, which is counted; the next try is the later the more have failed in a row, and
//! meanwhile the queue takes what it has room for.

mod http;
mod otlp;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use embedded_db_common::log::{self, Level};
use embedded_db_common::trace::{Kept, Queue, Tracing};
use embedded_db_common::{Error, Result};

use self::http::Collector;

/// Between two looks at what waits.
const EVERY: Duration = Duration::from_secs(1);
/// After a failure; doubled with each further one, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the end of a database waits for what is still to be sent.
const LAST: Duration = Duration::from_secs(2);

/// Sends what a queue has until it is stopped.
pub(crate) struct Exporter {
    queue: Arc<Queue>,
    running: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

impl Exporter {
    pub(crate) fn start(tracing: &Tracing, queue: &Arc<Queue>) -> Result<Self> {
        let collector = Collector::parse(tracing)?;
        let sender = Sender {
            queue: Arc::clone(queue),
            collector,
            service: tracing.service.clone(),
            failures: 0,
        };
        // The other end is dropped with the thread.
        let (ends, ended) = channel();
        let thread = std::thread::Builder::new()
            .name("embedded-db-traces".into())
            .spawn(move || {
                let _ends = ends;
                sender.run();
            })
            .map_err(|error| Error::Internal(format!("a thread cannot be started: {error}")))?;
        Ok(Self { queue: Arc::clone(queue), running: Mutex::new(Some((thread, ended))) })
    }

    /// Sends what is there, unless that takes too long: then it ends by itself.
    pub(crate) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((thread, ended)) = running else { return };
        self.queue.end();
        if ended.recv_timeout(LAST) == Err(RecvTimeoutError::Disconnected) {
            // It does not panic but where that is caught.
            drop(thread.join());
        }
    }
}

struct Sender {
    queue: Arc<Queue>,
    collector: Collector,
    service: String,
    /// In a row.
    failures: u32,
}

impl Sender {
    fn run(mut self) {
        loop {
            let (traces, ended) = self.queue.take(EVERY);
            if !traces.is_empty() {
                self.send(&traces);
            }
            let pause = PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
            if ended || (self.failures > 0 && self.queue.pause(pause)) {
                break;
            }
        }
        // What came while it slept; one that does not answer is not asked once more.
        let (traces, _) = self.queue.take(Duration::ZERO);
        let spans = traces.iter().map(|trace| trace.spans.len()).sum();
        if self.failures > 0 {
            self.queue.told(0, spans);
        } else if !traces.is_empty() {
            self.send(&traces);
        }
    }

    fn send(&mut self, traces: &[Kept]) {
        let spans = traces.iter().map(|trace| trace.spans.len()).sum();
        let send = || self.collector.post(&otlp::encoded(&self.service, traces));
        // A defect here costs spans, and nothing else.
        let sent = catch_unwind(AssertUnwindSafe(send)).unwrap_or(Err("a panic".into()));
        match sent {
            Ok(()) => {
                self.queue.told(spans, 0);
                if self.failures > 0 {
                    log::log(Level::Info, "traces", "the collector takes spans again", || []);
                }
                self.failures = 0;
            }
            Err(why) => {
                self.queue.told(0, spans);
                if self.failures == 0 {
                    log::log(Level::Warning, "traces", "the collector takes no spans", || {
                        [("endpoint", self.collector.shown().into()), ("why", why.into())]
                    });
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
