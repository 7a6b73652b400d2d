"""The providers of summaries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from embedded_db.errors import InvalidInput
from embedded_db.ml import summary
from embedded_db.ml.callables import call_summary
from embedded_db.ml.encoders import Floats
from embedded_db.ml.loading import LOADING
from embedded_db.ml.packages import imported, install, is_installed, unloadable
from embedded_db.ml_config import MLConfig, named

__all__ = ["SummaryFunction", "summary_function"]

Embed = Callable[[Sequence[str]], Floats]


class SummaryFunction(Protocol):
    """What tells in short what was said."""

    def health(self) -> dict[str, Any]:
        """See `Functions.health`."""
        ...

    def summarize(self, messages: Sequence[str], vectors: Floats | None, embed: Embed) -> str:
        """See `Functions.summarize`; ``embed`` makes vectors where they are needed."""
        ...


def summary_function(config: MLConfig) -> SummaryFunction:
    """The provider that a configuration names."""
    chosen = config.summary
    if chosen is None:
        return _NoSummary()
    if not isinstance(chosen, str):
        return _CallableSummary(chosen)
    kind, argument = named(chosen)
    if kind == "transformers":
        return _Transformers(argument, config.download)
    return _Extractive()


def _health(provider: str | None, error: str | None, *, loaded: bool) -> dict[str, Any]:
    available = provider is not None and error is None
    return {"provider": provider, "available": available, "loaded": loaded, "error": error}


class _NoSummary:
    def health(self) -> dict[str, Any]:
        return _health(None, None, loaded=False)

    def summarize(self, messages: Sequence[str], vectors: Floats | None, embed: Embed) -> str:
        return ""


@dataclass(frozen=True)
class _CallableSummary:
    function: Callable[[list[str]], str]

    def health(self) -> dict[str, Any]:
        return _health("callable", None, loaded=True)

    def summarize(self, messages: Sequence[str], vectors: Floats | None, embed: Embed) -> str:
        return call_summary(self.function, messages)


class _Extractive:
    def health(self) -> dict[str, Any]:
        return _health("extractive", None, loaded=True)

    def summarize(self, messages: Sequence[str], vectors: Floats | None, embed: Embed) -> str:
        if vectors is None:
            few = len(messages) <= summary.MAX_MESSAGES
            vectors = np.empty((len(messages), 0), np.float32) if few else embed(messages)
        elif vectors.ndim != 2 or len(vectors) != len(messages):
            raise InvalidInput(
                f"vectors has shape {vectors.shape} for {len(messages)} messages",
                hint="Give float32 [n, dim], one row per message.",
            )
        return summary.extract(messages, np.asarray(vectors, np.float32))


class _Transformers:
    """A sequence-to-sequence model of the package ``transformers``.

    What is longer than the model reads is told part by part, a line each.
    """

    MOST_TOKENS = 142
    """Of what it tells of a part; what BART was trained to write."""

    def __init__(self, name: str, download: bool) -> None:
        self._name = name
        self._download = download
        self._loaded_model: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    def health(self) -> dict[str, Any]:
        names = [name for name in ("transformers", "torch") if not is_installed(name)]
        missing = f"{' and '.join(names)} missing. {install('transformers')}" if names else None
        loaded = self._loaded_model is not None
        return _health(f"transformers:{self._name}", missing, loaded=loaded)

    def summarize(self, messages: Sequence[str], vectors: Floats | None, embed: Embed) -> str:
        with self._lock:
            tokenizer, model = self._loaded()
            longest = _longest(tokenizer, model)
            told = [
                self._tell(tokenizer, model, part, longest)
                for part in _parts(tokenizer, messages, longest)
            ]
        return "\n".join(text for text in told if text)

    def _tell(self, tokenizer: Any, model: Any, text: str, longest: int) -> str:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)
        given = model.generate(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            max_new_tokens=self.MOST_TOKENS,
            do_sample=False,
        )
        return str(tokenizer.decode(given[0], skip_special_tokens=True)).strip()

    def _loaded(self) -> tuple[Any, Any]:
        if self._loaded_model is None:
            imported("torch", "transformers")
            package = imported("transformers", "transformers")
            options = {"local_files_only": not self._download}
            with LOADING:
                try:
                    tokenizer = package.AutoTokenizer.from_pretrained(self._name, **options)
                    model = package.AutoModelForSeq2SeqLM.from_pretrained(self._name, **options)
                except Exception as error:
                    raise unloadable(
                        "transformers", self._name, error, download=self._download
                    ) from error
                model.eval()
            self._loaded_model = (tokenizer, model)
        return self._loaded_model


def _longest(tokenizer: Any, model: Any) -> int:
    """Tokens that the model reads; a tokenizer that knows no end names a huge number."""
    known = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    return min(int(length) for length in [*known, 4096] if length)


def _parts(tokenizer: Any, messages: Sequence[str], longest: int) -> list[str]:
    """Messages in their order, as many in a part as the model reads at once."""
    room = longest - int(tokenizer.num_special_tokens_to_add())
    parts: list[list[str]] = []
    used = room
    for message in messages:
        length = len(tokenizer(message + "\n", add_special_tokens=False)["input_ids"])
        if used + length > room and (not parts or parts[-1]):
            parts.append([])
            used = 0
        parts[-1].append(message)
        used += length
    return ["\n".join(part) for part in parts]
