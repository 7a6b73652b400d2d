//! Which entities a text names, by the keys of its words.

use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_storage::{IndexId, ReadTxn, text_value};

use super::names;
use crate::posting;
use crate::schema::Names;

/// The words of the longest name that is looked for.
const LONGEST: usize = 8;
/// Names are looked for among so many words of a text.
const MOST_WORDS: usize = 500;

/// The entities made by the weaver that a text names, each once, by slot. A word that is part of a
/// longer name names nothing by itself, and neither do the single words that `says_little` is true of.
pub fn entities_named<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    names: &Names,
    text: &str,
    says_little: impl Fn(&str) -> bool,
) -> Result<Vec<Slot>> {
    let words: Vec<&str> = text.split_whitespace().take(MOST_WORDS).collect();
    let mut is_used = vec![false; words.len()];
    let mut found = Vec::new();
    for length in (1..=LONGEST.min(words.len())).rev() {
        for first in 0..=words.len() - length {
            let place = first..first + length;
            if is_used[place.clone()].contains(&true) || (length == 1 && says_little(words[first]))
            {
                continue;
            }
            let entities = entities_of(txn, namespace, names, &words[place.clone()].join(" "))?;
            if !entities.is_empty() {
                is_used[place].fill(true);
                found.extend(entities);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The entities of a name, of whatever class.
fn entities_of<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    known: &Names,
    name: &str,
) -> Result<Vec<Slot>> {
    let mut found = Vec::new();
    for class in ["person", "thing"] {
        let key = text_value(&names::key(name, class));
        for slot in posting(txn, namespace, IndexId::ENTITY_KEY, &key)? {
            // Decisions about entities have such keys, too.
            let node = txn.stored_node(namespace, Slot(slot))?;
            if node.has_label(known.entity) {
                found.push(Slot(slot));
            }
        }
    }
    Ok(found)
}
