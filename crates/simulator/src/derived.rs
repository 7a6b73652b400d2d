//! What the weaver makes of texts, once it has nothing left to do: a function of the texts alone.

use std::collections::{BTreeMap, BTreeSet};

use embedded_db_engine::common::{Result, Value};
use embedded_db_engine::{AsOf, Database, Edge, Reach};
use embedded_db_testing::FakeModels;

use crate::reading::{Reads, property};
use crate::world::{Graph, NOTE, THING};

/// The name of the space of the models' vectors.
const SPACE: &str = "fake";

fn text(value: Option<&Value>) -> &str {
    match value {
        Some(Value::Str(text)) => text,
        _ => "",
    }
}

impl Graph {
    /// Messages that say something, with what they say.
    fn said(&self) -> BTreeMap<&str, &str> {
        let messages = self.nodes.iter().filter(|(_, node)| node.label == "Message");
        messages
            .map(|(id, node)| (id.as_str(), text(node.values.get("content"))))
            .filter(|(_, content)| !content.trim().is_empty())
            .collect()
    }

    /// Nodes with the text that is embedded of them.
    fn embedded(&self) -> BTreeMap<&str, &str> {
        let mut out = self.said();
        if self.declared {
            let things = self.nodes.iter().filter(|(_, node)| node.label == THING);
            let notes = things.map(|(id, node)| (id.as_str(), text(node.values.get(NOTE))));
            out.extend(notes.filter(|(_, note)| !note.trim().is_empty()));
        }
        out
    }

    /// Nodes whose texts have a word.
    pub(crate) fn with_word(&self, word: &str) -> BTreeSet<&str> {
        let has = |(_, text): &(&str, &str)| text.split(' ').any(|other| other == word);
        self.embedded().into_iter().filter(has).map(|(id, _)| id).collect()
    }
}

/// Names in a text, folded, each with how often it is there.
fn names(content: &str) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for word in content.split(' ').filter(|word| word.starts_with(char::is_uppercase)) {
        *out.entry(word.to_lowercase()).or_default() += 1;
    }
    out
}

/// In what the derived data of a namespace are not as they should be.
pub(crate) fn differences(db: &Database, graph: &Graph) -> Result<Vec<String>> {
    let mut check = Check { db, wrong: Vec::new() };
    check.vectors(graph)?;
    let names_of = check.entities(graph)?;
    check.mentions(graph, &names_of)?;
    check.relations(graph, &names_of)?;
    check.summaries(graph)?;
    Ok(check.wrong)
}

struct Check<'d> {
    db: &'d Database,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn expect<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, expected: T) {
        if found != expected {
            self.wrong.push(format!("{what}: {found:?} instead of {expected:?}"));
        }
    }

    fn vectors(&mut self, graph: &Graph) -> Result<()> {
        let embedded = graph.embedded();
        for (id, text) in &embedded {
            let found = self.db.embedding_of(id, Some(SPACE))?.map(|found| found.vector);
            self.expect(&format!("the vector of {id}"), found, Some(FakeModels::vector(text)));
        }
        let all = (embedded.len() + graph.vectors.len()) as u64;
        self.expect("vectors", self.db.stats()?.embeddings, all);
        Ok(())
    }

    /// The names of the entities, by their ids.
    fn entities(&mut self, graph: &Graph) -> Result<BTreeMap<String, String>> {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for content in graph.said().values() {
            for name in names(content).into_keys() {
                *counts.entry(name).or_default() += 1;
            }
        }
        let (mut found, mut names_of) = (BTreeMap::new(), BTreeMap::new());
        for entity in self.db.nodes(Some("Entity"), None, usize::MAX)? {
            let name = text(property(&entity, "label")?.as_ref()).to_lowercase();
            let count = match property(&entity, "mention_count")? {
                Some(Value::Int(count)) => count,
                _ => -1,
            };
            names_of.insert(entity.id()?, name.clone());
            if found.insert(name.clone(), count).is_some() {
                self.wrong.push(format!("two entities are named {name}"));
            }
        }
        self.expect("entities", found, counts);
        Ok(names_of)
    }

    fn edges(&self, id: &str, kind: &str) -> Result<Vec<Edge>> {
        let (kinds, times) = ([kind.to_owned()], AsOf::default());
        let page = self.db.edges(id, Some(&kinds), Reach::Out, times, None, usize::MAX)?;
        Ok(page.items)
    }

    fn mentions(&mut self, graph: &Graph, names_of: &BTreeMap<String, String>) -> Result<()> {
        let said = graph.said();
        for (id, node) in &graph.nodes {
            if node.label != "Message" {
                continue;
            }
            let mut found = BTreeMap::new();
            for edge in self.edges(id, "MENTIONS")? {
                let name = names_of.get(edge.target()).cloned().unwrap_or_default();
                found.insert(name, edge.weight()? as usize);
            }
            let expected = said.get(id.as_str()).map(|content| names(content)).unwrap_or_default();
            self.expect(&format!("mentions of {id}"), found, expected);
        }
        Ok(())
    }

    fn relations(&mut self, graph: &Graph, names_of: &BTreeMap<String, String>) -> Result<()> {
        let mut expected: BTreeMap<[String; 2], BTreeSet<String>> = BTreeMap::new();
        for (id, content) in graph.said() {
            let names: Vec<String> = names(content).into_keys().collect();
            for (place, one) in names.iter().enumerate() {
                for two in &names[place + 1..] {
                    let pair = [one.clone(), two.clone()];
                    expected.entry(pair).or_default().insert(id.to_owned());
                }
            }
        }
        let mut found = BTreeMap::new();
        for (id, name) in names_of {
            for edge in self.edges(id, "RELATED_TO")? {
                let other = names_of.get(edge.target()).cloned().unwrap_or_default();
                let mut pair = [name.clone(), other];
                pair.sort();
                let sources: BTreeSet<String> = edge.sources()?.into_iter().collect();
                self.expect("the weight of a relation", edge.weight()? as usize, sources.len());
                if found.insert(pair.clone(), sources).is_some() {
                    self.wrong.push(format!("{pair:?} are related twice"));
                }
            }
        }
        self.expect("relations", found, expected);
        Ok(())
    }

    fn summaries(&mut self, graph: &Graph) -> Result<()> {
        let (said, mut count) = (graph.said(), 0);
        for (chat, messages) in &graph.chats {
            let told: Vec<&str> = messages
                .iter()
                .filter_map(|id| said.get_key_value(id.as_str()).map(|(id, _)| *id))
                .collect();
            let found = self.db.neighbors_of(chat, "SUMMARIZES", Reach::In)?;
            let (Some(first), Some(last)) = (told.first(), told.last()) else {
                self.expect(&format!("summaries of {chat}"), found, Vec::new());
                continue;
            };
            count += 1;
            let summary = match found.as_slice() {
                [one] => self.db.get_node(one)?,
                _ => None,
            };
            let Some(summary) = summary else {
                self.wrong.push(format!("{chat} has the summaries {found:?}"));
                continue;
            };
            for (name, expected) in
                [("text", said[first].trim()), ("first_message", *first), ("last_message", *last)]
            {
                let found = property(&summary, name)?;
                self.expect(
                    &format!("{name} of the summary of {chat}"),
                    text(found.as_ref()),
                    expected,
                );
            }
        }
        self.expect("summaries", self.db.count(Some("Summary"))?, count);
        Ok(())
    }
}
