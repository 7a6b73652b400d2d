//! The part of JSON Schema that the document uses: requests are checked by what it says of them.

use std::collections::BTreeMap;

use embedded_db_engine::common::{Value, calendar, shortened};

use crate::fields::Fields;

/// Most bytes of a value in a message.
const SHOWN: usize = 80;

/// What a value has to be.
#[derive(Debug)]
pub(crate) enum Schema {
    Any,
    Null,
    Bool,
    Int {
        least: i64,
        most: i64,
    },
    Number {
        least: f64,
        above: f64,
        most: f64,
    },
    Text(Text),
    List {
        items: Box<Schema>,
        least: usize,
        most: usize,
    },
    Object(Object),
    /// One of some, whichever fits.
    Either(Vec<Schema>),
    Named(String),
}

/// What a text has to be.
#[derive(Debug)]
pub(crate) struct Text {
    least: usize,
    most: usize,
    one_of: Vec<String>,
    is_time: bool,
    /// Something beside white space is in it.
    is_filled: bool,
}

/// What a dict has to be.
#[derive(Debug)]
pub(crate) struct Object {
    fields: Vec<(String, Schema)>,
    required: Vec<String>,
    /// What else may stand in it: nothing when there is none.
    others: Option<Box<Schema>>,
    least: usize,
    most: usize,
}

/// Schemas by name.
pub(crate) type Named = BTreeMap<String, Schema>;

/// What is wrong with a value, and where: a path such as `.nodes[3].labels`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    fn under(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

impl Schema {
    /// From its JSON, which is a part of the program: what it does not know, it refuses.
    pub(crate) fn parse(json: &Value) -> Result<Self, String> {
        let given = Fields::of(json).ok_or("a schema is an object")?;
        if let Some(name) = given.text("$ref") {
            let name = name.strip_prefix("#/components/schemas/").ok_or("an odd $ref")?;
            return Ok(Self::Named(name.into()));
        }
        if let Some(either) = given.list("oneOf").or_else(|| given.list("anyOf")) {
            return Ok(Self::Either(either.iter().map(Self::parse).collect::<Result<_, _>>()?));
        }
        if let Some(types) = given.list("type") {
            let one = |kind: &Value| Self::of_type(&given, kind);
            return Ok(Self::Either(types.iter().map(one).collect::<Result<_, _>>()?));
        }
        match given.get("type") {
            Some(kind) => Self::of_type(&given, kind),
            None => Ok(Self::Any),
        }
    }

    fn of_type(given: &Fields<'_>, kind: &Value) -> Result<Self, String> {
        let size = |name: &str, usual: usize| {
            given.int(name).and_then(|size| usize::try_from(size).ok()).unwrap_or(usual)
        };
        let Value::Str(kind) = kind else { return Err("a type is a text".into()) };
        Ok(match kind.as_str() {
            "null" => Self::Null,
            "boolean" => Self::Bool,
            "integer" => Self::Int {
                least: given.int("minimum").unwrap_or(i64::MIN),
                most: given.int("maximum").unwrap_or(i64::MAX),
            },
            "number" => Self::Number {
                least: given.number("minimum").unwrap_or(f64::MIN),
                above: given.number("exclusiveMinimum").unwrap_or(f64::NEG_INFINITY),
                most: given.number("maximum").unwrap_or(f64::MAX),
            },
            "string" => Self::Text(Text {
                least: size("minLength", 0),
                most: size("maxLength", usize::MAX),
                one_of: given.texts("enum"),
                is_time: given.text("format") == Some("date-time"),
                is_filled: match given.text("pattern") {
                    None => false,
                    Some("\\S") => true,
                    Some(other) => return Err(format!("the pattern {other:?}")),
                },
            }),
            "array" => Self::List {
                items: Box::new(given.get("items").map_or(Ok(Self::Any), Self::parse)?),
                least: size("minItems", 0),
                most: size("maxItems", usize::MAX),
            },
            "object" => {
                let fields = given.get("properties").and_then(Fields::of);
                let fields = fields.iter().flat_map(Fields::iter);
                Self::Object(Object {
                    fields: fields
                        .map(|(name, schema)| Ok((name.to_owned(), Self::parse(schema)?)))
                        .collect::<Result<_, String>>()?,
                    required: given.texts("required"),
                    others: match given.get("additionalProperties") {
                        Some(Value::Bool(false)) => None,
                        Some(schema @ Value::Map(_)) => Some(Box::new(Self::parse(schema)?)),
                        _ => Some(Box::new(Self::Any)),
                    },
                    least: size("minProperties", 0),
                    most: size("maxProperties", usize::MAX),
                })
            }
            other => return Err(format!("the type {other:?}")),
        })
    }

    /// Whether a value is as it has to be.
    pub(crate) fn check(&self, named: &Named, value: &Value) -> Result<(), Wrong> {
        match (self, value) {
            (Self::Any, _) | (Self::Null, Value::Null) | (Self::Bool, Value::Bool(_)) => Ok(()),
            (Self::Int { least, most }, Value::Int(number)) => {
                bounds(least <= number && number <= most, value, least, most)
            }
            // JSON has one kind of numbers: 2.0 is whole.
            (Self::Number { .. }, Value::Int(number)) => {
                self.check(named, &Value::Float(*number as f64))
            }
            (Self::Number { least, above, most }, Value::Float(number)) => {
                let inside = least <= number && above < number && number <= most;
                bounds(inside, value, least.max(*above), *most)
            }
            (Self::Text(schema), Value::Str(text)) => schema.check(text),
            (Self::List { items, least, most }, Value::List(list)) => {
                if !(*least..=*most).contains(&list.len()) {
                    return Err(counted(list.len(), *least, *most, "items"));
                }
                list.iter().enumerate().try_for_each(|(at, item)| {
                    items.check(named, item).map_err(|wrong| wrong.under(&format!("[{at}]")))
                })
            }
            (Self::Object(object), Value::Map(entries)) => object.check(named, entries),
            (Self::Either(schemas), _) => either(schemas, named, value),
            (Self::Named(name), _) => match named.get(name) {
                Some(schema) => schema.check(named, value),
                None => Err(Wrong::new(format!("the document has no schema {name:?}"))),
            },
            _ => Err(Wrong::new(format!("{} is not {}", shown(value), self.kind()))),
        }
    }

    /// What a parameter says, by what it has to be. What does not look so stays a text, and is refused
    /// as one.
    pub(crate) fn of_parameter(&self, text: &str) -> Value {
        match self {
            Self::Int { .. } => text.parse().map(Value::Int).ok(),
            Self::Number { .. } => text.parse().map(Value::Float).ok(),
            Self::Bool => text.parse().map(Value::Bool).ok(),
            Self::List { items, .. } => return items.of_parameter(text),
            _ => None,
        }
        .unwrap_or_else(|| Value::Str(text.to_owned()))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::List { .. })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int { .. } => "a whole number",
            Self::Number { .. } => "a number",
            Self::Text(_) => "a text",
            Self::List { .. } => "a list",
            _ => "an object",
        }
    }
}

impl Object {
    fn check(&self, named: &Named, entries: &[(String, Value)]) -> Result<(), Wrong> {
        for name in &self.required {
            if !entries.iter().any(|(given, _)| given == name) {
                return Err(Wrong::new(format!("{name:?} is missing")));
            }
        }
        if !(self.least..=self.most).contains(&entries.len()) {
            return Err(counted(entries.len(), self.least, self.most, "names"));
        }
        for (name, value) in entries {
            let known = self.fields.iter().find(|(known, _)| known == name);
            let schema = match (known, &self.others) {
                (Some((_, schema)), _) => schema,
                (None, Some(others)) => others,
                (None, None) => {
                    let known: Vec<&str> = self.fields.iter().map(|it| it.0.as_str()).collect();
                    let name = shortened(name, SHOWN);
                    let known = known.join(", ");
                    return Err(Wrong::new(format!("{name:?} is not known; known are {known}")));
                }
            };
            let step = || format!(".{}", shortened(name, SHOWN));
            schema.check(named, value).map_err(|wrong| wrong.under(&step()))?;
        }
        Ok(())
    }
}

fn either(schemas: &[Schema], named: &Named, value: &Value) -> Result<(), Wrong> {
    let mut nearest: Option<Wrong> = None;
    for schema in schemas {
        let Err(wrong) = schema.check(named, value) else { return Ok(()) };
        // What is wrong deep inside tells more than that the whole is of another kind.
        if nearest.as_ref().is_none_or(|known| wrong.path.len() > known.path.len()) {
            nearest = Some(wrong);
        }
    }
    Err(nearest.unwrap_or_else(|| Wrong::new("nothing fits")))
}

impl Text {
    fn check(&self, text: &str) -> Result<(), Wrong> {
        let Self { least, most, one_of, is_time, is_filled } = self;
        let length = if *least == 0 && *most == usize::MAX { 0 } else { text.chars().count() };
        if !(*least..=*most).contains(&length) {
            return Err(counted(length, *least, *most, "characters"));
        }
        if *is_filled && text.trim().is_empty() {
            return Err(Wrong::new("it is blank"));
        }
        let shown = || shortened(text, SHOWN);
        if !one_of.is_empty() && !one_of.iter().any(|known| known == text) {
            let known = one_of.join(", ");
            return Err(Wrong::new(format!("{:?} is not known; known are {known}", shown())));
        }
        if *is_time && calendar::parse(text).is_none() {
            let message = format!("{:?} is no time with a time zone (RFC 3339)", shown());
            return Err(Wrong::new(message));
        }
        Ok(())
    }
}

fn bounds<T: std::fmt::Display>(
    inside: bool,
    value: &Value,
    least: T,
    most: T,
) -> Result<(), Wrong> {
    if inside {
        return Ok(());
    }
    Err(Wrong::new(format!("{} is not between {least} and {most}", shown(value))))
}

fn counted(count: usize, least: usize, most: usize, what: &str) -> Wrong {
    if count < least {
        return Wrong::new(format!("it has {count} {what}, at least {least} are needed"));
    }
    Wrong::new(format!("it has {count} {what}, the limit is {most}"))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Str(text) => format!("{:?}", shortened(text, SHOWN)),
        Value::List(_) => "a list".into(),
        _ => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn schema(text: &str) -> Schema {
        Schema::parse(&json::read(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let inner = schema(r#"{"type": "integer", "minimum": 1, "maximum": 9}"#);
        let named = Named::from([("Small".to_owned(), inner)]);
        let schema = schema(
            r##"{"type": "object", "required": ["a"], "additionalProperties": false, "properties": {
                "a": {"type": "array", "maxItems": 2, "items": {"$ref": "#/components/schemas/Small"}},
                "b": {"type": ["string", "null"], "maxLength": 3},
                "c": {"enum": ["x", "y"], "type": "string"},
                "d": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                "e": {"type": "string", "format": "date-time"},
                "f": {"type": "boolean"}}}"##,
        );
        let said = |text: &str| {
            let wrong = schema.check(&named, &json::read(text.as_bytes()).unwrap());
            wrong.map_err(|wrong| format!("{}: {}", wrong.path, wrong.message))
        };
        let right = r#"{"a": [1, 9], "b": "äöü", "c": "x", "d": 1, "e": "2024-05-01T07:30:00Z", "f": true}"#;
        assert_eq!(said(right), Ok(()));
        assert_eq!(said(r#"{"a": [], "b": null}"#), Ok(()));
        for (given, wrong) in [
            ("{}", ": \"a\" is missing"),
            (r#"{"a": [], "z": 1}"#, ": \"z\" is not known; known are a, b, c, d, e, f"),
            (r#"{"a": [1, 10]}"#, ".a[1]: 10 is not between 1 and 9"),
            (r#"{"a": [1, 1, 1]}"#, ".a: it has 3 items, the limit is 2"),
            (r#"{"a": ["1"]}"#, ".a[0]: \"1\" is not a whole number"),
            (r#"{"a": [], "b": "long"}"#, ".b: it has 4 characters, the limit is 3"),
            (r#"{"a": [], "c": "z"}"#, ".c: \"z\" is not known; known are x, y"),
            (r#"{"a": [], "d": 0}"#, ".d: 0 is not between 0 and 1"),
            (r#"{"a": [], "e": "2024"}"#, ".e: \"2024\" is no time with a time zone (RFC 3339)"),
            (r#"{"a": [], "f": 1}"#, ".f: 1 is not true or false"),
            ("[]", ": a list is not an object"),
        ] {
            assert_eq!(said(given), Err(wrong.to_owned()));
        }
    }
}
