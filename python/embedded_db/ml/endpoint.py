"""Embeddings from a server that speaks OpenAI's protocol.

The key is that of the environment variable ``OPENAI_API_KEY``, and sent where it is set; it is in
no message, file or log of ours.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final

import numpy as np

from embedded_db.errors import InvalidInput, ModelUnavailable
from embedded_db.ml.callables import checked_vectors
from embedded_db.ml.encoders import Floats

__all__ = ["KEY", "Endpoint"]

KEY: Final = "OPENAI_API_KEY"
TIMEOUT: Final = 60.0
"""Seconds to wait for an answer, unless `MLConfig.timeout` says otherwise."""
MOST_INPUTS: Final = 512
"""Texts in one request; servers take 2,048 at most."""
LONGEST: Final = 6_000
"""Characters of a text in one piece: fewer than 8,191 tokens in every script but the rarest."""

# What the text at hand is to blame for; everything else may be over soon.
_ITS_OWN_FAULT: Final = (400, 413, 422)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes to the server that was named, and to no other."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


@dataclass
class Endpoint:
    """A server and a model of it.

    Args:
        url: where the protocol begins, e.g. ``https://api.openai.com/v1``.
        model: its name there.
        timeout: seconds to wait for an answer.
    """

    url: str
    model: str
    timeout: float = TIMEOUT
    problem: str | None = field(default=None, init=False)
    """Why the last request had no answer."""

    @classmethod
    def of(cls, argument: str, timeout: float | None) -> Endpoint:
        """From ``URL,MODEL``, as `MLConfig` has checked it."""
        url, _, model = argument.partition(",")
        return cls(url.rstrip("/"), model.strip(), TIMEOUT if timeout is None else timeout)

    def cut(self, text: str) -> list[str]:
        """A long text in pieces, between words where there are some."""
        pieces = []
        while len(text) > LONGEST:
            end = text.rfind(" ", LONGEST // 2, LONGEST) + 1 or LONGEST
            pieces.append(text[:end])
            text = text[end:]
        return [*pieces, text]

    def embed(self, texts: Sequence[str]) -> Floats:
        """One vector a text, float32 [n, dim].

        Raises:
            ModelUnavailable: the server cannot be reached, is busy, refuses the key, or does not
                know the model.
            InvalidInput: it refuses the texts, or answers with anything but their vectors.
        """
        answers = [
            self._request(texts[at : at + MOST_INPUTS]) for at in range(0, len(texts), MOST_INPUTS)
        ]
        return np.concatenate(answers) if answers else np.empty((0, 0), np.float32)

    def _request(self, texts: Sequence[str]) -> Floats:
        body = json.dumps({"model": self.model, "input": list(texts)}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url}/embeddings", body, headers)
        try:
            opener = urllib.request.build_opener(_NoRedirect)
            with opener.open(request, timeout=self.timeout) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except (OSError, HTTPException) as error:
            self.problem = f"{self.url} cannot be reached ({error})"
            raise ModelUnavailable(
                self.problem, hint="Start the server, or mend the URL; work waits until then"
            ) from error
        self.problem = None
        return self._vectors(answer, len(texts))

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        said = error.read(2_000).decode("utf-8", "replace").strip()
        message = f"{self.url} answered {error.code} {error.reason}: {said:.500}"
        if error.code in _ITS_OWN_FAULT:
            return InvalidInput(message, hint="The server does not take this text")
        self.problem = message
        remedy = "Work waits and is tried again"
        if error.code in {401, 403}:
            remedy = f"Set the environment variable {KEY} to a key that the server takes"
        elif error.code == 404:
            remedy = "Mend the URL (it ends before /embeddings) or the name of the model"
        return ModelUnavailable(message, hint=remedy)

    def _vectors(self, answer: bytes, count: int) -> Floats:
        try:
            data = json.loads(answer)["data"]
            rows: list[Any] = [None] * count
            for place, item in enumerate(data):
                rows[item.get("index", place)] = item["embedding"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InvalidInput(
                f"{self.url} answered what is no list of embeddings: {answer[:200]!r}",
                hint="Is it an endpoint of OpenAI's protocol?",
            ) from error
        return checked_vectors(f"of {self.url}", rows, count, None)
