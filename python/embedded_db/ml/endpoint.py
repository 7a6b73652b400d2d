"""Embeddings from a server that speaks OpenAI's protocol.

The key is that of the environment variable ``OPENAI_API_KEY``, and sent where it is set; it is in
no message, file or log of ours.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final

import numpy as np

from embedded_db.errors import DbError, InvalidInput, ModelUnavailable
from embedded_db.ml.callables import checked_vectors
from embedded_db.ml.encoders import Floats
from embedded_db.ml.threads import within

__all__ = ["KEY", "Endpoint"]

KEY: Final = "OPENAI_API_KEY"
MOST_INPUTS: Final = 512
"""Texts in one request; servers take 2,048 at most."""
LONGEST: Final = 6_000
"""Characters of a text in one piece: fewer than 8,191 tokens in every script but the rarest."""

HARMLESS: Final = "Hello"
"""A text that no server fails at."""
REASON: Final = 5.0
"""Seconds to wait for the words of a refusal: its number has come."""

# What the text at hand is to blame for; everything else may be over soon.
_ITS_OWN_FAULT: Final = (400, 413, 422)
# The server, or what stands before it, is away or busy. Of other numbers above 499 one cannot tell.
_AWAY: Final = (502, 503, 504)
# What a socket takes at most is less than what a user may say.
_LONGEST_WAIT: Final = 1e6


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
        timeout: seconds that it has for all requests of a call.
    """

    url: str
    model: str
    timeout: float
    problem: str | None = field(default=None, init=False)
    """Why the last request had no answer."""

    @classmethod
    def of(cls, argument: str, timeout: float) -> Endpoint:
        """From ``URL,MODEL``, as `MLConfig` has checked it."""
        url, _, model = argument.partition(",")
        return cls(url.rstrip("/"), model.strip(), timeout)

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
            ModelUnavailable: the server cannot be reached, is late, is busy, fails at every text,
                refuses the key, or does not know the model.
            InvalidInput: it refuses the texts, fails at them alone, or answers with anything but
                their vectors.
        """
        deadline = time.monotonic() + self.timeout
        try:
            # A name that is looked up, and an answer that drips, keep to no limit of their own.
            return within(self.timeout, self._embed, texts, deadline)
        except TimeoutError as error:
            raise self._unreached(error) from error

    def _embed(self, texts: Sequence[str], deadline: float) -> Floats:
        answers = [
            self._request(texts[at : at + MOST_INPUTS], deadline)
            for at in range(0, len(texts), MOST_INPUTS)
        ]
        return np.concatenate(answers) if answers else np.empty((0, 0), np.float32)

    def _request(self, texts: Sequence[str], deadline: float) -> Floats:
        try:
            answer = self._answer(texts, deadline)
        except urllib.error.HTTPError as error:
            raise self._refused(error, deadline) from error
        except (OSError, HTTPException, UnicodeError) as error:
            raise self._unreached(error) from error
        self.problem = None
        return self._vectors(answer, len(texts))

    def _answer(self, texts: Sequence[str], deadline: float) -> bytes:
        body = json.dumps({"model": self.model, "input": list(texts)}).encode()
        request = urllib.request.Request(f"{self.url}/embeddings", body, _headers())
        opener = urllib.request.build_opener(_NoRedirect)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        with opener.open(request, timeout=min(left, _LONGEST_WAIT)) as response:
            answer: bytes = response.read()
        return answer

    def _unreached(self, error: Exception) -> ModelUnavailable:
        self.problem = f"{self.url} cannot be reached ({error})"
        return ModelUnavailable(
            self.problem, hint="Start the server, or mend the URL; work waits until then"
        )

    def _refused(self, error: urllib.error.HTTPError, deadline: float) -> DbError:
        message = f"{self.url} answered {error.code} {error.reason}: {_said(error):.500}"
        if error.code in _ITS_OWN_FAULT:
            return InvalidInput(message, hint="The server does not take this text")
        if error.code >= 500 and error.code not in _AWAY and self._answers_others(deadline):
            self.problem = None
            return InvalidInput(
                message, hint="The server fails at what it was given, and answers another text"
            )
        self.problem = message
        remedy = "Work waits and is tried again"
        if error.code in {401, 403}:
            remedy = f"Set the environment variable {KEY} to a key that the server takes"
        elif error.code == 404:
            remedy = "Mend the URL (it ends before /embeddings) or the name of the model"
        return ModelUnavailable(message, hint=remedy)

    def _answers_others(self, deadline: float) -> bool:
        try:
            self._vectors(self._answer([HARMLESS], deadline), 1)
        except (OSError, HTTPException, DbError):
            return False
        return True

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


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    key = os.environ.get(KEY, "").strip()
    # What is raised for such a header shows it.
    if not (key.isascii() and key.isprintable()):
        raise ModelUnavailable(
            f"The environment variable {KEY} holds characters that no key has",
            hint="Set it to the key alone: one line of ASCII",
        )
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _said(error: urllib.error.HTTPError) -> str:
    def read() -> bytes:
        with closing(error):
            return error.read(2_000)

    try:
        return within(REASON, read).decode("utf-8", "replace").strip()
    except (OSError, HTTPException) as broken:
        return f"(the rest did not come: {broken!s:.100})"
