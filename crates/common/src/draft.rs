//! Properties on their way into the database: names still spelled out, values already in their
//! stored form.

use std::ops::Range;

use crate::record::put_varint;
use crate::{Error, MAX_PROPERTIES, Result, Symbol, Value, names};

/// A set of properties in the order they were given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    entries: Vec<(String, Range<usize>)>,
    bytes: Vec<u8>,
    /// How many of the bytes are values whose names were given again.
    replaced: usize,
}

impl Draft {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a property whose value `write` appends in its stored form; a name given twice keeps the
    /// later value.
    pub fn push<E>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        self.name_from(start, name);
        Ok(())
    }

    /// Adds a value.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        self.push(name, |out| value.write(out))
    }

    /// Adds a value that is in its stored form already.
    pub fn set_stored(&mut self, name: &str, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.name_from(start, name);
    }

    /// Makes the bytes from `start` on the value of a property.
    fn name_from(&mut self, start: usize, name: &str) {
        let range = start..self.bytes.len();
        match self.entries.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => self.replaced += std::mem::replace(place, range).len(),
            None => self.entries.push((name.to_owned(), range)),
        }
    }

    /// Names and stored values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|(name, range)| (name.as_str(), &self.bytes[range.clone()]))
    }

    /// The stored value of a property.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the stored values.
    pub fn size(&self) -> usize {
        self.bytes.len() - self.replaced
    }

    /// Fails when they are too large to be stored, as the properties of what has this id. The numbers of
    /// their names are not known here and count one byte each, the least.
    pub fn check_size(&self, id: &str) -> Result<()> {
        let mut count = Vec::new();
        put_varint(&mut count, self.entries.len() as u64);
        check_properties(id, count.len() + self.entries.len() + self.size())
    }

    /// Whether every name can be stored.
    pub fn check_names(&self) -> Result<()> {
        self.entries.iter().try_for_each(|(name, _)| {
            names::check("a property name", name).map_err(|error| error.of_property(name))
        })
    }
}

/// Fails when the stored properties of what has this id are too large.
pub fn check_properties(id: &str, size: usize) -> Result<()> {
    if size <= MAX_PROPERTIES {
        return Ok(());
    }
    let what = format!("the property set of {id:?}");
    Err(Error::ValueTooLarge { what, size, limit: MAX_PROPERTIES })
}

/// Writes a property set: a count, then symbol and stored value of each.
pub fn encode_properties<'a>(
    properties: impl ExactSizeIterator<Item = (Symbol, &'a [u8])>,
) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, properties.len() as u64);
    for (symbol, value) in properties {
        put_varint(&mut out, u64::from(symbol.0));
        out.extend_from_slice(value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_value_is_the_value_and_a_later_one_takes_the_place_of_an_earlier() {
        let mut given = Draft::new();
        given.set("a", &Value::Str("one".into())).unwrap();
        given.set("b", &Value::Int(2)).unwrap();
        let mut copied = Draft::new();
        given.iter().for_each(|(name, value)| copied.set_stored(name, value));
        assert_eq!(copied, given);
        given.set("a", &Value::Bool(true)).unwrap();
        copied.set_stored("a", given.get("a").unwrap());
        assert_eq!(copied, given);
        assert_eq!(copied.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(copied.size(), copied.iter().map(|(_, value)| value.len()).sum());
    }
}
