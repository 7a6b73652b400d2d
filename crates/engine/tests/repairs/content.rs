//! What a database holds, as users see it.

use std::collections::BTreeMap;

use embedded_db_engine::{Artefact, Database, Edge};

use crate::common::{go_on, properties};

/// What is in a namespace: nodes, edges with their versions, vectors, by id, each as one text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Content {
    pub(crate) nodes: BTreeMap<String, String>,
    pub(crate) edges: BTreeMap<String, Vec<String>>,
    /// Source and target of each edge.
    pub(crate) ends: BTreeMap<String, (String, String)>,
    pub(crate) embeddings: BTreeMap<String, String>,
    pub(crate) due: BTreeMap<String, Vec<Artefact>>,
    pub(crate) indexes: Vec<String>,
    pub(crate) labels: Vec<String>,
}

/// All namespaces.
pub(crate) type Contents = BTreeMap<String, Content>;

fn edge(edge: &Edge) -> String {
    let mut values = Vec::new();
    edge.each_property(&mut |name, value| {
        values.push((name.to_owned(), value.to_value()?));
        Ok(())
    })
    .unwrap();
    format!(
        "{} {} {} {:?} {:x} {:?} {:?} {values:?}",
        edge.source(),
        edge.target(),
        edge.edge_type().unwrap(),
        edge.times().unwrap(),
        edge.weight().unwrap().to_bits(),
        (edge.derived().unwrap(), edge.version().unwrap()),
        edge.sources().unwrap(),
    )
}

pub(crate) fn content(db: &Database) -> Content {
    let mut out = Content::default();
    let spaces: Vec<String> =
        db.spaces().unwrap().into_iter().map(|(space, ..)| space.name).collect();
    for node in db.nodes(None, None, usize::MAX).unwrap() {
        let id = node.id().unwrap();
        let told = format!(
            "{:?} {:?} {:?} {:?} {:?}",
            node.labels().unwrap(),
            (node.created_at().unwrap(), node.updated_at().unwrap(), node.expires_at().unwrap()),
            node.derived().unwrap(),
            node.version().unwrap(),
            properties(&node),
        );
        out.nodes.insert(id.clone(), told);
        for space in &spaces {
            for vector in db.embeddings(&id, Some(space)).unwrap() {
                let bits: Vec<u32> = vector.vector.iter().map(|it| it.to_bits()).collect();
                let told = format!(
                    "{id} {space} {} {} {} {bits:x?}",
                    vector.part, vector.set_by_user, vector.created_at
                );
                out.embeddings.insert(vector.id, told);
            }
        }
    }
    for newest in db.edges_ever(None, usize::MAX).unwrap() {
        let id = newest.id().unwrap();
        let versions = db.edge_history(&id).unwrap();
        out.edges.insert(id.clone(), versions.iter().map(edge).collect());
        out.ends.insert(id, (newest.source().to_owned(), newest.target().to_owned()));
    }
    let ids: Vec<String> = out.nodes.keys().cloned().collect();
    out.due = ids.iter().cloned().zip(db.due(&ids).unwrap()).collect();
    let indexes = db.indexes(&go_on).unwrap();
    out.indexes = indexes
        .iter()
        .map(|it| format!("{}.{} {} {}", it.label, it.property, it.unique, it.state))
        .collect();
    out.labels = db.declared_labels().unwrap().iter().map(|it| format!("{it:?}")).collect();
    out
}

pub(crate) fn contents(db: &Database) -> Contents {
    let names = db.namespaces().unwrap().into_iter();
    names.map(|name| (name.clone(), content(&db.namespace(&name).unwrap()))).collect()
}
