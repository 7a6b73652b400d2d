//! The server in the process of Python.

use std::sync::Arc;
use std::time::Duration;

use embedded_db_engine::common::Error;
use embedded_db_server as server;
use embedded_db_server::{Limits, Options, Tokens};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{string, strings};
use crate::database::Database;
use crate::errors::{Released, detached, invalid, to_its_end, to_python};
use crate::values::wait;

/// A database that is served, on threads that hold no interpreter.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Server {
    inner: Released<Arc<server::Server>>,
}

fn seconds(py: Python<'_>, what: &str, item: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let seconds: f64 = item.extract()?;
    let found = wait(seconds).filter(|wait| !wait.is_zero());
    found.ok_or_else(|| {
        invalid(py, format!("{what} is {seconds}; it must be a number of seconds above 0"))
    })
}

fn options(given: &Bound<'_, PyDict>) -> PyResult<Options> {
    let py = given.py();
    let item = |name: &str| given.get_item(name)?.ok_or_else(|| invalid(py, format!("no {name}")));
    let host = string("host", &item("host")?)?;
    let address = server::address(&host, item("port")?.extract()?);
    let mut out = Options::new(address.map_err(|error| to_python(py, &error))?);
    for (key, item) in given.iter() {
        let limits: &mut Limits = &mut out.limits;
        match string("an option", &key)?.as_str() {
            "host" | "port" => {}
            "tokens" => {
                let tokens = Tokens::parse(&string("tokens", &item)?);
                out.tokens = tokens.map_err(|error| to_python(py, &error))?;
            }
            "hosts" => out.hosts = strings("hosts", &item)?,
            "origins" => out.origins = strings("origins", &item)?,
            "explorer" => out.explorer = item.extract()?,
            "embedding_space" => out.embedding_space = item.extract()?,
            "max_connections" => limits.connections = item.extract()?,
            "max_websockets" => limits.streams = item.extract()?,
            "max_requests" => limits.requests = item.extract()?,
            "max_body" => limits.body = item.extract()?,
            "request_timeout" => limits.request_time = seconds(py, "request_timeout", &item)?,
            "header_timeout" => limits.head_time = seconds(py, "header_timeout", &item)?,
            "body_timeout" => limits.body_time = seconds(py, "body_timeout", &item)?,
            "drain_timeout" => limits.drain_time = seconds(py, "drain_timeout", &item)?,
            "ping_interval" => limits.ping = seconds(py, "ping_interval", &item)?,
            other => return Err(invalid(py, format!("a server has no option {other:?}"))),
        }
    }
    out.limits.bodies = out.limits.bodies.max(out.limits.body);
    let version = py.version_info();
    out.python = format!("{}.{}.{}", version.major, version.minor, version.patch);
    Ok(out)
}

#[pymethods]
impl Server {
    /// Serves the database of a handle.
    #[staticmethod]
    fn start(py: Python<'_>, database: &Database, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let options = self::options(options)?;
        let database = database.engine().clone();
        let inner = detached(py, || server::Server::start(database, options))?;
        Ok(Self { inner: Released::new(Arc::new(inner)) })
    }

    /// The address and the port.
    #[getter]
    fn address(&self) -> (String, u16) {
        let address = self.inner.address();
        (address.ip().to_string(), address.port())
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        to_its_end(py, || {
            self.inner.stop();
            Ok::<_, Error>(())
        })
    }
}
