//! Values between Python and their stored form.

use std::fmt::{self, Display};
use std::time::Duration;

use embedded_db_engine::common::value::write;
use embedded_db_engine::common::{
    Draft, Error, MAX_DEPTH, MAX_PROPERTIES, Value, ValueRef, record::put_bytes, record::put_varint,
};
use embedded_db_engine::{Changes, EdgeChanges, EdgeDraft, EmbeddingDraft, NodeDraft};
use numpy::{PyArrayLike1, TypeMustMatch};
use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};

use crate::errors::{invalid, shown, to_python};

/// Objects of the `datetime` module and our own that are compared with all the time.
struct Known {
    datetime: Py<PyAny>,
    epoch: Py<PyAny>,
    microsecond: Py<PyAny>,
    timedelta: Py<PyAny>,
    delete: Py<PyAny>,
}

static KNOWN: PyOnceLock<Known> = PyOnceLock::new();

fn known(py: Python<'_>) -> PyResult<&Known> {
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
    if value.call_method0(intern!(py, "utcoffset"))?.is_none() {
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

/// A datetime in UTC.
pub(crate) fn datetime(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    let known = known(py)?;
    let delta = known.timedelta.bind(py).call1((0, 0, micros))?;
    known.epoch.bind(py).add(delta)
}

fn too_large(of: &dyn Display, py: Python<'_>, size: usize, limit: usize) -> PyErr {
    to_python(py, &Error::ValueTooLarge { what: of.to_string(), size, limit })
}

/// Fails when `size` more bytes than are written already pass the limit of a property set.
fn check_size(of: &dyn Display, py: Python<'_>, written: usize, size: usize) -> PyResult<()> {
    if written + size > MAX_PROPERTIES {
        return Err(too_large(of, py, written + size, MAX_PROPERTIES));
    }
    Ok(())
}

/// Most names in one dict of properties: they are looked up one by one, and are kept for ever.
const MOST_PROPERTIES: usize = 10_000;

fn check_count(what: &str, py: Python<'_>, count: usize) -> PyResult<()> {
    if count <= MOST_PROPERTIES {
        return Ok(());
    }
    Err(invalid(
        py,
        format!(
            "{what} has {count} names, the limit is {MOST_PROPERTIES}; keep a large dict as the \
             value of one property"
        ),
    ))
}

/// What a dict holds now. Converting a value may run Python code that changes the dict meanwhile: a
/// copy that nobody else knows stays as it is.
fn entries<'py>(of: &dyn Display, given: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    check_size(of, given.py(), 0, given.len())?;
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
        check_size(of, py, out.len(), text.len())?;
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
        check_size(of, py, out.len(), bytes.len())?;
        write::bytes(out, bytes);
    } else if let Ok(list) = value.cast::<PyList>() {
        check_size(of, py, out.len(), list.len())?;
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
        check_size(of, py, body.len(), 0)?;
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
        check_size(of, py, body.len(), 0)?;
    }
    write::map(out, &body);
    Ok(())
}

/// A value as the engine compares it.
pub(crate) fn value(of: &dyn Display, item: &Bound<'_, PyAny>) -> PyResult<Value> {
    let mut bytes = Vec::new();
    write_value(of, &mut bytes, item, 0)?;
    let mut cursor = embedded_db_engine::common::record::Cursor::new(&bytes);
    let read = ValueRef::read(&mut cursor).and_then(|value| value.to_value());
    read.map_err(|damaged| to_python(item.py(), &damaged.into()))
}

/// A stored value as a Python object.
pub(crate) fn to_object<'py>(py: Python<'py>, value: ValueRef<'_>) -> PyResult<Bound<'py, PyAny>> {
    let damaged = |error: embedded_db_engine::common::record::Damaged| to_python(py, &error.into());
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

/// The name of a property or field.
fn name<'a>(of: &dyn Display, key: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let name = key.cast::<PyString>().map_err(|_| {
        invalid(key.py(), format!("the name {} is no text; property names are texts", shown(key)))
    })?;
    text(of, name.as_any().as_borrowed(), MAX_PROPERTIES)
}

/// Adds one property.
fn property(out: &mut Draft, name: &str, item: &Bound<'_, PyAny>) -> PyResult<()> {
    out.push(name, |bytes| write_value(&Property(name), bytes, item, 1))
}

/// Properties from a dict.
pub(crate) fn draft(properties: &Bound<'_, PyDict>) -> PyResult<Draft> {
    let mut out = Draft::new();
    let given = entries(&"properties", properties)?;
    check_count("properties", properties.py(), given.len())?;
    for (key, item) in given.iter() {
        property(&mut out, name(&"a property name", &key)?, &item)?;
    }
    Ok(out)
}

/// Calls `field` with each name and value of a dict-like.
fn fields(
    given: &Bound<'_, PyAny>,
    what: &str,
    mut field: impl FnMut(&str, &Bound<'_, PyAny>) -> PyResult<bool>,
    known: &str,
) -> PyResult<()> {
    let py = given.py();
    let mut each = |key: &Bound<'_, PyAny>, item: &Bound<'_, PyAny>| -> PyResult<()> {
        let key = name(&"a name", key)?;
        if field(key, item)? {
            return Ok(());
        }
        Err(invalid(py, format!("{key:?} is no field of {what}; known are {known}")))
    };
    if let Ok(dict) = given.cast::<PyDict>() {
        let given = entries(&what, dict)?;
        check_count(what, py, given.len())?;
        for (key, item) in given.iter() {
            each(&key, &item)?;
        }
        return Ok(());
    }
    let mapping = given.cast::<PyMapping>().map_err(|_| {
        let class = given.get_type();
        invalid(py, format!("{what} is given as a dict, not as {class}"))
    })?;
    let pairs = mapping.items()?;
    check_count(what, py, pairs.len())?;
    for pair in pairs.iter() {
        let (key, item): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract().map_err(|_| {
            invalid(py, format!("{what} has the item {}, which is no name and value", shown(&pair)))
        })?;
        each(&key, &item)?;
    }
    Ok(())
}

fn wanted<'py, T>(what: &str, item: &Bound<'py, PyAny>, kind: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    item.extract::<T>()
        .map_err(|_| invalid(item.py(), format!("{what} is {}; it must be {kind}", shown(item))))
}

/// An id or name; lone surrogates are refused.
pub(crate) fn string(what: &str, item: &Bound<'_, PyAny>) -> PyResult<String> {
    match item.cast::<PyString>() {
        Ok(string) => Ok(text(&what, string.as_any().as_borrowed(), MAX_PROPERTIES)?.to_owned()),
        Err(_) => wanted(what, item, "a text"),
    }
}

/// A list of ids or names.
pub(crate) fn strings(what: &str, items: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(one) = items.cast::<PyString>() {
        return Ok(vec![text(&what, one.as_any().as_borrowed(), MAX_PROPERTIES)?.to_owned()]);
    }
    let Ok(items) = items.try_iter() else {
        return wanted(what, items, "a text or a list of texts");
    };
    items.map(|item| string(what, &item?)).collect()
}

fn optional_string(what: &str, item: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if item.is_none() { Ok(None) } else { string(what, item).map(Some) }
}

fn properties(item: &Bound<'_, PyAny>) -> PyResult<Draft> {
    match item.cast::<PyDict>() {
        Ok(dict) => draft(dict),
        Err(_) if item.is_none() => Ok(Draft::new()),
        Err(_) => {
            let mut out = Draft::new();
            fields(
                item,
                "properties",
                |name, value| {
                    property(&mut out, name, value)?;
                    Ok(true)
                },
                "any",
            )?;
            Ok(out)
        }
    }
}

/// A node from its dict.
pub(crate) fn node(given: &Bound<'_, PyAny>) -> PyResult<NodeDraft> {
    let mut out = NodeDraft::default();
    fields(
        given,
        "a node",
        |name, item| {
            match name {
                "id" => out.id = optional_string("id", item)?,
                "labels" => out.labels.extend(strings("labels", item)?),
                "label" => out.labels.push(string("label", item)?),
                "properties" => out.properties = properties(item)?,
                _ => return Ok(false),
            }
            Ok(true)
        },
        "id, labels, label, properties",
    )?;
    Ok(out)
}

fn optional_micros(item: &Bound<'_, PyAny>, what: &str) -> PyResult<Option<i64>> {
    if item.is_none() {
        return Ok(None);
    }
    if !item.is_instance(known(item.py())?.datetime.bind(item.py()))? {
        return wanted(what, item, "a datetime with a time zone");
    }
    micros(&what, item).map(Some)
}

/// An edge from its dict.
pub(crate) fn edge(given: &Bound<'_, PyAny>) -> PyResult<EdgeDraft> {
    let (mut source, mut target, mut edge_type) = (None, None, None);
    let mut out = EdgeDraft {
        id: None,
        source: String::new(),
        target: String::new(),
        edge_type: String::new(),
        properties: Draft::new(),
        weight: 1.0,
        valid_from: None,
        valid_to: None,
        sources: Vec::new(),
    };
    fields(
        given,
        "an edge",
        |name, item| {
            match name {
                "id" => out.id = optional_string("id", item)?,
                "source" => source = Some(string("source", item)?),
                "target" => target = Some(string("target", item)?),
                "type" => edge_type = Some(string("type", item)?),
                "properties" => out.properties = properties(item)?,
                "weight" => out.weight = wanted("weight", item, "a number")?,
                "valid_from" => out.valid_from = optional_micros(item, "valid_from")?,
                "valid_to" => out.valid_to = optional_micros(item, "valid_to")?,
                "sources" => out.sources = strings("sources", item)?,
                _ => return Ok(false),
            }
            Ok(true)
        },
        "id, source, target, type, properties, weight, valid_from, valid_to, sources",
    )?;
    let missing = |field: &str| invalid(given.py(), format!("an edge needs {field}; it has none"));
    out.source = source.ok_or_else(|| missing("source"))?;
    out.target = target.ok_or_else(|| missing("target"))?;
    out.edge_type = edge_type.ok_or_else(|| missing("type"))?;
    Ok(out)
}

/// Changes of a node from a dict of properties.
pub(crate) fn changes(given: &Bound<'_, PyAny>) -> PyResult<Changes> {
    let mut out = Changes::default();
    let delete = known(given.py())?.delete.bind(given.py()).clone();
    fields(
        given,
        "updates",
        |name, item| {
            if item.is(&delete) {
                out.remove.push(name.to_owned());
            } else {
                property(&mut out.set, name, item)?;
            }
            Ok(true)
        },
        "any",
    )?;
    Ok(out)
}

/// Changes of an edge: `weight`, `valid_from` and `valid_to` are its own, all else are properties.
pub(crate) fn edge_changes(given: &Bound<'_, PyAny>) -> PyResult<EdgeChanges> {
    let mut out = EdgeChanges::default();
    let delete = known(given.py())?.delete.bind(given.py()).clone();
    fields(
        given,
        "updates",
        |name, item| {
            let deleted = item.is(&delete);
            let time = |what| if deleted { Ok(None) } else { optional_micros(item, what) };
            match name {
                "weight" if deleted => out.weight = Some(1.0),
                "weight" => out.weight = Some(wanted("weight", item, "a number")?),
                "valid_from" => out.valid_from = Some(time("valid_from")?),
                "valid_to" => out.valid_to = Some(time("valid_to")?),
                _ if deleted => out.properties.remove.push(name.to_owned()),
                _ => property(&mut out.properties.set, name, item)?,
            }
            Ok(true)
        },
        "any",
    )?;
    Ok(out)
}

/// The numbers of a vector: any array-like with one axis.
pub(crate) fn vector(item: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    if let Ok(exact) = item.extract::<PyArrayLike1<'_, f32, TypeMustMatch>>()
        && let Ok(slice) = exact.as_slice()
    {
        return Ok(slice.to_vec());
    }
    let py = item.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    let keywords = PyDict::new(py);
    keywords.set_item("dtype", numpy.getattr(intern!(py, "float32"))?)?;
    let wrong = |item: &Bound<'_, PyAny>| {
        let class = item.get_type();
        invalid(py, format!("a vector is a list or array of numbers with one axis, not {class}"))
    };
    let array = numpy.call_method(intern!(py, "ascontiguousarray"), (item,), Some(&keywords));
    let array = array.map_err(|_| wrong(item))?;
    if array.getattr(intern!(py, "ndim"))?.extract::<usize>()? != 1 || item.is_none() {
        return Err(wrong(item));
    }
    let array: PyArrayLike1<'_, f32, TypeMustMatch> = array.extract()?;
    Ok(array.as_slice().map_err(|_| PyTypeError::new_err("the array is not contiguous"))?.to_vec())
}

/// An embedding from its dict.
pub(crate) fn embedding(given: &Bound<'_, PyAny>) -> PyResult<EmbeddingDraft> {
    let (mut node_id, mut numbers) = (None, None);
    let (mut id, mut space) = (None, None);
    fields(
        given,
        "an embedding",
        |name, item| {
            match name {
                "id" => id = optional_string("id", item)?,
                "node_id" => node_id = Some(string("node_id", item)?),
                "vector" => numbers = Some(vector(item)?),
                "space" => space = optional_string("space", item)?,
                _ => return Ok(false),
            }
            Ok(true)
        },
        "id, node_id, vector, space",
    )?;
    let missing =
        |field: &str| invalid(given.py(), format!("an embedding needs {field}; it has none"));
    Ok(EmbeddingDraft {
        id,
        space,
        node_id: node_id.ok_or_else(|| missing("node_id"))?,
        vector: numbers.ok_or_else(|| missing("vector"))?,
    })
}

/// Id and properties from one flat dict, as chats and messages are given.
pub(crate) fn flat(given: &Bound<'_, PyAny>, what: &str) -> PyResult<(Option<String>, Draft)> {
    let (mut id, mut draft) = (None, Draft::new());
    fields(
        given,
        what,
        |name, item| {
            if name == "id" {
                id = optional_string("id", item)?;
            } else {
                property(&mut draft, name, item)?;
            }
            Ok(true)
        },
        "any",
    )?;
    Ok((id, draft))
}
