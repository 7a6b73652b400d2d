"""The export of ChatGPT is read as it was last shown, branch by branch, whole and once."""

import json
import zipfile
from datetime import UTC, datetime

import pytest

from embedded_db import InvalidInput
from embedded_db.importers import detect, import_file

START = 1_700_000_000.0


def node(id_, parent, role, text, **message):
    """A node of the tree; ``text`` may be a whole content."""
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    author = {"role": role, "name": message.pop("name", None), "metadata": {}}
    return {
        "id": id_,
        "parent": parent,
        "children": [],
        "message": {"id": id_, "author": author, "content": content, "weight": 1.0, **message},
    }


def conversation(*nodes, current=None, **more):
    root = {"id": "root", "parent": None, "children": [nodes[0]["id"]], "message": None}
    return {
        "title": "Café ☕",
        "create_time": START,
        "update_time": START + 99,
        "mapping": {"root": root, **{each["id"]: each for each in nodes}},
        "current_node": current or nodes[-1]["id"],
        "conversation_id": "conv-1",
        **more,
    }


def write(file, *conversations):
    file.write_text(json.dumps(list(conversations), ensure_ascii=False), encoding="utf-8")
    return file


@pytest.fixture
def file(tmp_path):
    return tmp_path / "conversations.json"


def contents(db, chat="chatgpt-conv-1"):
    return [message.content for message in db.get_node(chat).messages()]


def test_the_branch_of_the_current_node_is_followed(db, file):
    write(
        file,
        conversation(
            node("s", "root", "system", ""),
            node("q", "s", "user", "Which one? 👩‍🚀", create_time=START + 1.5),
            node("a1", "q", "assistant", "The first answer", create_time=START + 2),
            node("a2", "q", "assistant", "مرحبا — the second", create_time=START + 3),
            node("q2", "a2", "user", "Thanks", create_time=None),
            node("lost", "a1", "user", "On the other branch", create_time=START + 9),
            current="q2",
        ),
    )
    assert detect(file) == "chatgpt"
    report = import_file(db, file)
    assert (report.messages, report.chats, report.empty, report.bad) == (3, 1, 1, 0)
    assert contents(db) == ["Which one? 👩‍🚀", "مرحبا — the second", "Thanks"]
    chat = db.get_node("chatgpt-conv-1")
    assert chat.title == "Café ☕"
    question, answer, thanks = chat.messages()
    assert (question.role, question.sender) == ("user", "user")
    assert (answer.role, answer.id) == ("assistant", "chatgpt-conv-1-a2")
    assert question.timestamp == datetime.fromtimestamp(START + 1.5, UTC)
    assert thanks.timestamp == answer.timestamp, "one without a time has that of the one before"


def test_tools_system_and_parts(db, file):
    write(
        file,
        conversation(
            node("s", "root", "system", "You are helpful"),
            node(
                "u",
                "s",
                "user",
                {
                    "content_type": "multimodal_text",
                    "parts": [
                        {"content_type": "image_asset_pointer", "asset_pointer": "file://x"},
                        "What is in this picture?",
                    ],
                },
                metadata={"attachments": [{"name": "cat.png", "id": "f"}]},
            ),
            node(
                "call",
                "u",
                "assistant",
                {"content_type": "code", "language": "python", "text": "print(6 * 7)"},
                recipient="python",
                metadata={"model_slug": "gpt-x"},
            ),
            node(
                "result", "call", "tool", {"content_type": "execution_output", "text": "42"},
                name="python",
            ),
            node(
                "drawn", "result", "tool",
                {
                    "content_type": "multimodal_text",
                    "parts": [
                        {
                            "content_type": "image_asset_pointer",
                            "metadata": {"dalle": {"prompt": "a red heron"}},
                        },
                        {"content_type": "audio_transcription", "text": "said aloud"},
                        {"content_type": "real_time_user_audio_video_asset_pointer"},
                    ],
                },
            ),
            node(
                "mind", "drawn", "assistant",
                {"content_type": "thoughts", "thoughts": [{"summary": "Look", "content": "It is"}]},
            ),
            node(
                "page", "mind", "tool",
                {"content_type": "tether_quote", "title": "A page", "url": "https://x.y",
                 "text": "q"},
                metadata={"is_visually_hidden_from_conversation": True},
            ),
        ),
    )  # fmt: skip
    assert import_file(db, file).messages == 7
    assert contents(db) == [
        "You are helpful",
        "[image]\nWhat is in this picture?",
        "print(6 * 7)",
        "42",
        "[image: a red heron]\nsaid aloud\n[real time user audio video]",
        "Look\nIt is",
        "A page\nhttps://x.y\nq",
    ]
    system, user, call, result, *_, page = db.get_node("chatgpt-conv-1").messages()
    assert (system.role, system.metadata) == ("system", None)
    assert user.metadata == {"content_type": "multimodal_text", "attachments": ["cat.png"]}
    assert call.metadata == {
        "content_type": "code",
        "language": "python",
        "recipient": "python",
        "model": "gpt-x",
    }
    assert (result.role, result.sender) == ("tool", "python")
    assert page.metadata["hidden"] is True


def test_a_later_export_adds_what_is_new(db, file):
    first = node("a", "root", "user", "one", create_time=START)
    write(file, conversation(first))
    assert import_file(db, file).messages == 1
    assert import_file(db, file).skipped == 1
    grown = conversation(first, node("b", "a", "assistant", "two", create_time=START + 1))
    other = conversation(first, conversation_id="conv-2")
    report = import_file(db, write(file, grown, other))
    assert (report.messages, report.skipped, report.chats) == (2, 1, 1)
    assert contents(db) == ["one", "two"]
    assert contents(db, "chatgpt-conv-2") == ["one"], "a copied conversation keeps its messages"


def test_the_archive_as_it_is_downloaded(db, tmp_path):
    packed = tmp_path / "export.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("chat.html", "<html>")
        archive.writestr("user.json", "{}")
        for number in range(2):
            of = conversation(node("a", "root", "user", "hi"), conversation_id=f"c{number}")
            archive.writestr(f"conversations-00{number}.json", json.dumps([of]))
    assert detect(packed) == "chatgpt"
    assert import_file(db, packed).chats == 2


def test_without_a_current_node_the_newest_message_ends_the_branch(db, file):
    tree = conversation(
        node("a", "root", "user", "one", create_time=START),
        node("b", "a", "assistant", "two", create_time=START + 5),
        node("c", "a", "assistant", "three", create_time=START + 3),
    )
    del tree["current_node"]
    assert import_file(db, write(file, tree)).messages == 2
    assert contents(db) == ["one", "two"]


def cycle(tree):
    tree["mapping"]["a"]["parent"] = "b"


def dangling(tree):
    tree["mapping"]["a"]["parent"] = "gone"


def spoil(path, value):
    def change(tree):
        *way, last = path
        for key in way:
            tree = tree[key]
        tree[last] = value

    return change


MESSAGE = ("mapping", "b", "message")


@pytest.mark.parametrize(
    ("change", "words", "whole"),
    [
        (cycle, r"conversation 2: its branch comes back", True),
        (dangling, r"conversation 2: its branch leads to 'gone'", True),
        (spoil(["mapping"], []), "conversation 2: its mapping is", True),
        (spoil(["conversation_id"], 7), "conversation 2: its conversation_id is 7", True),
        (spoil([*MESSAGE, "author"], {}), "conversation 2, message b: its author", False),
        (spoil([*MESSAGE, "content"], "x"), "message b: its content is 'x'", False),
        (spoil([*MESSAGE, "create_time"], 1e300), "message b: its create_time", False),
        (spoil(MESSAGE, "x"), "message b: it is 'x', not an object", False),
        (
            spoil([*MESSAGE, "content", "parts"], ["lone \ud800"]),
            "conversation 2, message b: .*surrogate",
            False,
        ),
    ],
)
def test_what_is_malformed_is_named_or_skipped(db, file, change, words, whole):
    def tree(id_):
        return conversation(
            node("a", "root", "user", "one"),
            node("b", "a", "assistant", "two"),
            node("c", "b", "user", "three"),
            conversation_id=id_,
        )

    bad = tree("bad")
    change(bad)
    file.write_text(json.dumps([tree("good"), bad, tree("after")]))
    with pytest.raises(InvalidInput, match=words) as caught:
        import_file(db, file)
    assert caught.value.path == str(file)
    report = import_file(db, file, skip_bad=True)
    assert report.bad == 1
    assert contents(db, "chatgpt-after") == ["one", "two", "three"]
    assert db.exists("chatgpt-bad") is not whole
    if not whole:
        assert contents(db, "chatgpt-bad") == ["one", "three"]
    assert db.verify()["ok"]
