"""The providers of vectors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embedded_db.errors import InvalidInput
from embedded_db.ml import hashing
from embedded_db.ml.callables import call_embedding, checked_vectors, dimension_of, name_of
from embedded_db.ml.encoders import Floats
from embedded_db.ml.loading import LOADING
from embedded_db.ml.minilm import MiniLM
from embedded_db.ml.packages import imported, install, is_installed, unloadable
from embedded_db.ml.time_limits import of_server
from embedded_db.ml.transformer import Transformer
from embedded_db.ml_config import MLConfig, named

if TYPE_CHECKING:
    from embedded_db.ml.endpoint import Endpoint

__all__ = [
    "EmbeddingFunction",
    "Owner",
    "TransformerEmbedding",
    "check_texts",
    "embedding_function",
    "of_parts",
]

Owner = NDArray[np.int32]
"""For each row of some vectors the text that it belongs to, ascending."""


class EmbeddingFunction(Protocol):
    """What makes vectors of texts."""

    def info(self) -> dict[str, Any]:
        """``model, provider, precision, dim, metric``; loads nothing, so ``dim`` may be None."""
        ...

    def health(self) -> dict[str, Any]:
        """See `Functions.health`."""
        ...

    def warm_up(self) -> None:
        """Loads what has to be loaded here."""
        ...

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        """Vectors float32 [m, dim], one for each part of a text, and the text of each."""
        ...


def embedding_function(config: MLConfig) -> EmbeddingFunction:
    """The provider that a configuration names."""
    chosen = config.embedding
    if not isinstance(chosen, str):
        model = getattr(chosen, "_transformer", None)
        return TransformerEmbedding(model) if isinstance(model, Transformer) else _Callable(chosen)
    if chosen == "hashing":
        return _Hashing()
    kind, argument = named(chosen)
    if kind == "sentence-transformers":
        return _SentenceTransformers(argument, config.download)
    if kind == "openai":
        # It takes what the system has for the network, which nothing else here needs.
        from embedded_db.ml.endpoint import Endpoint

        return _Remote(Endpoint.of(argument, of_server(config)))
    precision = "int8" if chosen == "minilm-onnx-int8" else "fp32"
    return TransformerEmbedding(MiniLM(precision, config.threads, onnx=chosen != "minilm-numpy"))


def _info(model: str, provider: str, precision: str, dim: int | None) -> dict[str, Any]:
    return {
        "model": model,
        "provider": provider,
        "precision": precision,
        "dim": dim,
        "metric": "cosine",
    }


def _health(provider: str, model: str, error: str | None, *, loaded: bool) -> dict[str, Any]:
    return {
        "provider": provider,
        "model": model,
        "available": error is None,
        "loaded": loaded,
        "error": error,
    }


@dataclass(frozen=True)
class TransformerEmbedding:
    """all-MiniLM-L6-v2, or the model of an `EmbeddingEngine`."""

    model: Transformer

    def info(self) -> dict[str, Any]:
        """See `EmbeddingFunction.info`."""
        model = self.model
        return _info(model.name, model.provider, model.precision, model.dimension)

    def health(self) -> dict[str, Any]:
        """See `EmbeddingFunction.health`."""
        missing = self.model.missing()
        return _health(self.model.provider, self.model.name, missing, loaded=self.model.loaded)

    def warm_up(self) -> None:
        """See `EmbeddingFunction.warm_up`."""
        self.parts(["warm up"])

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        """See `EmbeddingFunction.parts`."""
        tokens = self.model.tokenize(texts, words=False)
        return self.model.encode(tokens, [True] * len(texts))


class _Hashing:
    def info(self) -> dict[str, Any]:
        return _info("hashing", "hashing", "fp32", hashing.DIMENSION)

    def health(self) -> dict[str, Any]:
        return _health("hashing", "hashing", None, loaded=True)

    def warm_up(self) -> None:
        """Nothing to load."""

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        return hashing.hash_texts(texts), _one_each(texts)


class _Callable:
    """A function of the user's. Its dimension is its attribute, or that of what it gave first."""

    def __init__(self, function: Callable[[list[str]], Any]) -> None:
        self._function = function
        self._dim = dimension_of(function)

    def info(self) -> dict[str, Any]:
        return _info(name_of(self._function), "callable", "fp32", self._dim)

    def health(self) -> dict[str, Any]:
        return _health("callable", name_of(self._function), None, loaded=self._dim is not None)

    def warm_up(self) -> None:
        """Nothing that is ours to load."""

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        if not texts:
            return np.empty((0, self._dim or 0), np.float32), _one_each(texts)
        vectors = call_embedding(self._function, texts, self._dim)
        self._dim = int(vectors.shape[1])
        return vectors, _one_each(texts)


class _SentenceTransformers:
    """A model of the package ``sentence-transformers``; long texts have several parts."""

    def __init__(self, name: str, download: bool) -> None:
        self._name = name
        self._download = download
        self._model: Any = None
        self._dim: int | None = None
        # It does not say that it may be called from several threads.
        self._lock = threading.Lock()

    def info(self) -> dict[str, Any]:
        return _info(self._name, "sentence-transformers", "fp32", self._dim)

    def health(self) -> dict[str, Any]:
        there = is_installed("sentence_transformers")
        missing = None if there else f"sentence_transformers is missing. {install('sentences')}"
        loaded = self._model is not None
        return _health("sentence-transformers", self._name, missing, loaded=loaded)

    def warm_up(self) -> None:
        self.parts(["warm up"])

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        with self._lock:
            model = self._loaded()
            if not texts:
                return np.empty((0, 0), np.float32), _one_each(texts)
            parts, owner = _split(model, texts)
            vectors = model.encode(
                parts, batch_size=32, convert_to_numpy=True, show_progress_bar=False
            )
        checked = checked_vectors(f"of the model {self._name}", vectors, len(parts), None)
        self._dim = int(checked.shape[1])
        return checked, owner

    def _loaded(self) -> Any:
        if self._model is None:
            package = imported("sentence_transformers", "sentences")
            with LOADING:
                try:
                    self._model = package.SentenceTransformer(
                        self._name, device="cpu", local_files_only=not self._download
                    )
                except Exception as error:
                    raise unloadable(
                        "sentence-transformers", self._name, error, download=self._download
                    ) from error
        return self._model


def _split(model: Any, texts: Sequence[str]) -> tuple[list[str], Owner]:
    """Texts that are longer than the model reads, cut between tokens."""
    tokenizer, longest = model.tokenizer, model.max_seq_length
    if longest is None or not getattr(tokenizer, "is_fast", False):
        return list(texts), _one_each(texts)
    room = max(1, int(longest) - int(tokenizer.num_special_tokens_to_add()))
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    parts: list[str] = []
    owner: list[int] = []
    for at, (text, offsets) in enumerate(zip(texts, encoded["offset_mapping"], strict=True)):
        starts = [offsets[first][0] for first in range(room, len(offsets), room)]
        for begin, end in zip([0, *starts], [*starts, len(text)], strict=True):
            parts.append(text[begin:end])
            owner.append(at)
    return parts, np.array(owner, np.int32)


class _Remote:
    """An endpoint that speaks OpenAI's protocol."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._dim: int | None = None

    def info(self) -> dict[str, Any]:
        return _info(self._endpoint.model, "openai", "fp32", self._dim)

    def health(self) -> dict[str, Any]:
        model, problem = self._endpoint.model, self._endpoint.problem
        return _health("openai", model, problem, loaded=self._dim is not None)

    def warm_up(self) -> None:
        """Nothing to load here, and calls may cost."""

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        parts: list[str] = []
        owner: list[int] = []
        for at, text in enumerate(texts):
            cut = self._endpoint.cut(text)
            parts.extend(cut)
            owner.extend([at] * len(cut))
        vectors = self._endpoint.embed(parts)
        self._dim = int(vectors.shape[1]) or self._dim
        return vectors, np.array(owner, np.int32)


def _one_each(texts: Sequence[str]) -> Owner:
    return np.arange(len(texts), dtype=np.int32)


def of_parts(parts: Floats, owner: Owner, count: int) -> Floats:
    """One vector a text: of several parts the mean, as a unit."""
    if len(owner) == count:
        return parts
    sums = np.zeros((count, parts.shape[1]), np.float32)
    np.add.at(sums, owner, parts)
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is no list of texts."""
    if isinstance(texts, str):
        raise InvalidInput("One string was given for a list of texts", hint="Pass [text].")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(
                f"Text {i} is a {type(text).__name__}: {text!r:.40}", hint="Every text is a str."
            )
