use std::path::PathBuf;
use std::time::Duration;

use embedded_db_common::{Draft, Error, Resource, Value};
use embedded_db_indexing::graph::{Changes, EdgeChanges, Expiry, GivenVector, NodeDraft};
use embedded_db_query::{Filter, Operator};
use proptest::prelude::*;

use super::wire::{Taken, Wire, sent};

fn again<T: Wire>(value: &T) -> T {
    Taken::plain(&sent(value)).only().unwrap()
}

/// Of each kind, with places and without.
fn errors() -> Vec<Error> {
    let path = || PathBuf::from("/a b/ü.db");
    let text = || "what and why".to_owned();
    let plain = vec![
        Error::NotFound { kind: "node", id: text() },
        Error::AlreadyExists { kind: "edge", id: text() },
        Error::Taken { message: text(), id: text() },
        Error::Conflict { kind: "node", id: text(), expected: 1, found: 2 },
        Error::InvalidInput(text()),
        Error::BadText(text()),
        Error::InvalidQuery { field: text(), message: text() },
        Error::DimensionMismatch { expected: 1, got: 2, space: text() },
        Error::NonFiniteVector { index: 3, value: f32::INFINITY },
        Error::ValueTooLarge { what: text(), size: 5, limit: 4 },
        Error::DatabaseLocked { path: path(), pid: 7, host: text() },
        Error::HeldElsewhere { path: path(), pid: 7, host: text(), what: text() },
        Error::OutcomeUnknown { path: path(), pid: 7 },
        Error::DatabaseClosed { path: path() },
        Error::ForkedHandle { path: path(), parent: 7 },
        Error::BusClosed,
        Error::ForkedBus { parent: 7 },
        Error::BusLocked { path: path(), pid: 7, host: text() },
        Error::ReadOnly { path: path() },
        Error::SnapshotExpired { age_seconds: 2, limit_seconds: 1 },
        Error::SnapshotOutgrown { grown: 2, limit: 1 },
        Error::QuotaExceeded {
            resource: Resource::Bytes,
            namespace: Some(text()),
            used: 2,
            limit: 1,
        },
        Error::CapacityExceeded { what: "rows", used: 2, limit: 1, remedy: "less" },
        Error::ChangesTrimmed { since: 1, oldest: 2 },
        Error::CursorGaveWay { limit: 2 },
        Error::TooManySnapshots { used: 2, limit: 1 },
        Error::StorageFull { path: path(), detail: text(), is_kept: true },
        Error::StorageError { path: path(), detail: text() },
        Error::RecoveryNeeded { path: path() },
        Error::Corruption { path: path(), object: text(), detail: text() },
        Error::DamagedFile { path: path(), detail: text() },
        Error::FormatTooNew { path: path(), found: 2, supported: 1 },
        Error::Timeout { what: text(), seconds: 0.5 },
        Error::TooManyVisited { limit: 3 },
        Error::Interrupted,
        Error::Ending,
        Error::ModelUnavailable { message: text() },
        Error::LimitReached {
            function: "embedding",
            limit: "calls_per_minute",
            most: 1.0,
            used: 1.5,
            until: 12,
        },
        Error::EnrichmentFailed { message: text() },
        Error::LeftBehind { message: text() },
        Error::Internal(text()),
    ];
    let placed = plain.iter().cloned().map(|error| error.of_item(3).of_property("age"));
    let placed = placed.collect::<Vec<_>>();
    plain.into_iter().chain(placed).collect()
}

#[test]
fn an_error_comes_back_as_it_was() {
    for error in errors() {
        let found = again(&Err::<(), _>(error.clone())).unwrap_err();
        assert_eq!(format!("{found:?}"), format!("{error:?}"));
        assert_eq!(found.to_string(), error.to_string());
    }
}

#[test]
fn what_is_cut_or_goes_on_is_no_value() {
    let changes = Changes { set: Draft::new(), remove: vec!["a".into(), "ü".into()] };
    let edge = EdgeChanges { properties: changes, valid_to: Some(None), ..EdgeChanges::default() };
    let bytes = sent(&(edge, Duration::from_millis(1500)));
    type Both = (EdgeChanges, Duration);
    let (edge, time) = Taken::plain(&bytes).only::<Both>().unwrap();
    assert_eq!((edge.valid_from, edge.valid_to, time.as_millis()), (None, Some(None), 1500));
    assert_eq!(edge.properties.remove, ["a", "ü"]);
    for end in 0..bytes.len() {
        assert!(Taken::plain(&bytes[..end]).only::<Both>().is_err(), "{end}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(Taken::plain(&longer).only::<Both>().is_err());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("equals itself", |it| !it.is_nan()).prop_map(Value::Float),
        ".*".prop_map(Value::Str),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        any::<i64>().prop_map(Value::Time),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::List))
}

proptest! {
    #[test]
    fn drafts_and_conditions_come_back_as_they_were(
        values in prop::collection::vec(value(), 0..5),
        numbers in any::<Option<Vec<u32>>>(),
        time in any::<i64>(),
        name in ".*",
    ) {
        let mut properties = Draft::new();
        for (at, value) in values.iter().enumerate() {
            properties.set(&format!("p{at}"), value).unwrap();
        }
        let numbers = numbers.map(|all| all.into_iter().map(f32::from_bits).collect());
        let embedding = numbers.map(|numbers| GivenVector { space: Some(name.clone()), numbers });
        let draft = NodeDraft {
            id: Some(name.clone()),
            labels: vec![name.clone()],
            properties,
            expiry: Expiry::At(time),
            embedding,
        };
        let found = again(&draft);
        prop_assert_eq!(format!("{:?}", found), format!("{:?}", draft));
        let tests = values.into_iter().map(|value| Filter::Test {
            property: name.clone(),
            operator: Operator::NotIn,
            value,
        });
        let filter = Filter::Not(Box::new(Filter::Any(tests.collect())));
        prop_assert_eq!(again(&filter), filter);
    }

    #[test]
    fn bytes_of_any_kind_are_refused_or_read(bytes in any::<Vec<u8>>()) {
        let _read = Taken::plain(&bytes).only::<NodeDraft>();
        let _read = Taken::plain(&bytes).only::<Error>();
        let _read = Taken::plain(&bytes).only::<Filter>();
    }
}
