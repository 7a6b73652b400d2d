"""Which model does what: `MLConfig`, checked when it is made.

It stands outside of `embedded_db.ml`, so that the package is imported only where models are used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from embedded_db.errors import InvalidInput, nearest, shown
from embedded_db.limits import Limit, checked_limits

__all__ = ["EMBEDDINGS", "ENTITIES", "SUMMARIES", "MLConfig"]

EMBEDDINGS = (
    *("minilm-onnx", "minilm-onnx-int8", "minilm-numpy", "hashing"),
    *("sentence-transformers:MODEL", "openai:URL,MODEL"),
)
ENTITIES = ("local", "spacy:PIPELINE")
SUMMARIES = ("extractive", "transformers:MODEL")


def named(provider: str) -> tuple[str, str]:
    """What stands before and behind the colon of a provider, such as ``spacy:en_core_web_sm``."""
    kind, _, argument = provider.partition(":")
    return kind, argument


@dataclass(frozen=True)
class MLConfig:
    """The provider of each model function.

    Attributes:
        embedding: ``"minilm-onnx"`` (all-MiniLM-L6-v2, fp32, 384 dimensions, the default),
            ``"minilm-onnx-int8"`` (faster, cosine about .99 to fp32), ``"minilm-numpy"`` (the same
            vectors as fp32 without ONNX Runtime, slower), ``"hashing"`` (deterministic, no model,
            for tests), ``"sentence-transformers:MODEL"`` (a name or a directory),
            ``"openai:URL,MODEL"`` (a server of OpenAI's protocol, of the project's or your own;
            the key is that of the environment variable ``OPENAI_API_KEY``), or a callable
            ``list[str] -> float32[n, dim]``. A callable may carry the attributes ``dim: int`` and
            ``model: str``. Where only the first vector tells the dimension, a new database embeds
            one word when it is opened. With ``"minilm-onnx"`` and no ONNX Runtime installed the
            NumPy form is used and a warning logged.
        entities: ``"local"`` (needs the MiniLM model), ``"spacy:PIPELINE"`` (a name or a
            directory), None (off), or a callable ``list[str] -> list[list[dict]]`` giving
            ``text, label, start, end`` per entity.
        summary: ``"extractive"``, ``"transformers:MODEL"`` (sequence to sequence, such as
            ``"transformers:facebook/bart-large-cnn"``), None (off), or a callable
            ``list[str] -> str``.
        threads: how many threads embed the texts of one call of MiniLM; None is two, or one on a
            single core.
        download: whether models that are named may be fetched from their hub. Without it only
            what is on this machine is used.
        isolation: ``"process"`` runs the functions in a process of their own: one that crashes,
            or hangs longer than ``timeout``, is begun anew, and the database lives. While it cannot
            be begun the work waits. Functions of the user's have to stand in modules. ``"none"``,
            the default, calls them here, where nothing can end a call that hangs: it fails after
            ``timeout``, too, but its thread stays. So the text at which it hung by itself is given
            up at once, and while sixteen calls of one function (texts, or summaries) hang, no more
            of it are begun until one ends or the database is opened again.
        timeout: seconds that a function may take in a call for the weaver (None is 300). A server
            has as many for all requests of a call (None is 60), which come on top: when they are
            over it counts as away, and no text is at fault. A process has as many to begin, and to
            load its models when the database is opened, but never fewer than 60 (None is 300).
        limits: for each function that is paid or shared how much it may be given: a `Limit`, or a
            dict of its attributes, by ``"embedding"``, ``"entities"`` or ``"summary"``.

    Raises:
        InvalidInput: a value that names no provider, ``threads`` below 1, a ``timeout`` that is no
            positive number, a limit of an unknown function or with an unknown attribute.

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
    download: bool = False
    timeout: float | None = None
    isolation: Literal["none", "process"] = "none"
    limits: Mapping[str, Limit] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check("embedding", self.embedding, EMBEDDINGS, optional=False)
        _check("entities", self.entities, ENTITIES, optional=True)
        _check("summary", self.summary, SUMMARIES, optional=True)
        object.__setattr__(self, "limits", checked_limits(self.limits))
        threads, timeout = self.threads, self.timeout
        if threads is not None and (type(threads) is not int or threads < 1):
            raise InvalidInput(
                f"threads is {shown(threads)}", hint="Give a whole number of at least 1, or None."
            )
        if self.isolation not in {"none", "process"}:
            remedy = nearest(shown(self.isolation), ("none", "process"))
            raise InvalidInput(f"isolation is {shown(self.isolation)}", hint=remedy)
        if not isinstance(self.download, bool):
            raise InvalidInput(f"download is {shown(self.download)}", hint="Give True or False.")
        if timeout is not None and not (
            type(timeout) in {int, float} and 0 < timeout <= threading.TIMEOUT_MAX
        ):
            raise InvalidInput(
                f"timeout is {shown(timeout)}", hint="Give a number of seconds above 0, or None."
            )


def _check(field: str, value: object, known: tuple[str, ...], *, optional: bool) -> None:
    if callable(value) or (optional and value is None):
        return
    if isinstance(value, str):
        kind, argument = named(value)
        if any(value == name or (argument and name.startswith(f"{kind}:")) for name in known):
            if kind == "openai":
                _check_endpoint(argument)
            return
    remedy = nearest(shown(value), known)
    remedy += "; None or a callable will do, too" if optional else "; a callable will do, too"
    raise InvalidInput(f"{field}={shown(value)} names no provider", hint=remedy)


def _check_endpoint(argument: str) -> None:
    url, _, model = argument.partition(",")
    scheme, _, host = url.partition("://")
    if scheme not in {"http", "https"} or not host.strip("/") or not model.strip():
        raise InvalidInput(
            f"embedding='openai:{argument}' names no server and model",
            hint="Write openai:URL,MODEL with http or https, such as "
            "'openai:http://127.0.0.1:8080/v1,nomic-embed-text'",
        )
