//! JSON in and out. What is read becomes a [`Value`] without times and bytes; what is written comes
//! straight from stored values.
//!
//! Property values have the forms of exports: `{"$float": "nan"}`, `{"$bytes": "…"}` (base64),
//! `{"$time": "…"}` and `{"$map": {…}}` for a dict one of whose keys begins with `$`.

use std::collections::HashSet;
use std::fmt::{self, Display};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use embedded_db_engine::common::record::Cursor;
use embedded_db_engine::common::{Error, MAX_DEPTH, Result, Value, ValueRef, calendar};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// What was read.
struct Read(Value);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        let refused = |_| E::custom("an integer that does not fit 64 bits");
        i64::try_from(value).map(Value::Int).map_err(refused)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut given: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Read(item)) = given.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Value, A::Error> {
        let (mut entries, mut known) = (Vec::new(), HashSet::new());
        while let Some(name) = given.next_key::<String>()? {
            if !known.insert(name.clone()) {
                return Err(A::Error::custom("a name that stands twice in one object"));
            }
            let Read(item) = given.next_value()?;
            entries.push((name, item));
        }
        Ok(Value::Map(entries))
    }
}

/// Reads a document. Names that come twice, integers beyond 64 bits, NaN, lone surrogates and more than
/// some hundred levels are refused; the message says where.
pub(crate) fn read(bytes: &[u8]) -> std::result::Result<Value, String> {
    serde_json::from_slice::<Read>(bytes).map(|read| read.0).map_err(|error| error.to_string())
}

/// The property value of a JSON form.
pub(crate) fn decoded(json: &Value) -> Result<Value> {
    decoded_at(json, 0)
}

fn decoded_at(json: &Value, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(Error::InvalidInput(format!(
            "a property is nested deeper than {MAX_DEPTH} levels; flatten it"
        )));
    }
    let entries = match json {
        Value::List(items) => {
            let items = items.iter().map(|item| decoded_at(item, depth + 1));
            return Ok(Value::List(items.collect::<Result<_>>()?));
        }
        Value::Map(entries) => entries,
        plain => return Ok(plain.clone()),
    };
    if let [(name, inner)] = entries.as_slice()
        && name.starts_with('$')
    {
        return tagged(name, inner, depth);
    }
    if let Some((name, _)) = entries.iter().find(|(name, _)| name.starts_with('$')) {
        return Err(Error::InvalidInput(format!(
            "the key {name:?} begins with $; put the dict into {{\"$map\": …}}"
        )));
    }
    map(entries, depth)
}

fn map(entries: &[(String, Value)], depth: usize) -> Result<Value> {
    let entries =
        entries.iter().map(|(name, item)| Ok((name.clone(), decoded_at(item, depth + 1)?)));
    Ok(Value::Map(entries.collect::<Result<_>>()?))
}

fn tagged(name: &str, inner: &Value, depth: usize) -> Result<Value> {
    let refused = || {
        Error::InvalidInput(format!(
            "what stands under {name:?} is no value; known are $float, $bytes, $time and $map"
        ))
    };
    match (name, inner) {
        ("$float", Value::Str(text)) => match text.as_str() {
            "nan" => Ok(Value::Float(f64::NAN)),
            "inf" => Ok(Value::Float(f64::INFINITY)),
            "-inf" => Ok(Value::Float(f64::NEG_INFINITY)),
            _ => Err(refused()),
        },
        ("$bytes", Value::Str(text)) => {
            STANDARD.decode(text).map(Value::Bytes).map_err(|_| refused())
        }
        ("$time", Value::Str(text)) => calendar::parse(text).map(Value::Time).ok_or_else(refused),
        ("$map", Value::Map(entries)) => map(entries, depth),
        _ => Err(refused()),
    }
}

/// JSON as it is written.
#[derive(Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
    /// Whether what comes next needs a comma before it.
    behind: bool,
}

impl Writer {
    pub(crate) fn end(self) -> Vec<u8> {
        self.out
    }

    fn comma(&mut self) {
        if self.behind {
            self.out.push(b',');
        }
        self.behind = true;
    }

    fn raw(&mut self, text: &str) {
        self.comma();
        self.out.extend_from_slice(text.as_bytes());
    }

    fn quoted(&mut self, text: &str) {
        // Writing to a Vec cannot fail.
        let _written = serde_json::to_writer(&mut self.out, text);
    }

    /// The name of what comes next.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        self.comma();
        self.quoted(name);
        self.out.push(b':');
        self.behind = false;
        self
    }

    pub(crate) fn null(&mut self) {
        self.raw("null");
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    pub(crate) fn int(&mut self, value: impl Display) {
        self.raw(&value.to_string());
    }

    /// A finite number; null stands for what is none.
    pub(crate) fn float(&mut self, value: f64) {
        if !value.is_finite() {
            return self.null();
        }
        self.comma();
        let _written = serde_json::to_writer(&mut self.out, &value);
    }

    pub(crate) fn float32(&mut self, value: f32) {
        if !value.is_finite() {
            return self.null();
        }
        self.comma();
        let _written = serde_json::to_writer(&mut self.out, &value);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.comma();
        self.quoted(text);
    }

    pub(crate) fn time(&mut self, micros: i64) {
        self.text(&calendar::iso(micros));
    }

    /// What may be left out: null when it is.
    pub(crate) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    pub(crate) fn object<E>(
        &mut self,
        write: impl FnOnce(&mut Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.nested(b'{', b'}', write)
    }

    pub(crate) fn list<E>(
        &mut self,
        write: impl FnOnce(&mut Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.nested(b'[', b']', write)
    }

    fn nested<E>(
        &mut self,
        open: u8,
        close: u8,
        write: impl FnOnce(&mut Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.comma();
        self.out.push(open);
        self.behind = false;
        write(self)?;
        self.out.push(close);
        self.behind = true;
        Ok(())
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, texts: impl IntoIterator<Item = impl AsRef<str>>) {
        let _written: std::result::Result<(), ()> = self.list(|out| {
            texts.into_iter().for_each(|text| out.text(text.as_ref()));
            Ok(())
        });
    }

    /// A value that was not read from the store.
    pub(crate) fn owned(&mut self, value: &Value) -> Result<()> {
        let mut stored = Vec::new();
        value.write(&mut stored)?;
        self.value(ValueRef::read(&mut Cursor::new(&stored))?)
    }

    /// A property value.
    pub(crate) fn value(&mut self, value: ValueRef<'_>) -> Result<()> {
        match value {
            ValueRef::Null => self.null(),
            ValueRef::Bool(value) => self.flag(value),
            ValueRef::Int(value) => self.int(value),
            ValueRef::Float(value) if value.is_finite() => self.float(value),
            ValueRef::Float(value) if value.is_nan() => self.tag("$float", "nan"),
            ValueRef::Float(value) => self.tag("$float", if value > 0.0 { "inf" } else { "-inf" }),
            ValueRef::Time(micros) => self.tag("$time", &calendar::iso(micros)),
            ValueRef::Str(text) => self.text(text),
            ValueRef::Bytes(bytes) => self.tag("$bytes", &STANDARD.encode(bytes)),
            ValueRef::List(list) => {
                return self.list(|out| list.iter()?.try_for_each(|item| out.value(item?)));
            }
            ValueRef::Map(map) => {
                let entries: Vec<_> = map.iter()?.collect::<std::result::Result<_, _>>()?;
                let write = |out: &mut Self| {
                    entries.iter().try_for_each(|(name, value)| out.name(name).value(*value))
                };
                if entries.iter().any(|(name, _)| name.starts_with('$')) {
                    return self.object(|out| out.name("$map").object(write));
                }
                return self.object(write);
            }
        }
        Ok(())
    }

    fn tag(&mut self, name: &str, text: &str) {
        let _written: std::result::Result<(), ()> = self.object(|out| {
            out.name(name).text(text);
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            prop::num::f64::ANY.prop_map(Value::Float), // NaN and infinities, too
            (-60_000_000_000_000_000i64..250_000_000_000_000_000).prop_map(Value::Time),
            ".{0,8}".prop_map(Value::Str),
            prop::collection::vec(any::<u8>(), 0..16).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map("[$a-c]{0,3}", inner, 0..6)
                    .prop_map(|entries| Value::Map(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in any_value()) {
            let (mut stored, mut out) = (Vec::new(), Writer::default());
            value.write(&mut stored).unwrap();
            out.value(ValueRef::read(&mut Cursor::new(&stored)).unwrap()).unwrap();
            let again = decoded(&read(&out.end()).unwrap()).unwrap();
            // As texts, for NaN equals nothing.
            prop_assert_eq!(format!("{again:?}"), format!("{value:?}"));
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            if let Ok(value) = read(&bytes) {
                let _outcome = decoded(&value);
            }
        }
    }

    #[test]
    fn what_is_ambiguous_or_endless_is_refused_with_its_place() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (given, said) in [
            (r#"{"a": 1, "a": 2}"#, "twice"),
            (r#"[18446744073709551615]"#, "64 bits"),
            ("[NaN]", "column 2"),
            ("[1e999]", "out of range"),
            (r#"["\ud800"]"#, "column"),
            ("[1] 2", "column 5"),
            ("", "line 1 column 0"),
            (&deep, "recursion limit"),
        ] {
            let error = read(given.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{given:.30}: {error}");
            assert!(error.contains("line 1 column"), "{given:.30}: {error}");
        }
    }
}
