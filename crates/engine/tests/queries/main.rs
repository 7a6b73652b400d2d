//! A query answers as a plain reading of everything would: the same nodes, exactly as many, the same
//! scores. And a query over an older instant sees that instant, whatever was written since.
//!
//! The cases are the same in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` give others.

#![allow(clippy::unwrap_used)] // helpers of tests

mod by_hand;
#[path = "../common/mod.rs"]
mod common;
mod histories;
mod reference;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{go_on, sealing, seeded};
use embedded_db_common::{Error, Value};
use embedded_db_engine::{
    Answer, ConvergedQuery, Database, Filter, Operator, PinnedReads, Query, SemanticLeg,
};
use histories::{Ask, any_ask, any_write, write};
use proptest::prelude::*;
use reference::{State, assert_answer};

/// Whatever is asked over whatever answers.
trait Answers {
    fn ask(&self, query: &Query) -> Result<Answer, Error>;
}

impl Answers for Database {
    fn ask(&self, query: &Query) -> Result<Answer, Error> {
        self.query(query, None, &go_on)
    }
}

impl Answers for PinnedReads {
    fn ask(&self, query: &Query) -> Result<Answer, Error> {
        self.query(query, None, &go_on)
    }
}

fn assert_right(db: &impl Answers, state: &State, ask: &Ask) {
    let mut query = ask.query.clone();
    let asked = Query {
        query: query.clone(),
        semantic: ask.vector.clone().map(SemanticLeg::Vector),
        threshold: ask.threshold,
        space: None,
        wait: None,
        timeout: None,
    };
    let answer = db.ask(&asked);
    query.semantic = ask
        .vector
        .clone()
        .map(|vector| embedded_db_query::Semantic { vector, threshold: ask.threshold });
    let empty = query.filters.is_empty()
        && query.graph.is_none()
        && query.semantic.is_none()
        && query.text.is_none()
        && query.labels.is_empty();
    let error = answer.as_ref().err();
    if empty || query.filters.iter().any(is_contradictory) {
        assert!(matches!(error, Some(Error::InvalidQuery { .. })), "{error:?}");
        return;
    }
    let mut starts = query.graph.iter().flat_map(|graph| &graph.start);
    if let Some(unknown) = starts.find(|id| !state.rows.contains_key(*id)) {
        let named = matches!(error, Some(Error::NotFound { kind: "node", id }) if id == unknown);
        assert!(named, "{error:?}");
        return;
    }
    assert_answer(state, &query, &answer.unwrap());
}

/// Whether no value could ever fulfil a condition inside.
fn is_contradictory(filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters.iter().any(is_contradictory),
        Filter::Not(filter) => is_contradictory(filter),
        Filter::Test { operator: Operator::Between, value: Value::List(bounds), .. } => {
            !bounds[0].comparable(&bounds[1]) || bounds[0].compare(&bounds[1]).is_gt()
        }
        Filter::Test { .. } => false,
    }
}

proptest! {
    #![proptest_config(seeded(5, 120))]

    /// Asked of the newest state, and of each instant that was pinned on the way.
    #[test]
    fn answers_are_those_of_a_plain_reading(
        writes in prop::collection::vec(any_write(), 20..160),
        asks in prop::collection::vec(any_ask(), 1..12),
    ) {
        let db = Database::open(":memory:", &sealing(), None).unwrap();
        let mut state = State::default();
        let mut pins = Vec::new();
        for (n, change) in writes.iter().enumerate() {
            write(&db, &mut state, change);
            if n % 50 == 17 {
                pins.push((db.snapshot().unwrap(), state.clone()));
            }
            if n % 50 == 31 {
                // The views are loaded now and must follow from here.
                assert_right(&db, &state, &asks[n % asks.len()]);
            }
        }
        for ask in &asks {
            assert_right(&db, &state, ask);
            for (pin, state) in &pins {
                assert_right(pin, state, ask);
            }
        }
        common::assert_sound(&db);
    }
}

proptest! {
    #![proptest_config(seeded(5, 12))]

    /// A writer in another thread works through all of it.
    #[test]
    fn an_older_instant_answers_the_same_while_others_write(
        first in prop::collection::vec(any_write(), 60..100),
        second in prop::collection::vec(any_write(), 60..100),
        asks in prop::collection::vec(any_ask(), 2..5),
    ) {
        let db = Database::open(":memory:", &sealing(), None).unwrap();
        let mut state = State::default();
        first.iter().for_each(|change| write(&db, &mut state, change));
        let pin = db.snapshot().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (db, mut state, done) = (db.clone(), state.clone(), Arc::clone(&done));
            move || {
                second.iter().for_each(|change| write(&db, &mut state, change));
                done.store(true, Ordering::Release);
                state
            }
        });
        loop {
            let finished = done.load(Ordering::Acquire);
            for ask in &asks {
                assert_right(&pin, &state, ask);
                // Somebody must load the views and bring them on.
                let semantic = Some(SemanticLeg::Vector(vec![1.0; 4]));
                let query = ConvergedQuery { text: Some("rust".into()), ..ask.query.clone() };
                let (threshold, space, wait, timeout) = Default::default();
                drop(db.ask(&Query { query, semantic, threshold, space, wait, timeout }));
            }
            if finished {
                break;
            }
        }
        let newest = writer.join().unwrap();
        for ask in &asks {
            assert_right(&db, &newest, ask);
            assert_right(&pin, &state, ask);
        }
    }
}
