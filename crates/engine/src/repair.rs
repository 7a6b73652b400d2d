//! A new database of what reads of a damaged one.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_db_common::{Error, NamespaceId, Options, Result, Slot};
use embedded_db_indexing::graph::{GraphWriter, abandon_reembedding};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{Progress, ReadSpaces, ReadTxn, Repairing, Salvaged, Store};

use crate::database::{DEFAULT_NAMESPACE, Database};

/// Nodes of one write.
const NODES: usize = 2_000;

/// What was repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Where the new database lies.
    pub path: PathBuf,
    /// Bytes of its data file.
    pub bytes: u64,
    /// What is in it, and what is not.
    pub salvaged: Salvaged,
}

impl Database {
    /// Saves what reads of a damaged database in a new one, in a directory that does not exist or is
    /// empty. The damaged one is not written to. The new one is checked as a whole, page by page, before
    /// it gets its place.
    pub fn repair(path: &Path, to: &Path, progress: &mut Progress<'_>) -> Result<Repaired> {
        let repairing = Repairing::begin(path, to, progress)?;
        derive(&repairing, progress)?;
        let options = Options { read_only: true, ..Options::default() };
        let copy = Self::open(repairing.staging(), &options, None)?;
        let all = repairing.steps().0;
        let told = RefCell::new(progress);
        let report = copy.verify_deep(&|| told.borrow_mut()(all, all));
        let bytes = copy.engine().and_then(|engine| engine.store.file_size());
        copy.close();
        drop(copy);
        if let Some(problem) = report?.problems.first() {
            return Err(Error::Internal(format!("what was repaired does not agree: {problem}")));
        }
        let bytes = bytes?;
        let (path, salvaged) = repairing.publish()?;
        Ok(Repaired { path, bytes, salvaged })
    }
}

/// Makes what follows from the records that were saved.
fn derive(repairing: &Repairing, progress: &mut Progress<'_>) -> Result<()> {
    let store = repairing.open(&Options::default())?;
    let derived = derive_in(&store, repairing, progress);
    store.close();
    derived
}

fn derive_in(store: &Arc<Store>, repairing: &Repairing, progress: &mut Progress<'_>) -> Result<()> {
    let names = store.write(|txn| {
        let names = Names::create(txn)?;
        txn.create_namespace(DEFAULT_NAMESPACE)?;
        Ok(names)
    })?;
    // Without the space that they are for nobody would do this.
    store
        .write(|txn| if txn.next_space()?.is_none() { abandon_reembedding(txn) } else { Ok(()) })?;
    let (all, left) = repairing.steps();
    let snapshot = store.read()?;
    let (mut nodes, mut done) = (0, 0);
    let namespaces: Vec<NamespaceId> =
        snapshot.namespaces()?.into_iter().map(|(_, namespace)| namespace).collect();
    for namespace in &namespaces {
        nodes += snapshot.namespace_counters(*namespace)?.nodes;
    }
    drop(snapshot);
    let mut tell = |more: usize| {
        done += more as u64;
        progress(all - left + left * done.min(nodes) / nodes.max(1), all)
    };
    for namespace in namespaces {
        derive_namespace(store, names, namespace, repairing, &mut tell)?;
    }
    Ok(())
}

fn derive_namespace(
    store: &Arc<Store>,
    names: Names,
    namespace: NamespaceId,
    repairing: &Repairing,
    tell: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let (mut next, lost_work) = (Some(Slot(0)), repairing.lost_work());
    while let Some(first) = next {
        let (after, count) = store.write(move |txn| {
            let mut writer = GraphWriter::new(txn, &names, namespace);
            writer.derive_again(first, NODES, lost_work)
        })?;
        next = after;
        tell(count)?;
    }
    store.write(move |txn| GraphWriter::new(txn, &names, namespace).mark_wrong_topics())?;
    if repairing.salvaged().doubtful.is_empty() {
        return Ok(());
    }
    store.write(move |txn| GraphWriter::new(txn, &names, namespace).check_unique())
}
