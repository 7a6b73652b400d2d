//! What the data file holds: whether it reads, how large its parts are, what work waits.

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_db_common::calendar::iso;
use embedded_db_common::{Error, NamespaceId, Result};

use super::place::{Place, REPAIR, said};
use super::{Finding, WorkCount, size};
use crate::keys::{Key, Table, meta};
use crate::log::FoundLog;
use crate::pages::Glance;
use crate::postings::{Container, IndexId};
use crate::records::{DatabaseCounters, WorkRecord, WorkState};

/// Times that a file is looked at again that does not read.
const TIMES: u32 = 20;
/// Times that it is when a writer was quicker, which says nothing of the file.
const OVERTAKEN: u32 = 1000;
/// Between them.
const PAUSE: Duration = Duration::from_millis(10);
/// Free room below which compacting makes little difference.
const LITTLE: u64 = 16 << 20;

/// What was found in a data file.
pub(super) struct Data {
    /// The newest transaction.
    pub(super) transaction: u64,
    /// The generation that was to take its place.
    pub(super) successor: Option<u64>,
    pub(super) work: Vec<WorkCount>,
    counters: DatabaseCounters,
    /// Bytes of each table, and of pages that are free.
    tables: Vec<(&'static str, u64)>,
    free: u64,
    length: u64,
}

impl Data {
    pub(super) fn look(
        place: &Place,
        interrupted: &dyn Fn() -> Result<()>,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Self>> {
        let (mut times, mut overtaken, mut newest) = (0, 0, None);
        let log = FoundLog::read(&place.path, &place.directory);
        let put_back = log.as_ref().ok().and_then(Option::as_ref).filter(|log| log.is_put_back);
        let (glance, read) = loop {
            interrupted()?;
            let opened = Glance::open(&place.directory, put_back);
            let read = match &opened {
                Ok(glance) => Self::read(glance, interrupted),
                Err(failed) => Err(failed.clone()),
            };
            let is_settled = opened.as_ref().is_ok_and(|it| it.is_still_there() && read.is_ok());
            let now = opened.as_ref().ok().and_then(Glance::newest);
            // Beside a writer that goes on: this thread may have stood still for any time.
            let is_overtaken =
                opened.as_ref().is_ok_and(|it| !it.is_still_there()) && now != newest;
            newest = now;
            *(if is_overtaken { &mut overtaken } else { &mut times }) += 1;
            let is_enough = times == TIMES || overtaken == OVERTAKEN;
            if is_settled || is_enough || matches!(read, Err(Error::Interrupted)) {
                break (opened, read);
            }
            // A writer may have been at it, or it is damaged.
            std::thread::sleep(PAUSE);
        };
        let data = match (&glance, read) {
            (Ok(glance), Ok(data)) => {
                findings.push(data.described(glance));
                Some(data)
            }
            (_, Err(failed @ (Error::Corruption { .. } | Error::StorageError { .. }))) => {
                findings.push(Finding::error("data", said(&failed), REPAIR));
                None
            }
            (_, Err(other)) => return Err(other),
            (Err(failed), Ok(_)) => return Err(failed.clone()),
        };
        if let Ok(glance) = &glance {
            findings.push(sums(glance));
        }
        findings.push(of_log(place, &log, glance.as_ref().ok()));
        if let Some(data) = &data {
            findings.push(data.sizes());
        }
        Ok(data)
    }

    fn read(glance: &Glance, interrupted: &dyn Fn() -> Result<()>) -> Result<Self> {
        let mut tables = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            tables.push((table.name(), glance.tree(table)?.pages * glance.page_size()));
        }
        let mut counters = None;
        let mut successor = None;
        let (first, last) = (Key::new(NamespaceId::SYSTEM), Key::new(NamespaceId::DEFAULT));
        glance.rows(Table::Meta, (&first, Some(&last)), &mut |key, payload| {
            match key.get(4) {
                Some(&meta::COUNTERS) => counters = DatabaseCounters::parse(payload).ok(),
                Some(&meta::SUCCESSOR) => {
                    successor = payload.try_into().ok().map(u64::from_be_bytes);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            transaction: glance.transaction(),
            successor,
            work: work(glance)?,
            counters: counters.unwrap_or_default(),
            tables,
            free: glance.free_pages(interrupted)? * glance.page_size(),
            length: glance.length(),
        })
    }

    fn described(&self, glance: &Glance) -> Finding {
        let when = match self.counters.time {
            0 => "nothing was stored yet".into(),
            time => format!("the last commit was at {}", iso(time)),
        };
        let text = format!("it reads: LSN {}, {when}", self.counters.lsn);
        let found = match glance.remarks.first() {
            None => Finding::ok("data", text),
            Some(remark) => {
                let remedy = "make a backup now, and write to it, which makes the page anew";
                Finding::warning("data", format!("{text}, but {remark}"), remedy)
            }
        };
        found
            .with("lsn", self.counters.lsn)
            .with("transaction", self.transaction)
            .with("page_size", glance.page_size())
            .with("bytes", self.length)
    }

    /// How much each part takes, and how much could be had back.
    fn sizes(&self) -> Finding {
        let text = format!(
            "{}, of which {} are free to be used again",
            size(self.length),
            size(self.free)
        );
        let mut found = if self.free > LITTLE && self.free > self.length / 2 {
            let remedy = "give the room back with `embedded-db compact`";
            Finding::warning("size", text, remedy)
        } else {
            Finding::ok("size", text)
        };
        found = found.with("bytes", self.length).with("reclaimable", self.free);
        for (name, bytes) in &self.tables {
            found = found.with(name, *bytes);
        }
        found
    }
}

fn sums(glance: &Glance) -> Finding {
    let remedy = "open the database once for writing, which makes it anew after reading everything";
    match glance.without_sums {
        None => Finding::ok("sums", "data.sums is that of the data").with("usable", true),
        Some("") => {
            let text = "data.sums is missing, so that damaged pages are found by their rows alone";
            Finding::warning("sums", text, remedy).with("usable", false)
        }
        Some(why) => {
            let text = format!("data.sums {why}, so that nothing is checked against it");
            Finding::warning("sums", text, remedy).with("usable", false)
        }
    }
}

fn of_log(
    place: &Place,
    log: &Result<Option<FoundLog>, String>,
    glance: Option<&Glance>,
) -> Finding {
    let about = "log";
    if let Some(lost) = FoundLog::lost_state(&place.directory) {
        return Finding::error(about, lost, REPAIR);
    }
    let log = match log {
        Ok(Some(log)) => log,
        Ok(None) => return Finding::ok(about, "the data stands for itself").with("in_use", false),
        Err(why) => {
            let text = format!("{why}, so that nobody can tell what a power cut has left");
            let remedy = "verify the database with `embedded-db verify --deep`, and make a backup";
            return Finding::warning(about, text, remedy);
        }
    };
    // Beside a writer its files may change while they are read.
    let missing = glance.filter(|_| log.is_put_back).and_then(|glance| {
        let written = glance.written().ok().flatten();
        log.frames(&place.directory).missing_after(glance.transaction(), written)
    });
    let found = if let Some(missing) = missing {
        Finding::error(about, missing, REPAIR)
    } else if log.is_put_back {
        let text = "commits wait in it: the power was cut, or this is a copy of files in use";
        let remedy = "open the database once for writing, which does them again";
        Finding::warning(about, text, remedy)
    } else {
        Finding::ok(about, "a writer uses it, or ended without closing, which loses nothing")
    };
    found.with("in_use", true).with("is_put_back", log.is_put_back).with("bytes", log.bytes)
}

/// What waits, and what has failed, by kind.
fn work(glance: &Glance) -> Result<Vec<WorkCount>> {
    let mut counts: BTreeMap<u8, WorkCount> = BTreeMap::new();
    let from = Key::new(NamespaceId::SYSTEM).u32(IndexId::PENDING.0);
    let end = Key::new(NamespaceId::SYSTEM).u32(IndexId::PENDING.0 + 1);
    glance.rows(Table::Postings, (&from, Some(&end)), &mut |key, payload| {
        let container = Container::parse(key, payload);
        if let (Some(&artefact), Ok(container)) = (key.get(8), container) {
            count(&mut counts, artefact).waiting += container.len() as u64;
        }
        Ok(())
    })?;
    glance.rows(Table::Work, (&[], None), &mut |key, payload| {
        let state = WorkRecord::parse(payload).map(|work| work.state);
        match (key.get(8), state) {
            (Some(&artefact), Ok(WorkState::Retry)) => count(&mut counts, artefact).retried += 1,
            (Some(&artefact), Ok(WorkState::Dead)) => count(&mut counts, artefact).failed += 1,
            _ => {}
        }
        Ok(())
    })?;
    Ok(counts.into_values().collect())
}

fn count(counts: &mut BTreeMap<u8, WorkCount>, artefact: u8) -> &mut WorkCount {
    counts.entry(artefact).or_insert(WorkCount { artefact, ..WorkCount::default() })
}
