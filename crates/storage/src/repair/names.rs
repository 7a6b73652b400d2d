//! Names of labels, types and properties. A number is given to one name only and stands in two rows, of two
//! tables, so either of them will do, and it does not matter of which state they are.

use std::collections::{BTreeMap, BTreeSet};

use embedded_db_common::{Result, Symbol, names};

use super::Item;
use super::copy::Copy;
use crate::keys::Table;
use crate::pages::Found;
use crate::store::{symbol_key, symbol_name_key};

/// Names by number, and numbers by name.
#[derive(Default)]
struct Names {
    by_number: BTreeMap<Symbol, String>,
    by_name: BTreeMap<String, Symbol>,
    /// Those of which rows say different things.
    numbers: BTreeSet<Symbol>,
    names: BTreeSet<String>,
}

/// The number and the name of which a row of either table tells.
fn told(table: Table, row: Found<'_>) -> Option<(Symbol, &str)> {
    let of_key = row.key.get(4..)?;
    let (number, name) =
        if table == Table::Names { (of_key, row.payload) } else { (row.payload, of_key) };
    let number = u32::from_be_bytes(number.try_into().ok()?);
    let name = std::str::from_utf8(name).ok()?;
    (number > 0 && names::check("a name", name).is_ok()).then_some((Symbol(number), name))
}

impl Names {
    fn add(&mut self, number: Symbol, name: &str) {
        let known = (self.by_number.get(&number), self.by_name.get(name));
        match known {
            (None, None) => {
                self.by_number.insert(number, name.to_owned());
                self.by_name.insert(name.to_owned(), number);
            }
            (Some(known), Some(_)) if known == name => {}
            _ => {
                self.numbers.extend([number].into_iter().chain(known.1.copied()));
                self.names.extend([name.to_owned()].into_iter().chain(known.0.cloned()));
            }
        }
    }

    /// Those of which all rows say the same.
    fn agreed(self) -> BTreeMap<Symbol, String> {
        let Self { mut by_number, numbers, names, .. } = self;
        by_number.retain(|number, name| !numbers.contains(number) && !names.contains(name));
        by_number
    }
}

impl Copy<'_, '_, '_> {
    pub(super) fn copy_names(&mut self) -> Result<()> {
        let mut found = Names::default();
        // A table that is whole has them all.
        let (some, others) = (self.depths(Table::Symbols), self.depths(Table::Names));
        for depth in some.iter().take(others.len()) {
            let mut next = Names::default();
            for table in [Table::Symbols, Table::Names] {
                self.visit(table, *depth, &mut |_, row| {
                    if let Some((number, name)) = told(table, row) {
                        next.add(number, name);
                    }
                    Ok(())
                })?;
            }
            // What the state says goes before what an earlier one said.
            for (number, name) in next.agreed() {
                if !found.by_number.contains_key(&number) && !found.by_name.contains_key(&name) {
                    found.add(number, &name);
                }
            }
        }
        let found = found.agreed();
        let mut sorted: Vec<(&String, Symbol)> =
            found.iter().map(|(number, name)| (name, *number)).collect();
        sorted.sort();
        for (name, number) in sorted {
            let payload = number.0.to_be_bytes().to_vec();
            self.put_payload(Table::Symbols, &symbol_key(name), payload)?;
        }
        for (number, name) in &found {
            self.put_payload(Table::Names, &symbol_name_key(*number), name.clone().into_bytes())?;
            self.counters.symbols = self.counters.symbols.max(number.0);
        }
        self.saved[Item::Names] = found.len() as u64;
        let there = found.len() as u64;
        let missing = [Table::Symbols, Table::Names].map(|table| self.missing_rows(table, there));
        self.lost[Item::Names] = missing.into_iter().flatten().max();
        self.names = found.into_keys().collect();
        Ok(())
    }
}
