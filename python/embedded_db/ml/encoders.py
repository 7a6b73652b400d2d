"""The MiniLM forward pass: token ids in, hidden rows and sentence vectors out.

Two encoders over the same weights. `OnnxEncoder` runs the optimised graph; `NumpyEncoder` maps the
raw tensors and needs nothing but NumPy (about three times slower). Both are safe to call from
several threads at once.
"""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Encoder", "NumpyEncoder", "OnnxEncoder"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_HEADS = 12
_EPSILON = 1e-12


class Encoder(Protocol):
    """What `MiniLM` needs of a forward pass."""

    def run(self, ids: Ints, mask: Ints, *, hidden: bool) -> tuple[Floats, Floats | None]:
        """Sentence vectors [n, 384], unit length, and with ``hidden`` the last layer [n, t, 384].

        Args:
            ids: token ids [n, t], padded with 0.
            mask: 1 for a token, 0 for padding [n, t].
            hidden: whether the last layer is wanted.
        """
        ...


class OnnxEncoder:
    """The graph on ONNX Runtime.

    Args:
        model: the optimised graph; its large tensors are mapped from ``model.weights`` beside it.
        threads: threads within one operator. They sleep between calls instead of spinning, so an
            idle database uses no processor.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """

    def __init__(self, model: Path, threads: int) -> None:
        ort = importlib.import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The file is optimised already; optimising again would only delay loading.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        self._session: Any = ort.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )

    def run(self, ids: Ints, mask: Ints, *, hidden: bool) -> tuple[Floats, Floats | None]:
        """See `Encoder.run`."""
        feed = {"input_ids": ids, "attention_mask": mask}
        if not hidden:
            (vectors,) = self._session.run(["sentence_embedding"], feed)
            return vectors, None
        vectors, rows = self._session.run(["sentence_embedding", "last_hidden_state"], feed)
        return vectors, rows


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
        total = (x * mask[..., None].astype(np.float32)).sum(axis=1)
        vectors = total / np.linalg.norm(total, axis=1, keepdims=True)
        return vectors.astype(np.float32, copy=False), x if hidden else None

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
