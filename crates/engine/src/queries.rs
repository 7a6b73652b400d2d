//! Converged queries from the handle's point of view: where the query vector comes from, what to
//! wait for, which snapshot.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use embedded_db_common::{Error, MAX_LIMIT, NamespaceId, Result, Slot, SpaceId, Value, clock};
use embedded_db_indexing::graph::{Changes, GraphWriter, check_dimension, check_vector};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::text::{Analyzer, TextMatcher};
use embedded_db_indexing::{Attached, Needs, Pin, hidden};
use embedded_db_query::{
    Context, ConvergedQuery, Filter, GraphFilter, Guard, Hit, Rank, Results, Semantic, Step,
    Textual, group_count, matching, ranks, run,
};
use embedded_db_storage::{ReadTxn, SpaceRecord, Visible};
use roaring::RoaringBitmap;

use crate::database::Database;
use crate::embedders::not_embedded;
use crate::engine::Engine;
use crate::objects::{Node, Path};
use crate::observing::Op;
use crate::pins::Holder;
use crate::reads::{PinnedReads, Reader, Wanted};
use crate::sharing::forward;

/// What the semantic leg compares with.
#[derive(Debug, Clone, PartialEq)]
pub enum SemanticLeg {
    /// A text, which the model embeds.
    Text(String),
    /// A vector.
    Vector(Vec<f32>),
}

/// A query as a handle takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// All legs but the semantic one.
    pub query: ConvergedQuery,
    /// The semantic leg…
    pub semantic: Option<SemanticLeg>,
    /// …its least score…
    pub threshold: Option<f32>,
    /// …and its space.
    pub space: Option<String>,
    /// How long to wait for vectors that are not there yet.
    pub wait: Option<Duration>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// A result with its node.
#[derive(Clone)]
pub struct AnsweredHit {
    /// The node.
    pub node: Node,
    /// What each leg said.
    pub hit: Hit,
    /// The path that lit it, where activation has spread to it.
    pub path: Option<Path>,
}

/// The answer to a query.
pub struct Answer {
    /// Best first.
    pub hits: Vec<AnsweredHit>,
    /// Matching nodes that have no vector yet.
    pub pending: u64,
    /// The plan, if it was asked for.
    pub plan: Option<Vec<Step>>,
    /// Where the results go on, if there are more.
    pub cursor: Option<Arc<Cursor>>,
    /// What was declared in the state that was asked, as far as it matters to the results.
    recipes: Recipes,
    names: Names,
    marker: Option<Marker>,
}

/// A text of a result, and where the words lie that were looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Highlight {
    /// The property that it is a value of…
    pub property: Arc<str>,
    /// …or an item of, by its place.
    pub item: Option<usize>,
    /// The text.
    pub text: String,
    /// Where they begin and end, in characters (code points).
    pub spans: Vec<(usize, usize)>,
}

/// Finds words in the texts of results.
struct Marker {
    analyzer: Analyzer,
    text: Textual,
    /// Made when it is first asked for.
    matcher: OnceLock<TextMatcher>,
}

impl Marker {
    fn spans(&self, text: &str) -> Vec<(usize, usize)> {
        let matcher = self.matcher.get_or_init(|| self.text.matcher(&self.analyzer));
        let (mut at, mut characters) = (0, 0);
        let mut character = |byte: usize| {
            characters += text[at..byte].chars().count();
            at = byte;
            characters
        };
        let places = matcher.places(&self.analyzer, text).into_iter();
        places.map(|place| (character(place.start), character(place.end))).collect()
    }
}

impl Answer {
    /// Bytes of what it found, about.
    pub(crate) fn size(&self) -> usize {
        let of_path = |path: &Path| path.nodes.iter().map(|node| node.size() + 256).sum::<usize>();
        let of_hit =
            |found: &AnsweredHit| 256 + found.node.size() + found.path.as_ref().map_or(0, of_path);
        self.hits.iter().map(of_hit).sum()
    }

    /// The texts of a result in which words of the query lie, in the order in which they are searched;
    /// none without a text leg.
    pub fn highlights(&self, at: usize) -> Result<Vec<Highlight>> {
        let Some(marker) = &self.marker else { return Ok(Vec::new()) };
        let mut found: Vec<Highlight> = Vec::new();
        self.hits[at].node.searched_texts(&self.recipes, &self.names, |property, item, text| {
            let spans = marker.spans(text);
            let is_new = |own: &Highlight| (&own.property, own.item) != (&property, item);
            if !spans.is_empty() && found.iter().all(is_new) {
                found.push(Highlight { property, item, text: text.into(), spans });
            }
        })?;
        Ok(found)
    }

    /// The text by which the node of a result is found, as it was in the state that was asked; `None`
    /// when it has none.
    pub fn text(&self, at: usize) -> Result<Option<String>> {
        self.hits[at].node.found_text(&self.recipes, &self.names)
    }
}

/// Where the results of a query go on: the instant that it saw, and what it gave so far.
pub struct Cursor {
    /// Where it comes from: slots and LSNs of another database or namespace mean something else.
    from: Database,
    seen: Seen,
    asked: Arc<Query>,
    prepared: Prepared,
    given: RoaringBitmap,
}

/// What a cursor's query saw.
#[derive(Clone)]
enum Seen {
    /// A snapshot that the cursors of the query hold among them.
    Own(Arc<PinnedReads>),
    /// The instant of this LSN, which the caller holds, in its generation.
    Callers(u64, u64),
}

/// A query whose vector and space are known, and the time that it counts ages from.
#[derive(Clone)]
pub(crate) struct Prepared {
    query: ConvergedQuery,
    needs: Needs,
    now: i64,
}

impl Prepared {
    /// What the semantic leg compares with.
    pub(crate) fn vector(&self) -> Option<&[f32]> {
        self.query.semantic.as_ref().map(|leg| leg.vector.as_slice())
    }

    /// The namespace that it is asked of.
    pub(crate) fn namespace(&self) -> NamespaceId {
        self.needs.namespace
    }

    /// The space of the semantic leg.
    pub(crate) fn space(&self) -> Option<&(SpaceId, SpaceRecord)> {
        self.needs.space.as_ref()
    }
}

/// What an answer was made of: the state, the query, and the slots of its results if there are more.
pub(crate) struct Made<'a> {
    pub(crate) pin: &'a Pin,
    pub(crate) prepared: &'a Prepared,
    pub(crate) given: Option<&'a RoaringBitmap>,
}

impl Cursor {
    fn check_origin(&self, database: &Database) -> Result<()> {
        if self.from.reads_the_same(database)? {
            return Ok(());
        }
        Err(Error::query(
            "after",
            "the cursor comes from another database or namespace; pass it to what it came from",
        ))
    }

    /// The results behind those given so far, in the instant that `reads` holds.
    fn page(&self, reads: &PinnedReads, query: &Query, guard: &Guard<'_>) -> Result<Answer> {
        if !self.asked.finds_the_same(query) {
            return Err(Error::query(
                "after",
                "the cursor belongs to another query; pass it with the query that it came from, or \
                 leave it out to begin anew",
            ));
        }
        let mut prepared = self.prepared.clone();
        prepared.query.limit = query.query.limit;
        prepared.query.explain = query.query.explain;
        let (mut answer, given) = reads.page(&prepared, &self.given, guard)?;
        answer.cursor = given.map(|given| {
            let (seen, asked) = (self.seen.clone(), Arc::clone(&self.asked));
            Arc::new(Self {
                from: self.from.clone(),
                seen,
                asked,
                prepared: self.prepared.clone(),
                given,
            })
        });
        Ok(answer)
    }
}

/// What says which nodes a query without ranking legs matches, whatever its limit and order.
pub(crate) struct Matched {
    pub(crate) filters: Vec<Filter>,
    pub(crate) graph: Option<GraphFilter>,
    pub(crate) labels: Vec<String>,
    pub(crate) timeout: Option<Duration>,
}

impl Matched {
    fn of(query: &Query) -> Result<Self> {
        let set = query.set()?;
        set.validate()?;
        if set.ranks() {
            return Err(ranks("text_query"));
        }
        Ok(Self {
            filters: set.filters.clone(),
            graph: set.graph.clone(),
            labels: set.labels.clone(),
            timeout: query.timeout,
        })
    }
}

impl Query {
    /// The query as one that matches a certain set of nodes. The semantic leg stands beside it until it
    /// is prepared, so that nobody else would see that it ranks.
    fn set(&self) -> Result<&ConvergedQuery> {
        match self.semantic {
            Some(_) => Err(ranks("semantic_query")),
            None => Ok(&self.query),
        }
    }

    /// The space that its semantic leg is about: a text is compared in that of the model in use.
    fn wanted(&self) -> Option<Wanted<'_>> {
        let leg = self.semantic.as_ref()?;
        Some(match (&self.space, leg) {
            (Some(name), _) => Wanted::Named(name),
            (None, SemanticLeg::Vector(_)) => Wanted::Default,
            (None, SemanticLeg::Text(_)) => Wanted::Models,
        })
    }

    fn finds_the_same(&self, other: &Self) -> bool {
        let plain = |query: &Self| {
            let mut query = query.clone();
            (query.wait, query.timeout) = (None, None);
            (query.query.limit, query.query.explain) = (1, false);
            query
        };
        plain(self) == plain(other)
    }
}

impl Database {
    /// Answers a query over the newest state. With `after`, gives what comes behind the results of an
    /// earlier page, in the state that it saw; the query must be the same, but for its limit, times and
    /// wish for a plan.
    pub fn query(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Answer> {
        let engine = self.engine()?;
        engine.observer.call(Op::Query, || self.asked(query, after, interrupted))
    }

    fn asked(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Answer> {
        let Some(cursor) = after else {
            return self.first_page(query, None, interrupted, &mut |_| ());
        };
        cursor.check_origin(self)?;
        let guard = Guard::new(query.timeout, interrupted);
        match &cursor.seen {
            Seen::Own(reads) => cursor.page(reads, query, &guard),
            Seen::Callers(..) => Err(Error::query(
                "after",
                "the cursor comes from a snapshot; pass it to the query of that snapshot",
            )),
        }
    }

    /// `prepared` is given if it was done already; `keep` is shown what the answer was made of.
    pub(crate) fn first_page(
        &self,
        query: &Query,
        prepared: Option<Prepared>,
        interrupted: &dyn Fn() -> Result<()>,
        keep: &mut dyn FnMut(Made<'_>),
    ) -> Result<Answer> {
        let engine = self.engine()?;
        let guard = Guard::new(query.timeout, interrupted);
        if let Some(weaver) = engine.weaver() {
            weaver.touch();
        }
        let prepare = || self.prepared(query);
        let mut prepared = prepared.map_or_else(prepare, Ok)?;
        let deadline = query.wait.map(|wait| Instant::now() + wait);
        loop {
            let (pin, attached) = engine.views.begin(&engine.store, &prepared.needs)?;
            self.check_namespace(pin.snapshot())?;
            let (snapshot, namespace) = (pin.snapshot(), prepared.needs.namespace);
            let reader = Reader { engine: &engine, snapshot, namespace };
            if !reader.still_wants(query.wanted(), prepared.needs.space.as_ref())? {
                // Another model's space has taken the place.
                drop(pin);
                guard.check()?;
                prepared = prepare()?;
                continue;
            }
            let first = RoaringBitmap::new();
            let (mut answer, given) = page(&engine, &pin, attached, &prepared, &first, &guard)?;
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if let Some(left) = left
                && engine.is_enriched()
                && answer.pending > 0
                && !left.is_zero()
            {
                drop(pin);
                guard.check()?;
                engine.wait_progress(left.min(Duration::from_millis(50)));
                continue;
            }
            keep(Made { pin: &pin, prepared: &prepared, given: given.as_ref() });
            if let Some(given) = given {
                answer.cursor = Some(self.cursor(&engine, pin, query, prepared, given)?);
            }
            return Ok(answer);
        }
    }

    /// Where the results of a query go on in the state of a snapshot.
    pub(crate) fn cursor(
        &self,
        engine: &Arc<Engine>,
        pin: Pin,
        query: &Query,
        prepared: Prepared,
        given: RoaringBitmap,
    ) -> Result<Arc<Cursor>> {
        let seen = Seen::Own(Arc::new(self.hold(engine, pin, Holder::Cursor)?));
        let (from, asked) = (self.clone(), Arc::new(query.clone()));
        Ok(Arc::new(Cursor { from, seen, asked, prepared, given }))
    }

    /// The query with the vector of its text, and its space, in the newest state.
    pub(crate) fn prepared(&self, query: &Query) -> Result<Prepared> {
        self.prepare(query, |wanted| self.read(|reader| reader.wanted(wanted)))
    }

    /// Changes all nodes that a query without ranking legs matches, in one step; how many.
    pub fn update_matching(&self, query: &Query, changes: Changes) -> Result<u64> {
        changes.set.check_names()?;
        self.update_matched(Matched::of(query)?, changes)
    }

    pub(crate) fn update_matched(&self, matched: Matched, changes: Changes) -> Result<u64> {
        forward!(self, UpdateMatching { matched, changes });
        self.write_matching(matched, move |writer, slot| writer.update_node(slot, &changes))
    }

    /// Removes all nodes that a query without ranking legs matches, in one step; how many.
    pub fn delete_matching(&self, query: &Query) -> Result<u64> {
        self.delete_matched(Matched::of(query)?)
    }

    pub(crate) fn delete_matched(&self, matched: Matched) -> Result<u64> {
        forward!(self, DeleteMatching { matched });
        self.write_matching(matched, |writer, slot| writer.delete_node(slot))
    }

    /// The nodes are found in the state that is being written, so nobody comes in between.
    fn write_matching(
        &self,
        matched: Matched,
        change: impl Fn(&mut GraphWriter<'_, '_>, Slot) -> Result<()> + Send + 'static,
    ) -> Result<u64> {
        let Matched { filters, graph, labels, timeout } = matched;
        let set = ConvergedQuery {
            filters,
            graph,
            labels,
            semantic: None,
            text: None,
            order_by: Vec::new(),
            limit: MAX_LIMIT,
            rank: Rank::default(),
            recall: None,
            explain: false,
        };
        let (names, namespace) = (self.engine()?.names, self.namespace_id());
        self.write(move |writer| {
            let guard = Guard::new(timeout, &|| Ok(()));
            let now = writer.txn.now();
            let found = match hidden(writer.txn, &names, namespace, now)? {
                None => matching(writer.txn, namespace, &names, &set, &guard)?,
                Some(hidden) => {
                    let seen = Visible::without(writer.txn, namespace, hidden);
                    matching(&seen, namespace, &names, &set, &guard)?
                }
            };
            for slot in &found {
                // The messages of a chat are gone with it.
                if writer.txn.node_payload(namespace, Slot(slot))?.is_some() {
                    change(writer, Slot(slot))?;
                }
            }
            Ok(found.len())
        })
    }

    /// Embeds the text of the semantic leg and finds its space, by `find` in the state that is asked.
    fn prepare(
        &self,
        query: &Query,
        find: impl FnOnce(Wanted<'_>) -> Result<Option<(SpaceId, SpaceRecord)>>,
    ) -> Result<Prepared> {
        let space = query.wanted().map(find).transpose()?.flatten();
        let mut query = query.clone();
        if let Some(leg) = query.semantic.take() {
            let vector = match leg {
                SemanticLeg::Vector(vector) => {
                    check_vector(&vector)?;
                    vector
                }
                SemanticLeg::Text(text) => {
                    self.embed(text, space.as_ref().map(|(_, record)| record))?
                }
            };
            check_threshold(query.threshold)?;
            if let Some((_, record)) = &space {
                check_dimension(record, vector.len())?;
            }
            query.query.semantic = Some(Semantic { vector, threshold: query.threshold });
        }
        query.query.validate()?;
        let text = query.query.text.is_some();
        let needs = Needs { namespace: self.namespace_id(), text, sessions: false, space };
        Ok(Prepared { query: query.query, needs, now: clock::now() })
    }

    /// The vector of the text of a semantic leg.
    fn embed(&self, text: String, space: Option<&SpaceRecord>) -> Result<Vec<f32>> {
        if text.trim().is_empty() {
            return Err(Error::query(
                "semantic_query.text",
                "it is empty; leave the leg out instead",
            ));
        }
        let vector = self.engine()?.embedders.of(space)?.embed(&[text])?;
        check_answer(&vector, space)?;
        Ok(vector)
    }
}

impl PinnedReads {
    /// As [`Database::query`], over this instant.
    pub fn query(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Answer> {
        let engine = self.database().engine()?;
        engine.observer.call(Op::Query, || self.asked(query, after, interrupted))
    }

    fn asked(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Answer> {
        if let Some(cursor) = after {
            cursor.check_origin(self.database())?;
        }
        let guard = Guard::new(query.timeout, interrupted);
        match after.map(|cursor| (cursor, &cursor.seen)) {
            None => self.first_page(query, &guard),
            Some((cursor, Seen::Callers(lsn, generation)))
                if (*lsn, *generation) == (self.lsn(), self.generation()) =>
            {
                cursor.page(self, query, &guard)
            }
            Some(_) => Err(Error::query(
                "after",
                "the cursor does not come from this snapshot; pass it to what it came from",
            )),
        }
    }

    fn first_page(&self, query: &Query, guard: &Guard<'_>) -> Result<Answer> {
        let find = |wanted: Wanted<'_>| self.reader(|reader| reader.wanted(wanted));
        let prepared = self.database().prepare(query, find)?;
        let (mut answer, given) = self.page(&prepared, &RoaringBitmap::new(), guard)?;
        answer.cursor = given.map(|given| {
            let seen = Seen::Callers(self.lsn(), self.generation());
            let asked = Arc::new(query.clone());
            Arc::new(Cursor { from: self.database().clone(), seen, asked, prepared, given })
        });
        Ok(answer)
    }

    fn page(
        &self,
        prepared: &Prepared,
        given: &RoaringBitmap,
        guard: &Guard<'_>,
    ) -> Result<(Answer, Option<RoaringBitmap>)> {
        self.pinned(|engine, pin| {
            let attached = engine.views.attach(pin, &prepared.needs)?;
            page(engine, pin, attached, prepared, given, guard)
        })
    }
}

impl Reader<'_> {
    pub(crate) fn count_matching(&self, query: &Query, guard: &Guard<'_>) -> Result<u64> {
        Ok(self.matching(query, guard)?.len())
    }

    pub(crate) fn group_count(
        &self,
        query: &Query,
        property: &str,
        guard: &Guard<'_>,
    ) -> Result<Vec<(Option<Value>, u64)>> {
        let slots = self.matching(query, guard)?;
        group_count(self.snapshot, self.namespace, &slots, property, guard)
    }

    fn matching(&self, query: &Query, guard: &Guard<'_>) -> Result<RoaringBitmap> {
        matching(self.snapshot, self.namespace, &self.engine.names, query.set()?, guard)
    }
}

/// What `read` makes of views; once more without files that turn out to be damaged while they are read.
pub(crate) fn soundly<T>(
    engine: &Engine,
    pin: &Pin,
    mut attached: Attached,
    needs: &Needs,
    read: impl Fn(Attached) -> Result<T>,
) -> Result<T> {
    loop {
        let result = read(attached.clone());
        if !attached.is_damaged() {
            return result;
        }
        engine.views.distrust(needs.namespace, &attached);
        engine.seal_worker.look();
        attached = engine.views.attach(pin, needs)?;
    }
}

/// One page of results; if there are more, with what was given up to its end.
fn page(
    engine: &Arc<Engine>,
    pin: &Pin,
    attached: Attached,
    prepared: &Prepared,
    given: &RoaringBitmap,
    guard: &Guard<'_>,
) -> Result<(Answer, Option<RoaringBitmap>)> {
    let read = |attached| page_of(engine, pin, attached, prepared, given, guard);
    soundly(engine, pin, attached, &prepared.needs, read)
}

fn page_of(
    engine: &Arc<Engine>,
    pin: &Pin,
    attached: Attached,
    prepared: &Prepared,
    given: &RoaringBitmap,
    guard: &Guard<'_>,
) -> Result<(Answer, Option<RoaringBitmap>)> {
    let Prepared { query, needs, now } = prepared;
    let (snapshot, namespace) = (pin.snapshot(), needs.namespace);
    let reader = Reader { engine, snapshot, namespace };
    let pending = match query.semantic {
        Some(_) => {
            let space = needs.space.as_ref().map(|(space, _)| *space);
            not_embedded(snapshot, namespace, space)?
        }
        None => RoaringBitmap::new(),
    };
    let mut space = needs.space.as_ref().map(|(space, _)| *space);
    if space.is_none() && query.rank.mmr.is_some() {
        space = reader.space(None)?.map(|(space, _)| space);
    }
    let edges = match query.rank.activation > 0.0 {
        true => Some(engine.edges_at(snapshot, namespace, &|| guard.check())?),
        false => None,
    };
    let (lsn, names, now) = (pin.lsn(), &engine.names, *now);
    let context = Context { snapshot, lsn, namespace, attached, space, names, edges, pending, now };
    let results = run(&context, query, given, guard)?;
    let given = results.more.then(|| {
        let mut given = given.clone();
        given.extend(results.hits.iter().map(|hit| hit.slot.0));
        given
    });
    Ok((answer(&reader, results, query.text.as_ref())?, given))
}

/// Results with their nodes.
pub(crate) fn answer(
    reader: &Reader<'_>,
    results: Results,
    text: Option<&Textual>,
) -> Result<Answer> {
    let Results { hits, pending, plan, more: _ } = results;
    let hits = hits.into_iter().map(|mut hit| {
        let path = hit.path.take().map(|path| reader.path(&path)).transpose()?;
        Ok(AnsweredHit { node: reader.node_at(hit.slot)?, hit, path })
    });
    let hits = hits.collect::<Result<Vec<_>>>()?;
    let names = reader.engine.names;
    let marker = text.map(|text| Marker {
        analyzer: reader.engine.views.analyzer(),
        text: text.clone(),
        matcher: OnceLock::new(),
    });
    Ok(Answer {
        recipes: declared(reader, &hits, &names)?,
        hits,
        pending,
        plan,
        cursor: None,
        names,
        marker,
    })
}

/// What is declared of labels, if one of the nodes has any but those that the database knows.
fn declared(reader: &Reader<'_>, hits: &[AnsweredHit], names: &Names) -> Result<Recipes> {
    let known = names.text_labels();
    for hit in hits {
        if hit.node.has_label_beside(&known)? {
            return Recipes::read(reader.snapshot, reader.namespace);
        }
    }
    Ok(Recipes::default())
}

fn check_threshold(threshold: Option<f32>) -> Result<()> {
    match threshold {
        Some(threshold) if !threshold.is_finite() => Err(Error::query(
            "semantic_query.threshold",
            format!("{threshold} is no score; give a finite number"),
        )),
        _ => Ok(()),
    }
}

/// What a model returns for one text must be one finite vector of its space.
pub(crate) fn check_answer(vector: &[f32], space: Option<&SpaceRecord>) -> Result<()> {
    let expected = space.map_or(vector.len(), |space| space.dimension as usize);
    let message = if vector.len() != expected || vector.is_empty() {
        format!("{} numbers for one text; a vector of {expected} is needed", vector.len())
    } else if let Some(wrong) = vector.iter().find(|value| !value.is_finite()) {
        format!("{wrong} in the vector of a query; vectors must be finite")
    } else {
        return Ok(());
    };
    Err(Error::EnrichmentFailed { message: format!("the embedding function returned {message}") })
}
