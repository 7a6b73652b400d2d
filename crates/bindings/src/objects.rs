//! Nodes, edges, embeddings and paths as Python sees them.

use std::sync::Arc;

use embedded_db_engine as engine;
use embedded_db_engine::common::{Error, NamespaceId, Result, ValueRef};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::PyClass;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyList, PyString};

use crate::arguments::Text;
use crate::cancel::give_way;
use crate::errors::{invalid, to_python};
use crate::values::{datetime, to_object};

/// Calls the engine and maps its error.
macro_rules! ask {
    ($py:expr, $call:expr) => {{
        give_way($py);
        $call.map_err(|error| to_python($py, &error))?
    }};
}

/// What nodes and edges have in common: ids, versions, and properties that are decoded when they are
/// asked for.
trait Record: PyClass<Frozen = True> + Sync {
    fn namespace(&self) -> NamespaceId;
    fn record_id(&self) -> Result<String>;
    fn record_version(&self) -> Result<u64>;
    fn visit_all(&self, visit: &mut dyn FnMut(&str, ValueRef<'_>) -> Result<()>) -> Result<()>;
    fn visit(
        &self,
        key: &str,
        visit: &mut dyn FnMut(ValueRef<'_>) -> Result<()>,
    ) -> Result<Option<()>>;

    /// All properties as a dict.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        let mut set = |name: &str, value: ValueRef<'_>| {
            let name = PyString::intern(py, name);
            to_object(py, value)
                .and_then(|value| out.set_item(name, value))
                .map_err(|error| Error::Internal(error.value(py).to_string()))
        };
        ask!(py, self.visit_all(&mut set));
        Ok(out)
    }

    /// The value of a property, if it is there.
    fn property<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut value = None;
        let mut take = |found: ValueRef<'_>| {
            value = Some(to_object(py, found));
            Ok(())
        };
        ask!(py, self.visit(key, &mut take));
        value.transpose()
    }

    /// The value of a property; `KeyError` when there is none.
    fn item<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        self.property(py, key)?.ok_or_else(|| PyKeyError::new_err(key.to_owned()))
    }

    /// Whether it is the same version of the same object.
    fn equals(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Self>() else { return Ok(false) };
        let (py, other) = (other.py(), other.get());
        Ok(self.namespace() == other.namespace()
            && ask!(py, self.record_id()) == ask!(py, other.record_id())
            && ask!(py, self.record_version()) == ask!(py, other.record_version()))
    }

    fn hashed(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, &ask!(py, self.record_id())).hash()
    }
}

macro_rules! record {
    ($class:ident) => {
        impl Record for $class {
            fn namespace(&self) -> NamespaceId {
                self.inner.namespace()
            }

            fn record_id(&self) -> Result<String> {
                self.inner.id()
            }

            fn record_version(&self) -> Result<u64> {
                self.inner.version()
            }

            fn visit_all(
                &self,
                visit: &mut dyn FnMut(&str, ValueRef<'_>) -> Result<()>,
            ) -> Result<()> {
                self.inner.each_property(visit)
            }

            fn visit(
                &self,
                key: &str,
                visit: &mut dyn FnMut(ValueRef<'_>) -> Result<()>,
            ) -> Result<Option<()>> {
                self.inner.property(key, visit)
            }
        }
    };
}

record!(Node);
record!(Edge);

/// An object of a database means nothing in another process.
fn not_pickled(py: Python<'_>, what: &str, rest: &str) -> PyErr {
    invalid(py, format!("a {what} cannot be pickled; pickle its id and its {rest}"))
}

/// A stored node as one snapshot saw it; properties are decoded when asked for.
///
/// Examples:
///     >>> id = db.create_node({"label": "Person", "properties": {"name": "Ann"}})
///     >>> node = db.get_node(id)
///     >>> node.labels, node.properties, node["name"], node.get("age", 0)
///     (['Person'], {'name': 'Ann'}, 'Ann', 0)
///     >>> node.id == id, node.version, node.updated_at == node.created_at, node.derived
///     (True, 1, True, False)
///     >>> node.expires_at is None
///     True
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Node {
    pub(crate) inner: engine::Node,
}

/// Of what kind each of some nodes is, counted from 0: those of one have the same labels, and were all made by
/// the database or all by users.
#[pyfunction]
pub(crate) fn kinds_of(py: Python<'_>, nodes: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
    give_way(py);
    let mut known: Vec<(Vec<Arc<str>>, bool)> = Vec::new();
    let mut kinds = Vec::with_capacity(nodes.len());
    for node in nodes {
        let node = &node.cast::<Node>()?.get().inner;
        let kind = node.labels().and_then(|labels| Ok((labels, node.derived()?)));
        let kind = kind.map_err(|error| to_python(py, &error))?;
        // There are few, and as a rule the next node is as the last.
        kinds.push(known.iter().rposition(|other| *other == kind).unwrap_or_else(|| {
            known.push(kind);
            known.len() - 1
        }));
    }
    Ok(kinds)
}

#[pymethods]
impl Node {
    // It never changes: a copy is the same object.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(not_pickled(py, "Node", "properties"))
    }

    /// The id.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(ask!(py, self.inner.id()))
    }

    /// The labels, in the order they were given.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, ask!(py, self.inner.labels()).iter().map(|label| &**label))
    }

    /// All properties.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.to_dict(py)
    }

    /// When it was made (UTC).
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, ask!(py, self.inner.created_at()))
    }

    /// When a user last changed it (UTC).
    #[getter]
    fn updated_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, ask!(py, self.inner.updated_at()))
    }

    /// When it expires (UTC); None when it does not.
    #[getter]
    fn expires_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        ask!(py, self.inner.expires_at()).map(|time| datetime(py, time)).transpose()
    }

    /// Whether the database made it by itself.
    #[getter]
    fn derived(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(ask!(py, self.inner.derived()))
    }

    /// 1 at creation, one more at each change by a user.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(ask!(py, self.inner.version()))
    }

    /// The value of a property, or `default`.
    ///
    /// Args:
    ///     key: the name of the property.
    ///     default: what to give when there is none of this name.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: Text<'_>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.property(py, &key)?.or(default))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: Text<'_>) -> PyResult<Bound<'py, PyAny>> {
        self.item(py, &key)
    }

    fn __contains__(&self, py: Python<'_>, key: Text<'_>) -> PyResult<bool> {
        Ok(self.property(py, &key)?.is_some())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.equals(other)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.hashed(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let labels = ask!(py, self.inner.labels()).join(":");
        let properties = self.properties(py)?.repr()?.to_string();
        let shown: String = properties.chars().take(200).collect();
        Ok(format!("Node({labels} {:?} {shown})", ask!(py, self.inner.id())))
    }
}

/// A stored edge as one snapshot saw it; properties are decoded when asked for.
///
/// Examples:
///     >>> from datetime import UTC, datetime
///     >>> ann, oslo = db.create_nodes([{"label": "Person"}, {"label": "City"}])
///     >>> id = db.create_edge({
///     ...     "source": ann, "target": oslo, "type": "LIVES_IN", "properties": {"floor": 3},
///     ...     "valid_from": datetime(2020, 1, 1, tzinfo=UTC), "sources": ["letter"],
///     ... })
///     >>> edge = db.get_edge(id)
///     >>> edge.type, edge.source == ann, edge.target == oslo, edge.weight, edge.sources
///     ('LIVES_IN', True, True, 1.0, ['letter'])
///     >>> edge.properties, edge["floor"], edge.get("street", "unknown")
///     ({'floor': 3}, 3, 'unknown')
///     >>> edge.valid_from.year, edge.valid_to, edge.retracted_at
///     (2020, None, None)
///     >>> edge.id == id, edge.version, edge.derived, edge.recorded_at.tzname()
///     (True, 1, False, 'UTC')
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Edge {
    pub(crate) inner: engine::Edge,
}

#[pymethods]
impl Edge {
    // It never changes: a copy is the same object.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(not_pickled(py, "Edge", "properties"))
    }

    /// The id.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(ask!(py, self.inner.id()))
    }

    /// Id of the node where it begins.
    #[getter]
    fn source(&self) -> &str {
        self.inner.source()
    }

    /// Id of the node where it ends.
    #[getter]
    fn target(&self) -> &str {
        self.inner.target()
    }

    /// The type.
    #[getter]
    fn r#type(&self, py: Python<'_>) -> PyResult<String> {
        Ok(ask!(py, self.inner.edge_type()).to_string())
    }

    /// All properties.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.to_dict(py)
    }

    /// The weight.
    #[getter]
    fn weight(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(ask!(py, self.inner.weight()))
    }

    /// True in the world from here on.
    #[getter]
    fn valid_from<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        ask!(py, self.inner.times()).valid_from.map(|time| datetime(py, time)).transpose()
    }

    /// True in the world until here.
    #[getter]
    fn valid_to<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        ask!(py, self.inner.times()).valid_to.map(|time| datetime(py, time)).transpose()
    }

    /// Believed by the database from here on.
    #[getter]
    fn recorded_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, ask!(py, self.inner.times()).recorded_at)
    }

    /// Believed by the database until here.
    #[getter]
    fn retracted_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        ask!(py, self.inner.times()).retracted_at.map(|time| datetime(py, time)).transpose()
    }

    /// Ids of what it was derived from.
    #[getter]
    fn sources(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(ask!(py, self.inner.sources()))
    }

    /// Whether the database made it by itself.
    #[getter]
    fn derived(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(ask!(py, self.inner.derived()))
    }

    /// 1 at creation, one more at each change by a user.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(ask!(py, self.inner.version()))
    }

    /// The value of a property, or `default`.
    ///
    /// Args:
    ///     key: the name of the property.
    ///     default: what to give when there is none of this name.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: Text<'_>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.property(py, &key)?.or(default))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: Text<'_>) -> PyResult<Bound<'py, PyAny>> {
        self.item(py, &key)
    }

    fn __contains__(&self, py: Python<'_>, key: Text<'_>) -> PyResult<bool> {
        Ok(self.property(py, &key)?.is_some())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.equals(other)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.hashed(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "Edge({:?} -{}-> {:?} {:?})",
            self.inner.source(),
            ask!(py, self.inner.edge_type()),
            self.inner.target(),
            ask!(py, self.inner.id())
        ))
    }
}

/// One stored vector: of a whole node, or of one part of a long text.
///
/// Examples:
///     >>> red = db.create_node({"label": "Colour"})
///     >>> id = db.create_embedding({"node_id": red, "vector": [1.0, 0.0, 0.0], "space": "rgb"})
///     >>> embedding = db.get_embedding(id)
///     >>> embedding.vector, embedding.dim, embedding.space
///     (array([1., 0., 0.], dtype=float32), 3, 'rgb')
///     >>> embedding.id == id, embedding.node_id == red, embedding.part, embedding.set_by_user
///     (True, True, 0, True)
///     >>> embedding.model, embedding.created_at.tzname()
///     ('', 'UTC')
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Embedding {
    inner: engine::Embedding,
    vector: Py<PyArray1<f32>>,
}

impl Embedding {
    pub(crate) fn new(py: Python<'_>, mut inner: engine::Embedding) -> PyResult<Self> {
        let vector = PyArray1::from_vec(py, std::mem::take(&mut inner.vector));
        // Every holder sees the same numbers.
        vector.readwrite().make_nonwriteable();
        Ok(Self { inner, vector: vector.unbind() })
    }
}

#[pymethods]
impl Embedding {
    // It never changes: a copy is the same object.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(not_pickled(py, "Embedding", "vector"))
    }

    /// The id.
    #[getter]
    fn id(&self) -> &str {
        &self.inner.id
    }

    /// Id of the node.
    #[getter]
    fn node_id(&self) -> &str {
        &self.inner.node_id
    }

    /// The numbers, read-only.
    #[getter]
    fn vector(&self, py: Python<'_>) -> Py<PyArray1<f32>> {
        self.vector.clone_ref(py)
    }

    /// Name of the space.
    #[getter]
    fn space(&self) -> &str {
        &self.inner.space
    }

    /// The model of its space; empty when there is none, and users alone set its vectors.
    #[getter]
    fn model(&self) -> &str {
        &self.inner.model
    }

    /// Number of dimensions.
    #[getter]
    fn dim(&self, py: Python<'_>) -> PyResult<usize> {
        self.vector.bind(py).len()
    }

    /// Which part of a long text it is of, from 0; 0 for a whole node.
    #[getter]
    fn part(&self) -> u16 {
        self.inner.part
    }

    /// When it was made (UTC).
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, self.inner.created_at)
    }

    /// Whether a user set it: then the weaver leaves it alone.
    #[getter]
    fn set_by_user(&self) -> bool {
        self.inner.set_by_user
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.dim(py)
    }

    /// The numbers, for `numpy.asarray`.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let vector = self.vector.bind(py).clone().into_any();
        let keywords = PyDict::new(py);
        keywords.set_item("dtype", dtype)?;
        keywords.set_item("copy", copy)?;
        py.import("numpy")?.call_method("array", (vector,), Some(&keywords))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (id, node, space) = (&self.inner.id, &self.inner.node_id, &self.inner.space);
        Ok(format!("Embedding({id:?} of {node:?}, {space}, {} dimensions)", self.dim(py)?))
    }
}

/// A path through the graph: n nodes, n - 1 edges, and its cost.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Path {
    pub(crate) inner: engine::Path,
}

#[pymethods]
impl Path {
    /// The nodes, start first.
    #[getter]
    fn nodes(&self) -> Vec<Node> {
        self.inner.nodes.iter().map(|node| Node { inner: node.clone() }).collect()
    }

    /// The edges, one fewer than the nodes.
    #[getter]
    fn edges(&self) -> Vec<Edge> {
        self.inner.edges.iter().map(|edge| Edge { inner: edge.clone() }).collect()
    }

    /// The number of hops, or what its edges weigh together.
    #[getter]
    fn cost(&self) -> f64 {
        self.inner.cost
    }

    fn __len__(&self) -> usize {
        self.inner.edges.len()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut out = String::from("Path(");
        for (at, node) in self.inner.nodes.iter().enumerate() {
            if at > 0 {
                let edge = &self.inner.edges[at - 1];
                let forward = edge.target() == ask!(py, node.id());
                let of = ask!(py, edge.edge_type());
                out += &if forward { format!(" -{of}-> ") } else { format!(" <-{of}- ") };
            }
            out += &ask!(py, node.id());
        }
        out.push(')');
        Ok(out)
    }
}
