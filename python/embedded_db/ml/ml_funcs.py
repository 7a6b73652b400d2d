"""The model functions as plain functions, over the default models.

They load their models at first use, once, and may be called from any thread. For other providers
build an object with `embedded_db.ml.load_functions`.
"""

from __future__ import annotations

from typing import Any

from embedded_db.ml.encoders import Floats
from embedded_db.ml.entities import EntityDict
from embedded_db.ml.providers import Functions, load_functions

__all__ = [
    "extract_entities",
    "generate_embedding",
    "generate_embeddings",
    "health_check",
    "summarize",
]


# Making it loads nothing; at import, because two threads could each make one on first use.
_default: Functions = load_functions()


def generate_embedding(text: str) -> list[float]:
    """The vector of ``text``: 384 numbers, unit length (all-MiniLM-L6-v2).

    A text longer than 256 tokens gets the normalised mean of its parts.

    Raises:
        ModelUnavailable: the model is not installed; the hint has the command.
        InvalidInput: ``text`` is not a str (BadText: not valid Unicode).
    """
    vector: list[float] = _default.embed([text])[0].tolist()
    return vector


def generate_embeddings(texts: list[str]) -> Floats:
    """The vectors of ``texts``: float32 [n, 384], unit length. Raises as `generate_embedding`."""
    return _default.embed(texts)


def extract_entities(text: str) -> list[EntityDict]:
    """The entities of ``text`` as dicts with ``text``, ``label``, ``start`` and ``end``.

    Offsets count characters, so that ``text[start:end]`` is the entity. Labels: PERSON, GPE, ORG,
    PRODUCT, WORK_OF_ART; what they cover is told in `embedded_db.ml.entities`. Raises as
    `generate_embedding`.
    """
    return _default.extract_entities(text)


def summarize(messages: list[str]) -> str:
    """The about three messages that best stand for the chat, one a line, in chat order.

    At most 600 characters. Raises as `generate_embedding` when there are more than three messages.
    """
    return _default.summarize(messages)


def health_check() -> dict[str, Any]:
    """Per function, its provider and whether it is available and loaded; loads nothing.

    Keys ``embedding``, ``entities``, ``summary``; see `Functions.health`.
    """
    return _default.health()
