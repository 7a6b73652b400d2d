//! What goes over a connection: who asks says first who he is and what he counts on, and is told who answers; then
//! each request is answered before the next.
//!
//! Who answers says that a request has begun before he does anything for it. So a request whose connection ends before
//! that came to nothing, and can be made elsewhere.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use embedded_db_common::{Error, Result};
use embedded_db_storage::Line;

use super::wire::{Taken, sent, wire_struct};

/// A request has begun.
pub(super) const BEGUN: u8 = 1;
/// Of what goes over a connection; processes of another do not understand each other.
const PROTOCOL: u32 = 1;
/// Between two looks at whether to go on.
const LOOK: Duration = Duration::from_millis(50);

/// Asks whether a caller was interrupted; set by whoever knows of signals.
static INTERRUPTED: OnceLock<fn() -> Result<()>> = OnceLock::new();

/// Has this asked, while a call waits for another process, whether to go on.
pub fn watch_interrupts(interrupted: fn() -> Result<()>) {
    // Another one would not be asked.
    let _first = INTERRUPTED.set(interrupted);
}

pub(super) fn interrupted() -> Result<()> {
    INTERRUPTED.get().map_or(Ok(()), |interrupted| interrupted())
}

/// Who asks, and what he counts on.
pub(super) struct Hello {
    /// The same for all connections of one process.
    pub(super) guest: u64,
    pub(super) protocol: u32,
    pub(super) version: String,
    pub(super) terms: Terms,
}

/// Who answers; or why he does not.
pub(super) struct Welcome {
    pub(super) pid: u32,
    pub(super) host: String,
}

/// What all who share a database have to agree on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    /// Options, as texts.
    pub(crate) options: Vec<(String, String)>,
    /// The model, if there is one: its name, its arithmetic and its dimension, as far as that is known.
    pub(crate) model: Option<(String, String, Option<u64>)>,
}

wire_struct! {
    Hello { guest, protocol, version, terms }
    Welcome { pid, host }
    Terms { options, model }
}

impl Hello {
    pub(super) fn new(terms: &Terms, guest: u64) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { guest, protocol: PROTOCOL, version, terms: terms.clone() }
    }

    /// Whether both can work on one database.
    pub(super) fn check(&self, own: &Self, path: &Path) -> Result<()> {
        let refused = |what: &str, theirs: &str, own: &str, remedy: &str| {
            Err(Error::InvalidInput(format!(
                "{path:?} is shared, and {what} is {theirs} here and {own} in process {}, which holds it; \
                 {remedy}",
                std::process::id()
            )))
        };
        if (self.protocol, &self.version) != (own.protocol, &own.version) {
            let remedy = "use the same version in all processes that share it";
            return refused("embedded-db", &self.version, &own.version, remedy);
        }
        let remedy = "open it with the same in all processes that share it";
        for ((name, theirs), (_, own)) in self.terms.options.iter().zip(&own.terms.options) {
            if theirs != own {
                return refused(name, theirs, own, remedy);
            }
        }
        if let (Some(theirs), Some(own)) = (&self.terms.model, &own.terms.model) {
            let differ = |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a != b);
            if (&theirs.0, &theirs.1) != (&own.0, &own.1) || differ(theirs.2, own.2) {
                let shown = |(name, arithmetic, dimension): &(String, String, Option<u64>)| {
                    let dimension = dimension.map(|it| format!(", {it} dimensions"));
                    format!("{name:?} ({arithmetic}{})", dimension.unwrap_or_default())
                };
                let remedy =
                    "use the same in all processes that share it, or none (ml=None) in some";
                return refused("the model", &shown(theirs), &shown(own), remedy);
            }
        }
        Ok(())
    }
}

/// Sends a message.
pub(super) fn send(mut line: &Line, message: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(message.len() + 8);
    bytes.extend_from_slice(&(message.len() as u64).to_le_bytes());
    bytes.extend_from_slice(message);
    line.write_all(&bytes)
}

/// Receives a message; what was said of its length is not believed before it is there.
pub(super) fn receive(mut line: &Line) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    line.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut message = Vec::new();
    line.take(length).read_to_end(&mut message)?;
    if message.len() as u64 == length { Ok(message) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// What became of a connection.
pub(super) enum Connected {
    /// It stands, with who is at its other end.
    To(Line, Welcome),
    /// Nobody listens, or not any more.
    Nobody,
    /// Somebody listens who does not answer in time.
    Silent,
}

/// Connects to the process that holds a database.
pub(super) fn connect(
    directory: &Path,
    terms: &Terms,
    guest: u64,
    timeout: Duration,
) -> Result<Connected> {
    let Some(line) = Line::connect(directory)? else { return Ok(Connected::Nobody) };
    if send(&line, &sent(&Hello::new(terms, guest))).is_err() {
        return Ok(Connected::Nobody);
    }
    let begun = Instant::now();
    while !line.wait(LOOK).unwrap_or(true) {
        interrupted()?;
        if begun.elapsed() >= timeout {
            return Ok(Connected::Silent);
        }
    }
    let Ok(answer) = receive(&line) else { return Ok(Connected::Nobody) };
    let welcome = Taken::plain(&answer).only::<Result<Welcome>>()??;
    Ok(Connected::To(line, welcome))
}

/// What became of a request.
pub(super) enum Asked {
    Answered(Vec<u8>),
    /// Nothing was done for it.
    NotBegun,
    /// The connection ended in the middle.
    Unknown,
}

/// Sends a request and waits for its answer. `alive` says now and then whether the other side still is.
pub(super) fn ask(
    line: &Line,
    request: &[u8],
    patience: Duration,
    alive: &dyn Fn() -> Result<bool>,
) -> Result<Asked> {
    if let Err(error) = send(line, request) {
        let stands_still = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        // The rest of it will not come.
        return if stands_still { alive().map(|_| Asked::NotBegun) } else { Ok(Asked::NotBegun) };
    }
    let mut begun = Instant::now();
    let mut has_begun = false;
    loop {
        while !line.wait(LOOK).unwrap_or(true) {
            interrupted()?;
            if begun.elapsed() >= patience {
                if !alive()? {
                    return Ok(Asked::Unknown);
                }
                begun = Instant::now();
            }
        }
        if has_begun {
            return Ok(receive(line).map_or(Asked::Unknown, Asked::Answered));
        }
        let mut told = [0];
        let mut from = line;
        match from.read_exact(&mut told) {
            Ok(()) if told == [BEGUN] => has_begun = true,
            _ => return Ok(Asked::NotBegun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(options: &[(&str, &str)], model: Option<(&str, Option<u64>)>) -> Hello {
        let options = options.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let model = model.map(|(name, dimension)| (name.to_owned(), "fp32".to_owned(), dimension));
        Hello::new(&Terms { options, model }, 1)
    }

    #[test]
    fn who_shares_a_database_agrees_on_its_options() {
        let path = Path::new("db");
        let own = hello(&[("durability", "durable")], Some(("m", Some(3))));
        let told = |theirs: Hello| theirs.check(&own, path).map_err(|error| error.to_string());
        assert_eq!(told(hello(&[("durability", "durable")], None)), Ok(()));
        assert_eq!(told(hello(&[("durability", "durable")], Some(("m", None)))), Ok(()));
        for (theirs, said) in [
            (hello(&[("durability", "relaxed")], None), "durability is relaxed here and durable"),
            (hello(&[("durability", "durable")], Some(("m", Some(4)))), "4 dimensions"),
            (hello(&[("durability", "durable")], Some(("n", None))), "the model is \"n\""),
            (Hello { version: "9".into(), ..hello(&[], None) }, "embedded-db is 9 here"),
            (Hello { protocol: 9, ..hello(&[], None) }, "same version"),
        ] {
            let error = told(theirs).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
