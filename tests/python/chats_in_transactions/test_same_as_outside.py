"""Chats, messages, facts and documents of a transaction are those of the same calls outside."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import DbError, EmbeddedDB, InvalidInput, Message

from .shared import Knows, Never, Person, contents, words

IDS = ["one", "two", "three", "four"]
ids = st.sampled_from(IDS)
call = st.one_of(
    st.tuples(st.just("create_chat"), ids),
    st.tuples(st.just("create_message"), ids, ids),
    st.tuples(st.just("add_messages"), ids, st.lists(ids, max_size=2)),
    st.tuples(st.just("remember"), ids, ids | st.none(), ids | st.none()),
    st.tuples(st.just("add_document"), ids),
    st.tuples(st.just("add_all"), st.lists(ids, max_size=2), ids, ids),
    st.tuples(st.just("forget"), ids),
    st.tuples(st.just("forget_source"), ids),
    st.tuples(st.just("save"), ids),
)


def do(where, name, *given):
    """Make a call on a database or a transaction; say what became of it."""
    try:
        if name == "create_chat":
            where.create_chat(f"chat {given[0]}", id=given[0])
        elif name == "create_message":
            where.create_message(given[0], f"says {given[1]}", id=given[1], sender="Ann")
        elif name == "add_messages":
            drafts = [{"content": "said", "id": id, "role": "assistant"} for id in given[1]]
            found = where.get_node(given[0])
            if found is None or "Chat" not in found.labels:
                return None
            return [message.id for message in found.add_messages(drafts)]
        elif name == "remember":
            id, about, old = given
            source = where.get_node(about) if about else None
            where.remember(
                "a fact",
                id=id,
                about=[about] if about else [],
                source=source or f"source {id}",
                supersedes=[old] if old else [],
            )
        elif name == "add_document":
            text = "First part.\n\nSecond part."
            where.add_document(
                text, id=given[0], source="source one", max_tokens=2, count_tokens=words
            )
        elif name == "add_all":
            people = [Person(id=id, name=id) for id in given[0]]
            where.add_all([*people, Knows(source=given[1], target=given[2])])
        elif name == "forget":
            return where.forget(given[0])
        elif name == "forget_source":
            return where.forget(source=f"source {given[0]}")
        elif name == "save":
            found = where.get_node(given[0])
            if isinstance(found, Message):
                found.content += "!"
                found.save()
    except DbError as error:
        # Several objects of one kind are a batch outside, which counts its items.
        return type(error), re.sub(r"^item \d+: ", "", str(error))
    return None


def dumped(db):
    """What is stored, told by the ids that were given, or by labels and texts."""
    names, nodes, edges = {}, [], []
    for node in db.nodes():
        node = getattr(node, "_node", node)
        properties = {key: value for key, value in node.properties.items() if key != "timestamp"}
        name = node.id if node.id in IDS else f"{node.labels} {properties.get('content')}"
        names[node.id] = name
        nodes.append((name, node.labels, properties, node.version))
    for id in names:
        edges += [
            (edge.type, names[edge.source], names[edge.target], edge.derived)
            for edge in db.edges(id)
        ]
    return sorted(map(repr, nodes)), sorted(edges)


@settings(max_examples=40)
@given(st.lists(call, min_size=1, max_size=12), st.integers(1, 12))
def test_a_transaction_does_what_the_same_calls_do_outside(calls, size):
    with EmbeddedDB(":memory:", ml=None) as db, EmbeddedDB(":memory:", ml=None) as other:
        for start in range(0, len(calls), size):
            with other.transaction() as tx:
                for one in calls[start : start + size]:
                    assert do(tx, *one) == do(db, *one)
                    for id in IDS:
                        within, outside = tx.get_node(id), db.get_node(id)
                        assert (within is None) == (outside is None)
                        if within is not None and "Chat" in within.labels:
                            assert contents(within) == contents(outside)
            assert dumped(other) == dumped(db)
        assert other.verify()["ok"]


def test_a_transaction_and_a_database_take_the_same_arguments():
    import inspect

    from embedded_db import Transaction

    for name in ("create_chat", "create_message", "add_document", "remember", "add", "add_all"):
        of = [inspect.signature(getattr(kind, name)) for kind in (EmbeddedDB, Transaction)]
        assert of[0] == of[1], name
    of = [inspect.signature(kind.neighbors).parameters for kind in (EmbeddedDB, Transaction)]
    assert len({tuple((p.name, p.kind, p.default) for p in each.values()) for each in of}) == 1
    assert {"limit", "after", "valid_at", "known_at"} <= of[0].keys()


@pytest.mark.parametrize("messages", [None, 5, Never])
def test_messages_are_a_list(db, messages):
    chat = db.create_chat(id="chat")
    with pytest.raises(InvalidInput, match=r"^the messages are .*Give a list of dicts"):
        chat.add_messages(messages)
    with db.transaction() as tx:
        chat = tx.get_node("chat")
        with pytest.raises(InvalidInput, match=r"^the messages are .*Give a list of dicts"):
            chat.add_messages(messages)
        chat.add_message("kept")
        assert contents(chat, limit=10**30) == ["kept"]
    assert contents(chat, limit=10**30) == ["kept"]
