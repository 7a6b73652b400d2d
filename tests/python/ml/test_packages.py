"""Models of other packages, made here as small as can be; `make test-models` installs these."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedded_db import EmbeddedDB, MLConfig
from embedded_db.errors import ModelUnavailable
from embedded_db.ml import Functions, load_functions

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] alice met bob in paris they talked of red wine . :".split()

CALLS: dict[str, Callable[[Functions], object]] = {
    "embedding": lambda functions: functions.embed(["a"]),
    "entities": lambda functions: functions.extract_entities("a"),
    "summary": lambda functions: functions.summarize(["a"]),
}
"""What asks for each function."""


def tokenizer_of(folder: Path) -> Any:
    """A tokenizer that knows a few words, kept in a folder."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(vocabulary), model_max_length=24)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of sentences with 16 dimensions that reads 12 tokens."""
    package = pytest.importorskip("sentence_transformers")
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    base = tmp_path_factory.mktemp("bert")
    tokenizer = tokenizer_of(base)
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    transformers.BertModel(config).save_pretrained(base)
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    reader = modules.Transformer(str(base), max_seq_length=12)
    folder = tmp_path_factory.mktemp("sentences")
    package.SentenceTransformer(modules=[reader, modules.Pooling(16)]).save(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that was taught nothing, but writes."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("summaries")
    tokenizer = tokenizer_of(folder)
    torch.manual_seed(1)
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=3,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pipeline that knows three names."""
    spacy = pytest.importorskip("spacy")
    made = spacy.blank("en")
    ruler = made.add_pipe("entity_ruler")
    people = [{"label": "PERSON", "pattern": name} for name in ("Alice", "Bob")]
    ruler.add_patterns([*people, {"label": "GPE", "pattern": "Paris"}])
    folder = tmp_path_factory.mktemp("pipeline") / "names"
    made.to_disk(folder)
    return str(folder)


def test_sentences_are_what_the_package_makes(sentences: str) -> None:
    package = pytest.importorskip("sentence_transformers")
    functions = load_functions(MLConfig(embedding=f"sentence-transformers:{sentences}"))
    assert functions.embedding_info()["dim"] is None, "nothing is loaded to be asked"
    assert functions.health()["embedding"]["available"]
    texts = ["Alice met Bob", "red wine in Paris", ""]
    direct = package.SentenceTransformer(sentences, device="cpu").encode(texts)
    np.testing.assert_allclose(functions.embed(texts), direct, atol=1e-6)
    info = functions.embedding_info()
    assert (info["dim"], info["provider"]) == (16, "sentence-transformers")
    assert info["model"] == sentences


def test_a_text_that_is_longer_than_a_model_reads_has_parts(sentences: str) -> None:
    functions = load_functions(
        MLConfig(embedding=f"sentence-transformers:{sentences}", entities=None)
    )
    long = "alice met bob in paris . " * 5
    texts = ["red wine", long]
    vectors, owner, _ = functions.enrich(texts, [0, 0], [True, True], [False, False])
    # Thirty words, ten at a time beside what stands at both ends.
    assert owner.tolist() == [0, 1, 1, 1]
    alone = functions.embed(["alice met bob in paris . alice met bob in "])
    np.testing.assert_allclose(vectors[1], alone[0], atol=1e-5)


def test_a_database_with_sentences_of_another_package(sentences: str, tmp_path: Path) -> None:
    config = MLConfig(
        embedding=f"sentence-transformers:{sentences}", entities=None, summary="extractive"
    )
    for _ in range(2):
        with EmbeddedDB(tmp_path / "memory.db", ml=config) as db:
            message = db.create_message("chat", "Alice met Bob")
            db.flush(timeout=300)
            assert message.embedding().vector.shape == (16,)
            assert db.query(semantic_query={"text": "Alice met Bob"})[0].similarity_score > 0.99


def test_names_of_a_pipeline(pipeline: str, tmp_path: Path) -> None:
    config = MLConfig(embedding="hashing", entities=f"spacy:{pipeline}", summary=None)
    functions = load_functions(config)
    text = "🎉 Alice met Bob\r\nin Paris"
    found = functions.extract_entities(text)
    assert [(it["text"], it["label"]) for it in found] == [
        ("Alice", "PERSON"),
        ("Bob", "PERSON"),
        ("Paris", "GPE"),
    ]
    assert all(text[it["start"] : it["end"]] == it["text"] for it in found)
    assert functions.health()["entities"]["loaded"]
    with EmbeddedDB(tmp_path / "memory.db", ml=config) as db:
        message = db.create_message("chat", "Alice met Bob", sender="Paris")
        db.flush(timeout=300)
        assert sorted(entity.label for entity in message.entities()) == ["Alice", "Bob"]


def test_summaries_of_a_model(summaries: str) -> None:
    config = MLConfig(
        embedding="hashing", entities=None, summary=f"transformers:{summaries}", timeout=300
    )
    functions = load_functions(config)
    assert not functions.health()["summary"]["loaded"]
    told = functions.summarize(["alice : they met", "bob : in paris"])
    assert isinstance(told, str)
    assert functions.health()["summary"]["loaded"]
    # More than it reads at once: part by part, and none is left out.
    parts = functions.summarize(["alice met bob in paris . " * 3] * 4).split("\n")
    assert len(parts) <= 4
    assert functions.summarize([]) == ""


@pytest.mark.parametrize(
    ("module", "values"),
    [
        ("sentence_transformers", {"embedding": "sentence-transformers:no/such-model"}),
        ("spacy", {"entities": "spacy:no_such_pipeline"}),
        ("transformers", {"summary": "transformers:no/such-model"}),
    ],
)
def test_a_model_that_is_not_here_is_named(module: str, values: dict[str, str]) -> None:
    pytest.importorskip(module)
    functions = load_functions(MLConfig(**({"embedding": "hashing"} | values)))
    with pytest.raises(ModelUnavailable, match=r"no.such.* does not load"):
        CALLS[next(iter(values))](functions)


@pytest.mark.parametrize(
    ("module", "extra", "values"),
    [
        ("sentence_transformers", "sentences", {"embedding": "sentence-transformers:model"}),
        ("spacy", "spacy", {"entities": "spacy:pipeline"}),
        ("transformers", "transformers", {"summary": "transformers:model"}),
    ],
)
def test_a_package_that_is_missing_is_named_with_what_installs_it(
    module: str, extra: str, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("embedded_db.ml.packages.is_installed", lambda _: False)
    for name in ("embeddings", "recognisers", "summarisers"):
        monkeypatch.setattr(f"embedded_db.ml.{name}.is_installed", lambda _: False)
    functions = load_functions(MLConfig(**({"embedding": "hashing"} | values)))
    kind = next(iter(values))
    health = functions.health()[kind]
    assert not health["available"]
    assert f'pip install "embedded-db[{extra}]"' in health["error"]
    with pytest.raises(ModelUnavailable) as caught:
        CALLS[kind](functions)
    assert f'pip install "embedded-db[{extra}]"' in (caught.value.hint or "")
