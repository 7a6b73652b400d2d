"""Which model does what: `MLConfig`, checked when it is made.

It stands outside of `embedded_db.ml`, so that the package is imported only where models are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from embedded_db.errors import InvalidInput, nearest, shown

__all__ = ["EMBEDDINGS", "ENTITIES", "SUMMARIES", "MLConfig"]

EMBEDDINGS = ("minilm-onnx", "minilm-onnx-int8", "minilm-numpy", "hashing")
ENTITIES = ("local",)
SUMMARIES = ("extractive",)

# Providers that are planned: said plainly instead of "unknown".
_LATER = {
    "embedding": ("sentence-transformers:", "openai:"),
    "entities": ("spacy:",),
    "summary": ("transformers:",),
}


@dataclass(frozen=True)
class MLConfig:
    """The provider of each model function.

    Attributes:
        embedding: ``"minilm-onnx"`` (all-MiniLM-L6-v2, fp32, 384 dimensions, the default),
            ``"minilm-onnx-int8"`` (faster, cosine about .99 to fp32), ``"minilm-numpy"`` (the same
            vectors as fp32 without ONNX Runtime, slower), ``"hashing"`` (deterministic, no model,
            for tests), or a callable ``list[str] -> float32[n, dim]``. A callable may carry the
            attributes ``dim: int`` and ``model: str``; without ``dim`` it is called once to learn
            it. With ``"minilm-onnx"`` and no ONNX Runtime installed the NumPy form is used and a
            warning logged.
        entities: ``"local"`` (needs the MiniLM model), None (off), or a callable
            ``list[str] -> list[list[dict]]`` giving ``text, label, start, end`` per entity.
        summary: ``"extractive"``, None (off), or a callable ``list[str] -> str``.
        threads: threads inside one model call; None is two, or one on a single core.

    Raises:
        InvalidInput: a value that names no provider, or ``threads`` below 1.

    Examples:
        >>> from embedded_db import EmbeddedDB, MLConfig
        >>> models = MLConfig(embedding="hashing", entities=None, summary=None)
        >>> with EmbeddedDB(":memory:", ml=models) as scratch:
        ...     message = scratch.create_chat().add_message("Hello")
        ...     scratch.flush(timeout=30)
        ...     message.embedding().vector.shape
        (384,)
    """

    embedding: str | Callable[[list[str]], Any] = "minilm-onnx"
    entities: str | Callable[[list[str]], list[list[dict[str, Any]]]] | None = "local"
    summary: str | Callable[[list[str]], str] | None = "extractive"
    threads: int | None = None

    def __post_init__(self) -> None:
        _check("embedding", self.embedding, EMBEDDINGS, optional=False)
        _check("entities", self.entities, ENTITIES, optional=True)
        _check("summary", self.summary, SUMMARIES, optional=True)
        threads = self.threads
        if threads is not None and (type(threads) is not int or threads < 1):
            raise InvalidInput(
                f"threads is {shown(threads)}", hint="Give a whole number of at least 1, or None."
            )


def _check(field: str, value: object, known: tuple[str, ...], *, optional: bool) -> None:
    if callable(value) or (optional and value is None) or value in known:
        return
    remedy = nearest(shown(value), known)
    remedy += "; None or a callable will do, too" if optional else "; a callable will do, too"
    if isinstance(value, str) and value.startswith(_LATER[field]):
        raise InvalidInput(f"{field}={shown(value)} is not supported by this version", hint=remedy)
    raise InvalidInput(f"{field}={shown(value)} names no provider", hint=remedy)
