//! A disk below a system that keeps what it is told in memory: what every process sees, what is on the
//! disk, and what may be there after a power cut.
//!
//! Nothing is on the disk before it was synced, and anything may be: each sector that was written since,
//! in any order (of one sector a later state after an earlier one), each length, each name in a
//! directory. A file that was synced is there with its content; whether it has a name its directory
//! says.

mod cut;
mod file;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub(crate) use self::cut::Cut;
use self::file::{File, Misplaced};
use crate::inodes::Inodes;
use crate::log::{Event, Id};
use crate::names::{Named, Names, ROOT};
use crate::random::Random;

/// Files of a simulated machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// As every process sees them.
    pub(crate) names: Names,
    files: BTreeMap<Id, File>,
    /// As they are on the disk.
    stored: BTreeMap<Id, BTreeMap<String, Named>>,
    /// What was told of names since their directory was last synced, in order.
    waiting: Vec<(Id, Change)>,
}

#[derive(Debug, Clone)]
enum Change {
    Set(String, Named),
    Remove(String),
    /// Both at once.
    Rename(String, String, Named),
}

impl Disk {
    /// A process has done this.
    pub(crate) fn apply(&mut self, event: &Event<'_>) {
        match *event {
            Event::Make { directory, name, id, is_directory } => {
                let named = Named { id, is_directory };
                if !is_directory {
                    let file = self.files.entry(id).or_default();
                    file.volatile = crate::machine::VOLATILE.contains(&name);
                    file.mapped = name == "data.sums";
                }
                self.names.set(directory, name, named);
                self.waiting.push((directory, Change::Set(name.to_owned(), named)));
            }
            Event::Remove { directory, name } => {
                self.names.remove(directory, name);
                self.waiting.push((directory, Change::Remove(name.to_owned())));
            }
            Event::Rename { directory, name, to, new } => {
                let named = self.names.remove(directory, name).expect("what is renamed has a name");
                self.names.set(to, new, named);
                let (name, new) = (name.to_owned(), new.to_owned());
                if directory == to {
                    self.waiting.push((to, Change::Rename(name, new, named)));
                } else {
                    self.waiting.push((to, Change::Set(new, named)));
                    self.waiting.push((directory, Change::Remove(name)));
                }
            }
            Event::Write { file, at, bytes, synced, fate } => {
                let at = at as usize;
                let written = self.files.entry(file).or_default();
                written.write(at, bytes, fate);
                if synced {
                    let misplaced = written.sync_range(at, bytes.len());
                    self.put_elsewhere(misplaced);
                }
            }
            Event::Length { file, length } => {
                self.files.entry(file).or_default().set_length(length as usize);
            }
            Event::Sync { id, failed: None } => {
                if let Some(file) = self.files.get_mut(&id) {
                    let misplaced = file.sync();
                    self.put_elsewhere(misplaced);
                } else {
                    self.sync_directory(id);
                }
            }
            Event::Sync { id, failed: Some(number) } => {
                if let Some(file) = self.files.get_mut(&id) {
                    file.fail_to_sync(number);
                }
            }
            _ => {}
        }
    }

    fn put_elsewhere(&mut self, misplaced: Vec<Misplaced>) {
        for misplaced in misplaced {
            let mut places: Vec<_> = self.files.values_mut().collect();
            let which = Random::of(misplaced.number, 2).below(places.len());
            places[which].overwrite(&misplaced);
        }
    }

    fn sync_directory(&mut self, directory: Id) {
        let (own, others) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(of, _)| *of == directory);
        self.waiting = others;
        for (_, change) in own {
            apply(self.stored.entry(directory).or_default(), change);
        }
    }

    /// What is there when the machine is started again after a power cut.
    pub(crate) fn after(&self, mut cut: Cut) -> Self {
        let mut stored = self.stored.clone();
        for (directory, change) in &self.waiting {
            if cut.keeps() {
                apply(stored.entry(*directory).or_default(), change.clone());
            }
        }
        let mut disk = Self::default();
        disk.names.skip_ids(&self.names);
        let mut left = vec![ROOT];
        while let Some(directory) = left.pop() {
            for (name, named) in stored.get(&directory).cloned().unwrap_or_default() {
                disk.names.set(directory, &name, named);
                disk.stored.entry(directory).or_default().insert(name, named);
                if named.is_directory {
                    left.push(named.id);
                } else if let Some(file) = self.files.get(&named.id) {
                    let mut after = file.after(&mut cut);
                    (after.volatile, after.mapped) = (file.volatile, file.mapped);
                    disk.files.insert(named.id, after);
                }
            }
        }
        disk
    }

    /// The bytes of a file, as every process sees them.
    pub(crate) fn shown(&self, id: Id) -> &[u8] {
        self.files.get(&id).map_or(&[], |file| &file.shown)
    }

    /// Puts everything into a directory, in place of what is there.
    pub(crate) fn put(&self, root: &Path, inodes: Inodes) -> std::io::Result<()> {
        if root.exists() {
            fs::remove_dir_all(root)?;
        }
        fs::create_dir_all(root)?;
        inodes.clear();
        let mut outcome = Ok(());
        self.names.each(&mut |path, named| {
            let path = root.join(path);
            let put = || {
                if named.is_directory {
                    fs::create_dir(&path)
                } else {
                    fs::write(&path, self.shown(named.id))
                }
            };
            if outcome.is_ok() {
                outcome = put();
                inodes.add_path(&path, named.id);
            }
        });
        outcome
    }

    /// In what a directory is not as it should be, so that something has come there by a call that is
    /// not seen; `None` if it is.
    pub(crate) fn difference(&self, root: &Path) -> Option<String> {
        let mut difference = None;
        let mut expected = std::collections::BTreeSet::new();
        self.names.each(&mut |path, named| {
            expected.insert(root.join(path));
            let volatile = self.files.get(&named.id).is_some_and(|file| file.volatile);
            if named.is_directory || volatile {
                return;
            }
            match fs::read(root.join(path)) {
                Ok(found) if found == self.shown(named.id) => {}
                Ok(found) => {
                    let shown = self.shown(named.id);
                    let at = found.iter().zip(shown).position(|(one, two)| one != two);
                    difference = Some(format!(
                        "{path} has {} bytes instead of {}, others from {at:?} on",
                        found.len(),
                        shown.len()
                    ));
                }
                Err(error) => difference = Some(format!("{path}: {error}")),
            }
        });
        let mut left = vec![root.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if !expected.contains(&entry.path()) {
                    difference = Some(format!("nobody has made {:?}", entry.path()));
                } else if entry.path().is_dir() {
                    left.push(entry.path());
                }
            }
        }
        difference
    }
}

fn apply(names: &mut BTreeMap<String, Named>, change: Change) {
    match change {
        Change::Set(name, named) => {
            names.insert(name, named);
        }
        Change::Remove(name) => {
            names.remove(&name);
        }
        Change::Rename(name, new, named) => {
            names.remove(&name);
            names.insert(new, named);
        }
    }
}
