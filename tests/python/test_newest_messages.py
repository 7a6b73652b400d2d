"""The last messages of a chat are read from its end: in the exact order, and no others.

So is what `chat.context` chooses: the same as of the whole chat, with as much read as it takes.
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, InvalidInput, NotFound, ReadOnly
from embedded_db import context as choosing

AT = datetime(2026, 1, 1, tzinfo=UTC)


def drafts(count, **more):
    return [{"content": f"message {n}", "id": f"m{n}", **more} for n in range(count)]


def ids(messages):
    return [message.id for message in messages]


def test_the_order_is_that_of_the_chat_whatever_the_times_say(db):
    chat = db.create_chat()
    chat.add_messages(drafts(4, timestamp=AT))
    chat.add_message("earlier", id="early", timestamp=AT - timedelta(days=1))
    assert ids(chat.messages(newest_first=True)) == ["early", "m3", "m2", "m1", "m0"]
    assert ids(chat.messages(newest_first=True, limit=2)) == ["early", "m3"]
    assert ids(chat.messages(newest_first=True, after="m2")) == ["m1", "m0"]
    assert ids(chat.messages(newest_first=True, after="m0")) == []
    assert ids(chat.messages(after="m2")) == ["m3", "early"]


def test_pages_meet_without_a_gap(db):
    chat = db.create_chat()
    made = ids(chat.add_messages(drafts(1_300)))
    assert ids(chat.messages()) == made
    assert ids(chat.messages(newest_first=True)) == made[::-1]
    for newest_first, expected in ((False, made), (True, made[::-1])):
        assert ids(chat.messages(newest_first=newest_first, limit=600)) == expected[:600]
        found, cursor = [], None
        while True:
            page = chat.messages(after=cursor, limit=500, newest_first=newest_first)
            found += ids(page)
            cursor = page.cursor
            if cursor is None:
                break
        assert found == expected
    # What is iterated over is the state at the call.
    pages = chat.messages(newest_first=True)
    next(pages)
    chat.add_message("late")
    db.delete_node("m3")
    assert len(ids(pages)) == 1_299


def test_what_is_gone_is_left_out(db):
    chat = db.create_chat()
    chat.add_messages(drafts(5))
    db.delete_node("m4")
    db.delete_node("m2")
    assert ids(chat.messages(newest_first=True)) == ["m3", "m1", "m0"]
    assert ids(chat.messages(newest_first=True, after="m3")) == ["m1", "m0"]
    with pytest.raises(NotFound, match="'m2' is no message of chat"):
        chat.messages(newest_first=True, after="m2")
    other = db.create_chat().add_message("elsewhere")
    for after in (other, "nobody", chat):
        with pytest.raises(NotFound, match="no message of chat"):
            chat.messages(after=after)
    for wrong in (None, 1, "yes"):
        with pytest.raises(InvalidInput, match="newest_first"):
            chat.messages(newest_first=wrong)
    for wrong in (0, -1, True, "2"):
        with pytest.raises(InvalidInput, match="limit"):
            chat.messages(newest_first=True, limit=wrong)
    chat.delete()
    for arguments in ({}, {"newest_first": True}, {"after": other}):
        with pytest.raises(NotFound, match="no node"):
            chat.messages(**arguments)


def test_a_snapshot_reads_its_own_end(db):
    chat = db.create_chat(id="chat")
    chat.add_messages(drafts(3))
    with db.snapshot() as before:
        chat.add_message("late", id="late")
        db.delete_node("m1")
        assert ids(before.get_node("chat").messages(newest_first=True)) == ["m2", "m1", "m0"]
        assert ids(chat.messages(newest_first=True)) == ["late", "m2", "m0"]
        with pytest.raises(ReadOnly):
            before.get_node("chat").add_message("x")
        with pytest.raises(ReadOnly):
            before.get_node("chat").add_messages([])


def test_what_a_user_has_put_there_twice_is_there_twice(db):
    chat = db.create_chat()
    chat.add_messages(drafts(2))
    db.create_node({"id": "own", "label": "Thing"})
    for target in ("m0", "own"):
        db.create_edge({"source": chat, "target": target, "type": "CONTAINS"})
    in_order = ["m0", "m1", "m0", "own"]
    assert ids(chat.messages()) == in_order
    assert ids(chat.messages(newest_first=True)) == in_order[::-1]
    assert ids(chat.messages(after="m0")) == ["own"]
    assert ids(chat.messages(newest_first=True, after="m0")) == []
    with db.transaction() as tx:
        chat = tx.get_node(chat)
        assert ids(chat.messages(newest_first=True)) == in_order[::-1]
        assert ids(chat.messages(after="m0")) == ["own"]


# ---------------------------------------------------------------------- contexts

# Of ten messages in a chat eight are said, one is an instruction, one a call of a tool.
ROLES = ["user"] * 4 + ["assistant"] * 4 + ["system", "call"]
WORDS = "alpha beta gamma delta".split()
said = st.tuples(st.sampled_from(ROLES), st.lists(st.sampled_from(WORDS), min_size=1, max_size=5))


def messages_of(turns):
    for n, (role, text) in enumerate(turns):
        content = " ".join(text)
        if role != "call":
            yield {"role": role, "content": content, "id": f"m{n}"}
            continue
        call = {"id": f"c{n}", "function": {"name": "look", "arguments": "{}"}}
        yield {"role": "assistant", "content": None, "tool_calls": [call], "id": f"m{n}"}
        if len(text) > 1:  # else nobody has answered
            yield {"role": "tool", "content": content, "tool_call_id": f"c{n}", "id": f"m{n}a"}


def words(text):
    return len(text.split())


def expected(db, chat, query, budget):
    """Choose with the whole chat at hand, as the promise says it."""
    messages = list(chat.messages())
    starts = [n for n, message in enumerate(messages) if not choosing.is_answer(message)]
    units = {n: choosing.unit_of(iter(messages[n:])) for n in starts}
    costs = {
        n: sum(words(text) for m in unit.openai() for text in choosing.texts_of(m))
        for n, unit in units.items()
    }
    newest = [n for n in reversed(starts) if units[n].complete]
    left, taken = budget, set()

    def take(n):
        nonlocal left
        if n not in taken and costs[n] <= left:
            left -= costs[n]
            taken.add(n)

    def take_newest(share):
        floor = left - share
        for place, n in enumerate(newest):
            if n not in taken:
                if place > 0 and left - costs[n] < floor:
                    return
                take(n)

    if sum(costs[n] for n in newest) <= budget:
        taken = set(newest)
    else:
        instructions = 0
        while instructions < len(messages) and messages[instructions].role == "system":
            take(instructions)
            instructions += 1
        take_newest(left // 2)
        asked = query
        if asked is None:
            users = [message.content for message in messages if message.role == "user"]
            asked = users[-1] if users else ""
        if asked.strip():
            by_chat = {"property": "chat_id", "operator": "Equals", "value": chat.id}
            for found in db.query(
                structural_filters=[by_chat], text_query={"text": asked}, limit=100
            ):
                n = ids(messages).index(found.node.id)
                while n >= 0 and n not in units:
                    n -= 1
                if n >= 0 and units[n].complete:
                    take(n)
        take_newest(left)
    return [message for n in sorted(taken) for message in units[n].openai()]


@settings(max_examples=40)
@given(st.lists(said, max_size=30), st.integers(1, 40), st.sampled_from([None, *WORDS, "the"]))
def test_a_context_is_that_of_the_whole_chat(turns, budget, query):
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat()
        chat.add_messages(list(messages_of(turns)))
        db.create_message("other", "alpha beta gamma delta")
        found = chat.context(query, budget, count_tokens=words)
        assert found == expected(db, chat, query, budget)


def test_a_context_of_a_long_chat_reads_little_of_it(db, monkeypatch):
    made = []

    class Counted(choosing.Message):
        __slots__ = ()

        def __init__(self, owner, node):
            made.append(node.id)
            super().__init__(owner, node)

    monkeypatch.setattr(choosing, "Message", Counted)
    chat = db.create_chat()
    chat.add_message("be brief", role="system")
    chat.add_messages(drafts(2_000))
    chat.add_message("the bicycle is in Oslo", id="asked")
    chat.add_messages([{"content": f"more {n}"} for n in range(2_000)])
    context = chat.context("bicycle", 40, count_tokens=words)
    assert context[0]["content"] == "be brief"
    assert {"role": "user", "content": "the bicycle is in Oslo"} in context
    assert context[-1]["content"] == "more 1999"
    assert len(made) < 100
