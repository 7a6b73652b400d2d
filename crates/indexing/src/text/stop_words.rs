//! English words that say little about what a question is looking for: articles, prepositions,
//! pronouns, auxiliaries, question words. The index keeps them; a query may leave them out.

/// Is this folded, unstemmed word in the list?
pub(super) fn contains(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "again", "against", "ain't", "all", "also", "am", "an", "and", "any",
    "are", "aren't", "as", "at", "be", "because", "been", "before", "being", "between", "both",
    "but", "by", "can", "can't", "cannot", "could", "couldn't", "did", "didn't", "do", "does",
    "doesn't", "doing", "don't", "during", "each", "either", "for", "from", "had", "hadn't", "has",
    "hasn't", "have", "haven't", "having", "he", "he'd", "he'll", "her", "hers", "herself", "him",
    "himself", "his", "how", "i", "i'd", "i'll", "i'm", "i've", "if", "in", "into", "is", "isn't",
    "it", "it'd", "it'll", "its", "itself", "just", "let", "may", "me", "might", "mightn't", "mine",
    "must", "mustn't", "my", "myself", "needn't", "neither", "no", "nor", "not", "of", "on", "or",
    "our", "ours", "ourselves", "shall", "shan't", "she", "she'd", "she'll", "should", "shouldn't",
    "so", "some", "such", "than", "that", "that'd", "that'll", "the", "their", "theirs", "them",
    "themselves", "then", "there", "there'll", "these", "they", "they'd", "they'll", "they're",
    "they've", "this", "those", "to", "too", "very", "was", "wasn't", "we", "we'd", "we'll",
    "we're", "we've", "were", "weren't", "what", "what'd", "what'll", "what're", "when", "where",
    "which", "while", "who", "who'd", "who'll", "whom", "whose", "why", "will", "with", "won't",
    "would", "wouldn't", "you", "you'd", "you'll", "you're", "you've", "your", "yours", "yourself",
    "yourselves",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_its_search() {
        assert!(STOP_WORDS.is_sorted());
        assert!(contains("the") && contains("yourselves") && !contains("lake"));
    }
}
