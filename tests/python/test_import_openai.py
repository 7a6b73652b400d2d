"""Lists of OpenAI-style messages are read as `chat.add_messages` takes them, whole and once."""

import gzip
import json
from datetime import UTC, datetime

import pytest

from embedded_db import InvalidInput
from embedded_db.importers import check_file, detect, import_file

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Like here? ☀"}, IMAGE], "name": "Ann"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    {"role": "assistant", "content": "No, it rains.", "refusal": None},
]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "talk.json"


def write(file, value, **form):
    file.write_text(json.dumps(value, **form), encoding="utf-8")
    return file


def contents(db, chat="talk"):
    return [message.content for message in db.get_node(chat).messages()]


@pytest.mark.parametrize("form", [{}, {"indent": 2}, {"ensure_ascii": False}])
@pytest.mark.parametrize("wrap", [list, lambda talk: {"model": "m", "messages": talk, "n": [1]}])
def test_what_was_said_comes_back_whole(db, file, form, wrap):
    write(file, wrap(TALK), **form)
    assert (detect(file), check_file(file).name) == ("openai", "openai")
    report = import_file(db, file)
    assert (report.messages, report.chats, report.bad) == (5, 1, 0)
    expected = [{name: value for name, value in m.items() if name != "refusal"} for m in TALK]
    assert db.get_node("talk").to_openai() == expected
    _, seen, *_ = db.get_node("talk").messages()
    assert (seen.content, seen.sender, seen.parts[1]) == ("Like here? ☀", "Ann", IMAGE)
    again = import_file(db, file)
    assert (again.messages, again.skipped, db.count("Message")) == (0, 5, 5)
    write(file, wrap([*TALK, {"role": "user", "content": "Pity"}]))
    assert import_file(db, file, "openai").messages == 1
    assert contents(db)[-1] == "Pity"


def test_the_same_as_add_messages(db, file):
    import_file(db, write(file, TALK))
    db.create_chat(id="other").add_messages(TALK)
    kept = ("content", "parts", "role", "sender", "name", "tool_calls", "tool_call_id")
    mine, theirs = (
        [[message.get(name) for name in kept] for message in db.get_node(chat).messages()]
        for chat in ("talk", "other")
    )
    assert mine == theirs


def test_several_objects_are_a_chat_each(db, tmp_path):
    lines = [{"messages": [{"role": "user", "content": f"{n}{m}"} for m in "ab"]} for n in range(3)]
    file = tmp_path / "tuning.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    assert detect(file) == "openai"
    report = import_file(db, file)
    assert (report.messages, report.chats) == (6, 3)
    assert [contents(db, chat) for chat in ("tuning", "tuning-2", "tuning-3")] == [
        ["0a", "0b"],
        ["1a", "1b"],
        ["2a", "2b"],
    ]


def test_ids_times_and_further_fields(db, file):
    write(
        file,
        [
            {"id": "m1", "content": "a", "timestamp": "2026-01-31T12:00:00Z", "model": "small"},
            {"role": "critic", "content": "b", "timestamp": 1_700_000_000, "metadata": {"n": 1}},
        ],
    )
    import_file(db, file)
    one, two = db.get_node("talk").messages()
    assert (one.id, one.role, one["model"]) == ("m1", "user", "small")
    assert one.timestamp == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert (two.role, two.metadata) == ("critic", {"n": 1})
    assert two.timestamp == datetime.fromtimestamp(1_700_000_000, UTC)


def test_the_ids_of_a_file_stay_the_same(db, file):
    """They are part of what is stored: a later version has to find the same messages again."""
    import_file(db, write(file, TALK[:1]))
    [message] = db.get_node("talk").messages()
    assert message.id == "openai-53b3e61906acc85cb8b39397809c15d3"


def test_many_messages_are_read_batch_by_batch(db, file):
    write(file, [{"role": "user", "content": f"message {n}"} for n in range(1201)])
    seen = []
    import_file(db, file, progress=lambda progress: seen.append(progress.messages))
    assert seen == [500, 1000, 1201]
    assert contents(db)[-1] == "message 1200"


BAD = [
    (7, "message 2: it is 7, not an object"),
    ({"role": "user"}, "message 2.*without a content"),
    ({"role": 5, "content": "x"}, "message 2: role of message 2 is 5"),
    ({"role": "user", "content": []}, "message 2: content of message 2"),
    ({"role": "user", "content": [{"text": "x"}]}, r"message 2: content\[0\] of message 2"),
    ({"role": "user", "content": "x", "tool_calls": 5}, "tool_calls of message 2"),
    ({"role": "user", "content": "x", "timestamp": "soon"}, "message 2: timestamp is 'soon'"),
    ({"role": "user", "content": "x", "timestamp": "2026-01-31"}, "no time zone"),
    ({"role": "user", "content": "x", "id": 5}, "message 2: id of message 2 is 5"),
    ({"role": "user", "content": "x", "ttl": "long"}, "message 2"),
    ({"role": "user", "content": "\ud800"}, "message 2"),
    ({"role": "user", "content": "x", "deep": 1 << 70}, "message 2"),
]


@pytest.mark.parametrize(("bad", "said"), BAD)
def test_a_bad_message_is_named_or_left_out(db, file, bad, said):
    good = [{"role": "user", "content": "one"}, {"role": "user", "content": "three"}]
    write(file, [good[0], bad, good[1]])
    with pytest.raises(InvalidInput, match=said) as caught:
        import_file(db, file)
    assert caught.value.path == str(file)
    assert db.count("Message") == 0
    report = import_file(db, file, skip_bad=True)
    assert (report.messages, report.bad, report.problems[0].record) == (2, 1, "message 2")
    assert contents(db) == ["one", "three"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"role": "user", "content": "one"}', "the end"),
        ('{"messages": [{"role": "user", "content": "one"}', "the end"),
        ('{"messages": [{"role": "user", "content": "one"}]} x', "'x'"),
        ('{"messages": [{"role": "user", "content": "one"}]} {"a": 1}', "object 2 has no array"),
        ('{"messages": [{"role": "user", "content": "one"}] "a"}', "','"),
    ],
)
def test_a_broken_file_is_told(db, file, text, said):
    file.write_text(text)
    with pytest.raises(InvalidInput, match=said):
        import_file(db, file, "openai")


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"messages": []},
        [{"text": "Hello"}],
        {"name": "Group", "messages": [{"type": "message", "text": "Hello"}]},
        ["role"],
    ],
)
def test_what_is_something_else_is_not_taken_for_it(file, value):
    write(file, value)
    with pytest.raises(InvalidInput, match="openai"):
        detect(file)


def test_one_message_a_line_is_something_else(file):
    assert detect(write(file, {"content": "one message", "role": "user"})) == "jsonl"
