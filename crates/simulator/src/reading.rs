//! What a database tells of itself, in the words of the model.

use embedded_db_engine::common::{Result, Value, ValueRef};
use embedded_db_engine::{AsOf, Begin, Database, Edge, Node, PinnedReads, Reach};

use crate::operation::{KINDS, VECTORS};
use crate::world::{
    SPACE, THING, Values, World, tell_chat, tell_declared, tell_edge, tell_index, tell_node,
    tell_space, tell_vector,
};

/// What handles and snapshots have in common.
pub(crate) trait Reads {
    fn all_nodes(&self) -> Result<Vec<Node>>;
    fn all_edges(&self) -> Result<Vec<Edge>>;
    fn vector(&self, id: &str) -> Result<Option<(String, String, Vec<f32>)>>;
    fn messages_of(&self, chat: &str) -> Result<Vec<String>>;
    fn neighbors_of(&self, id: &str, kind: &str, way: Reach) -> Result<Vec<String>>;
    fn has_declared(&self) -> Result<bool>;
    fn counts(&self) -> Result<(u64, [u64; 2])>;
}

macro_rules! reads {
    ($type:ty) => {
        impl Reads for $type {
            fn all_nodes(&self) -> Result<Vec<Node>> {
                self.nodes(None, None, usize::MAX)
            }

            fn all_edges(&self) -> Result<Vec<Edge>> {
                self.edges_ever(None, usize::MAX)
            }

            fn vector(&self, id: &str) -> Result<Option<(String, String, Vec<f32>)>> {
                let found = self.get_embedding(id)?;
                Ok(found.map(|found| (found.node_id, found.space, found.vector)))
            }

            fn messages_of(&self, chat: &str) -> Result<Vec<String>> {
                let found = self.messages(chat, Begin::AtTheEnd, false, usize::MAX)?;
                found.items.iter().map(|(node, _)| node.id()).collect()
            }

            fn neighbors_of(&self, id: &str, kind: &str, way: Reach) -> Result<Vec<String>> {
                let kinds = [kind.to_owned()];
                let page =
                    self.neighbors(id, Some(&kinds), way, AsOf::default(), None, usize::MAX)?;
                page.items.iter().map(Node::id).collect()
            }

            fn has_declared(&self) -> Result<bool> {
                Ok(self.declared_labels()?.iter().any(|(label, ..)| label == THING))
            }

            fn counts(&self) -> Result<(u64, [u64; 2])> {
                let [one, two] = KINDS.map(|kind| self.count_edges(Some(kind)));
                Ok((self.count(Some(THING))?, [one?, two?]))
            }
        }
    };
}

reads!(Database);
reads!(PinnedReads);

/// Whether the weaver has made it.
pub(crate) fn is_derived(label: &str) -> bool {
    matches!(label, "Entity" | "Summary" | "Topic")
}

pub(crate) fn label(node: &Node) -> Result<String> {
    Ok(node.labels()?.first().map(|label| label.to_string()).unwrap_or_default())
}

pub(crate) fn property(node: &Node, name: &str) -> Result<Option<Value>> {
    node.property(name, |value| Ok(value.to_value()?))
}

fn values(
    each: impl FnOnce(&mut dyn FnMut(&str, ValueRef<'_>) -> Result<()>) -> Result<()>,
) -> Result<Values> {
    let mut out = Values::new();
    each(&mut |name, value| {
        // When a message was said, the database decides.
        if name != "timestamp" {
            out.insert(name.to_owned(), value.to_value()?);
        }
        Ok(())
    })?;
    Ok(out)
}

/// What one node says.
pub(crate) fn told_node(node: &Node) -> Result<String> {
    let mut out = String::new();
    let values = values(|visit| node.each_property(visit))?;
    let (id, label, expires) = (node.id()?, label(node)?, node.expires_at()?.is_some());
    tell_node(&mut out, &id, &label, node.version()?, &values, expires);
    Ok(out)
}

/// One namespace, as [`World::told`] tells it but for its indexes.
pub(crate) fn told_graph(reads: &impl Reads, name: &str, out: &mut String) -> Result<()> {
    let mut nodes = Vec::new();
    for node in reads.all_nodes()? {
        let label = label(&node)?;
        if !is_derived(&label) {
            nodes.push((node.id()?, label, node));
        }
    }
    nodes.sort_by(|one, two| one.0.cmp(&two.0));
    out.push_str(&format!("namespace {name}\n"));
    for (_, _, node) in &nodes {
        out.push_str(&told_node(node)?);
    }
    let mut edges = Vec::new();
    for edge in reads.all_edges()? {
        let kind = edge.edge_type()?;
        if KINDS.contains(&&*kind) {
            let mut line = String::new();
            let ends = [edge.source(), &*kind, edge.target()];
            let retracted = edge.times()?.retracted_at.is_some();
            let (id, weight) = (edge.id()?, edge.weight()?);
            tell_edge(&mut line, &id, ends, weight, edge.version()?, retracted);
            edges.push(line);
        }
    }
    edges.sort();
    out.extend(edges);
    for which in 0..VECTORS {
        let id = format!("v{which}");
        if let Some((node, space, values)) = reads.vector(&id)? {
            let space = if space == SPACE { String::new() } else { format!(" in {space}") };
            tell_vector(out, &id, &(node + &space), &values);
        }
    }
    for (id, label, _) in &nodes {
        if label == "Chat" {
            tell_chat(out, id, &reads.messages_of(id)?);
        }
    }
    Ok(())
}

/// All namespaces, as [`World::told`] tells them.
pub(crate) fn told(db: &Database) -> Result<String> {
    let mut out = String::new();
    for name in db.namespaces()? {
        let graph = db.namespace(&name)?;
        told_graph(&graph, &name, &mut out)?;
        let mut indexes: Vec<_> = graph
            .indexes(&|| Ok(()))?
            .into_iter()
            .filter(|index| index.state != "failed")
            .map(|index| (index.property, index.unique))
            .collect();
        indexes.sort();
        for (property, unique) in indexes {
            tell_index(&mut out, &property, unique);
        }
        if graph.has_declared()? {
            tell_declared(&mut out);
        }
    }
    if db.spaces()?.iter().any(|(space, ..)| space.name == SPACE) {
        tell_space(&mut out);
    }
    Ok(out)
}

/// What is reached by edges from each node, and counted, against the model.
pub(crate) fn check_edges(reads: &impl Reads, world: &World) -> Result<Vec<String>> {
    let (graph, mut wrong) = (world.graph(), Vec::new());
    let mut expect = |what: String, found: String, expected: String| {
        if found != expected {
            wrong.push(format!("{what}: {found} instead of {expected}"));
        }
    };
    let of = |kind: &str| {
        let kind = kind.to_owned();
        graph.edges.values().filter(move |edge| edge.kind == kind)
    };
    for kind in KINDS {
        for node in graph.nodes.keys() {
            for (way, name) in [(Reach::Out, "from"), (Reach::In, "to")] {
                let mut found = reads.neighbors_of(node, kind, way)?;
                let mut expected: Vec<&str> = of(kind)
                    .filter(|edge| !edge.retracted)
                    .filter_map(|edge| match way {
                        Reach::Out => (edge.source == *node).then_some(edge.target.as_str()),
                        _ => (edge.target == *node).then_some(edge.source.as_str()),
                    })
                    .collect();
                found.sort();
                expected.sort_unstable();
                expect(
                    format!("{kind} {name} {node}"),
                    format!("{found:?}"),
                    format!("{expected:?}"),
                );
            }
        }
    }
    let things = graph.nodes.values().filter(|node| node.label == THING).count();
    let live = KINDS.map(|kind| of(kind).filter(|edge| !edge.retracted).count() as u64);
    let found = reads.counts()?;
    expect("counts".into(), format!("{found:?}"), format!("{:?}", (things as u64, live)));
    Ok(wrong)
}
