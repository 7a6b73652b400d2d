"""`Functions`: every model function behind one object, as the database's workers call it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from embedded_db.errors import InvalidInput
from embedded_db.ml.embeddings import Owner, check_texts, embedding_function, of_parts
from embedded_db.ml.encoders import Floats
from embedded_db.ml.entities import EntityDict
from embedded_db.ml.recognisers import LocalEntities, entity_function
from embedded_db.ml.summarisers import summary_function
from embedded_db.ml_config import MLConfig

__all__ = ["Functions", "load_functions"]


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
        self._embedding = embedding_function(config)
        self._entities = entity_function(config, self._embedding)
        self._summary = summary_function(config)

    # --- state ---

    def switched_off(self) -> list[str]:
        """Give the functions that the configuration has none for: their work waits for another.

        Examples:
            >>> from embedded_db import MLConfig
            >>> from embedded_db.ml.providers import Functions
            >>> Functions(MLConfig(embedding="hashing", entities=None)).switched_off()
            ['entities']
        """
        return [name for name in ("entities", "summary") if getattr(self.config, name) is None]

    def embedding_info(self) -> dict[str, Any]:
        """``model``, ``provider``, ``precision``, ``dim`` and ``metric`` of the vectors.

        Cheap: loads no model, imports no inference library and calls nobody. So ``dim`` is None
        where only the first vector tells it: of a callable without a ``dim`` attribute, of
        sentence-transformers, of an endpoint.
        """
        return self._embedding.info()

    def warm_up(self) -> None:
        """Load the models of vectors and entities and run them once.

        Functions of the user's and endpoints are not called.

        Raises:
            ModelUnavailable: one is not installed or does not load.
        """
        self._embedding.warm_up()
        if isinstance(self.config.entities, str):
            self._entities.find_only(["Warm up in Paris"], [0], [True])

    def health(self) -> dict[str, Any]:
        """State of each function; never raises and loads nothing.

        ``{"embedding": …, "entities": …, "summary": …}``, each with ``provider`` (None: switched
        off), ``available``, ``loaded`` and ``error`` (None, or what is missing); embedding adds
        ``model``, entities ``labels``.
        """
        return {
            "embedding": self._embedding.health(),
            "entities": self._entities.health(),
            "summary": self._summary.health(),
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
        check_texts(texts)
        return of_parts(*self._embedding.parts(texts), len(texts))

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
        check_texts(texts)
        _check_batch(texts, starts, want_vectors, want_entities)
        if not any(want_entities):
            vectors, owner = self._some_vectors(texts, want_vectors)
            return vectors, owner, [[] for _ in texts]
        entities = self._entities
        if isinstance(entities, LocalEntities) and entities.shares(self._embedding):
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
        check_texts(messages)
        return self._summary.summarize(messages, vectors, self.embed)

    def _some_vectors(self, texts: Sequence[str], want: Sequence[bool]) -> tuple[Floats, Owner]:
        chosen = [i for i, wanted in enumerate(want) if wanted]
        if not chosen:
            width = self.embedding_info()["dim"] or 0
            return np.empty((0, width), np.float32), np.empty(0, np.int32)
        vectors, owner = self._embedding.parts([texts[i] for i in chosen])
        return vectors, np.array(chosen, np.int32)[owner]


# --- input ---


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
