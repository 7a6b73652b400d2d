//! Tokens of nodes: where what is embedded lies on the eight axes, and the fields that it forms.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_db_common::{Error, NamespaceId, Result, Slot, SpaceId, Token};
use embedded_db_indexing::edges::End;
use embedded_db_indexing::graph::GROUPS;
use embedded_db_indexing::vector::direction;
use embedded_db_query::fields::{self, Parting, Ties};
use embedded_db_storage::{EmbeddingRecord, ReadEmbeddings, ReadTxn, State};
use roaring::RoaringBitmap;

use crate::axes::Axes;
use crate::database::Database;
use crate::reads::{Reader, Wanted};

pub use fields::Field;

/// Vectors read between two looks at whether to go on.
const CHECK_EVERY: usize = 4_096;

/// A node that lies near something.
pub struct NearToken {
    /// The id of the node.
    pub id: String,
    /// Its token.
    pub token: Token,
    /// How far it is, 0 for the same place.
    pub distance: f32,
}

/// Tokens that are held in memory, those that were asked for last behind the others.
const HELD: usize = 4;

/// The tokens that were asked for last.
#[derive(Default)]
pub(crate) struct HeldTokens(Mutex<Vec<Held>>);

struct Held {
    of: Of,
    state: State,
    hidden: Option<RoaringBitmap>,
    tokens: Arc<Vec<Token>>,
}

/// Which tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Of {
    namespace: NamespaceId,
    space: SpaceId,
    organised: bool,
}

/// Which tokens of a namespace are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placed<'a> {
    /// Of which space; of the model in use when it is left out.
    pub space: Option<&'a str>,
    /// Whether they have moved along the edges.
    pub organised: bool,
}

impl Placed<'_> {
    fn wanted(&self) -> Wanted<'_> {
        self.space.map_or(Wanted::Models, Wanted::Named)
    }
}

impl HeldTokens {
    pub(crate) fn end(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database {
    /// The token of every embedded node, in the order in which the nodes were made; its id is the number
    /// of the node's slot.
    pub fn tokens(
        &self,
        which: Placed<'_>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Vec<Token>>> {
        let engine = self.engine()?;
        // The model makes the axes with nothing held.
        let found = self.read(|reader| reader.wanted(which.wanted()))?;
        let Some(found) = found else { return Ok(Arc::default()) };
        let axes = engine.axes(Some(&found))?;
        let namespace = self.namespace_id();
        let of = Of { namespace, space: found.0, organised: which.organised };
        self.read(|reader| reader.tokens(of, &axes, interrupted))
    }

    /// The token of a node; `None` when it is not embedded.
    pub fn token(&self, id: &str, space: Option<&str>) -> Result<Option<Token>> {
        let engine = self.engine()?;
        let wanted = space.map_or(Wanted::Models, Wanted::Named);
        let found = self.read(|reader| {
            reader.snapshot.require_node(reader.namespace, id)?;
            reader.wanted(wanted)
        })?;
        let Some(found) = found else { return Ok(None) };
        let axes = engine.axes(Some(&found))?;
        self.read(|reader| {
            let node = reader.snapshot.require_node(reader.namespace, id)?;
            let parts = reader.snapshot.embeddings_of(reader.namespace, found.0, node)?;
            Ok(token_of(node, parts.into_iter().map(|(_, part)| part), &axes))
        })
    }

    /// Ids of the nodes of these tokens; `None` for one that is not there any more.
    pub fn token_ids(&self, tokens: &[u64]) -> Result<Vec<Option<String>>> {
        self.read(|reader| {
            let id = |token: &u64| {
                let Ok(slot) = u32::try_from(*token) else { return Ok(None) };
                let node = reader.snapshot.node(reader.namespace, Slot(slot))?;
                Ok(node.map(|node| node.id.to_owned()))
            };
            tokens.iter().map(id).collect()
        })
    }

    /// The nodes whose tokens are nearest to a place, the nearest first.
    pub fn near_tokens(
        &self,
        place: &fields::Point,
        limit: usize,
        which: Placed<'_>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<NearToken>> {
        let tokens = self.tokens(which, interrupted)?;
        let far = |token: &Token| fields::distance(&token.coordinates, place);
        let mut all: Vec<(f32, &Token)> = tokens.iter().map(|token| (far(token), token)).collect();
        let order = |a: &(f32, &Token), b: &(f32, &Token)| {
            a.0.total_cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id))
        };
        if all.len() > limit {
            all.select_nth_unstable_by(limit, order);
            all.truncate(limit);
        }
        all.sort_unstable_by(order);
        self.read(|reader| {
            let mut found = Vec::with_capacity(all.len());
            for (far, token) in all {
                let slot = Slot(u32::try_from(token.id).unwrap_or(u32::MAX));
                // It may have gone meanwhile.
                if let Some(node) = reader.snapshot.node(reader.namespace, slot)? {
                    let (id, distance) = (node.id.to_owned(), far.sqrt());
                    found.push(NearToken { id, token: *token, distance });
                }
            }
            Ok(found)
        })
    }

    /// The fields of all tokens, a field before its parts, and the tokens of their points.
    pub fn fields(
        &self,
        parting: Parting,
        which: Placed<'_>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<(Vec<Field>, Arc<Vec<Token>>)> {
        if parting.least == 0 || parting.levels == 0 {
            return Err(Error::InvalidInput("a field has at least one node, and one level".into()));
        }
        let tokens = self.tokens(which, interrupted)?;
        let points: Vec<_> = tokens.iter().map(|token| token.coordinates).collect();
        Ok((fields::fields(&points, parting, interrupted)?, tokens))
    }
}

impl Reader<'_> {
    fn tokens(
        &self,
        of: Of,
        axes: &Axes,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Vec<Token>>> {
        let Reader { engine, snapshot, namespace } = *self;
        let hidden = snapshot.hidden(namespace).map(|hidden| hidden.nodes.clone());
        let holds = |held: &&Held| {
            held.of == of
                && held.hidden == hidden
                && snapshot.is_unchanged_since(held.state, namespace)
        };
        if let Some(held) = engine.tokens.lock().iter().find(holds) {
            return Ok(Arc::clone(&held.tokens));
        }
        let mut tokens = self.projected(of.space, axes, hidden.as_ref(), interrupted)?;
        if of.organised {
            self.organise(&mut tokens, hidden.as_ref(), interrupted)?;
        }
        let tokens = Arc::new(tokens);
        let (state, kept) = (snapshot.state(), Arc::clone(&tokens));
        let mut held = engine.tokens.lock();
        held.retain(|held| held.of != of);
        if held.len() >= HELD {
            held.remove(0);
        }
        held.push(Held { of, state, hidden, tokens: kept });
        Ok(tokens)
    }

    /// Moves tokens along the edges, but for those that only say what is in a chat, topic or summary.
    fn organise(
        &self,
        tokens: &mut [Token],
        hidden: Option<&RoaringBitmap>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let Reader { engine, snapshot, namespace } = *self;
        let edges = engine.edges.at(snapshot, namespace, interrupted)?;
        let names = &engine.names;
        let groups = snapshot.symbol(GROUPS)?;
        let holding = [Some(names.contains), Some(names.summarizes), groups];
        let draws = |end: &End| {
            !holding.contains(&Some(end.edge_type()))
                && hidden.is_none_or(|hidden| !hidden.contains(end.node.0))
        };
        // A token of a node has the number of its slot.
        let own: Vec<Slot> = tokens.iter().map(|token| Slot(token.id as u32)).collect();
        let anchors: Vec<_> = tokens.iter().map(|token| token.coordinates).collect();
        let ties = Ties { edges: &edges, draws: &draws };
        let moved = fields::organise(&own, &anchors, &ties, interrupted)?;
        tokens.iter_mut().zip(moved).for_each(|(token, at)| token.coordinates = at);
        Ok(())
    }

    /// The embeddings of a space on its axes.
    fn projected(
        &self,
        space: SpaceId,
        axes: &Axes,
        hidden: Option<&RoaringBitmap>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<Token>> {
        let Reader { snapshot, namespace, .. } = *self;
        let mut tokens = Vec::new();
        let (mut parts, mut seen): (Vec<(i64, Vec<f32>)>, usize) = (Vec::new(), 0);
        let mut last = None;
        let mut add = |node: Option<Slot>, parts: &mut Vec<(i64, Vec<f32>)>| {
            let is_seen = |node: &Slot| hidden.is_none_or(|all| !all.contains(node.0));
            if let Some(node) = node.filter(is_seen) {
                tokens.extend(whole(node, parts, axes));
            }
            parts.clear();
        };
        snapshot.scan_embeddings(namespace, space, |node, _, record| {
            seen += 1;
            if seen % CHECK_EVERY == 0 {
                interrupted()?;
            }
            if last != Some(node) {
                add(last.replace(node), &mut parts);
            }
            parts.push((record.created_at, record.values().collect()));
            Ok(())
        })?;
        add(last, &mut parts);
        Ok(tokens)
    }
}

fn token_of<'a>(
    node: Slot,
    parts: impl Iterator<Item = EmbeddingRecord<'a>>,
    axes: &Axes,
) -> Option<Token> {
    let parts: Vec<_> =
        parts.map(|part| (part.created_at, part.values().collect::<Vec<f32>>())).collect();
    whole(node, &parts, axes)
}

/// The token of a node of these parts.
fn whole(node: Slot, parts: &[(i64, Vec<f32>)], axes: &Axes) -> Option<Token> {
    let made = parts.iter().map(|(at, _)| *at).max()?;
    let vectors = parts.iter().map(|(_, vector)| vector.iter().copied());
    let coordinates = axes.coordinates(&direction(vectors)?);
    Some(Token { coordinates, ..Token::at(u64::from(node.0), made) })
}
