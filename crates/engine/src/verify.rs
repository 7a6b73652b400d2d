//! Whether everything that is stored agrees with everything else.

use std::collections::{HashMap, HashSet};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use embedded_db_common::{
    Amounts, Error, NamespaceId, Result, Slot, SpaceId, Symbol, Value, ValueRef,
};
use embedded_db_indexing::graph::{
    Artefact, DECISION, TOPIC, entity_keys, names_said, pending, topic_problem,
};
use embedded_db_indexing::labelled;
use embedded_db_indexing::properties::declared_indexes;
use embedded_db_indexing::recipes::Recipes;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{
    Cell, Direction, EdgeRecord, IndexId, IndexState, Kind, NodeRecord, ReadEmbeddings,
    ReadPostings, ReadSpaces, ReadTxn, ReadWork, Snapshot, Store, check_invariants, column_rows,
    text_value,
};
use roaring::RoaringBitmap;

use crate::database::Database;
use crate::observing::Op;
use crate::quotas::totals;

/// Most problems that are listed.
const MOST: usize = 100;
/// Records that are held at once.
const BATCH: usize = 1_000;

/// Calls its last argument with the records of a table from a slot on, until that returns false.
type Records<'a> = &'a dyn Fn(&Snapshot, Slot, &mut dyn FnMut(Slot, &[u8]) -> bool) -> Result<()>;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Nodes checked.
    pub nodes: u64,
    /// Edges checked.
    pub edges: u64,
    /// Vectors checked.
    pub embeddings: u64,
    /// Rows of the change table checked.
    pub changes: u64,
    /// Pages of the data file checked, by a deep verification.
    pub pages: Option<u64>,
    /// What does not agree; empty when all is well.
    pub problems: Vec<String>,
}

impl Database {
    /// Reads everything of all namespaces and compares: records with ids, edges with neighbours in
    /// both directions and with their history, postings and columns with properties, vectors with nodes and hashes, names with numbers,
    /// counters with contents, work with nodes, and the change table with its LSNs.
    pub fn verify(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<Report> {
        self.counted_verify(|| self.checked(interrupted))
    }

    fn counted_verify(&self, verify: impl FnOnce() -> Result<Report>) -> Result<Report> {
        let engine = self.engine()?;
        let report = engine.observer.call(Op::Verify, verify)?;
        engine.observer.verified(report.problems.len());
        Ok(report)
    }

    fn checked(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<Report> {
        let store = &self.engine()?.store;
        let ended = AtomicBool::new(false);
        let go_on = || if ended.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) };
        std::thread::scope(|scope| {
            let beside = std::thread::Builder::new().name("embedded-db-verify".into());
            // Where no thread can be started, one follows the other.
            let tables = beside.spawn_scoped(scope, || checked_tables(store, &go_on));
            let report = self.checked_records(interrupted);
            ended.store(report.is_err(), Ordering::Relaxed);
            let found = match tables {
                Ok(tables) => tables.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) if report.is_err() => Ok(Vec::new()),
                Err(_) => checked_tables(store, interrupted),
            };
            let mut report = report?;
            report.problems.extend(found?);
            report.problems.truncate(MOST);
            Ok(report)
        })
    }

    /// What an index means, and what belongs to a record.
    fn checked_records(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<Report> {
        let engine = self.engine()?;
        let snapshot = engine.store.read()?;
        let mut check =
            Check { snapshot: &snapshot, names: &engine.names, report: Report::default() };
        for (name, namespace) in snapshot.namespaces()? {
            interrupted()?;
            check.namespace(&name, namespace, interrupted)?;
        }
        check.totals(engine.store.known_totals(&snapshot))?;
        check.changes()?;
        Ok(check.report)
    }
}

/// What the tables say of each other, of a state of their own: problems.
fn checked_tables(store: &Arc<Store>, interrupted: &dyn Fn() -> Result<()>) -> Result<Vec<String>> {
    let (snapshot, mut problems) = (store.read()?, Vec::new());
    check_invariants(&snapshot, interrupted, &mut |problem| {
        if problems.len() < MOST {
            problems.push(problem);
        }
    })?;
    Ok(problems)
}

impl Database {
    /// The same, and what costs more: every page of the data file is read by itself, whether it is used
    /// once or free and its keys are in order, every file of an index too, and every entity is looked for by
    /// its name.
    pub fn verify_deep(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<Report> {
        self.counted_verify(|| self.checked_deep(interrupted))
    }

    fn checked_deep(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<Report> {
        let engine = self.engine()?;
        // LMDB takes pages at their word: what it must not meet is told before it is asked.
        let mut problems = Vec::new();
        let pages = engine.store.check_pages(interrupted, &mut |problem| problems.push(problem))?;
        if !problems.is_empty() {
            problems.truncate(MOST);
            return Ok(Report { pages: Some(pages), problems, ..Report::default() });
        }
        let report = Report { pages: Some(pages), ..self.checked(interrupted)? };
        let snapshot = engine.store.read()?;
        let mut check = Check { snapshot: &snapshot, names: &engine.names, report };
        for (name, namespace) in snapshot.namespaces()? {
            interrupted()?;
            check.entities(&name, namespace)?;
            check.names_said(&name, namespace)?;
            check.topics(&name, namespace)?;
        }
        let (mut report, mut damaged) = (check.report, Vec::new());
        snapshot.check_segments(interrupted, &mut |name| damaged.push(name))?;
        for name in &damaged {
            report.problems.push(format!(
                "the file {name:?} of an index is missing or damaged; it is made anew of what is \
                 stored"
            ));
        }
        if !damaged.is_empty() {
            engine.views.distrust_files(damaged);
            engine.seal_worker.look();
        }
        Ok(report)
    }
}

/// Is called with each record.
type Visit<'v, 'a> = &'v mut dyn FnMut(&mut Check<'a>, Slot, &[u8]) -> Result<()>;

/// A neighbour as it is listed: the node, the direction, the type, the other node and the edge.
type Listed = (Slot, u8, Symbol, Slot, Slot);

struct Check<'a> {
    snapshot: &'a Snapshot,
    names: &'a Names,
    report: Report,
}

impl<'a> Check<'a> {
    fn problem(&mut self, text: String) {
        if self.report.problems.len() < MOST {
            self.report.problems.push(text);
        }
    }

    /// What quotas go by is what is counted.
    fn totals(&mut self, known: Option<Amounts>) -> Result<()> {
        let counted = totals(self.snapshot)?;
        if let Some(known) = known.filter(|known| *known != counted) {
            self.problem(format!("quotas go by {known:?}, but counted are {counted:?}"));
        }
        Ok(())
    }

    fn namespace(
        &mut self,
        name: &str,
        namespace: NamespaceId,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let counters = self.snapshot.namespace_counters(namespace)?;
        let mut labels: HashMap<Symbol, RoaringBitmap> = HashMap::new();
        let mut posted: HashMap<(IndexId, Vec<u8>), RoaringBitmap> = HashMap::new();
        let mut found: HashMap<(IndexId, Vec<u8>), RoaringBitmap> = HashMap::new();
        let mut slots = RoaringBitmap::new();
        let mut times = self.cells(namespace, IndexId::TIMESTAMP)?;
        let mut wrong = 0;
        self.each_node(namespace, interrupted, &mut |check, slot, payload| {
            let Ok(node) = NodeRecord::parse(payload) else {
                check.problem(format!("{name}: the node in {slot:?} cannot be read"));
                return Ok(());
            };
            slots.insert(slot.0);
            check.report.nodes += 1;
            if check.snapshot.node_slot(namespace, node.id)? != Some(slot) {
                check.problem(format!("{name}: the id {:?} does not lead to its node", node.id));
            }
            for label in node.labels() {
                labels.entry(label).or_default().insert(slot.0);
            }
            let time = node.properties.get(check.names.timestamp)?.as_ref().and_then(Cell::of);
            wrong += u64::from(times.remove(&slot) != time);
            for index in check.names.indexes() {
                if let Some(ValueRef::Str(text)) = node.properties.get(index.property)? {
                    posted.entry((index.index, text_value(text))).or_default().insert(slot.0);
                }
            }
            Ok(())
        })?;
        for (label, of) in labels {
            let listed = labelled(self.snapshot, namespace, label)?;
            for slot in &of - &listed {
                let node = self.snapshot.node(namespace, Slot(slot))?;
                let id = node.map(|node| node.id.to_owned()).unwrap_or_default();
                self.problem(format!("{name}: {id:?} is missing under a label"));
            }
            if !listed.is_subset(&of) {
                self.problem(format!("{name}: a label lists nodes that do not have it"));
            }
        }
        if wrong > 0 || !times.is_empty() {
            self.problem(format!(
                "{name}: the column of timestamp has {wrong} wrong values and {} of no node",
                times.len()
            ));
        }
        self.declared_indexes(name, namespace, interrupted)?;
        for index in self.names.indexes() {
            self.snapshot.index_values(namespace, index.index, |value, container| {
                let found = found.entry((index.index, value.to_vec())).or_default();
                found.extend(container.slots());
                true
            })?;
        }
        for (at, expected) in &posted {
            if found.remove(at).as_ref() != Some(expected) {
                self.problem(format!("{name}: a value of {:?} lists the wrong nodes", at.0));
            }
        }
        for (index, _) in found.keys() {
            self.problem(format!("{name}: {index:?} has a value that no node has"));
        }
        self.edges(name, namespace, &slots, interrupted)?;
        self.embeddings(name, namespace, &slots)?;
        self.pending(name, namespace)?;
        if counters.nodes != slots.len() {
            self.problem(format!("{name}: {} nodes, counted {}", slots.len(), counters.nodes));
        }
        Ok(())
    }

    /// Calls `visit` with each node.
    fn each_node(
        &mut self,
        namespace: NamespaceId,
        interrupted: &dyn Fn() -> Result<()>,
        visit: Visit<'_, 'a>,
    ) -> Result<()> {
        self.each(&|all, first, see| all.nodes_from(namespace, first, see), interrupted, visit)
    }

    fn each_edge(
        &mut self,
        namespace: NamespaceId,
        interrupted: &dyn Fn() -> Result<()>,
        visit: Visit<'_, 'a>,
    ) -> Result<()> {
        self.each(&|all, first, see| all.edges_from(namespace, first, see), interrupted, visit)
    }

    /// Calls `visit` with each record, of which a few are held at once.
    fn each(
        &mut self,
        records: Records<'_>,
        interrupted: &dyn Fn() -> Result<()>,
        visit: Visit<'_, 'a>,
    ) -> Result<()> {
        let mut next = Some(Slot(0));
        while let Some(first) = next {
            let mut batch: Vec<(Slot, Vec<u8>)> = Vec::with_capacity(BATCH);
            records(self.snapshot, first, &mut |slot, payload| {
                batch.push((slot, payload.to_vec()));
                batch.len() < BATCH
            })?;
            for (slot, payload) in &batch {
                interrupted()?;
                visit(self, *slot, payload)?;
            }
            let last = batch.last().filter(|_| batch.len() == BATCH);
            next = last.and_then(|(last, _)| last.0.checked_add(1)).map(Slot);
        }
        Ok(())
    }

    /// The entities of the weaver are found under their present names, and nothing else is.
    fn entities(&mut self, name: &str, namespace: NamespaceId) -> Result<()> {
        let mut listed: HashSet<(Vec<u8>, u32)> = HashSet::new();
        self.snapshot.index_values(namespace, IndexId::ENTITY_KEY, |value, container| {
            listed.extend(container.slots().map(|slot| (value.to_vec(), slot)));
            true
        })?;
        let mut missing = 0;
        let mut found = labelled(self.snapshot, namespace, self.names.entity)?;
        if let Some(decision) = self.snapshot.symbol(DECISION)? {
            found |= labelled(self.snapshot, namespace, decision)?;
        }
        for slot in found {
            let Some(node) = self.snapshot.node(namespace, Slot(slot))? else { continue };
            for key in entity_keys(self.snapshot, self.names, &node)? {
                missing += u64::from(!listed.remove(&(key, slot)));
            }
        }
        if missing > 0 || !listed.is_empty() {
            self.problem(format!(
                "{name}: {missing} entities are not found by their names, and {} names lead to none",
                listed.len()
            ));
        }
        Ok(())
    }

    /// Topics have messages, as many as they say, and none is in two.
    fn topics(&mut self, name: &str, namespace: NamespaceId) -> Result<()> {
        let Some(label) = self.snapshot.symbol(TOPIC)? else { return Ok(()) };
        // Those that were saved without some of their messages wait.
        let due = pending(self.snapshot, namespace, Artefact::Topics)?;
        for slot in labelled(self.snapshot, namespace, label)? - due {
            if let Some(problem) = topic_problem(self.snapshot, self.names, namespace, Slot(slot))?
            {
                self.problem(format!("{name}: {problem}"));
            }
        }
        Ok(())
    }

    /// Messages are found in their chats by the names that they say, and by nothing else.
    fn names_said(&mut self, name: &str, namespace: NamespaceId) -> Result<()> {
        let mut listed: HashSet<(Vec<u8>, u32)> = HashSet::new();
        self.snapshot.index_values(namespace, IndexId::NAME_SAID, |value, container| {
            listed.extend(container.slots().map(|slot| (value.to_vec(), slot)));
            true
        })?;
        let mut missing = 0;
        for slot in labelled(self.snapshot, namespace, self.names.message)? {
            for value in names_said(self.snapshot, self.names, namespace, Slot(slot))? {
                missing += u64::from(!listed.remove(&(value, slot)));
            }
        }
        if missing > 0 || !listed.is_empty() {
            self.problem(format!(
                "{name}: {missing} names are not found in their chats, and {} are that no message says",
                listed.len()
            ));
        }
        Ok(())
    }

    /// All cells of a column.
    fn cells(&self, namespace: NamespaceId, index: IndexId) -> Result<HashMap<Slot, Cell>> {
        let mut out = HashMap::new();
        column_rows(self.snapshot, namespace, index, false, |cells| {
            out.extend(cells.iter());
            Ok(true)
        })?;
        Ok(out)
    }

    /// Each index made on demand holds the nodes with their values, in its postings and in its column,
    /// all of them once it is ready, and nothing else.
    fn declared_indexes(
        &mut self,
        name: &str,
        namespace: NamespaceId,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        for index in declared_indexes(self.snapshot, namespace)? {
            if !index.record.is_kept() {
                continue;
            }
            let of = self.snapshot.symbol_name(index.record.label)?;
            let built =
                |slot: Slot| index.record.state == IndexState::Ready || slot < index.record.next;
            let mut listed: HashSet<(Vec<u8>, u32)> = HashSet::new();
            self.snapshot.index_values(namespace, index.id, |value, container| {
                listed.extend(container.slots().map(|slot| (value.to_vec(), slot)));
                true
            })?;
            let (mut missing, mut holders) = (0, HashMap::<Vec<u8>, Vec<Value>>::new());
            let (mut shared, mut wrong) = (0, 0);
            let mut cells = self.cells(namespace, index.id)?;
            self.each_node(namespace, interrupted, &mut |_, slot, payload| {
                let Ok(node) = NodeRecord::parse(payload) else { return Ok(()) };
                let labels: Vec<Symbol> = node.labels().collect();
                let cell = cells.remove(&slot);
                if cell.is_some() || built(slot) {
                    wrong += u64::from(cell != index.cell(&labels, node.properties)?);
                }
                let Some(key) = index.key(&labels, node.properties)? else { return Ok(()) };
                let there = listed.remove(&(key.clone(), slot.0));
                missing += u64::from(!there && built(slot));
                if let (true, true, Some(value)) =
                    (there, index.record.unique, index.value(node.properties)?)
                {
                    let value = value.to_value()?;
                    let others = holders.entry(key).or_default();
                    let equal = others.iter().any(|other| other.equals(&value));
                    shared += u64::from(equal && value != Value::Null);
                    others.push(value);
                }
                Ok(())
            })?;
            for (count, what) in [
                (missing, "nodes are missing in the index"),
                (listed.len() as u64, "entries that no node has are in the index"),
                (shared, "nodes share a value in the unique index"),
                (wrong, "values are wrong in the column"),
                (cells.len() as u64, "values that no node has are in the column"),
            ] {
                if count > 0 {
                    self.problem(format!("{name}: {count} {what} of {of}.{}", index.property));
                }
            }
        }
        Ok(())
    }

    fn edges(
        &mut self,
        name: &str,
        namespace: NamespaceId,
        nodes: &RoaringBitmap,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let (mut expected, mut found, mut count) = (Vec::new(), Vec::new(), 0);
        self.each_edge(namespace, interrupted, &mut |check, slot, payload| {
            let Ok(edge) = EdgeRecord::parse(payload) else {
                check.problem(format!("{name}: the edge in {slot:?} cannot be read"));
                return Ok(());
            };
            count += 1;
            let found = check.snapshot.resolve(namespace, Kind::Edge, edge.id)?;
            if found.is_none_or(|found| found.slot != slot) {
                check.problem(format!("{name}: the id {:?} does not lead to its edge", edge.id));
            }
            for node in [edge.source, edge.target] {
                if !nodes.contains(node.0) {
                    check.problem(format!("{name}: the edge {:?} ends at no node", edge.id));
                }
            }
            if edge.times.retracted_at.is_none() {
                let (from, to, of) = (edge.source, edge.target, edge.edge_type);
                expected.push((from, Direction::Out as u8, of, to, slot));
                expected.push((to, Direction::In as u8, of, from, slot));
            }
            Ok(())
        })?;
        self.report.edges += count;
        for node in nodes.iter().map(Slot) {
            interrupted()?;
            for direction in [Direction::Out, Direction::In] {
                self.snapshot.neighbors(namespace, node, direction, None, |of, neighbor| {
                    found.push((node, direction as u8, of, neighbor.node, neighbor.edge));
                    true
                })?;
            }
        }
        for all in [&mut expected, &mut found] {
            all.sort_unstable();
            all.dedup();
        }
        if found != expected {
            let only = |of: &[Listed], other: &[Listed]| {
                of.iter().filter(|it| other.binary_search(it).is_err()).count()
            };
            self.problem(format!(
                "{name}: {} neighbours are listed without an edge, {} edges are not listed",
                only(&found, &expected),
                only(&expected, &found)
            ));
        }
        let counted = self.snapshot.namespace_counters(namespace)?.edges;
        if counted != count {
            self.problem(format!("{name}: {count} edges, counted {counted}"));
        }
        Ok(())
    }

    fn embeddings(
        &mut self,
        name: &str,
        namespace: NamespaceId,
        nodes: &RoaringBitmap,
    ) -> Result<()> {
        let recipes = Recipes::read(self.snapshot, namespace)?;
        let mut problems = Vec::new();
        let mut count = 0;
        for (space, record) in self.snapshot.spaces()? {
            self.snapshot.scan_embeddings(namespace, space, |slot, part, embedding| {
                count += 1;
                if !nodes.contains(slot.0) {
                    problems.push(format!("{name}: {:?} is the vector of no node", embedding.id));
                }
                if embedding.dimension() != record.dimension as usize {
                    problems.push(format!("{name}: {:?} has a wrong dimension", embedding.id));
                }
                let found = self.snapshot.resolve(namespace, Kind::Embedding, embedding.id)?;
                let right = found.is_some_and(|found| {
                    (found.space, found.slot, found.part) == (space, slot, part)
                });
                if !right {
                    problems
                        .push(format!("{name}: {:?} does not lead to its vector", embedding.id));
                }
                if !embedding.set_by_user
                    && let Some(node) = self.snapshot.node(namespace, slot)?
                    && !recipes.goes_through(&node, slot)
                    && let Some(text) = recipes.embedded_text(self.names, &node)?
                    && embedded_db_common::ContentHash::of(&text.text) != embedding.content
                {
                    problems.push(format!("{name}: {:?} is of an older text", embedding.id));
                }
                Ok(())
            })?;
        }
        self.report.embeddings += count;
        let counted = self.snapshot.namespace_counters(namespace)?.embeddings;
        if counted != count {
            problems.push(format!("{name}: {count} vectors, counted {counted}"));
        }
        problems.into_iter().for_each(|problem| self.problem(problem));
        Ok(())
    }

    /// Every message, and every node with a text to embed, is embedded, waits, or has failed.
    fn pending(&mut self, name: &str, namespace: NamespaceId) -> Result<()> {
        let waiting = pending(self.snapshot, namespace, Artefact::Embedding)?;
        let again = pending(self.snapshot, namespace, Artefact::Reembedding)?;
        let next = self.snapshot.next_space()?;
        if next.is_none() && !again.is_empty() {
            self.problem(format!("{name}: {} texts wait for a space that is none", again.len()));
        }
        let served = [self.snapshot.model_space()?, self.snapshot.default_space()?];
        let recipes = Recipes::read(self.snapshot, namespace)?;
        let mut embedded = labelled(self.snapshot, namespace, self.names.message)?;
        for (label, _) in recipes.labels() {
            embedded |= labelled(self.snapshot, namespace, *label)?;
        }
        for slot in embedded {
            let slot = Slot(slot);
            let waits_again = next.is_none() || again.contains(slot.0);
            if waiting.contains(slot.0) && waits_again {
                continue;
            }
            let Some(node) = self.snapshot.node(namespace, slot)? else { continue };
            let text = recipes.embedded_text(self.names, &node)?;
            if text.is_none() || recipes.goes_through(&node, slot) {
                continue;
            }
            let is_settled = |artefact, spaces: [Option<SpaceId>; 2]| -> Result<bool> {
                let work = self.snapshot.work(namespace, slot, artefact as u8)?;
                let mut settled = work.is_some();
                for space in spaces.into_iter().flatten() {
                    settled |= self.snapshot.embedding(namespace, space, slot, 0)?.is_some();
                }
                Ok(settled)
            };
            let waits = waiting.contains(slot.0);
            let settled = (waits || is_settled(Artefact::Embedding, served)?)
                && (waits_again || is_settled(Artefact::Reembedding, [next, None])?);
            if !settled {
                self.problem(format!("{name}: nobody will embed {:?}", node.id));
            }
        }
        Ok(())
    }

    fn changes(&mut self) -> Result<()> {
        let last = self.snapshot.lsn()?;
        let (mut previous, mut gaps, mut count) = (None::<u64>, 0u64, 0u64);
        self.snapshot.changes_after(embedded_db_common::Lsn(0), |lsn, _| {
            gaps +=
                u64::from(previous.is_some_and(|previous| previous.checked_add(1) != Some(lsn.0)));
            previous = Some(lsn.0);
            count += 1;
            Ok(true)
        })?;
        self.report.changes = count;
        if gaps > 0 || previous.is_some_and(|previous| previous != last.0) {
            self.problem(format!(
                "the change table has {gaps} gaps and ends at {previous:?}, not {last:?}"
            ));
        }
        Ok(())
    }
}
