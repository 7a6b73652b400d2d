//! What tests of several crates share: fake models, which are deterministic, switchable and counted; what
//! fuzzers have found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use embedded_db_common::{ContentHash, Error, Result};
use embedded_db_weaver::{Enriched, Mention, ModelSpace, Models, TextToEnrich};
use tempfile::TempDir;

/// A model whose vectors come from a hash and whose entities are the capitalised words.
#[derive(Debug, Default)]
pub struct FakeModels {
    /// Vectors of texts to enrich so far; those of queries are not counted.
    pub embedded: AtomicU64,
    /// Whether every call fails.
    pub failing: AtomicBool,
    /// Texts that hold one of these fail.
    pub poison: Mutex<Vec<String>>,
}

impl FakeModels {
    /// Dimension of its vectors.
    pub const DIMENSION: usize = 16;

    /// The vector of a text.
    pub fn vector(text: &str) -> Vec<f32> {
        let hash = ContentHash::of(text).0;
        hash.iter().map(|byte| f32::from(*byte) / 127.5 - 1.0).collect()
    }

    fn check(&self, text: &str) -> Result<()> {
        let poison = self.poison.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let poisoned = poison.iter().any(|word| text.contains(word.as_str()));
        if poisoned || self.failing.load(Ordering::Relaxed) {
            return Err(Error::EnrichmentFailed {
                message: format!("planted failure on {text:?}"),
            });
        }
        Ok(())
    }
}

impl Models for FakeModels {
    fn space(&self) -> Result<Option<ModelSpace>> {
        Ok(Some(ModelSpace {
            model: "fake".into(),
            provider: "testing".into(),
            precision: "fp32".into(),
            dimension: Some(Self::DIMENSION),
            metric: "cosine".into(),
        }))
    }

    fn warm_up(&self) -> Result<()> {
        Ok(())
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        texts.iter().try_for_each(|text| self.check(text))?;
        Ok(texts.iter().flat_map(|text| Self::vector(text)).collect())
    }

    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched> {
        let mut out = Enriched { dimension: Self::DIMENSION, ..Enriched::default() };
        for (at, text) in texts.iter().enumerate() {
            self.check(&text.text)?;
            if text.vectors {
                self.embedded.fetch_add(1, Ordering::Relaxed);
                out.vectors.extend(Self::vector(&text.text));
                out.owners.push(at);
            }
            let content: Vec<char> = text.text.chars().skip(text.start).collect();
            out.mentions.push(if text.entities { capitalised(&content) } else { Vec::new() });
        }
        Ok(out)
    }

    fn summarize(&self, messages: &[String], _: &[f32], _: usize) -> Result<String> {
        Ok(messages.first().cloned().unwrap_or_default())
    }
}

/// A directory with everything in it, of which copies are made.
pub struct Template(Vec<(PathBuf, Vec<u8>)>);

impl Template {
    /// Of what is made in a new directory.
    ///
    /// # Panics
    ///
    /// When it cannot be written or read.
    pub fn of(make: impl FnOnce(&Path)) -> Self {
        let home = directory();
        make(home.path());
        let (mut files, mut waiting) = (Vec::new(), vec![PathBuf::new()]);
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(home.path().join(&folder)).expect("a folder can be read") {
                let entry = entry.expect("a folder can be read");
                let place = folder.join(entry.file_name());
                if entry.path().is_dir() {
                    waiting.push(place);
                } else {
                    files.push((place, fs::read(entry.path()).expect("a file can be read")));
                }
            }
        }
        Self(files)
    }

    /// A copy of it, in a directory that ends with what is given.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn copy(&self) -> TempDir {
        let home = directory();
        for (place, content) in &self.0 {
            let file = home.path().join(place);
            fs::create_dir_all(file.parent().unwrap_or(home.path())).expect("it can be made");
            fs::write(file, content).expect("there is room");
        }
        home
    }
}

/// In memory, where there is such a place.
fn directory() -> TempDir {
    let shared = Path::new("/dev/shm");
    let made = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    made.expect("a directory for a while")
}

/// Gives every input that a fuzzer has found worth keeping to what it fuzzes.
///
/// # Panics
///
/// When there is none, or one shows a fault; the panic is then told with the name of its file.
pub fn corpus(target: &str, ask: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    files.sort();
    // An interpreter has time for five of them.
    let step = if cfg!(miri) { files.len().div_ceil(5).max(1) } else { 1 };
    let mut asked = 0;
    for file in files.into_iter().step_by(step) {
        let bytes = fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        if std::panic::catch_unwind(|| ask(&bytes)).is_err() {
            panic!("{} shows a fault", file.display());
        }
        asked += 1;
    }
    assert!(asked > 0, "{} is empty", folder.display());
}

fn capitalised(content: &[char]) -> Vec<Mention> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < content.len() {
        if !content[at].is_alphanumeric() {
            at += 1;
            continue;
        }
        let end = content[at..].iter().position(|c| !c.is_alphanumeric());
        let end = end.map_or(content.len(), |length| at + length);
        if content[at].is_uppercase() {
            let text = content[at..end].iter().collect();
            out.push(Mention { text, label: "NAME".into(), start: at, end });
        }
        at = end;
    }
    out
}
