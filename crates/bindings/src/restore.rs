//! Records of an export, from the dicts that the reader of its files makes of them.

use embedded_db_engine as engine;
use embedded_db_engine::common::Draft;
use engine::{
    Artefact, EdgeTimes, EdgeVersion, Expiry, NodeDraft, RestoredEdge, RestoredEmbedding,
    RestoredNode, SpaceRecord,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{draft, moment, string, strings, vector};
use crate::errors::{invalid, placed, to_python};

/// A field that must be there.
fn field<'py>(given: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = given.py();
    let found = given.cast::<PyDict>().ok().map(|dict| dict.get_item(name)).transpose()?.flatten();
    found.ok_or_else(|| placed(py, invalid(py, format!("there is no {name}")), "field", name))
}

/// A field as `read` takes it.
fn read<'py, T>(
    given: &Bound<'py, PyAny>,
    name: &str,
    read: impl FnOnce(&str, &Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<T> {
    let py = given.py();
    read(name, &field(given, name)?).map_err(|error| placed(py, error, "field", name))
}

fn plain<'py, T>(what: &str, item: &Bound<'py, PyAny>) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    item.extract::<T>().map_err(|_| {
        let shown = crate::errors::shown(item);
        invalid(item.py(), format!("{what} is {shown}, which it cannot be"))
    })
}

fn optional_moment(what: &str, item: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if item.is_none() { Ok(None) } else { moment(what, item).map(Some) }
}

fn properties(what: &str, item: &Bound<'_, PyAny>) -> PyResult<Draft> {
    match item.cast::<PyDict>() {
        Ok(dict) => draft(dict),
        Err(_) => Err(invalid(item.py(), format!("{what} are no dict"))),
    }
}

pub(crate) fn node(given: &Bound<'_, PyAny>) -> PyResult<RestoredNode> {
    Ok(RestoredNode {
        draft: NodeDraft {
            id: Some(read(given, "id", string)?),
            labels: read(given, "labels", strings)?,
            properties: read(given, "properties", properties)?,
            expiry: read(given, "expires_at", optional_moment)?.map_or(Expiry::Never, Expiry::At),
            // They come by themselves.
            embedding: None,
        },
        version: read(given, "version", plain)?,
        created_at: read(given, "created_at", moment)?,
        updated_at: read(given, "updated_at", moment)?,
        derived: read(given, "derived", plain)?,
    })
}

pub(crate) fn expiry(given: &Bound<'_, PyAny>) -> PyResult<(String, i64)> {
    Ok((read(given, "id", string)?, read(given, "expires_at", moment)?))
}

pub(crate) fn edge(given: &Bound<'_, PyAny>) -> PyResult<RestoredEdge> {
    let versions = field(given, "versions")?;
    let versions = versions.try_iter()?.map(|version| {
        let version = version?;
        Ok(EdgeVersion {
            version: read(&version, "version", plain)?,
            times: EdgeTimes {
                valid_from: read(&version, "valid_from", optional_moment)?,
                valid_to: read(&version, "valid_to", optional_moment)?,
                recorded_at: read(&version, "recorded_at", moment)?,
                retracted_at: read(&version, "retracted_at", optional_moment)?,
            },
            weight: read(&version, "weight", plain)?,
            sources: read(&version, "sources", strings)?,
            properties: read(&version, "properties", properties)?,
        })
    });
    Ok(RestoredEdge {
        id: read(given, "id", string)?,
        source: read(given, "source", string)?,
        target: read(given, "target", string)?,
        edge_type: read(given, "type", string)?,
        derived: read(given, "derived", plain)?,
        versions: versions.collect::<PyResult<_>>()?,
    })
}

pub(crate) fn embedding(given: &Bound<'_, PyAny>) -> PyResult<RestoredEmbedding> {
    Ok(RestoredEmbedding {
        id: read(given, "id", string)?,
        node_id: read(given, "node_id", string)?,
        space: read(given, "space", string)?,
        part: read(given, "part", plain)?,
        set_by_user: read(given, "set_by_user", plain)?,
        created_at: read(given, "created_at", moment)?,
        vector: read(given, "vector", |_, item| vector(item))?,
    })
}

/// An id, and the names of the artefacts that are due.
pub(crate) fn due(given: &Bound<'_, PyAny>) -> PyResult<(String, Vec<Artefact>)> {
    let py = given.py();
    let names = read(given, "due", strings)?;
    let artefacts = names.iter().map(|name| Artefact::parse(name));
    let artefacts = artefacts.collect::<Result<_, _>>().map_err(|error| to_python(py, &error))?;
    Ok((read(given, "id", string)?, artefacts))
}

pub(crate) fn space(given: &Bound<'_, PyAny>) -> PyResult<SpaceRecord> {
    Ok(SpaceRecord {
        name: read(given, "name", string)?,
        model: read(given, "model", string)?,
        provider: read(given, "provider", string)?,
        precision: read(given, "precision", string)?,
        dimension: read(given, "dim", plain)?,
        metric: read(given, "metric", string)?,
    })
}
