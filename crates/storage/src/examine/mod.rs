//! How a database is, and what it lies on, without opening it: nothing is written, nothing is locked for
//! longer than it takes to ask, and a writer may be at work meanwhile.

mod data;
mod place;
mod readers;
mod surroundings;

use std::path::Path;

use embedded_db_common::{Error, Result};

use self::data::Data;
use self::place::Place;

/// How grave something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but something should be done, or may go wrong.
    Warning,
    /// It does not work.
    Error,
}

impl Level {
    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that a program may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A name.
    Text(String),
    /// A number, of bytes where nothing else is said.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Nobody can tell, or there is none.
    Unknown,
}

impl From<Option<u64>> for Fact {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Unknown, Self::Number)
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: &'static str,
    /// How grave it is.
    pub level: Level,
    /// What was found, in a sentence.
    pub text: String,
    /// What to do, in a sentence; empty where nothing is to be done.
    pub remedy: String,
    /// The same for programs.
    pub facts: Vec<(&'static str, Fact)>,
}

impl Finding {
    /// That something is as it should be.
    pub fn ok(about: &'static str, text: impl Into<String>) -> Self {
        let (level, remedy, facts) = (Level::Ok, String::new(), Vec::new());
        Self { about, level, text: text.into(), remedy, facts }
    }

    /// That something should be done.
    pub fn warning(
        about: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (level, facts) = (Level::Warning, Vec::new());
        Self { about, level, text: text.into(), remedy: remedy.into(), facts }
    }

    /// That something does not work.
    pub fn error(about: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Error, ..Self::warning(about, text, remedy) }
    }

    /// The same with something for programs.
    pub fn with(mut self, name: &'static str, fact: impl Into<Fact>) -> Self {
        self.facts.push((name, fact.into()));
        self
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Fact {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Work of one kind: how much waits, and how much has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkCount {
    /// The number of the artefact.
    pub artefact: u8,
    /// Nodes for which it waits.
    pub waiting: u64,
    /// Nodes for which it is tried again.
    pub retried: u64,
    /// Nodes for which it was given up.
    pub failed: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// One for each thing that was looked at.
    pub findings: Vec<Finding>,
    /// The work of each kind, if that reads.
    pub work: Option<Vec<WorkCount>>,
}

/// Looks at the database in a directory, whatever state it is in.
pub fn examine(path: &Path, interrupted: &dyn Fn() -> Result<()>) -> Result<Examined> {
    let path = std::path::absolute(path)
        .map_err(|e| Error::InvalidInput(format!("{path:?}: {e}; name a directory")))?;
    let mut findings = Vec::new();
    let place = Place::look(&path, &mut findings)?;
    let data = match &place {
        Some(place) => Data::look(place, interrupted, &mut findings)?,
        None => None,
    };
    let there = if path.exists() { path.as_path() } else { path.parent().unwrap_or(&path) };
    let length = place.as_ref().map_or(0, Place::data_length);
    surroundings::look(there, length, &mut findings);
    if let Some(place) = &place {
        let is_written_to = place.look_at_lock(&mut findings);
        readers::look(place, data.as_ref(), &mut findings);
        place.look_for_leftovers(data.as_ref(), is_written_to, &mut findings)?;
    }
    Ok(Examined { findings, work: data.map(|data| data.work) })
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}
