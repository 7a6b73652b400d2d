"""Promise: an engine gives the vectors of the database, whoever calls it, and says what it cut.

The references are the model functions of the database, and for a model in a folder the sums that
its small graph stands for.
"""

import json
import logging
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, MLConfig
from embedded_db.embedding import EmbeddingEngine
from embedded_db.errors import BadText, InvalidInput, ModelUnavailable
from embedded_db.ml import load_functions
from embedded_db.ml.transformer import load_tokenizer
from embedded_db.ml.wordpiece import WordPiece

pytestmark = pytest.mark.usefixtures("real_models")
LONG = "alice met bob in paris " * 120
TEXTS = ["", "Alice met Bob in Paris", "ok", LONG, "wörds [SEP] 🙂 12345", "in France"]


@pytest.fixture(scope="module")
def engine() -> EmbeddingEngine:
    return EmbeddingEngine()


def test_the_vectors_are_those_of_the_database(engine: EmbeddingEngine) -> None:
    for quantize, name in ((False, "minilm-onnx"), (True, "minilm-onnx-int8")):
        theirs = load_functions(MLConfig(embedding=name))
        ours = EmbeddingEngine(quantize=quantize)
        got = ours.embed_batch(TEXTS)
        assert got.dtype == np.float32
        assert got.tobytes() == theirs.embed(TEXTS).tobytes(), "to the bit: it is one code"
        assert (ours.model, ours.precision) == (
            theirs.embedding_info()["model"], theirs.embedding_info()["precision"],
        )  # fmt: skip
    np.testing.assert_array_equal(engine.embed("ok"), engine.embed_batch(["ok"])[0])
    assert engine.embed_batch([]).shape == (0, 384)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_size_of_a_batch_changes_nothing(engine: EmbeddingEngine, batch: int) -> None:
    np.testing.assert_allclose(
        EmbeddingEngine(max_batch=batch).embed_batch(TEXTS), engine.embed_batch(TEXTS), atol=2e-6
    )


def test_what_is_cut_is_counted_and_logged(
    engine: EmbeddingEngine, caplog: pytest.LogCaptureFixture
) -> None:
    cutting = EmbeddingEngine(long_texts="cut")
    words = LONG.split()
    with caplog.at_level(logging.WARNING, "embedded_db.embedding"):
        vectors = cutting.embed_batch(["ok", LONG, " ".join(words[:254]), LONG])
    np.testing.assert_allclose(vectors[1], engine.embed(" ".join(words[:254])), atol=2e-6)
    assert cutting.count_tokens([LONG]) == [600]
    stats = cutting.stats()
    assert (stats.texts, stats.tokens) == (4, 1 + 600 + 254 + 600)
    assert (stats.truncated, stats.dropped) == (2, 2 * (600 - 254))
    assert "2 of 4 texts have more than the 254 tokens" in caplog.text
    engine.embed(LONG)
    assert engine.stats().truncated == 0, "a mean cuts nothing"
    assert not np.allclose(engine.embed(LONG), vectors[1], atol=1e-3)


def test_many_threads_and_several_models_at_once() -> None:
    engines = [EmbeddingEngine(), EmbeddingEngine(quantize=True), EmbeddingEngine(threads=1)]
    expected = [EmbeddingEngine(quantize=q).embed_batch(TEXTS) for q in (False, True, False)]
    barrier, wrong = threading.Barrier(9), []

    def work(number: int) -> None:
        barrier.wait()
        got = engines[number % 3].embed_batch(TEXTS)
        if not np.allclose(got, expected[number % 3], atol=2e-6):
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert [one.stats().texts for one in engines] == [3 * len(TEXTS)] * 3


def test_it_is_the_provider_of_a_database(path: Path, engine: EmbeddingEngine) -> None:
    with EmbeddedDB(path) as db:
        before = db.create_message(chat_id="c", content="Alice met Bob in Paris")
        db.flush(timeout=60)
    done = engine.stats().texts
    with EmbeddedDB(path, ml=MLConfig(embedding=engine)) as db:
        after = db.create_message(chat_id="c", content="Carol is in Rome")
        db.flush(timeout=60)
        assert {"Carol", "Rome"} <= {one.label for one in db.get_entities_mentioned_in(after.id)}
        assert [space["model"] for space in db._native.spaces()] == ["all-MiniLM-L6-v2"]
        found = [one.node.id for one in db.query(semantic_query={"text": "in France"}, limit=1)]
        assert found == [before.id]
        vector = db.get_embedding_for_node(after.id).vector
    np.testing.assert_allclose(vector, engine.embed("Carol is in Rome"), atol=2e-6)
    assert engine.stats().texts == done + 1, "the database counts nothing for its own passes"


def test_a_process_of_its_own_gets_the_same_engine(engine: EmbeddingEngine) -> None:
    again = pickle.loads(pickle.dumps(EmbeddingEngine(long_texts="cut", max_tokens=64)))
    assert (again.max_tokens, again._transformer.cut, again.loaded) == (64, True, False)
    np.testing.assert_allclose(again.embed("ok"), engine.embed("ok"), atol=2e-6)


def test_nothing_is_loaded_before_it_is_needed() -> None:
    engine = EmbeddingEngine()
    assert (engine.dim, engine.max_tokens, engine.loaded) == (384, 256, False)
    engine.warm_up()
    assert engine.loaded


# --- a model in a folder --------------------------------------------------------------------------

TABLE = np.random.default_rng(3).standard_normal((6, 8)).astype(np.float32)


def small_model(folder: Path, *, types: bool, pooled: bool = False) -> Path:
    """Words to rows of a table: what is embedded is their mean."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    inputs = [helper.make_tensor_value_info(one, kinds.INT64, ["n", "t"]) for one in names]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    outputs = [helper.make_tensor_value_info("last_hidden_state", kinds.FLOAT, ["n", "t", 8])]
    if pooled:
        nodes.append(
            helper.make_node("ReduceMax", ["last_hidden_state"], ["sentence_embedding"], keepdims=0)
        )
        nodes[-1].attribute.append(helper.make_attribute("axes", [1]))
        outputs.append(helper.make_tensor_value_info("sentence_embedding", kinds.FLOAT, ["n", 8]))
    table = onnx.numpy_helper.from_array(TABLE, "table")
    graph = helper.make_graph(nodes, "small", inputs, outputs, [table])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    vocabulary = {"[UNK]": 0, "<s>": 1, "</s>": 2, "red": 3, "wine": 4, "bicycle": 5}
    tokenizer: Any = {
        "version": "1.0", "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0,
        "direction": "Right"}, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1],
        "trim_offsets": True, "add_prefix_space": False},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    return folder


def mean(*ids: int) -> Any:
    total = TABLE[[1, *ids, 2]].sum(axis=0)
    return total / np.linalg.norm(total)


@pytest.mark.parametrize("types", [False, True])
def test_a_model_of_a_folder_is_pooled_by_its_mean(tmp_path: Path, types: bool) -> None:
    engine = EmbeddingEngine(small_model(tmp_path / "small", types=types), max_batch=2)
    vectors = engine.embed_batch(["red wine", "bicycle", "red red red", "strange"])
    for vector, ids in zip(vectors, ([3, 4], [5], [3, 3, 3], [0]), strict=True):
        np.testing.assert_allclose(vector, mean(*ids), atol=1e-6)
    assert (engine.model, engine.dim, engine.max_tokens) == ("small", 8, 6)
    assert engine.provider == "transformer-onnx"
    long = EmbeddingEngine(tmp_path / "small", long_texts="cut")
    np.testing.assert_allclose(long.embed("red wine red wine bicycle"), mean(3, 4, 3, 4), atol=1e-6)
    assert long.stats().dropped == 1


def test_a_model_that_pools_itself_does_so(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    engine = EmbeddingEngine(str(small_model(tmp_path / "max", types=False, pooled=True)))
    top = TABLE[[1, 3, 4, 2]].max(axis=0)
    np.testing.assert_allclose(engine.embed("red wine"), top / np.linalg.norm(top), atol=1e-6)


def test_a_database_with_a_model_of_a_folder(path: Path, tmp_path: Path) -> None:
    engine = EmbeddingEngine(small_model(tmp_path / "small", types=False))
    with EmbeddedDB(path, ml=MLConfig(embedding=engine, entities=None, summary=None)) as db:
        message = db.create_message(chat_id="c", content="red wine")
        db.flush(timeout=60)
        np.testing.assert_allclose(
            db.get_embedding_for_node(message.id).vector, mean(3, 4), atol=1e-6
        )


# --- without native code --------------------------------------------------------------------------

PURE = """
    import sys
    sys.modules["onnxruntime"] = sys.modules["tokenizers"] = None
    import numpy as np
    from embedded_db import NATIVE_AVAILABLE
    from embedded_db.embedding import EmbeddingEngine
    from embedded_db.errors import ModelUnavailable
    assert not NATIVE_AVAILABLE
    engine = EmbeddingEngine()
    np.save(sys.argv[1], engine.embed_batch(["Alice met Bob in Paris", "", "wörds [SEP] 🙂 12345"]))
    assert engine.provider == "minilm-numpy"
    try:
        EmbeddingEngine(quantize=True).embed("a")
    except ModelUnavailable as error:
        print(error)
"""


def test_without_native_code_numpy_gives_the_same(
    run_python: Any, engine: EmbeddingEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDED_DB_PURE", "1")
    run = run_python(PURE, tmp_path / "vectors.npy")
    assert run.returncode == 0, run.stderr
    assert "int8 needs onnxruntime" in run.stdout
    expected = engine.embed_batch(["Alice met Bob in Paris", "", "wörds [SEP] 🙂 12345"])
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), expected, atol=5e-6)


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Any, WordPiece]:
    folder = pytest.importorskip("embedded_db_minilm").path()
    return load_tokenizer(folder), WordPiece(folder / "tokenizer.json")


# What is newer than the tables of the package tokenizers is left out.
OLD = st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0x5FF)


@given(st.text(OLD, max_size=60) | st.text("aàÀß -.ſİΣσς中文👍\u0301\u00ad\u200b\t\n", max_size=60))
def test_the_tokens_of_python_are_those_of_the_package(
    tokenizers: tuple[Any, WordPiece], text: str
) -> None:
    theirs, ours = tokenizers
    for special in (False, True):
        expected = theirs.encode(text, add_special_tokens=special).ids
        assert ours.encode(text, add_special_tokens=special).ids == expected


def test_hard_words_have_the_same_tokens(tokenizers: tuple[Any, WordPiece]) -> None:
    theirs, ours = tokenizers
    for text in ("x" * 100, "x" * 101, "unbelievably", "ΟΔΟΣ", "[SEP] [PAD]", "don't--stop", LONG):
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, add_special_tokens=False).ids == expected


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("quantize", 1), ("threads", 0), ("max_batch", 0), ("max_tokens", -1), ("long_texts", "drop"),
     ("model", ""), ("model", 7)],
)  # fmt: skip
def test_wrong_arguments_name_their_field(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        EmbeddingEngine(**{name: value})
    assert error.value.field == name


def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no package of this name"):
        EmbeddingEngine("no_such_model")
    with pytest.raises(ModelUnavailable, match="is no folder"):
        EmbeddingEngine(tmp_path / "nothing").embed("a")
    with pytest.raises(ModelUnavailable, match="does not load"):
        EmbeddingEngine(tmp_path).embed("a")
    folder = small_model(tmp_path / "small", types=False)
    with pytest.raises(ModelUnavailable, match=r"no model-int8\.onnx"):
        EmbeddingEngine(folder, quantize=True).embed("a")
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelUnavailable, match="does not load"):
        EmbeddingEngine(folder).embed("a")


def test_wrong_texts_say_which(engine: EmbeddingEngine) -> None:
    with pytest.raises(BadText, match="Text 1"):
        engine.embed_batch(["fine", "half a pair \ud83d"])
    with pytest.raises(InvalidInput, match=r"\[text\]"):
        engine.embed_batch("one")
    with pytest.raises(InvalidInput, match="Text 0"):
        engine.embed(None)  # type: ignore[arg-type]
