//! Questions in plain words from their canonical dict, and what they were found to say.

use embedded_db_engine as engine;
use embedded_db_engine::{Analysis, Manner, Profile, Weights};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{string, strings};
use crate::errors::{invalid, to_python};
use crate::query::{Hits, query};

/// Results, and what the question was found to say.
pub(crate) type FoundHits<'py> = (Hits, Bound<'py, PyDict>);

/// A question: `text`, and where wanted `profile`, `weights` by part, whether `superseded` facts are
/// found, the embedding `space`, `chats` that have to exist, and `query`, the dict of a query without
/// legs.
pub(crate) fn search(given: &Bound<'_, PyDict>) -> PyResult<engine::Search> {
    let py = given.py();
    let (profile, weights) = (Profile::Auto, Weights::default());
    let mut manner = Manner { profile, weights, superseded: false };
    let (mut text, mut restriction, mut space, mut chats) = (None, None, None, Vec::new());
    for (key, item) in given.iter() {
        match string("a field of the search", &key)?.as_str() {
            "text" => text = Some(string("text", &item)?),
            "profile" => {
                let name = string("profile", &item)?;
                manner.profile = Profile::parse(&name).map_err(|error| to_python(py, &error))?;
            }
            "weights" => {
                for (part, weight) in item.cast::<PyDict>()?.iter() {
                    let set = manner.weights.set(&string("weights", &part)?, weight.extract()?);
                    set.map_err(|error| to_python(py, &error))?;
                }
            }
            "superseded" => manner.superseded = item.extract()?,
            "space" => space = Some(string("space", &item)?),
            "chats" => chats = strings("chats", &item)?,
            "query" => restriction = Some(item.cast_into::<PyDict>()?),
            other => return Err(invalid(py, format!("a search has no field {other:?}"))),
        }
    }
    let restriction = restriction.unwrap_or_else(|| PyDict::new(py));
    let mut query = query(&restriction)?;
    query.query.text = text.as_deref().map(Into::into);
    query.space = space;
    Ok(engine::Search { query, manner, chats })
}

/// Results for Python.
pub(crate) fn found<'py>(py: Python<'py>, found: engine::Found) -> PyResult<FoundHits<'py>> {
    let Analysis { profile, terms, names, dates, embedded } = found.analysis;
    let out = PyDict::new(py);
    out.set_item("profile", profile)?;
    out.set_item("terms", terms)?;
    out.set_item("names", names)?;
    out.set_item("dates", dates)?;
    out.set_item("embedded", embedded)?;
    Ok((Hits::new(found.answer), out))
}
