"""Vectors of texts, without a database.

`EmbeddingEngine` runs a model on ONNX Runtime: the one of the database, which the package
``embedded-db-minilm`` carries, or one in a folder. It is what the database itself uses. Without
ONNX Runtime, or with ``EMBEDDED_DB_PURE=1``, NumPy does the same for the former, more slowly.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from .availability import PURE
from .errors import InvalidInput, ModelUnavailable, shown
from .messaging import given
from .ml.embeddings import check_texts, of_parts
from .ml.minilm import DATA_WHEEL, MiniLM
from .ml.transformer import BATCH, Transformer

__all__ = ["EmbeddingEngine", "EmbeddingStats"]

log = logging.getLogger("embedded_db.embedding")

LONG: Final = ("mean", "cut")
LONGEST: Final = 512
"""Tokens that a model of a folder reads at a time, where the folder does not say."""
LIMITS: Final = (
    ("sentence_bert_config.json", "max_seq_length"),
    ("tokenizer_config.json", "model_max_length"),
    ("config.json", "max_position_embeddings"),
)


@dataclass(frozen=True, slots=True)
class EmbeddingStats:
    """What an engine has done.

    Attributes:
        texts: how many texts it was given.
        tokens: how many tokens they had.
        truncated: how many texts were longer than the model reads, and were cut.
        dropped: how many tokens were cut off.

    Examples:
        >>> from embedded_db.embedding import EmbeddingEngine
        >>> engine = EmbeddingEngine(long_texts="cut")
        >>> vector = engine.embed("ok " * 300)
        >>> stats = engine.stats()
        >>> stats.texts, stats.tokens, stats.truncated, stats.dropped
        (1, 300, 1, 46)
    """

    texts: int
    tokens: int
    truncated: int
    dropped: int


class EmbeddingEngine:
    """A model that makes vectors of texts: float32, of unit length, the mean of its last layer.

    It is loaded when it is first used, once, and may be called by many threads; several engines may
    be there at once. Texts are sorted by length and run in small batches, so that little is spent
    on padding; the vector of a text does not depend on what it is embedded with. It can be the
    provider of a database: ``MLConfig(embedding=engine)``.

    Args:
        model: a folder with ``tokenizer.json`` and ``model.onnx``, or a package whose ``path()``
            says where that is. The graph takes ``input_ids`` and ``attention_mask``, and gives
            ``sentence_embedding`` or ``last_hidden_state``.
        quantize: use the graph with int8 weights: ``model-int8.onnx`` of the folder.
        threads: threads within one call; two when left out, or one on a single core.
        max_batch: the most texts that are run at a time.
        max_tokens: how many tokens the model reads at a time, special ones included; what the
            folder says when left out, 256 for the model of the database.
        long_texts: of a text that has more the vector is the ``"mean"`` of overlapping parts; or it
            is ``"cut"``, which is counted in `stats` and logged.

    Raises:
        InvalidInput: an argument is none of these.

    Examples:
        >>> from embedded_db.embedding import EmbeddingEngine
        >>> engine = EmbeddingEngine()
        >>> cat, kitten, invoice = engine.embed_batch(["a cat", "a kitten", "an unpaid invoice"])
        >>> bool(cat @ kitten > cat @ invoice)
        True
        >>> engine.model, engine.dim, engine.max_tokens, engine.precision
        ('all-MiniLM-L6-v2', 384, 256, 'fp32')
        >>> engine.provider, engine.loaded
        ('minilm-onnx', True)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DATA_WHEEL,
        *,
        quantize: bool = False,
        threads: int | None = None,
        max_batch: int = BATCH,
        max_tokens: int | None = None,
        long_texts: Literal["mean", "cut"] = "mean",
    ) -> None:
        if not isinstance(quantize, bool):
            raise InvalidInput(
                f"quantize is {shown(quantize)}", hint="Give True or False", field="quantize"
            )
        self._arguments: dict[str, Any] = {
            "quantize": quantize,
            "threads": None if threads is None else given.count(threads, "threads", 1024),
            "max_batch": given.count(max_batch, "max_batch", 4096),
            "max_tokens": None if max_tokens is None else given.count(max_tokens, "max_tokens"),
            "long_texts": given.choice(long_texts, "long_texts", LONG),
        }
        self._place = _place(model)
        self._transformer = _transformer(self._place, **self._arguments)
        self._lock = threading.Lock()
        self._stats = (0, 0, 0, 0)

    def embed(self, text: str) -> NDArray[np.float32]:
        """Give the vector of a text.

        Args:
            text: the text.

        Returns:
            float32 [dim].

        Raises:
            ModelUnavailable: the model or what runs it is not there, or does not load.
            InvalidInput: it is no text.
            BadText: it is not valid Unicode.

        Examples:
            >>> from embedded_db.embedding import EmbeddingEngine
            >>> EmbeddingEngine().embed("We should use Rust").shape
            (384,)
        """
        vector: NDArray[np.float32] = self.embed_batch([text])[0]
        return vector

    def embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give the vectors of texts.

        Args:
            texts: n texts.

        Returns:
            float32 [n, dim].

        Raises:
            ModelUnavailable: the model or what runs it is not there, or does not load.
            InvalidInput: one is no text.
            BadText: one is not valid Unicode.

        Examples:
            >>> from embedded_db.embedding import EmbeddingEngine
            >>> EmbeddingEngine(quantize=True).embed_batch(["red wine", "a bicycle"]).shape
            (2, 384)
        """
        check_texts(texts)
        model = self._transformer
        tokens = model.tokenize(texts, words=False)
        self._count([len(one.ids) for one in tokens])
        return of_parts(*model.encode(tokens, [True] * len(texts)), len(texts))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Do what `embed_batch` does, for whoever wants a function."""
        return self.embed_batch(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tell how many tokens texts have, special ones of the model not included.

        Args:
            texts: the texts.

        Returns:
            One number for each.

        Raises:
            ModelUnavailable: the model or what runs it is not there, or does not load.
            InvalidInput: one is no text.

        Examples:
            >>> from embedded_db.embedding import EmbeddingEngine
            >>> EmbeddingEngine().count_tokens(["red wine", "unbelievably"])
            [2, 5]
        """
        check_texts(texts)
        return [len(one.ids) for one in self._transformer.tokenize(texts, words=False)]

    def warm_up(self) -> None:
        """Load the model and run it once, so that the first call is as quick as any.

        Raises:
            ModelUnavailable: the model or what runs it is not there, or does not load.

        Examples:
            >>> from embedded_db.embedding import EmbeddingEngine
            >>> engine = EmbeddingEngine()
            >>> engine.warm_up()
            >>> engine.loaded, engine.stats().texts
            (True, 0)
        """
        model = self._transformer
        model.encode(model.tokenize(["warm up"], words=False), [True])

    def stats(self) -> EmbeddingStats:
        """Tell what it has done.

        Examples:
            >>> from embedded_db.embedding import EmbeddingEngine
            >>> engine = EmbeddingEngine()
            >>> vectors = engine.embed_batch(["red wine", "a bicycle"])
            >>> engine.stats().texts
            2
        """
        return EmbeddingStats(*self._stats)

    @property
    def model(self) -> str:
        """What the model is called."""
        return self._transformer.name

    @property
    def dim(self) -> int:
        """The dimension of the vectors; loads the model of a folder."""
        known = self._transformer.dimension
        return self._transformer.load().encoder.dimension if known is None else known

    @property
    def max_tokens(self) -> int:
        """How many tokens the model reads at a time, special ones included."""
        return self._transformer.window

    @property
    def precision(self) -> str:
        """``fp32`` or ``int8``."""
        return self._transformer.precision

    @property
    def provider(self) -> str:
        """What runs the model, such as ``minilm-onnx`` or ``minilm-numpy``."""
        return self._transformer.provider

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._transformer.loaded

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self._place, self._arguments)

    def __repr__(self) -> str:
        return f"EmbeddingEngine({self.model!r}, {self.precision}, {self.provider})"

    def _count(self, lengths: list[int]) -> None:
        cut = self._transformer.cut
        room = self._transformer.content if cut else 0
        over = [length - room for length in lengths if length > room] if cut else []
        with self._lock:
            texts, tokens, truncated, dropped = self._stats
            self._stats = (
                *(texts + len(lengths), tokens + sum(lengths)),
                *(truncated + len(over), dropped + sum(over)),
            )
        if over:
            log.warning(
                "%d of %d texts have more than the %d tokens that %s reads: %d tokens were cut off",
                *(len(over), len(lengths), room, self.model, sum(over)),
            )


def _rebuilt(model: str | Path, arguments: dict[str, Any]) -> EmbeddingEngine:
    return EmbeddingEngine(model, **arguments)


def _place(model: Any) -> str | Path:
    """Take a package or a folder."""
    if isinstance(model, os.PathLike):
        return Path(os.fsdecode(model))
    if not isinstance(model, str) or not model:
        raise InvalidInput(
            f"model is {shown(model)}", hint="Give a folder or a package", field="model"
        )
    package = model.replace("-", "_")
    is_folder = os.path.isdir(model) or not package.isidentifier()
    return Path(model) if is_folder else package


def _transformer(
    place: str | Path,
    *,
    quantize: bool,
    threads: int | None,
    max_batch: int,
    max_tokens: int | None,
    long_texts: str,
) -> Transformer:
    precision = "int8" if quantize else "fp32"
    same: dict[str, Any] = {"onnx": not PURE, "batch": max_batch, "plain": True}
    same["cut"] = long_texts == "cut"
    if place == DATA_WHEEL:
        model: Transformer = MiniLM(precision, threads, **same)
        model.window = max_tokens or model.window
        return model
    folder = _folder(place)
    name = place if isinstance(place, str) else folder.resolve().name
    return Transformer(
        name, place, precision, threads, window=max_tokens or _window(folder), **same
    )


def _folder(place: str | Path) -> Path:
    if isinstance(place, Path):
        return place
    if importlib.util.find_spec(place) is None:
        raise ModelUnavailable(
            f"The model {place} is no folder, and no package of this name is installed",
            hint="Give a folder with tokenizer.json and model.onnx, or install the package",
        )
    return Path(importlib.import_module(place).path())


def _window(folder: Path) -> int:
    """How many tokens the model of a folder reads."""
    for file, key in LIMITS:
        try:
            told = json.loads((folder / file).read_text(encoding="utf-8")).get(key)
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(told, int) and 2 < told < 1_000_000:
            return told
    return LONGEST
