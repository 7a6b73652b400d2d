//! The private Python module: converts, releases the interpreter, maps errors, returns.

mod arguments;
mod cancel;
mod convert;
mod database;
mod errors;
mod graphs;
mod objects;
mod query;
mod reads;
mod restore;
mod search;
mod snapshot;
mod transaction;
mod upkeep;
mod values;

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyMapping;

/// Sets the clock of this process forward by so many microseconds, or back: for tests.
#[pyfunction]
fn _shift_clock(by: i64) {
    embedded_db_engine::common::clock::shift(by);
}

/// Makes what PyO3 would make at its first use: it lets go of the interpreter meanwhile, and a child
/// that another thread forked then would wait for it without end. For that reason no `intern!` either.
fn make_ready(py: Python<'_>) -> PyResult<()> {
    values::known(py)?;
    // Where it is missing, the crate of that name panics.
    py.import("numpy")?;
    // The table of who reads and writes which array, the class `Mapping`, `operator.length_hint`.
    let array = PyArray1::<f32>::zeros(py, 0, false);
    array.try_readonly()?;
    let _no_mapping = array.cast::<PyMapping>().is_ok();
    let _none_left = array.try_iter()?.size_hint();
    Ok(())
}

/// `embedded_db._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    embedded_db_engine::watch_forks();
    embedded_db_ml_bridge::forks::watch(module.py())?;
    make_ready(module.py())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(_shift_clock, module)?)?;
    module.add_function(wrap_pyfunction!(query::check_text_query, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::restore_backup, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::repair, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::doctor, module)?)?;
    module.add_class::<cancel::Cancel>()?;
    module.add("Cancelled", module.py().get_type::<cancel::Cancelled>())?;
    module.add_class::<reads::Reads>()?;
    module.add_class::<database::Database>()?;
    module.add_class::<snapshot::Snapshot>()?;
    module.add_class::<transaction::Transaction>()?;
    module.add_class::<transaction::Step>()?;
    module.add_class::<objects::Node>()?;
    module.add_class::<objects::Edge>()?;
    module.add_class::<objects::Embedding>()?;
    module.add_class::<objects::Path>()?;
    module.add_class::<graphs::Graph>()?;
    module.add_class::<graphs::Ids>()?;
    module.add_class::<query::Hit>()?;
    module.add_class::<query::Cursor>()?;
    module.add_class::<query::Hits>()?;
    Ok(())
}
