//! One error type for the whole database: every kind is one that a caller would treat differently.

use std::path::PathBuf;

use crate::clock::Micros;
use crate::quota::Resource;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, the value that was wrong, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No object has this id.
    #[error("no {kind} has the id {id:?}; check the id, it may have been deleted")]
    NotFound {
        /// `node`, `edge`, `embedding`, `namespace`…
        kind: &'static str,
        /// The id as it was asked for.
        id: String,
    },
    /// The id, or a unique value, is taken.
    #[error("a {kind} with the id {id:?} exists already; update it, or choose another id")]
    AlreadyExists {
        /// `node`, `edge`, `embedding`…
        kind: &'static str,
        /// The id that is taken.
        id: String,
    },
    /// A unique value is taken, or something is there already in another form.
    #[error("{message}")]
    Taken {
        /// What, by whom, and what to do.
        message: String,
        /// Id of the node that has the value, or the name of what is there.
        id: String,
    },
    /// Somebody else wrote first.
    #[error(
        "{kind} {id:?} was changed by another writer: expected version {expected}, found {found}; \
         read it again and retry"
    )]
    Conflict {
        /// `node`, `edge` or `embedding`.
        kind: &'static str,
        /// The object both wrote.
        id: String,
        /// Version the caller had read; 0 when it had seen none.
        expected: u64,
        /// Version now stored; 0 when it is gone, or another has its id.
        found: u64,
    },
    /// An argument is not acceptable.
    #[error("{0}")]
    InvalidInput(String),
    /// A text cannot be stored.
    #[error("{0}")]
    BadText(String),
    /// A query is empty, contradictory or malformed.
    #[error("{field}: {message}")]
    InvalidQuery {
        /// The part of the query that is wrong.
        field: String,
        /// What is wrong with it and what would be right.
        message: String,
    },
    /// A vector has the wrong number of dimensions.
    #[error(
        "a vector of the space {space:?} has {expected} dimensions, this one has {got}; \
         use the model of that space, or name another space"
    )]
    DimensionMismatch {
        /// Dimension of the space.
        expected: usize,
        /// Dimension of the vector given.
        got: usize,
        /// Name of the space.
        space: String,
    },
    /// A vector holds NaN or infinity.
    #[error("the vector has the value {value} at index {index}; all values must be finite")]
    NonFiniteVector {
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
    /// A value is larger than the format allows.
    #[error("{what} is {size} bytes long, the limit is {limit}; split it or store it elsewhere")]
    ValueTooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Another process writes to this database.
    #[error(
        "{path:?} is being written to by process {pid} on {host}; close it there, raise \
         lock_timeout, or open with read_only=True, or in both with shared=True"
    )]
    DatabaseLocked {
        /// The database.
        path: PathBuf,
        /// Process id of the holder; 0 when it did not say.
        pid: u32,
        /// Host of the holder.
        host: String,
    },
    /// Only the process that holds the right to write can do it.
    #[error("{path:?} is held by process {pid} on {host}: {what}")]
    HeldElsewhere {
        /// The database.
        path: PathBuf,
        /// Process id of the holder; 0 when it did not say.
        pid: u32,
        /// Host of the holder.
        host: String,
        /// What is not possible for that, and what to do.
        what: String,
    },
    /// Whether a write was done that was forwarded to another process is not known.
    #[error(
        "process {pid}, to which this write to {path:?} was forwarded, has not answered: it was done as a whole, \
         or not at all; look, and make it again if it was not"
    )]
    OutcomeUnknown {
        /// The database.
        path: PathBuf,
        /// Process id of the holder.
        pid: u32,
    },
    /// The handle was closed.
    #[error("the database {path:?} is closed; open it again")]
    DatabaseClosed {
        /// The database.
        path: PathBuf,
    },
    /// A thread calls in a program that is ending.
    #[error("the program is ending, and no call may begin or go on; end its threads before")]
    Ending,
    /// The database was open in the parent process, and is still open in this one through that.
    #[error(
        "{path:?} was opened by process {parent} before it was forked, and what it has open cannot be used, nor \
         opened again, in the child; fork before it is opened or after it is closed, or start the process by \
         'spawn' or 'forkserver'"
    )]
    ForkedHandle {
        /// The database.
        path: PathBuf,
        /// The process that opened it.
        parent: u32,
    },
    /// The message bus was closed.
    #[error("the message bus is closed; make a new one")]
    BusClosed,
    /// The message bus belongs to the parent process.
    #[error(
        "this message bus was made by process {parent} and cannot be used in its forked child; make one in \
         the child"
    )]
    ForkedBus {
        /// The process that made it.
        parent: u32,
    },
    /// Another process has the message bus in this directory.
    #[error("{path:?} is the message bus of process {pid} on {host}; close it there")]
    BusLocked {
        /// The directory.
        path: PathBuf,
        /// Process id of the holder; 0 when it did not say.
        pid: u32,
        /// Host of the holder.
        host: String,
    },
    /// The handle may not write.
    #[error("{path:?} is open for reading only; open it without read_only=True to write")]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// A snapshot was held for too long.
    #[error(
        "the snapshot is {age_seconds} s old, the limit is {limit_seconds} s; take a new one, or \
         raise max_snapshot_age"
    )]
    SnapshotExpired {
        /// Its age.
        age_seconds: u64,
        /// The limit.
        limit_seconds: u64,
    },
    /// The file grew too much for a snapshot.
    #[error(
        "the file has grown by {grown} bytes since the snapshot was taken, for what it sees is kept; the \
         limit is {limit}; take a new one, or raise max_snapshot_growth"
    )]
    SnapshotOutgrown {
        /// By how many bytes.
        grown: u64,
        /// The limit.
        limit: u64,
    },
    /// More would be stored than a quota allows.
    #[error("{}", quota_text(*resource, namespace.as_deref(), *used, *limit))]
    QuotaExceeded {
        /// What of.
        resource: Resource,
        /// The namespace whose quota it is; `None` for that of the database.
        namespace: Option<String>,
        /// How much there would be; of memory and the disk, how much there is.
        used: u64,
        /// How much there may be.
        limit: u64,
    },
    /// More than its owner has allowed for.
    #[error("{what}: {used} would be used, the limit is {limit}; {remedy}")]
    CapacityExceeded {
        /// What would not fit.
        what: &'static str,
        /// How much there would be.
        used: u64,
        /// How much there may be.
        limit: u64,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The feed of changes does not reach back so far.
    #[error(
        "changes after {since} were asked for, but those before {oldest} are gone; read what is stored \
         anew and follow from there, or raise changes_retention"
    )]
    ChangesTrimmed {
        /// After which they were asked for.
        since: u64,
        /// The oldest that is there.
        oldest: u64,
    },
    /// A cursor whose place was needed.
    #[error(
        "the cursor gave way to newer ones, for {limit} states are held by snapshots and cursors; \
         query anew, or read pages within db.snapshot()"
    )]
    CursorGaveWay {
        /// How many may be held.
        limit: usize,
    },
    /// Too many snapshots are held.
    #[error(
        "{used} snapshots of different states are held, {limit} can be; close some (with \
         db.snapshot() as s: …) and end transactions, or lower max_snapshot_age, after which \
         forgotten ones end"
    )]
    TooManySnapshots {
        /// How many are held.
        used: usize,
        /// How many can be.
        limit: usize,
    },
    /// There is no room.
    #[error("{path:?}: no room to write: {detail}; {}", outcome(*is_kept))]
    StorageFull {
        /// The file or directory.
        path: PathBuf,
        /// What could not be had.
        detail: String,
        /// Whether it was for what is acknowledged already, and is in the log.
        is_kept: bool,
    },
    /// The operating system refused.
    #[error("{path:?}: {detail}")]
    StorageError {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
    /// A writer must put the last checkpoint back before anybody reads.
    #[error(
        "{path:?} was being written to when the machine failed, or is a copy of files in use; open it \
         for writing once, which recovers it"
    )]
    RecoveryNeeded {
        /// The database.
        path: PathBuf,
    },
    /// What is stored is damaged.
    #[error(
        "{path:?}: {object} is damaged: {detail}; restore a backup, or save what reads with EmbeddedDB.repair"
    )]
    Corruption {
        /// The database.
        path: PathBuf,
        /// The table and key.
        object: String,
        /// How that was seen.
        detail: String,
    },
    /// A file that holds no database is damaged.
    #[error("{path:?} is damaged: {detail}; use another copy of it")]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        detail: String,
    },
    /// The database was written by a later version.
    #[error(
        "{path:?} has format {found}, this version reads up to {supported}; install a newer \
         embedded-db"
    )]
    FormatTooNew {
        /// The database.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format known.
        supported: u32,
    },
    /// Time ran out.
    #[error("{what} took longer than {seconds} s")]
    Timeout {
        /// What was waited for.
        what: String,
        /// The limit.
        seconds: f64,
    },
    /// A search gave up.
    #[error(
        "the walk met more than {limit} nodes without an answer; narrow it by edge types, direction \
         or hops, or raise max_visited"
    )]
    TooManyVisited {
        /// The most nodes it might visit.
        limit: usize,
    },
    /// The caller was interrupted (Ctrl-C); the binding raises what the signal handler said.
    #[error("interrupted")]
    Interrupted,
    /// No model can do this.
    #[error("{message}")]
    ModelUnavailable {
        /// What is missing and how to install it.
        message: String,
    },
    /// A model function may not be called now: its owner has set a limit.
    #[error(
        "the {function} function has reached its {limit}={most}: {used} used; it may be called again at \
         {}, and a query goes on without it when it is given a vector",
        crate::calendar::iso(*until)
    )]
    LimitReached {
        /// `embedding`, `entities` or `summary`.
        function: &'static str,
        /// The option that says so.
        limit: &'static str,
        /// What that option allows.
        most: f64,
        /// How much of it is used.
        used: f64,
        /// When it may be called again.
        until: Micros,
    },
    /// A model function failed or returned nonsense.
    #[error("{message}")]
    EnrichmentFailed {
        /// What it said.
        message: String,
    },
    /// A model function has not answered in time, and nothing can end its call.
    #[error("{message}")]
    LeftBehind {
        /// Which, and how long it was waited for.
        message: String,
    },
    /// An error about one item of a batch, or about one field of what was given.
    #[error("{place}{error}")]
    At {
        /// Which.
        place: Place,
        /// What is wrong with it; never another of this kind.
        error: Box<Self>,
    },
    /// A defect of ours.
    #[error("internal error: {0}; please report it, with what `embedded-db blackbox` shows")]
    Internal(String),
}

/// What of the input an error is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The item of a batch, counted from 0.
    pub item: Option<usize>,
    /// The field of a node, edge or embedding, such as `id`.
    pub field: Option<&'static str>,
    /// The property.
    pub property: Option<String>,
}

impl std::fmt::Display for Place {
    /// The item alone: messages name fields by themselves.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.item.map_or(Ok(()), |item| write!(f, "item {item}: "))
    }
}

impl Error {
    /// The same error with the item of the batch that it is about.
    pub fn of_item(self, item: usize) -> Self {
        self.placed(|place| place.item = Some(item))
    }

    /// The same error with the field that it is about, unless that is known already.
    pub fn of_field(self, field: &'static str) -> Self {
        self.placed(|place| _ = place.field.get_or_insert(field))
    }

    /// The same error with the property that it is about.
    pub fn of_property(self, name: &str) -> Self {
        self.of_field("properties").placed(|place| place.property = Some(name.to_owned()))
    }

    /// The error without its place.
    pub fn bare(&self) -> &Self {
        if let Self::At { error, .. } = self { error } else { self }
    }

    /// Only what was given has a place: a full disk is nobody's item.
    fn placed(self, set: impl FnOnce(&mut Place)) -> Self {
        let (mut place, error) = match self {
            Self::At { place, error } => (place, error),
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::Taken { .. }
            | Self::InvalidInput(_)
            | Self::BadText(_)
            | Self::DimensionMismatch { .. }
            | Self::NonFiniteVector { .. }
            | Self::ValueTooLarge { .. } => (Place::default(), Box::new(self)),
            other => return other,
        };
        set(&mut place);
        Self::At { place, error }
    }

    /// The stable name of the kind: the name of the Python exception.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "NotFound",
            Self::AlreadyExists { .. } | Self::Taken { .. } => "AlreadyExists",
            Self::Conflict { .. } => "Conflict",
            Self::InvalidInput(_) => "InvalidInput",
            Self::BadText(_) => "BadText",
            Self::InvalidQuery { .. } => "InvalidQuery",
            Self::DimensionMismatch { .. } => "DimensionMismatch",
            Self::NonFiniteVector { .. } => "NonFiniteVector",
            Self::ValueTooLarge { .. } => "ValueTooLarge",
            Self::DatabaseLocked { .. } | Self::HeldElsewhere { .. } | Self::BusLocked { .. } => {
                "DatabaseLocked"
            }
            Self::OutcomeUnknown { .. } => "OutcomeUnknown",
            Self::DatabaseClosed { .. } | Self::Ending | Self::BusClosed => "DatabaseClosed",
            Self::ForkedHandle { .. } | Self::ForkedBus { .. } => "ForkedHandle",
            Self::ReadOnly { .. } => "ReadOnly",
            Self::SnapshotExpired { .. }
            | Self::SnapshotOutgrown { .. }
            | Self::CursorGaveWay { .. } => "SnapshotExpired",
            Self::TooManySnapshots { .. }
            | Self::CapacityExceeded { .. }
            | Self::QuotaExceeded { .. } => "QuotaExceeded",
            Self::ChangesTrimmed { .. } => "ChangesTrimmed",
            Self::StorageFull { .. } => "StorageFull",
            Self::StorageError { .. } => "StorageError",
            Self::RecoveryNeeded { .. } => "RecoveryNeeded",
            Self::Corruption { .. } | Self::DamagedFile { .. } => "Corruption",
            Self::FormatTooNew { .. } => "FormatTooNew",
            Self::Timeout { .. } | Self::TooManyVisited { .. } => "Timeout",
            Self::Interrupted => "Interrupted",
            Self::ModelUnavailable { .. } => "ModelUnavailable",
            Self::LimitReached { .. } => "LimitReached",
            Self::EnrichmentFailed { .. } | Self::LeftBehind { .. } => "EnrichmentFailed",
            Self::At { error, .. } => error.code(),
            Self::Internal(_) => "InternalError",
        }
    }

    /// A malformed query.
    pub fn query(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidQuery { field: field.into(), message: message.into() }
    }
}

fn outcome(is_kept: bool) -> &'static str {
    if is_kept {
        "make room on the disk: what was acknowledged is kept in the log, and read again then"
    } else {
        "make room on the disk and try again: nothing was stored"
    }
}

fn quota_text(resource: Resource, namespace: Option<&str>, used: u64, limit: u64) -> String {
    let of = namespace.map_or_else(String::new, |name| format!(" of the namespace {name:?}"));
    let (what, option) = (resource.name(), resource.option());
    match resource {
        Resource::Disk => format!(
            "{used} bytes are left on the disk, and {option}={limit} are to stay free; make room, or \
             lower {option}"
        ),
        Resource::Memory => format!(
            "indexes take {used} bytes of memory, {option}={limit} is the limit; nothing more is stored \
             until they take less: delete what is not needed, or raise {option}"
        ),
        _ => format!(
            "there would be {used} {what}, {option}={limit} is the limit{of}; nothing was stored: \
             delete what is not needed, or raise {option}"
        ),
    }
}

/// A text of any length as an error shows it: its beginning and its end, in about `longest` bytes. What
/// was wrong often stands behind what was given.
pub fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let first = &text[..text.floor_char_boundary(longest / 2)];
    let last = &text[text.ceil_char_boundary(text.len() - longest / 2)..];
    format!("{first}…{last}")
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn long_texts_keep_both_ends() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 4), "ab…fg");
        assert_eq!(shortened("äbcdefü", 5), "ä…ü", "characters stay whole");
        assert_eq!(shortened(&"é".repeat(1000), 101).chars().count(), 51);
    }
}
