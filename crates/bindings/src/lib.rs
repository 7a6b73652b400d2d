//! The private Python module: converts, releases the interpreter, maps errors, returns.

mod access;
mod arguments;
mod bus;
mod cancel;
mod convert;
mod database;
mod errors;
mod graphs;
mod intuition;
mod leaving;
mod logs;
mod network;
mod objects;
mod query;
mod reads;
mod recall;
mod restore;
mod search;
mod server;
mod snapshot;
mod token_array;
mod tokens;
mod tracing;
mod transaction;
mod upkeep;
mod values;
mod vector_index;
mod vectors;

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyMapping;

/// Sets the clock of this process forward by so many microseconds, or back: for tests.
#[pyfunction]
fn _shift_clock(by: i64) {
    embedded_db_engine::common::clock::shift(by);
}

/// The number of the weaver that this thread works for; 0 if it works for none.
#[pyfunction]
fn works_for() -> u64 {
    embedded_db_engine::works_for()
}

/// This thread calls model functions in the place of a weaver's.
#[pyfunction]
fn work_for(weaver: u64) {
    embedded_db_engine::work_for(weaver);
}

/// Makes what PyO3 would make at its first use: it lets go of the interpreter meanwhile, and a child
/// that another thread forked then would wait for it without end. For that reason no `intern!` either.
fn make_ready(py: Python<'_>) -> PyResult<()> {
    values::known(py)?;
    token_array::numpy(py)?;
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
    embedded_db_engine::watch_panics();
    embedded_db_engine::watch_interrupts(errors::interrupted);
    embedded_db_ml_bridge::forks::watch(module.py())?;
    make_ready(module.py())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("AXIS_ANCHORS", embedded_db_engine::ANCHORS.map(<[_]>::to_vec).to_vec())?;
    module.add_function(wrap_pyfunction!(_shift_clock, module)?)?;
    module.add_function(wrap_pyfunction!(works_for, module)?)?;
    module.add_function(wrap_pyfunction!(objects::kinds_of, module)?)?;
    module.add_function(wrap_pyfunction!(work_for, module)?)?;
    module.add_function(wrap_pyfunction!(logs::logs_begin, module)?)?;
    module.add_function(wrap_pyfunction!(logs::logs_level, module)?)?;
    module.add_function(wrap_pyfunction!(logs::logs_flush, module)?)?;
    module.add_function(wrap_pyfunction!(logs::logs_end, module)?)?;
    module.add_function(wrap_pyfunction!(leaving::calls_refuse, module)?)?;
    module.add_function(wrap_pyfunction!(leaving::calls_end, module)?)?;
    module.add_function(wrap_pyfunction!(tracing::ask_caller, module)?)?;
    module.add_class::<tracing::Caller>()?;
    module.add_function(wrap_pyfunction!(query::check_text_query, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::restore_backup, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::repair, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::doctor, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::read_blackbox, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::compare, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::best, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::best_of_codes, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::best_of_halves, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::normalize, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::quantize, module)?)?;
    module.add_class::<vector_index::VectorIndex>()?;
    module.add_class::<bus::Bus>()?;
    module.add_class::<bus::Subscription>()?;
    module.add_class::<bus::Delivery>()?;
    module.add_class::<bus::DeadLetter>()?;
    module.add_class::<cancel::Cancel>()?;
    module.add("Cancelled", module.py().get_type::<cancel::Cancelled>())?;
    module.add_class::<reads::Reads>()?;
    module.add_class::<database::Database>()?;
    module.add_class::<snapshot::Snapshot>()?;
    module.add_class::<server::Server>()?;
    module.add_class::<access::Access>()?;
    module.add_class::<transaction::Transaction>()?;
    module.add_class::<transaction::Step>()?;
    module.add_class::<objects::Node>()?;
    module.add_class::<objects::Edge>()?;
    module.add_class::<objects::Embedding>()?;
    module.add_class::<objects::Path>()?;
    module.add_class::<graphs::Graph>()?;
    module.add_class::<graphs::Ids>()?;
    module.add_class::<network::Network>()?;
    module.add_class::<query::Hit>()?;
    module.add_class::<query::Cursor>()?;
    module.add_class::<query::Hits>()?;
    module.add_class::<tokens::Token>()?;
    module.add_class::<token_array::TokenArray>()?;
    module.add_class::<token_array::TokenIterator>()?;
    module.add_class::<intuition::Intuition>()?;
    Ok(())
}
