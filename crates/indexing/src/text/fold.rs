//! What makes two spellings of a word the same word: case, accents, width, ligatures.

use unicode_normalization::UnicodeNormalization;

/// Longest term in bytes.
pub(super) const MAX_TERM: usize = 64;

/// Appends the folded word to an empty `out`, at most [`MAX_TERM`] bytes of it.
///
/// Compatibility decomposition, marks off, lower case, recomposition. Only marks which people leave
/// out when they type are dropped (accents, Hebrew and Arabic vowel signs); the vowel signs of Indic
/// scripts and the voicing marks of Japanese make other words and stay.
pub(super) fn fold(word: &str, out: &mut String) {
    if word.is_ascii() {
        let kept = &word[..word.len().min(MAX_TERM)];
        out.push_str(kept);
        out.make_ascii_lowercase();
        return;
    }
    // Recomposition shortens a character threefold at most: enough is kept to fill a term.
    let mut decomposed = String::new();
    for c in word.nfkd().filter(|&c| !is_dropped(c)) {
        if decomposed.len() >= 4 * MAX_TERM {
            break;
        }
        for lower in c.to_lowercase().filter(|&c| !is_dropped(c)) {
            match spelled_out(lower) {
                Some(letters) => decomposed.push_str(letters),
                None => decomposed.push(lower),
            }
        }
    }
    for c in decomposed.nfc() {
        if out.len() + c.len_utf8() > MAX_TERM {
            break;
        }
        out.push(c);
    }
}

/// The word without a final `'s`, in any of the apostrophes people type.
pub(super) fn strip_possessive(word: &str) -> &str {
    word.strip_suffix(['s', 'S'])
        .and_then(|stem| stem.strip_suffix(['\'', '\u{2019}', '\u{2bc}', '\u{ff07}']))
        .unwrap_or(word)
}

/// Accents, vowel signs, and characters that are not seen.
fn is_dropped(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}'
        | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}')
}

/// Letters that Unicode does not decompose, though people without the key type them in ASCII.
fn spelled_out(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'þ' => "th",
        'ς' => "σ",
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => "'",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(word: &str) -> String {
        let mut out = String::new();
        fold(word, &mut out);
        out
    }

    #[test]
    fn spellings_of_a_word_fold_together() {
        for (spelling, expected) in [
            ("Café", "cafe"),
            ("Cafe\u{301}", "cafe"),
            ("ＦＵＬＬ", "full"),
            ("oﬃce", "office"),
            ("Straße", "strasse"),
            ("İSTANBUL", "istanbul"),
            ("Ørsted", "orsted"),
            ("ΛΌΓΟΣ", "λογοσ"),
            ("don’t", "don't"),
            ("soft\u{ad}hyphen", "softhyphen"),
            ("²", "2"),
        ] {
            assert_eq!(folded(spelling), expected, "{spelling}");
        }
    }

    #[test]
    fn marks_that_make_another_word_stay() {
        assert_ne!(folded("が"), folded("か"));
        assert_eq!(folded("한국어"), "한국어");
        assert_eq!(folded("हिन्दी"), "हिन्दी");
    }

    #[test]
    fn long_words_end_at_a_character() {
        assert_eq!(folded(&"x".repeat(1000)).len(), MAX_TERM);
        assert_eq!(folded(&"漢".repeat(1000)).chars().count(), MAX_TERM / 3);
        assert_eq!(folded(&"한".repeat(1000)), "한".repeat(MAX_TERM / 3));
    }

    #[test]
    fn possessives_go() {
        for word in ["Caroline's", "Caroline’s", "Caroline'S"] {
            assert_eq!(strip_possessive(word), "Caroline");
        }
        assert_eq!(strip_possessive("boss"), "boss");
    }

    proptest! {
        #[test]
        fn any_word_folds_within_bounds(word in "\\PC{0,80}") {
            prop_assert!(folded(&word).len() <= MAX_TERM);
        }
    }
}
