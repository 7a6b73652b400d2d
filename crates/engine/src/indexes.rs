//! Indexes made on demand, and how they are built in the background.

use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::{Error, NamespaceId, Result, SpaceId, Symbol};
use embedded_db_indexing::graph::{GraphWriter, duplicates};
use embedded_db_indexing::properties::{DeclaredIndex, declared_indexes};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{
    IndexId, IndexState, ReadPostings, ReadTxn, RecipeRecord, Store, recipes,
};

use crate::database::Database;
use crate::dropping::{clear, dropping};
use crate::reads::Reader;
use crate::sharing::forward;
use crate::worker::{Next, PAUSE, Work, Worker};

/// A label, its properties that are searched by words, and those that are embedded.
pub type DeclaredLabel = (String, Vec<String>, Vec<String>);

/// An index as users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// The label of its nodes.
    pub label: String,
    /// The property, or a dotted path into dicts.
    pub property: String,
    /// Whether two nodes may not have the same value.
    pub unique: bool,
    /// `building`, `ready` or `failed`.
    pub state: &'static str,
    /// Nodes in it.
    pub entries: u64,
    /// Why it failed; else empty.
    pub error: String,
}

impl Database {
    /// Makes an index over a property of the nodes with a label; one that is there already stays. It is
    /// built in the background, a unique one before this returns.
    pub fn create_index(
        &self,
        label: &str,
        property: &str,
        unique: bool,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<IndexInfo> {
        forward!(self, CreateIndex { label: label.into(), property: property.into(), unique });
        let (of, on) = (label.to_owned(), property.to_owned());
        let begun = self.write(move |writer| {
            let index = writer.create_index(&of, &on, unique)?;
            Ok((index, writer.work_on_index(index)?))
        });
        let (index, left) = match begun {
            Err(error) if unique && matches!(error.bare(), Error::Taken { .. }) => {
                return Err(self.why_not_unique(label, property, error, interrupted)?);
            }
            other => other?,
        };
        if left && unique {
            self.build_unique(index, label, property, interrupted)?;
        }
        self.engine()?.index_worker.resume()?;
        let found = self.find_index(label, property, interrupted)?;
        found.ok_or_else(|| Error::NotFound { kind: "index", id: format!("{label}.{property}") })
    }

    /// What is not unique leaves no index.
    fn build_unique(
        &self,
        index: IndexId,
        label: &str,
        property: &str,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let build = || -> Result<()> {
            while self.write(move |writer| writer.work_on_index(index))? {
                interrupted()?;
            }
            let found = self.find_index(label, property, interrupted)?;
            match found.filter(|found| found.state == "failed") {
                Some(found) => Err(Error::Taken { message: found.error, id: String::new() }),
                None => Ok(()),
            }
        };
        let Err(error) = build() else { return Ok(()) };
        let (of, on) = (label.to_owned(), property.to_owned());
        match self.write(move |writer| writer.drop_index(&of, &on)) {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(refused) => return Err(refused),
        }
        self.engine()?.index_worker.resume()?;
        if !matches!(error.bare(), Error::Taken { .. }) {
            return Err(error);
        }
        Err(self.why_not_unique(label, property, error, interrupted)?)
    }

    /// The error that lists all values which several nodes have, if they still do.
    fn why_not_unique(
        &self,
        label: &str,
        property: &str,
        error: Error,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Error> {
        let (engine, namespace) = (self.engine()?, self.namespace_id());
        let snapshot = engine.views.read(&engine.store, namespace)?;
        let found = duplicates(&snapshot, namespace, label, property, interrupted)?;
        Ok(found.unwrap_or(error))
    }

    /// Removes an index. Nobody uses it from now on; its room is freed in the background.
    pub fn drop_index(&self, label: &str, property: &str) -> Result<()> {
        forward!(self, DropIndex { label: label.into(), property: property.into() });
        let (of, on) = (label.to_owned(), property.to_owned());
        self.write(move |writer| {
            let index = writer.drop_index(&of, &on)?;
            writer.work_on_index(index)
        })?;
        self.engine()?.index_worker.resume()
    }

    /// The indexes of the namespace that were made on demand.
    pub fn indexes(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<Vec<IndexInfo>> {
        let snapshot = self.engine()?.store.read()?;
        let namespace = self.namespace_id();
        let mut out = Vec::new();
        for index in declared_indexes(&snapshot, namespace)? {
            if index.record.state != IndexState::Dropped {
                out.push(info(&snapshot, namespace, &index, interrupted)?);
            }
        }
        Ok(out)
    }

    /// Declares which texts of the nodes with a label are searched by words and embedded, in place of
    /// an earlier declaration. Nodes that are there already follow in the background.
    pub fn declare_label(&self, label: &str, text: Vec<String>, embed: Vec<String>) -> Result<()> {
        forward!(self, DeclareLabel { label: label.into(), text, embed });
        let of = label.to_owned();
        self.write(move |writer| writer.declare_label(&of, &text, &embed))?;
        let engine = self.engine()?;
        engine.seal_worker.look();
        engine.index_worker.resume()
    }

    fn find_index(
        &self,
        label: &str,
        property: &str,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Option<IndexInfo>> {
        let all = self.indexes(interrupted)?;
        Ok(all.into_iter().find(|index| index.label == label && index.property == property))
    }
}

impl Reader<'_> {
    pub(crate) fn declared_labels(&self) -> Result<Vec<DeclaredLabel>> {
        let snapshot = self.snapshot;
        let names = |symbols: &[Symbol]| -> Result<Vec<String>> {
            symbols.iter().map(|symbol| Ok(snapshot.symbol_name(*symbol)?.to_string())).collect()
        };
        let mut out = Vec::new();
        for (label, recipe) in recipes(snapshot, self.namespace)? {
            if !recipe.text.is_empty() || !recipe.embed.is_empty() {
                let label = snapshot.symbol_name(label)?.to_string();
                out.push((label, names(&recipe.text)?, names(&recipe.embed)?));
            }
        }
        Ok(out)
    }
}

fn info(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: &DeclaredIndex,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<IndexInfo> {
    let (mut entries, mut outcome) = (0, Ok(()));
    let state = match index.record.state {
        IndexState::Building => "building",
        IndexState::Ready => "ready",
        IndexState::Failed | IndexState::Dropped => "failed",
    };
    if index.record.is_kept() {
        txn.index_values(namespace, index.id, |_, container| {
            entries += container.len() as u64;
            outcome = interrupted();
            outcome.is_ok()
        })?;
    }
    outcome?;
    Ok(IndexInfo {
        label: txn.symbol_name(index.record.label)?.to_string(),
        property: index.property.to_string(),
        unique: index.record.unique,
        state,
        entries,
        error: index.record.error.clone(),
    })
}

/// Builds indexes, and removes what is left of dropped ones and of dropped spaces.
pub(crate) struct IndexWork {
    store: Arc<Store>,
    names: Names,
}

impl Worker<IndexWork> {
    /// Wakes it if there is something to do.
    pub(crate) fn resume(self: &Arc<Self>) -> Result<()> {
        if self.work.store.read_only() || self.work.next()?.is_none() {
            return Ok(());
        }
        self.wake()
    }
}

/// Something to do.
#[derive(Clone, Copy)]
enum Task {
    Index(NamespaceId, IndexId, IndexState),
    /// To go through the nodes with a label that was declared.
    Label(NamespaceId, Symbol),
    /// To remove what is left of a space that was dropped.
    Space(SpaceId),
}

impl Work for IndexWork {
    const NAME: &'static str = "indexes";
    const LONGEST_PAUSE: Duration = PAUSE;

    /// One step of one task.
    fn step(&self) -> Result<Next> {
        let names = self.names;
        match self.next()? {
            None => return Ok(Next::Nothing),
            Some(Task::Space(space)) => self.store.write(move |txn| clear(txn, space))?,
            Some(Task::Index(namespace, index, state)) => {
                self.work_on_index(namespace, index, state)?;
            }
            Some(Task::Label(namespace, label)) => {
                self.store.write(move |txn| {
                    GraphWriter::new(txn, &names, namespace).work_on_recipe(label)
                })?;
            }
        }
        Ok(Next::AtOnce)
    }

    /// What the disk refuses or has damaged may stay so.
    fn ends_the_wait(error: &Error) -> bool {
        use Error::{Corruption, StorageError, StorageFull};
        matches!(error, StorageFull { .. } | StorageError { .. } | Corruption { .. })
    }
}

impl IndexWork {
    pub(crate) fn new(store: Arc<Store>, names: Names) -> Self {
        Self { store, names }
    }

    /// The index fails for good where trying again would not help.
    fn work_on_index(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        state: IndexState,
    ) -> Result<()> {
        let names = self.names;
        let worked = self
            .store
            .write(move |txn| GraphWriter::new(txn, &names, namespace).work_on_index(index));
        match worked {
            Err(error) if state == IndexState::Building && is_final(&error) => {
                let why = error.to_string();
                self.store.write(move |txn| {
                    GraphWriter::new(txn, &names, namespace).fail_index(index, &why)
                })
            }
            worked => worked.map(drop),
        }
    }

    fn next(&self) -> Result<Option<Task>> {
        let snapshot = self.store.read()?;
        for (_, namespace) in snapshot.namespaces()? {
            for index in declared_indexes(&snapshot, namespace)? {
                if matches!(index.record.state, IndexState::Building | IndexState::Dropped) {
                    return Ok(Some(Task::Index(namespace, index.id, index.record.state)));
                }
            }
            for (label, recipe) in recipes(&snapshot, namespace)? {
                if recipe.next != RecipeRecord::DONE {
                    return Ok(Some(Task::Label(namespace, label)));
                }
            }
        }
        Ok(dropping(&snapshot)?.map(Task::Space))
    }
}

/// Whether trying again would not help: the values themselves cannot be indexed.
fn is_final(error: &Error) -> bool {
    matches!(error.bare(), Error::Taken { .. } | Error::InvalidInput(_) | Error::Corruption { .. })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn one_who_waits_is_told_of_a_disk_that_has_failed() {
        let (path, detail) = (PathBuf::from("db"), String::from("a sync has failed"));
        assert!(IndexWork::ends_the_wait(&Error::StorageError { path, detail }));
        assert!(!IndexWork::ends_the_wait(&Error::Internal("for once".into())));
    }
}
