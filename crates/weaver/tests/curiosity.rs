//! Ties are proposed of one state, which nobody holds meanwhile: a node that has another vector since is looked at
//! again, one that is gone is tied to nothing, and what is broken off is due as before.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Bench, NS, drain, eager};
use embedded_db_common::{Error, NamespaceId, Result, Slot, SpaceId};
use embedded_db_indexing::graph::{Artefact, CONFIDENCE, EmbeddingDraft, pending};
use embedded_db_storage::{Direction, ReadTxn, Store};
use embedded_db_testing::FakeModels;
use embedded_db_weaver::{Nearest, Similar, Weaver};

type Meanwhile = Box<dyn FnOnce() -> Result<()> + Send>;

/// All nodes are alike; something happens after the first time that this was found.
struct Alike {
    store: Arc<Store>,
    nodes: Vec<Slot>,
    asked: AtomicUsize,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Nearest for Alike {
    fn nearest(
        &self,
        _: NamespaceId,
        _: SpaceId,
        nodes: &[Slot],
        _: usize,
        _: &dyn Fn() -> Result<()>,
    ) -> Result<Similar> {
        let snapshot = self.store.read()?;
        let (generation, lsn) = (snapshot.generation().number(), snapshot.lsn()?);
        drop(snapshot);
        let others = |node: &Slot| {
            let others = self.nodes.iter().filter(|other| *other != node);
            others.map(|other| (*other, 0.9)).collect()
        };
        let of = nodes.iter().map(others).collect();
        self.asked.fetch_add(1, Ordering::SeqCst);
        let meanwhile = self.meanwhile.lock().unwrap().take();
        meanwhile.map_or(Ok(()), |meanwhile| meanwhile())?;
        Ok(Similar { generation, lsn, of })
    }
}

/// Two messages of two chats, and a weaver for which they are alike.
fn two(
    meanwhile: impl FnOnce(&Arc<Bench>, Slot) -> Meanwhile,
) -> (Arc<Bench>, Arc<Alike>, [Slot; 2]) {
    let bench = Arc::new(Bench::new());
    let (one, between, other) = (bench.say("one"), bench.say("between"), bench.say("other"));
    bench.write(move |writer| writer.delete_node(between));
    bench.write(move |writer| {
        let next = writer.txn.symbol("NEXT")?;
        let mut edges = Vec::new();
        writer.txn.neighbors(NS, one, Direction::Out, next, |_, end| {
            edges.push(end.edge);
            true
        })?;
        edges.into_iter().try_for_each(|edge| writer.delete_edge(edge))
    });
    let alike = Arc::new(Alike {
        store: Arc::clone(&bench.store),
        nodes: vec![one, other],
        asked: AtomicUsize::new(0),
        meanwhile: Mutex::new(Some(meanwhile(&bench, other))),
    });
    (bench, alike, [one, other])
}

fn start(bench: &Bench, nearest: Arc<Alike>) -> Arc<Weaver> {
    let space = Some((bench.space, FakeModels::DIMENSION));
    let (store, models) = (Arc::clone(&bench.store), Arc::new(FakeModels::default()));
    let groups = common::no_groups;
    Weaver::start(store, bench.names, models, groups, nearest, space, None, eager(), false).unwrap()
}

/// The ends of what is proposed of a node.
fn ties(bench: &Bench, node: Slot) -> Vec<Slot> {
    let snapshot = bench.store.read().unwrap();
    let Some(confidence) = snapshot.symbol(CONFIDENCE).unwrap() else { return Vec::new() };
    let (related, mut ends) = (snapshot.symbol("RELATED_TO").unwrap(), Vec::new());
    for direction in [Direction::Out, Direction::In] {
        snapshot
            .neighbors(NS, node, direction, related, |_, end| {
                ends.push(end);
                true
            })
            .unwrap();
    }
    let is_proposed = |edge| {
        let edge = snapshot.edge(NS, edge).unwrap().unwrap();
        edge.properties.get(confidence).unwrap().is_some()
    };
    ends.into_iter().filter(|end| is_proposed(end.edge)).map(|end| end.node).collect()
}

fn waiting(bench: &Bench) -> u64 {
    pending(&bench.store.read().unwrap(), NS, Artefact::Curiosity).unwrap().len()
}

#[test]
fn two_that_are_alike_are_tied_once() {
    let (bench, alike, [one, other]) = two(|_, _| Box::new(|| Ok(())));
    let weaver = start(&bench, alike);
    drain(&weaver);
    assert_eq!((ties(&bench, one), ties(&bench, other)), (vec![other], vec![one]));
    assert_eq!(waiting(&bench), 0);
    weaver.stop();
}

#[test]
fn a_vector_that_came_meanwhile_is_looked_at_again() {
    let (bench, alike, [one, other]) = two(|bench, other| {
        let bench = Arc::clone(bench);
        Box::new(move || {
            bench.write(move |writer| {
                let node = writer.txn.stored_node(NS, other)?.id.to_owned();
                let draft = EmbeddingDraft {
                    id: None,
                    node_id: node,
                    vector: vec![1.0; FakeModels::DIMENSION],
                    space: None,
                };
                writer.create_embedding(&draft)
            });
            Ok(())
        })
    });
    let weaver = start(&bench, Arc::clone(&alike));
    drain(&weaver);
    assert!(alike.asked.load(Ordering::SeqCst) > 2, "it was asked again");
    assert_eq!((ties(&bench, one), ties(&bench, other)), (vec![other], vec![one]));
    assert_eq!(waiting(&bench), 0);
    weaver.stop();
}

#[test]
fn one_that_is_gone_is_tied_to_nothing() {
    let (bench, alike, [one, other]) = two(|bench, other| {
        let bench = Arc::clone(bench);
        Box::new(move || {
            bench.write(move |writer| writer.delete_node(other));
            Ok(())
        })
    });
    let weaver = start(&bench, alike);
    drain(&weaver);
    assert_eq!(ties(&bench, one), Vec::new());
    assert!(bench.store.read().unwrap().node(NS, other).unwrap().is_none());
    weaver.stop();
}

#[test]
fn what_is_broken_off_is_due_as_before() {
    let (bench, alike, [one, other]) = two(|_, _| Box::new(|| Err(Error::Interrupted)));
    let weaver = start(&bench, Arc::clone(&alike));
    drain(&weaver);
    assert!(alike.asked.load(Ordering::SeqCst) > 2, "it was begun again");
    assert_eq!((ties(&bench, one), ties(&bench, other)), (vec![other], vec![one]));
    weaver.stop();
}
