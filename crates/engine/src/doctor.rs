//! How a database is, without opening it.

use std::path::Path;

use embedded_db_common::Result;
use embedded_db_indexing::graph::Artefact;
use embedded_db_storage::{Finding, WorkCount, examine};

use crate::database::Database;

impl Database {
    /// Looks at a database, whatever state it is in, and at what it lies on: one finding for each thing.
    /// Nothing is written, and a writer may be at work.
    pub fn doctor(path: &Path, interrupted: &dyn Fn() -> Result<()>) -> Result<Vec<Finding>> {
        let mut examined = examine(path, interrupted)?;
        examined.findings.extend(examined.work.as_deref().map(jobs));
        Ok(examined.findings)
    }
}

/// What waits to be enriched, and what has failed.
fn jobs(work: &[WorkCount]) -> Finding {
    let about = "jobs";
    let (mut waiting, mut failed) = (Vec::new(), Vec::new());
    let (mut waits, mut fails, mut retried) = (0, 0, 0);
    for count in work {
        let name = Artefact::of(count.artefact).map_or("of a later version", Artefact::name);
        if count.waiting > 0 {
            waiting.push(format!("{} {name}", count.waiting));
        }
        if count.failed > 0 {
            failed.push(format!("{} {name}", count.failed));
        }
        waits += count.waiting;
        fails += count.failed;
        retried += count.retried;
    }
    let told = |what: &str, of: &[String]| match of {
        [] => format!("nothing {what}"),
        all => format!("{what}: {}", all.join(", ")),
    };
    let text = format!("{}; {}", told("waits", &waiting), told("has failed for good", &failed));
    let finding = if fails > 0 {
        let remedy =
            "look at db.weaver.dead_letters(), then try again with db.weaver.retry_failed()";
        Finding::warning(about, text, remedy)
    } else {
        Finding::ok(about, text)
    };
    finding.with("waiting", waits).with("retried", retried).with("failed", fails)
}
