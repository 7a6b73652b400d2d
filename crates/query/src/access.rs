//! Which nodes an index gives for a condition.

use embedded_db_common::{NamespaceId, Result, Symbol, Value};
use embedded_db_indexing::columns::{Rows, slots_in};
use embedded_db_indexing::posting;
use embedded_db_indexing::properties::{DeclaredIndex, declared_indexes, posting_between};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{
    CellRange, IndexId, IndexState, Place, ReadTxn, index_value_of, is_exact, kind_bounds,
    prefix_bounds,
};
use roaring::RoaringBitmap;

use crate::converged::{Filter, Operator};

/// The indexes that a query may use.
pub(crate) struct Indexes<'a, T> {
    txn: &'a T,
    namespace: NamespaceId,
    names: &'a Names,
    /// The labels of the query that are in use; `None` when it names none, so that only what covers
    /// nodes of every label may be used.
    labels: Option<Vec<Symbol>>,
    declared: Vec<DeclaredIndex>,
}

/// What indexes say of a condition.
pub(crate) struct Indexed {
    pub(crate) slots: RoaringBitmap,
    /// Whether all of these nodes fulfil it; otherwise their records have to be looked at.
    pub(crate) exact: bool,
    /// How they were found.
    pub(crate) access: &'static str,
}

/// Why no index answers a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotIndexed {
    /// There is none for it, or none is ready.
    NoIndex,
    /// To read the nodes costs less than to read so much of the index.
    TooMuch,
}

/// What to look for in an index.
enum Wanted {
    Equality(Vec<Vec<u8>>),
    Between { access: &'static str, from: Vec<u8>, end: Vec<u8> },
}

/// Postings that are read before a column is taken: as many as are read in a moment.
const FEW_CONTAINERS: u64 = 64;
/// Values that are looked for in one pass over a column: more are found faster in the nodes.
const MOST_RANGES: usize = 16;

/// The indexes that together hold all nodes the query may return.
struct Covering {
    ids: Vec<IndexId>,
    /// Whether their postings hold the values that are looked for.
    postings: bool,
}

/// A condition as an index can answer it.
struct Lookup<'f> {
    property: &'f str,
    wanted: Wanted,
    exact: bool,
    /// Whether only texts can fulfil it.
    texts: bool,
}

impl<'a, T: ReadTxn> Indexes<'a, T> {
    pub(crate) fn new(
        txn: &'a T,
        namespace: NamespaceId,
        names: &'a Names,
        labels: &[String],
    ) -> Result<Self> {
        let mut known = Vec::new();
        for label in labels {
            known.extend(txn.symbol(label)?);
        }
        let labels = (!labels.is_empty()).then_some(known);
        let mut declared = Vec::new();
        if labels.is_some() {
            declared = declared_indexes(txn, namespace)?;
            declared.retain(|index| index.record.state == IndexState::Ready);
        }
        Ok(Self { txn, namespace, names, labels, declared })
    }

    /// The nodes that indexes give for a condition: of those `within` all that fulfil it, and maybe
    /// others that are not within. With `enough`, the first so many that are within will do.
    pub(crate) fn find(
        &self,
        filter: &Filter,
        within: Option<&RoaringBitmap>,
        enough: Option<u64>,
    ) -> Result<Result<Indexed, NotIndexed>> {
        match filter {
            Filter::Any(filters) => self.any(filters, within),
            Filter::All(filters) => self.all(filters, within),
            Filter::Not(_) => Ok(Err(NotIndexed::NoIndex)),
            Filter::Test { .. } => self.test(filter, within, enough),
        }
    }

    /// Every part needs an index.
    fn any(
        &self,
        filters: &[Filter],
        within: Option<&RoaringBitmap>,
    ) -> Result<Result<Indexed, NotIndexed>> {
        let (mut slots, mut exact) = (RoaringBitmap::new(), true);
        for filter in filters {
            match self.find(filter, within, None)? {
                Ok(found) => {
                    slots |= found.slots;
                    exact &= found.exact;
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(Indexed { slots, exact, access: "index union" }))
    }

    /// One part with an index is enough; the others are left to be read.
    fn all(
        &self,
        filters: &[Filter],
        within: Option<&RoaringBitmap>,
    ) -> Result<Result<Indexed, NotIndexed>> {
        let (mut slots, mut exact) = (None::<RoaringBitmap>, true);
        let mut why = NotIndexed::NoIndex;
        for filter in filters {
            match self.find(filter, within, None)? {
                Ok(found) => {
                    exact &= found.exact;
                    slots = Some(match slots {
                        Some(slots) => slots & found.slots,
                        None => found.slots,
                    });
                }
                Err(reason) => {
                    exact = false;
                    why = reason;
                }
            }
        }
        let access = "index intersection";
        Ok(slots.map_or(Err(why), |slots| Ok(Indexed { slots, exact, access })))
    }

    fn test(
        &self,
        filter: &Filter,
        within: Option<&RoaringBitmap>,
        enough: Option<u64>,
    ) -> Result<Result<Indexed, NotIndexed>> {
        let Some(lookup) = lookup(filter) else { return Ok(Err(NotIndexed::NoIndex)) };
        let Some(covering) = self.of(&lookup)? else { return Ok(Err(NotIndexed::NoIndex)) };
        let Lookup { ref wanted, exact, .. } = lookup;
        let found = match wanted {
            Wanted::Equality(values) if covering.postings => {
                let mut slots = RoaringBitmap::new();
                for index in covering.ids {
                    for value in values {
                        slots |= posting(self.txn, self.namespace, index, value)?;
                    }
                }
                Some((slots, "index equality"))
            }
            _ => match lookup.places() {
                Some(places) => self.in_columns(&lookup, &covering, &places, (within, enough))?,
                None => {
                    self.in_postings(&lookup, &covering, within.map_or(u64::MAX, containers_worth))?
                }
            },
        };
        Ok(found.map_or(Err(NotIndexed::TooMuch), |(slots, access)| {
            Ok(Indexed { slots, exact, access })
        }))
    }

    /// By postings, if `most` containers tell.
    fn in_postings(
        &self,
        lookup: &Lookup<'_>,
        covering: &Covering,
        most: u64,
    ) -> Result<Option<Found>> {
        let Wanted::Between { access, from, end } = &lookup.wanted else { return Ok(None) };
        let (mut slots, bounds) = (RoaringBitmap::new(), (from.as_slice(), end.as_slice()));
        for index in &covering.ids {
            match posting_between(self.txn, self.namespace, *index, bounds, most)? {
                Some(found) => slots |= found,
                None => return Ok(None),
            }
        }
        Ok(Some((slots, access)))
    }

    /// By whichever face costs less: how many postings there are is known when they are read.
    fn in_columns(
        &self,
        lookup: &Lookup<'_>,
        covering: &Covering,
        places: &[(Place, Place)],
        (within, enough): (Option<&RoaringBitmap>, Option<u64>),
    ) -> Result<Option<Found>> {
        let (txn, namespace) = (self.txn, self.namespace);
        let rows = Rows::choose(txn, namespace, within)?;
        if covering.postings {
            let few = within.map_or(FEW_CONTAINERS, |within| within.len().min(FEW_CONTAINERS));
            let most = rows.containers(txn, namespace)?.max(few);
            let found = self.in_postings(lookup, covering, most)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        if places.len() > MOST_RANGES {
            return Ok(None);
        }
        let mut slots = RoaringBitmap::new();
        for (from, end) in places.iter().filter(|(from, end)| from < end) {
            let range = CellRange::new(*from, *end);
            for index in &covering.ids {
                let enough = enough.map(|enough| (enough, within));
                slots |= slots_in(txn, namespace, *index, (&rows, &range), enough)?;
            }
        }
        Ok(Some((slots, rows.access())))
    }

    /// One index over all labels, or one for each label of the query.
    fn of(&self, lookup: &Lookup<'_>) -> Result<Option<Covering>> {
        if let Some(symbol) = self.txn.symbol(lookup.property)?
            && let Some(index) =
                self.names.indexes().into_iter().find(|index| index.property == symbol)
        {
            let postings = lookup.texts;
            if postings || (index.index == IndexId::TIMESTAMP && lookup.places().is_some()) {
                return Ok(Some(Covering { ids: vec![index.index], postings }));
            }
        }
        let ids = self.declared(lookup.property);
        Ok(ids.map(|ids| Covering { ids, postings: true }))
    }

    fn declared(&self, property: &str) -> Option<Vec<IndexId>> {
        let of_label = |label: &Symbol| {
            let found = self
                .declared
                .iter()
                .find(|index| index.record.label == *label && *index.property == *property);
            found.map(|index| index.id)
        };
        self.labels.as_ref()?.iter().map(of_label).collect()
    }

    /// The indexes whose columns and postings hold all values of a property, of all nodes the query may
    /// return.
    pub(crate) fn whole(&self, property: &str) -> Result<Option<Vec<IndexId>>> {
        let timestamp = self.txn.symbol(property)? == Some(self.names.timestamp);
        Ok(if timestamp { Some(vec![IndexId::TIMESTAMP]) } else { self.declared(property) })
    }
}

/// Nodes, and by which way they were found.
type Found = (RoaringBitmap, &'static str);

/// Containers of an index that cost as much as reading the nodes that are left.
pub(crate) fn containers_worth(left: &RoaringBitmap) -> u64 {
    left.len().saturating_mul(8).saturating_add(1024)
}

impl Lookup<'_> {
    /// What to look for in a column, from the first place to before the second; `None` when a column does
    /// not hold such values.
    fn places(&self) -> Option<Vec<(Place, Place)>> {
        let places = |from: &[u8], end: &[u8]| Some((Place::of_key(from)?, Place::of_key(end)?));
        match &self.wanted {
            Wanted::Equality(keys) => {
                keys.iter().map(|key| places(key, &after(key.clone()))).collect()
            }
            Wanted::Between { from, end, .. } => Some(vec![places(from, end)?]),
        }
    }
}

/// Whether a condition names few values: cheap, and looked up first.
pub(crate) fn is_equality(filter: &Filter) -> bool {
    matches!(filter, Filter::Test { operator: Operator::Equals | Operator::In, .. })
}

fn lookup(filter: &Filter) -> Option<Lookup<'_>> {
    let Filter::Test { property, operator, value } = filter else { return None };
    let (wanted, exact, texts) = match (operator, value) {
        (Operator::Equals, value) => equality(std::slice::from_ref(value))?,
        (Operator::In, Value::List(items)) => equality(items)?,
        (Operator::StartsWith, Value::Str(prefix)) => {
            let (from, end, exact) = prefix_bounds(prefix);
            (Wanted::Between { access: "index prefix", from, end }, exact, true)
        }
        (Operator::Between, Value::List(bounds)) => match bounds.as_slice() {
            [low, high] => range(Some((low, true)), Some((high, true)))?,
            _ => return None,
        },
        (Operator::GreaterThan, value) => range(Some((value, false)), None)?,
        (Operator::GreaterThanOrEqual, value) => range(Some((value, true)), None)?,
        (Operator::LessThan, value) => range(None, Some((value, false)))?,
        (Operator::LessThanOrEqual, value) => range(None, Some((value, true)))?,
        _ => return None,
    };
    Some(Lookup { property, wanted, exact, texts })
}

/// Equality with one of the values.
fn equality(values: &[Value]) -> Option<(Wanted, bool, bool)> {
    let mut keys = values.iter().map(index_value_of).collect::<Option<Vec<_>>>()?;
    // Nothing equals NaN, though it has a place among the values.
    let mut equal = values.iter().map(|value| value.equals(value));
    keys.retain(|_| equal.next().unwrap_or(false));
    // A list may name a value any number of times.
    keys.sort_unstable();
    keys.dedup();
    let texts = values.iter().all(|value| matches!(value, Value::Str(_)));
    Some((Wanted::Equality(keys), values.iter().all(is_exact), texts))
}

/// A bound and whether it belongs to the range.
type Bound<'v> = Option<(&'v Value, bool)>;

/// The values between two bounds; one that is missing is that of the other's type.
fn range(low: Bound<'_>, high: Bound<'_>) -> Option<(Wanted, bool, bool)> {
    let (any, _) = low.or(high)?;
    let (mut from, mut end) = kind_bounds(any)?;
    let mut exact = true;
    if let Some((low, included)) = low {
        from = index_value_of(low)?;
        // What shares its key bytes with others may be on either side.
        if !included && is_exact(low) {
            from = after(from);
        }
        exact &= is_exact(low);
    }
    if let Some((high, included)) = high {
        end = index_value_of(high)?;
        if included || !is_exact(high) {
            end = after(end);
        }
        exact &= is_exact(high);
    }
    let nothing = [low, high].into_iter().flatten().any(|(value, _)| !value.equals(value));
    if nothing {
        end = from.clone();
    }
    let wanted = Wanted::Between { access: "index range", from, end };
    Some((wanted, exact, matches!(any, Value::Str(_))))
}

/// Key bytes behind all containers of a value and before the next one. A container's number begins
/// with a zero byte; a longer value that begins alike goes on with a greater one.
fn after(mut value: Vec<u8>) -> Vec<u8> {
    value.push(1);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_named_many_times_is_looked_up_once() {
        let texts: Vec<Value> = (0..9).map(|n| Value::Str(format!("v{}", n % 3))).collect();
        let nan = [Value::Float(f64::NAN), Value::Int(1), Value::Float(1.0)];
        for (values, wanted) in [(texts.as_slice(), 3), (&nan, 1)] {
            let Some((Wanted::Equality(keys), _, _)) = equality(values) else { unreachable!() };
            assert_eq!(keys.len(), wanted);
        }
    }
}
