"""Every text gets the vector of all-MiniLM-L6-v2, whatever it is embedded together with.

The reference is the model run bare: one text, one window, no batching.
"""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db.errors import BadText, InvalidInput
from embedded_db.ml import Functions, MLConfig, load_functions

WORDS = "alice bob paris database rust meeting tomorrow coffee river seven".split()
LONG = " ".join(WORDS * 60)

texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join), max_size=20)


@pytest.fixture(scope="session")
def bare() -> Any:
    """One text of up to 256 tokens to its vector, on ONNX Runtime without anything of ours."""
    ort = pytest.importorskip("onnxruntime")
    tokenizers = pytest.importorskip("tokenizers")
    folder = pytest.importorskip("embedded_db_minilm").path()
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(folder / "model.onnx"), options)

    def embed(text: str) -> Any:
        ids = np.array([tokenizer.encode(text).ids])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        return session.run(["sentence_embedding"], feed)[0][0]

    return embed


@given(texts)
def test_a_vector_does_not_depend_on_its_batch(
    functions: Functions, bare: Any, texts: list[str]
) -> None:
    vectors = functions.embed(texts)
    assert vectors.shape == (len(texts), 384)
    assert vectors.dtype == np.float32
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(vector, bare(text), atol=2e-6)


def test_unit_length_and_meaning(functions: Functions) -> None:
    vectors = functions.embed(["a cat sleeps", "a kitten is napping", "the stock market fell", ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_a_long_text_has_parts_and_the_mean_of_them(functions: Functions) -> None:
    batch = ["short", LONG, "also short"]
    parts, owner, _ = functions.enrich(batch, [0] * 3, [True] * 3, [False] * 3)
    assert owner.tolist() == [0, 1, 1, 1, 2]
    assert owner.dtype == np.int32
    assert parts.shape == (5, 384)
    mean = parts[1:4].mean(axis=0)
    whole = functions.embed(batch)
    np.testing.assert_allclose(whole[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(whole[0], parts[0], atol=2e-6)


@pytest.mark.parametrize("words", [253, 254, 255, 256, 476, 477, 700])
def test_windows_overlap_by_32_of_254_tokens(functions: Functions, bare: Any, words: int) -> None:
    # Each of these words is one token, so windows can be written out here.
    tokens = (WORDS * 80)[:words]
    assert len(tokens) == words
    windows = [tokens[:254]]
    at = 222
    while at + 32 < words:
        windows.append(tokens[at : at + 254])
        at += 222
    if words <= 254:
        windows = windows[:1]
    parts, owner, _ = functions.enrich([" ".join(tokens)], [0], [True], [False])
    assert len(owner) == len(windows)
    for part, window in zip(parts, windows, strict=True):
        np.testing.assert_allclose(part, bare(" ".join(window)), atol=2e-6)


def test_only_what_is_wanted(functions: Functions) -> None:
    batch = ["Alice is here", LONG, "Bob is in Paris"]
    vectors, owner, entities = functions.enrich(
        batch, [0] * 3, [False, False, True], [True, False, False]
    )
    assert owner.tolist() == [2]
    np.testing.assert_allclose(vectors, functions.embed(batch[2:]), atol=2e-6)
    assert [each["text"] for each in entities[0]] == ["Alice"]
    assert entities[1:] == [[], []]


def test_nothing_in_nothing_out(functions: Functions) -> None:
    assert functions.embed([]).shape == (0, 384)
    vectors, owner, entities = functions.enrich([], [], [], [])
    assert (vectors.shape, owner.shape, entities) == ((0, 384), (0,), [])
    vectors, owner, entities = functions.enrich(["a", "b"], [0, 0], [False] * 2, [False] * 2)
    assert (vectors.shape, owner.shape, entities) == ((0, 384), (0,), [[], []])


def test_special_tokens_in_a_text_are_text(functions: Functions) -> None:
    vectors = functions.embed(["see [SEP] and [PAD] there", "see sep and pad there"])
    assert vectors[0] @ vectors[1] > 0.7


def test_numpy_gives_the_same_vectors(functions: Functions, thorough: bool) -> None:
    batch = ["Alice met Bob in Paris", "", *(["ok " * 100, LONG] if thorough else [])]
    numpy = load_functions(MLConfig(embedding="minilm-numpy"))
    np.testing.assert_allclose(numpy.embed(batch), functions.embed(batch), atol=5e-6)
    assert numpy.embedding_info()["model"] == functions.embedding_info()["model"]


def test_int8_is_close(functions: Functions) -> None:
    batch = [" ".join(WORDS[i:] + WORDS[:i]) + " and then we went home" for i in range(10)]
    small = load_functions(MLConfig(embedding="minilm-onnx-int8"))
    cosine = (small.embed(batch) * functions.embed(batch)).sum(axis=1)
    assert cosine.mean() > 0.98
    assert small.embedding_info()["precision"] == "int8"


def test_bad_input_names_the_text(functions: Functions) -> None:
    with pytest.raises(BadText, match="Text 1"):
        functions.embed(["fine", "half a pair \ud83d"])
    with pytest.raises(InvalidInput, match=r"\[text\]"):
        functions.embed("one string")
    with pytest.raises(InvalidInput, match="lengths"):
        functions.enrich(["a"], [0, 0], [True], [True])
    with pytest.raises(InvalidInput, match=r"starts\[0\]"):
        functions.enrich(["abc"], [4], [True], [True])


def test_plain_functions(functions: Functions) -> None:
    ml_funcs = importlib.import_module("embedded_db.ml.ml_funcs")
    vector = ml_funcs.generate_embedding("Alice met Bob")
    assert isinstance(vector, list)
    assert len(vector) == 384
    many = ml_funcs.generate_embeddings(["Alice met Bob", "ok"])
    np.testing.assert_allclose(many[0], vector, atol=2e-6)
    assert [e["text"] for e in ml_funcs.extract_entities("Alice met Bob")] == ["Alice", "Bob"]
    assert ml_funcs.summarize(["A: hello", "B: hi"]) == "A: hello\nB: hi"
    assert ml_funcs.health_check()["embedding"]["loaded"]
