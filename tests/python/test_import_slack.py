"""A Slack export is read channel by channel, with names where it has ids."""

import json
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from embedded_db import InvalidInput
from embedded_db.importers import detect, import_file

USERS = [
    {"id": "U1", "name": "ann", "profile": {"display_name": "Ann 🌻", "real_name": "Ann Ox"}},
    {"id": "U2", "name": "bob", "profile": {"display_name": "", "real_name": "Bob Å"}},
    {"id": "U3", "name": "eve"},
]
CHANNELS = [
    {"id": "C1", "name": "general", "topic": {"value": "All of it"}, "members": ["U1", "U2"]},
    {"id": "C2", "name": "random", "topic": {"value": ""}, "purpose": {"value": "The rest"}},
]


def message(ts, text, user="U1", **more):
    return {"type": "message", "user": user, "text": text, "ts": ts, **more}


DAYS = {
    "general/2025-01-02.json": [
        message("1735800000.000100", "Second day", "U2"),
        message("1735800001.000200", "a reply", "U3", thread_ts="1735700000.000300"),
    ],
    "general/2025-01-01.json": [
        message("1735700000.000200", "joined", "U2", subtype="channel_join"),
        message(
            "1735700000.000300",
            "Hi <@U2> and <@U9|zoe>, see <#C2|random> &amp; <#C1> "
            "<https://x.y/a?b&amp;c|the page> <https://z.y> <mailto:a@b.c|a@b.c> "
            "<!here> <!subteam^S1|@team> 1 &lt; 2",
            thread_ts="1735700000.000300",
            edited={"user": "U1", "ts": "1735700009.000000"},
            reactions=[{"name": "+1", "count": 2, "users": ["U2", "U3"]}],
        ),
        message("1735700001.000000", "This message was deleted.", subtype="tombstone"),
        {
            "type": "message",
            "subtype": "bot_message",
            "bot_id": "B1",
            "username": "deploy",
            "text": "",
            "ts": "1735700002.000000",
            "attachments": [{"title": "Build 7", "text": "green", "fallback": "never"}],
        },
        message("1735700003.000000", "", files=[{"name": "plan.pdf", "title": "The plan"}]),
    ],
    "D1/2025-01-01.json": [message("1735700000.000200", "only you", "U1")],
    "mpdm-a/2025-01-01.json": [message("1735700000.000200", "three of us", "U4")],
}


def export(directory, days=DAYS, users=USERS):
    lists = {
        "users.json": users,
        "channels.json": CHANNELS,
        "dms.json": [{"id": "D1", "members": ["U1", "U2"]}],
        "mpims.json": [{"id": "G1", "name": "mpdm-a", "members": ["U1", "U2", "U3"]}],
        "integration_logs.json": [],
    }
    for name, content in {**lists, **days}.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    return directory


@pytest.fixture
def folder(tmp_path):
    return export(tmp_path / "export")


def test_names_threads_edits_and_bots(db, folder):
    assert detect(folder) == "slack"
    report = import_file(db, folder)
    assert (report.messages, report.chats, report.empty, report.bad) == (8, 3, 1, 0)
    general = db.get_node("slack-C1")
    assert (general.title, general.topic) == ("#general", "All of it")
    joined, first, bot, file, second, reply = general.messages()
    assert (joined.role, joined.metadata) == ("system", {"subtype": "channel_join"})
    assert first.content == (
        "Hi @Bob Å and @zoe, see #random & #general "
        "the page (https://x.y/a?b&c) https://z.y a@b.c @here @team 1 < 2"
    )
    assert (first.sender, first.role) == ("Ann 🌻", "user")
    assert first.timestamp == datetime(2025, 1, 1, 2, 53, 20, 300, tzinfo=UTC)
    assert first.id == "slack-C1-1735700000.000300"
    assert first.metadata == {
        "thread": first.id,
        "edited_at": datetime(2025, 1, 1, 2, 53, 29, tzinfo=UTC),
        "reactions": {"+1": 2},
    }
    assert (bot.sender, bot.role, bot.content) == ("deploy", "bot", "Build 7\ngreen")
    assert file.content == "[file: The plan]"
    assert (second.sender, second.content) == ("Bob Å", "Second day")
    assert (reply.sender, reply.metadata) == ("eve", {"thread": first.id})
    assert reply.timestamp - first.timestamp == timedelta(seconds=100_000, microseconds=999_900)
    direct = db.get_node("slack-D1")
    assert direct.title == "Ann 🌻, Bob Å"
    assert db.get_node("slack-G1").title == "Ann 🌻, Bob Å, eve"
    [from_unknown] = db.get_node("slack-G1").messages()
    assert from_unknown.sender == "U4"


def test_the_archive_gives_the_same(db, folder, tmp_path):
    packed = tmp_path / "export.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.json")):
            archive.write(file, f"My team/{file.relative_to(folder)}")
    assert detect(packed) == "slack"
    assert import_file(db, packed).messages == 8
    again = import_file(db, folder)
    assert (again.messages, again.skipped, again.chats) == (0, 8, 0)


def test_a_later_export_adds_what_is_new(db, folder):
    import_file(db, folder)
    later = {"general/2025-01-03.json": [message("1735900000.000100", "new")]}
    report = import_file(db, export(folder, later))
    assert (report.messages, report.skipped) == (1, 8)
    assert [each.content for each in db.get_node("slack-C1").messages()][-1] == "new"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("text", "it is 'text', not an object"),
        (message("yesterday", "x"), "its ts is 'yesterday'"),
        (message(1735700000.5, "x"), "its ts is 1735700000.5"),
        (message("999999999999.000000", "x"), "its ts is '999999999999.000000'"),
        (message("1735900000.000100", ["x"]), "its text is"),
        (message("1735900000.000100", "lone \ud800"), "surrogate"),
    ],
)
def test_what_is_malformed_is_named_or_skipped(db, folder, entry, words):
    export(folder, {"general/2025-01-03.json": [entry, message("1735900001.000000", "good")]})
    with pytest.raises(InvalidInput, match=f"general/2025-01-03.json, message 1: .*{words}"):
        import_file(db, folder)
    report = import_file(db, folder, skip_bad=True)
    assert (report.bad, report.problems[0].record) == (1, "general/2025-01-03.json, message 1")
    assert [each.content for each in db.get_node("slack-C1").messages()][-1] == "good"
    assert db.verify()["ok"]


def test_a_folder_that_is_no_export(db, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "users.json").write_text("[]")
    with pytest.raises(InvalidInput, match="no channel in it has a file of a day"):
        import_file(db, tmp_path / "notes")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"the directory .* is empty"):
        import_file(db, tmp_path / "empty")


def test_a_user_without_an_id_is_a_bad_record(db, tmp_path):
    folder = export(tmp_path / "export", users=[*USERS, {"name": "nobody"}])
    with pytest.raises(InvalidInput, match=r"users\.json, entry 4"):
        import_file(db, folder)
    assert import_file(db, folder, skip_bad=True).bad == 1
