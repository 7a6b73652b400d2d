//! Reads of one instant.

use std::sync::Arc;

use embedded_db_engine as engine;
use pyo3::prelude::*;

use crate::reads::{Pinned, Reads};

/// Reads of one instant.
#[pyclass(frozen, extends = Reads, module = "embedded_db._native")]
pub(crate) struct Snapshot {
    pinned: Arc<Pinned>,
}

impl Snapshot {
    pub(crate) fn create(py: Python<'_>, inner: engine::PinnedReads) -> PyResult<Py<Self>> {
        let pinned = Arc::new(Pinned::new(inner));
        let reads = PyClassInitializer::from(Reads::of_snapshot(Arc::clone(&pinned)));
        Py::new(py, reads.add_subclass(Self { pinned }))
    }
}

#[pymethods]
impl Snapshot {
    #[getter]
    fn lsn(&self, py: Python<'_>) -> PyResult<u64> {
        self.pinned.read(py, |reads| Ok(reads.lsn()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.pinned.close(py)
    }
}
