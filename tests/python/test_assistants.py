"""A chat keeps what an assistant says and does, and gives back what its model should see next.

OpenAI-style messages come back as they were added. A context fits its budget, keeps the order, and
never parts a call of a tool from its answer. A streamed answer grows in place.
"""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import (
    EmbeddedDB,
    EnrichmentFailed,
    InvalidInput,
    ModelUnavailable,
    NotFound,
    ReadOnly,
)
from embedded_db.testing import FakeModel
from embedded_db.token_count import count_tokens

WORDS = "alpha beta gamma delta epsilon zeta eta theta".split()


def words(text):
    return len(text.split())


def texts(message):
    """Every text a model reads of an OpenAI-style message, told apart by hand."""
    content = message.get("content")
    found = [content] if isinstance(content, str) else []
    for part in content if isinstance(content, list) else []:
        found += [part[key] for key in ("text", "refusal") if key in part]
    for call in message.get("tool_calls", []):
        found += [call["function"]["name"], call["function"]["arguments"]]
    return found + [message[key] for key in ("name", "refusal") if key in message]


def cost(messages, count=words):
    return sum(count(text) for message in messages for text in texts(message))


# --- messages -------------------------------------------------------------------------------------

text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
name = st.sampled_from(["ann", "bob_2", "Zoë"])
parts = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, text),
        st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
        st.just({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def turn(draw):
    """One or several messages that an OpenAI interface would take together."""
    kind = draw(st.sampled_from(["user", "parts", "assistant", "tools", "refusal", "system"]))
    if kind == "user":
        message = {"role": "user", "content": draw(text)}
        return [message | ({"name": draw(name)} if draw(st.booleans()) else {})]
    if kind == "parts":
        return [{"role": "user", "content": draw(parts)}]
    if kind == "refusal":
        return [{"role": "assistant", "content": None, "refusal": draw(text)}]
    if kind in ("assistant", "system"):
        return [{"role": kind, "content": draw(text)}]
    ids = draw(st.lists(st.integers(0, 99).map(str), min_size=1, max_size=3, unique=True))
    calls = [
        {"id": id, "type": "function", "function": {"name": "look", "arguments": draw(text)}}
        for id in ids
    ]
    said = draw(st.none() | text)
    answers = [{"role": "tool", "tool_call_id": id, "content": draw(text)} for id in ids]
    draw(st.randoms(use_true_random=False)).shuffle(answers)
    return [{"role": "assistant", "content": said, "tool_calls": calls}, *answers]


conversation = st.lists(turn(), max_size=12)


@given(turns=conversation, one_by_one=st.booleans())
def test_openai_messages_come_back_as_they_were_added(turns, one_by_one):
    messages = [message for turn in turns for message in turn]
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat()
        if one_by_one:
            for message in messages:
                chat.add_message(**message)
        else:
            chat.add_messages(messages)
        assert chat.to_openai() == messages
        assert [message.to_openai() for message in chat.messages()] == messages


def test_the_text_parts_are_the_content(woven):
    chat = woven.create_chat()
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    message = chat.add_message(
        [{"type": "text", "text": "Who met"}, image, {"type": "text", "text": "Alice in Paris?"}],
        sender="Bob",
    )
    assert message.content == "Who met\nAlice in Paris?"
    assert message.parts[1] == image
    woven.flush(timeout=60)
    assert {entity.label for entity in message.entities()} == {"Alice", "Paris"}
    [found] = woven.query(text_query={"text": "paris"}, labels=["Message"])
    assert found.node == message
    message.content = "Nothing"
    message.save()
    assert message.to_openai() == {"role": "user", "content": "Nothing", "name": "Bob"}


def test_a_message_of_another_kind_is_refused(db):
    chat = db.create_chat()
    for content, problem in [
        (None, "without a content"),
        ([], "content of message 0"),
        (7, "content of message 0"),
        (["text"], r"content\[0\]"),
        ([{"text": "x"}], r"content\[0\].*type"),
        ([{"type": "text"}], r"content\[0\].*text"),
    ]:
        with pytest.raises(InvalidInput, match=problem):
            chat.add_message(content)
    with pytest.raises(InvalidInput, match="tool_calls of message 0"):
        chat.add_message("x", tool_calls=7)
    with pytest.raises(InvalidInput, match="tool_call_id of message 1"):
        chat.add_messages([{"content": "x"}, {"content": "y", "tool_call_id": 3}])
    assert list(chat.messages()) == []


def test_senders_and_roles_become_what_openai_takes(db):
    chat = db.create_chat()
    chat.add_message("Hello", sender="Ann Lee <ann>", role="friend")
    chat.add_message("Hi", name="bob", role="assistant")
    assert [message.sender for message in chat.messages()] == ["Ann Lee <ann>", "bob"]
    assert chat.to_openai() == [
        {"role": "user", "content": "Hello", "name": "Ann_Lee_ann_"},
        {"role": "assistant", "content": "Hi", "name": "bob"},
    ]


def call(id):
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}}


def test_half_calls_are_left_out(db):
    chat = db.create_chat()
    lost, _, asked, answered, _ = chat.add_messages(
        [
            {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "assistant", "content": "Wait", "tool_calls": [call("c")]},
            {"role": "tool", "tool_call_id": "c", "content": "2"},
            {"role": "assistant", "content": None, "tool_calls": [call("d")]},
        ]
    )
    kept = [asked.to_openai(), answered.to_openai()]
    assert chat.context(count_tokens=words) == kept
    assert chat.to_openai()[:2] == kept
    assert chat.to_openai()[2]["tool_calls"] == [call("d")], "it may be answered yet"
    lost.delete()
    assert chat.to_openai()[:2] == kept, "an answer goes with its call"
    asked.delete()
    assert chat.context(count_tokens=words) == []


# --- streaming ------------------------------------------------------------------------------------


def test_an_answer_grows_in_place(woven):
    chat = woven.create_chat()
    answer = chat.add_message("", role="assistant")
    for piece in ["Alice", " met", "", " Bob"]:
        answer.append(piece)
    assert answer.content == woven.get_node(answer.id).content == "Alice met Bob"
    assert answer.version == 4, "nothing appended is no write"
    woven.flush(timeout=60)
    assert {entity.label for entity in answer.entities()} == {"Alice", "Bob"}
    answer.append(" in Paris")
    woven.flush(timeout=60)
    assert {entity.label for entity in answer.entities()} == {"Alice", "Bob", "Paris"}
    answer["mood"] = "glad"
    answer.append(".")
    assert answer.changed, "other changes wait for save"
    answer.save()
    assert woven.get_node(answer.id).mood == "glad"


def test_parts_grow_with_the_content(db):
    image = {"type": "image_url", "image_url": {"url": "x"}}
    chat = db.create_chat()
    one = chat.add_message([{"type": "text", "text": "a"}])
    two = chat.add_message([{"type": "text", "text": "a"}, image])
    three = chat.add_message(None, role="assistant", tool_calls=[call("a")])
    for message in (one, two, three):
        message.append("b")
        message.append("c")
    assert one.to_openai()["content"] == [{"type": "text", "text": "abc"}]
    assert two.to_openai()["content"] == [
        {"type": "text", "text": "a"},
        image,
        {"type": "text", "text": "bc"},
    ]
    assert three.to_openai()["content"] == "bc"
    assert [one.content, two.content, three.content] == ["abc", "a\nbc", "bc"]


def test_nothing_appended_is_lost(db):
    message = db.create_chat().add_message("")
    copies = [db.get_node(message.id) for _ in range(4)]

    def write(copy, letter):
        for _ in range(50):
            copy.append(letter)

    threads = [
        threading.Thread(target=write, args=pair) for pair in zip(copies, "abcd", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(db.get_node(message.id).content) == sorted("abcd" * 50)


def test_appending_where_it_cannot_be(db):
    message = db.create_chat().add_message("a")
    message.content = "b"
    with pytest.raises(InvalidInput, match="not saved"):
        message.append("c")
    message.refresh()
    with pytest.raises(InvalidInput, match="Give a text"):
        message.append(None)
    with db.snapshot() as snapshot, pytest.raises(ReadOnly):
        snapshot.get_node(message.id).append("c")
    with db.transaction() as tx:
        mine = tx.get_node(message.id)
        mine.append("b")
        mine.append("c")
    assert db.get_node(message.id).content == "abc"
    message.delete()
    with pytest.raises(NotFound):
        message.append("d")


def test_neighbours_in_a_chat(db):
    one, two, three = db.create_chat().add_messages([{"content": text} for text in "abc"])
    assert (one.previous, two.previous, three.previous) == (None, one, two)
    assert (one.next, two.next, three.next) == (two, three, None)
    two.delete()
    assert three.previous == one


# --- context --------------------------------------------------------------------------------------


@given(
    turns=conversation,
    budget=st.integers(1, 60),
    query=st.none() | text,
    count=st.sampled_from([words, len, lambda text: 3]),
)
def test_a_context_fits_and_keeps_order_and_calls_whole(turns, budget, query, count):
    messages = [message for turn in turns for message in turn]
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat()
        chat.add_messages(messages)
        context = chat.context(query, budget, count_tokens=count)
        assert cost(context, count) <= budget
        # What was chosen are whole turns in the order of the chat.
        rest = list(context)
        for turn in turns:
            if rest[: len(turn)] == turn:
                del rest[: len(turn)]
        assert rest == []
        if cost(messages, count) <= budget:
            assert context == messages
        elif turns and cost(turns[-1], count) <= budget - cost(leading_system(turns), count):
            assert context[-len(turns[-1]) :] == turns[-1], "the newest is there"


def leading_system(turns):
    found = []
    for turn in turns:
        if turn[0]["role"] != "system":
            break
        found += turn
    return found


def test_a_context_holds_instructions_summary_relevant_and_newest(woven):
    chat = woven.create_chat()
    chat.add_message("Answer in one sentence", role="system")
    chat.add_message("Alice keeps her bicycle in Berlin", sender="Bob")
    chat.add_messages([{"content": f"small talk number {n}"} for n in range(40)])
    woven.flush(timeout=60)
    context = chat.context("where is the bicycle of Alice", 80, count_tokens=words)
    contents = [message["content"] for message in context]
    assert cost(context) <= 80
    assert contents[0] == "Answer in one sentence"
    assert contents[1].startswith("Summary of the conversation so far")
    assert chat.summary().text in contents[1]
    assert context[1]["role"] == "user", "what people wrote is no instruction"
    assert "Alice keeps her bicycle in Berlin" in contents
    assert contents[-3:] == [f"small talk number {n}" for n in (37, 38, 39)]
    assert sorted(contents[3:], key=lambda text: int(text.split()[-1])) == contents[3:]
    chat.add_message("And the bicycle of Alice?")
    asked = [message["content"] for message in chat.context(None, 60, count_tokens=words)]
    assert asked[-1] == "And the bicycle of Alice?"
    assert "Alice keeps her bicycle in Berlin" in asked, "the last question is the query"


def test_other_chats_stay_out(db):
    mine, other = db.create_chat(), db.create_chat()
    other.add_messages([{"content": f"secret alpha {n}"} for n in range(5)])
    mine.add_messages([{"content": f"alpha {n}"} for n in range(50)])
    context = mine.context("secret alpha", 20, count_tokens=words)
    assert len(context) == 10
    assert not any("secret" in message["content"] for message in context)


@pytest.mark.parametrize("query", ["?!", "the", "…"])
def test_a_query_that_says_nothing_finds_the_newest(db, query):
    chat = db.create_chat()
    chat.add_messages([{"content": f"message {n}"} for n in range(50)])
    context = chat.context(query, 10, count_tokens=words)
    assert [message["content"] for message in context] == [f"message {n}" for n in range(45, 50)]


def test_a_message_that_fits_nowhere_is_left_out(db):
    chat = db.create_chat()
    chat.add_messages([{"content": "short"}, {"content": "long " * 100}])
    assert chat.context("x", 10, count_tokens=words) == [{"role": "user", "content": "short"}]


@pytest.mark.usefixtures("real_models")
def test_tokens_are_those_of_the_model(db):
    from embedded_db.ml.minilm import MiniLM

    sentence = "Tokenisation of unbelievably rare wörds 🙂 [SEP] 12345"
    [tokens] = MiniLM("fp32", None).tokenize([sentence], words=False)
    assert count_tokens(sentence) == len(tokens.ids) > 10
    chat = db.create_chat()
    chat.add_messages([{"content": sentence} for _ in range(10)])
    context = chat.context("x", 4 * len(tokens.ids) + 3)
    assert len(context) == 4


def test_what_failed_is_shown_and_escaped(path):
    model = FakeModel()
    with EmbeddedDB(path, ml=model, weaver={"max_attempts": 1}) as db:
        model.fail("raise")
        message = db.create_chat().add_message("<b>Alice</b>")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        assert "embedding</th><td>&#x27;failed: ModelFailure" in message.status._repr_html_()
        assert "&lt;b&gt;" in message._repr_html_()
        assert len(repr(db.create_chat().add_message("x" * 10_000))) < 400
        model.recover()


def test_a_context_that_cannot_be_made(db, monkeypatch):
    chat = db.create_chat()
    chat.add_message("Hello")
    for wrong in (0, -1, 1.5, True, "many"):
        with pytest.raises(InvalidInput, match="token_budget"):
            chat.context("x", wrong)
    with pytest.raises(InvalidInput, match="query"):
        chat.context(" ")
    for count in (lambda text: 1.5, lambda text: -1, lambda text: None):
        with pytest.raises(InvalidInput, match="count_tokens gave"):
            chat.context("x", count_tokens=count)
    with pytest.raises(InvalidInput, match="count_tokens is 7"):
        chat.context("x", count_tokens=7)
    monkeypatch.setattr("embedded_db.token_count._tokenizer", None)
    monkeypatch.setattr("embedded_db.ml.minilm.DATA_WHEEL", "no_such_wheel")
    with pytest.raises(ModelUnavailable, match="count_tokens="):
        chat.context("x")
    chat.delete()
    with pytest.raises(NotFound, match=chat.id):
        chat.context("x", count_tokens=words)


def test_meaning_helps_to_choose(path):
    with EmbeddedDB(path, ml=FakeModel()) as db:
        chat = db.create_chat()
        chat.add_message("zebra stripes")
        chat.add_messages([{"content": f"filler {n}"} for n in range(30)])
        db.flush(timeout=60)
        context = chat.context("zebra", 10, count_tokens=words)
        assert context[0]["content"] == "zebra stripes"


def test_a_message_given_as_a_dict_is_told_how(db):
    chat = db.create_chat()
    with pytest.raises(InvalidInput, match=r"add_message\(\*\*message\)"):
        chat.add_message({"role": "user", "content": "Hello"})
    assert db.count("Message") == 0
