//! What is stored, as it comes: one reader for each namespace that somebody follows, whatever their number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use embedded_db_engine::common::Result;
use embedded_db_engine::{Change, Database};
use tokio::sync::{broadcast, watch};

use crate::handlers::write_status;
use crate::json::Writer;

/// Between two looks at the change table while somebody follows it. One takes a microsecond.
const LOOK: Duration = Duration::from_millis(10);
/// Between two looks at the weaver.
const STATUS: Duration = Duration::from_millis(250);
/// Batches that a follower may lag behind.
const LAG: usize = 256;

/// Changes that follow each other, as they are sent.
pub(crate) struct Batch {
    /// The change before the first.
    pub(crate) after: u64,
    /// Where the next batch begins.
    pub(crate) reached: u64,
    changes: Vec<Change>,
    text: Utf8Bytes,
}

impl Batch {
    pub(crate) fn new(after: u64, reached: u64, changes: Vec<Change>) -> Self {
        let text = written(changes.iter(), reached);
        Self { after, reached, changes, text }
    }

    /// What of it a follower gets who knows all up to `position`, if there is anything.
    pub(crate) fn behind(&self, position: u64, labels: &[String]) -> Option<Utf8Bytes> {
        if self.reached <= position {
            return None;
        }
        if labels.is_empty() && self.after >= position {
            return Some(self.text.clone());
        }
        let picked = |it: &&Change| it.lsn > position && is_picked(it, labels);
        let picked: Vec<&Change> = self.changes.iter().filter(picked).collect();
        (!picked.is_empty()).then(|| written(picked.into_iter(), self.reached))
    }
}

/// As the engine picks: with labels, nodes that have one of them, and what becomes of the namespace.
fn is_picked(change: &Change, labels: &[String]) -> bool {
    labels.is_empty()
        || match change.kind.name() {
            "node" => change.names.iter().any(|name| labels.iter().any(|it| **it == **name)),
            kind => kind == "namespace",
        }
}

pub(crate) fn write_changes<'a>(out: &mut Writer, changes: impl Iterator<Item = &'a Change>) {
    out.name("changes");
    let _written: std::result::Result<(), ()> = out.list(|out| {
        changes.into_iter().try_for_each(|change| {
            out.object(|out| {
                out.name("lsn").int(change.lsn);
                out.name("kind").text(change.kind.name());
                out.name("operation").text(change.op.name());
                out.name("id").text(&change.id);
                out.name("version").int(change.version);
                let name = change.names.first().map(|name| &**name);
                let of = |kind| name.filter(|_| change.kind.name() == kind);
                let labels: &[_] = if of("node").is_some() { &change.names } else { &[] };
                out.name("labels").texts(labels);
                out.name("type").optional(of("edge"), Writer::text);
                out.name("space").optional(of("embedding"), Writer::text);
                Ok(())
            })
        })
    });
}

fn written<'a>(changes: impl Iterator<Item = &'a Change>, reached: u64) -> Utf8Bytes {
    let mut out = Writer::default();
    let _written: std::result::Result<(), ()> = out.object(|out| {
        write_changes(out, changes);
        out.name("reached").int(reached);
        Ok(())
    });
    text(out)
}

/// What a writer wrote is UTF-8.
fn text(out: Writer) -> Utf8Bytes {
    String::from_utf8(out.end()).unwrap_or_default().into()
}

/// The readers.
pub(crate) struct Feeds {
    database: Database,
    changes: Mutex<HashMap<String, broadcast::Sender<Arc<Batch>>>>,
    status: Mutex<Option<watch::Sender<Utf8Bytes>>>,
}

impl Feeds {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, changes: Mutex::default(), status: Mutex::default() }
    }

    /// The changes of a namespace from now on.
    pub(crate) fn follow(
        self: &Arc<Self>,
        db: &Database,
    ) -> Result<broadcast::Receiver<Arc<Batch>>> {
        let mut readers = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(db.namespace_name()) {
            return Ok(reader.subscribe());
        }
        let (sender, receiver) = broadcast::channel(LAG);
        let reached = db.changes_after(None, None)?.last;
        readers.insert(db.namespace_name().to_owned(), sender.clone());
        tokio::spawn(Arc::clone(self).read_changes(db.clone(), sender, reached));
        Ok(receiver)
    }

    /// Ends when nobody follows, or when there is nothing to be read any more.
    async fn read_changes(
        self: Arc<Self>,
        db: Database,
        sender: broadcast::Sender<Arc<Batch>>,
        mut reached: u64,
    ) {
        loop {
            tokio::time::sleep(LOOK).await;
            let read = read_on(&db, &sender, &mut reached);
            let mut readers = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            if read.is_err() || sender.receiver_count() == 0 {
                readers.remove(db.namespace_name());
                return;
            }
        }
    }

    /// What the weaver does, as it changes.
    pub(crate) fn status(self: &Arc<Self>) -> Result<watch::Receiver<Utf8Bytes>> {
        let mut reader = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = &*reader {
            return Ok(reader.subscribe());
        }
        let (sender, receiver) = watch::channel(self.read_status()?);
        *reader = Some(sender.clone());
        tokio::spawn(Arc::clone(self).follow_status(sender));
        Ok(receiver)
    }

    async fn follow_status(self: Arc<Self>, sender: watch::Sender<Utf8Bytes>) {
        loop {
            tokio::time::sleep(STATUS).await;
            let read = self.read_status();
            let mut reader = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            let (Ok(status), true) = (read, sender.receiver_count() > 0) else {
                *reader = None;
                return;
            };
            sender.send_if_modified(|known| {
                let is_new = *known != status;
                *known = status;
                is_new
            });
        }
    }

    fn read_status(&self) -> Result<Utf8Bytes> {
        let (status, mut out) = (self.database.weaver_status()?, Writer::default());
        out.object(|out| write_status(out, &status))?;
        Ok(text(out))
    }
}

fn read_on(db: &Database, sender: &broadcast::Sender<Arc<Batch>>, reached: &mut u64) -> Result<()> {
    loop {
        let page = db.changes_after(Some(*reached), None)?;
        if page.reached == *reached {
            return Ok(());
        }
        if !page.changes.is_empty() {
            // Nobody may be there to get it.
            let _sent = sender.send(Arc::new(Batch::new(*reached, page.reached, page.changes)));
        }
        *reached = page.reached;
    }
}
