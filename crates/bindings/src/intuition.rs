//! The engine of reflexes as Python sees it. Its answers are objects, its calls hold the interpreter: they are
//! shorter than letting go of it.

use embedded_db_engine::common::Result;
use embedded_db_reflex::{self as reflex, Config, Feedback};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{Capacity, Text};
use crate::errors::{attached, invalid, shown};

/// What `IntuitionEngine` is made of.
#[pyclass(frozen, subclass, module = "embedded_db._native")]
pub(crate) struct Intuition {
    inner: reflex::Intuition<Py<PyAny>>,
}

#[pymethods]
impl Intuition {
    #[new]
    fn new(
        py: Python<'_>,
        capacity: Capacity,
        min_confidence: f64,
        reward: f64,
        penalty: f64,
        corrected_confidence: f64,
    ) -> PyResult<Self> {
        let config = Config { min_confidence, reward, penalty, corrected_confidence };
        Ok(Self { inner: attached(py, || reflex::Intuition::new(config, capacity.0))? })
    }

    /// Store an answer; the one that its key had before is gone.
    ///
    /// When there is no room, the least useful reflex leaves first.
    ///
    /// Args:
    ///     key: what is asked, word by word.
    ///     answer: any object but None. It is kept itself, not a copy.
    ///     confidence: how sure it is, from 0 to 1.
    fn learn(
        &self,
        py: Python<'_>,
        key: Text<'_>,
        answer: Bound<'_, PyAny>,
        confidence: f64,
    ) -> PyResult<()> {
        let answer = some(answer, "answer")?;
        attached(py, || self.inner.learn(&key, answer, confidence))
    }

    /// The answer to a key, or None when there is none, or none that is sure enough.
    ///
    /// Args:
    ///     key: what is asked, word by word.
    fn lookup(&self, py: Python<'_>, key: Text<'_>) -> Option<Py<PyAny>> {
        self.inner.lookup(&key, |answer| answer.clone_ref(py))
    }

    /// Say what is to be thought of an answer; give how sure it is then.
    ///
    /// Args:
    ///     key: what was asked.
    ///     verdict: ``"y"``, the answer is right; ``"n"``, it is wrong; ``"c"``, it is wrong, and
    ///         `correction` is right.
    ///     correction: the right answer.
    #[pyo3(signature = (key, verdict, correction=None))]
    fn feedback(
        &self,
        py: Python<'_>,
        key: Text<'_>,
        verdict: &Bound<'_, PyAny>,
        correction: Option<Bound<'_, PyAny>>,
    ) -> PyResult<f64> {
        let feedback = match (verdict.extract::<&str>()?, correction) {
            ("y", None) => Feedback::Right,
            ("n", None) => Feedback::Wrong,
            ("c", Some(correction)) => Feedback::Corrected(correction.unbind()),
            ("c", None) => {
                return Err(invalid(py, "there is no correction; give it with \"c\"".into()));
            }
            ("y" | "n", Some(_)) => {
                let message = "there is a correction; it goes with \"c\" only";
                return Err(invalid(py, message.into()));
            }
            _ => {
                let shown = shown(verdict);
                let message = format!("verdict is {shown}; it must be \"y\", \"n\" or \"c\"");
                return Err(invalid(py, message));
            }
        };
        attached(py, || self.inner.feedback(&key, feedback))
    }

    /// Forget the answer to a key; whether there was one.
    ///
    /// Args:
    ///     key: what was asked.
    fn forget(&self, py: Python<'_>, key: Text<'_>) -> PyResult<bool> {
        attached(py, || Ok(self.inner.forget(&key)))
    }

    /// How sure the answer to a key is; None when there is none.
    ///
    /// Args:
    ///     key: what is asked.
    fn confidence(&self, py: Python<'_>, key: Text<'_>) -> PyResult<Option<f64>> {
        attached(py, || Ok(self.inner.confidence(&key)))
    }

    /// Forget all answers. What was counted stays counted.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        attached(py, || -> Result<()> {
            self.inner.clear();
            Ok(())
        })
    }

    /// What there is and what was done; see `IntuitionStats`.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = attached(py, || Ok(self.inner.stats()))?;
        let out = PyDict::new(py);
        out.set_item("total_reflexes", stats.total_reflexes)?;
        out.set_item("capacity", stats.capacity)?;
        out.set_item("hits", stats.hits)?;
        out.set_item("misses", stats.misses)?;
        out.set_item("learned", stats.learned)?;
        out.set_item("evicted", stats.evicted)?;
        out.set_item("avg_fast_path_time_ns", stats.avg_fast_path_time_ns)?;
        Ok(out)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        attached(py, || Ok(self.inner.len()))
    }

    // An answer may hold the engine itself.
    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let mut outcome = Ok(());
        self.inner.visit(&mut |answer| {
            if outcome.is_ok() {
                outcome = visit.call(answer);
            }
        });
        outcome
    }

    fn __clear__(&self) {
        self.inner.clear();
    }
}

/// What may be an answer: `lookup` says None for nothing.
fn some(given: Bound<'_, PyAny>, name: &str) -> PyResult<Py<PyAny>> {
    if given.is_none() {
        let message =
            format!("{name} is None; it must be an object: lookup gives None for no answer");
        return Err(invalid(given.py(), message));
    }
    Ok(given.unbind())
}
