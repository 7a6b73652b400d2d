//! Texts, times and property values between Python and their stored form.

use std::fmt::{self, Display};
use std::time::Duration;

use embedded_db_engine::common::record::{Cursor, Damaged, put_bytes, put_varint};
use embedded_db_engine::common::value::write;
use embedded_db_engine::common::{Error, MAX_DEPTH, MAX_PROPERTIES, Value, ValueRef};
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::{invalid, shown, to_python};

/// Objects of the `datetime` module and our own that are compared with all the time.
pub(crate) struct Known {
    pub(crate) datetime: Py<PyAny>,
    epoch: Py<PyAny>,
    microsecond: Py<PyAny>,
    timedelta: Py<PyAny>,
    pub(crate) delete: Py<PyAny>,
}

static KNOWN: PyOnceLock<Known> = PyOnceLock::new();

pub(crate) fn known(py: Python<'_>) -> PyResult<&Known> {
    KNOWN.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let keywords = PyDict::new(py);
        keywords.set_item("tzinfo", utc)?;
        let datetime = module.getattr("datetime")?;
        let timedelta = module.getattr("timedelta")?;
        Ok(Known {
            epoch: datetime.call((1970, 1, 1), Some(&keywords))?.unbind(),
            datetime: datetime.unbind(),
            microsecond: timedelta.call1((0, 0, 1))?.unbind(),
            timedelta: timedelta.unbind(),
            delete: py.import("embedded_db.fields")?.getattr("DELETE")?.unbind(),
        })
    })
}

/// How an error calls a property; made only when there is an error.
pub(crate) struct Property<'a>(pub(crate) &'a str);

impl Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the property {:?}", self.0)
    }
}

/// How an error calls all properties up to one.
pub(crate) struct UpTo<'a>(pub(crate) &'a str);

impl Display for UpTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sum of the properties up to {:?}", self.0)
    }
}

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
const FIRST_MICRO: i64 = -62_135_596_800_000_000;
const LAST_MICRO: i64 = 253_402_300_799_999_999;

/// How long to wait, from seconds; more than 31 years are as good as no end. `None` for what is no
/// time: negative, or not a number.
pub(crate) fn wait(seconds: f64) -> Option<Duration> {
    const LONGEST: f64 = 1e9;
    if seconds.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64(seconds.min(LONGEST)).ok()
}

/// A UTF-8 view of a `str` of at most `limit` bytes; lone surrogates are refused.
pub(crate) fn text<'a>(
    of: &dyn Display,
    value: Borrowed<'a, '_, PyAny>,
    limit: usize,
) -> PyResult<&'a str> {
    let py = value.py();
    // A character takes at least one byte: what is too long is refused before it is copied.
    let characters = value.cast::<PyString>()?.code_point_len()?;
    if characters > limit {
        return Err(too_large(of, py, characters, limit));
    }
    let text = <&str>::extract(value).map_err(|error| {
        if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
            return error;
        }
        let shown = shown(&value);
        to_python(
            py,
            &Error::BadText(format!(
                "{of}: the text {shown} is not valid Unicode (it holds a lone surrogate); encode it \
                 with errors=\"replace\" first"
            )),
        )
    })?;
    if text.len() > limit {
        return Err(too_large(of, py, text.len(), limit));
    }
    Ok(text)
}

/// Microseconds since 1970 UTC of a datetime with a time zone.
pub(crate) fn micros(of: &dyn Display, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let py = value.py();
    let known = known(py)?;
    // A time zone that gives no offset is as good as none.
    if value.call_method0("utcoffset")?.is_none() {
        return Err(invalid(
            py,
            format!(
                "{of}: the datetime {} has no time zone; add one, for example \
                 value.replace(tzinfo=timezone.utc)",
                shown(value)
            ),
        ));
    }
    let micros =
        value.sub(known.epoch.bind(py))?.floor_div(known.microsecond.bind(py))?.extract()?;
    // A time zone may carry a datetime over the edge of what a datetime in UTC can be.
    if (FIRST_MICRO..=LAST_MICRO).contains(&micros) {
        return Ok(micros);
    }
    Err(invalid(
        py,
        format!("{of}: the datetime {} is outside of the years 1 to 9999 in UTC", shown(value)),
    ))
}

/// Microseconds from now after which something expires, from a number of seconds or a timedelta.
pub(crate) fn ttl(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    /// A thousand years of 365 days: whatever the clock says, it ends before the year 9999.
    const LONGEST: i64 = 31_536_000_000;
    let py = value.py();
    let refused = || {
        let shown = shown(value);
        let message = format!(
            "ttl is {shown}; it must be a number of seconds or a timedelta, more than 0 and at most \
             {LONGEST} seconds (1,000 years)"
        );
        invalid(py, message)
    };
    let known = known(py)?;
    if value.is_instance(known.timedelta.bind(py))? {
        // More microseconds than an i64 holds are too many anyway.
        let micros = value.floor_div(known.microsecond.bind(py))?.extract::<i64>();
        let micros = micros.ok().filter(|micros| (1..=LONGEST * 1_000_000).contains(micros));
        return micros.ok_or_else(refused);
    }
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyString>() {
        return Err(refused());
    }
    let seconds = value.extract::<f64>().map_err(|_| refused())?;
    // NaN is in no range. Less than a microsecond is one.
    if seconds > 0.0 && seconds <= LONGEST as f64 {
        return Ok(((seconds * 1e6).round() as i64).max(1));
    }
    Err(refused())
}

/// A datetime in UTC.
pub(crate) fn datetime(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    let known = known(py)?;
    let delta = known.timedelta.bind(py).call1((0, 0, micros))?;
    known.epoch.bind(py).add(delta)
}

fn too_large(of: &dyn Display, py: Python<'_>, size: usize, limit: usize) -> PyErr {
    to_python(py, &Error::ValueTooLarge { what: of.to_string(), size, limit })
}

/// Fails when so many bytes pass the limit of a property set.
pub(crate) fn check_size(of: &dyn Display, py: Python<'_>, size: usize) -> PyResult<()> {
    if size > MAX_PROPERTIES {
        return Err(too_large(of, py, size, MAX_PROPERTIES));
    }
    Ok(())
}

/// What a dict holds now. Converting a value may run Python code that changes the dict meanwhile: a
/// copy that nobody else knows stays as it is.
pub(crate) fn entries<'py>(
    of: &dyn Display,
    given: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    check_size(of, given.py(), given.len())?;
    given
        .copy()
        .map_err(|error| invalid(given.py(), format!("{of}: the dict cannot be read: {error}")))
}

/// Appends the stored form of a value; `of` names it in errors.
pub(crate) fn write_value(
    of: &dyn Display,
    out: &mut Vec<u8>,
    value: &Bound<'_, PyAny>,
    depth: usize,
) -> PyResult<()> {
    let py = value.py();
    if let Ok(string) = value.cast::<PyString>() {
        let text = text(of, string.as_any().as_borrowed(), MAX_PROPERTIES)?;
        write::str(out, text);
    } else if let Ok(flag) = value.cast::<PyBool>() {
        write::bool(out, flag.is_true());
    } else if value.is_none() {
        write::null(out);
    } else if value.cast::<PyInt>().is_ok() {
        let number: i64 = value.extract().map_err(|_| {
            invalid(
                py,
                format!(
                    "{of}: the integer {} does not fit 64 bits; store it as a text",
                    shown(value)
                ),
            )
        })?;
        write::int(out, number);
    } else if let Ok(number) = value.cast::<PyFloat>() {
        write::float(out, number.value());
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        let bytes = bytes.as_bytes();
        check_size(of, py, bytes.len())?;
        write::bytes(out, bytes);
    } else if let Ok(list) = value.cast::<PyList>() {
        check_size(of, py, list.len())?;
        write_items(of, out, &list.to_tuple(), depth)?;
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        write_items(of, out, tuple, depth)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        write_entries(of, out, dict, depth)?;
    } else if value.is_instance(known(py)?.datetime.bind(py))? {
        write::time(out, micros(of, value)?);
    } else {
        return Err(invalid(
            py,
            format!(
                "{of}: a value of type {} cannot be stored; use None, bool, int, float, str, bytes, \
                 datetime, or lists and dicts of these",
                value.get_type().name()?
            ),
        ));
    }
    Ok(())
}

fn check_depth(of: &dyn Display, py: Python<'_>, depth: usize) -> PyResult<()> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    Err(invalid(
        py,
        format!("{of}: it is nested deeper than {MAX_DEPTH} levels, or holds itself; flatten it"),
    ))
}

fn write_items(
    of: &dyn Display,
    out: &mut Vec<u8>,
    items: &Bound<'_, PyTuple>,
    depth: usize,
) -> PyResult<()> {
    let py = items.py();
    check_depth(of, py, depth)?;
    let mut body = Vec::new();
    put_varint(&mut body, items.len() as u64);
    for item in items.iter() {
        write_value(of, &mut body, &item, depth + 1)?;
        check_size(of, py, body.len())?;
    }
    write::list(out, &body);
    Ok(())
}

fn write_entries(
    of: &dyn Display,
    out: &mut Vec<u8>,
    dict: &Bound<'_, PyDict>,
    depth: usize,
) -> PyResult<()> {
    let py = dict.py();
    check_depth(of, py, depth)?;
    let entries = entries(of, dict)?;
    let mut body = Vec::new();
    put_varint(&mut body, entries.len() as u64);
    for (key, item) in entries.iter() {
        let key = key.cast_into::<PyString>().map_err(|error| {
            let shown = shown(&error.into_inner());
            invalid(py, format!("{of}: the key {shown} of a dict is no text; use texts as keys"))
        })?;
        put_bytes(&mut body, text(of, key.as_any().as_borrowed(), MAX_PROPERTIES)?.as_bytes());
        write_value(of, &mut body, &item, depth + 1)?;
        check_size(of, py, body.len())?;
    }
    write::map(out, &body);
    Ok(())
}

/// A value as the engine compares it.
pub(crate) fn value(of: &dyn Display, item: &Bound<'_, PyAny>) -> PyResult<Value> {
    let mut bytes = Vec::new();
    write_value(of, &mut bytes, item, 0)?;
    let read = ValueRef::read(&mut Cursor::new(&bytes)).and_then(|value| value.to_value());
    read.map_err(|damaged| to_python(item.py(), &damaged.into()))
}

/// A value of the engine as a Python object.
pub(crate) fn from_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    let mut bytes = Vec::new();
    value.write(&mut bytes).map_err(|error| to_python(py, &error))?;
    let stored = ValueRef::read(&mut Cursor::new(&bytes));
    to_object(py, stored.map_err(|damaged| to_python(py, &damaged.into()))?)
}

/// A stored value as a Python object.
pub(crate) fn to_object<'py>(py: Python<'py>, value: ValueRef<'_>) -> PyResult<Bound<'py, PyAny>> {
    let damaged = |error: Damaged| to_python(py, &error.into());
    Ok(match value {
        ValueRef::Null => py.None().into_bound(py),
        ValueRef::Bool(flag) => PyBool::new(py, flag).to_owned().into_any(),
        ValueRef::Int(number) => number.into_pyobject(py)?.into_any(),
        ValueRef::Float(number) => PyFloat::new(py, number).into_any(),
        ValueRef::Time(micros) => datetime(py, micros)?,
        ValueRef::Str(text) => PyString::new(py, text).into_any(),
        ValueRef::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        ValueRef::List(list) => {
            let out = PyList::empty(py);
            for item in list.iter().map_err(damaged)? {
                out.append(to_object(py, item.map_err(damaged)?)?)?;
            }
            out.into_any()
        }
        ValueRef::Map(map) => {
            let out = PyDict::new(py);
            for entry in map.iter().map_err(damaged)? {
                let (name, item) = entry.map_err(damaged)?;
                out.set_item(name, to_object(py, item)?)?;
            }
            out.into_any()
        }
    })
}
