"""A model for tests: deterministic, instant, and able to fail in every way a model can.

::

    from embedded_db import EmbeddedDB
    from embedded_db.testing import FakeModel

    db = EmbeddedDB(":memory:", ml=FakeModel())

`embedded_db.pytest_plugin` has fixtures of both.
"""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng  # now: later, a fork could cut its import in two

from .errors import InvalidInput, nearest, shown

__all__ = ["ENTITIES", "Failure", "FakeModel", "ModelFailure"]

Failure = Literal["raise", "wrong_shape", "nan", "not_vectors", "bad_entities", "hang"]
"""A way to fail: raise; vectors of a wrong length; NaN in a vector; no vectors at all; entities
that are not in the text; not return before `FakeModel.release`."""

ENTITIES: Final[Mapping[str, str]] = {
    "Alice": "PERSON",
    "Bob": "PERSON",
    "Carol": "PERSON",
    "Dave": "PERSON",
    "Paris": "GPE",
    "London": "GPE",
    "Berlin": "GPE",
    "Rust": "PRODUCT",
}
"""The names that `FakeModel` knows, with their classes."""

WORD: Final = re.compile(r"\w+")


class ModelFailure(Exception):
    """What `FakeModel` raises when it is told to.

    Examples:
        >>> from embedded_db.testing import FakeModel
        >>> model = FakeModel()
        >>> model.fail("raise", times=1)
        >>> model.embed(["Hello"])
        Traceback (most recent call last):
        ...
        embedded_db.testing.ModelFailure: embed fails because the test says so
    """


class FakeModel:
    """The model functions without a model.

    A text's vector is the sum of one fixed direction a word, so that texts that share words are
    similar; its entities are the names of a list, found as whole words.

    Args:
        dim: dimension of the vectors.
        entities: names with their classes.
        model: name of the model, which is part of the embedding space.

    Attributes:
        embedded: how often each text was embedded, over all calls that returned.
        calls: how often each function was called.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> model = FakeModel(dim=8)
        >>> with EmbeddedDB(":memory:", ml=model) as woven:
        ...     message = woven.create_chat().add_message("Alice met Bob")
        ...     woven.flush(timeout=30)
        ...     sorted(entity.label for entity in message.entities())
        ['Alice', 'Bob']
        >>> model.embedded["Alice met Bob"], model.embedding_info()["dim"]
        (1, 8)
        >>> model.warm_up()
        >>> model.calls["warm_up"] >= 1, model.health()["embedding"]["available"]
        (True, True)
    """

    def __init__(
        self,
        dim: int = 256,
        entities: Mapping[str, str] = ENTITIES,
        model: str = "fake",
    ) -> None:
        self.dim = dim
        self.model = model
        self.embedded: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._entities = dict(entities)
        self._lock = threading.Lock()
        self._failure: Failure | None = None
        self._failures_left: int | None = None
        self._only: str | None = None
        self._holding = False
        self._released = threading.Event()

    # ------------------------------------------------------------------ switches

    def fail(
        self, how: Failure, *, times: int | None = None, containing: str | None = None
    ) -> None:
        """Fail from now on.

        Args:
            how: in which way.
            times: how often; without end when left out.
            containing: only calls with a text that contains this.

        Raises:
            InvalidInput: there is no such way.

        Examples:
            >>> model = FakeModel()
            >>> model.fail("nan", times=1)
            >>> [bool(np.isnan(model.embed(["Hello"])).any()) for _ in range(2)]
            [True, False]
        """
        if how not in get_args(Failure):
            raise InvalidInput(
                f"failure is {shown(how)}", hint=nearest(shown(how), get_args(Failure))
            )
        with self._lock:
            self._failure, self._failures_left, self._only = how, times, containing
            if how == "hang":
                self._released.clear()  # what does not fail in this way goes on

    def recover(self) -> None:
        """Work again, and let go of calls that hang.

        Examples:
            >>> model = FakeModel()
            >>> model.fail("raise")
            >>> model.recover()
            >>> model.embed(["Hello"]).shape
            (1, 256)
        """
        with self._lock:
            self._failure = self._failures_left = self._only = None
        self.release()

    def hold(self) -> None:
        """Let calls wait until `release`, so that a test can look at work in progress.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> model = FakeModel()
            >>> with EmbeddedDB(":memory:", ml=model) as woven:
            ...     model.hold()
            ...     message = woven.create_chat().add_message("Alice met Bob")
            ...     message.status.embedding
            ...     model.release()
            ...     woven.wait_for(message, "embedding", timeout=30).embedding
            'pending'
            'ready'
        """
        with self._lock:
            self._holding = True
            self._released.clear()

    def release(self) -> None:
        """Let calls that wait go on.

        Examples:
            >>> model = FakeModel()
            >>> model.hold()
            >>> model.release()
            >>> model.embed(["Hello"]).shape
            (1, 256)
        """
        with self._lock:
            self._holding = False
            self._released.set()

    # ------------------------------------------------------------------ the model functions

    def embedding_info(self) -> dict[str, Any]:
        """Give ``model``, ``provider``, ``precision``, ``dim`` and ``metric``."""
        return {
            "model": self.model,
            "provider": "fake",
            "precision": "fp32",
            "dim": self.dim,
            "metric": "cosine",
        }

    def warm_up(self) -> None:
        """Do nothing; the call is counted."""
        with self._lock:
            self.calls["warm_up"] += 1

    def health(self) -> dict[str, Any]:
        """Give the state of each function: all available."""
        state = {"provider": "fake", "available": True, "loaded": True, "error": None}
        return {name: dict(state) for name in ("embedding", "entities", "summary")}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Give float32[n, dim], one unit vector a text.

        Args:
            texts: n texts.

        Examples:
            >>> hello, again, bye = FakeModel().embed(["Hello you", "you, hello", "Goodbye"])
            >>> round(float(hello @ again), 3), float(hello @ bye) < 0.5
            (1.0, True)
        """
        how = self._begin("embed", texts)
        vectors = self._vectors(texts)
        self._count(texts)
        return self._spoilt(vectors, how)

    def enrich(
        self,
        texts: Sequence[str],
        starts: Sequence[int],
        want_vectors: Sequence[bool],
        want_entities: Sequence[bool],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], list[list[Any]]]:
        """Give vectors float32[m, dim], their texts int32[m], and the entities of each text.

        Args:
            texts: the texts.
            starts: where the content of each begins, in characters.
            want_vectors: for which texts a vector is wanted.
            want_entities: for which texts entities are wanted.

        Examples:
            >>> vectors, owner, found = FakeModel().enrich(["Ann: To Paris!"], [5], [True], [True])
            >>> vectors.shape, owner.tolist(), found
            ((1, 256), [0], [[{'text': 'Paris', 'label': 'GPE', 'start': 3, 'end': 8}]])
        """
        how = self._begin("enrich", texts)
        chosen = [at for at, wanted in enumerate(want_vectors) if wanted]
        embedded = [texts[at] for at in chosen]
        vectors = self._vectors(embedded)
        entities = [
            self._find(text[start:]) if wanted else []
            for text, start, wanted in zip(texts, starts, want_entities, strict=True)
        ]
        if how == "bad_entities":
            entities = [[{"text": "Nobody", "label": "PERSON", "start": 0, "end": 999}]] * len(
                texts
            )
        self._count(embedded)
        return self._spoilt(vectors, how), np.array(chosen, np.int32), entities

    def summarize(
        self, messages: Sequence[str], vectors: npt.NDArray[np.float32] | None = None
    ) -> str:
        """Give the first and the last message, one a line.

        Args:
            messages: the messages in order.
            vectors: not looked at.

        Examples:
            >>> FakeModel().summarize(["One.", "Two.", "Three."]).splitlines()
            ['One.', 'Three.']
        """
        self._begin("summarize", messages)
        return "\n".join(dict.fromkeys([messages[0], messages[-1]])) if messages else ""

    # ------------------------------------------------------------------ how

    def _begin(self, function: str, texts: Sequence[str]) -> Failure | None:
        with self._lock:
            self.calls[function] += 1
            how = self._failure
            if how is not None and self._only is not None:
                how = how if any(self._only in text for text in texts) else None
            if how is not None and self._failures_left is not None:
                how = how if self._failures_left > 0 else None
                self._failures_left -= how is not None
            waits = self._holding or how == "hang"
        if how == "raise":
            raise ModelFailure(f"{function} fails because the test says so")
        if waits:
            self._released.wait()
        return how

    def _count(self, texts: Sequence[str]) -> None:
        with self._lock:
            self.embedded.update(texts)

    def _vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for at, text in enumerate(texts):
            words = WORD.findall(text.lower()) or [text]
            whole = np.sum([self._direction(word) for word in words], axis=0)
            vectors[at] = whole / np.linalg.norm(whole)
        return vectors

    def _direction(self, word: str) -> npt.NDArray[np.float32]:
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        return default_rng(seed).standard_normal(self.dim).astype(np.float32)

    def _find(self, text: str) -> list[dict[str, Any]]:
        return [
            {
                "text": match.group(),
                "label": self._entities[match.group()],
                "start": match.start(),
                "end": match.end(),
            }
            for match in WORD.finditer(text)
            if match.group() in self._entities
        ]

    def _spoilt(
        self, vectors: npt.NDArray[np.float32], how: Failure | None
    ) -> npt.NDArray[np.float32]:
        if how == "wrong_shape":
            return vectors[:, :-1]
        if how == "nan":
            spoilt = vectors.copy()
            spoilt[..., 0] = np.nan
            return spoilt
        if how == "not_vectors":
            return "no vectors"  # type: ignore[return-value]
        return vectors
