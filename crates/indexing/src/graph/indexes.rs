//! Indexes made on demand: defining, building and dropping them, and keeping them right with every
//! change of a node, in the same transaction.

use std::sync::Arc;

use embedded_db_common::calendar::iso;
use embedded_db_common::record::Properties;
use embedded_db_common::{Error, Result, Slot, Symbol, Value, names};
use embedded_db_storage::{IndexId, IndexRecord, IndexState, ReadTxn, index_definition, is_exact};

use super::GraphWriter;
use crate::posting;
use crate::properties::{DeclaredIndex, declared_indexes};

/// Nodes, or containers and rows, of one step of building or dropping: writers wait no longer than for that.
const STEP: usize = 2_000;
/// Names that conditions take for the node's own.
const OWN: [&str; 3] = ["id", "created_at", "updated_at"];

impl GraphWriter<'_, '_> {
    /// Defines an index over a property of the nodes with a label, and begins to build it. One that is
    /// there already stays. Returns its number.
    pub fn create_index(&mut self, label: &str, property: &str, unique: bool) -> Result<IndexId> {
        names::check("a label", label)?;
        names::check("a property name", property)?;
        if OWN.contains(&property) {
            return Err(Error::InvalidInput(format!(
                "{property:?} is no property but the node's own, and needs no index: ids are unique, \
                 and conditions on times read the nodes"
            )));
        }
        if let Some(found) = self.find_index(label, property)? {
            if found.record.state != IndexState::Failed {
                return same(&found, label, unique);
            }
            self.drop_index(label, property)?;
        }
        let record = IndexRecord {
            state: IndexState::Building,
            unique,
            next: Slot(0),
            label: self.txn.intern(label)?,
            property: self.txn.intern(property)?,
            first: match property.split_once('.') {
                Some((first, _)) => Some(self.txn.intern(first)?),
                None => None,
            },
            error: String::new(),
        };
        let index = self.txn.create_index(self.namespace, &record)?;
        self.indexes = None;
        Ok(index)
    }

    /// Begins to remove an index; from now on nobody uses it.
    pub fn drop_index(&mut self, label: &str, property: &str) -> Result<IndexId> {
        let found = self
            .find_index(label, property)?
            .ok_or_else(|| Error::NotFound { kind: "index", id: format!("{label}.{property}") })?;
        let record = IndexRecord { state: IndexState::Dropped, ..found.record };
        self.txn.put_index(self.namespace, found.id, &record)?;
        self.indexes = None;
        Ok(found.id)
    }

    fn find_index(&self, label: &str, property: &str) -> Result<Option<DeclaredIndex>> {
        let Some(label) = self.txn.symbol(label)? else { return Ok(None) };
        let all = declared_indexes(self.txn, self.namespace)?;
        Ok(all.into_iter().find(|index| {
            let record = &index.record;
            record.state != IndexState::Dropped
                && record.label == label
                && *index.property == *property
        }))
    }

    /// Goes on with building or dropping an index; whether anything is left to do.
    pub fn work_on_index(&mut self, index: IndexId) -> Result<bool> {
        let Some(record) = index_definition(self.txn, self.namespace, index)? else {
            return Ok(false);
        };
        match record.state {
            IndexState::Building => self.build(index, record),
            IndexState::Dropped => Ok(!self.txn.clear_index(self.namespace, index, STEP)?),
            IndexState::Ready | IndexState::Failed => Ok(false),
        }
    }

    /// What may not be unique stops with an error.
    fn build(&mut self, index: IndexId, mut record: IndexRecord) -> Result<bool> {
        let (slots, next) = self.labelled_from(record.label, record.next, STEP)?;
        let property = self.txn.symbol_name(record.property)?;
        let declared = DeclaredIndex { id: index, record: record.clone(), property };
        for slot in &slots {
            // One that has expired is no obstacle to a unique value, and may go meanwhile.
            if record.unique && self.purge(*slot)? {
                continue;
            }
            let Some(node) = self.txn.node(self.namespace, *slot)? else { continue };
            let labels: Vec<Symbol> = node.labels().collect();
            let properties = node.properties.as_bytes().to_vec();
            let cell = declared.cell(&labels, Properties::new(&properties))?;
            self.txn.put_cell(self.namespace, index, *slot, cell)?;
            self.enter(&declared, &labels, *slot, &properties)?;
        }
        match next {
            Some(next) => record.next = next,
            None => record.state = IndexState::Ready,
        }
        self.txn.put_index(self.namespace, index, &record)?;
        self.indexes = None;
        Ok(next.is_some())
    }

    /// A unique index that cannot be built: it stays as a sign of why.
    pub fn fail_index(&mut self, index: IndexId, error: &str) -> Result<()> {
        if let Some(record) = index_definition(self.txn, self.namespace, index)?
            && record.state == IndexState::Building
        {
            let (state, error) = (IndexState::Failed, error.to_owned());
            self.txn.put_index(self.namespace, index, &IndexRecord { state, error, ..record })?;
            self.indexes = None;
        }
        Ok(())
    }

    /// The indexes that follow changes.
    pub(super) fn kept(&mut self) -> Result<Arc<[DeclaredIndex]>> {
        if let Some(known) = &self.indexes {
            return Ok(Arc::clone(known));
        }
        let mut all = declared_indexes(self.txn, self.namespace)?;
        all.retain(|index| index.record.is_kept());
        let all: Arc<[DeclaredIndex]> = all.into();
        self.indexes = Some(Arc::clone(&all));
        Ok(all)
    }

    /// The properties of a node have changed, from none when it is new, to none when it goes.
    pub(super) fn reindex(
        &mut self,
        slot: Slot,
        before: Option<&[u8]>,
        after: Option<&[u8]>,
    ) -> Result<()> {
        let indexes = self.kept()?;
        if indexes.is_empty() {
            return Ok(());
        }
        let labels: Vec<Symbol> = self.node(slot)?.labels().collect();
        for index in &*indexes {
            let key = |properties: Option<&[u8]>| match properties {
                Some(properties) => index.key(&labels, Properties::new(properties)),
                None => Ok(None),
            };
            let (old, new) = (key(before)?, key(after)?);
            if old != new
                && let Some(old) = old
            {
                self.txn.unpost(self.namespace, index.id, &old, slot)?;
            }
            let cell = |properties: Option<&[u8]>| match properties {
                Some(properties) => index.cell(&labels, Properties::new(properties)),
                None => Ok(None),
            };
            let new = cell(after)?;
            if cell(before)? != new {
                self.txn.put_cell(self.namespace, index.id, slot, new)?;
            }
            if let Some(after) = after {
                // Long texts with the same key may differ all the same.
                self.enter(index, &labels, slot, after)?;
            }
        }
        Ok(())
    }

    /// Puts a node into the postings of an index, unless it has no value there.
    fn enter(
        &mut self,
        index: &DeclaredIndex,
        labels: &[Symbol],
        slot: Slot,
        properties: &[u8],
    ) -> Result<()> {
        let properties = Properties::new(properties);
        let Some(key) = index.key(labels, properties)? else {
            return self.check_indexable(index, labels, slot, properties);
        };
        if index.record.unique
            && let Some(value) = index.value(properties)?
            && let Some(other) = self.holder(index, &key, &value.to_value()?, slot)?
        {
            return Err(self.taken(index, &value.to_value()?, slot, other));
        }
        self.txn.post(self.namespace, index.id, &key, slot)
    }

    /// Whether lists and dicts are equal no index can tell.
    fn check_indexable(
        &self,
        index: &DeclaredIndex,
        labels: &[Symbol],
        slot: Slot,
        properties: Properties<'_>,
    ) -> Result<()> {
        let unique = index.record.unique && labels.contains(&index.record.label);
        if !unique || index.value(properties)?.is_none() {
            return Ok(());
        }
        Err(Error::InvalidInput(format!(
            "{} is unique, and the node {:?} has a list or a dict there; give it one value",
            self.described(index)?,
            self.node(slot)?.id
        )))
    }

    /// Another node that has a value. Those that have expired go.
    fn holder(
        &mut self,
        index: &DeclaredIndex,
        key: &[u8],
        value: &Value,
        slot: Slot,
    ) -> Result<Option<Slot>> {
        // Nothing equals NaN, and None may be there as often as it likes.
        if *value == Value::Null || !value.equals(value) {
            return Ok(None);
        }
        let exact = is_exact(value);
        for other in posting(self.txn, self.namespace, index.id, key)? {
            // One that goes may take others along.
            if other == slot.0
                || self.purge(Slot(other))?
                || self.txn.node_payload(self.namespace, Slot(other))?.is_none()
            {
                continue;
            }
            if exact {
                return Ok(Some(Slot(other)));
            }
            let node = self.node(Slot(other))?;
            if let Some(found) = index.value(node.properties)?
                && found.to_value()?.equals(value)
            {
                return Ok(Some(Slot(other)));
            }
        }
        Ok(None)
    }

    fn described(&self, index: &DeclaredIndex) -> Result<String> {
        Ok(format!("{}.{}", self.txn.symbol_name(index.record.label)?, index.property))
    }

    fn taken(&self, index: &DeclaredIndex, value: &Value, slot: Slot, other: Slot) -> Error {
        let message = || -> Result<(String, String)> {
            let (of, id) = (self.described(index)?, self.node(other)?.id.to_owned());
            let message = format!(
                "{of} is unique, and the node {id:?} has the value {} already, so that {:?} cannot \
                 have it; use another value, or change that node",
                shown(value),
                self.node(slot)?.id
            );
            Ok((message, id))
        };
        match message() {
            Ok((message, id)) => Error::Taken { message, id }.of_property(&index.property),
            Err(error) => error,
        }
    }
}

fn same(found: &DeclaredIndex, label: &str, unique: bool) -> Result<IndexId> {
    if found.record.unique == unique {
        return Ok(found.id);
    }
    let id = format!("{label}.{}", found.property);
    let (is, wanted) =
        if unique { ("is not unique", "a unique one") } else { ("is unique", "another") };
    let message = format!("the index of {id} {is}; drop it before making {wanted}");
    Err(Error::Taken { message, id })
}

/// A value as an error shows it.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let mut text = match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Time(micros) => iso(*micros),
        Value::Str(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a dict".into(),
    };
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}
