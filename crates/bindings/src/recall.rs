//! Associative recall from its canonical dict.

use embedded_db_engine as engine;
use embedded_db_engine::{Cue, Reach, Spreading};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{string, strings, vector};
use crate::errors::{invalid, to_python};
use crate::query::{query, time};

/// One cue (`text`, `vector`, `nodes` or `query`), `seeds`, what of the spreading is not as usual, the
/// embedding `space`, and `within`, the dict of a query without legs.
pub(crate) fn recall(given: &Bound<'_, PyDict>) -> PyResult<engine::Recall> {
    let py = given.py();
    let (mut cue, mut within, mut space) = (None, None, None);
    let mut strengthen = false;
    let (mut seeds, mut spreading) = (engine::SEEDS, Spreading::default());
    for (key, item) in given.iter() {
        match string("a field of recall", &key)?.as_str() {
            "text" => cue = Some(Cue::Text(string("text", &item)?)),
            "vector" => cue = Some(Cue::Vector(vector(&item)?)),
            "nodes" => cue = Some(Cue::Nodes(strings("nodes", &item)?)),
            "query" => cue = Some(Cue::Query(Box::new(query(item.cast::<PyDict>()?)?))),
            "seeds" => seeds = item.extract()?,
            "bursts" => spreading.bursts = item.extract()?,
            "restart" => spreading.restart = item.extract()?,
            "edge_types" => spreading.edge_types = Some(strings("edge_types", &item)?),
            "direction" => {
                let reach = Reach::parse("direction", &string("direction", &item)?);
                spreading.direction = reach.map_err(|error| to_python(py, &error))?;
            }
            "valid_at" => spreading.valid_at = Some(time("valid_at", &item)?),
            "strengthen" => strengthen = item.extract()?,
            "space" => space = Some(string("space", &item)?),
            "within" => within = Some(item.cast_into::<PyDict>()?),
            other => return Err(invalid(py, format!("recall has no field {other:?}"))),
        }
    }
    let cue = cue.ok_or_else(|| invalid(py, "recall needs a cue".into()))?;
    let mut within = query(&within.unwrap_or_else(|| PyDict::new(py)))?;
    within.space = space;
    Ok(engine::Recall { cue, seeds, spreading, within, strengthen })
}
