"""A value over the limit is refused before it is copied: in little memory, nothing written."""

import sys

import pytest

from embedded_db import ValueTooLarge
from harness.lengths import more

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as on Linux")

LIMIT = 64 << 20

PROGRAM = """
import resource
import sys

from embedded_db import EmbeddedDB, ValueTooLarge

size = int(sys.argv[3])
value = {"text": lambda: "x" * size, "wide text": lambda: "é" * size, "bytes": lambda: bytes(size),
         "list": lambda: [0.5] * 10_000_000, "nested": lambda: {"a": [b"x" * size]}}[sys.argv[2]]()
with EmbeddedDB(sys.argv[1], ml=None) as db:
    db.create_node({"id": "a", "label": "X"})
    lsn = db.stats()["lsn"]
    # What is there, and room for a few copies of what may be stored; not for one of the value.
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20),) * 2)
    try:
        bytearray(size)
    except MemoryError:
        pass
    else:
        sys.exit("the limit of memory is none")
    calls = [
        lambda: db.create_node({"label": "X", "properties": {"p": value}}),
        lambda: db.create_nodes([{"label": "X"}, {"label": "X", "properties": {"p": value}}]),
        lambda: db.update_node("a", {"p": value}),
        lambda: db.create_edge({"source": "a", "target": "a", "type": "T",
                                "properties": {"p": value}}),
        lambda: db.create_chat(season=value),
    ]
    if isinstance(value, str):
        calls += [
            lambda: db.create_message("chat", value),
            lambda: db.get_node(value),
            lambda: db.delete_node(value),
            lambda: db.create_node({"id": value, "label": "X"}),
            lambda: db.namespace(value),
        ]
    for at, call in enumerate(calls):
        try:
            call()
        except ValueTooLarge as error:
            assert error.limit in (255, 1 << 16, 64 << 20), error.limit
            assert "limit" in str(error) and len(str(error)) < 1000
        else:
            sys.exit(f"call {at} did not fail")
    assert db.stats()["lsn"] == lsn
    assert db.verify()["ok"]
print("refused")
"""


@pytest.mark.parametrize(
    "kind", ["text", more("wide text"), more("bytes"), more("list"), more("nested")]
)
def test_a_huge_value_is_refused_in_little_memory(run_python, path, thorough, kind):
    run = run_python(PROGRAM, path, kind, 1_000_000_000 if thorough else 500_000_000)
    assert run.stdout == "refused\n", run.stderr


def test_the_limit_is_of_all_properties_together(db):
    half = "x" * (LIMIT // 2)
    with pytest.raises(ValueTooLarge) as caught:
        db.create_node({"label": "X", "properties": {"a": half, "b": half, "c": 1}})
    assert caught.value.limit == LIMIT
    id = db.create_node({"label": "X", "properties": {"a": half}})
    assert db.get_node(id)["a"] == half
    assert db.verify()["ok"]


def test_what_is_too_long_is_named(db):
    with pytest.raises(ValueTooLarge, match='^the property "content" is 67108869 bytes') as caught:
        db.create_message("c", "x" * LIMIT)
    assert (caught.value.property, caught.value.size) == ("content", LIMIT + 5)
    properties = {"a": "x" * (LIMIT - 100), "b": "y" * 100, "c": "z"}
    with pytest.raises(
        ValueTooLarge, match='^the sum of the properties up to "b" is 67108871 bytes'
    ) as caught:
        db.create_node({"label": "X", "properties": properties})
    assert (caught.value.property, caught.value.field) == (None, "properties")
    assert db.count() == 0


def test_texts_of_every_kind_come_back_whole(db):
    texts = [
        "",
        "a\0b\0",
        "\ufeffbom",
        "\u202eright to left",
        "e" + "\u0301" * 1_000_000,
        "\U0010ffff",
    ]
    ids = db.create_nodes([{"label": "X", "properties": {"p": text}} for text in texts])
    for id, text in zip(ids, texts, strict=True):
        assert db.get_node(id)["p"] == text


def test_a_million_keys_are_one_value(db):
    wide = {f"k{n}": n for n in range(1_000_000)}
    id = db.create_node({"label": "X", "properties": {"p": wide}})
    assert db.get_node(id)["p"] == wide
