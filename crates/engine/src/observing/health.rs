//! Whether an open database can do what it is for, told without doing any of it.

use std::sync::atomic::Ordering::Relaxed;

use embedded_db_common::{Error, Options, Resource, Result};
use embedded_db_storage::{Finding, panics};
use embedded_db_weaver::{JobCounts, Status};

use super::Observer;
use crate::database::Database;
use crate::quotas::QuotaUse;

/// Beyond that part of a quota it is told.
const ALMOST: f64 = 0.9;
/// With less room than that the next writes may find none.
const LITTLE_ROOM: u64 = 64 << 20;

impl Database {
    /// How it is: one finding for each thing. Nothing is written, and no data is read.
    pub fn health(&self) -> Result<Vec<Finding>> {
        let engine = self.engine()?;
        let status = self.weaver_status()?;
        let unable = match engine.weaver() {
            Some(_) => self.failures()?.into_iter().find(|(_, failure)| failure.id.is_none()),
            None => None,
        };
        Ok(vec![
            self.writing()?,
            self.free_space()?,
            quota(&self.quota_use()?),
            damage(&engine.observer),
            defects(),
            black_box(engine.store.read_only(), engine.store.black_box_failure(), &engine.options),
            readers(engine.pins.work.ages(), engine.store.max_snapshot_age().as_secs_f64()),
            jobs(&status, unable.map(|(_, failure)| failure.error)),
        ])
    }

    /// Fails when writes would not be acknowledged any more.
    pub fn acknowledges(&self) -> Result<()> {
        self.engine()?.store.acknowledges()
    }

    fn writing(&self) -> Result<Finding> {
        let (about, engine) = ("writing", self.engine()?);
        let unsynced = engine.store.unsynced();
        let found = match engine.store.acknowledges() {
            Err(error) => Finding::error(
                about,
                error.to_string(),
                "close the database and open it again; then verify it",
            ),
            Ok(()) if self.read_only() => Finding::ok(about, "it is open for reading only"),
            Ok(()) => Finding::ok(about, "writes are accepted"),
        };
        Ok(found.with("read_only", self.read_only()).with("unsynced_commits", unsynced))
    }

    fn free_space(&self) -> Result<Finding> {
        let (about, occupied) = ("free space", self.engine()?.store.occupied()?);
        let used: u64 = occupied.files.iter().map(|(_, bytes)| bytes).sum();
        let found = match occupied.free {
            Some(free) if free < LITTLE_ROOM => Finding::warning(
                about,
                format!("{free} bytes are left"),
                "make room on the disk, or move the database to a larger one",
            ),
            Some(free) => Finding::ok(about, format!("{free} bytes are left")),
            None => Finding::ok(about, "the system does not tell how much is left"),
        };
        Ok(found.with("free", occupied.free).with("used", used))
    }
}

fn quota(uses: &[QuotaUse]) -> Finding {
    let about = "quota";
    let part =
        |of: &QuotaUse| of.part().filter(|part| *part >= ALMOST).map(|part| (of.resource, part));
    let short: Vec<(Resource, f64)> = uses.iter().filter_map(part).collect();
    let disk = uses.iter().find(|of| of.resource == Resource::Disk);
    let full = disk.is_some_and(|disk| disk.limit.is_some_and(|reserve| disk.used < reserve));
    let mut told: Vec<String> = short
        .iter()
        .map(|(resource, part)| format!("{:.0} % of {}", part * 100.0, resource.option()))
        .collect();
    if full {
        told.push("disk_reserve is not free any more".into());
    }
    let found = if told.is_empty() {
        Finding::ok(about, "there is room within all quotas")
    } else {
        let remedy = "delete what is not needed, or raise the quota";
        Finding::warning(about, told.join(", "), remedy)
    };
    let rejections: u64 = uses.iter().map(|of| of.rejections).sum();
    found.with("rejections", rejections)
}

fn damage(observer: &Observer) -> Finding {
    let (about, count) = ("damage", observer.corruptions.load(Relaxed));
    let found = if count == 0 {
        Finding::ok(about, "nothing damaged was met")
    } else {
        Finding::error(
            about,
            format!("damage was met {count} times"),
            "verify the database with deep=True; restore a backup, or repair it",
        )
    };
    found.with("count", count)
}

fn defects() -> Finding {
    let (about, count) = ("defects", panics());
    let found = if count == 0 {
        Finding::ok(about, "no call has panicked")
    } else {
        Finding::warning(
            about,
            format!("{count} panics in this process"),
            "report them, with what the black box tells",
        )
    };
    found.with("count", count)
}

fn black_box(read_only: bool, failure: Option<&Error>, options: &Options) -> Finding {
    let about = "black box";
    match failure {
        Some(error) => Finding::warning(
            about,
            format!("events are not written down: {error}"),
            "mend what it says, and open the database again",
        ),
        None if read_only => Finding::ok(about, "the process that writes has it"),
        None if !options.black_box => Finding::ok(about, "it is switched off"),
        None => Finding::ok(about, "events are written down"),
    }
}

fn readers((held, oldest): (usize, std::time::Duration), most: f64) -> Finding {
    let (about, age) = ("readers", oldest.as_secs_f64());
    let text = format!("{held} snapshots are held, the oldest for {age:.0} s");
    // What it sees is kept, so that the file grows.
    let found = if age > most / 2.0 {
        Finding::warning(about, text, "close snapshots that are not needed any more")
    } else {
        Finding::ok(about, text)
    };
    found.with("held", held as u64)
}

fn jobs(status: &Status, unable: Option<String>) -> Finding {
    let about = "jobs";
    let sum = |of: fn(&JobCounts) -> u64| -> u64 {
        status.per_job.iter().map(|(_, counts)| of(counts)).sum()
    };
    let (waiting, failed) = (sum(|counts| counts.pending), sum(|counts| counts.dead));
    let text = format!("{waiting} wait, {failed} have failed for good");
    let found = match unable {
        Some(error) => Finding::warning(
            about,
            format!("{text}; the model cannot work: {error}"),
            "mend what the model says, then try again with db.weaver.retry_failed()",
        ),
        None if failed > 0 => Finding::warning(
            about,
            text,
            "look at db.weaver.dead_letters(), then try again with db.weaver.retry_failed()",
        ),
        None => Finding::ok(about, text),
    };
    found.with("waiting", waiting).with("failed", failed)
}
