"""The providers of entities."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from embedded_db.errors import ModelUnavailable
from embedded_db.ml.callables import call_entities
from embedded_db.ml.embeddings import EmbeddingFunction, Owner, TransformerEmbedding
from embedded_db.ml.encoders import Floats
from embedded_db.ml.entities import EntityDict, Recogniser
from embedded_db.ml.head import LABELS
from embedded_db.ml.loading import LOADING
from embedded_db.ml.minilm import INSTALL_LOCAL, MiniLM
from embedded_db.ml.packages import imported, install, is_installed
from embedded_db.ml.rules import RULE_LABELS
from embedded_db.ml_config import MLConfig, named

__all__ = ["EntityFunction", "LocalEntities", "entity_function"]


class EntityFunction(Protocol):
    """What finds entities in texts."""

    def health(self) -> dict[str, Any]:
        """See `Functions.health`."""
        ...

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        """Entities per text, offsets relative to its start; empty where not wanted."""
        ...


def entity_function(config: MLConfig, embedding: EmbeddingFunction) -> EntityFunction:
    """The provider that a configuration names."""
    chosen = config.entities
    if chosen is None:
        return _NoEntities()
    if not isinstance(chosen, str):
        return _CallableEntities(chosen)
    kind, argument = named(chosen)
    if kind == "spacy":
        return _SpacyEntities(argument)
    if isinstance(embedding, TransformerEmbedding) and isinstance(embedding.model, MiniLM):
        return LocalEntities(embedding.model)
    if config.embedding == "hashing":
        return LocalEntities(None)
    # Vectors of another model, entities of ours: MiniLM is loaded for them alone.
    return LocalEntities(MiniLM("fp32", config.threads))


def _health(
    provider: str | None, labels: Sequence[str] | None, error: str | None, *, loaded: bool
) -> dict[str, Any]:
    return {
        "provider": provider,
        "labels": None if labels is None else list(labels),
        "available": provider is not None and error is None,
        "loaded": loaded,
        "error": error,
    }


class LocalEntities:
    """The recogniser on MiniLM's last layer; ``model`` None means it has nothing to stand on."""

    def __init__(self, model: MiniLM | None) -> None:
        self._model = model
        self._recogniser = Recogniser()

    def shares(self, embedding: EmbeddingFunction) -> bool:
        """Whether ``embedding`` runs the same forward pass."""
        return isinstance(embedding, TransformerEmbedding) and embedding.model is self._model

    def health(self) -> dict[str, Any]:
        """See `EntityFunction.health`."""
        missing = _NO_MODEL if self._model is None else self._model.missing()
        loaded = self._recogniser.loaded and self._model is not None and self._model.loaded
        return _health("local", (*LABELS, *RULE_LABELS), missing, loaded=loaded)

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        """See `EntityFunction.find_only`."""
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
        return _health("callable", None, None, loaded=True)

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        def call(contents: list[str]) -> list[list[EntityDict]]:
            return call_entities(self.function, contents)

        return _of_contents(call, texts, starts, want)


class _SpacyEntities:
    """The entities of a spaCy pipeline, under its own labels."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pipeline: Any = None
        # A pipeline may be used by one thread at a time.
        self._lock = threading.Lock()

    def health(self) -> dict[str, Any]:
        missing = None if is_installed("spacy") else f"spacy is missing. {install('spacy')}"
        loaded = self._pipeline is not None
        return _health(f"spacy:{self._name}", None, missing, loaded=loaded)

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        def call(contents: list[str]) -> list[list[EntityDict]]:
            with self._lock:
                documents = list(self._loaded().pipe(contents))
            return [[_entity(found) for found in document.ents] for document in documents]

        return _of_contents(call, texts, starts, want)

    def _loaded(self) -> Any:
        if self._pipeline is None:
            package = imported("spacy", "spacy")
            with LOADING:
                try:
                    self._pipeline = package.load(self._name)
                except Exception as error:
                    raise ModelUnavailable(
                        f"spacy:{self._name} does not load "
                        f"({type(error).__name__}: {error!s:.500})",
                        hint=f"Install it: python -m spacy download {self._name}",
                    ) from error
        return self._pipeline


def _entity(found: Any) -> EntityDict:
    label = found.label_ or "MISC"
    return {"text": found.text, "label": label, "start": found.start_char, "end": found.end_char}


def _of_contents(
    call: Callable[[list[str]], list[list[EntityDict]]],
    texts: Sequence[str],
    starts: Sequence[int],
    want: Sequence[bool],
) -> list[list[EntityDict]]:
    """What ``call`` finds in the contents of the texts in which entities are wanted."""
    chosen = [i for i, wanted in enumerate(want) if wanted]
    found = call([texts[i][starts[i] :] for i in chosen])
    entities: list[list[EntityDict]] = [[] for _ in texts]
    for i, each in zip(chosen, found, strict=True):
        entities[i] = each
    return entities


class _NoEntities:
    def health(self) -> dict[str, Any]:
        return _health(None, None, None, loaded=False)

    def find_only(
        self, texts: Sequence[str], starts: Sequence[int], want: Sequence[bool]
    ) -> list[list[EntityDict]]:
        return [[] for _ in texts]
