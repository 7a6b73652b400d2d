//! Conditions, compiled to symbols and evaluated on stored nodes.

use std::cmp::Ordering;

use embedded_db_common::{Result, Symbol, Value, ValueRef};
use embedded_db_storage::{NodeRecord, ReadTxn};

use crate::converged::{Filter, Operator};

/// A condition whose names are resolved.
#[derive(Debug)]
pub(crate) enum Compiled {
    All(Vec<Compiled>),
    Any(Vec<Compiled>),
    Not(Box<Compiled>),
    Test { field: Field, operator: Operator, value: Value },
}

/// What is compared.
#[derive(Debug)]
pub(crate) enum Field {
    Id,
    CreatedAt,
    UpdatedAt,
    Property {
        /// The whole name as one property.
        whole: Option<Symbol>,
        /// The first part of a dotted path, and the rest.
        path: Option<(Option<Symbol>, Vec<String>)>,
    },
}

impl Compiled {
    pub(crate) fn new(filter: &Filter, txn: &impl ReadTxn) -> Result<Self> {
        let all = |filters: &[Filter]| -> Result<Vec<Self>> {
            filters.iter().map(|filter| Self::new(filter, txn)).collect()
        };
        Ok(match filter {
            Filter::All(filters) => Self::All(all(filters)?),
            Filter::Any(filters) => Self::Any(all(filters)?),
            Filter::Not(filter) => Self::Not(Box::new(Self::new(filter, txn)?)),
            Filter::Test { property, operator, value } => Self::Test {
                field: Field::new(property, txn)?,
                operator: *operator,
                value: value.clone(),
            },
        })
    }

    pub(crate) fn matches(&self, node: &NodeRecord<'_>) -> Result<bool> {
        Ok(match self {
            Self::All(filters) => {
                for filter in filters {
                    if !filter.matches(node)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(filters) => {
                for filter in filters {
                    if filter.matches(node)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(filter) => !filter.matches(node)?,
            Self::Test { field, operator, value } => {
                holds(field.value(node)?.as_ref(), *operator, value)
            }
        })
    }
}

impl Field {
    fn new(property: &str, txn: &impl ReadTxn) -> Result<Self> {
        Ok(match property {
            "id" => Self::Id,
            "created_at" => Self::CreatedAt,
            "updated_at" => Self::UpdatedAt,
            _ => {
                let path = match property.split_once('.') {
                    Some((first, rest)) => {
                        Some((txn.symbol(first)?, rest.split('.').map(str::to_owned).collect()))
                    }
                    None => None,
                };
                Self::Property { whole: txn.symbol(property)?, path }
            }
        })
    }

    /// The value on a node; a property whose name holds the dots goes before a path.
    fn value(&self, node: &NodeRecord<'_>) -> Result<Option<Value>> {
        Ok(match self {
            Self::Id => Some(Value::Str(node.id.to_owned())),
            Self::CreatedAt => Some(Value::Time(node.created_at)),
            Self::UpdatedAt => Some(Value::Time(node.updated_at)),
            Self::Property { whole, path } => {
                if let Some(symbol) = whole
                    && let Some(value) = node.properties.get(*symbol)?
                {
                    return Ok(Some(value.to_value()?));
                }
                let Some((Some(first), rest)) = path else { return Ok(None) };
                let Some(mut value) = node.properties.get(*first)? else { return Ok(None) };
                for name in rest {
                    let ValueRef::Map(map) = value else { return Ok(None) };
                    let Some(inner) = map.get(name)? else { return Ok(None) };
                    value = inner;
                }
                Some(value.to_value()?)
            }
        })
    }
}

/// Whether a condition holds. `NotEquals` and `NotIn` are the opposites of `Equals` and `In`: they
/// hold for a node that lacks the property.
fn holds(found: Option<&Value>, operator: Operator, wanted: &Value) -> bool {
    let items = || if let Value::List(items) = wanted { items.as_slice() } else { &[] };
    let Some(found) = found else {
        return matches!(operator, Operator::NotExists | Operator::NotEquals | Operator::NotIn);
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
        Operator::In => items().iter().any(|item| found.equals(item)),
        Operator::NotIn => !items().iter().any(|item| found.equals(item)),
        Operator::GreaterThan => ordered(wanted, Ordering::is_gt),
        Operator::GreaterThanOrEqual => ordered(wanted, Ordering::is_ge),
        Operator::LessThan => ordered(wanted, Ordering::is_lt),
        Operator::LessThanOrEqual => ordered(wanted, Ordering::is_le),
        Operator::Between => match items() {
            [low, high] => ordered(low, Ordering::is_ge) && ordered(high, Ordering::is_le),
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
                let list = Value::List(vec![wanted]);
                assert_ne!(holds(found, Operator::In, &list), holds(found, Operator::NotIn, &list));
            }
            assert_ne!(
                holds(found, Operator::Exists, &Value::Null),
                holds(found, Operator::NotExists, &Value::Null)
            );
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
