//! Model functions that are timed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use embedded_db_common::metrics::{DURATIONS, Distribution, Histogram};
use embedded_db_common::{Result, trace};
use embedded_db_weaver::{Enriched, Function, Limits, ModelSpace, Models, TextToEnrich};

use super::Observer;
use crate::database::SharedModels;

/// Names of the functions, in the order of their figures.
const NAMES: [&str; 3] = ["embed", "enrich", "summarize"];

/// What spans of them are called.
const SPANS: [&str; NAMES.len()] = ["model.embed", "model.enrich", "model.summarize"];

/// What is counted of model functions.
pub(crate) struct ModelFigures {
    durations: [Histogram; NAMES.len()],
    failures: Mutex<BTreeMap<(usize, &'static str), u64>>,
}

impl Default for ModelFigures {
    fn default() -> Self {
        let durations = std::array::from_fn(|_| Histogram::new(DURATIONS));
        Self { durations, failures: Mutex::default() }
    }
}

impl ModelFigures {
    fn call<T>(&self, function: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = self.durations[function].time(|| trace::within(SPANS[function], work));
        if let Err(error) = &done {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures.entry((function, error.code())).or_default() += 1;
        }
        done
    }

    /// How long calls took, in nanoseconds.
    pub(super) fn durations(&self) -> impl Iterator<Item = (&'static str, Distribution)> {
        NAMES.into_iter().zip(self.durations.iter().map(Histogram::read))
    }

    /// How many calls failed with which kind of error.
    pub(super) fn failures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().map(|((of, code), count)| (NAMES[*of], *code, *count)).collect()
    }
}

/// Model functions whose calls are counted.
pub(crate) struct Measured {
    models: SharedModels,
    observer: Arc<Observer>,
}

impl Measured {
    pub(crate) fn new(models: SharedModels, observer: Arc<Observer>) -> Self {
        Self { models, observer }
    }
}

impl Models for Measured {
    fn space(&self) -> Result<Option<ModelSpace>> {
        self.models.space()
    }

    fn warm_up(&self) -> Result<()> {
        self.models.warm_up()
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        self.observer.models.call(0, || self.models.embed(texts))
    }

    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched> {
        self.observer.models.call(1, || self.models.enrich(texts))
    }

    fn summarize(&self, messages: &[String], vectors: &[f32], dimension: usize) -> Result<String> {
        self.observer.models.call(2, || self.models.summarize(messages, vectors, dimension))
    }

    fn is_off(&self, function: Function) -> bool {
        self.models.is_off(function)
    }

    fn set_ending(&self, is_ending: bool) {
        self.models.set_ending(is_ending);
    }

    fn limits(&self) -> Option<&Limits> {
        self.models.limits()
    }
}
