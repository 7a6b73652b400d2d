//! The canonical form of a query, by which its reflex is found.

use std::fmt::Write;

use embedded_db_common::NamespaceId;
use embedded_db_query::Asked;

use crate::queries::{Query, SemanticLeg};

/// How a reflex gave an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The query is the same.
    Exact,
    /// Its words differ hardly.
    Near {
        /// The text of the semantic leg that was answered.
        question: String,
        /// The cosine of both texts.
        similarity: f32,
    },
}

impl Query {
    /// The text of the semantic leg.
    pub(crate) fn question(&self) -> Option<&str> {
        match &self.semantic {
            Some(SemanticLeg::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The same for queries that find the same. `None` when what is found depends on the time at which it
    /// is asked.
    pub(super) fn key(&self, namespace: NamespaceId) -> Option<String> {
        if self.query.rank.recency_half_life.is_some() {
            return None;
        }
        let mut query = self.clone();
        (query.wait, query.timeout) = (None, None);
        let plain = &mut query.query;
        plain.labels.sort();
        plain.labels.dedup();
        plain.filters.sort_by_cached_key(|filter| format!("{filter:?}"));
        for step in plain.graph.iter_mut().flat_map(|graph| &mut graph.steps) {
            step.labels.sort();
            step.edge_types.iter_mut().for_each(|types| types.sort());
        }
        let vector = match &mut query.semantic {
            Some(SemanticLeg::Vector(vector)) => std::mem::take(vector),
            _ => Vec::new(),
        };
        // Values that differ are written differently, texts with quotes around them.
        let mut key = format!("{} {query:?} ", namespace.0);
        for value in vector {
            // Writing to a String cannot fail.
            let _written = write!(key, "{:08x}", value.to_bits());
        }
        Some(key)
    }

    /// The same for queries of which only the text of the semantic leg differs, and a text leg that
    /// looks for its words.
    pub(super) fn key_but_words(&self, namespace: NamespaceId) -> Option<String> {
        let question = self.question()?.to_owned();
        let mut query = self.clone();
        query.semantic = Some(SemanticLeg::Text(String::new()));
        if let Some(text) = &mut query.query.text
            && text.asked == Asked::Words(question)
        {
            // No query asks for that: it is refused.
            text.asked = Asked::Words(String::new());
        }
        query.key(namespace)
    }
}
