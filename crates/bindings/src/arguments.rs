//! Arguments of methods: what Python gave as a plain value, or an error of ours that names it.
//!
//! What is of a wrong type is a `TypeError`, what is of the right type and out of range is an
//! `InvalidInput`: neither `UnicodeEncodeError` nor `OverflowError` comes out.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::Deref;
use std::time::Duration;

use embedded_db_engine::{AddTo, AsOf, Begin, Expiry};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};

use crate::convert::moment;
use crate::errors::{invalid, shown};
use crate::values::{text, ttl, wait};

/// Most bytes of a text argument. No id, name or cursor is nearly as long, and errors repeat it.
const LONGEST: usize = 1 << 16;

/// An id, a name or a cursor, borrowed from the Python object.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a>(&'a str);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

/// What may be left out, as the engine takes it.
pub(crate) fn optional<'a>(given: Option<Text<'a>>) -> Option<&'a str> {
    given.map(|given| given.0)
}

impl<'a, 'py> FromPyObject<'a, 'py> for Text<'a> {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        text(&"a text argument", given, LONGEST).map(Self)
    }
}

/// The path of a database, as the system has it: bytes that are no text come from `os.fsdecode`.
pub(crate) struct GivenPath(pub(crate) OsString);

impl<'py> FromPyObject<'_, 'py> for GivenPath {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // Anything longer is refused by the system too, but only after it was copied.
        if given.cast::<PyString>()?.code_point_len()? <= LONGEST
            && let Ok(path) = given.extract::<OsString>()
        {
            return Ok(Self(path));
        }
        text(&"the path of the database", given, LONGEST).map(|path| Self(path.into()))
    }
}

fn whole<'py, T>(parameter: &str, given: Borrowed<'_, 'py, PyAny>, most: T) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr> + Display,
{
    let py = given.py();
    let refused = |most: T| {
        let shown = shown(&given);
        let message = format!("{parameter} is {shown}; it must be a whole number from 0 to {most}");
        invalid(py, message)
    };
    if given.is_instance_of::<PyBool>() {
        return Err(refused(most));
    }
    given.extract::<T>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(py) { refused(most) } else { error }
    })
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident($number:ty) = $parameter:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(pub(crate) $number);

        impl<'py> FromPyObject<'_, 'py> for $name {
            type Error = PyErr;

            fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
                whole($parameter, given, <$number>::MAX).map(Self)
            }
        }
    )*};
}

counts! {
    /// Most items.
    Limit(usize) = "limit";
    /// Most hops of a walk.
    MaxDepth(u32) = "max_depth";
    /// Most hops of a path.
    MaxHops(u32) = "max_hops";
    /// Most nodes to look at.
    MaxVisited(usize) = "max_visited";
    /// Most hops from the nodes in the middle.
    Hops(u32) = "hops";
    /// A place in a chat.
    Place(u32) = "place";
    /// How many tokens.
    Count(usize) = "count";
    /// What a token is known by.
    TokenId(u64) = "id";
    /// That of the first of many.
    FirstId(u64) = "first_id";
    /// Bits of a token.
    Flags(u16) = "flags";
    /// Most reflexes.
    Capacity(usize) = "capacity";
}

macro_rules! times {
    ($($(#[$doc:meta])* $name:ident = $parameter:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(pub(crate) i64);

        impl<'py> FromPyObject<'_, 'py> for $name {
            type Error = PyErr;

            fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
                moment($parameter, &given).map(Self)
            }
        }
    )*};
}

times! {
    /// When edges are true in the world, microseconds UTC.
    ValidAt = "valid_at";
    /// When the database held them for true, microseconds UTC.
    KnownAt = "known_at";
    /// When a node expires, microseconds UTC.
    ExpiresAt = "expires_at";
}

/// Which edges count.
pub(crate) fn as_of(valid_at: Option<ValidAt>, known_at: Option<KnownAt>) -> AsOf {
    AsOf { valid_at: valid_at.map(|at| at.0), known_at: known_at.map(|at| at.0) }
}

/// Which chat messages are added to.
pub(crate) fn add_to(must_exist: bool) -> AddTo {
    if must_exist { AddTo::ChatThatExists } else { AddTo::AnyChat }
}

/// Where reading a chat begins.
pub(crate) fn begin(after: Option<&str>, place: Option<u32>) -> Begin<'_> {
    match (place, after) {
        (Some(place), _) => Begin::BehindPlace(place),
        (None, Some(after)) => Begin::Behind(after),
        (None, None) => Begin::AtTheEnd,
    }
}

/// The argument `ttl`, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Ttl(i64);

/// When something expires, as the engine takes it.
pub(crate) fn after(ttl: Option<Ttl>) -> Expiry {
    ttl.map_or(Expiry::Never, |ttl| Expiry::After(ttl.0))
}

impl<'py> FromPyObject<'_, 'py> for Ttl {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        ttl(&given).map(Self)
    }
}

/// The argument `timeout`, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Timeout(pub(crate) Duration);

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = given.py();
        let refused = || {
            let shown = shown(&given);
            let message = format!("timeout is {shown}; it must be a number of seconds, 0 or more");
            invalid(py, message)
        };
        match given.extract::<f64>() {
            Ok(seconds) => wait(seconds).map(Self).ok_or_else(refused),
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => Err(refused()),
            Err(error) => Err(error),
        }
    }
}
