//! The query syntax: a text to a tree of clauses, whatever the language of the texts that it is asked of.
//!
//! ```text
//! query   := element+
//! element := chain ("OR" chain)*
//! chain   := unit ("AND" unit)*
//! unit    := ["+" | "-" | "NOT"] primary
//! primary := word | word "*" | word "~" (1 | 2) | '"' … '"' | "(" query ")"
//! ```
//!
//! Of the elements of a query those with `+` and those joined by `AND` must match, those with `-` or `NOT`
//! must not; of the others one must, if there is none that must.

use embedded_db_common::{Error, MAX_DEPTH, Result, shortened};

use crate::text::{Analyzer, Language};

/// Most words of a query, those of phrases too: what each is found in is held in memory.
pub(super) const MAX_WORDS: usize = 256;
/// Most words of them that stand for many.
pub(super) const MAX_OPEN: usize = 32;

/// A query in the syntax, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextExpression {
    pub(super) root: Group,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clause {
    /// As it was written; an analyzer may make several words of it.
    Word(String),
    Phrase(String),
    Prefix(String),
    Fuzzy(String, u8),
    Group(Group),
}

/// At least one of `must` and `should` is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) must: Vec<Clause>,
    pub(super) should: Vec<Clause>,
    pub(super) not: Vec<Clause>,
    /// `should` was joined by `OR`: each of them is meant, stop words too.
    pub(super) alternatives: bool,
}

impl TextExpression {
    /// Takes a query apart.
    ///
    /// # Errors
    ///
    /// `InvalidQuery` names the place in characters, counted from 0.
    pub fn parse(query: &str) -> Result<Self> {
        let tokens = Tokens::new(query).all()?;
        let end = query.chars().count();
        let mut parser = Parser { tokens: &tokens, next: 0, end };
        let root = parser.group(0, None)?;
        Ok(Self { root })
    }
}

fn wrong(at: usize, message: impl std::fmt::Display) -> Error {
    Error::query("text_query.query", format!("at character {at}: {message}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Must,
    Not,
}

#[derive(Debug, Clone)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Sign(Sign),
    Leaf(Clause),
}

/// Cuts a query into tokens.
struct Tokens {
    chars: Vec<char>,
    next: usize,
    /// Every language has the same words; they differ in stems.
    analyzer: Analyzer,
    words: usize,
    open: usize,
}

impl Tokens {
    fn new(query: &str) -> Self {
        let analyzer = Analyzer::new(Language::None);
        Self { chars: query.chars().collect(), next: 0, analyzer, words: 0, open: 0 }
    }

    fn all(mut self) -> Result<Vec<(usize, Token)>> {
        let mut tokens = Vec::new();
        while let Some(&c) = self.chars.get(self.next) {
            let at = self.next;
            self.next += 1;
            let token = match c {
                c if c.is_whitespace() => continue,
                '(' => Token::Open,
                ')' => Token::Close,
                '+' | '-' => {
                    if self.chars.get(self.next).is_none_or(|c| c.is_whitespace() || *c == ')') {
                        return Err(wrong(at, format!("nothing follows {c:?}")));
                    }
                    Token::Sign(if c == '+' { Sign::Must } else { Sign::Not })
                }
                c if is_quote(c) => Token::Leaf(self.phrase(at)?),
                _ => self.word(at)?,
            };
            tokens.push((at, token));
        }
        Ok(tokens)
    }

    fn phrase(&mut self, at: usize) -> Result<Clause> {
        let begin = self.next;
        let length = self.chars[begin..].iter().position(|c| is_quote(*c));
        let length = length.ok_or_else(|| wrong(at, "this quote is not closed"))?;
        self.next = begin + length + 1;
        if let Some(c @ ('*' | '~')) = self.chars.get(self.next) {
            let message = format!("{c:?} stands behind a word, not behind a phrase");
            return Err(wrong(self.next, message));
        }
        let phrase: String = self.chars[begin..begin + length].iter().collect();
        self.count(at, &phrase)?;
        Ok(Clause::Phrase(phrase))
    }

    fn word(&mut self, at: usize) -> Result<Token> {
        let ends = |c: &char| c.is_whitespace() || matches!(c, '(' | ')') || is_quote(*c);
        let length = self.chars[at..].iter().position(ends).unwrap_or(self.chars.len() - at);
        let chars = &self.chars[at..at + length];
        self.next = at + length;
        let text: String = chars.iter().collect();
        match text.as_str() {
            "AND" => return Ok(Token::And),
            "OR" => return Ok(Token::Or),
            "NOT" => return Ok(Token::Sign(Sign::Not)),
            _ => {}
        }
        let Some(mark) = chars.iter().position(|c| matches!(c, '*' | '~')) else {
            self.count(at, &text)?;
            return Ok(Token::Leaf(Clause::Word(text)));
        };
        let word: String = chars[..mark].iter().collect();
        let clause = match &chars[mark..] {
            ['*'] => Clause::Prefix(word.clone()),
            ['*', ..] => return Err(wrong(at + mark, "'*' stands at the end of a word only")),
            ['~', edits @ ('1' | '2')] => {
                Clause::Fuzzy(word.clone(), if *edits == '1' { 1 } else { 2 })
            }
            _ => {
                let message = "'~' is followed by the number of edits, 1 or 2, and nothing else";
                return Err(wrong(at + mark, message));
            }
        };
        self.open += 1;
        if self.open > MAX_OPEN {
            return Err(wrong(at, format!("more than {MAX_OPEN} words have '*' or '~'")));
        }
        if self.count(at, &word)? != 1 {
            let message = format!(
                "{:?} is several words; '*' and '~' stand behind one",
                shortened(&word, 60)
            );
            return Err(wrong(at, message));
        }
        Ok(Token::Leaf(clause))
    }

    /// How many words there are in a clause.
    fn count(&mut self, at: usize, text: &str) -> Result<usize> {
        let mut count = 0;
        self.analyzer.words(text, &mut |_, _| count += 1);
        if count == 0 {
            return Err(wrong(
                at,
                format!("{:?} holds no letter or digit to look for", shortened(text, 60)),
            ));
        }
        self.words += count;
        if self.words > MAX_WORDS {
            return Err(wrong(at, format!("the query has more than {MAX_WORDS} words")));
        }
        Ok(count)
    }
}

/// Those that text programs put in place of the plain one, too.
fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    next: usize,
    end: usize,
}

/// A chain: whether it is several units, or the sign of the only one.
enum Manner {
    Chain,
    Unit(Option<Sign>),
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    /// Up to its `)`, which is left, or the end; `opened` is where its `(` is.
    fn group(&mut self, depth: usize, opened: Option<usize>) -> Result<Group> {
        let at = opened.unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(wrong(at, format!("parentheses are nested deeper than {MAX_DEPTH}")));
        }
        let mut group = Group::default();
        loop {
            match self.peek() {
                None if opened.is_some() => {
                    return Err(wrong(at, "this parenthesis is not closed"));
                }
                Some(Token::Close) if opened.is_none() => {
                    return Err(wrong(self.at(), "this parenthesis was not opened"));
                }
                None | Some(Token::Close) => break,
                Some(_) => self.element(depth, &mut group)?,
            }
        }
        match group {
            Group { ref must, ref should, ref not, .. } if must.is_empty() && should.is_empty() => {
                Err(wrong(at, if not.is_empty() { "nothing is looked for" } else { ONLY_EXCLUDES }))
            }
            // Parentheses around parentheses change nothing.
            Group { must, should, not, .. } if not.is_empty() && must.len() + should.len() == 1 => {
                Ok(match must.into_iter().chain(should).next() {
                    Some(Clause::Group(inner)) => inner,
                    other => Group { should: other.into_iter().collect(), ..Group::default() },
                })
            }
            group => Ok(group),
        }
    }

    fn element(&mut self, depth: usize, group: &mut Group) -> Result<()> {
        let at = self.at();
        let (manner, clause) = self.chain(depth)?;
        if !matches!(self.peek(), Some(Token::Or)) {
            let place = match manner {
                Manner::Chain | Manner::Unit(Some(Sign::Must)) => &mut group.must,
                Manner::Unit(Some(Sign::Not)) => &mut group.not,
                Manner::Unit(None) => &mut group.should,
            };
            place.push(clause);
            return Ok(());
        }
        let alternative = |at, (manner, clause)| match manner {
            Manner::Unit(Some(_)) => {
                Err(wrong(at, "what OR joins has no '+', '-' or NOT of its own"))
            }
            _ => Ok(clause),
        };
        let mut should = vec![alternative(at, (manner, clause))?];
        while let Some(Token::Or) = self.peek() {
            self.next += 1;
            let at = self.at();
            let chain = self.chain(depth)?;
            should.push(alternative(at, chain)?);
        }
        group.should.push(Clause::Group(Group { should, alternatives: true, ..Group::default() }));
        Ok(())
    }

    fn chain(&mut self, depth: usize) -> Result<(Manner, Clause)> {
        let at = self.at();
        let (sign, clause) = self.unit(depth)?;
        if !matches!(self.peek(), Some(Token::And)) {
            return Ok((Manner::Unit(sign), clause));
        }
        let mut group = Group::default();
        let mut add = |sign, clause| match sign {
            Some(Sign::Not) => group.not.push(clause),
            _ => group.must.push(clause),
        };
        add(sign, clause);
        while let Some(Token::And) = self.peek() {
            self.next += 1;
            let (sign, clause) = self.unit(depth)?;
            add(sign, clause);
        }
        if group.must.is_empty() {
            return Err(wrong(at, ONLY_EXCLUDES));
        }
        Ok((Manner::Chain, Clause::Group(group)))
    }

    fn unit(&mut self, depth: usize) -> Result<(Option<Sign>, Clause)> {
        let sign = match self.peek() {
            Some(Token::Sign(sign)) => Some(*sign),
            _ => None,
        };
        self.next += usize::from(sign.is_some());
        let at = self.at();
        let Some(token) = self.peek().cloned() else {
            return Err(wrong(at, "something to look for is missing at the end"));
        };
        self.next += 1;
        let clause = match token {
            Token::Leaf(clause) => clause,
            Token::Open => {
                let group = self.group(depth + 1, Some(at))?;
                self.next += 1;
                Clause::Group(group)
            }
            Token::Close => return Err(wrong(at, "something to look for is missing before ')'")),
            Token::And | Token::Or => {
                let message = "AND and OR stand between two things to look for; a word that is \
                               meant is put in quotes";
                return Err(wrong(at, message));
            }
            Token::Sign(_) => return Err(wrong(at, "one of '+', '-' and NOT is enough")),
        };
        Ok((sign, clause))
    }
}

const ONLY_EXCLUDES: &str = "this only excludes; say what is looked for as well";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(query: &str) -> String {
        TextExpression::parse(query).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_named_by_their_place() {
        for (query, at, why) in [
            ("", 0, "nothing"),
            ("rust \"low", 5, "not closed"),
            ("(rust", 0, "not closed"),
            ("rust)", 4, "not opened"),
            ("rust ()", 5, "nothing"),
            ("rust AND", 8, "missing"),
            ("OR rust", 0, "between"),
            ("a AND OR b", 6, "between"),
            ("a OR", 4, "missing"),
            ("-java", 0, "only excludes"),
            ("rust (-java NOT c)", 5, "only excludes"),
            ("NOT a AND NOT b", 0, "only excludes"),
            ("a OR -b", 5, "OR joins"),
            ("+a OR b", 0, "OR joins"),
            ("a + b", 2, "nothing follows"),
            ("a -", 2, "nothing follows"),
            ("NOT -a", 4, "enough"),
            ("pe*rf", 2, "end of a word"),
            ("*", 0, "no letter"),
            ("low-lat*", 0, "several words"),
            ("colour~", 6, "1 or 2"),
            ("colour~3", 6, "1 or 2"),
            ("colour~1*", 6, "1 or 2"),
            ("\"a b\"~2", 5, "behind a phrase"),
            ("rust 👍", 5, "no letter"),
            ("é 👍", 2, "no letter"),
            ("\"--\"", 0, "no letter"),
        ] {
            let told = refused(query);
            assert!(told.contains(&format!("at character {at}: ")), "{query}: {told}");
            assert!(told.contains(why), "{query}: {told}");
        }
        assert!(refused(&"a ".repeat(MAX_WORDS + 1)).contains("more than 256 words"));
        assert!(refused(&"a* ".repeat(MAX_OPEN + 1)).contains("more than 32 words"));
        assert!(refused(&"(".repeat(1000)).contains("deeper"));
    }

    #[test]
    fn joined_clauses_bind_tighter_than_those_side_by_side() {
        let same = [
            ("a AND b OR c", "(a AND b) OR c"),
            ("a OR b AND c", "a OR (b AND c)"),
            ("a NOT b", "a -b"),
            ("a AND b c", "+(a AND b) c"),
            ("a AND NOT b", "a AND -b"),
            ("+a AND b", "a AND b"),
            ("((a b))", "a b"),
            ("“a b”", "\"a b\""),
        ];
        for (one, other) in same {
            let parsed = TextExpression::parse(one).unwrap();
            assert_eq!(parsed, TextExpression::parse(other).unwrap(), "{one}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_query_or_a_mistake(text in "(AND |OR |NOT |[+()~*\" a-c1é👍-]|\\PC){0,40}") {
            if let Err(mistake) = TextExpression::parse(&text) {
                prop_assert!(mistake.to_string().contains("at character "));
            }
        }
    }
}
