//! Declaring which texts of a label are searched by words and embedded, and going through the nodes
//! that were there before.

use std::sync::Arc;

use embedded_db_common::{ContentHash, Error, Result, Slot, Symbol, names};
use embedded_db_storage::{ReadEmbeddings, ReadSpaces, RecipeRecord, recipes};

use super::{Artefact, GraphWriter};
use crate::recipes::Recipes;

/// Nodes of one step.
const STEP: usize = 1_000;

impl GraphWriter<'_, '_> {
    /// Declares which properties of the nodes with a label are searched by words, and which are
    /// embedded, in place of an earlier declaration.
    pub fn declare_label(&mut self, label: &str, text: &[String], embed: &[String]) -> Result<()> {
        names::check("a label", label)?;
        for property in text.iter().chain(embed) {
            names::check("a property name", property)?;
        }
        let label_symbol = self.txn.intern(label)?;
        if self.names.text_labels().contains(&label_symbol) {
            return Err(Error::InvalidInput(format!(
                "{label:?} is a label of the database's own, whose texts are fixed; declare another"
            )));
        }
        let mut symbols = |given: &[String]| -> Result<Vec<Symbol>> {
            let mut out = Vec::new();
            for property in given {
                let symbol = self.txn.intern(property)?;
                if !out.contains(&symbol) {
                    out.push(symbol);
                }
            }
            Ok(out)
        };
        let (text, embed) = (symbols(text)?, symbols(embed)?);
        let all = recipes(self.txn, self.namespace)?;
        let before = all.into_iter().find(|(known, _)| *known == label_symbol);
        let next = match &before {
            Some((_, known)) if known.embed == embed => known.next,
            None if embed.is_empty() => RecipeRecord::DONE,
            _ => Slot(0),
        };
        let recipe = RecipeRecord { next, text, embed };
        if before.is_none_or(|(_, known)| known != recipe) {
            self.txn.put_recipe(self.namespace, label_symbol, &recipe)?;
            self.recipes = None;
        }
        Ok(())
    }

    /// What is declared.
    pub(super) fn recipes(&mut self) -> Result<Arc<Recipes>> {
        if let Some(known) = &self.recipes {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(Recipes::read(self.txn, self.namespace)?);
        self.recipes = Some(Arc::clone(&read));
        Ok(read)
    }

    /// Goes on through the nodes that were there when a label was declared: those whose text has no
    /// vector wait for one, and vectors of another text go. Whether anything is left to do.
    pub fn work_on_recipe(&mut self, label: Symbol) -> Result<bool> {
        let all = Recipes::read(self.txn, self.namespace)?;
        let found = all.labels().iter().find(|(known, _)| *known == label);
        let Some((_, recipe)) = found.filter(|(_, recipe)| recipe.next != RecipeRecord::DONE)
        else {
            return Ok(false);
        };
        let (slots, next) = self.labelled_from(label, recipe.next, STEP)?;
        for slot in &slots {
            self.check_vectors(&all, *slot)?;
        }
        let recipe = RecipeRecord { next: next.unwrap_or(RecipeRecord::DONE), ..recipe.clone() };
        self.txn.put_recipe(self.namespace, label, &recipe)?;
        self.recipes = None;
        Ok(next.is_some())
    }

    fn check_vectors(&mut self, recipes: &Recipes, slot: Slot) -> Result<()> {
        let text = recipes.embedded_text(self.names, &self.node(slot)?)?;
        let wanted = text.map(|text| ContentHash::of(&text.text));
        let (default, current) = (self.txn.default_space()?, self.txn.model_space()?);
        let next = self.txn.next_space()?;
        let (mut settled, mut settled_next) = (wanted.is_none(), wanted.is_none());
        for (space, _) in self.txn.spaces()? {
            let parts = self.txn.embeddings_of(self.namespace, space, slot)?;
            let Some((_, first)) = parts.first() else { continue };
            let (by_user, right) = (first.set_by_user, Some(first.content) == wanted);
            drop(parts);
            if !by_user && !right {
                self.txn.delete_embeddings(self.namespace, space, slot)?;
            }
            let space = Some(space);
            settled |= if by_user { default == space } else { right && current == space };
            settled_next |= (by_user || right) && next == space;
        }
        for (artefact, settled) in [
            (Artefact::Embedding, settled),
            (Artefact::Reembedding, settled_next || next.is_none()),
        ] {
            self.done(artefact, slot)?;
            if !settled {
                self.mark(artefact, slot)?;
            }
        }
        Ok(())
    }
}
