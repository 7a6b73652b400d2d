//! A small database in which rows were replaced by others, with right checksums: whatever they say, what
//! reads them and what writes beside them does it or tells the damage.

use std::sync::LazyLock;

use arbitrary::{Result as Given, Unstructured};
use embedded_db_common::{Draft, Result, Value};
use embedded_db_query::analytics::Scope;
use embedded_db_testing::Template;

use super::world::{IDS, open, world};
use super::{go_on, told};
use crate::{
    AddTo, AsOf, Begin, Changes, ConvergedQuery, Database, EdgeDraft, Filter, Manner, NodeDraft,
    Operator, OrderBy, Profile, Query, Rank, Reach, Search, SemanticLeg, Weights,
};

/// Most rows that are replaced.
const MOST: usize = 8;

/// Replaces the rows that bytes say, and uses what there is then.
///
/// # Panics
///
/// When an error is one that only a mistake of ours can cause.
pub fn rows(bytes: &[u8]) {
    let mut given = Unstructured::new(bytes);
    let Ok(first) = given.arbitrary::<u8>() else { return };
    static WORLD: LazyLock<Template> =
        LazyLock::new(|| Template::of(|path| world(path).expect("a small database").close()));
    let copy = WORLD.copy();
    let db = open(copy.path()).expect("a small database");
    let mut changes = Vec::new();
    while !given.is_empty() && changes.len() < MOST {
        changes.extend(Change::from(&mut given));
    }
    if told(replace(&db, changes)).is_none() {
        return;
    }
    // What was read before is known by those who read it after.
    if first & 1 == 0 {
        read(&db);
    }
    match first >> 1 & 7 {
        0 => drop(told(db.verify(&go_on))),
        1 => drop(told(db.verify_deep(&go_on))),
        2 => drop(told(db.logical_hash(&mut |_, _| Ok(())))),
        3 => drop(told(db.compact(&mut |_, _| Ok(())))),
        4 => drop(told(db.scrub(&mut |_, _| Ok(())))),
        5 => write(&db),
        6 => remove(&db),
        _ => {}
    }
    read(&db);
    ask(&db);
    db.close();
}

/// A row that is written anew.
struct Change {
    table: u8,
    nth: u8,
    edits: Vec<Edit>,
}

enum Edit {
    Key(u8, u8),
    Byte(u8, u8),
    Number(u8, u64),
    Insert(u8, Vec<u8>),
    Cut(u8),
}

impl Change {
    fn from(given: &mut Unstructured<'_>) -> Given<Self> {
        let (table, nth) = (given.arbitrary::<u8>()?, given.arbitrary()?);
        let mut edits = Vec::new();
        for _ in 0..given.int_in_range(1..=4)? {
            let at = given.arbitrary()?;
            edits.push(match given.int_in_range(0..=7)? {
                0 => Edit::Key(at, given.arbitrary()?),
                1 | 2 => Edit::Byte(at, given.arbitrary()?),
                3 => Edit::Number(at, given.arbitrary()?),
                4 => Edit::Number(at, u64::MAX),
                5 => Edit::Number(at, 1 << 63),
                6 => Edit::Insert(at, given.arbitrary()?),
                _ => Edit::Cut(at),
            });
        }
        Ok(Self { table: table % 18, nth, edits })
    }

    fn apply(&self, key: &mut Vec<u8>, payload: &mut Vec<u8>) {
        for edit in &self.edits {
            match edit {
                Edit::Key(at, byte) => {
                    if let Some(place) = key.get_mut(usize::from(*at)) {
                        *place = *byte;
                    } else {
                        key.push(*byte);
                    }
                }
                Edit::Byte(at, byte) => {
                    if let Some(place) = payload.get_mut(usize::from(*at)) {
                        *place = *byte;
                    }
                }
                Edit::Number(at, number) => {
                    let bytes = number.to_le_bytes();
                    for (place, byte) in payload.iter_mut().skip((*at).into()).zip(bytes) {
                        *place = byte;
                    }
                }
                Edit::Insert(at, bytes) => {
                    let at = usize::from(*at).min(payload.len());
                    payload.splice(at..at, bytes.iter().copied());
                }
                Edit::Cut(at) => payload.truncate((*at).into()),
            }
        }
    }
}

fn replace(db: &Database, changes: Vec<Change>) -> Result<()> {
    let store = std::sync::Arc::clone(&db.engine()?.store);
    store.write(move |txn| {
        for change in &changes {
            let replace = |key: &mut Vec<u8>, payload: &mut Vec<u8>| change.apply(key, payload);
            txn.replace_row(change.table, change.nth.into(), replace)?;
        }
        Ok(())
    })
}

fn read(db: &Database) {
    told(db.nodes(None, None, 100));
    told(db.nodes(Some("Thing"), Some("a"), 2));
    let edges = told(db.edges_ever(None, 100)).unwrap_or_default();
    for edge in &edges {
        told(edge.each_property(&mut |_, value| value.to_value().map(drop).map_err(Into::into)));
        told(edge.sources());
    }
    for id in IDS {
        let Some(Some(node)) = told(db.get_node(id)) else { continue };
        told(node.each_property(&mut |_, value| value.to_value().map(drop).map_err(Into::into)));
        told(node.labels());
        let ids = [id.to_owned()];
        told(db.due(&ids));
        let past = AsOf { valid_at: Some(1_500), known_at: Some(i64::MAX) };
        for times in [AsOf::default(), past] {
            told(db.neighbors(id, None, Reach::Any, times, None, 10));
            told(db.edges(id, None, Reach::Any, times, None, 10));
            told(db.traverse(id, None, Reach::Any, times, 3, false, 10, 1000, &go_on));
        }
        told(db.embeddings(id, None));
        told(db.artefact_status(id));
    }
    for id in ["e0", "e4"] {
        told(db.get_edge(id, AsOf::default()));
        told(db.edge_history(id));
    }
    told(db.get_embedding("v0"));
    told(db.messages("chat", Begin::AtTheEnd, false, 10));
    told(db.messages("chat", Begin::AtTheEnd, true, 10));
    told(db.place_in_chat("chat", "m1"));
    for weighted in [false, true] {
        let (way, times) = (Reach::Any, AsOf::default());
        told(db.shortest_path("a", "m1", None, way, times, Some(5), weighted, 1000, &go_on));
        let scope = Scope { weighted, max_visited: 1000, ..Scope::default() };
        told(db.graph(&scope, &["a".into()], None, &go_on));
    }
    told(db.subgraph(&["a".into()], 2, None, Reach::Any, AsOf::default(), 1000, &go_on));
    told(db.declared_labels());
    told(db.indexes(&go_on));
    told(db.namespaces());
    told(db.count(Some("Thing")));
    told(db.count_edges(None));
    told(db.failures());
    told(db.weaver_status());
    told(db.spaces());
    told(db.stats());
}

fn plain() -> Query {
    Query {
        query: ConvergedQuery {
            filters: Vec::new(),
            graph: None,
            semantic: None,
            text: None,
            labels: vec!["Thing".into(), "Message".into()],
            order_by: Vec::new(),
            limit: 10,
            rank: Rank::default(),
            recall: None,
            explain: true,
        },
        semantic: None,
        threshold: None,
        space: None,
        wait: None,
        timeout: None,
    }
}

fn ask(db: &Database) {
    let mut ordered = plain();
    ordered.query.order_by = vec![OrderBy { property: "n".into(), descending: true }];
    let mut ranged = plain();
    for (property, operator, value) in [
        ("t", Operator::GreaterThan, Value::Time(0)),
        ("n", Operator::NotEquals, Value::Int(0)),
        ("map.x", Operator::Exists, Value::Null),
    ] {
        ranged.query.filters.push(Filter::Test { property: property.into(), operator, value });
    }
    let mut equal = plain();
    let filter =
        Filter::Test { property: "n".into(), operator: Operator::Equals, value: Value::Int(7) };
    equal.query.filters.push(filter);
    let mut worded = plain();
    worded.query.text = Some("fox lake May".into());
    worded.semantic = Some(SemanticLeg::Vector(vec![1.0, 0.0, 0.5]));
    let mut said = plain();
    said.query.text = Some("What did Ann say on 8 May?".into());
    said.query.rank.recency_half_life = Some(1000.0);
    worded.query.rank.recency_half_life = Some(1000.0);
    for query in [&ordered, &ranged, &equal, &worded] {
        if let Some(answer) = told(db.query(query, None, &go_on)) {
            (0..answer.hits.len()).for_each(|at| drop(told(answer.text(at))));
        }
        told(db.group_count(query, "n", &go_on));
    }
    let mut weights = Weights::default();
    told(weights.set("semantic", 0.0));
    let manner = Manner { profile: Profile::Auto, weights, superseded: false };
    told(db.search(&Search { query: said, manner, chats: Vec::new() }, &go_on));
}

fn draft(text: &str) -> Draft {
    let mut draft = Draft::new();
    told(draft.set("text", &Value::Str(text.into())));
    told(draft.set("n", &Value::Int(40)));
    draft
}

fn write(db: &Database) {
    let mut node = NodeDraft::unlabelled(Some("new".into()), draft("new"));
    node.labels = vec!["Thing".into(), "Other".into()];
    told(db.create_node(node));
    for id in IDS {
        let changes = Changes { set: draft("changed"), remove: vec!["map".into()] };
        told(db.update_node(id, changes, None));
    }
    let message = NodeDraft::unlabelled(None, draft("said"));
    told(db.add_message("chat", message, AddTo::AnyChat));
    let edge = EdgeDraft {
        id: Some("e0".into()),
        source: "a".into(),
        target: "m1".into(),
        edge_type: "KNOWS".into(),
        properties: Draft::new(),
        weight: 1.0,
        valid_from: None,
        valid_to: None,
        sources: Vec::new(),
    };
    told(db.create_edge(EdgeDraft { id: Some("e9".into()), ..edge.clone() }));
    told(db.update_edge("e1", crate::EdgeChanges::default(), None));
    told(db.retract_edge("e2"));
    told(db.create_index("Thing", "text", false, &go_on));
    told(db.declare_label("Message", vec!["sender".into()], Vec::new()));
    told(db.update_embedding("v1", vec![1.0, 2.0, 3.0]));
    told(db.namespace("other"));
}

fn remove(db: &Database) {
    told(db.delete_edge("e4"));
    for id in IDS {
        told(db.delete_node(id, None));
    }
    told(db.delete_embedding("v0"));
    told(db.drop_index("Thing", "n"));
    told(db.delete_matching(&plain()));
    told(db.drop_namespace("default"));
}
