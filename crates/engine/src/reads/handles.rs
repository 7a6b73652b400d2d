//! The reads that users call: of the newest state, and of one that is held.

use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::{Error, NamespaceId, Result, Value};
use embedded_db_indexing::Pin;
use embedded_db_indexing::graph::Artefact;
use embedded_db_query::analytics::Scope;
use embedded_db_query::{AsOf, Deadline, Guard, Reach};
use embedded_db_storage::{ReadTxn, Snapshot};

use crate::chats::{Begin, Messages};
use crate::database::Database;
use crate::engine::Engine;
use crate::indexes::DeclaredLabel;
use crate::objects::{Edge, Embedding, Node, Path};
use crate::observing::Op;
use crate::pins::{HeldPin, Holder};
use crate::queries::Query;
use crate::reads::{Graph, Page, Reader};

impl Database {
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let engine = self.engine()?;
        let snapshot = self.latest(&engine)?;
        read(&Reader { engine: &engine, snapshot: &snapshot, namespace: self.namespace_id() })
    }

    /// The same for a call of a user.
    fn counted<T>(&self, op: Op, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let engine = self.engine()?;
        engine.observer.call(op, || {
            let snapshot = self.latest(&engine)?;
            read(&Reader { engine: &engine, snapshot: &snapshot, namespace: self.namespace_id() })
        })
    }

    /// The newest state, as reads of this namespace see it.
    pub(crate) fn latest(&self, engine: &Engine) -> Result<Snapshot> {
        let read = || engine.views.read(&engine.store, self.namespace_id());
        let snapshot = read().or_else(|error| {
            // The table of readers may be full of snapshots that are too old to be read.
            if engine.pins.work.end_expired() { read() } else { Err(error) }
        })?;
        self.check_namespace(&snapshot)?;
        Ok(snapshot)
    }

    /// A handle may outlive its namespace.
    pub(crate) fn check_namespace(&self, txn: &impl ReadTxn) -> Result<()> {
        let namespace = self.namespace_id();
        if namespace == NamespaceId::DEFAULT || txn.has_namespace(namespace)? {
            return Ok(());
        }
        Err(Error::NotFound { kind: "namespace", id: self.namespace_name().to_owned() })
    }

    /// Many reads of one instant.
    pub fn snapshot(&self) -> Result<PinnedReads> {
        let engine = self.engine()?;
        let pin = engine.views.pin(&engine.store, self.namespace_id())?;
        self.hold(&engine, pin, Holder::User)
    }

    /// Keeps a pin until it is dropped or the database is closed.
    pub(crate) fn hold(&self, engine: &Engine, pin: Pin, holder: Holder) -> Result<PinnedReads> {
        let lsn = pin.lsn().0;
        let generation = pin.snapshot().generation().number();
        let pin = engine.pins.hold(pin, holder)?;
        if engine.store.closed() {
            // Closed in the meantime, when it was not among those that end.
            pin.end();
            engine.store.usable()?;
        }
        Ok(PinnedReads { database: self.clone(), lsn, generation, pin })
    }
}

/// Reads of one instant, held until it is dropped or the database is closed.
pub struct PinnedReads {
    database: Database,
    lsn: u64,
    generation: u64,
    pin: Arc<HeldPin>,
}

impl PinnedReads {
    /// The LSN of the instant.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// The generation in which its slots mean something.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Reads with the pin itself, if it is not too old.
    pub(crate) fn pinned<T>(
        &self,
        read: impl FnOnce(&Arc<Engine>, &Pin) -> Result<T>,
    ) -> Result<T> {
        let engine = self.database.engine()?;
        self.pin.read(&engine.store, |pin| read(&engine, pin))
    }

    pub(crate) fn reader<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let namespace = self.database.namespace_id();
        self.pinned(|engine, pin| read(&Reader { engine, snapshot: pin.snapshot(), namespace }))
    }

    /// The same for a call of a user.
    fn counted<T>(&self, op: Op, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let engine = self.database.engine()?;
        engine.observer.call(op, || self.reader(read))
    }
}

/// Forwards reads to a [`Reader`] over a snapshot that `$reader` makes.
macro_rules! forward_reads {
    ($type:ty, $reader:ident) => {
        impl $type {
            /// A node; `None` when there is none of this id.
            pub fn get_node(&self, id: &str) -> Result<Option<Node>> {
                self.$reader(Op::Get, |reader| reader.node(id))
            }

            /// Nodes in the order of the ids.
            pub fn get_many(&self, ids: &[String]) -> Result<Vec<Option<Node>>> {
                self.$reader(Op::Get, |reader| ids.iter().map(|id| reader.node(id)).collect())
            }

            /// Whether a node of this id exists.
            pub fn exists(&self, id: &str) -> Result<bool> {
                self.$reader(Op::Get, |reader| {
                    Ok(reader.snapshot.node_slot(reader.namespace, id)?.is_some())
                })
            }

            /// An edge; `None` when there is none of this id, or none at that time.
            pub fn get_edge(&self, id: &str, times: AsOf) -> Result<Option<Edge>> {
                self.$reader(Op::Get, |reader| reader.edge(id, times))
            }

            /// The versions of an edge, oldest first; the last is the newest, retracted or not.
            pub fn edge_history(&self, id: &str) -> Result<Vec<Edge>> {
                self.$reader(Op::Get, |reader| reader.edge_history(id))
            }

            /// All edges in the order in which they were made, retracted ones too, after one of them.
            pub fn edges_ever(&self, after: Option<&str>, limit: usize) -> Result<Vec<Edge>> {
                self.$reader(Op::Scan, |reader| reader.edges_ever(after, limit))
            }

            /// What of each node waits for the weaver, or has failed.
            pub fn due(&self, ids: &[String]) -> Result<Vec<Vec<Artefact>>> {
                self.$reader(Op::Get, |reader| reader.due(ids))
            }

            /// The labels that were declared.
            pub fn declared_labels(&self) -> Result<Vec<DeclaredLabel>> {
                self.$reader(Op::Get, |reader| reader.declared_labels())
            }

            /// Number of nodes, of a label or all.
            pub fn count(&self, label: Option<&str>) -> Result<u64> {
                self.$reader(Op::Scan, |reader| reader.count(label))
            }

            /// Number of edges, of a type or all.
            pub fn count_edges(&self, edge_type: Option<&str>) -> Result<u64> {
                self.$reader(Op::Scan, |reader| reader.count_edges(edge_type))
            }

            /// Nodes in the order in which they were made, after one of them.
            pub fn nodes(
                &self,
                label: Option<&str>,
                after: Option<&str>,
                limit: usize,
            ) -> Result<Vec<Node>> {
                self.$reader(Op::Scan, |reader| reader.nodes(label, after, limit))
            }

            /// Nodes at the other end of edges; a node comes once for each edge.
            pub fn neighbors(
                &self,
                id: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                after: Option<&str>,
                limit: usize,
            ) -> Result<Page<Node>> {
                self.$reader(Op::Neighbors, |reader| {
                    reader.neighbors(id, types, direction, times, after, limit)
                })
            }

            /// Messages of a chat in order, or the newest first.
            pub fn messages(
                &self,
                chat_id: &str,
                begin: Begin<'_>,
                newest_first: bool,
                limit: usize,
            ) -> Result<Messages> {
                self.$reader(Op::Scan, |reader| {
                    reader.messages(chat_id, begin, newest_first, limit)
                })
            }

            /// The place of a message in a chat, if it is there.
            pub fn place_in_chat(&self, chat_id: &str, message: &str) -> Result<Option<u32>> {
                self.$reader(Op::Get, |reader| {
                    let place = reader.place_in(chat_id, message, true, |_| true)?;
                    Ok(place.map(|place| place.0))
                })
            }

            /// Edges of a node.
            pub fn edges(
                &self,
                id: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                after: Option<&str>,
                limit: usize,
            ) -> Result<Page<Edge>> {
                self.$reader(Op::Neighbors, |reader| {
                    reader.edges(id, types, direction, times, after, limit)
                })
            }

            /// An embedding by its id.
            pub fn get_embedding(&self, id: &str) -> Result<Option<Embedding>> {
                self.$reader(Op::Get, |reader| reader.embedding(id))
            }

            /// The vector of a whole node.
            pub fn embedding_of(&self, id: &str, space: Option<&str>) -> Result<Option<Embedding>> {
                self.$reader(Op::Get, |reader| reader.embedding_of(id, space))
            }

            /// The vectors of the parts of a node.
            pub fn embeddings(&self, id: &str, space: Option<&str>) -> Result<Vec<Embedding>> {
                self.$reader(Op::Get, |reader| reader.embeddings(id, space))
            }

            /// Nodes in the order of a walk, each once, with their depth.
            #[allow(clippy::too_many_arguments)]
            pub fn traverse(
                &self,
                start: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                max_depth: u32,
                depth_first: bool,
                limit: usize,
                max_visited: usize,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<Vec<(Node, u32)>> {
                let guard = Guard::new(None, interrupted);
                self.$reader(Op::Walk, |reader| {
                    reader.traverse(
                        start,
                        types,
                        direction,
                        times,
                        max_depth,
                        depth_first,
                        limit,
                        max_visited,
                        &guard,
                    )
                })
            }

            /// How many nodes a query without ranking legs matches, whatever its limit.
            pub fn count_matching(
                &self,
                query: &Query,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<u64> {
                let guard = Guard::new(query.timeout, interrupted);
                self.$reader(Op::Query, |reader| reader.count_matching(query, &guard))
            }

            /// How many of the nodes that a query without ranking legs matches have each value of a
            /// property, the most frequent first, and last those without it.
            pub fn group_count(
                &self,
                query: &Query,
                property: &str,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<Vec<(Option<Value>, u64)>> {
                let guard = Guard::new(query.timeout, interrupted);
                self.$reader(Op::Query, |reader| reader.group_count(query, property, &guard))
            }

            /// A path with the fewest hops, or the least weight; `None` when there is none.
            #[allow(clippy::too_many_arguments)]
            pub fn shortest_path(
                &self,
                start: &str,
                end: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                max_hops: Option<u32>,
                weighted: bool,
                max_visited: usize,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<Option<Path>> {
                let guard = Guard::new(None, interrupted);
                self.$reader(Op::Walk, |reader| {
                    reader.shortest_path(
                        start,
                        end,
                        types,
                        direction,
                        times,
                        max_hops,
                        weighted,
                        max_visited,
                        &guard,
                    )
                })
            }

            /// A graph for algorithms, and the places of these nodes in it. Reading it and what is done
            /// with it take no longer than `timeout` together.
            pub fn graph(
                &self,
                scope: &Scope,
                starts: &[String],
                timeout: Option<Duration>,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<Graph> {
                let deadline = timeout.and_then(Deadline::after);
                let guard = Guard::until(deadline, interrupted);
                self.$reader(Op::Graph, |reader| reader.graph(scope, starts, deadline, &guard))
            }

            /// The nodes around some, and the edges between them.
            #[allow(clippy::too_many_arguments)]
            pub fn subgraph(
                &self,
                ids: &[String],
                hops: u32,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                max_visited: usize,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<(Vec<Node>, Vec<Edge>)> {
                let guard = Guard::new(None, interrupted);
                self.$reader(Op::Walk, |reader| {
                    reader.subgraph(ids, hops, types, direction, times, max_visited, &guard)
                })
            }
        }
    };
}

forward_reads!(Database, counted);
forward_reads!(PinnedReads, counted);
