//! Graphs of vectors in files: a walk over them finds the nearest, the same files are made of the same history, and
//! whatever byte of them is another one, no answer is made of it that is wrong.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use embedded_db_common::{Draft, NamespaceId};
use embedded_db_indexing::graph::{EmbeddingDraft, GraphWriter, NodeDraft};
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::vector::graph::Effort;
use embedded_db_indexing::vector::{VectorHit, VectorReport, VectorRequest};
use embedded_db_indexing::{Attached, Linked, Needs, Pin, Sealed, StoreRows, Views};
use embedded_db_storage::{ReadEmbeddings, ReadTxn, Store};

const NS: NamespaceId = NamespaceId::DEFAULT;
const DIM: usize = 24;

struct Bench {
    store: Arc<Store>,
    names: Names,
    /// What the next numbers come from.
    seed: u64,
}

impl Bench {
    fn new() -> Self {
        let (store, names) = common::new_store();
        Self { store, names, seed: 1 }
    }

    /// About normal.
    fn number(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sum += (self.seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        }
        sum
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIM).map(|_| self.number()).collect()
    }

    /// Gives these nodes vectors, or others than they had.
    fn store(&mut self, nodes: std::ops::Range<usize>) {
        let vectors: Vec<_> = nodes.map(|node| (node.to_string(), self.vector())).collect();
        let names = self.names;
        let write = move |txn: &mut embedded_db_storage::WriteTxn<'_>| {
            let mut writer = GraphWriter::new(txn, &names, NS);
            for (node_id, vector) in &vectors {
                if writer.txn.node_slot(NS, node_id)?.is_none() {
                    let mut node = NodeDraft::unlabelled(Some(node_id.clone()), Draft::new());
                    node.labels = vec!["Thing".into()];
                    writer.create_node(&node)?;
                }
                let (node_id, vector) = (node_id.clone(), vector.clone());
                let draft = EmbeddingDraft { id: None, node_id, space: None, vector };
                writer.create_embedding(&draft)?;
            }
            Ok(())
        };
        self.store.write(write).unwrap();
    }

    fn needs(&self) -> Needs {
        let space = self.store.read().unwrap().spaces().unwrap().into_iter().next();
        Needs { namespace: NS, text: false, sessions: false, space }
    }

    fn views(&self) -> Arc<Views> {
        Views::new(self.names, "english").unwrap().linking_after(400)
    }

    fn seal(&self) {
        let (needs, views) = (self.needs(), self.views());
        let (space, record) = needs.space.as_ref().unwrap();
        let sealed = views.publish_vectors(&self.store, NS, (*space, record), 1, &|| Ok(()));
        assert_eq!(sealed.unwrap(), Sealed::Published);
    }

    fn link(&self) -> Linked {
        let (needs, views) = (self.needs(), self.views());
        let (space, record) = needs.space.as_ref().unwrap();
        let right = || Ok(self.store.begin_sealing().unwrap());
        views.link_vectors(&self.store, NS, (*space, record), &right, &|| Ok(())).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let needs = self.needs();
        let snapshot = self.store.read().unwrap();
        let space = needs.space.unwrap().0;
        let kind = embedded_db_storage::ViewKind::Vectors;
        let row = snapshot.view_record(NS, kind, space).unwrap().unwrap();
        let directory = self.store.path().join("gen-0000000001/segments");
        row.files.iter().map(|file| directory.join(&file.name)).collect()
    }

    /// Two graphs and a file without one, each of which replaces some of what the others say.
    fn filled() -> Self {
        let mut bench = Self::new();
        for nodes in [0..2_400, 2_350..2_600, 2_560..2_640] {
            bench.store(nodes.clone());
            bench.seal();
            let linked = if nodes.len() > 80 { Linked::Published } else { Linked::Enough };
            assert_eq!(bench.link(), linked, "{nodes:?}");
        }
        assert_eq!(bench.files().len(), 3);
        bench
    }

    fn search(
        &self,
        pin: &Pin,
        attached: &Attached,
        query: &[f32],
        exact: bool,
    ) -> (Vec<VectorHit>, VectorReport) {
        let index = attached.vectors.as_ref().unwrap().read().unwrap();
        let space = self.needs().space.unwrap().0;
        let mut rows = StoreRows { snapshot: pin.snapshot(), namespace: NS, space };
        let request = VectorRequest { k: 10, effort: Effort::Fast, exact, allowed: None };
        let found = index.search(query, pin.lsn(), &request, &mut rows, &mut || false);
        let found = found.unwrap().unwrap();
        (found.hits, found.report)
    }

    /// The answers, and whether a damage was noticed while they were made.
    fn ask(&self, queries: &[Vec<f32>], exact: bool) -> (Vec<Vec<VectorHit>>, bool) {
        let (views, needs) = (self.views(), self.needs());
        let (pin, attached) = views.begin(&self.store, &needs).unwrap();
        let all = |attached: &Attached| -> Vec<Vec<VectorHit>> {
            queries.iter().map(|query| self.search(&pin, attached, query, exact).0).collect()
        };
        let answers = all(&attached);
        if !attached.is_damaged() {
            return (answers, false);
        }
        views.distrust(NS, &attached);
        let attached = views.attach(&pin, &needs).unwrap();
        assert!(!attached.is_damaged());
        (all(&attached), true)
    }
}

#[test]
fn walks_find_the_nearest() {
    let mut bench = Bench::filled();
    bench.store(2_630..2_650);
    let (views, needs) = (bench.views(), bench.needs());
    let (pin, attached) = views.begin(&bench.store, &needs).unwrap();
    let (mut right, mut walks) = (0, 0);
    for _ in 0..100 {
        let query = bench.vector();
        let (best, report) = bench.search(&pin, &attached, &query, true);
        assert_eq!((report.walks, report.scanned > 2_650), (0, true));
        let (found, report) = bench.search(&pin, &attached, &query, false);
        assert_eq!(found.len(), 10);
        walks += report.walks;
        right += found.iter().filter(|hit| best.contains(hit)).count();
    }
    assert!(right >= 900 && walks >= 100, "{right} of 1000, {walks} walks");
    assert_eq!(attached.vectors.unwrap().read().unwrap().row_count(pin.lsn()), 2_650);
}

#[test]
fn equal_histories_make_equal_files() {
    let bytes = || {
        let bench = Bench::filled();
        bench.files().iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    assert!(bytes() == bytes());
}

#[test]
fn no_damage_changes_an_answer() {
    let mut bench = Bench::filled();
    // Those of which a walk finds all that there is to find, as who compares the records does.
    let mut queries: Vec<Vec<f32>> = (0..12).map(|_| bench.vector()).collect();
    queries.retain(|query| {
        let query = std::slice::from_ref(query);
        bench.ask(query, true).0 == bench.ask(query, false).0
    });
    assert!(queries.len() >= 6);
    let right = bench.ask(&queries, false);
    assert!(!right.1);
    let mut noticed = [0, 0];
    for path in bench.files() {
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 60) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::remove_file(&path).unwrap();
            fs::write(&path, &bytes).unwrap();
            let (answers, again) = bench.ask(&queries, false);
            assert_eq!(answers, right.0, "byte {at} of {path:?}");
            noticed[usize::from(again)] += 1;
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, &whole).unwrap();
    }
    assert!(noticed[0] > 10 && noticed[1] > 10, "at opening, and while searching: {noticed:?}");
}

/// Whatever was linked from files that are current no longer comes to nothing.
#[test]
fn what_was_broken_off_leaves_nothing() {
    let mut bench = Bench::new();
    bench.store(0..600);
    bench.seal();
    let (needs, views) = (bench.needs(), bench.views());
    let (space, record) = needs.space.as_ref().unwrap();
    let before = bench.files();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let right = || Ok(bench.store.begin_sealing().unwrap());
    for most in [0, 1, 300, 604] {
        asked.store(0, std::sync::atomic::Ordering::Relaxed);
        let going_on = || match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < most {
            true => Ok(()),
            false => Err(embedded_db_common::Error::Interrupted),
        };
        let linked = views.link_vectors(&bench.store, NS, (*space, record), &right, &going_on);
        assert!(linked.is_err(), "{most}");
        let directory = before[0].parent().unwrap();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 1);
    }
    assert_eq!(bench.link(), Linked::Published);
    assert_ne!(bench.files(), before);
    assert_eq!(bench.link(), Linked::Enough);
}

/// Sealing goes on while files are linked, and what it has written meanwhile counts.
#[test]
fn files_that_come_meanwhile_stay() {
    let mut bench = Bench::new();
    bench.store(0..600);
    bench.seal();
    let (needs, views) = (bench.needs(), bench.views());
    let (space, record) = needs.space.as_ref().unwrap();
    bench.store(590..640);
    let right = || {
        // The same views, which know what is being linked.
        let sealed = views.publish_vectors(&bench.store, NS, (*space, record), 1, &|| Ok(()));
        assert_eq!(sealed.unwrap(), Sealed::Published);
        Ok(bench.store.begin_sealing().unwrap())
    };
    let linked = views.link_vectors(&bench.store, NS, (*space, record), &right, &|| Ok(()));
    assert_eq!(linked.unwrap(), Linked::Published);
    assert_eq!(bench.files().len(), 2);
    let (pin, attached) = bench.views().begin(&bench.store, &needs).unwrap();
    let index = attached.vectors.as_ref().unwrap().read().unwrap();
    assert_eq!(index.row_count(pin.lsn()), 640);
    drop(index);
    let query = bench.vector();
    let best = bench.search(&pin, &attached, &query, true).0;
    assert_eq!(bench.search(&pin, &attached, &query, false).0, best);
}

/// A process that has all vectors in memory since they were written walks over the files once they are there.
#[test]
fn a_view_lets_go_of_what_is_in_files() {
    let mut bench = Bench::new();
    bench.store(0..1);
    let (views, needs, query) = (bench.views(), bench.needs(), bench.vector());
    let look = |bench: &Bench| {
        let (pin, attached) = views.begin(&bench.store, &needs).unwrap();
        (bench.search(&pin, &attached, &query, false), views.memory_bytes())
    };
    look(&bench);
    bench.store(1..2_500);
    let ((found, report), memory) = look(&bench);
    assert_eq!((report.walks, report.scanned), (0, 2_500));
    bench.seal();
    assert_eq!(bench.link(), Linked::Published);
    let ((again, report), after) = look(&bench);
    assert_eq!((report.walks, report.scanned), (1, 0));
    assert!(after * 4 < memory, "{after} bytes of {memory}");
    assert_eq!(again[0], found[0]);
}
