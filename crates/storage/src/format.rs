//! The `CURRENT` file: the version of the format and the generation that is in use.

use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use embedded_db_common::{Error, Result, clock};

use crate::platform::{io_error, write_atomically, write_error};

/// The format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;
const FILE: &str = "CURRENT";
const MAGIC: &str = "embedded-db";

/// What `CURRENT` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    generation: u64,
    identity: String,
    /// It stands in the file, not only in memory.
    published: bool,
}

impl Current {
    /// A directory that holds something else is left alone.
    pub(crate) fn check_directory(path: &Path) -> Result<()> {
        check_place(path)?;
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|e| io_error(path, "read the directory", &e))?,
        };
        let (mut foreign, mut beside, mut has_generation) = (None, None, false);
        for entry in entries {
            let name = entry.map_err(|e| io_error(path, "read the directory", &e))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if name == FILE {
                // Other stores have a file of this name too: nothing is locked before it is ours.
                return Self::read(path).map(drop);
            }
            match name.as_str() {
                "writer.lock" | "CURRENT.new" | "alive" | "writer.socket" | "writer.socket.new" => {
                }
                // Others may have files of these names, and ours lie beside a generation.
                "blackbox" | "running" | "spent" => beside = Some(name),
                generation if generation.starts_with("gen-") => has_generation = true,
                _ => foreign = Some(name),
            }
        }
        match foreign.or(beside.filter(|_| !has_generation)) {
            None => Ok(()),
            Some(name) => Err(Error::InvalidInput(format!(
                "{path:?} is no database: it has no CURRENT file but holds {name:?}; \
                 choose an empty or new directory"
            ))),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        check_place(path)?;
        let file = path.join(FILE);
        let text = match read_start(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::InvalidInput(format!(
                    "{path:?} is no database: it has no CURRENT file; check the path, or open it \
                     without read_only=True to make one"
                )));
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                if has_files_of_ours(path)? {
                    return Err(damaged(path, "it is no file"));
                }
                return Err(foreign(path));
            }
            Err(error) => return Err(io_error(&file, "read", &error)),
        };
        let text = String::from_utf8_lossy(&text);
        if !text.starts_with(MAGIC) && !has_files_of_ours(path)? {
            return Err(foreign(path));
        }
        Self::parse(path, &text)
    }

    /// The same of a file that may be damaged: what is wrong with it, instead. A later format is an error
    /// all the same, unless the file is one of this format with a wrong checksum.
    pub(crate) fn read_damaged(path: &Path) -> Result<std::result::Result<Self, String>> {
        match Self::read(path) {
            Ok(current) => Ok(Ok(current)),
            Err(error @ Error::FormatTooNew { .. }) => {
                let text = read_start(&path.join(FILE));
                let text = text.map_err(|e| io_error(path, "read", &e))?;
                let text = String::from_utf8_lossy(&text);
                let ours = ["\ngeneration ", "\nidentity ", "\ncrc32c "];
                let is_of_this_format = text.lines().count() == 4
                    && ours.into_iter().all(|part| text.contains(part))
                    && without_sum(&text).is_err();
                if is_of_this_format { Ok(Err("checksum mismatch".into())) } else { Err(error) }
            }
            Err(Error::Corruption { detail, .. } | Error::StorageError { detail, .. }) => {
                Ok(Err(detail))
            }
            Err(Error::InvalidInput(_)) if !path.join(FILE).exists() => {
                Ok(Err("it is missing".into()))
            }
            Err(Error::InvalidInput(_)) => Ok(Err("it is no file of a database".into())),
            Err(other) => Err(other),
        }
    }

    /// Of a new database.
    pub(crate) fn first() -> Self {
        Self { generation: 1, identity: clock::new_identity(), published: false }
    }

    /// Of another generation of a database, which is not published.
    pub(crate) fn of(generation: u64, identity: &str) -> Self {
        Self { generation, identity: identity.to_owned(), published: false }
    }

    /// The directories of generations in a database, by number.
    pub(crate) fn generations(path: &Path) -> Result<Vec<(u64, PathBuf)>> {
        let failed = |e: std::io::Error| io_error(path, "read the directory", &e);
        let mut out = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            out.extend(generation_of(&name.to_string_lossy()).map(|n| (n, entry.path())));
        }
        out.sort();
        Ok(out)
    }

    pub(crate) fn read_or_create(path: &Path) -> Result<Self> {
        let file = path.join(FILE);
        // One that cannot be looked at is not taken for one that is missing.
        let current = if file.try_exists().map_err(|e| io_error(&file, "read", &e))? {
            Self::read(path)?
        } else {
            let current = Self::first();
            current.refuse_later_generations(path)?;
            current
        };
        let directory = current.directory(path);
        fs::create_dir_all(&directory).map_err(|e| write_error(&directory, "create", &e))?;
        Ok(current)
    }

    /// The number of the generation that is in use.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Of the database, whatever its generation.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether the file stands on the disk.
    pub(crate) fn is_published(&self) -> bool {
        self.published
    }

    /// For a generation with data but without `CURRENT`: it must never be taken for a new database.
    /// A crash before the file was first written leaves one without data, which is used again.
    pub(crate) fn lost(path: &Path, generation: &str) -> Error {
        Error::Corruption {
            path: path.to_owned(),
            object: FILE.into(),
            detail: format!(
                "it is missing, but {generation} holds data; put the file back, or move the \
                 directory away to begin a new database"
            ),
        }
    }

    fn refuse_later_generations(&self, path: &Path) -> Result<()> {
        let first = self.directory(path);
        let entries = fs::read_dir(path).map_err(|e| io_error(path, "read the directory", &e))?;
        for entry in entries {
            let name = entry.map_err(|e| io_error(path, "read the directory", &e))?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("gen-")
                && first.file_name().is_none_or(|own| own.to_string_lossy() != name)
            {
                return Err(Self::lost(path, &name));
            }
        }
        Ok(())
    }

    /// Writes the file, after the tables of a new database are there.
    pub(crate) fn publish(&self, path: &Path) -> Result<()> {
        if self.published {
            return Ok(());
        }
        write_atomically(&path.join(FILE), self.to_text().as_bytes())
    }

    pub(crate) fn directory(&self, path: &Path) -> PathBuf {
        path.join(format!("gen-{:010}", self.generation))
    }

    pub(crate) fn to_text(&self) -> String {
        with_sum(format!(
            "{MAGIC} format {FORMAT}\ngeneration {}\nidentity {}\n",
            self.generation, self.identity
        ))
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let damaged = |detail| damaged(path, detail);
        let first = text.lines().next().unwrap_or_default();
        let format = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(" format "));
        let format: u32 = format
            .and_then(decimal)
            .filter(|format| *format > 0)
            .ok_or_else(|| damaged("it does not begin with the format"))?;
        // Only the first line is promised to mean the same in every format.
        if format > FORMAT {
            return Err(Error::FormatTooNew {
                path: path.to_owned(),
                found: format,
                supported: FORMAT,
            });
        }
        let body = without_sum(text).map_err(damaged)?;
        let field = |name: &str| {
            body.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .ok_or_else(|| damaged("a line is missing"))
        };
        let generation = decimal(field("generation")?).ok_or_else(|| damaged("bad generation"))?;
        let identity = field("identity")?;
        if !is_identity(identity) {
            return Err(damaged("the identity is not 32 hex digits"));
        }
        Ok(Self { generation, identity: identity.to_owned(), published: true })
    }
}

/// A number as it is written: in one form.
pub(crate) fn decimal<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

/// Whether a text can be that of a database.
pub(crate) fn is_identity(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Lines that end with their checksum.
pub(crate) fn with_sum(mut lines: String) -> String {
    let sum = crc32c::crc32c(lines.as_bytes());
    // Writing to a String cannot fail.
    let _written = writeln!(lines, "crc32c {sum:08x}");
    lines
}

/// The lines before the checksum, or what is wrong.
pub(crate) fn without_sum(text: &str) -> std::result::Result<&str, &'static str> {
    let found = text.split_once("crc32c ").filter(|(lines, _)| lines.ends_with('\n'));
    let (lines, sum) = found.ok_or("it has no checksum")?;
    let right = sum == format!("{:08x}\n", crc32c::crc32c(lines.as_bytes()));
    if right { Ok(lines) } else { Err("checksum mismatch") }
}

/// The beginning of the file: a foreign one may be large, or no file at all, which cannot be read
/// to an end.
pub(crate) fn read_start(file: &Path) -> std::io::Result<Vec<u8>> {
    const MOST: u64 = 1 << 16;
    if !fs::metadata(file)?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    fs::File::open(file)?.take(MOST).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether something beside `CURRENT` shows that the directory is a database of ours, however damaged.
fn has_files_of_ours(path: &Path) -> Result<bool> {
    let failed = |e: std::io::Error| io_error(path, "read the directory", &e);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if generation_of(&name).is_some() || name == "writer.lock" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number in the name of a generation's directory.
fn generation_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("gen-")?;
    let digits = number.len() >= 10 && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits)
}

/// What is no directory cannot become a database.
fn check_place(path: &Path) -> Result<()> {
    match (fs::metadata(path), fs::read_link(path)) {
        (Ok(found), _) if found.is_dir() => Ok(()),
        (Ok(_), _) => Err(Error::InvalidInput(format!(
            "{path:?} is a file; a database is a directory: choose another path"
        ))),
        (Err(_), Ok(target)) => Err(Error::InvalidInput(format!(
            "{path:?} is a symbolic link to {target:?}, which leads nowhere; make what it leads to, \
             or choose another path"
        ))),
        // There is nothing, or whoever goes on meets the reason.
        (Err(_), Err(_)) => Ok(()),
    }
}

fn damaged(path: &Path, detail: &str) -> Error {
    Error::Corruption { path: path.to_owned(), object: FILE.into(), detail: detail.into() }
}

fn foreign(path: &Path) -> Error {
    Error::InvalidInput(format!(
        "{path:?} is no database of embedded-db: its CURRENT file is another program's; choose an \
         empty or new directory"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_format_is_refused_whatever_follows() {
        let text = "embedded-db format 7\nsomething entirely new\n";
        let error = Current::parse(Path::new("db"), text).unwrap_err();
        assert!(matches!(error, Error::FormatTooNew { found: 7, supported: FORMAT, .. }));
    }

    /// Somebody who computes the checksum is not believed everything either.
    #[test]
    fn what_no_version_writes_is_damage_with_a_right_checksum_too() {
        let text = Current::of(3, "01a1fd96d85f72e2837865460a6a0037").to_text();
        let lines = without_sum(&text).unwrap();
        for (part, other) in [
            ("format 1", "format 0"),
            ("format 1", "format +1"),
            ("format 1", "format 01"),
            ("generation 3", "generation -3"),
            ("generation 3", "generation 03"),
            ("identity 01a1", "identity ../"),
            ("identity 01a1", "identity 01"),
        ] {
            assert!(lines.contains(part), "{part}");
            let changed = with_sum(lines.replace(part, other));
            let error = Current::parse(Path::new("db"), &changed).unwrap_err();
            assert!(matches!(error, Error::Corruption { .. }), "{other:?}: {error}");
        }
    }

    #[test]
    fn damage_is_seen() {
        let current = Current {
            generation: 3,
            identity: "01a1fd96d85f72e2837865460a6a0037".into(),
            published: true,
        };
        let text = current.to_text();
        assert_eq!(Current::parse(Path::new("db"), &text).unwrap(), current);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(Current::parse(Path::new("db"), &changed).is_err(), "byte {at}");
        }
    }
}
