"""`Functions`: every model function behind one object, as the database's workers call it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embedded_db.errors import InvalidInput, ModelUnavailable
from embedded_db.ml import hashing, summary
from embedded_db.ml.callables import call_embedding, call_entities, call_summary, name_of
from embedded_db.ml.encoders import Floats
from embedded_db.ml.entities import EntityDict, Recogniser
from embedded_db.ml.head import LABELS
from embedded_db.ml.minilm import DIMENSION, INSTALL_LOCAL, MODEL, MiniLM
from embedded_db.ml_config import MLConfig

__all__ = ["Functions", "load_functions"]

Owner = NDArray[np.int32]


def load_functions(config: MLConfig | None = None) -> Functions:
    """The model functions of a configuration; loads nothing yet.

    Args:
        config: which model does what; `MLConfig()` when left out.

    Examples:
        >>> functions = load_functions(MLConfig(embedding="hashing"))
        >>> functions.embed(["Hello", "Goodbye"]).shape
        (2, 384)
    """
    return Functions(config or MLConfig())


class Functions:
    """The model functions of one configuration.

    Values in, values out; nothing a caller does changes what a later call returns. Models load at
    first use or in `warm_up`, once, and every method may be called from any thread. Texts are
    `str`; offsets count characters (Python string indices).

    Args:
        config: which model does what.

    Examples:
        >>> functions = Functions(MLConfig(embedding="hashing", entities=None))
        >>> functions.warm_up()
        >>> functions.embedding_info()["dim"], functions.health()["embedding"]["available"]
        (384, True)
    """

    def __init__(self, config: MLConfig) -> None:
        self.config = config
        self._embedding = _embedding(config)
        self._entities = _entities(config, self._embedding)

    # --- state ---

    def embedding_info(self) -> dict[str, Any]:
        """``model``, ``provider``, ``precision``, ``dim`` and ``metric`` of the vectors.

        Cheap: loads no model and imports no inference library. Only a callable without a ``dim``
        attribute is called, once, to learn its dimension.
        """
        return self._embedding.info()

    def warm_up(self) -> None:
        """Load every model that the configuration names and run it once.

        Raises:
            ModelUnavailable: one is not installed or does not load.
        """
        self._embedding.warm_up()
        if isinstance(self._entities, _LocalEntities):
            self._entities.warm_up()

    def health(self) -> dict[str, Any]:
        """State of each function; never raises and loads nothing.

        ``{"embedding": …, "entities": …, "summary": …}``, each with ``provider`` (None: switched
        off), ``available``, ``loaded`` and ``error`` (None, or what is missing); embedding adds
        ``model``, entities ``labels``.
        """
        return {
            "embedding": self._embedding.health(),
            "entities": self._entities.health(),
            "summary": {
                "provider": _provider_name(self.config.summary),
                "available": self.config.summary is not None,
                "loaded": self.config.summary is not None,
                "error": None,
            },
        }

    # --- work ---

    def embed(self, texts: Sequence[str]) -> Floats:
        """One vector a text: float32 [n, dim].

        A text longer than the model's 256 tokens gets the normalised mean of its parts.

        Args:
            texts: n texts.

        Raises:
            ModelUnavailable: the model is not installed or does not load.
            BadText: a text that is not valid Unicode.

        Examples:
            >>> functions = Functions(MLConfig(embedding="hashing"))
            >>> one, same, other = functions.embed(["red wine", "red wine", "a bicycle"])
            >>> bool(one @ same > one @ other)
            True
        """
        _check_texts(texts)
        parts, owner = self._embedding.parts(texts)
        if len(owner) == len(texts):
            return parts
        sums = np.zeros((len(texts), parts.shape[1]), np.float32)
        np.add.at(sums, owner, parts)
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums

    def enrich(
        self,
        texts: Sequence[str],
        starts: Sequence[int],
        want_vectors: Sequence[bool],
        want_entities: Sequence[bool],
    ) -> tuple[Floats, Owner, list[list[EntityDict]]]:
        """Vectors and entities of a batch, from one forward pass where both are wanted.

        Args:
            texts: what is embedded, e.g. ``"Alice: I met Bob"``.
            starts: per text, the character where the content begins, after a sender prefix. The
                prefix takes part in the embedding; entities are searched behind it.
            want_vectors: per text.
            want_entities: per text.

        Returns:
            ``(vectors, owner, entities)``: float32 [m, dim], one row per part, with ``owner``
            int32 [m] the index of its text, ascending, parts in order; and per text a list of
            ``{"text", "label", "start", "end"}`` with offsets relative to the content, empty where
            not wanted or when entities are switched off. Labels: see `embedded_db.ml.entities`.

        Raises:
            ModelUnavailable: a model that is wanted is not installed or does not load; also
                entities ``"local"`` beside the embedding ``"hashing"``.
            BadText: a text that is not valid Unicode.
            InvalidInput: lists of different lengths, or a start outside its text.

        Examples:
            >>> functions = Functions(MLConfig(embedding="hashing", entities=None))
            >>> texts, starts = ["Ann: We should use Rust", "Bob: Agreed"], [5, 5]
            >>> vectors, owner, found = functions.enrich(texts, starts, [True, True], [True, True])
            >>> vectors.shape, owner.tolist(), found
            ((2, 384), [0, 1], [[], []])
        """
        _check_texts(texts)
        _check_batch(texts, starts, want_vectors, want_entities)
        if not any(want_entities):
            vectors, owner = self._some_vectors(texts, want_vectors)
            return vectors, owner, [[] for _ in texts]
        entities = self._entities
        if isinstance(entities, _LocalEntities) and entities.shares(self._embedding):
            return entities.find(texts, starts, want_vectors, want_entities)
        vectors, owner = self._some_vectors(texts, want_vectors)
        return vectors, owner, entities.find_only(texts, starts, want_entities)

    def extract_entities(self, text: str) -> list[EntityDict]:
        """The entities of one text; see `enrich`.

        Args:
            text: the text.

        Raises:
            ModelUnavailable: the model is not installed or does not load.
            BadText: it is not valid Unicode.

        Examples:
            >>> functions = Functions(MLConfig())
            >>> [paris] = functions.extract_entities("In Paris")
            >>> paris
            {'text': 'Paris', 'label': 'GPE', 'start': 3, 'end': 8}
        """
        _, _, found = self.enrich([text], [0], [False], [True])
        return found[0]

    def summarize(self, messages: Sequence[str], vectors: Floats | None = None) -> str:
        r"""A summary of a chat.

        The extractive one picks about three messages (600 characters) that stand for the others,
        speaker prefix kept, one a line, in chat order.

        Args:
            messages: in order, e.g. ``"Alice: We should use Rust"``.
            vectors: float32 [n, dim], one a message, if they are known; else they are computed.

        Raises:
            ModelUnavailable: vectors have to be computed and the model is not there.
            InvalidInput: ``vectors`` does not have one row per message.

        Examples:
            >>> functions = Functions(MLConfig(embedding="hashing"))
            >>> functions.summarize(["Ann: We should use Rust", "Bob: Agreed"])
            'Ann: We should use Rust\nBob: Agreed'
        """
        _check_texts(messages)
        chosen = self.config.summary
        if chosen is None:
            return ""
        if not isinstance(chosen, str):
            return call_summary(chosen, messages)
        if vectors is None:
            few = len(messages) <= summary.MAX_MESSAGES
            vectors = np.empty((len(messages), 0), np.float32) if few else self.embed(messages)
        elif vectors.ndim != 2 or len(vectors) != len(messages):
            raise InvalidInput(
                f"vectors has shape {vectors.shape} for {len(messages)} messages",
                hint="Give float32 [n, dim], one row per message.",
            )
        return summary.extract(messages, np.asarray(vectors, np.float32))

    def _some_vectors(self, texts: Sequence[str], want: Sequence[bool]) -> tuple[Floats, Owner]:
        chosen = [i for i, wanted in enumerate(want) if wanted]
        if not chosen:
            width = int(self.embedding_info()["dim"])
            return np.empty((0, width), np.float32), np.empty(0, np.int32)
        vectors, owner = self._embedding.parts([texts[i] for i in chosen])
        return vectors, np.array(chosen, np.int32)[owner]


# --- embedding providers ---


class _Embedding(Protocol):
    def info(self) -> dict[str, Any]: ...
    def health(self) -> dict[str, Any]: ...
    def warm_up(self) -> None: ...
    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        """Vectors float32 [m, dim] and the text of each row, ascending."""
        ...


def _embedding(config: MLConfig) -> _Embedding:
    chosen = config.embedding
    if not isinstance(chosen, str):
        return _Callable(chosen)
    if chosen == "hashing":
        return _Hashing()
    precision = "int8" if chosen == "minilm-onnx-int8" else "fp32"
    return _MiniLMEmbedding(MiniLM(precision, config.threads, onnx=chosen != "minilm-numpy"))


def _info(model: str, provider: str, precision: str, dim: int) -> dict[str, Any]:
    return {
        "model": model,
        "provider": provider,
        "precision": precision,
        "dim": dim,
        "metric": "cosine",
    }


@dataclass(frozen=True)
class _MiniLMEmbedding:
    model: MiniLM

    def info(self) -> dict[str, Any]:
        return _info(MODEL, self.model.provider, self.model.precision, DIMENSION)

    def health(self) -> dict[str, Any]:
        missing = self.model.missing()
        return {
            "provider": self.model.provider,
            "model": MODEL,
            "available": missing is None,
            "loaded": self.model.loaded,
            "error": missing,
        }

    def warm_up(self) -> None:
        self.parts(["warm up"])

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        tokens = self.model.tokenize(texts, words=False)
        return self.model.encode(tokens, [True] * len(texts))


class _Hashing:
    def info(self) -> dict[str, Any]:
        return _info("hashing", "hashing", "fp32", hashing.DIMENSION)

    def health(self) -> dict[str, Any]:
        return {
            "provider": "hashing",
            "model": "hashing",
            "available": True,
            "loaded": True,
            "error": None,
        }

    def warm_up(self) -> None:
        """Nothing to load."""

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        return hashing.hash_texts(texts), np.arange(len(texts), dtype=np.int32)


class _Callable:
    def __init__(self, function: Callable[[list[str]], Any]) -> None:
        self._function = function
        self._lock = threading.Lock()
        dim = getattr(function, "dim", None)
        self._dim: int | None = dim if isinstance(dim, int) else None

    def info(self) -> dict[str, Any]:
        return _info(name_of(self._function), "callable", "fp32", self._dimension())

    def health(self) -> dict[str, Any]:
        return {
            "provider": "callable",
            "model": name_of(self._function),
            "available": True,
            "loaded": self._dim is not None,
            "error": None,
        }

    def warm_up(self) -> None:
        self._dimension()

    def parts(self, texts: Sequence[str]) -> tuple[Floats, Owner]:
        dim = self._dimension()
        if not texts:
            return np.empty((0, dim), np.float32), np.empty(0, np.int32)
        vectors = call_embedding(self._function, texts, dim)
        return vectors, np.arange(len(texts), dtype=np.int32)

    def _dimension(self) -> int:
        with self._lock:
            if self._dim is None:
                self._dim = int(call_embedding(self._function, ["dimension"], None).shape[1])
            return self._dim


# --- entity providers ---


class _Entities(Protocol):
    def health(self) -> dict[str, Any]: ...
    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        """Entities per text, offsets relative to its start; empty where not wanted."""
        ...


def _entities(config: MLConfig, embedding: _Embedding) -> _Entities:
    chosen = config.entities
    if chosen is None:
        return _NoEntities()
    if not isinstance(chosen, str):
        return _CallableEntities(chosen)
    if isinstance(embedding, _MiniLMEmbedding):
        return _LocalEntities(embedding.model)
    if isinstance(embedding, _Hashing):
        return _LocalEntities(None)
    # Vectors of the user's own, entities of ours: the model is loaded for them alone.
    return _LocalEntities(MiniLM("fp32", config.threads))


class _LocalEntities:
    """The recogniser on MiniLM's last layer; ``model`` None means it has nothing to stand on."""

    def __init__(self, model: MiniLM | None) -> None:
        self._model = model
        self._recogniser = Recogniser()

    def shares(self, embedding: _Embedding) -> bool:
        """Whether ``embedding`` runs the same forward pass."""
        return isinstance(embedding, _MiniLMEmbedding) and embedding.model is self._model

    def health(self) -> dict[str, Any]:
        missing = _NO_MODEL if self._model is None else self._model.missing()
        return {
            "provider": "local",
            "labels": list(LABELS),
            "available": missing is None,
            "loaded": self._recogniser.loaded and self._model is not None and self._model.loaded,
            "error": missing,
        }

    def warm_up(self) -> None:
        self.find_only(["Warm up in Paris"], [0], [True])

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        return self.find(texts, starts, [False] * len(texts), want)[2]

    def find(
        self,
        texts: Sequence[str],
        starts: Sequence[int],
        want_vectors: Sequence[bool],
        want_entities: Sequence[bool],
    ) -> tuple[Floats, Owner, list[list[EntityDict]]]:
        """See `Functions.enrich`; one forward pass for both."""
        model = self._model
        if model is None:
            raise ModelUnavailable(
                f"Entities cannot be found: {_NO_MODEL}",
                hint='Choose embedding="minilm-onnx", or entities=None, or pass a callable. '
                f"{INSTALL_LOCAL}",
            )
        tokens = model.tokenize(texts, words=True)
        search = self._recogniser.search(texts, tokens, starts, want_entities)
        vectors, owner = model.encode(tokens, want_vectors, search.collect, want_entities)
        return vectors, owner, search.entities()


_NO_MODEL = 'entities="local" needs the MiniLM model, and the embedding is "hashing"'


@dataclass(frozen=True)
class _CallableEntities:
    function: Callable[[list[str]], list[list[dict[str, Any]]]]

    def health(self) -> dict[str, Any]:
        return {
            "provider": "callable",
            "labels": None,
            "available": True,
            "loaded": True,
            "error": None,
        }

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        chosen = [i for i, wanted in enumerate(want) if wanted]
        found = call_entities(self.function, [texts[i][starts[i] :] for i in chosen])
        entities: list[list[EntityDict]] = [[] for _ in texts]
        for i, each in zip(chosen, found, strict=True):
            entities[i] = each
        return entities


class _NoEntities:
    def health(self) -> dict[str, Any]:
        return {
            "provider": None,
            "labels": None,
            "available": False,
            "loaded": False,
            "error": None,
        }

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        return [[] for _ in texts]


# --- input ---


def _provider_name(chosen: object) -> str | None:
    if chosen is None or isinstance(chosen, str):
        return chosen
    return "callable"


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise InvalidInput("One string was given for a list of texts", hint="Pass [text].")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(
                f"Text {i} is a {type(text).__name__}: {text!r:.40}", hint="Every text is a str."
            )


def _check_batch(
    texts: Sequence[str],
    starts: Sequence[int],
    want_vectors: Sequence[bool],
    want_entities: Sequence[bool],
) -> None:
    lengths = [len(texts), len(starts), len(want_vectors), len(want_entities)]
    if len(set(lengths)) != 1:
        raise InvalidInput(
            f"texts, starts, want_vectors and want_entities have lengths {lengths}",
            hint="Give one of each per text.",
        )
    for i, (text, start) in enumerate(zip(texts, starts, strict=True)):
        if not 0 <= start <= len(text):
            raise InvalidInput(
                f"starts[{i}] is {start}, the text has {len(text)} characters",
                hint="A start lies between 0 and the length of its text.",
            )
