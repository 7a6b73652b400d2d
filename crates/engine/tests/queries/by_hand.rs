//! Single queries whose answers can be told by hand.

use std::collections::BTreeMap;

use embedded_db_common::{Error, Value};
use embedded_db_engine::{
    AddTo, Answer, Changes, ConvergedQuery, Filter, NodeDraft, Operator, Query, Rank, SemanticLeg,
};

use crate::Answers;
use crate::common::{draft, go_on, node, text, vector, without_models};
use crate::reference::CLOSE;

fn plain(query: ConvergedQuery) -> Query {
    let (semantic, threshold, space, wait, timeout) = Default::default();
    Query { query, semantic, threshold, space, wait, timeout }
}

fn nothing() -> ConvergedQuery {
    ConvergedQuery {
        filters: Vec::new(),
        graph: None,
        semantic: None,
        text: None,
        labels: Vec::new(),
        order_by: Vec::new(),
        limit: 10,
        rank: Rank::default(),
        recall: None,
        explain: false,
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.hits.iter().map(|hit| hit.node.id().unwrap()).collect()
}

#[test]
fn a_condition_that_says_nothing_restricts_nothing() {
    let db = without_models();
    db.create_nodes(vec![node("a", "Thing", &[]), node("b", "Thing", &[])]).unwrap();
    db.delete_node("a", None).unwrap();
    for filter in [Filter::All(Vec::new()), Filter::Not(Box::new(Filter::Any(Vec::new())))] {
        let query = ConvergedQuery { filters: vec![filter.clone()], ..nothing() };
        assert_eq!(ids(&db.ask(&plain(query)).unwrap()), ["b"], "{filter:?}");
    }
}

/// Words beyond what an index keeps, with equal beginnings.
#[test]
fn long_and_odd_indexed_texts_are_told_apart() {
    let db = without_models();
    let long = |end: &str| format!("{}{end}", "x".repeat(250));
    let values = ["", "a", "a\0", "a\0b", "é", &long("1"), &long("2"), &"x".repeat(200)];
    for (n, value) in values.iter().enumerate() {
        let given = [("chat_id", text(value))];
        db.create_nodes(vec![node(&format!("n{n}"), "Thing", &given)]).unwrap();
    }
    for (n, value) in values.iter().enumerate() {
        let lists = Value::List(vec![text(value), text("nobody")]);
        for (operator, value) in [(Operator::Equals, text(value)), (Operator::In, lists)] {
            let filter = Filter::Test { property: "chat_id".into(), operator, value };
            let query = ConvergedQuery { filters: vec![filter], ..nothing() };
            assert_eq!(ids(&db.ask(&plain(query)).unwrap()), [format!("n{n}")]);
        }
    }
}

/// `N(t) = F(t) + .3 F(t±1) + .1 F(t±2)` inside a chat.
#[test]
fn adjacent_messages_lend_each_other_score() {
    let db = without_models();
    let contents = ["plum", "zinc", "rust plum", "zinc", "storm", "fjord", "rust"];
    for (n, content) in contents.iter().enumerate() {
        let id = format!("m{n}");
        let given = draft(&[("content", text(content))]);
        let message = NodeDraft::unlabelled(Some(id.clone()), given);
        db.add_messages("c", vec![message], AddTo::AnyChat).unwrap();
        let angle = n as f32 / 3.0;
        let values = [angle.cos(), angle.sin()];
        db.create_embeddings(vec![vector(&format!("v{n}"), &id, None, &values)]).unwrap();
    }
    let ask = |neighbors: f32| {
        let rank = Rank { neighbors: Some(neighbors), ..Rank::default() };
        let labels = vec!["Message".to_owned()];
        let query = ConvergedQuery { text: Some("rust".into()), labels, rank, ..nothing() };
        let semantic = Some(SemanticLeg::Vector(vec![1.0, 0.0]));
        let answer = db.ask(&Query { semantic, ..plain(query) }).unwrap();
        let score = |hit: &embedded_db_engine::AnsweredHit| {
            (hit.node.id().unwrap(), f64::from(hit.hit.score))
        };
        answer.hits.iter().map(score).collect::<BTreeMap<_, _>>()
    };
    let (base, lent) = (ask(0.0), ask(0.3));
    assert_eq!((base.len(), lent.len()), (7, 7));
    let of = |n: i32| base.get(&format!("m{n}")).copied().unwrap_or(0.0);
    for n in 0..7i32 {
        let expected = of(n) + 0.3 * (of(n - 1) + of(n + 1)) + 0.1 * (of(n - 2) + of(n + 2));
        let found = lent[&format!("m{n}")];
        assert!((found - expected).abs() < CLOSE, "m{n}: {found}, not {expected}");
    }
}

#[test]
fn a_query_sees_one_namespace() {
    let db = without_models();
    let other = db.namespace("other").unwrap();
    for (db, id) in [(&db, "here"), (&other, "there")] {
        let draft: NodeDraft = node(id, "Message", &[("content", text("rust"))]);
        db.create_nodes(vec![draft]).unwrap();
        let mut given = vector("", id, None, &[1.0, 0.0]);
        given.id = None;
        db.create_embeddings(vec![given]).unwrap();
    }
    for (db, id) in [(&db, "here"), (&other, "there")] {
        let query = ConvergedQuery { text: Some("rust".into()), ..nothing() };
        let semantic = Some(SemanticLeg::Vector(vec![1.0, 0.0]));
        assert_eq!(ids(&db.ask(&Query { semantic, ..plain(query.clone()) }).unwrap()), [id]);
        assert_eq!(ids(&db.ask(&plain(query)).unwrap()), [id]);
    }
}

/// A leg that ranks is refused, and never passed over: without it the set would be larger.
#[test]
fn what_ranks_is_no_set_to_count_or_change() {
    let db = without_models();
    db.create_nodes(vec![node("a", "Message", &[("content", text("rust"))])]).unwrap();
    db.create_embeddings(vec![vector("v", "a", None, &[1.0, 0.0])]).unwrap();
    let query = ConvergedQuery { labels: vec!["Message".into()], ..nothing() };
    let semantic = Some(SemanticLeg::Vector(vec![1.0, 0.0]));
    let leg = ConvergedQuery { text: Some("rust".into()), ..query.clone() };
    for ranking in [plain(leg), Query { semantic, ..plain(query.clone()) }] {
        let outcomes = [
            db.count_matching(&ranking, &go_on).map(drop),
            db.group_count(&ranking, "content", &go_on).map(drop),
            db.update_matching(&ranking, Changes::default()).map(drop),
            db.delete_matching(&ranking).map(drop),
        ];
        for outcome in outcomes {
            assert!(matches!(outcome, Err(Error::InvalidQuery { .. })), "{outcome:?}");
        }
    }
    assert_eq!(db.count_matching(&plain(query), &go_on).unwrap(), 1);
}
