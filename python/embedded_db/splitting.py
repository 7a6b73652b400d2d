"""Texts in parts of a bounded number of tokens, cut where a reader would cut them.

A part ends at the end of a paragraph if that leaves it at least half full, else of a sentence, else
of a word; only a word that is too long by itself is cut. The parts together are the text, character
for character: white space belongs to what stands before it.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .errors import InvalidInput
from .token_count import TokenCounter

__all__ = ["Span", "split"]

PARAGRAPH: Final = re.compile(r"\s*\n[^\S\n]*\n\s*")
# A sentence ends with its mark, closing quotes and white space, unless a small letter follows; with
# a line; or with a mark of Chinese and Japanese, which no space follows.
SENTENCE: Final = re.compile(
    r"[.!?\u2026]+[\"'\u201d\u2019\u00bb)\]]*\s+(?=[\"'\u201c\u2018\u00ab(\[]*[^\Wa-z_])"
    r"|\n\s*|[\u3002\uff01\uff1f]+\s*"
)
WORD: Final = re.compile(r"\s+")
ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|Fig|approx)\.\s+$"
)


class Span(NamedTuple):
    """A passage of a text: its characters from ``start`` to before ``end``."""

    start: int
    end: int


class _Piece(NamedTuple):
    """A passage that is not cut any more."""

    start: int
    end: int
    tokens: int
    ends_paragraph: bool


def split(text: str, max_tokens: int, count: TokenCounter) -> list[Span]:
    """Cut a text into parts.

    Args:
        text: the text.
        max_tokens: most tokens of a part, 1 or more.
        count: gives the number of tokens of a text.

    Returns:
        The parts in order; they cover the text without gaps. None for a text of white space.

    Raises:
        InvalidInput: a single character has more than ``max_tokens`` tokens.

    Examples:
        >>> words = lambda text: len(text.split())
        >>> text = "One two. Three four five. Six."
        >>> [text[a:b] for a, b in split(text, 3, words)]
        ['One two. ', 'Three four five. ', 'Six.']
    """
    if not text.strip():
        return []
    return list(_packed(text, list(_pieces(text, max_tokens, count)), max_tokens, count))


def _packed(
    text: str, pieces: list[_Piece], max_tokens: int, count: TokenCounter
) -> Iterator[Span]:
    at = 0
    while at < len(pieces):
        stop, tokens, paragraph = at, 0, 0
        while stop < len(pieces) and tokens + pieces[stop].tokens <= max_tokens:
            tokens += pieces[stop].tokens
            stop += 1
            if pieces[stop - 1].ends_paragraph and 2 * tokens >= max_tokens:
                paragraph = stop
        if stop < len(pieces) and paragraph:
            stop = paragraph
        # Tokens of a whole may be more than those of its pieces: leave off until it fits.
        start = pieces[at].start
        while stop - at > 1 and count(text[start : pieces[stop - 1].end]) > max_tokens:
            stop -= 1
        yield Span(start, pieces[stop - 1].end)
        at = stop


def _pieces(text: str, max_tokens: int, count: TokenCounter) -> Iterator[_Piece]:
    for paragraph in _cut(text, Span(0, len(text)), PARAGRAPH):
        for sentence in _cut(text, paragraph, SENTENCE):
            ends = sentence.end == paragraph.end
            for span, tokens in _fitting(text, sentence, max_tokens, count):
                yield _Piece(span.start, span.end, tokens, ends and span.end == sentence.end)


def _cut(text: str, span: Span, boundary: re.Pattern[str]) -> Iterator[Span]:
    """Cut behind every boundary that has a word before it and one behind it."""
    start = span.start
    for match in boundary.finditer(text, span.start, span.end):
        before = text[start : match.end()]
        if not before.strip() or not text[match.end() : span.end].strip():
            continue
        if boundary is SENTENCE and ABBREVIATION.search(before):
            continue
        yield Span(start, match.end())
        start = match.end()
    yield Span(start, span.end)


def _fitting(
    text: str, span: Span, max_tokens: int, count: TokenCounter
) -> Iterator[tuple[Span, int]]:
    tokens = count(text[span.start : span.end])
    if tokens <= max_tokens:
        yield span, tokens
        return
    words = list(_cut(text, span, WORD))
    if len(words) > 1:
        for word in words:
            yield from _fitting(text, word, max_tokens, count)
        return
    start = span.start
    while start < span.end:
        end = _longest(text, start, span.end, max_tokens, count)
        yield Span(start, end), count(text[start:end])
        start = end


def _longest(text: str, start: int, end: int, max_tokens: int, count: TokenCounter) -> int:
    """Give the end of a prefix that fits, found by halving; it has a character at least."""
    low, high = start + 1, end
    if count(text[start:low]) > max_tokens:
        raise InvalidInput(
            f"the character {text[start]!r} alone has more than {max_tokens} tokens",
            hint="Raise max_tokens",
        )
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[start:middle]) <= max_tokens:
            low = middle
        else:
            high = middle - 1
    return low
