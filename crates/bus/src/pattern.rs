//! Names of channels, and patterns of them.
//!
//! A name is words with full stops between them. In a pattern `*` stands for one word, and `**`, which is the last, for
//! one or more.

use embedded_db_common::{Error, Result};

use crate::options::MAX_NAME;

/// Names that begin so belong to the bus itself.
const OWN: char = '_';

/// Whether a channel is one of a pattern.
pub fn covers(pattern: &str, channel: &str) -> bool {
    let mut words = channel.split('.');
    for wanted in pattern.split('.') {
        let Some(word) = words.next() else { return false };
        match wanted {
            "**" => return true,
            "*" => {}
            _ if wanted == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

/// Whether a pattern is the name of one channel.
pub(crate) fn is_plain(pattern: &str) -> bool {
    !pattern.contains('*')
}

/// Whether a channel is one of the bus itself: what nobody waits for is not kept.
pub(crate) fn is_own(channel: &str) -> bool {
    channel.starts_with(OWN)
}

/// Refuses what is no name of a channel.
///
/// # Errors
///
/// `InvalidInput`.
pub fn check_channel(channel: &str) -> Result<()> {
    let wrong = channel.split('.').any(|word| word.is_empty() || word.contains('*'));
    if wrong || channel.len() > MAX_NAME || channel.contains(char::is_whitespace) {
        return Err(Error::InvalidInput(format!(
            "{channel:?} is no channel; it is words with a full stop between them, without spaces and *, at most \
             {MAX_NAME} bytes"
        )));
    }
    Ok(())
}

/// Refuses what is no pattern of channels.
///
/// # Errors
///
/// `InvalidInput`.
pub fn check_pattern(pattern: &str) -> Result<()> {
    let count = pattern.split('.').count();
    let wrong = pattern.split('.').enumerate().any(|(place, word)| match word {
        "" => true,
        "*" => false,
        "**" => place + 1 < count,
        _ => word.contains('*'),
    });
    if wrong || pattern.len() > MAX_NAME || pattern.contains(char::is_whitespace) {
        return Err(Error::InvalidInput(format!(
            "{pattern:?} is no pattern of channels; it is words with a full stop between them, of which * stands for \
             any one and ** at the end for any number, at most {MAX_NAME} bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_words() {
        for (pattern, channel, wanted) in [
            ("a.b", "a.b", true),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.*", "a", false),
            ("*.b", "a.b", true),
            ("a.**", "a.b.c", true),
            ("a.**", "a", false),
            ("**", "a", true),
            ("**", "a.b", true),
            ("*", "a", true),
        ] {
            assert_eq!(covers(pattern, channel), wanted, "{pattern} {channel}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", ".", "a.", ".a", "a..b", "a b", "a\n", "*", "a.*", &"a".repeat(1025)] {
            assert!(check_channel(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "a.", "a*", "**.a", "a.***"] {
            assert!(check_pattern(wrong).is_err(), "{wrong}");
        }
        for right in ["a", "a.b-c", "ä", "_own"] {
            check_channel(right).unwrap();
            check_pattern(right).unwrap();
        }
        for right in ["*", "**", "a.*.b", "*.**"] {
            check_pattern(right).unwrap();
        }
    }
}
