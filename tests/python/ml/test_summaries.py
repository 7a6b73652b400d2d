"""An extractive summary is a few whole messages of the chat, in order, within 600 characters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db.errors import InvalidInput
from embedded_db.ml import Functions, MLConfig, load_functions
from embedded_db.ml.summary import MAX_CHARACTERS, MAX_MESSAGES, extract

lines = st.text(st.characters(codec="utf-8"), max_size=900)


@given(st.lists(lines, max_size=12), st.integers(0, 2**32 - 1))
def test_bounded_and_taken_from_the_chat(messages: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    summary = extract(messages, rng.normal(size=(len(messages), 8)).astype(np.float32))
    assert len(summary) <= MAX_CHARACTERS
    parts = summary.split("\n") if summary else []
    assert len(parts) <= MAX_MESSAGES
    at = 0
    plain = [" ".join(message.split()) for message in messages]
    for part in parts:
        while not plain[at].startswith(part.removesuffix("…")):
            at += 1
        at += 1


CHAT = [
    "Ann: Shall we move the database to Rust this quarter?",
    "Ben: ok",
    "Ben: The storage engine in Rust would make our database much faster.",
    "Ann: hmm",
    "Cy: What is for lunch?",
    "Ann: Then let us start with the database storage layer in Rust on Monday.",
    "Cy: Thanks!",
    "Ben: thanks",
]


def test_says_what_the_chat_is_about(functions: Functions) -> None:
    summary = functions.summarize(CHAT).split("\n")
    assert summary[0] == CHAT[0]
    assert set(summary) <= set(CHAT)
    assert not {"Ben: ok", "Ann: hmm", "Cy: Thanks!", "Ben: thanks"} & set(summary)
    assert sum("Rust" in line for line in summary) >= 2


def test_known_vectors_are_used(functions: Functions) -> None:
    assert functions.summarize(CHAT, functions.embed(CHAT)) == functions.summarize(CHAT)

    def never(texts: list[str]) -> list[list[float]]:
        raise AssertionError("computed although known")

    given_vectors = load_functions(MLConfig(embedding=never))
    assert given_vectors.summarize(CHAT, functions.embed(CHAT)) == functions.summarize(CHAT)


def test_short_chats_are_their_own_summary() -> None:
    functions = load_functions(MLConfig(embedding="hashing"))
    assert functions.summarize([]) == ""
    assert functions.summarize(["A: hi"]) == "A: hi"
    assert functions.summarize(["A: hi", "B: hello\nthere"]) == "A: hi\nB: hello there"


def test_thousands_of_messages(functions: Functions) -> None:
    vectors = np.random.default_rng(0).normal(size=(20_000, 384)).astype(np.float32)
    messages = [f"A: message number {i} says something of its own here" for i in range(20_000)]
    assert len(functions.summarize(messages, vectors).split("\n")) == MAX_MESSAGES


@given(
    st.lists(st.text("ab é水🙂", max_size=120), min_size=4, max_size=40),
    st.integers(0, 1 << 32),
)
def test_it_is_a_third_of_what_was_said(messages: list[str], seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(messages), 8)).astype(np.float32)
    chosen = extract(messages, vectors).split("\n")
    assert len(chosen) <= MAX_MESSAGES
    if len(chosen) > 1:
        length = sum(len(message.encode()) for message in messages)
        assert len("".join(chosen).encode()) <= max(length / 3, 150)


def test_a_language_without_spaces() -> None:
    messages = [f"王芳: 我们今天讨论第{n}个关于数据库存储引擎的问题" for n in range(12)]
    assert len(extract(messages, np.eye(12, dtype=np.float32)).split("\n")) == MAX_MESSAGES


def test_wrong_vectors_and_switched_off() -> None:
    functions = load_functions(MLConfig(embedding="hashing"))
    with pytest.raises(InvalidInput, match="shape"):
        functions.summarize(CHAT, np.zeros((2, 384), np.float32))
    assert load_functions(MLConfig(summary=None)).summarize(CHAT) == ""
