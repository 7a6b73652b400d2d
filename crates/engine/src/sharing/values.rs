//! What calls are made of, and what they answer, as bytes.

use embedded_db_common::record::Cursor;
use embedded_db_common::{
    Draft, Error, NamespaceId, Place, Resource, Result, Slot, Value, ValueRef,
};
use embedded_db_indexing::graph::{
    Artefact, Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EdgeVersion, EmbeddingDraft, Expiry,
    GivenVector, NodeDraft, RestoredEdge, RestoredEmbedding, RestoredNode,
};
use embedded_db_query::{AsOf, Expansion, Filter, GraphFilter, Operator, Reach};
use embedded_db_storage::{EdgeTimes, Kind, SpaceRecord};
use embedded_db_weaver::{Failure, Function, JobCounts, LimitStatus, Reembedding, Status};

use super::wire::{Taken, Wire, garbled, put_bytes, take_bytes, wire_enum, wire_struct};
use crate::indexes::IndexInfo;
use crate::transaction::Committed;
use crate::writes::AddTo;

impl Wire for NamespaceId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        u32::take(from).map(Self)
    }
}

impl Wire for Slot {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        u32::take(from).map(Self)
    }
}

impl Wire for Value {
    fn put(&self, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        // One that is nested too deeply ends early, and is refused where it is read.
        let _written = self.write(&mut bytes);
        put_bytes(&bytes, out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let bytes = take_bytes(from)?;
        Ok(ValueRef::read(&mut Cursor::new(bytes))?.to_value()?)
    }
}

impl Wire for Draft {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().len().put(out);
        for (name, value) in self.iter() {
            put_bytes(name.as_bytes(), out);
            put_bytes(value, out);
        }
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let mut out = Self::new();
        for _ in 0..usize::take(from)? {
            let name = std::str::from_utf8(take_bytes(from)?).map_err(|_| garbled())?;
            out.set_stored(name, take_bytes(from)?);
        }
        Ok(out)
    }
}

impl Wire for Kind {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let found = u8::take(from)?;
        let all = [Self::Node, Self::Edge, Self::Embedding];
        all.into_iter().find(|kind| *kind as u8 == found).ok_or_else(garbled)
    }
}

impl Wire for Artefact {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let found = u8::take(from)?;
        Self::ALL.into_iter().find(|artefact| *artefact as u8 == found).ok_or_else(garbled)
    }
}

wire_struct! {
    NodeDraft { id, labels, properties, expiry, embedding }
    GivenVector { space, numbers }
    Changes { set, remove }
    EdgeDraft { id, source, target, edge_type, properties, weight, valid_from, valid_to, sources }
    EdgeSuccessor { source, target, edge_type, draft }
    EdgeChanges { properties, weight, valid_from, valid_to }
    EmbeddingDraft { id, node_id, space, vector }
    RestoredNode { draft, version, created_at, updated_at, derived }
    RestoredEdge { id, source, target, edge_type, derived, versions }
    EdgeVersion { version, times, weight, sources, properties }
    EdgeTimes { valid_from, valid_to, recorded_at, retracted_at }
    RestoredEmbedding { id, node_id, space, part, set_by_user, created_at, vector }
    SpaceRecord { name, model, provider, precision, dimension, metric }
    Expansion { edge_types, direction, min_hops, max_hops, labels, edge_filters }
    GraphFilter { start, steps, exclude, times }
    AsOf { valid_at, known_at }
    IndexInfo { label, property, unique, state, entries, error }
    Committed { nodes, edges }
    Failure { namespace, id, artefact, attempts, error }
    JobCounts { pending, running, done, failed, dead }
    Reembedding { space, from, done, total, failed }
    LimitStatus { function, calls, texts, characters, cost_today, waits }
    Status {
        active_workers, paused, queue_size, last_event, activity_level, per_job, lag_seconds,
        throughput, reembedding, limits,
    }
    Place { item, field, property }
}

wire_enum!(Expiry { Never ;; After(time) At(time) });
wire_enum!(AddTo { ChatThatExists AnyChat ;; });
wire_enum!(Reach { Out In Any ;; });
wire_enum!(Function { Embedding Entities Summary ;; });
wire_enum!(Resource { Nodes Edges Embeddings Bytes Memory Disk ;; });
wire_enum!(Operator {
    Equals NotEquals GreaterThan GreaterThanOrEqual LessThan LessThanOrEqual Between In NotIn Contains
    StartsWith EndsWith Exists NotExists ;;
});
wire_enum!(Filter { ; Test { property, operator, value } ; All(filters) Any(filters) Not(filter) });
wire_enum!(Error {
    BusClosed Interrupted Ending
    ; NotFound { kind, id } AlreadyExists { kind, id } Taken { message, id }
      Conflict { kind, id, expected, found } InvalidQuery { field, message }
      DimensionMismatch { expected, got, space } NonFiniteVector { index, value }
      ValueTooLarge { what, size, limit } DatabaseLocked { path, pid, host }
      HeldElsewhere { path, pid, host, what } OutcomeUnknown { path, pid }
      DatabaseClosed { path } ForkedHandle { path, parent } ForkedBus { parent }
      BusLocked { path, pid, host } ReadOnly { path }
      SnapshotExpired { age_seconds, limit_seconds } SnapshotOutgrown { grown, limit }
      QuotaExceeded { resource, namespace, used, limit }
      CapacityExceeded { what, used, limit, remedy } ChangesTrimmed { since, oldest }
      CursorGaveWay { limit } TooManySnapshots { used, limit }
      StorageFull { path, detail, is_kept } StorageError { path, detail } RecoveryNeeded { path }
      Corruption { path, object, detail } DamagedFile { path, detail }
      FormatTooNew { path, found, supported } Timeout { what, seconds } TooManyVisited { limit }
      ModelUnavailable { message } LimitReached { function, limit, most, used, until }
      EnrichmentFailed { message } LeftBehind { message } At { place, error }
    ; InvalidInput(message) BadText(message) Internal(message)
});
