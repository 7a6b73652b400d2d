//! Calls the stateless Python model functions for the weaver and for queries.
//!
//! The functions are methods of one Python object (`embedded_db.config.ModelFunctions` is its
//! interface). Whatever they raise becomes an error with its traceback; what they return is converted
//! here and checked by the caller.

pub mod forks;
pub mod raised;
mod turns;

use std::sync::{Mutex, OnceLock, PoisonError};

use embedded_db_common::log::{self, Level};
use embedded_db_common::{Error, Result, shortened};
use embedded_db_weaver::{Enriched, Function, Mention, ModelSpace, Models, TextToEnrich};
use numpy::{PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

/// Model functions that are methods of a Python object.
pub struct PythonModels {
    functions: Py<PyAny>,
    /// What holds their calls back while somebody is closed.
    ending: Mutex<Option<Py<PyAny>>>,
    /// Names of the functions that are switched off.
    off: OnceLock<Vec<String>>,
}

impl PythonModels {
    /// Over an object with the methods `embedding_info`, `warm_up`, `embed`, `enrich`, `summarize`.
    pub fn new(functions: Py<PyAny>) -> Self {
        Self { functions, ending: Mutex::default(), off: OnceLock::new() }
    }

    /// Runs for the weaver, with the interpreter attached. An interpreter that is ending takes no calls.
    fn call<T>(&self, call: impl for<'py> FnOnce(&Bound<'py, PyAny>) -> PyResult<T>) -> Result<T> {
        self.call_or(describe, |functions| turns::short(functions.py(), || call(functions)))
    }

    /// The same on the thread of whoever asks: what ends a program (Ctrl-C, `sys.exit`) is meant for
    /// them, and no failure of the function.
    fn call_for_caller<T>(
        &self,
        call: impl for<'py> FnOnce(&Bound<'py, PyAny>) -> PyResult<T>,
    ) -> Result<T> {
        let failed = |py: Python<'_>, error: PyErr| {
            if error.is_instance_of::<PyException>(py) {
                describe(py, error)
            } else {
                raised::keep(error)
            }
        };
        self.call_or(failed, call)
    }

    fn call_or<T>(
        &self,
        failed: impl FnOnce(Python<'_>, PyErr) -> Error,
        call: impl for<'py> FnOnce(&Bound<'py, PyAny>) -> PyResult<T>,
    ) -> Result<T> {
        let outcome = forks::try_attach(|py| {
            call(self.functions.bind(py)).map_err(|error| failed(py, error))
        });
        outcome.unwrap_or_else(|| {
            let message = "Python is shutting down and takes no calls".into();
            Err(Error::ModelUnavailable { message })
        })
    }
}

/// Most bytes that are kept of what an exception says, and of its traceback: each failed piece of work
/// stores them.
const LONGEST_MESSAGE: usize = 4_000;
const LONGEST_TRACEBACK: usize = 16_000;

/// An exception with its traceback. `ModelUnavailable` is not the fault of the text at hand.
fn describe(py: Python<'_>, error: PyErr) -> Error {
    let name = error.get_type(py).name().map_or_else(|_| "error".into(), |name| name.to_string());
    let message = error.value(py).str().map_or_else(|_| String::new(), |text| text.to_string());
    let message = shortened(&message, LONGEST_MESSAGE);
    if name == "ModelUnavailable" {
        return Error::ModelUnavailable { message };
    }
    let is_left_behind = error.value(py).getattr("is_left_behind");
    if name == "ModelTimeout" && is_left_behind.is_ok_and(|it| it.is_truthy().unwrap_or(false)) {
        return Error::LeftBehind { message: format!("{name}: {message}") };
    }
    let traceback = error.traceback(py).and_then(|traceback| traceback.format().ok());
    let mut text = format!("{name}: {message}");
    if let Some(traceback) = traceback {
        text.push('\n');
        text.push_str(&shortened(traceback.trim_end(), LONGEST_TRACEBACK));
    }
    Error::EnrichmentFailed { message: text }
}

/// Any array-like as rows of 32-bit floats: the numbers, and how many stand in a row.
fn rows(value: &Bound<'_, PyAny>) -> PyResult<(Vec<f32>, usize)> {
    let py = value.py();
    let array = py.import("embedded_db.checks")?.call_method1("float32", (value,))?;
    let array: PyReadonlyArrayDyn<'_, f32> = array.extract()?;
    if array.ndim() != 2 {
        return Err(PyValueError::new_err(format!(
            "the vectors have {} axes; a 2-d array of rows is needed",
            array.ndim()
        )));
    }
    Ok((array.as_slice()?.to_vec(), array.shape()[1]))
}

impl PythonModels {
    /// Enters or leaves the context `ending()` of the functions, if they have one.
    fn end(&self, functions: &Bound<'_, PyAny>, is_ending: bool) -> PyResult<()> {
        let py = functions.py();
        let held = || self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if is_ending {
            if functions.hasattr("ending")? {
                let context = functions.call_method0("ending")?;
                context.call_method0("__enter__")?;
                *held() = Some(context.unbind());
            }
            return Ok(());
        }
        let context = held().take();
        let none = py.None();
        context
            .map_or(Ok(()), |it| it.call_method1(py, "__exit__", (&none, &none, &none)).map(drop))
    }
}

impl Models for PythonModels {
    fn space(&self) -> Result<Option<ModelSpace>> {
        self.call_for_caller(|functions| {
            let info = functions.call_method0("embedding_info")?;
            if info.is_none() {
                return Ok(None);
            }
            let text = |key: &str| -> PyResult<String> { info.get_item(key)?.extract() };
            Ok(Some(ModelSpace {
                model: text("model")?,
                provider: text("provider")?,
                precision: text("precision")?,
                dimension: info.get_item("dim")?.extract()?,
                metric: text("metric")?,
            }))
        })
    }

    fn warm_up(&self) -> Result<()> {
        self.call(|functions| functions.call_method0("warm_up").map(drop))
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        self.call_for_caller(|functions| {
            let given = PyList::new(functions.py(), texts)?;
            let vectors = functions.call_method1("embed", (given,))?;
            let (numbers, dimension) = rows(&vectors)?;
            // The caller sees the numbers alone, which say nothing of the shape.
            if numbers.len() != texts.len() * dimension {
                return Err(PyValueError::new_err(format!(
                    "embed returned {} rows for {} texts; one row for each is needed",
                    numbers.len().checked_div(dimension).unwrap_or(0),
                    texts.len()
                )));
            }
            Ok(numbers)
        })
    }

    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched> {
        self.call(|functions| {
            let py = functions.py();
            let arguments = (
                PyList::new(py, texts.iter().map(|text| text.text.as_str()))?,
                PyList::new(py, texts.iter().map(|text| text.start))?,
                PyList::new(py, texts.iter().map(|text| text.vectors))?,
                PyList::new(py, texts.iter().map(|text| text.entities))?,
            );
            let answer = functions.call_method1("enrich", arguments)?;
            let (vectors, owners, found): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
                answer.extract()?;
            let wanted = texts.iter().any(|text| text.vectors);
            let (vectors, dimension) = if wanted { rows(&vectors)? } else { (Vec::new(), 0) };
            let owners = if wanted {
                owners.try_iter()?.map(|owner| owner?.extract()).collect::<PyResult<_>>()?
            } else {
                Vec::new()
            };
            let mentions = if texts.iter().any(|text| text.entities) {
                read_mentions(&found, texts)?
            } else {
                Vec::new()
            };
            Ok(Enriched { vectors, dimension, owners, mentions })
        })
    }

    fn is_off(&self, function: Function) -> bool {
        let read = |py: Python<'_>| -> PyResult<Vec<String>> {
            let functions = self.functions.bind(py);
            if !functions.hasattr("switched_off")? {
                return Ok(Vec::new());
            }
            functions.call_method0("switched_off")?.extract()
        };
        let off = self.off.get_or_init(|| match forks::try_attach(read) {
            Some(Ok(names)) => names,
            // An object of the user's may have something of that name.
            Some(Err(_)) | None => Vec::new(),
        });
        off.iter().any(|name| name == function.name())
    }

    fn set_ending(&self, is_ending: bool) {
        let ended = forks::try_attach(|py| self.end(self.functions.bind(py), is_ending));
        // An interpreter that is ending has no threads left that could be waited for.
        if let Some(Err(error)) = ended {
            log::log(Level::Warning, "weaver", "model functions do not end their calls", || {
                [("error", error.to_string().into())]
            });
        }
    }

    fn summarize(&self, messages: &[String], vectors: &[f32], dimension: usize) -> Result<String> {
        self.call(|functions| {
            let py = functions.py();
            let messages = PyList::new(py, messages)?;
            let vectors = if dimension == 0 {
                py.None().into_bound(py)
            } else {
                let flat = numpy::PyArray1::from_slice(py, vectors);
                flat.call_method1("reshape", (messages.len(), dimension))?
            };
            functions.call_method1("summarize", (messages, vectors))?.extract()
        })
    }
}

/// The mentions of each text; what is said of a text whose entities nobody asked for is not looked at.
fn read_mentions(found: &Bound<'_, PyAny>, texts: &[TextToEnrich]) -> PyResult<Vec<Vec<Mention>>> {
    let mut out = Vec::with_capacity(texts.len());
    for (at, mentions) in found.try_iter()?.enumerate() {
        let mentions = mentions?;
        let asked = texts.get(at).is_some_and(|text| text.entities);
        out.push(if asked {
            mentions.try_iter()?.map(|mention| read_mention(&mention?)).collect::<PyResult<_>>()?
        } else {
            Vec::new()
        });
    }
    Ok(out)
}

fn read_mention(mention: &Bound<'_, PyAny>) -> PyResult<Mention> {
    Ok(Mention {
        text: mention.get_item("text")?.extract()?,
        label: mention.get_item("label")?.extract()?,
        start: mention.get_item("start")?.extract()?,
        end: mention.get_item("end")?.extract()?,
    })
}
