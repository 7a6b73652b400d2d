"""BERT's tokenizer in Python, where the package ``tokenizers`` is not installed.

It gives the same tokens for what ``tokenizers`` calls BertNormalizer, BertPreTokenizer and
WordPiece, but for some five hundred characters that are newer than its tables of Unicode; and it
does not tell their places in the text.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["WordPiece"]

CJK: Final = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
ASCII_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# What Unicode calls white space; str.isspace() also has four separators of ASCII.
NO_SPACE: Final = frozenset("\x1c\x1d\x1e\x1f")


@dataclass(frozen=True)
class Encoding:
    """The tokens of a text."""

    ids: list[int]


class WordPiece:
    """The tokenizer of a file ``tokenizer.json``.

    Raises:
        ImportError: it is of another kind, which only the package ``tokenizers`` knows.
    """

    def __init__(self, file: Path) -> None:
        told = json.loads(file.read_text(encoding="utf-8"))
        model, normalizer = told["model"], told["normalizer"] or {}
        kinds = (model["type"], normalizer.get("type"), (told["pre_tokenizer"] or {}).get("type"))
        if kinds != ("WordPiece", "BertNormalizer", "BertPreTokenizer"):
            raise ImportError(f"the package tokenizers is not installed, and {file} is no BERT's")
        self._vocabulary: dict[str, int] = model["vocab"]
        self._unknown = self._vocabulary[model["unk_token"]]
        self._prefix: str = model["continuing_subword_prefix"]
        self._longest: int = model["max_input_chars_per_word"]
        self._cleans: bool = normalizer["clean_text"]
        self._parts_cjk: bool = normalizer["handle_chinese_chars"]
        self._lowers: bool = normalizer["lowercase"]
        strips = normalizer["strip_accents"]
        self._strips: bool = self._lowers if strips is None else strips
        self._before, self._after = _special(told["post_processor"])

    def encode(self, text: str, *, add_special_tokens: bool) -> Encoding:
        """The tokens of a text."""
        if not isinstance(text, str):
            raise TypeError("a text is wanted")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TypeError("a lone surrogate") from error
        ids = [id for word in _words(self._normal(text)) for id in self._pieces(word)]
        return Encoding([*self._before, *ids, *self._after] if add_special_tokens else ids)

    def _normal(self, text: str) -> str:
        if self._cleans:
            text = "".join(" " if _is_space(c) else c for c in text if not _is_control(c))
        if self._parts_cjk:
            text = "".join(f" {c} " if _is_cjk(c) else c for c in text)
        if self._strips:
            text = "".join(
                c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn"
            )
        # One by one: the small sigma at the end of a word is no other letter here.
        return "".join(c.lower() for c in text) if self._lowers else text

    def _pieces(self, word: str) -> list[int]:
        if len(word) > self._longest:
            return [self._unknown]
        pieces, begin = [], 0
        while begin < len(word):
            prefix = self._prefix if begin else ""
            for end in range(len(word), begin, -1):
                id = self._vocabulary.get(prefix + word[begin:end])
                if id is not None:
                    pieces.append(id)
                    begin = end
                    break
            else:
                return [self._unknown]
        return pieces


def _special(told: Any) -> tuple[list[int], list[int]]:
    """The tokens before and after a text."""
    if told is None:
        return [], []
    if told["type"] == "BertProcessing":
        return [told["cls"][1]], [told["sep"][1]]
    if told["type"] != "TemplateProcessing":
        raise ImportError(
            f"the package tokenizers is not installed, and knows {told['type']} alone"
        )
    sides: tuple[list[int], list[int]] = [], []
    side = 0
    for part in told["single"]:
        if "Sequence" in part:
            side = 1
        else:
            sides[side].extend(told["special_tokens"][part["SpecialToken"]["id"]]["ids"])
    return sides


def _words(text: str) -> Iterator[str]:
    """Words between white space, and each punctuation mark."""
    word = ""
    for c in text:
        if _is_space(c) or _is_punctuation(c):
            if word:
                yield word
            word = ""
            if not _is_space(c):
                yield c
        else:
            word += c
    if word:
        yield word


def _is_space(c: str) -> bool:
    return c.isspace() and c not in NO_SPACE


def _is_control(c: str) -> bool:
    if c in "\t\n\r":
        return False
    return c in "\0\ufffd" or unicodedata.category(c) in ("Cc", "Cf", "Co")


def _is_cjk(c: str) -> bool:
    return any(low <= ord(c) <= high for low, high in CJK)


def _is_punctuation(c: str) -> bool:
    return c in ASCII_PUNCTUATION or unicodedata.category(c).startswith("P")
