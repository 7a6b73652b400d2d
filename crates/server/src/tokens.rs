//! Who may do what. A token is a secret text; only its SHA-256 is kept.

use embedded_db_engine::common::{Digest, Error, Result, Sha256, names};
use subtle::{Choice, ConstantTimeEq};

/// Fewest characters of a token: shorter ones can be guessed.
const SHORTEST: usize = 24;
/// Most bytes of a token that is looked at.
const LONGEST: usize = 1024;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

/// What one token may do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whether it may only look.
    pub scope: Scope,
    /// The namespaces it is for; `None` for the whole database.
    pub namespaces: Option<Vec<String>>,
}

impl Grant {
    /// What everybody may who needs no token.
    pub(crate) const ALL: Self = Self { scope: Scope::Write, namespaces: None };

    pub(crate) fn allows(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.iter().any(|name| name == namespace))
    }
}

/// All tokens of a server.
#[derive(Default)]
pub struct Tokens(Vec<(Sha256, Grant)>);

impl std::fmt::Debug for Tokens {
    /// Not even their hashes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Said of a list of tokens that has none.
    pub const NONE: &'static str =
        "the tokens have no line with one; write `read TOKEN`, or give no tokens at all";

    /// From a text with a token a line: `read` or `write`, the token (or `sha256:` and its hash in hex), and
    /// the names of namespaces if it is for these only. Empty lines and what follows a `#` at the beginning of
    /// a line do not count; a text that has nothing else is refused, for it was meant to keep somebody out.
    pub fn parse(text: &str) -> Result<Self> {
        let mut out = Self::default();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            // Never with the line itself: a token stands in it.
            let placed = |message: &str| {
                Error::InvalidInput(format!("line {} of the tokens: {message}", at + 1))
            };
            let mut words = line.split_whitespace();
            let scope = match words.next() {
                Some("read") => Scope::Read,
                Some("write") => Scope::Write,
                _ => {
                    return Err(placed("it does not begin with read or write; write `read TOKEN`"));
                }
            };
            let token =
                words.next().ok_or_else(|| placed("it has no token; write `read TOKEN`"))?;
            let hash = match token.strip_prefix("sha256:") {
                Some(hex) => Sha256::parse(hex)
                    .ok_or_else(|| placed("what follows sha256: is not 64 digits of hex"))?,
                None if !(SHORTEST..=LONGEST).contains(&token.len()) => {
                    return Err(placed(&format!(
                        "the token has {} characters; take {SHORTEST} to {LONGEST}, such as \
                         `openssl rand -hex 32` gives",
                        token.len()
                    )));
                }
                None => hashed(token.as_bytes()),
            };
            let namespaces: Vec<String> = words.map(str::to_owned).collect();
            for name in &namespaces {
                names::check("the name of a namespace", name)
                    .map_err(|error| placed(&error.to_string()))?;
            }
            if out.0.iter().any(|(known, _)| *known == hash) {
                return Err(placed("the token stands there twice; give each its own"));
            }
            let namespaces = (!namespaces.is_empty()).then_some(namespaces);
            out.0.push((hash, Grant { scope, namespaces }));
        }
        if out.is_empty() && !text.is_empty() {
            return Err(Error::InvalidInput(Self::NONE.to_owned()));
        }
        Ok(out)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a token may do; `None` for one that is not known. How long it takes says nothing of the token.
    pub fn find(&self, token: &[u8]) -> Option<&Grant> {
        if token.len() > LONGEST {
            return None;
        }
        let (hash, mut found) = (hashed(token).bytes(), None);
        for (known, grant) in &self.0 {
            let equal: Choice = known.bytes().ct_eq(&hash);
            if bool::from(equal) {
                found = Some(grant);
            }
        }
        found
    }
}

fn hashed(token: &[u8]) -> Sha256 {
    let mut digest = Digest::default();
    digest.update(token);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "0123456789abcdef01234567";
    const WRITE: &str = "0123456789abcdef01234568";

    #[test]
    fn tokens_are_found_by_what_they_are() {
        let hash = hashed(WRITE.as_bytes());
        let text = format!("# whose\n\n read {READ} ann bob\nwrite sha256:{hash}\n");
        let tokens = Tokens::parse(&text).unwrap();
        let reader = tokens.find(READ.as_bytes()).unwrap();
        assert_eq!(
            (reader.scope, reader.allows("ann"), reader.allows("eve")),
            (Scope::Read, true, false)
        );
        assert_eq!(tokens.find(WRITE.as_bytes()), Some(&Grant::ALL));
        for unknown in ["", "0", &READ[1..], &format!("{READ} "), &READ.repeat(50_000)] {
            assert_eq!(tokens.find(unknown.as_bytes()), None);
        }
        assert!(!format!("{tokens:?}").contains("01234"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_token() {
        for (text, said) in [
            (format!("admin {READ}"), "begin with read or write"),
            ("read".to_owned(), "no token"),
            ("read 0123456789abcdef".to_owned(), "16 characters"),
            (format!("read sha256:{READ}"), "64 digits"),
            (
                format!("read {READ}\nwrite {READ}"),
                "line 2 of the tokens: the token stands there twice",
            ),
            (format!("read {READ} a\0b"), "NUL"),
            ("# nobody yet\n\n".to_owned(), "no line with one"),
        ] {
            let error = Tokens::parse(&text).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("0123456789"), "{error}");
        }
    }
}
