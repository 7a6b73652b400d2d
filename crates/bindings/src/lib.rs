//! The private Python module: converts, releases the interpreter, maps errors, returns.

mod arguments;
mod convert;
mod database;
mod errors;
mod objects;
mod query;
mod reads;
mod restore;
mod search;
mod snapshot;
mod transaction;
mod upkeep;
mod values;

use pyo3::prelude::*;

/// Sets the clock of this process forward by so many microseconds, or back: for tests.
#[pyfunction]
fn _shift_clock(by: i64) {
    embedded_db_engine::common::clock::shift(by);
}

/// `embedded_db._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    embedded_db_engine::watch_forks();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(_shift_clock, module)?)?;
    module.add_function(wrap_pyfunction!(upkeep::restore_backup, module)?)?;
    module.add_class::<reads::Reads>()?;
    module.add_class::<database::Database>()?;
    module.add_class::<snapshot::Snapshot>()?;
    module.add_class::<transaction::Transaction>()?;
    module.add_class::<objects::Node>()?;
    module.add_class::<objects::Edge>()?;
    module.add_class::<objects::Embedding>()?;
    module.add_class::<objects::Path>()?;
    module.add_class::<query::Hit>()?;
    module.add_class::<query::Cursor>()?;
    module.add_class::<query::Hits>()?;
    Ok(())
}
