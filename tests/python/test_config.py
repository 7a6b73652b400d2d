"""Configuration comes as keywords, an object, a dict or a file, and says what it does not know."""

import dataclasses
import re

import pytest

from embedded_db import Config, EmbeddedDB, InvalidInput, MLConfig, WeaverConfig
from embedded_db.testing import FakeModel


def test_the_ways_to_configure_are_one(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(
        'durability = "memory"\nlock_timeout = 1\nml = "none"\n[weaver]\nbatch_size = 8\n'
    )
    expected = Config(
        durability="memory", lock_timeout=1, ml=None, weaver=WeaverConfig(batch_size=8)
    )
    plain = {
        "durability": "memory",
        "lock_timeout": 1,
        "ml": None,
        "weaver": {"batch_size": 8},
    }
    assert Config.from_file(file) == Config.from_dict(plain) == expected
    with EmbeddedDB(":memory:", config=expected, lock_timeout=2.0) as db:
        assert db.config == dataclasses.replace(expected, lock_timeout=2.0)
    with EmbeddedDB(":memory:", **plain) as db:
        assert db.config == expected


def test_models_by_name(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[ml]\nembedding = "hashing"\nentities = "local"\nthreads = 1\n')
    assert Config.from_file(file).ml == MLConfig(embedding="hashing", threads=1)
    with pytest.raises(InvalidInput, match="embeding.*'embedding'"):
        Config.from_dict({"ml": {"embeding": "hashing"}})
    assert Config().ml == MLConfig()


def test_a_dict_changes_only_what_it_names():
    config = Config(
        ml=MLConfig(embedding="hashing", threads=1), weaver=WeaverConfig(max_attempts=2)
    )
    changed = config.with_options({"ml": {"entities": None}, "weaver": {"batch_size": 8}})
    assert changed.ml == MLConfig(embedding="hashing", entities=None, threads=1)
    assert changed.weaver == WeaverConfig(max_attempts=2, batch_size=8)
    assert Config(ml=None).with_options({"ml": {"threads": 1}}).ml == MLConfig(threads=1)


def test_a_configuration_does_not_change():
    config = Config(ml=None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.durability = "memory"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"durabilty": "memory"}, "durabilty.*'durability'"),
        ({"durability": "fast"}, "fast"),
        ({"lock_timeout": -1}, "lock_timeout is -1.*0 or more"),
        ({"lock_timeout": float("nan")}, "lock_timeout is nan"),
        ({"map_size_max": 10}, "map_size_max is 10"),
        ({"max_snapshot_age": "long"}, "max_snapshot_age is 'long'"),
        ({"max_snapshot_growth": 4096}, "max_snapshot_growth is 4096"),
        ({"warm_up": 1}, "warm_up is 1"),
        ({"language": "klingon"}, "klingon.*'english'"),
        ({"ml": 7}, "ml is 7.*MLConfig"),
        ({"weaver": 7}, "weaver is 7"),
        ({"weaver": {"batch_size": 0}}, "batch_size is 0"),
        ({"weaver": {"max_attempts": True}}, "max_attempts is True"),
        ({"weaver": {"first_delay": 9.0, "max_delay": 1.0}}, "max_delay is 1.0.*first_delay 9.0"),
        ({"weaver": {"activity_level": "Sleep"}}, "Sleep.*'SleepMode'"),
        ({"embedding_space": ""}, "embedding_space is ''"),
    ],
)
def test_what_is_wrong_is_named(options, words):
    with pytest.raises(InvalidInput, match=words):
        Config.from_dict(options)


def test_a_broken_file_is_named(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("durability = \n")
    with pytest.raises(InvalidInput, match=r"config\.toml.*TOML.*line 1"):
        Config.from_file(file)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    file = tmp_path / name
    with pytest.raises(InvalidInput, match=re.escape(repr(str(file)))) as caught:
        Config.from_file(file)
    assert caught.value.path == str(file)


def test_the_default_space_of_a_handle():
    with EmbeddedDB(":memory:", ml=None, embedding_space="mine") as db:
        db.create_node({"id": "a", "label": "X"})
        db.create_embedding({"node_id": "a", "vector": [1.0, 0.0]})
        assert db.get_embedding_for_node("a").space == "mine"
        assert len(db.query(semantic_query={"vector": [1.0, 0.0]})) == 1
        db.set_embeddings(["a"], [[0.0, 1.0]])
        assert db.get_embedding_for_node("a", "mine").vector.tolist() == [0.0, 1.0]


def test_models_load_when_the_database_is_opened():
    model = FakeModel()
    with EmbeddedDB(":memory:", ml=model) as db:
        db.create_message("chat", "Alice")
        db.flush(timeout=60)
        assert model.calls["warm_up"] == 1
    cold = FakeModel()
    with EmbeddedDB(":memory:", ml=cold, warm_up=False) as db:
        db.create_message("chat", "Alice")
        db.flush(timeout=60)
        assert cold.calls["warm_up"] == 0
