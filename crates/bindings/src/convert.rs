//! Nodes, edges, embeddings and changes from what Python gives for them.

use std::fmt::Display;

use embedded_db_engine::common::{Draft, MAX_PROPERTIES};
use embedded_db_engine::{
    Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EmbeddingDraft, Expiry, GivenVector, NodeDraft,
};
use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyMapping, PyString};

use crate::cancel::give_way;
use crate::errors::{invalid, placed, shown, to_python};
use crate::leaving::Outside;
use crate::values::{Property, UpTo, check_size, entries, known, micros, text, ttl, write_value};

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

/// The name of a property or field.
fn name<'a>(of: &dyn Display, key: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let name = key.cast::<PyString>().map_err(|_| {
        invalid(key.py(), format!("the name {} is no text; property names are texts", shown(key)))
    })?;
    text(of, name.as_any().as_borrowed(), MAX_PROPERTIES)
}

/// Adds one property.
fn property(out: &mut Draft, name: &str, item: &Bound<'_, PyAny>) -> PyResult<()> {
    let (py, of) = (item.py(), Property(name));
    let written = out.push(name, |bytes| {
        let start = bytes.len();
        write_value(&of, bytes, item, 1)?;
        check_size(&of, py, bytes.len() - start)
    });
    written.map_err(|error| placed(py, error, "property", name))?;
    check_size(&UpTo(name), py, out.size())
}

/// The items of a batch, each made by `make`.
pub(crate) fn items<'py, T>(
    given: &Bound<'py, PyAny>,
    make: impl Fn(&Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let py = given.py();
    // It may be a generator.
    let _outside = Outside::begin().map_err(|error| to_python(py, &error))?;
    let made = given.try_iter()?.enumerate().map(|(at, item)| {
        give_way(py);
        make(&item?).map_err(|error| placed(py, error, "item", at))
    });
    made.collect()
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
        if field(key, item).map_err(|error| placed(py, error, "field", key))? {
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

/// An id, or an object that has one.
fn identity(what: &str, item: &Bound<'_, PyAny>) -> PyResult<String> {
    if item.cast::<PyString>().is_ok() {
        return string(what, item);
    }
    match item.getattr_opt("id") {
        Ok(Some(id)) if id.cast::<PyString>().is_ok() => string(what, &id),
        _ => wanted(what, item, "an id or an object that has one"),
    }
}

/// Ids, or objects that have them.
fn identities(what: &str, items: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if items.cast::<PyString>().is_ok() {
        return strings(what, items);
    }
    let _outside = Outside::count();
    let Ok(items) = items.try_iter() else {
        return wanted(what, items, "a list of ids or of objects that have them");
    };
    items.map(|item| identity(what, &item?)).collect()
}

/// A list of ids or names.
pub(crate) fn strings(what: &str, items: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(one) = items.cast::<PyString>() {
        return Ok(vec![text(&what, one.as_any().as_borrowed(), MAX_PROPERTIES)?.to_owned()]);
    }
    let _outside = Outside::count();
    // The keys of a dict are no list.
    let listed = if items.is_instance_of::<PyDict>() { None } else { items.try_iter().ok() };
    let Some(items) = listed else { return wanted(what, items, "a text or a list of texts") };
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

/// When something expires, by one of the two fields that say so; whether the field is one of them.
fn expiry(out: &mut Expiry, name: &str, item: &Bound<'_, PyAny>) -> PyResult<bool> {
    let given = match name {
        "ttl" if item.is_none() => Expiry::Never,
        "ttl" => Expiry::After(ttl(item)?),
        "expires_at" => optional_micros(item, "expires_at")?.map_or(Expiry::Never, Expiry::At),
        _ => return Ok(false),
    };
    if given != Expiry::Never && *out != Expiry::Never {
        return Err(invalid(
            item.py(),
            "ttl and expires_at are both given; give one of them".to_owned(),
        ));
    }
    if given != Expiry::Never {
        *out = given;
    }
    Ok(true)
}

/// A node from its dict.
pub(crate) fn node(given: &Bound<'_, PyAny>) -> PyResult<NodeDraft> {
    let (mut out, mut given_vector) = (NodeDraft::default(), Given::default());
    fields(
        given,
        "a node",
        |name, item| {
            match name {
                "id" => out.id = optional_string("id", item)?,
                "labels" => out.labels.extend(strings("labels", item)?),
                "label" => out.labels.push(string("label", item)?),
                "properties" => out.properties = properties(item)?,
                _ if comes_with_node(&mut given_vector, name, item)? => {}
                _ => return expiry(&mut out.expiry, name, item),
            }
            Ok(true)
        },
        "id, labels, label, ttl, expires_at, embedding, embedding_space, and properties, a dict that holds \
         everything else",
    )?;
    out.embedding = given_vector.complete(given)?;
    Ok(out)
}

/// The vector that a dict of a node may have, as it is read.
#[derive(Default)]
struct Given {
    numbers: Option<Vec<f32>>,
    space: Option<String>,
}

impl Given {
    fn complete(self, given: &Bound<'_, PyAny>) -> PyResult<Option<GivenVector>> {
        match self {
            Self { numbers: None, space: Some(_) } => {
                let message = "an embedding_space is given, but no embedding; give both or none";
                let error = invalid(given.py(), message.into());
                Err(placed(given.py(), error, "field", "embedding_space"))
            }
            Self { numbers, space } => Ok(numbers.map(|numbers| GivenVector { space, numbers })),
        }
    }
}

fn comes_with_node(into: &mut Given, name: &str, item: &Bound<'_, PyAny>) -> PyResult<bool> {
    match name {
        "embedding" if item.is_none() => into.numbers = None,
        "embedding" => into.numbers = Some(vector(item)?),
        "embedding_space" => into.space = optional_string("embedding_space", item)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Microseconds of a datetime with a time zone.
pub(crate) fn moment(what: &str, item: &Bound<'_, PyAny>) -> PyResult<i64> {
    if !item.is_instance(known(item.py())?.datetime.bind(item.py()))? {
        let shown = shown(item);
        let message = format!("{what} is {shown}; it must be a datetime with a time zone");
        return Err(invalid(item.py(), message));
    }
    micros(&what, item)
}

fn optional_micros(item: &Bound<'_, PyAny>, what: &str) -> PyResult<Option<i64>> {
    if item.is_none() { Ok(None) } else { moment(what, item).map(Some) }
}

/// An edge from its dict.
pub(crate) fn edge(given: &Bound<'_, PyAny>) -> PyResult<EdgeDraft> {
    let EdgeSuccessor { source, target, edge_type, mut draft } = successor(given)?;
    let missing = |field: &str| {
        let error = invalid(given.py(), format!("an edge needs a {field}; give {field}"));
        placed(given.py(), error, "field", field)
    };
    draft.source = source.ok_or_else(|| missing("source"))?;
    draft.target = target.ok_or_else(|| missing("target"))?;
    draft.edge_type = edge_type.ok_or_else(|| missing("type"))?;
    Ok(draft)
}

/// An edge that may take ends and type over from another, from its dict.
pub(crate) fn successor(given: &Bound<'_, PyAny>) -> PyResult<EdgeSuccessor> {
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
                "source" => source = Some(identity("source", item)?),
                "target" => target = Some(identity("target", item)?),
                "type" => edge_type = Some(string("type", item)?),
                "properties" => out.properties = properties(item)?,
                "weight" => out.weight = wanted("weight", item, "a number")?,
                "valid_from" => out.valid_from = optional_micros(item, "valid_from")?,
                "valid_to" => out.valid_to = optional_micros(item, "valid_to")?,
                "sources" => out.sources = identities("sources", item)?,
                _ => return Ok(false),
            }
            Ok(true)
        },
        "id, source, target, type, weight, valid_from, valid_to, sources, and properties, a dict \
         that holds everything else",
    )?;
    Ok(EdgeSuccessor { source, target, edge_type, draft: out })
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
    if let Ok(exact) = item.extract::<PyReadonlyArray1<'_, f32>>()
        && let Ok(slice) = exact.as_slice()
    {
        return Ok(slice.to_vec());
    }
    if let Ok(list) = item.cast_exact::<PyList>() {
        let float = |number: Bound<'_, PyAny>| number.cast::<PyFloat>().ok().map(|it| it.value());
        let floats: Option<Vec<f32>> = list.iter().map(|it| Some(float(it)? as f32)).collect();
        if let Some(floats) = floats {
            return Ok(floats);
        }
    }
    let py = item.py();
    let float32 = py.import("embedded_db.arrays")?.getattr("float32")?;
    let wrong = |item: &Bound<'_, PyAny>| {
        let class = item.get_type();
        invalid(py, format!("a vector is a list or array of numbers with one axis, not {class}"))
    };
    let array = float32.call1((item,)).map_err(|_| wrong(item))?;
    if array.getattr("ndim")?.extract::<usize>()? != 1 {
        return Err(wrong(item));
    }
    let array: PyReadonlyArray1<'_, f32> = array.extract()?;
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
                "node_id" => node_id = Some(identity("node_id", item)?),
                "vector" => numbers = Some(vector(item)?),
                "space" => space = optional_string("space", item)?,
                _ => return Ok(false),
            }
            Ok(true)
        },
        "id, node_id, vector, space",
    )?;
    let missing = |field: &str| {
        let error = invalid(given.py(), format!("an embedding needs a {field}; give {field}"));
        placed(given.py(), error, "field", field)
    };
    Ok(EmbeddingDraft {
        id,
        space,
        node_id: node_id.ok_or_else(|| missing("node_id"))?,
        vector: numbers.ok_or_else(|| missing("vector"))?,
    })
}

/// A message from one flat dict.
pub(crate) fn message(given: &Bound<'_, PyAny>) -> PyResult<NodeDraft> {
    let mut given_vector = Given::default();
    let mut out = flat_with(given, "a message", &mut |name, item| {
        comes_with_node(&mut given_vector, name, item)
    })?;
    out.embedding = given_vector.complete(given)?;
    Ok(out)
}

/// Id, expiry and properties from one flat dict, as chats are given.
pub(crate) fn flat(given: &Bound<'_, PyAny>, what: &str) -> PyResult<NodeDraft> {
    flat_with(given, what, &mut |_, _| Ok(false))
}

fn flat_with(
    given: &Bound<'_, PyAny>,
    what: &str,
    other: &mut dyn FnMut(&str, &Bound<'_, PyAny>) -> PyResult<bool>,
) -> PyResult<NodeDraft> {
    let mut out = NodeDraft::default();
    fields(
        given,
        what,
        |name, item| {
            if name == "id" {
                out.id = optional_string("id", item)?;
            } else if !expiry(&mut out.expiry, name, item)? && !other(name, item)? {
                property(&mut out.properties, name, item)?;
            }
            Ok(true)
        },
        "any",
    )?;
    Ok(out)
}
