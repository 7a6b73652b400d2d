"""Entities that have a form: addresses, handles, dates, amounts of money, percentages.

What is found has one meaning wherever it stands: a date has a month and a day or a year, for
"yesterday" is another day in each message. Every pattern takes time in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["RULE_LABELS", "Span", "find"]

RULE_LABELS: Final = ("EMAIL", "URL", "HANDLE", "DATE", "MONEY", "PERCENT")

Span = tuple[int, int, str]
"""First character, one past the last, label."""

_MONTHS = (
    *("jan(?:uary)?", "feb(?:ruary)?", "mar(?:ch)?", "apr(?:il)?", "may", "june?", "july?"),
    *("aug(?:ust)?", "sept?(?:ember)?", "oct(?:ober)?", "nov(?:ember)?", "dec(?:ember)?"),
)
_MONTH = rf"(?P<month>(?:{'|'.join(_MONTHS)})\b\.?)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1[5-9]|20|21)\d\d"
_ENDS = r"(?![\w%]|[.,/:-]\d)"
_BEGINS = r"(?<![\w@#.,/:-])"
_DATES = (
    rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?=\b|T\d)",
    rf"{_DAY}(?:st|nd|rd|th)?[ ](?:of[ ])?{_MONTH}(?:,?[ ]{_YEAR})?{_ENDS}",
    rf"{_MONTH.replace('month', 'first')}[ ]{_DAY}(?:st|nd|rd|th)?(?:,?[ ]{_YEAR})?{_ENDS}",
    rf"{_MONTH.replace('month', 'alone')}[ ]{_YEAR}{_ENDS}",
    rf"{_DAY}(?P<mark>[./-])(?:0?[1-9]|1[0-2]|{_DAY})(?P=mark)(?:{_YEAR}|\d\d){_ENDS}",
)
_DATE = re.compile(rf"{_BEGINS}(?:{'|'.join(_DATES)})", re.IGNORECASE)
_NUMBER = r"\d{1,15}(?:[,.]\d{1,15}){0,8}"
_MANY = r"(?:[ ]?(?:k|m|bn|thousand|million|billion|trillion)\b)?"
_MONEY = re.compile(
    rf"(?<![\w.,])(?:[$€£¥₹][ ]?{_NUMBER}{_MANY}|"
    rf"{_NUMBER}{_MANY}[ ]?(?:[€£¥₹]|(?:USD|EUR|GBP|CHF|JPY|dollars?|euros?|pounds?|yen|bucks)\b))"
    r"(?!\w)",
    re.IGNORECASE,
)
_PERCENT = re.compile(rf"(?<![\w.,]){_NUMBER}[ ]?(?:%|percent\b)(?!\w)", re.IGNORECASE)
_URL = re.compile(r"(?<![\w@])(https?://|www\.)[^\s<>\"“”]+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w@./])@\w{2,50}(?![\w@]|[.]\w)")
_BEFORE_AT = re.compile(r"[\w.!#$&'*+/=?^`{|}~%-]{1,64}\Z")
_AFTER_AT = re.compile(r"[^\W_](?:[\w-]{0,62}[^\W_])?(?:\.[^\W_](?:[\w-]{0,62}[^\W_])?){1,8}")
# What stands in lower case is a verb more often than a month.
_VERBS = ("may", "march")


def find(text: str, start: int = 0) -> list[Span]:
    """What has a form in ``text[start:]``, in its order, without overlaps.

    Args:
        text: the text.
        start: the character to begin at; offsets are those of the whole text.

    Examples:
        >>> text = "Mail @ann or ann@example.com the $20 by May 7, 2024: https://example.com/a"
        >>> [(text[begin:end], label) for begin, end, label in find(text)]
        ... # doctest: +NORMALIZE_WHITESPACE
        [('@ann', 'HANDLE'), ('ann@example.com', 'EMAIL'), ('$20', 'MONEY'),
         ('May 7, 2024', 'DATE'), ('https://example.com/a', 'URL')]
    """
    found: list[Span] = []
    end = start
    # Of two that overlap the first counts; of two that begin together the longer one.
    for span in sorted(_all(text, start), key=lambda span: (span[0], -span[1])):
        if span[0] >= end:
            found.append(span)
            end = span[1]
    return found


def _all(text: str, start: int) -> Iterator[Span]:
    if "://" in text or "www." in text.lower():
        for match in _URL.finditer(text, start):
            end = match.start() + _length_of_url(match[0])
            if end > match.end(1):
                yield match.start(), end, "URL"
    if "@" in text:
        yield from _emails(text, start)
        for match in _HANDLE.finditer(text, start):
            yield *match.span(), "HANDLE"
    if any(map(str.isdecimal, text)):
        for match in _DATE.finditer(text, start):
            month = match["month"] or match["first"] or match["alone"] or ""
            if not month.startswith(_VERBS):
                yield *match.span(), "DATE"
        for match in _MONEY.finditer(text, start):
            yield *match.span(), "MONEY"
        for match in _PERCENT.finditer(text, start):
            yield *match.span(), "PERCENT"


def _length_of_url(url: str) -> int:
    """Without what closes a sentence, or a bracket that the address has not opened."""
    length = len(url)
    unopened = {close: url.count(close) - url.count(begin) for begin, close in ("()", "[]", "{}")}
    while length:
        last = url[length - 1]
        if unopened.get(last, 0) > 0:
            unopened[last] -= 1
        elif last not in ".,;:!?'’*_":
            break
        length -= 1
    return length


def _emails(text: str, start: int) -> Iterator[Span]:
    at = text.find("@", start)
    while at >= 0:
        before = _BEFORE_AT.search(text, max(start, at - 64), at)
        after = _AFTER_AT.match(text, at + 1)
        if before is not None and after is not None:
            name = before[0].lstrip(".'*`")
            outside = text[before.start() - 1 : before.start()] if before.start() > start else ""
            if name and not name.endswith(".") and not outside.isalnum():
                yield at - len(name), after.end(), "EMAIL"
        at = text.find("@", at + 1)
