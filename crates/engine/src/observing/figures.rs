//! All figures of an open database, gathered when somebody asks.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use embedded_db_common::Result;
use embedded_db_common::metrics::Distribution;
use embedded_db_common::trace::Tracer;
use embedded_db_storage::{Occupied, ProcessFacts, ReadTxn, Written, panics, process_facts};
use embedded_db_weaver::{JobCounts, Status};

use super::families::{Families, Kind, NANO};
use super::{Observer, Op};
use crate::database::Database;
use crate::quotas::QuotaUse;

/// How often a kind of call was made.
#[derive(Debug, Clone, PartialEq)]
pub struct CallCounts {
    /// The kind.
    pub op: &'static str,
    /// Calls that have ended well, or not yet.
    pub ok: u64,
    /// Calls that failed, by the name of the error.
    pub failed: Vec<(&'static str, u64)>,
    /// How long those took that were measured, in nanoseconds.
    pub durations: Distribution,
}

/// What is stored, in all namespaces.
#[derive(Default)]
struct Items {
    lsn: u64,
    namespaces: u64,
    nodes: u64,
    edges: u64,
    embeddings: u64,
    vectors_computed: u64,
    vectors_reused: u64,
}

impl Observer {
    /// Every kind of call, also those that nobody has made.
    pub(crate) fn calls(&self) -> Vec<CallCounts> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = Op::ALL.into_iter().zip(&self.calls).map(|(op, calls)| {
            let of = failures.iter().filter(|((failed, _), _)| *failed == op);
            let failed: Vec<_> = of.map(|((_, code), count)| (*code, *count)).collect();
            let all: u64 = failed.iter().map(|(_, count)| count).sum();
            CallCounts {
                op: op.name(),
                ok: calls.begun.get().saturating_sub(all),
                failed,
                durations: calls.durations.read(),
            }
        });
        counts.collect()
    }

    /// Seconds since the database was opened.
    pub(crate) fn up_seconds(&self) -> f64 {
        self.opened.elapsed().as_secs_f64()
    }
}

impl Database {
    /// All figures in the text format of Prometheus. `python` is the version of what it runs in.
    pub fn metrics(&self, python: &str) -> Result<String> {
        let engine = self.engine()?;
        let observer = &engine.observer;
        let items = self.items()?;
        let status = self.weaver_status()?;
        let mut out = Families::default();
        build(&mut out, python, observer);
        calls(&mut out, observer);
        stored(&mut out, &items, engine.views.memory_bytes() as f64);
        occupied(&mut out, &engine.store.occupied()?);
        written(&mut out, &engine.store.written(), engine.store.unsynced());
        quotas(&mut out, &self.quota_use()?);
        let (held, oldest) = engine.pins.work.ages();
        out.begin("readers", Kind::Gauge, "Snapshots, transactions and cursors that are held.")
            .sample(&[], held as f64);
        out.begin("oldest_reader_age_seconds", Kind::Gauge, "Age of the oldest of them.")
            .sample(&[], oldest.as_secs_f64());
        tasks(&mut out, &status);
        models(&mut out, observer);
        if let Some(tracer) = engine.store.tracer() {
            traces(&mut out, tracer);
        }
        faults(&mut out, observer);
        process(&mut out, &process_facts());
        Ok(out.end())
    }

    fn items(&self) -> Result<Items> {
        let snapshot = self.engine()?.store.read()?;
        let all = snapshot.counters()?;
        let mut items = Items {
            lsn: all.lsn,
            vectors_computed: all.vectors_computed,
            vectors_reused: all.vectors_reused,
            ..Items::default()
        };
        for (_, namespace) in snapshot.namespaces()? {
            let counters = snapshot.namespace_counters(namespace)?;
            items.namespaces += 1;
            items.nodes += counters.nodes;
            items.edges += counters.edges;
            items.embeddings += counters.embeddings;
        }
        Ok(items)
    }
}

fn build(out: &mut Families, python: &str, observer: &Observer) {
    let git = option_env!("EMBEDDED_DB_GIT").unwrap_or("unknown");
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("git", git), ("python", python)];
    out.begin("build_info", Kind::Gauge, "What runs.").sample(&labels, 1.0);
    out.begin("up_seconds", Kind::Gauge, "Since the database was opened.")
        .sample(&[], observer.up_seconds());
}

fn calls(out: &mut Families, observer: &Observer) {
    let calls = observer.calls();
    out.begin("operations_total", Kind::Counter, "Calls by kind and outcome.");
    for call in &calls {
        out.sample(&[("op", call.op), ("outcome", "ok")], call.ok as f64);
        for (code, count) in &call.failed {
            out.sample(&[("op", call.op), ("outcome", code)], *count as f64);
        }
    }
    let help = "How long calls took; of get, neighbors and scan every sixteenth is measured.";
    out.begin("operation_duration_seconds", Kind::Histogram, help);
    for call in &calls {
        out.histogram(&[("op", call.op)], &call.durations, NANO);
    }
}

fn stored(out: &mut Families, items: &Items, view_bytes: f64) {
    out.begin("items", Kind::Gauge, "What is stored, in all namespaces.");
    let kinds = [
        ("namespace", items.namespaces),
        ("node", items.nodes),
        ("edge", items.edges),
        ("embedding", items.embeddings),
    ];
    for (kind, count) in kinds {
        out.sample(&[("kind", kind)], count as f64);
    }
    out.begin("last_lsn", Kind::Gauge, "Number of the last change.").sample(&[], items.lsn as f64);
    out.begin("vectors_total", Kind::Counter, "Vectors that were stored for texts, ever.")
        .sample(&[("origin", "computed")], items.vectors_computed as f64)
        .sample(&[("origin", "reused")], items.vectors_reused as f64);
    out.begin("view_memory_bytes", Kind::Gauge, "Memory that indexes take beside their files.")
        .sample(&[], view_bytes);
}

fn occupied(out: &mut Families, of: &Occupied) {
    out.begin("storage_bytes", Kind::Gauge, "Length of the files of the database.");
    for (file, bytes) in &of.files {
        out.sample(&[("file", file)], *bytes as f64);
    }
    if let Some(free) = of.free {
        out.begin("storage_free_bytes", Kind::Gauge, "What the file system has left.")
            .sample(&[], free as f64);
    }
    let help = "The part of the address space that the data takes; a full one is doubled.";
    out.begin("map_used_ratio", Kind::Gauge, help).sample(&[], of.map_used);
}

fn written(out: &mut Families, of: &Written, unsynced: Option<u64>) {
    out.begin("map_growths_total", Kind::Counter, "How often the address space was doubled.")
        .sample(&[], of.growths as f64);
    let help = "How long commits took, from the first write of the group.";
    out.begin("commit_duration_seconds", Kind::Histogram, help).histogram(&[], &of.commits, NANO);
    out.begin("wal_batch_entries", Kind::Histogram, "How many writes shared a commit.").histogram(
        &[],
        &of.entries,
        1.0,
    );
    if let Some(syncs) = &of.syncs {
        let help = "How long synchronisations of the log took.";
        out.begin("wal_fsync_duration_seconds", Kind::Histogram, help).histogram(&[], syncs, NANO);
        out.begin("wal_checkpoints_total", Kind::Counter, "Checkpoints of the log.")
            .sample(&[], of.checkpoints as f64);
    }
    if let Some(unsynced) = unsynced {
        let help = "Commits that were acknowledged and that a power cut would take now.";
        out.begin("wal_unsynced_entries", Kind::Gauge, help).sample(&[], unsynced as f64);
    }
}

fn quotas(out: &mut Families, uses: &[QuotaUse]) {
    let help =
        "What may be stored; of the disk, what is to stay free. Without a limit, none is told.";
    out.begin("quota_limit", Kind::Gauge, help);
    for (of, limit) in uses.iter().filter_map(|of| Some((of, of.limit?))) {
        out.sample(&[("resource", of.resource.name())], limit as f64);
    }
    let help = "How much of it there is; of the disk, what it has left.";
    out.begin("quota_used", Kind::Gauge, help);
    for of in uses {
        out.sample(&[("resource", of.resource.name())], of.used as f64);
    }
    let help = "Writes that were refused for a quota, of the database or of a namespace.";
    out.begin("quota_rejections_total", Kind::Counter, help);
    for of in uses {
        out.sample(&[("resource", of.resource.name())], of.rejections as f64);
    }
}

fn tasks(out: &mut Families, status: &Status) {
    let sum = |of: fn(&JobCounts) -> u64| -> u64 {
        status.per_job.iter().map(|(_, counts)| of(counts)).sum()
    };
    out.begin("tasks", Kind::Gauge, "Work of the background workers.")
        .sample(&[("state", "pending")], sum(|counts| counts.pending) as f64)
        .sample(&[("state", "running")], sum(|counts| counts.running) as f64)
        .sample(&[("state", "dead")], sum(|counts| counts.dead) as f64);
    out.begin("tasks_done_total", Kind::Counter, "Work that was done since the opening.")
        .sample(&[], sum(|counts| counts.done) as f64);
    out.begin("task_lag_seconds", Kind::Gauge, "Age of the oldest message that waits.")
        .sample(&[], status.lag_seconds);
    out.begin("index_lag_items", Kind::Gauge, "Nodes that wait for what is made of them.");
    for (job, counts) in &status.per_job {
        out.sample(&[("index", job)], counts.pending as f64);
    }
}

fn traces(out: &mut Families, tracer: &Tracer) {
    let help = "Traces by why they were kept; dropped are those that were not.";
    out.begin("traces_total", Kind::Counter, help);
    for (decision, count) in tracer.decisions() {
        out.sample(&[("decision", decision.name())], count as f64);
    }
    let lost = tracer.queue().lost();
    out.begin("trace_spans_total", Kind::Counter, "Spans of kept traces by what became of them.")
        .sample(&[("outcome", "sent")], tracer.queue().sent() as f64)
        .sample(&[("outcome", "queue_full")], lost.full as f64)
        .sample(&[("outcome", "refused")], lost.refused as f64);
}

fn models(out: &mut Families, observer: &Observer) {
    let help = "How long calls of model functions took.";
    out.begin("task_duration_seconds", Kind::Histogram, help);
    for (function, durations) in observer.models.durations() {
        out.histogram(&[("function", function)], &durations, NANO);
    }
    out.begin("task_failures_total", Kind::Counter, "Calls of model functions that failed.");
    for (function, reason, count) in observer.models.failures() {
        out.sample(&[("function", function), ("reason", reason)], count as f64);
    }
}

fn faults(out: &mut Families, observer: &Observer) {
    let help = "Calls that met damage, and problems that verifications found.";
    out.begin("corruptions_total", Kind::Counter, help)
        .sample(&[], observer.corruptions.load(Relaxed) as f64);
    out.begin("panics_total", Kind::Counter, "Defects of the library in this process.")
        .sample(&[], panics() as f64);
    let seconds = |time: &AtomicI64| time.load(Relaxed) as f64 / 1e6;
    let help = "When this process last made a backup; 0 for never.";
    out.begin("last_backup_timestamp_seconds", Kind::Gauge, help)
        .sample(&[], seconds(&observer.last_backup));
    let help = "When this process last verified the database; 0 for never.";
    out.begin("last_verify_timestamp_seconds", Kind::Gauge, help)
        .sample(&[("result", "ok")], seconds(&observer.last_verify[0]))
        .sample(&[("result", "problems")], seconds(&observer.last_verify[1]));
}

fn process(out: &mut Families, of: &ProcessFacts) {
    let whole = |number: Option<u64>| number.map(|number| number as f64);
    let told = [
        ("process_cpu_seconds_total", Kind::Counter, "Time of processors.", of.cpu_seconds),
        ("process_resident_memory_bytes", Kind::Gauge, "Memory.", whole(of.resident_bytes)),
        ("process_virtual_memory_bytes", Kind::Gauge, "Address space.", whole(of.virtual_bytes)),
        ("process_open_fds", Kind::Gauge, "Open files.", whole(of.open_files)),
        ("process_max_fds", Kind::Gauge, "Most open files.", whole(of.most_open_files)),
        ("process_start_time_seconds", Kind::Gauge, "When it began.", of.began),
        ("process_threads", Kind::Gauge, "Threads.", whole(of.threads)),
    ];
    for (name, kind, help, value) in told {
        if let Some(value) = value {
            out.begin(name, kind, help).sample(&[], value);
        }
    }
}
