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
    """The vector of a text: 384 numbers, unit length (all-MiniLM-L6-v2).

    A text longer than 256 tokens gets the normalised mean of its parts.

    Args:
        text: the text.

    Raises:
        ModelUnavailable: the model is not installed; the hint has the command.
        InvalidInput: ``text`` is not a str (BadText: not valid Unicode).

    Examples:
        >>> vector = generate_embedding("We should use Rust")
        >>> len(vector), round(sum(x * x for x in vector), 3)
        (384, 1.0)
    """
    vector: list[float] = _default.embed([text])[0].tolist()
    return vector


def generate_embeddings(texts: list[str]) -> Floats:
    """The vectors of several texts: float32 [n, 384], unit length.

    Args:
        texts: n texts.

    Raises:
        ModelUnavailable: the model is not installed; the hint has the command.
        InvalidInput: one is not a str (BadText: not valid Unicode).

    Examples:
        >>> cat, kitten, invoice = generate_embeddings(["a cat", "a kitten", "an unpaid invoice"])
        >>> bool(cat @ kitten > cat @ invoice)
        True
    """
    return _default.embed(texts)


def extract_entities(text: str) -> list[EntityDict]:
    """The entities of a text as dicts with ``text``, ``label``, ``start`` and ``end``.

    Offsets count characters, so that ``text[start:end]`` is the entity. Labels: PERSON, GPE, ORG,
    PRODUCT, WORK_OF_ART; what they cover is told in `embedded_db.ml.entities`.

    Args:
        text: the text.

    Raises:
        ModelUnavailable: the model is not installed; the hint has the command.
        InvalidInput: ``text`` is not a str (BadText: not valid Unicode).

    Examples:
        >>> [(found["text"], found["label"]) for found in extract_entities("Alice came to Paris")]
        [('Alice', 'PERSON'), ('Paris', 'GPE')]
    """
    return _default.extract_entities(text)


def summarize(messages: list[str]) -> str:
    r"""The about three messages that best stand for a chat, one a line, in chat order.

    At most 600 characters.

    Args:
        messages: the messages in order, such as ``"Alice: We should use Rust"``.

    Raises:
        ModelUnavailable: there are more than three messages, and the model is not installed.
        InvalidInput: one is not a str (BadText: not valid Unicode).

    Examples:
        >>> summarize(["Alice: We should use Rust", "Bob: Agreed"])
        'Alice: We should use Rust\nBob: Agreed'
    """
    return _default.summarize(messages)


def health_check() -> dict[str, Any]:
    """Per function, its provider and whether it is available and loaded; loads nothing.

    Keys ``embedding``, ``entities``, ``summary``; see `Functions.health`.

    Examples:
        >>> health_check()["embedding"]["provider"]
        'minilm-onnx'
    """
    return _default.health()
