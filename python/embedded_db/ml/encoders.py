"""The forward pass: token ids in, hidden rows and sentence vectors out.

`OnnxEncoder` runs a graph; `NumpyEncoder` maps the raw tensors of MiniLM's data wheel and needs
nothing but NumPy (about three times slower). Both are safe to call from several threads at once.
"""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embedded_db.ml.leaving import running

__all__ = ["Encoder", "NumpyEncoder", "OnnxEncoder"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_HEADS = 12
_EPSILON = 1e-12


class Encoder(Protocol):
    """What `Transformer` needs of a forward pass."""

    dimension: int

    def run(self, ids: Ints, mask: Ints, *, hidden: bool) -> tuple[Floats, Floats | None]:
        """Sentence vectors [n, dim], unit length, and with ``hidden`` the last layer [n, t, dim].

        Args:
            ids: token ids [n, t], padded with 0.
            mask: 1 for a token, 0 for padding [n, t].
            hidden: whether the last layer is wanted.
        """
        ...


class OnnxEncoder:
    """A graph on ONNX Runtime.

    It takes ``input_ids`` and ``attention_mask``, if it wants them also ``token_type_ids``, which
    are 0. It gives ``sentence_embedding`` [n, dim], or rows [n, t, dim] whose mean is taken.

    Args:
        model: the graph.
        optimised: whether it was optimised before, and gives vectors of unit length.

    Raises:
        ImportError: ONNX Runtime is not installed.
        ValueError: it takes or gives something else.
    """

    def __init__(self, model: Path, *, optimised: bool = True) -> None:
        ort = importlib.import_module("onnxruntime")
        options = ort.SessionOptions()
        # It has no threads of its own, which all callers would share: whoever calls computes, with
        # the priority that is theirs.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        if optimised:  # optimising again would only delay loading
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        self._session: Any = ort.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._is_unit = optimised
        self._inspect()

    def _inspect(self) -> None:
        """See what the graph takes and gives."""
        taken = [one.name for one in self._session.get_inputs()]
        self._types = "token_type_ids" in taken
        strange = set(taken) - {"input_ids", "attention_mask", "token_type_ids"}
        if strange or not {"input_ids", "attention_mask"} <= set(taken):
            raise ValueError(f"its graph takes {', '.join(taken)}")
        shapes = {one.name: one.shape for one in self._session.get_outputs()}
        rows = [name for name, shape in shapes.items() if len(shape) == 3]
        self._rows = "last_hidden_state" if "last_hidden_state" in rows else next(iter(rows), None)
        self._vectors = "sentence_embedding" if "sentence_embedding" in shapes else None
        if self._vectors is None and self._rows is None:
            raise ValueError(f"its graph gives {', '.join(shapes)}")
        width = shapes[self._vectors or str(self._rows)][-1]
        self.dimension = width if isinstance(width, int) else self._measured()

    def _measured(self) -> int:
        one = np.ones((1, 1), np.int64)
        self.dimension = 0
        return int(self.run(one, one, hidden=False)[0].shape[1])

    def run(self, ids: Ints, mask: Ints, *, hidden: bool) -> tuple[Floats, Floats | None]:
        """See `Encoder.run`."""
        feed = {"input_ids": ids, "attention_mask": mask}
        if self._types:
            feed["token_type_ids"] = np.zeros_like(ids)
        want = [self._vectors] if self._vectors else []
        if hidden or not want:
            want.append(str(self._rows))
        with running():
            found = dict(zip(want, self._session.run(want, feed), strict=True))
        rows = found.get(str(self._rows))
        vectors = found[self._vectors] if self._vectors else _total(rows, mask)
        if not self._is_unit:
            vectors = _unit(vectors)
        return vectors, rows if hidden else None


class NumpyEncoder:
    """BERT in NumPy over tensors mapped from ``model.weights``.

    Args:
        folder: holds ``model.weights`` and its index ``weights.json``.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
        raw = np.memmap(folder / "model.weights", dtype=np.uint8, mode="r")
        self._weights: dict[str, Floats] = {}
        for name, entry in index.items():
            shape = tuple(entry["shape"])
            begin = entry["offset"]
            data = raw[begin : begin + 4 * math.prod(shape)]
            self._weights[name] = np.asarray(data).view("<f4").reshape(shape)
        self.dimension = int(self._weights["embedding.word"].shape[1])
        self._layers = sum(name.endswith(".qkv.weight") for name in index)

    def run(self, ids: Ints, mask: Ints, *, hidden: bool) -> tuple[Floats, Floats | None]:
        """See `Encoder.run`."""
        w = self._weights
        t = ids.shape[1]
        x = _norm(
            w["embedding.word"][ids] + w["embedding.position"][:t],
            w["embedding.norm.gain"],
            w["embedding.norm.bias"],
        )
        blocked = np.where(mask[:, None, None, :] == 1, np.float32(0), np.float32(-1e9))
        for layer in range(self._layers):
            x = self._layer(x, blocked, f"layer.{layer}.")
        return _unit(_total(x, mask)), x if hidden else None

    def _layer(self, x: Floats, blocked: Floats, prefix: str) -> Floats:
        w = {part: self._weights[prefix + part] for part in _LAYER_PARTS}
        n, t, width = x.shape
        rows = (x @ w["qkv.weight"] + w["qkv.bias"]).reshape(n, t, 3, _HEADS, width // _HEADS)
        query, key, value = rows.transpose(2, 0, 3, 1, 4)
        scores = query @ key.swapaxes(-1, -2) * np.float32((width / _HEADS) ** -0.5) + blocked
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).swapaxes(1, 2).reshape(n, t, width)
        mixed = mixed @ w["attention.weight"] + w["attention.bias"] + x
        middle = _norm(mixed, w["attention.norm.gain"], w["attention.norm.bias"])
        up = _gelu(middle @ w["up.weight"] + w["up.bias"])
        down = up @ w["down.weight"] + w["down.bias"] + middle
        return _norm(down, w["output.norm.gain"], w["output.norm.bias"])


_LAYER_PARTS = (
    *("qkv.weight", "qkv.bias", "attention.weight", "attention.bias"),
    *("attention.norm.gain", "attention.norm.bias", "up.weight", "up.bias"),
    *("down.weight", "down.bias", "output.norm.gain", "output.norm.bias"),
)


def _total(rows: Any, mask: Ints) -> Floats:
    """The sum of the rows of tokens; the count of their mean cancels in `_unit`."""
    total: Floats = (rows * mask[..., None].astype(np.float32)).sum(axis=1)
    return total


def _unit(vectors: Any) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit.astype(np.float32, copy=False)


def _norm(x: Floats, gain: Floats, bias: Floats) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    result: Floats = centred / np.sqrt(variance + np.float32(_EPSILON)) * gain + bias
    return result


def _gelu(x: Floats) -> Floats:
    """Exact GELU with the error function of Abramowitz and Stegun 7.1.26 (error below 1.5e-7)."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    s = 1 / (1 + np.float32(0.3275911) * z)
    tail: Floats = np.full_like(s, 1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail *= s
        tail += np.float32(coefficient)
    erf = np.copysign(1 - tail * s * np.exp(-z * z), x)
    result: Floats = np.float32(0.5) * x * (1 + erf)
    return result
