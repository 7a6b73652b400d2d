//! The names below one directory, as the system shows them.

use std::collections::BTreeMap;

use crate::log::Id;

/// The directory below which a machine is simulated.
pub(crate) const ROOT: Id = 0;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) id: Id,
    pub(crate) is_directory: bool,
}

/// Directories by their numbers, each with its names.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    directories: BTreeMap<Id, BTreeMap<String, Named>>,
    next: Id,
}

impl Default for Names {
    fn default() -> Self {
        Self { directories: BTreeMap::from([(ROOT, BTreeMap::new())]), next: ROOT + 1 }
    }
}

impl Names {
    /// A number that nothing had before.
    pub(crate) fn new_id(&mut self) -> Id {
        self.next += 1;
        self.next - 1
    }

    /// Gives no number that another has given.
    pub(crate) fn skip_ids(&mut self, other: &Self) {
        self.next = self.next.max(other.next);
    }

    pub(crate) fn get(&self, directory: Id, name: &str) -> Option<Named> {
        self.directories.get(&directory)?.get(name).copied()
    }

    pub(crate) fn set(&mut self, directory: Id, name: &str, named: Named) {
        if named.is_directory {
            self.directories.entry(named.id).or_default();
        }
        self.next = self.next.max(named.id + 1);
        let names = self.directories.get_mut(&directory).expect("a name is in a directory");
        names.insert(name.to_owned(), named);
    }

    pub(crate) fn remove(&mut self, directory: Id, name: &str) -> Option<Named> {
        self.directories.get_mut(&directory)?.remove(name)
    }

    /// The directory in which a path ends, and its last name; an empty name for the directory itself.
    /// `None` where a directory on the way is missing.
    pub(crate) fn find<'p>(&self, from: Id, path: &'p str) -> Option<(Id, &'p str)> {
        let mut directory = from;
        let mut names = path.split('/').filter(|name| !name.is_empty() && *name != ".").peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Some((directory, name));
            }
            directory = self.get(directory, name).filter(|named| named.is_directory)?.id;
        }
        Some((directory, ""))
    }

    /// Calls `visit` with every path and what it leads to, directories before what is in them.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(&str, Named)) {
        self.each_below(ROOT, "", visit);
    }

    fn each_below(&self, directory: Id, before: &str, visit: &mut dyn FnMut(&str, Named)) {
        for (name, named) in self.directories.get(&directory).into_iter().flatten() {
            let path = if before.is_empty() { name.clone() } else { format!("{before}/{name}") };
            visit(&path, *named);
            if named.is_directory {
                self.each_below(named.id, &path, visit);
            }
        }
    }
}
