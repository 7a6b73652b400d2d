"""The language model of the example: it follows a script, so that the example runs anywhere.

Another model takes its place by having the same two methods.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

Message = dict[str, Any]
"""An OpenAI-style message."""


class ChatModel(Protocol):
    """What the assistant needs of a model."""

    def answer(self, messages: Sequence[Message], tools: Sequence[str]) -> Message:
        """Give the next message of the assistant: a text, or calls of tools."""
        ...

    def stream(self, text: str) -> Iterator[str]:
        """Give a text piece by piece, as it would come over a wire."""
        ...


class ScriptedModel:
    """Remembers what it is told to, looks up what it is asked, and says what it found."""

    def __init__(self) -> None:
        self._calls = 0

    def answer(self, messages: Sequence[Message], tools: Sequence[str]) -> Message:
        last = messages[-1]
        if last["role"] == "tool":
            return {"role": "assistant", "content": str(last["content"])}
        said = str(last["content"])
        told = re.match(r"remember(?: that)? (.+)", said, re.IGNORECASE | re.DOTALL)
        if told is not None and "remember" in tools:
            return self._call("remember", fact=told[1])
        if said.rstrip().endswith("?") and "recall" in tools:
            return self._call("recall", query=said)
        return {"role": "assistant", "content": "I see."}

    def stream(self, text: str) -> Iterator[str]:
        yield from re.findall(r"\S+\s*", text)

    def _call(self, name: str, **arguments: str) -> Message:
        self._calls += 1
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": f"call_{self._calls}", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
