//! The handle.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use embedded_db_engine as engine;
use embedded_db_engine::ArtefactState;
use embedded_db_engine::common::{
    ActivityLevel, Durability, Error, ModelLimit, ModelLimits, NamespaceQuota, Options, Quota,
    Result, SummarySpan, WeaverOptions, names,
};
use embedded_db_ml_bridge::PythonModels;
use numpy::{PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arguments::{ExpiresAt, GivenPath, Text, Timeout, Ttl, add_to, after};
use crate::convert::{
    changes, edge, edge_changes, embedding, flat, items, message as message_draft, node, string,
    strings, successor, vector,
};
use crate::errors::{Released, detached, interrupted, invalid, to_its_end, to_python};
use crate::objects::{Edge, Embedding, Node};
use crate::query::{Hits, query};
use crate::reads::{Reads, nodes};
use crate::restore;
use crate::snapshot::Snapshot;
use crate::token_array::TokenArray;
use crate::tokens::Token;
use crate::transaction::Transaction;
use crate::upkeep::{self, teller};
use crate::values::{datetime, wait};

/// Number, kind, operation, id, version and names of a change.
type ChangeFields = (u64, &'static str, &'static str, String, u64, Vec<String>);

/// Parent, level, centre and tokens of a field.
type FieldParts = (Option<usize>, usize, engine::Point, Vec<u64>);

/// A handle on one namespace of an open database.
#[pyclass(frozen, extends = Reads, module = "embedded_db._native")]
pub(crate) struct Database {
    inner: Released<engine::Database>,
}

impl Database {
    fn create(py: Python<'_>, inner: engine::Database) -> PyResult<Py<Self>> {
        let reads = PyClassInitializer::from(Reads::of_database(inner.clone()));
        Py::new(py, reads.add_subclass(Self { inner: Released::new(inner) }))
    }

    pub(crate) fn engine(&self) -> &engine::Database {
        &self.inner
    }
}

fn duration(py: Python<'_>, what: &str, seconds: f64) -> PyResult<Duration> {
    wait(seconds)
        .ok_or_else(|| invalid(py, format!("{what} is {seconds}; it must be a number of seconds")))
}

fn options(given: &Bound<'_, PyDict>) -> PyResult<Options> {
    let py = given.py();
    let mut out = Options::default();
    let parsed = |result: Result<_>| result.map_err(|error| to_python(py, &error));
    for (key, item) in given.iter() {
        match string("an option", &key)?.as_str() {
            "durability" => {
                out.durability = Durability::parse(&string("durability", &item)?)
                    .map_err(|e| to_python(py, &e))?;
            }
            "relaxed_window_ms" => {
                let seconds = item.extract::<f64>()? / 1000.0;
                out.relaxed_window = duration(py, "relaxed_window_ms", seconds)?;
            }
            "read_only" => out.read_only = item.extract()?,
            "shared" => out.shared = item.extract()?,
            "lock_timeout" => out.lock_timeout = duration(py, "lock_timeout", item.extract()?)?,
            "map_size_max" => out.map_size_max = item.extract()?,
            "max_snapshot_age" => {
                out.max_snapshot_age = duration(py, "max_snapshot_age", item.extract()?)?;
            }
            "max_snapshot_growth" => out.max_snapshot_growth = item.extract()?,
            "changes_retention" => {
                out.changes_retention = duration(py, "changes_retention", item.extract()?)?;
            }
            "changes_retention_bytes" => out.changes_retention_bytes = item.extract()?,
            "recall_half_life" => {
                let given: Option<f64> = item.extract()?;
                out.recall_half_life =
                    given.map(|seconds| duration(py, "recall_half_life", seconds)).transpose()?;
            }
            "recall_memory" => out.recall_memory = item.extract()?,
            "warm_up" => out.warm_up = item.extract()?,
            "language" => out.language = string("language", &item)?,
            "weaver" => {
                let given = item.cast::<PyDict>()?;
                let mut weaver = WeaverOptions::default();
                for (key, item) in given.iter() {
                    match string("an option", &key)?.as_str() {
                        "batch_size" => weaver.batch_size = item.extract()?,
                        "topics" => weaver.topics = item.extract()?,
                        "curiosity" => weaver.curiosity = item.extract()?,
                        "curiosity_threshold" => weaver.curiosity_threshold = item.extract()?,
                        "summary_span" => {
                            let span: Option<String> = item.extract()?;
                            let span = span.as_deref().map(SummarySpan::parse).transpose();
                            weaver.summary_span = span.map_err(|error| to_python(py, &error))?;
                        }
                        "max_attempts" => weaver.max_attempts = item.extract()?,
                        "first_delay" => {
                            weaver.first_delay = duration(py, "first_delay", item.extract()?)?;
                        }
                        "max_delay" => {
                            weaver.max_delay = duration(py, "max_delay", item.extract()?)?;
                        }
                        "activity_level" => {
                            let level = string("weaver.activity_level", &item)?;
                            weaver.activity_level = parsed(ActivityLevel::parse(&level))?;
                        }
                        other => {
                            return Err(invalid(py, format!("weaver has no option {other:?}")));
                        }
                    }
                }
                out.weaver = weaver;
            }
            "limits" => out.limits = limits(py, &item)?,
            "previous_limits" => out.previous_limits = limits(py, &item)?,
            "quota" => out.quota = quota(&item)?,
            "metrics" => out.metrics = item.extract()?,
            "blackbox" => out.black_box = item.extract()?,
            "tracing" => out.tracing = crate::tracing::tracing(&item)?,
            other => return Err(invalid(py, format!("there is no option {other:?}"))),
        }
    }
    Ok(out)
}

fn limits(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<ModelLimits> {
    let mut out = ModelLimits::default();
    for (function, given) in given.cast::<PyDict>()?.iter() {
        let limit = match string("a function", &function)?.as_str() {
            "embedding" => &mut out.embedding,
            "entities" => &mut out.entities,
            "summary" => &mut out.summary,
            other => return Err(invalid(py, format!("there is no model function {other:?}"))),
        };
        let item = |name| given.get_item(name);
        *limit = ModelLimit {
            calls_per_minute: item("calls_per_minute")?.extract()?,
            texts_per_minute: item("texts_per_minute")?.extract()?,
            characters_per_minute: item("characters_per_minute")?.extract()?,
            cost_per_1k_characters: item("cost_per_1k_characters")?.extract()?,
            max_cost_per_day: item("max_cost_per_day")?.extract()?,
        };
    }
    Ok(out)
}

fn quota(given: &Bound<'_, PyAny>) -> PyResult<Quota> {
    let (mut out, py) = (Quota { whole: namespace_quota(given)?, ..Quota::default() }, given.py());
    out.max_memory = given.get_item("max_memory")?.extract()?;
    out.disk_reserve = given.get_item("disk_reserve")?.extract()?;
    let each: Option<Bound<'_, PyAny>> = given.get_item("per_namespace")?.extract()?;
    out.each = each.map_or(Ok(NamespaceQuota::default()), |each| namespace_quota(&each))?;
    for (name, given) in given.get_item("namespaces")?.cast::<PyDict>()?.iter() {
        let name = string("the name of a namespace", &name)?;
        names::check("the name of a namespace", &name).map_err(|error| to_python(py, &error))?;
        out.named.insert(name, namespace_quota(&given)?);
    }
    Ok(out)
}

fn namespace_quota(given: &Bound<'_, PyAny>) -> PyResult<NamespaceQuota> {
    let most = |name: &str| given.get_item(name)?.extract::<Option<u64>>();
    Ok(NamespaceQuota {
        max_nodes: most("max_nodes")?,
        max_edges: most("max_edges")?,
        max_embeddings: most("max_embeddings")?,
        max_bytes: most("max_bytes")?,
    })
}

fn index(py: Python<'_>, info: engine::IndexInfo) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("label", info.label)?;
    out.set_item("property", info.property)?;
    out.set_item("unique", info.unique)?;
    out.set_item("state", info.state)?;
    out.set_item("entries", info.entries)?;
    out.set_item("error", (!info.error.is_empty()).then_some(info.error))?;
    Ok(out)
}

#[pymethods]
impl Database {
    #[staticmethod]
    fn open(
        py: Python<'_>,
        path: GivenPath,
        options: &Bound<'_, PyDict>,
        functions: Option<Py<PyAny>>,
        previous: Option<Py<PyAny>>,
    ) -> PyResult<Py<Self>> {
        let options = self::options(options)?;
        let models = |functions: Option<Py<PyAny>>| -> Option<engine::SharedModels> {
            functions.map(|functions| Arc::new(PythonModels::new(functions)) as _)
        };
        let (models, previous) = (models(functions), models(previous));
        let (path, interrupted) = (path.0.as_ref(), &interrupted);
        let inner = detached(py, || {
            engine::Database::open_interruptible(path, &options, models, previous, interrupted)
        })?;
        Self::create(py, inner)
    }

    #[getter]
    fn path(&self) -> &OsStr {
        self.inner.path().as_os_str()
    }

    #[getter]
    fn read_only(&self) -> bool {
        self.inner.read_only()
    }

    /// Whether a shared database is written by this process; `None` for one that is not shared, or cannot be used.
    fn holds(&self) -> Option<bool> {
        let shared = self.inner.shared().ok().flatten();
        shared.map(|shared| matches!(shared, engine::Shared::Holds(_)))
    }

    fn identity(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || self.inner.identity())
    }

    #[getter]
    fn namespace_name(&self) -> &str {
        self.inner.namespace_name()
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        to_its_end(py, || {
            self.inner.close();
            Ok(())
        })
    }

    fn namespace(&self, py: Python<'_>, name: Text<'_>) -> PyResult<Py<Self>> {
        Self::create(py, detached(py, || self.inner.namespace(&name))?)
    }

    /// The changes after one, up to where they reach, and the last there is.
    fn changes_after(
        &self,
        py: Python<'_>,
        after: Option<u64>,
        labels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Vec<ChangeFields>, u64, u64)> {
        let labels = labels.map(|labels| strings("labels", labels)).transpose()?;
        let page = detached(py, || self.inner.changes_after(after, labels.as_deref()))?;
        let changes = page.changes.into_iter().map(|change| {
            let names = change.names.iter().map(ToString::to_string).collect();
            let (kind, op) = (change.kind.name(), change.op.name());
            (change.lsn, kind, op, change.id, change.version, names)
        });
        Ok((changes.collect(), page.reached, page.last))
    }

    /// Answers a query from what it found before, if that still holds.
    fn query_by_reflex(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        near: bool,
    ) -> PyResult<Hits> {
        let query = self::query(query)?;
        let by = if near { engine::ByReflex::Near } else { engine::ByReflex::Exact };
        detached(py, || self.inner.query_by_reflex(&query, by, &interrupted)).map(Hits::reflected)
    }

    fn strengthen(&self, py: Python<'_>, edges: &Bound<'_, PyAny>) -> PyResult<usize> {
        let edges = strings("edges", edges)?;
        detached(py, || self.inner.strengthen(&edges))
    }

    fn strengths(&self, py: Python<'_>) -> PyResult<Vec<(String, f32)>> {
        detached(py, || self.inner.strengths())
    }

    fn forget_strengths(&self, py: Python<'_>) -> PyResult<usize> {
        detached(py, || self.inner.forget_strengths(&interrupted))
    }

    #[pyo3(signature = (space, organised))]
    fn tokens(
        &self,
        py: Python<'_>,
        space: Option<Text<'_>>,
        organised: bool,
    ) -> PyResult<TokenArray> {
        let which = engine::Placed { space: space.as_deref(), organised };
        let tokens = detached(py, || self.inner.tokens(which, &interrupted))?;
        TokenArray::copied(py, &tokens)
    }

    #[pyo3(signature = (id, space=None))]
    fn token(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        space: Option<Text<'_>>,
    ) -> PyResult<Option<Token>> {
        let packed = detached(py, || self.inner.token(&id, space.as_deref()))?;
        Ok(packed.map(|packed| Token { packed }))
    }

    /// Ids of the nodes that tokens are of.
    fn token_ids(&self, py: Python<'_>, tokens: Vec<u64>) -> PyResult<Vec<Option<String>>> {
        detached(py, || self.inner.token_ids(&tokens))
    }

    /// Id, token and distance of what lies nearest to a place.
    #[pyo3(signature = (place, limit, space, organised))]
    fn near_tokens(
        &self,
        py: Python<'_>,
        place: engine::Point,
        limit: usize,
        space: Option<Text<'_>>,
        organised: bool,
    ) -> PyResult<Vec<(String, Token, f32)>> {
        let which = engine::Placed { space: space.as_deref(), organised };
        let near = || self.inner.near_tokens(&place, limit, which, &interrupted);
        let told =
            |found: engine::NearToken| (found.id, Token { packed: found.token }, found.distance);
        Ok(detached(py, near)?.into_iter().map(told).collect())
    }

    /// Parent, level, centre and the tokens' ids of each field, a field before its parts.
    #[pyo3(signature = (least, levels, space, organised))]
    fn fields(
        &self,
        py: Python<'_>,
        least: usize,
        levels: usize,
        space: Option<Text<'_>>,
        organised: bool,
    ) -> PyResult<Vec<FieldParts>> {
        let parting = engine::Parting { least, levels };
        let which = engine::Placed { space: space.as_deref(), organised };
        let found = || self.inner.fields(parting, which, &interrupted);
        let (fields, tokens) = detached(py, found)?;
        let told = |field: engine::Field| {
            let own = field.points.iter().map(|at| tokens[*at].id).collect();
            (field.parent, field.level, field.centre, own)
        };
        Ok(fields.into_iter().map(told).collect())
    }

    fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        detached(py, || self.inner.namespaces())
    }

    fn drop_namespace(&self, py: Python<'_>, name: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.drop_namespace(&name))
    }

    fn noop(&self) {}

    fn snapshot(&self, py: Python<'_>) -> PyResult<Py<Snapshot>> {
        Snapshot::create(py, detached(py, || self.inner.snapshot())?)
    }

    fn transaction(&self, py: Python<'_>) -> PyResult<Transaction> {
        detached(py, || self.inner.transaction()).map(Transaction::new)
    }

    // ---- nodes

    fn create_node(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<String> {
        let draft = self::node(node)?;
        detached(py, || self.inner.create_node(draft))
    }

    fn create_nodes(&self, py: Python<'_>, nodes: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let drafts = items(nodes, node)?;
        detached(py, || self.inner.create_nodes(drafts))
    }

    fn create_bare_nodes(&self, py: Python<'_>, nodes: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let drafts = items(nodes, node)?;
        detached(py, || self.inner.create_bare_nodes(drafts))
    }

    #[pyo3(signature = (id, updates, expected=None))]
    fn update_node(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        updates: &Bound<'_, PyAny>,
        expected: Option<&Bound<'_, Node>>,
    ) -> PyResult<Node> {
        let changes = changes(updates)?;
        let expected = expected.map(|node| &node.get().inner);
        let inner = detached(py, || self.inner.update_node(&id, changes, expected))?;
        Ok(Node { inner })
    }

    fn set_ttl(&self, py: Python<'_>, id: Text<'_>, ttl: Option<Ttl>) -> PyResult<Node> {
        let inner = detached(py, || self.inner.set_expiry(&id, after(ttl)))?;
        Ok(Node { inner })
    }

    fn set_expires_at(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        expires_at: Option<ExpiresAt>,
    ) -> PyResult<Node> {
        let expiry = expires_at.map_or(engine::Expiry::Never, |at| engine::Expiry::At(at.0));
        let inner = detached(py, || self.inner.set_expiry(&id, expiry))?;
        Ok(Node { inner })
    }

    fn delete_node(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.delete_node(&id, None))
    }

    fn merge_entities(&self, py: Python<'_>, id: Text<'_>, other: Text<'_>) -> PyResult<Node> {
        let inner = detached(py, || self.inner.merge_entities(&id, &other, &interrupted))?;
        Ok(Node { inner })
    }

    fn split_entity(&self, py: Python<'_>, id: Text<'_>, name: Text<'_>) -> PyResult<Node> {
        let inner = detached(py, || self.inner.split_entity(&id, &name, &interrupted))?;
        Ok(Node { inner })
    }

    fn withdraw_proposals(&self, py: Python<'_>) -> PyResult<u64> {
        detached(py, || self.inner.withdraw_proposals(&interrupted))
    }

    fn update_matching(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        updates: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let (query, changes) = (self::query(query)?, changes(updates)?);
        detached(py, || self.inner.update_matching(&query, changes))
    }

    fn delete_matching(&self, py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<u64> {
        let query = self::query(query)?;
        detached(py, || self.inner.delete_matching(&query))
    }

    // ---- edges

    fn create_edge(&self, py: Python<'_>, edge: &Bound<'_, PyAny>) -> PyResult<String> {
        let draft = self::edge(edge)?;
        detached(py, || self.inner.create_edge(draft))
    }

    fn create_edges(&self, py: Python<'_>, edges: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let drafts = items(edges, edge)?;
        detached(py, || self.inner.create_edges(drafts))
    }

    fn update_edge(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        updates: &Bound<'_, PyAny>,
    ) -> PyResult<Edge> {
        let changes = edge_changes(updates)?;
        let inner = detached(py, || self.inner.update_edge(&id, changes, None))?;
        Ok(Edge { inner })
    }

    fn supersede_edge(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        edge: &Bound<'_, PyAny>,
    ) -> PyResult<String> {
        let successor = successor(edge)?;
        detached(py, || self.inner.supersede_edge(&id, successor))
    }

    fn retract_edge(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.retract_edge(&id))
    }

    fn delete_edge(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.delete_edge(&id))
    }

    // ---- embeddings

    fn create_embedding(&self, py: Python<'_>, embedding: &Bound<'_, PyAny>) -> PyResult<String> {
        let draft = self::embedding(embedding)?;
        detached(py, || self.inner.create_embedding(draft))
    }

    fn update_embedding(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        vector: &Bound<'_, PyAny>,
    ) -> PyResult<Embedding> {
        let numbers = self::vector(vector)?;
        let found = detached(py, || {
            self.inner.update_embedding(&id, numbers)?;
            self.inner.get_embedding(&id)
        })?;
        let not_found = || Error::NotFound { kind: "embedding", id: id.to_string() };
        Embedding::new(py, found.ok_or_else(|| to_python(py, &not_found()))?)
    }

    fn delete_embedding(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.delete_embedding(&id))
    }

    #[pyo3(signature = (ids, vectors, space=None))]
    fn set_embeddings(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: PyReadonlyArray2<'_, f32>,
        space: Option<Text<'_>>,
    ) -> PyResult<Vec<String>> {
        let ids = strings("ids", ids)?;
        let shape = vectors.shape();
        if shape[0] != ids.len() {
            return Err(invalid(
                py,
                format!(
                    "{} ids but {} rows of vectors; give one row for each id",
                    ids.len(),
                    shape[0]
                ),
            ));
        }
        let rows = vectors.as_array();
        let drafts = ids
            .into_iter()
            .zip(rows.rows())
            .map(|(node_id, row)| engine::EmbeddingDraft {
                id: None,
                node_id,
                space: space.map(|space| space.to_string()),
                vector: row.to_vec(),
            })
            .collect();
        detached(py, || self.inner.create_embeddings(drafts))
    }

    fn spaces<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let spaces = detached(py, || self.inner.spaces())?;
        let mut out = Vec::new();
        for (space, default, state) in spaces {
            let row = PyDict::new(py);
            row.set_item("name", space.name)?;
            row.set_item("model", space.model)?;
            row.set_item("provider", space.provider)?;
            row.set_item("precision", space.precision)?;
            row.set_item("dim", space.dimension)?;
            row.set_item("metric", space.metric)?;
            row.set_item("default", default)?;
            row.set_item("state", state)?;
            out.push(row);
        }
        Ok(out)
    }

    fn drop_space(&self, py: Python<'_>, name: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.drop_space(&name))
    }

    // ---- what was stored before

    fn restore_space(
        &self,
        py: Python<'_>,
        space: &Bound<'_, PyAny>,
        default: bool,
    ) -> PyResult<bool> {
        let space = restore::space(space)?;
        detached(py, || self.inner.restore_space(space, default))
    }

    fn restore_nodes(
        &self,
        py: Python<'_>,
        nodes: &Bound<'_, PyAny>,
        skip: bool,
    ) -> PyResult<usize> {
        let nodes = items(nodes, restore::node)?;
        detached(py, || self.inner.restore_nodes(nodes, skip))
    }

    fn restore_edges(
        &self,
        py: Python<'_>,
        edges: &Bound<'_, PyAny>,
        skip: bool,
    ) -> PyResult<usize> {
        let edges = items(edges, restore::edge)?;
        detached(py, || self.inner.restore_edges(edges, skip))
    }

    fn restore_embeddings(
        &self,
        py: Python<'_>,
        embeddings: &Bound<'_, PyAny>,
        skip: bool,
    ) -> PyResult<usize> {
        let embeddings = items(embeddings, restore::embedding)?;
        detached(py, || self.inner.restore_embeddings(embeddings, skip))
    }

    fn restore_due(&self, py: Python<'_>, due: &Bound<'_, PyAny>) -> PyResult<()> {
        let due = items(due, restore::due)?;
        detached(py, || self.inner.restore_due(due))
    }

    fn restore_expiries(&self, py: Python<'_>, expiries: &Bound<'_, PyAny>) -> PyResult<()> {
        let expiries = items(expiries, restore::expiry)?;
        detached(py, || self.inner.restore_expiries(expiries))
    }

    // ---- chats

    fn create_chat(&self, py: Python<'_>, chat: &Bound<'_, PyAny>) -> PyResult<Node> {
        let draft = flat(chat, "a chat")?;
        let inner = detached(py, || self.inner.create_chat(draft))?;
        Ok(Node { inner })
    }

    fn add_message(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        message: &Bound<'_, PyAny>,
        must_exist: bool,
    ) -> PyResult<Node> {
        let (message, to) = (message_draft(message)?, add_to(must_exist));
        let inner = detached(py, || self.inner.add_message(&chat_id, message, to))?;
        Ok(Node { inner })
    }

    fn add_messages(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        messages: &Bound<'_, PyAny>,
        must_exist: bool,
    ) -> PyResult<Vec<Node>> {
        let messages = items(messages, message_draft)?;
        let to = add_to(must_exist);
        detached(py, || self.inner.add_messages(&chat_id, messages, to)).map(nodes)
    }

    // ---- indexes

    fn create_index<'py>(
        &self,
        py: Python<'py>,
        label: Text<'_>,
        property: Text<'_>,
        unique: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let made =
            detached(py, || self.inner.create_index(&label, &property, unique, &interrupted))?;
        index(py, made)
    }

    fn drop_index(&self, py: Python<'_>, label: Text<'_>, property: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.drop_index(&label, &property))
    }

    fn declare_label(
        &self,
        py: Python<'_>,
        label: Text<'_>,
        text: &Bound<'_, PyAny>,
        embed: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (text, embed) = (strings("text", text)?, strings("embed", embed)?);
        detached(py, || self.inner.declare_label(&label, text, embed))
    }

    fn indexes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let found = detached(py, || self.inner.indexes(&interrupted))?;
        found.into_iter().map(|info| index(py, info)).collect()
    }

    // ---- weaver

    fn weaver_status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = detached(py, || self.inner.weaver_status())?;
        let out = PyDict::new(py);
        out.set_item("active_workers", status.active_workers)?;
        out.set_item("paused", status.paused)?;
        out.set_item("queue_size", status.queue_size)?;
        out.set_item("last_event", status.last_event)?;
        out.set_item("activity_level", status.activity_level)?;
        let per_job = PyDict::new(py);
        for (job, counts) in status.per_job {
            let row = PyDict::new(py);
            row.set_item("pending", counts.pending)?;
            row.set_item("running", counts.running)?;
            row.set_item("done", counts.done)?;
            row.set_item("failed", counts.failed)?;
            row.set_item("dead", counts.dead)?;
            per_job.set_item(job, row)?;
        }
        out.set_item("per_job", per_job)?;
        out.set_item("lag_seconds", status.lag_seconds)?;
        out.set_item("throughput", status.throughput)?;
        let reembedding = status.reembedding.map(|told| -> PyResult<_> {
            let row = PyDict::new(py);
            row.set_item("space", told.space)?;
            row.set_item("from", told.from)?;
            row.set_item("done", told.done)?;
            row.set_item("total", told.total)?;
            row.set_item("failed", told.failed)?;
            Ok(row)
        });
        out.set_item("reembedding", reembedding.transpose()?)?;
        let limits = PyDict::new(py);
        for limit in status.limits {
            let row = PyDict::new(py);
            row.set_item("calls", limit.calls)?;
            row.set_item("texts", limit.texts)?;
            row.set_item("characters", limit.characters)?;
            row.set_item("cost_today", limit.cost_today)?;
            let (option, until) = limit.waits.unzip();
            row.set_item("waits_for", option)?;
            row.set_item("waits_until", until.map(|until| datetime(py, until)).transpose()?)?;
            limits.set_item(limit.function.name(), row)?;
        }
        out.set_item("limits", limits)?;
        Ok(out)
    }

    fn set_activity_level(&self, py: Python<'_>, level: Text<'_>) -> PyResult<()> {
        detached(py, || self.inner.set_activity_level(&level))
    }

    fn artefact_status<'py>(&self, py: Python<'py>, id: Text<'_>) -> PyResult<Bound<'py, PyDict>> {
        let states = detached(py, || self.inner.artefact_status(&id))?;
        let out = PyDict::new(py);
        for (artefact, state) in states {
            let state = match state {
                ArtefactState::Pending => ("pending", None),
                ArtefactState::Ready => ("ready", None),
                ArtefactState::Failed(error) => ("failed", Some(error)),
            };
            out.set_item(artefact, state)?;
        }
        Ok(out)
    }

    fn wait_idle(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<bool> {
        let timeout = timeout.map(|timeout| timeout.0);
        detached(py, || self.inner.wait_idle(timeout, &interrupted))
    }

    fn wait_for(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        artefact: Text<'_>,
        timeout: Option<Timeout>,
    ) -> PyResult<bool> {
        let timeout = timeout.map(|timeout| timeout.0);
        detached(py, || self.inner.wait_for(&id, &artefact, timeout, &interrupted))
    }

    fn failures<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let failures = detached(py, || self.inner.failures())?;
        let mut out = Vec::new();
        for (namespace, failure) in failures {
            let row = PyDict::new(py);
            row.set_item("namespace", namespace)?;
            row.set_item("id", failure.id)?;
            row.set_item("job", failure.artefact.name())?;
            row.set_item("attempts", failure.attempts)?;
            row.set_item("error", failure.error)?;
            out.push(row);
        }
        Ok(out)
    }

    fn retry_failed(&self, py: Python<'_>) -> PyResult<u64> {
        detached(py, || self.inner.retry_failed())
    }

    fn pause_weaver(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.inner.pause_weaver())
    }

    fn resume_weaver(&self, py: Python<'_>) -> PyResult<()> {
        to_its_end(py, || self.inner.resume_weaver())
    }

    // ---- operations

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = detached(py, || self.inner.stats())?;
        let out = PyDict::new(py);
        out.set_item("nodes", stats.nodes)?;
        out.set_item("edges", stats.edges)?;
        out.set_item("embeddings", stats.embeddings)?;
        out.set_item("lsn", stats.lsn)?;
        out.set_item("unsynced_commits", stats.unsynced_commits)?;
        out.set_item("file_bytes", stats.file_bytes)?;
        out.set_item("view_bytes", stats.view_bytes)?;
        out.set_item("vectors_computed", stats.vectors_computed)?;
        out.set_item("vectors_reused", stats.vectors_reused)?;
        out.set_item("kernels", stats.kernels)?;
        let tables = PyDict::new(py);
        for (table, rows) in stats.tables {
            tables.set_item(table, rows)?;
        }
        out.set_item("tables", tables)?;
        out.set_item("quota", upkeep::quota(py, &stats.quota)?)?;
        let shared = stats.shared.map(|shared| -> PyResult<_> {
            let row = PyDict::new(py);
            let (role, pid, connections) = match shared {
                engine::Shared::Holds(connections) => {
                    ("holds", std::process::id(), Some(connections))
                }
                engine::Shared::Forwards(pid) => ("forwards", pid, None),
            };
            row.set_item("role", role)?;
            row.set_item("pid", pid)?;
            row.set_item("connections", connections)?;
            Ok(row)
        });
        out.set_item("shared", shared.transpose()?)?;
        out.set_item("up_seconds", stats.up_seconds)?;
        out.set_item("operations", upkeep::calls(py, &stats.calls)?)?;
        Ok(out)
    }

    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        let version = py.version_info();
        let python = format!("{}.{}.{}", version.major, version.minor, version.patch);
        detached(py, || self.inner.metrics(&python))
    }

    fn blackbox(&self, py: Python<'_>) -> PyResult<Vec<upkeep::EventFields>> {
        upkeep::events(py, detached(py, || self.inner.black_box())?)
    }

    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let found = detached(py, || self.inner.health())?;
        upkeep::findings(py, found)
    }

    fn logical_hash(&self, py: Python<'_>) -> PyResult<String> {
        let hash = detached(py, || self.inner.logical_hash(&mut teller(None)))?;
        Ok(hash.to_string())
    }

    fn backup<'py>(
        &self,
        py: Python<'py>,
        directory: GivenPath,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        upkeep::backup(py, &self.inner, &directory, progress.as_ref())
    }

    fn compact(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<(u64, u64)> {
        let made = detached(py, || self.inner.compact(&mut teller(progress.as_ref())))?;
        Ok((made.before, made.after))
    }

    fn scrub(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<(u64, u64)> {
        let made = detached(py, || self.inner.scrub(&mut teller(progress.as_ref())))?;
        Ok((made.before, made.after))
    }

    fn verify<'py>(&self, py: Python<'py>, deep: bool) -> PyResult<Bound<'py, PyDict>> {
        upkeep::verify(py, &self.inner, deep)
    }
}
