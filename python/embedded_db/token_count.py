"""How many tokens a text has."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

from .errors import BadText, InvalidInput, ModelUnavailable, shown

__all__ = ["TokenCounter", "count_tokens", "counter"]

TokenCounter = Callable[[str], int]
"""Gives the number of tokens of a text."""

_lock = threading.Lock()
_tokenizer: Any = None


def count_tokens(text: str) -> int:
    """Count the tokens of a text as the default embedding model cuts it.

    Its marks of beginning and end are not counted; the model takes 254 tokens beside them.

    Args:
        text: the text.

    Raises:
        ModelUnavailable: the model's files are not installed.
        BadText: the text is not valid Unicode.

    Examples:
        >>> count_tokens("Tokens are pieces of words.")
        7
    """
    try:
        return len(_load().encode(text, add_special_tokens=False).ids)
    except TypeError as error:
        if not isinstance(text, str):
            raise InvalidInput(f"{shown(text)} has no tokens", hint="Give a text") from error
        raise BadText(
            f"the text {text[:40]!a} is not valid Unicode",
            hint="Decode it with errors='replace', or drop the lone surrogates",
        ) from error


def _load() -> Any:
    global _tokenizer
    with _lock:
        if _tokenizer is None:
            from .ml.minilm import DATA_WHEEL
            from .ml.transformer import load_tokenizer

            try:
                folder = importlib.import_module(DATA_WHEEL).path()
                _tokenizer = load_tokenizer(folder)
            except ImportError as error:
                raise ModelUnavailable(
                    f"Tokens cannot be counted without the model's tokenizer ({error})",
                    hint='Install it, pip install "embedded-db[local]", or give count_tokens=',
                ) from error
        return _tokenizer


def counter(given: TokenCounter | None) -> TokenCounter:
    """Give a counter that answers with whole numbers of 0 or more: the given one, or the default.

    Raises:
        InvalidInput: later, when the given one answers something else.
    """
    if given is None:
        return count_tokens
    if not callable(given):
        raise InvalidInput(
            f"count_tokens is {shown(given)}", hint="Give a function of a text, or leave it out"
        )

    def checked(text: str) -> int:
        tokens: object = given(text)
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise InvalidInput(
                f"count_tokens gave {shown(tokens)} for {text[:40]!r}",
                hint="It has to give a whole number of 0 or more",
            )
        return tokens

    return checked
