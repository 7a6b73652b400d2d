//! Model functions within limits.

use std::path::Path;
use std::sync::Arc;

use embedded_db_common::Result;

use super::{Amount, Caller, Function, Limits};
use crate::models::{Enriched, ModelSpace, Models, TextToEnrich};

/// Model functions that are called only as often as their limits allow.
pub struct Limited {
    models: Arc<dyn Models>,
    limits: Limits,
}

impl Limited {
    /// Puts limits before some functions.
    pub fn new(models: Arc<dyn Models>, limits: Limits) -> Self {
        Self { models, limits }
    }

    /// See [`Limits::keep_in`].
    pub fn keep_in(&self, directory: &Path) -> Result<()> {
        self.limits.keep_in(directory)
    }
}

impl Models for Limited {
    fn space(&self) -> Result<Option<ModelSpace>> {
        self.models.space()
    }

    fn warm_up(&self) -> Result<()> {
        self.models.warm_up()
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        let wanted = Amount::of(texts.iter().map(String::as_str));
        self.limits.take(&[(Function::Embedding, wanted)], Caller::Query)?;
        self.models.embed(texts)
    }

    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched> {
        let of = |wants: fn(&TextToEnrich) -> bool| {
            Amount::of(texts.iter().filter(|text| wants(text)).map(|text| text.text.as_str()))
        };
        let mut wanted = vec![
            (Function::Embedding, of(|text| text.vectors)),
            (Function::Entities, of(|text| text.entities)),
        ];
        wanted.retain(|(_, amount)| amount.calls > 0);
        self.limits.take(&wanted, Caller::Weaver)?;
        self.models.enrich(texts)
    }

    fn summarize(&self, messages: &[String], vectors: &[f32], dimension: usize) -> Result<String> {
        let wanted = Amount::of(messages.iter().map(String::as_str));
        self.limits.take(&[(Function::Summary, wanted)], Caller::Weaver)?;
        self.models.summarize(messages, vectors, dimension)
    }

    fn is_off(&self, function: Function) -> bool {
        self.models.is_off(function)
    }

    fn set_ending(&self, is_ending: bool) {
        self.models.set_ending(is_ending);
    }

    fn limits(&self) -> Option<&Limits> {
        Some(&self.limits)
    }
}
