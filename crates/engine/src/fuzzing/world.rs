//! A small database with something of everything.

use std::path::Path;

use embedded_db_common::{Draft, Durability, Options, Result, Value};

use super::go_on;
use crate::{AddTo, Changes, Database, EdgeChanges, EdgeDraft, EmbeddingDraft, Expiry, NodeDraft};

/// Ids of nodes, and of one that is none.
pub(super) const IDS: [&str; 8] = ["a", "b", "c", "d", "m0", "m1", "chat", "nobody"];
/// Names of properties, labels and edge types, and of some that nothing has.
pub(super) const NAMES: [&str; 16] = [
    "n",
    "t",
    "text",
    "list",
    "map",
    "map.x",
    "map.x.y",
    "id",
    "created_at",
    "Thing",
    "Message",
    "KNOWS",
    "NEXT",
    "timestamp",
    "weight",
    "none",
];

/// Opens a database, without models.
pub(super) fn open(path: &Path) -> Result<Database> {
    let options = Options { durability: Durability::Memory, ..Options::default() };
    Database::open(path, &options, None)
}

/// The small database.
pub(super) fn world(path: &Path) -> Result<Database> {
    let db = open(path)?;
    db.declare_label("Thing", vec!["text".into()], Vec::new())?;
    for (property, unique) in [("n", false), ("t", true), ("map.x", false)] {
        db.create_index("Thing", property, unique, &go_on)?;
    }
    db.create_nodes((0..4).map(thing).collect::<Result<_>>()?)?;
    for n in 0..3 {
        let mut message = Draft::new();
        message.set("content", &Value::Str(format!("Ann went to the lake on {n} May 2023")))?;
        message.set("sender", &Value::Str("Ann".into()))?;
        message.set("timestamp", &Value::Time(1_683_000_000_000_000 + n * 3_600_000_000))?;
        let message = NodeDraft::unlabelled(Some(format!("m{n}")), message);
        db.add_message("chat", message, AddTo::AnyChat)?;
    }
    let ends = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a"), ("a", "b"), ("d", "m1")];
    db.create_edges((0..).zip(ends).map(edge).collect::<Result<_>>()?)?;
    let changes = EdgeChanges { weight: Some(0.5), ..EdgeChanges::default() };
    db.update_edge("e0", changes, None)?;
    db.retract_edge("e4")?;
    for (n, id) in ["a", "b", "m0"].into_iter().enumerate() {
        let vector = vec![n as f32, 1.0, -0.5];
        let (embedding, node_id) = (Some(format!("v{n}")), id.to_owned());
        db.create_embedding(EmbeddingDraft { id: embedding, node_id, space: None, vector })?;
    }
    let mut set = Draft::new();
    set.set("n", &Value::Int(7))?;
    db.update_node("b", Changes { set, remove: vec!["list".into()] }, None)?;
    Ok(db)
}

fn thing(n: i64) -> Result<NodeDraft> {
    let mut draft = Draft::new();
    let texts = ["The red fox", "a lake in May", "Zürich’s FOX", ""];
    draft.set("text", &Value::Str(texts[n as usize].into()))?;
    draft.set("n", &if n == 2 { Value::Float(f64::NAN) } else { Value::Int(n - 1) })?;
    draft.set("t", &Value::Time(n << 40))?;
    draft.set("list", &Value::List(vec![Value::Int(n), Value::Null, Value::Bool(true)]))?;
    let inner = Value::Map(vec![("y".into(), Value::Bytes(vec![n as u8, 0]))]);
    draft.set("map", &Value::Map(vec![("x".into(), inner)]))?;
    let id = IDS[n as usize].to_owned();
    let expiry = if n == 3 { Expiry::After(1 << 60) } else { Expiry::Never };
    let labels = vec!["Thing".to_owned()];
    Ok(NodeDraft { labels, expiry, ..NodeDraft::unlabelled(Some(id), draft) })
}

fn edge((n, (source, target)): (usize, (&str, &str))) -> Result<EdgeDraft> {
    let mut properties = Draft::new();
    properties.set("n", &Value::Int(n as i64))?;
    Ok(EdgeDraft {
        id: Some(format!("e{n}")),
        source: source.to_owned(),
        target: target.to_owned(),
        edge_type: "KNOWS".into(),
        properties,
        weight: 1.0,
        valid_from: (n == 1).then_some(1_000),
        valid_to: (n == 1).then_some(2_000),
        sources: Vec::new(),
    })
}
