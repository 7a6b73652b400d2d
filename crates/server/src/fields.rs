//! Reading an object whose form was checked against the document.

use embedded_db_engine::common::{Value, calendar};

/// An object, or the parameters of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [(String, Value)]);

impl<'a> Fields<'a> {
    pub(crate) fn new(entries: &'a [(String, Value)]) -> Self {
        Self(entries)
    }

    pub(crate) fn of(value: &'a Value) -> Option<Self> {
        if let Value::Map(entries) = value { Some(Self(entries)) } else { None }
    }

    /// Of what has the form of an object, or is left out.
    pub(crate) fn of_any(value: &'a Value) -> Self {
        Self::of(value).unwrap_or(Self(&[]))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// What stands under a name and is not null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).filter(|value| !matches!(value, Value::Null))
    }

    /// Whether null stands under a name.
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.0.iter().any(|(known, value)| known == name && matches!(value, Value::Null))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        if let Some(Value::Str(text)) = self.get(name) { Some(text) } else { None }
    }

    /// A text that the document requires.
    pub(crate) fn required(&self, name: &str) -> &'a str {
        self.text(name).unwrap_or_default()
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        if let Some(Value::Int(number)) = self.get(name) { Some(*number) } else { None }
    }

    /// A number of things.
    pub(crate) fn size<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        self.int(name).and_then(|number| T::try_from(number).ok())
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        match self.get(name) {
            Some(Value::Int(number)) => Some(*number as f64),
            Some(Value::Float(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Bool(true)))
    }

    pub(crate) fn list(&self, name: &str) -> Option<&'a [Value]> {
        if let Some(Value::List(items)) = self.get(name) { Some(items) } else { None }
    }

    pub(crate) fn fields(&self, name: &str) -> Option<Fields<'a>> {
        self.get(name).and_then(Fields::of)
    }

    /// A text or several; none when it is left out.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.given_texts(name).unwrap_or_default()
    }

    pub(crate) fn given_texts(&self, name: &str) -> Option<Vec<String>> {
        match self.get(name)? {
            Value::Str(text) => Some(vec![text.clone()]),
            Value::List(items) => Some(
                items
                    .iter()
                    .filter_map(
                        |item| if let Value::Str(it) = item { Some(it.clone()) } else { None },
                    )
                    .collect(),
            ),
            _ => None,
        }
    }

    /// The numbers of a vector.
    pub(crate) fn vector(&self, name: &str) -> Option<Vec<f32>> {
        self.list(name).map(vector)
    }

    /// Microseconds since 1970 UTC.
    pub(crate) fn time(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(calendar::parse)
    }
}

/// The numbers of a list.
pub(crate) fn vector(items: &[Value]) -> Vec<f32> {
    let number = |item: &Value| match item {
        Value::Int(number) => Some(*number as f32),
        Value::Float(number) => Some(*number as f32),
        _ => None,
    };
    items.iter().filter_map(number).collect()
}
