"""What users' own model functions return, checked before it is trusted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from operator import index
from typing import Any, Final

import numpy as np

from embedded_db.arrays import float32
from embedded_db.errors import InvalidInput, NonFiniteVector, shown
from embedded_db.ml.encoders import Floats
from embedded_db.ml.entities import EntityDict

__all__ = [
    "call_embedding",
    "call_entities",
    "call_summary",
    "checked_vectors",
    "dimension_of",
    "name_of",
]

_MOST_DIMENSIONS: Final = 4096
_LONGEST_LABEL: Final = 255
"""Bytes."""


def name_of(function: Callable[..., Any]) -> str:
    """The function's ``model`` attribute, or else ``module.qualname``."""
    model = getattr(function, "model", None)
    if isinstance(model, str) and model:
        return model
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', None) or 'unknown'}.{name}"


def dimension_of(function: Callable[..., Any]) -> int | None:
    """The function's ``dim`` attribute, if it has one.

    Raises:
        InvalidInput: it is no number of dimensions.
    """
    dim = getattr(function, "dim", None)
    if dim is None:
        return None
    try:
        number = index(dim)
    except TypeError:
        number = 0
    if isinstance(dim, bool) or not 1 <= number <= _MOST_DIMENSIONS:
        raise InvalidInput(
            f"The embedding function {name_of(function)} has dim={shown(dim)}",
            hint=f"It is a number from 1 to {_MOST_DIMENSIONS}, or left out: an answer tells it",
        )
    return number


def _answer(kind: str, function: Callable[[list[str]], Any], texts: Sequence[str]) -> Any:
    answer = function(list(texts))
    if inspect.iscoroutine(answer):
        answer.close()
        raise InvalidInput(
            f"The {kind} function {name_of(function)} is asynchronous",
            hint="Give a plain function: it is called in a thread, where it may wait",
        )
    return answer


def call_embedding(
    function: Callable[[list[str]], Any], texts: Sequence[str], dim: int | None
) -> Floats:
    """Vectors float32 [n, dim] from ``function``; see `checked_vectors`."""
    answer = _answer("embedding", function, texts)
    return checked_vectors(name_of(function), answer, len(texts), dim)


def checked_vectors(name: str, result: Any, count: int, dim: int | None) -> Floats:
    """What an embedding function returned, as float32 [count, dim].

    Args:
        name: how messages call it, after "the embedding function".
        result: what it returned.
        count: how many texts it was given.
        dim: its dimension, if that is known.

    Raises:
        InvalidInput: another shape than [count, dim], or not numbers.
        NonFiniteVector: NaN or an infinity.
    """
    try:
        vectors = float32(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        kind = type(result).__name__
        raise InvalidInput(
            f"The embedding function {name} returned {kind}, not vectors: {error}",
            hint="Return a float32 array of shape [number of texts, dimension].",
        ) from error
    expected = (count, dim if dim is not None else "any")
    good = vectors.ndim == 2 and len(vectors) == count and vectors.shape[1] > 0
    if not good or (dim is not None and vectors.shape[1] != dim):
        raise InvalidInput(
            f"The embedding function {name} returned shape {vectors.shape}, expected {expected}",
            hint="Return one vector per text, always of the same dimension.",
        )
    finite = np.isfinite(vectors)
    if not finite.all():
        row, index = (int(at) for at in np.argwhere(~finite)[0])
        raise NonFiniteVector(
            f"The embedding function {name} returned {vectors[row, index]} at number {index} of "
            f"row {row}",
            hint="Return finite numbers only.",
            index=index,
        )
    return vectors


def call_entities(
    function: Callable[[list[str]], list[list[dict[str, Any]]]], texts: Sequence[str]
) -> list[list[EntityDict]]:
    """Entities per text from ``function``, reduced to ``text, label, start, end``.

    Raises:
        InvalidInput: not one list per text, a missing key, or offsets that do not give the text.
    """
    name = name_of(function)
    found: Any = _answer("entity", function, texts)
    lists = isinstance(found, Sequence) and all(isinstance(each, list | tuple) for each in found)
    if not lists or len(found) != len(texts):
        raise InvalidInput(
            f"The entity function {name} did not return one list per text",
            hint="Return list[list[dict]], as many lists as there are texts.",
        )
    return [
        [_entity(name, each, text) for each in entities]
        for text, entities in zip(texts, found, strict=True)
    ]


def _entity(name: str, entity: Any, text: str) -> EntityDict:
    remedy = "Each entity is a dict with text: str, label: str, start: int, end: int."
    try:
        part, label = entity["text"], entity["label"]
        start, end = index(entity["start"]), index(entity["end"])
    except (TypeError, KeyError) as error:
        problem = f"The entity function {name} returned {shown(entity)}"
        raise InvalidInput(problem, hint=remedy) from error
    if not isinstance(label, str) or not label:
        problem = f"The entity function {name} returned the label {shown(label)}"
        raise InvalidInput(problem, hint=remedy)
    if len(label.encode(errors="replace")) > _LONGEST_LABEL:
        raise InvalidInput(
            f"The entity function {name} returned the label {shown(label)}",
            hint=f"A label has at most {_LONGEST_LABEL} bytes",
        )
    if not 0 <= start < end <= len(text) or text[start:end] != part:
        problem = f"The entity function {name} returned {shown(part)} at {start}:{end}"
        raise InvalidInput(
            f"{problem}, which is not there",
            hint="Offsets count characters of the text, and text[start:end] is the entity.",
        )
    return {"text": part, "label": label, "start": start, "end": end}


def call_summary(function: Callable[[list[str]], str], messages: Sequence[str]) -> str:
    """The summary from ``function``; raises InvalidInput when it is not a string."""
    result = _answer("summary", function, messages)
    if not isinstance(result, str):
        raise InvalidInput(
            f"The summary function {name_of(function)} returned {type(result).__name__}",
            hint="Return a string.",
        )
    return result
