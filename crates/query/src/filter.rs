//! Conditions, compiled to symbols and evaluated on stored nodes and edges.

use std::cmp::Ordering;

use embedded_db_common::record::Properties;
use embedded_db_common::{Result, Symbol, Value};
use embedded_db_indexing::properties::value_at;
use embedded_db_storage::{EdgeRecord, NodeRecord, ReadTxn};

use crate::converged::{Filter, Operator};

/// A condition whose names are resolved.
#[derive(Debug, Clone)]
pub(crate) enum Compiled {
    All(Vec<Compiled>),
    Any(Vec<Compiled>),
    Not(Box<Compiled>),
    Test {
        field: Field,
        operator: Operator,
        value: Value,
    },
    /// `In`, and its opposite `NotIn`.
    Member {
        field: Field,
        among: Among,
        not: bool,
    },
}

/// Values that one may be among, found in logarithmic time.
#[derive(Debug, Clone)]
pub(crate) struct Among {
    /// Single values in their order; NaN equals nothing and is left out.
    single: Vec<Value>,
    /// Lists and dicts.
    nested: Vec<Value>,
}

impl Among {
    fn new(values: &[Value]) -> Self {
        let is_nested = |value: &&Value| matches!(value, Value::List(_) | Value::Map(_));
        let (nested, mut single): (Vec<_>, Vec<_>) = values.iter().partition(is_nested);
        single.retain(|value| value.equals(value));
        single.sort_by(|a, b| a.compare(b));
        Self {
            single: single.into_iter().cloned().collect(),
            nested: nested.into_iter().cloned().collect(),
        }
    }

    fn holds(&self, found: &Value) -> bool {
        match found {
            Value::List(_) | Value::Map(_) => self.nested.iter().any(|value| found.equals(value)),
            _ => self.single.binary_search_by(|value| value.compare(found)).is_ok(),
        }
    }
}

/// What a record has beside its properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Id,
    CreatedAt,
    UpdatedAt,
    Weight,
    ValidFrom,
    ValidTo,
    RecordedAt,
}

/// A record that conditions are evaluated on.
pub(crate) trait Fields {
    /// The names of what it has beside its properties; they go before properties of that name.
    const OWN: &'static [(&'static str, Own)];

    fn own(&self, own: Own) -> Option<Value>;
    fn properties(&self) -> Properties<'_>;
}

impl Fields for NodeRecord<'_> {
    const OWN: &'static [(&'static str, Own)] =
        &[("id", Own::Id), ("created_at", Own::CreatedAt), ("updated_at", Own::UpdatedAt)];

    fn own(&self, own: Own) -> Option<Value> {
        match own {
            Own::Id => Some(Value::Str(self.id.to_owned())),
            Own::CreatedAt => Some(Value::Time(self.created_at)),
            Own::UpdatedAt => Some(Value::Time(self.updated_at)),
            Own::Weight | Own::ValidFrom | Own::ValidTo | Own::RecordedAt => None,
        }
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }
}

impl Fields for EdgeRecord<'_> {
    const OWN: &'static [(&'static str, Own)] = &[
        ("id", Own::Id),
        ("weight", Own::Weight),
        ("valid_from", Own::ValidFrom),
        ("valid_to", Own::ValidTo),
        ("recorded_at", Own::RecordedAt),
    ];

    fn own(&self, own: Own) -> Option<Value> {
        match own {
            Own::Id => Some(Value::Str(self.id.to_owned())),
            Own::Weight => Some(Value::Float(self.weight)),
            Own::ValidFrom => self.times.valid_from.map(Value::Time),
            Own::ValidTo => self.times.valid_to.map(Value::Time),
            Own::RecordedAt => Some(Value::Time(self.times.recorded_at)),
            Own::CreatedAt | Own::UpdatedAt => None,
        }
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }
}

/// What is compared.
#[derive(Debug, Clone)]
pub(crate) enum Field {
    Own(Own),
    Property {
        /// The whole name as one property.
        whole: Option<Symbol>,
        /// The first part of a dotted path…
        first: Option<Symbol>,
        /// …and the rest.
        rest: Vec<String>,
    },
}

impl Compiled {
    /// For records of the kind `R`.
    pub(crate) fn new<R: Fields>(filter: &Filter, txn: &impl ReadTxn) -> Result<Self> {
        let all = |filters: &[Filter]| -> Result<Vec<Self>> {
            filters.iter().map(|filter| Self::new::<R>(filter, txn)).collect()
        };
        Ok(match filter {
            Filter::All(filters) => Self::All(all(filters)?),
            Filter::Any(filters) => Self::Any(all(filters)?),
            Filter::Not(filter) => Self::Not(Box::new(Self::new::<R>(filter, txn)?)),
            Filter::Test { property, operator, value } => {
                let field = Field::new::<R>(property, txn)?;
                let not = *operator == Operator::NotIn;
                if not || *operator == Operator::In {
                    let items = if let Value::List(items) = value { items.as_slice() } else { &[] };
                    Self::Member { field, among: Among::new(items), not }
                } else {
                    Self::Test { field, operator: *operator, value: value.clone() }
                }
            }
        })
    }

    pub(crate) fn matches(&self, record: &impl Fields) -> Result<bool> {
        Ok(match self {
            Self::All(filters) => {
                for filter in filters {
                    if !filter.matches(record)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(filters) => {
                for filter in filters {
                    if filter.matches(record)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(filter) => !filter.matches(record)?,
            Self::Test { field, operator, value } => {
                holds(field.value(record)?.as_ref(), *operator, value)
            }
            Self::Member { field, among, not } => {
                field.value(record)?.is_some_and(|found| among.holds(&found)) != *not
            }
        })
    }
}

impl Field {
    /// Of records of the kind `R`.
    pub(crate) fn new<R: Fields>(property: &str, txn: &impl ReadTxn) -> Result<Self> {
        if let Some((_, own)) = R::OWN.iter().find(|(name, _)| *name == property) {
            return Ok(Self::Own(*own));
        }
        let whole = txn.symbol(property)?;
        let (first, rest) = match property.split_once('.') {
            Some((first, rest)) => {
                (txn.symbol(first)?, rest.split('.').map(str::to_owned).collect())
            }
            None => (None, Vec::new()),
        };
        Ok(Self::Property { whole, first, rest })
    }

    /// The value on a record.
    pub(crate) fn value(&self, record: &impl Fields) -> Result<Option<Value>> {
        match self {
            Self::Own(own) => Ok(record.own(*own)),
            Self::Property { whole, first, rest } => {
                let rest = rest.iter().map(String::as_str);
                let value = value_at(record.properties(), *whole, *first, rest)?;
                Ok(value.map(|value| value.to_value()).transpose()?)
            }
        }
    }
}

/// Whether a condition holds. `NotEquals` is the opposite of `Equals`, as `NotIn` is that of `In`:
/// it holds for a node that lacks the property.
fn holds(found: Option<&Value>, operator: Operator, wanted: &Value) -> bool {
    let Some(found) = found else {
        return matches!(operator, Operator::NotExists | Operator::NotEquals);
    };
    let ordered = |with: &Value, accept: fn(Ordering) -> bool| {
        let nan = |value: &Value| matches!(value, Value::Float(x) if x.is_nan());
        found.comparable(with) && !nan(found) && !nan(with) && accept(found.compare(with))
    };
    match operator {
        Operator::Exists => true,
        Operator::NotExists => false,
        Operator::Equals => found.equals(wanted),
        Operator::NotEquals => !found.equals(wanted),
        Operator::In | Operator::NotIn => unreachable!("they are compiled to members"),
        Operator::GreaterThan => ordered(wanted, Ordering::is_gt),
        Operator::GreaterThanOrEqual => ordered(wanted, Ordering::is_ge),
        Operator::LessThan => ordered(wanted, Ordering::is_lt),
        Operator::LessThanOrEqual => ordered(wanted, Ordering::is_le),
        Operator::Between => match wanted {
            Value::List(bounds) if bounds.len() == 2 => {
                ordered(&bounds[0], Ordering::is_ge) && ordered(&bounds[1], Ordering::is_le)
            }
            _ => false,
        },
        Operator::Contains => match (found, wanted) {
            (Value::Str(text), Value::Str(part)) => text.contains(part.as_str()),
            (Value::List(items), wanted) => items.iter().any(|item| item.equals(wanted)),
            (Value::Map(entries), Value::Str(name)) => entries.iter().any(|(key, _)| key == name),
            _ => false,
        },
        Operator::StartsWith => match (found, wanted) {
            (Value::Str(text), Value::Str(part)) => text.starts_with(part.as_str()),
            _ => false,
        },
        Operator::EndsWith => match (found, wanted) {
            (Value::Str(text), Value::Str(part)) => text.ends_with(part.as_str()),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Str(text.into())
    }

    #[test]
    fn opposites_cover_everything() {
        for found in [None, Some(&Value::Null), Some(&Value::Int(1)), Some(&text("a"))] {
            for wanted in [Value::Null, Value::Int(1), text("a")] {
                assert_ne!(
                    holds(found, Operator::Equals, &wanted),
                    holds(found, Operator::NotEquals, &wanted)
                );
            }
            assert_ne!(
                holds(found, Operator::Exists, &Value::Null),
                holds(found, Operator::NotExists, &Value::Null)
            );
        }
    }

    #[test]
    fn members_are_what_equals_one_of_them() {
        let map =
            |names: [&str; 2]| Value::Map(names.map(|name| (name.to_owned(), text(name))).into());
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(1),
            Value::Float(1.0),
            Value::Int(i64::MAX),
            Value::Float(9.3e18),
            Value::Float(f64::NAN),
            Value::Float(-0.0),
            Value::Int(0),
            Value::Time(1),
            text("a"),
            text("b"),
            Value::Bytes(b"a".into()),
            Value::List(vec![Value::Int(1)]),
            Value::List(vec![Value::Float(1.0)]),
            map(["a", "b"]),
            map(["b", "a"]),
        ];
        for chosen in 0..1_u32 << values.len() {
            if chosen % 61 != 0 {
                continue; // one in so many is enough, and every value is in half of them
            }
            let among: Vec<_> = (0..values.len())
                .filter(|at| chosen >> at & 1 == 1)
                .map(|at| values[at].clone())
                .collect();
            let set = Among::new(&among);
            for found in &values {
                let equal = among.iter().any(|value| found.equals(value));
                assert_eq!(set.holds(found), equal, "{found:?} among {among:?}");
            }
        }
    }

    #[test]
    fn order_holds_only_between_values_of_one_kind() {
        assert!(holds(Some(&Value::Int(2)), Operator::GreaterThan, &Value::Float(1.5)));
        assert!(!holds(Some(&text("2")), Operator::GreaterThan, &Value::Int(1)));
        assert!(!holds(Some(&Value::Float(f64::NAN)), Operator::GreaterThan, &Value::Int(1)));
        assert!(holds(
            Some(&Value::Time(5)),
            Operator::Between,
            &Value::List(vec![Value::Time(5), Value::Time(9)])
        ));
    }

    #[test]
    fn contains_looks_into_texts_lists_and_dicts() {
        assert!(holds(Some(&text("rustic")), Operator::Contains, &text("rust")));
        assert!(holds(
            Some(&Value::List(vec![Value::Int(1)])),
            Operator::Contains,
            &Value::Float(1.0)
        ));
        let map = Value::Map(vec![("a".into(), Value::Null)]);
        assert!(holds(Some(&map), Operator::Contains, &text("a")));
        assert!(!holds(Some(&Value::Int(12)), Operator::Contains, &Value::Int(1)));
    }
}
