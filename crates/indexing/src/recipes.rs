//! Which texts of a node are searched by words and embedded: those of the labels that the database
//! knows, and those that are declared.

use embedded_db_common::{NamespaceId, Result, Slot, Symbol};
use embedded_db_storage::{NodeRecord, ReadTxn, RecipeRecord, recipes};

use crate::schema::{MessageText, Names, append_texts, each_text};
use crate::sessions::Message;

/// One of the texts that make the searchable text of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPiece<'a> {
    /// The property that it is a value of…
    pub property: Symbol,
    /// …or an item of, by its place.
    pub item: Option<usize>,
    /// The text.
    pub text: &'a str,
}

/// What is declared of the labels of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Recipes {
    labels: Vec<(Symbol, RecipeRecord)>,
}

impl Recipes {
    /// Reads them.
    pub fn read(txn: &impl ReadTxn, namespace: NamespaceId) -> Result<Self> {
        Ok(Self { labels: recipes(txn, namespace)? })
    }

    /// All of them, by symbol.
    pub fn labels(&self) -> &[(Symbol, RecipeRecord)] {
        &self.labels
    }

    /// Whether the same nodes are searched, by the same texts.
    pub fn searches_like(&self, other: &Self) -> bool {
        let texts = |recipes: &Self| -> Vec<(Symbol, Vec<Symbol>, Vec<Symbol>)> {
            let texts = recipes.labels.iter().filter(|(_, recipe)| recipe.has_texts());
            texts.map(|(label, it)| (*label, it.text.clone(), it.embed.clone())).collect()
        };
        texts(self) == texts(other)
    }

    /// The labels whose nodes a question is asked of: messages, and those with declared texts.
    pub fn asked_labels(&self, names: &Names) -> Vec<Symbol> {
        let declared = self.labels.iter().filter(|(_, recipe)| recipe.has_texts());
        std::iter::once(names.message).chain(declared.map(|(label, _)| *label)).collect()
    }

    /// What the view of sessions keeps of a node, but for its number of words; `None` when no
    /// question is asked of it.
    pub fn session_message<'a>(
        &self,
        names: &Names,
        txn: &impl ReadTxn,
        node: &NodeRecord<'a>,
    ) -> Result<Option<Message<'a>>> {
        if let Some(message) = names.session_message(txn, node)? {
            return Ok(Some(message));
        }
        let has_texts =
            |(label, it): &(Symbol, RecipeRecord)| it.has_texts() && node.has_label(*label);
        Ok(self.labels.iter().any(has_texts).then_some(Message::default()))
    }

    /// The labels whose nodes may have a searchable text.
    pub fn text_labels(&self, names: &Names) -> Vec<Symbol> {
        let declared = self.labels.iter().filter(|(_, recipe)| !recipe.text.is_empty());
        names.text_labels().into_iter().chain(declared.map(|(label, _)| *label)).collect()
    }

    /// Whether nodes with one of these labels may be embedded by a declaration.
    pub fn embeds(&self, labels: &[Symbol]) -> bool {
        self.labels.iter().any(|(label, recipe)| !recipe.embed.is_empty() && labels.contains(label))
    }

    /// Whether a node is still to be looked at since one of its labels was declared.
    pub fn goes_through(&self, node: &NodeRecord<'_>, slot: Slot) -> bool {
        self.labels.iter().any(|(label, recipe)| slot >= recipe.next && node.has_label(*label))
    }

    /// The searchable text of a node; `None` when it has none.
    pub fn searchable_text(&self, names: &Names, node: &NodeRecord<'_>) -> Result<Option<String>> {
        let mut out = names.searchable_text(node)?.unwrap_or_default();
        for property in self.declared(node, |recipe| &recipe.text) {
            append_texts(node.properties, property, &mut out)?;
        }
        Ok((!out.is_empty()).then_some(out))
    }

    /// The texts that make the searchable text of a node, in its order.
    pub fn searchable_pieces<'a>(
        &self,
        names: &Names,
        node: &NodeRecord<'a>,
    ) -> Result<Vec<TextPiece<'a>>> {
        let mut pieces = Vec::new();
        let declared = self.declared(node, |recipe| &recipe.text);
        for property in names.searched_properties(node).into_iter().chain(declared) {
            each_text(node.properties, property, |item, text| {
                pieces.push(TextPiece { property, item, text });
            })?;
        }
        Ok(pieces)
    }

    /// The text by which a node is found, by words or by meaning, as a result shows it: that of a
    /// message without its sender. `None` when it has none.
    pub fn found_text(&self, names: &Names, node: &NodeRecord<'_>) -> Result<Option<String>> {
        let mut out = names.searched_words(node)?.unwrap_or_default();
        let mut properties = self.declared(node, |recipe| &recipe.text);
        for property in self.declared(node, |recipe| &recipe.embed) {
            if !properties.contains(&property) {
                properties.push(property);
            }
        }
        for property in properties {
            append_texts(node.properties, property, &mut out)?;
        }
        Ok((!out.is_empty()).then_some(out))
    }

    /// The text of a node that is embedded: that of a message, or else what is declared.
    pub fn embedded_text(
        &self,
        names: &Names,
        node: &NodeRecord<'_>,
    ) -> Result<Option<MessageText>> {
        if let Some(message) = names.message_text(node)? {
            return Ok(Some(message));
        }
        let mut text = String::new();
        for property in self.declared(node, |recipe| &recipe.embed) {
            append_texts(node.properties, property, &mut text)?;
        }
        Ok((!text.trim().is_empty()).then_some(MessageText { text, start: 0 }))
    }

    /// The properties that make the text of a node that is embedded.
    pub fn embedded_properties(&self, names: &Names, node: &NodeRecord<'_>) -> Vec<Symbol> {
        let mut out = self.declared(node, |recipe| &recipe.embed);
        if node.has_label(names.message) {
            out.extend([names.sender, names.content]);
        }
        out
    }

    /// The properties that are declared of the labels of a node, each once.
    fn declared(&self, node: &NodeRecord<'_>, of: fn(&RecipeRecord) -> &[Symbol]) -> Vec<Symbol> {
        let mut out = Vec::new();
        for (label, recipe) in &self.labels {
            if node.has_label(*label) {
                for property in of(recipe) {
                    if !out.contains(property) {
                        out.push(*property);
                    }
                }
            }
        }
        out
    }
}
