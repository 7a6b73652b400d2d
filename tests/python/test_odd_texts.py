"""Any text comes back exactly, or is refused as `BadText`; any name is told apart to its last byte.

Half a character (a lone surrogate) cannot be stored as UTF-8; a NUL may stand in texts, not in
names.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import BadText, EmbeddedDB, InvalidInput, ValueTooLarge

ODD = [
    "\0",
    "\ud800",
    "\udfff",
    "\ufeff",
    "\u202e",
    "\u0301",
    "\u200b",
    "\uffff",
    "\U0010ffff",
    "\n",
]
any_text = st.text(
    st.one_of(st.characters(), st.sampled_from(ODD), st.characters(categories=["Cs", "Mn", "Cc"])),
    max_size=30,
)


def is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def is_name(text: str) -> bool:
    return is_whole(text) and "\0" not in text and 0 < len(text.encode()) <= 255


def writes(db: EmbeddedDB, text: str) -> None:
    """Store a text wherever one can stand, and look whether it is the same, or refused."""
    places: dict[str, Any] = {
        "a value": lambda: db.create_node({"label": "X", "properties": {"p": text}}),
        "an inner value": lambda: db.create_node({"label": "X", "properties": {"p": [text]}}),
        "an inner name": lambda: db.create_node({"label": "X", "properties": {"p": {text: 1}}}),
        "a message": lambda: db.create_message("chat", text).id,
        "a sender": lambda: db.create_message("chat", "content", sender=text).id,
        "a title": lambda: db.create_chat(text).id,
    }
    reads: dict[str, Any] = {
        "a value": lambda node: node["p"],
        "an inner value": lambda node: node["p"][0],
        "an inner name": lambda node: next(iter(node["p"])),
        "a message": lambda node: node.content,
        "a sender": lambda node: node.sender,
        "a title": lambda node: node.title,
    }
    for place, write in places.items():
        lsn = db.stats()["lsn"]
        try:
            id = write()
        except BadText as error:
            assert not is_whole(text) or ("name" in place and "\0" in text), place
            str(error).encode()  # it can be printed
            assert db.stats()["lsn"] == lsn
        except InvalidInput:
            assert text == "", place
            assert db.stats()["lsn"] == lsn
        else:
            assert is_whole(text), place
            read = reads[place](db.get_node(id))
            assert (read, len(read)) == (text, len(text)), place


@settings(max_examples=2 * settings.default.max_examples)
@given(any_text)
def test_any_text_comes_back_or_is_refused(text):
    with EmbeddedDB(":memory:", ml=None) as db:
        writes(db, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "before\0after",
        "\ud800",
        "a\udc00\ud800b",
        "\ufeffwith a byte order mark",
        "\u202eright to left\u202c",
        "e" + "\u0301" * 1_000_000,
        "\U0010ffff" * 1000,
        "\r\n\t\x1b[31m",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_texts_known_to_be_hard(path, text):
    with EmbeddedDB(path, ml=None) as db:
        writes(db, text)
        assert db.verify()["ok"]
        stored = sorted(repr(node["p"]) for node in db.nodes("X"))
    with EmbeddedDB(path, ml=None) as db:
        assert sorted(repr(node["p"]) for node in db.nodes("X")) == stored


@settings(max_examples=2 * settings.default.max_examples)
@given(any_text)
def test_any_name_is_taken_or_refused_everywhere_alike(text):
    """Ids of nodes, edges and vectors, labels, types, properties, spaces and namespaces."""
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_node({"id": "\u00e9 other", "label": "\u00e9 label"})
        ends = {"source": "\u00e9 other", "target": "\u00e9 other"}
        vector = {"node_id": "\u00e9 other", "vector": [1.0]}
        chats = db.namespace("chats")
        calls = {
            "id": lambda: db.create_node({"id": text, "label": "\u00e9 label"}),
            "label": lambda: db.create_node({"label": text}),
            "property": lambda: db.create_node({"label": "\u00e9 label", "properties": {text: 1}}),
            "edge": lambda: db.create_edge({**ends, "id": text, "type": "T"}),
            "type": lambda: db.create_edge({**ends, "type": text}),
            "embedding": lambda: db.create_embedding({**vector, "id": text, "space": "s"}),
            "space": lambda: db.create_embedding({**vector, "space": text}),
            "chat": lambda: chats.create_chat(id=text),
            "namespace": lambda: db.namespace(text).namespace_name,
        }
        for place, call in calls.items():
            lsn = db.stats()["lsn"]
            if is_name(text):
                call()
                continue
            with pytest.raises(InvalidInput) as caught:
                call()
            str(caught.value).encode()  # it can be printed
            assert db.stats()["lsn"] == lsn, place
        if is_name(text):
            assert db.get_node(text).id == text
            assert text in {space["name"] for space in db.spaces()}
            assert text in db.namespaces()
            assert [edge.id for edge in db.edges("\u00e9 other", text)] != []
            assert db.count(text) == 1
        assert db.verify()["ok"]


# --- long names -----------------------------------------------------------------------------------

LONGEST = "k" * 254


def test_names_of_255_bytes_are_told_apart_by_their_last(path):
    """Longer than any key that the store itself would take with its prefixes."""
    ends = [LONGEST + "a", LONGEST + "b", "\u00e9" * 127 + "x"]
    with EmbeddedDB(path, ml=None) as db:
        for name in ends:
            space = db.namespace(name)
            space.create_node({"id": name, "label": name, "properties": {name: name, "p": name}})
            space.create_edge({"id": name, "source": name, "target": name, "type": name})
            space.create_embedding({"id": name, "node_id": name, "vector": [1.0], "space": name})
            space.create_message("chat", "text", sender=name)
            space.create_index(name, name)
            space.flush()
    with EmbeddedDB(path, ml=None) as db:
        for name in ends:
            space = db.namespace(name)
            where = [{"property": name, "operator": "Equals", "value": name}]
            assert [r.node.id for r in space.query(structural_filters=where)] == [name]
            assert [edge.id for edge in space.edges(name, name)] == [name]
            assert space.get_embedding_for_node(name, name).id == name
            for other in ends:
                assert space.exists(other) == (other == name)
                assert space.count(other) == (other == name)
        assert db.verify()["ok"]
        for name in ends:
            db.drop_namespace(name)
        assert (db.namespaces(), db.count()) == (["default"], 0)
        assert db.verify()["ok"]


@pytest.mark.parametrize("name", ["k" * 256, "\u00e9" * 128, "k" * 512, "k" * 100_000])
def test_names_over_255_bytes_are_refused(db, name):
    db.create_node({"id": "a", "label": "X"})
    ends = {"source": "a", "target": "a"}
    lsn = db.stats()["lsn"]
    for call in (
        lambda: db.create_node({"id": name, "label": "X"}),
        lambda: db.create_node({"label": name}),
        lambda: db.create_node({"label": "X", "properties": {name: 1}}),
        lambda: db.create_edge({**ends, "type": name}),
        lambda: db.create_edge({**ends, "type": "T", "id": name}),
        lambda: db.create_embedding({"node_id": "a", "vector": [1.0], "space": name}),
        lambda: db.create_chat(id=name),
        lambda: db.create_message(name, "text"),
        lambda: db.namespace(name),
        lambda: db.create_index(name, "p"),
        lambda: db.create_index("X", name),
        lambda: db.declare_label(name, text=["p"]),
    ):
        with pytest.raises(ValueTooLarge, match=f"{len(name.encode())}.*(255|65536)") as caught:
            call()
        assert caught.value.size == len(name.encode())
        assert caught.value.limit in ((255,) if len(name) < 1 << 16 else (255, 1 << 16))
        assert len(str(caught.value)) < 2000
    assert db.stats()["lsn"] == lsn
    assert db.get_node("a") is not None


def test_long_values_in_an_index_are_told_apart(db):
    """An index keeps the beginning of a value; equal beginnings are looked up in the nodes."""
    values = ["k" * n for n in (199, 200, 201, 510, 511, 512, 5000)]
    values += ["k" * 5000 + end for end in ("a", "b", "\0")]
    db.create_index("X", "p", unique=True)
    db.flush()
    db.create_nodes(
        [{"id": str(n), "label": "X", "properties": {"p": v}} for n, v in enumerate(values)]
    )

    def found(operator: str, value: Any) -> set[str]:
        where = [{"property": "p", "operator": operator, "value": value}]
        results = db.query(structural_filters=where, labels=["X"], limit=100)
        return {values[int(result.node.id)] for result in results}

    for value in values:
        assert found("Equals", value) == {value}
        assert found("StartsWith", value) == {each for each in values if each.startswith(value)}
        assert found("LessThan", value) == {each for each in values if each < value}
        with pytest.raises(InvalidInput):
            db.create_node({"label": "X", "properties": {"p": object()}})
    assert found("In", values[3:5]) == set(values[3:5])
    assert found("Equals", "k" * 5001) == set()
    assert db.verify()["ok"]
