//! Who may do what, for servers that are written in Python: the same file of tokens as the server's.

use embedded_db_server::{Scope, Tokens};
use pyo3::prelude::*;

use crate::errors::to_python;

/// The tokens of a file, of which only hashes are kept.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Access {
    inner: Tokens,
}

#[pymethods]
impl Access {
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        Tokens::parse(text).map(|inner| Self { inner }).map_err(|error| to_python(py, &error))
    }

    fn __bool__(&self) -> bool {
        !self.inner.is_empty()
    }

    /// Whether a token may write, and the namespaces it is for; none of it for a token that is not known.
    fn find(&self, token: &[u8]) -> Option<(bool, Option<Vec<String>>)> {
        let grant = self.inner.find(token)?;
        Some((grant.scope == Scope::Write, grant.namespaces.clone()))
    }
}
