"""Chat histories are imported whole, once, in order, and bad files say where they are bad."""

import gzip
import json
import re
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from embedded_db import Chat, InvalidInput
from embedded_db.importers import (
    FORMATS,
    ImportProgress,
    Source,
    check_file,
    detect,
    import_file,
)
from embedded_db.importers.base import hashed_id
from harness.lengths import more


def write_jsonl(file, records, compress=False):
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    file.write_bytes(gzip.compress(text.encode()) if compress else text.encode())
    return file


def record(n, chat="c1", **more):
    return {"id": f"m{n}", "chat_id": chat, "content": f"text {n}", **more}


def test_json_lines_with_every_field(db, tmp_path):
    file = write_jsonl(
        tmp_path / "talk.jsonl",
        [
            record(
                1,
                chat_title="Trip",
                chat_topic="Paris",
                sender="Ann",
                role="assistant",
                timestamp="2025-03-16T11:38:24Z",
                metadata={"reactions": {"👍": 2}},
            ),
            record(2, timestamp=1742125200.5),
            {"content": "ohne Kennung, mit Ümlaut", "sender": None},
        ],
    )
    assert detect(file) == "jsonl"
    report = import_file(db, file)
    assert (report.messages, report.chats, report.skipped) == (3, 2, 0)
    assert report.seconds > 0
    first = db.get_node("m1")
    assert (first.chat.title, first.chat.topic) == ("Trip", "Paris")
    assert (first.sender, first.role, first.content) == ("Ann", "assistant", "text 1")
    assert first.timestamp == datetime(2025, 3, 16, 11, 38, 24, tzinfo=UTC)
    assert first.metadata == {"reactions": {"👍": 2}}
    assert first.next.id == "m2"
    assert first.next.timestamp == datetime.fromtimestamp(1742125200.5, UTC)
    [other] = db.get_node("talk").messages()
    assert other.content == "ohne Kennung, mit Ümlaut"
    assert other.sender is None


def test_an_import_can_be_repeated(db, tmp_path):
    file = write_jsonl(
        tmp_path / "talk.jsonl", [{"content": f"ok {n % 3}"} for n in range(1200)], compress=True
    )
    calls: list[ImportProgress] = []
    report = import_file(db, file, progress=calls.append)
    assert (report.messages, report.chats, report.skipped) == (1200, 1, 0)
    assert [call.messages for call in calls] == [500, 1000, 1200]
    assert calls[-1].bytes_read == calls[-1].bytes_total == file.stat().st_size
    again = import_file(db, file)
    assert (again.messages, again.chats, again.skipped) == (0, 0, 1200)
    assert [m.content for m in db.get_node("talk").messages()] == [
        f"ok {n % 3}" for n in range(1200)
    ]
    grown = write_jsonl(tmp_path / "talk.jsonl", [{"content": f"ok {n % 3}"} for n in range(1300)])
    more = import_file(db, grown)
    assert (more.messages, more.skipped) == (100, 1200)


def test_chats_may_alternate_and_ids_may_repeat(db, tmp_path):
    file = write_jsonl(
        tmp_path / "talk.jsonl",
        [record(1, "a"), record(2, "b"), record(3, "a"), record(3, "a"), record(4, "b")],
    )
    report = import_file(db, file)
    assert (report.messages, report.chats, report.skipped) == (4, 2, 1)
    assert [m.id for m in db.get_node("a").messages()] == ["m1", "m3"]
    assert [m.id for m in db.get_node("b").messages()] == ["m2", "m4"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json}", "line 2.*JSON"),
        ("[1, 2]", "line 2.*object"),
        ('{"sender": "Ann"}', "line 2.*content"),
        ('{"content": 7}', "line 2.*content.*7.*text"),
        ('{"content": "x", "sendr": "Ann"}', "line 2.*sendr.*'sender'"),
        ('{"content": "x", "timestamp": "yesterday"}', "line 2.*yesterday.*ISO"),
        ('{"content": "x", "timestamp": "2025-01-01T00:00:00"}', "line 2.*time zone"),
        ('{"content": "x", "timestamp": true}', "line 2.*timestamp"),
        ('{"content": "x", "metadata": "y"}', "line 2.*metadata.*object"),
    ],
)
def test_a_bad_line_is_named(db, tmp_path, line, words):
    file = tmp_path / "talk.jsonl"
    file.write_text(json.dumps(record(1)) + "\n" + line + "\n")
    with pytest.raises(InvalidInput, match=words) as caught:
        import_file(db, file)
    assert caught.value.path == str(file)
    assert str(file) in str(caught.value)
    assert db.verify()["ok"]


def test_files_that_cannot_be_read(db, tmp_path):
    with pytest.raises(InvalidInput, match=r"missing\.jsonl.*No such file"):
        import_file(db, tmp_path / "missing.jsonl")
    with pytest.raises(InvalidInput, match=r"holds \d+ files, where one is wanted"):
        import_file(db, tmp_path, format="jsonl")
    strange = tmp_path / "strange.txt"
    strange.write_text("Dear diary")
    with pytest.raises(InvalidInput, match=r"Dear diary.*jsonl.*locomo.*apollo13"):
        import_file(db, strange)
    with pytest.raises(InvalidInput, match="'jsonl'"):
        import_file(db, strange, format="json-lines")
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b'{"content": "\xff"}\n')
    for format_ in ("auto", "jsonl"):
        with pytest.raises(InvalidInput, match="decode|text"):
            import_file(db, binary, format=format_)
    cut = write_jsonl(tmp_path / "cut.jsonl.gz", [record(n) for n in range(3000)], compress=True)
    cut.write_bytes(cut.read_bytes()[:-2000])
    with pytest.raises(InvalidInput, match="decode|text|line"):
        import_file(db, cut, format="jsonl")
    assert db.verify()["ok"]
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert import_file(db, empty, format="jsonl").messages == 0
    with pytest.raises(InvalidInput, match="is empty"):
        import_file(db, empty)


def test_a_file_can_be_tried_without_a_database(tmp_path):
    good = write_jsonl(tmp_path / "good.jsonl", [record(1)])
    assert check_file(good).name == "jsonl"
    other = write_jsonl(tmp_path / "other.jsonl", [{"text": "hello"}])
    with pytest.raises(InvalidInput, match="line 1.*'text'.*'content'"):
        check_file(other)


def locomo_sample(sample_id="conv-1", turns=3):
    return {
        "sample_id": sample_id,
        "qa": [{"question": "Who?", "evidence": ["D1:1"]}],
        "conversation": {
            "speaker_a": "Caroline",
            "speaker_b": "Melanie",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Caroline", "dia_id": f"D1:{n + 1}", "text": f"Turn {n}"}
                for n in range(turns)
            ],
            "session_2_date_time": "12:05 am on 9 May, 2023",
            "session_2": [
                {
                    "speaker": "Melanie",
                    "dia_id": "D2:1",
                    "text": "Look!",
                    "blip_caption": "a sunset",
                }
            ],
        },
    }


def test_locomo_conversations_have_their_own_namespaces(db, tmp_path):
    file = tmp_path / "locomo.json"
    file.write_text(json.dumps([locomo_sample("conv-1"), locomo_sample("conv-2", turns=700)]))
    assert detect(file) == "locomo"
    report = import_file(db, file)
    assert (report.messages, report.chats) == (705, 4)
    assert report.namespaces == ["locomo-conv-1", "locomo-conv-2"]
    assert db.count() == 0
    space = db.namespace("locomo-conv-1")
    first = space.get_node("D1:1")
    assert (first.sender, first.content) == ("Caroline", "Turn 0")
    begun = datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert [m.timestamp for m in first.chat.messages()] == [
        begun + timedelta(seconds=n) for n in range(3)
    ]
    photo = space.get_node("D2:1")
    assert photo.content == "Look! [shares a photo: a sunset]"
    assert photo.timestamp == datetime(2023, 5, 9, 0, 5, tzinfo=UTC)
    assert isinstance(photo.chat, Chat)
    assert photo.chat != first.chat
    assert db.namespace("locomo-conv-2").count("Message") == 701
    assert import_file(db, file).skipped == 705


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sample: sample.pop("sample_id"), "conversation 1.*sample_id"),
        (
            lambda sample: sample["conversation"].update(session_1_date_time="soon"),
            "conv-1, session_1.*soon.*1:56 pm",
        ),
        (
            lambda sample: sample["conversation"]["session_2"].append({"text": "who?"}),
            "conv-1, session_2.*who.*dia_id",
        ),
    ],
)
def test_a_bad_conversation_is_named(db, tmp_path, change, words):
    sample = locomo_sample()
    change(sample)
    file = tmp_path / "locomo.json"
    file.write_text(json.dumps([sample]))
    with pytest.raises(InvalidInput, match=words):
        import_file(db, file)


@pytest.mark.parametrize("text", ['[{"qa": [', "[1] trailing", '[{"qa": 1}', '["qa" "b"]'])
def test_a_broken_json_file_is_an_error(db, tmp_path, text):
    file = tmp_path / "locomo.json"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=r"locomo\.json"):
        import_file(db, file, format="locomo")


def test_the_apollo_transcript_form(db, tmp_path):
    file = tmp_path / "apollo.json.gz"
    transcript = [
        {
            "timestamp": "055:55:20",
            "ddhhmmss": "02:07:55:20",
            "speaker": "CMP",
            "text": "Okay, Houston, we've had a problem here.",
        },
        {"ddhhmmss": "02:07:55:28", "speaker": "CC", "text": "This is Houston. Say again, please."},
    ]
    file.write_bytes(
        gzip.compress(
            json.dumps({"metadata": {"title": "Apollo 13"}, "transcript": transcript}).encode()
        )
    )
    assert detect(file) == "apollo13"
    report = import_file(db, file)
    assert (report.messages, report.chats) == (2, 1)
    message = db.get_node("apollo13-1")
    assert message.sender == "CMP"
    assert message.timestamp == datetime(1970, 4, 14, 3, 8, 20, tzinfo=UTC)
    assert message.next.id == "apollo13-2"


def test_the_whole_apollo_transcript(db, shared_data):
    file = shared_data("apollo13/apollo-13-air-to-ground.json.gz")
    report = import_file(db, file)
    assert (report.messages, report.chats, report.skipped) == (10_876, 1, 0)
    found = db.query(text_query={"text": "we've had a problem"}, labels=["Message"])
    assert any("problem here" in result.node.content for result in found)
    filters = [
        {"property": "sender", "operator": "Equals", "value": "CC"},
        {
            "property": "timestamp",
            "operator": "GreaterThan",
            "value": datetime(1970, 4, 17, tzinfo=UTC),
        },
    ]
    late = db.query(structural_filters=filters, limit=10_000)
    assert late
    assert all(result.node.timestamp > datetime(1970, 4, 17, tzinfo=UTC) for result in late)
    assert sum(1 for _ in db.get_node("apollo13").messages()) == 10_876
    assert import_file(db, file).skipped == 10_876
    assert db.verify()["ok"]


def test_the_locomo_conversations(db, shared_data):
    report = import_file(db, shared_data("locomo/locomo_open5.json.gz"))
    assert len(report.namespaces) == 5
    assert report.messages == 2960
    assert report.skipped == 0


def test_every_format_that_was_tried_says_why_it_does_not_fit(tmp_path):
    file = tmp_path / "strange.json"
    file.write_text('[{"settings": 1}]')
    with pytest.raises(InvalidInput) as caught:
        detect(file)
    reasons = dict(re.findall(r"(\w+) \([^)]*(?:\([^)]*\))?\): ([^;]+)", caught.value.message))
    assert set(reasons) == set(FORMATS)
    assert reasons["locomo"] == "its first object has neither qa nor conversation"
    assert reasons["chatgpt"] == "its first object has no mapping"
    assert reasons["slack"] == "it is a single file, not a directory or archive"
    assert caught.value.path == str(file)


def test_bad_records_are_skipped_and_counted_when_asked(db, tmp_path):
    file = tmp_path / "talk.jsonl"
    lines = [json.dumps(record(n)).encode() for n in range(1200)]
    lines[2] = b"{not json}"
    lines[700] = b'{"content": "\xff"}'
    lines[701] = json.dumps({"content": "x", "id": "a" * 300}).encode()
    lines[702] = b'{"content": "lone \\ud800 surrogate"}'
    lines[703] = json.dumps({"content": "x", "metadata": {"n": 2**80}}).encode()
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n")
    with pytest.raises(InvalidInput, match="line 3: it is not JSON") as caught:
        import_file(db, file)
    assert (caught.value.record, caught.value.path) == ("line 3", str(file))
    assert caught.value.reason.startswith("it is not JSON")
    report = import_file(db, file, skip_bad=True)
    assert (report.messages, report.skipped, report.bad) == (1195, 0, 5)
    assert [problem.record for problem in report.problems] == [
        "line 3",
        "line 701",
        "line 702",
        "line 703",
        "line 704",
    ]
    assert all(problem.reason for problem in report.problems)
    again = import_file(db, file, skip_bad=True)
    assert (again.messages, again.skipped, again.bad) == (0, 1195, 5)
    assert db.verify()["ok"]


def test_what_the_database_refuses_is_named_by_its_line(db, tmp_path):
    lines = [record(1), record(2), record(3, metadata={"n": 2**80}), record(4)]
    file = write_jsonl(tmp_path / "talk.jsonl", lines)
    with pytest.raises(InvalidInput, match=r"line 3: .*64 bits") as caught:
        import_file(db, file)
    assert caught.value.record == "line 3"
    assert db.count("Message") == 0, "a batch is stored all or nothing"


def test_a_problem_list_has_an_end(db, tmp_path):
    file = tmp_path / "talk.jsonl"
    file.write_text("nonsense\n" * 1000)
    report = import_file(db, file, "jsonl", skip_bad=True)
    assert (report.bad, len(report.problems)) == (1000, 100)


def test_options_are_checked(db, tmp_path):
    file = write_jsonl(tmp_path / "talk.jsonl", [record(1)])
    with pytest.raises(InvalidInput, match="Mars/Olympus"):
        import_file(db, file, time_zone="Mars/Olympus")
    with pytest.raises(InvalidInput, match="'dmy'"):
        import_file(db, file, date_order="dym")


def test_any_file_may_stand_in_an_archive(db, tmp_path):
    plain = write_jsonl(tmp_path / "talk.jsonl", [record(n) for n in range(700)])
    packed = tmp_path / "talk.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "talk.jsonl")
    calls: list[ImportProgress] = []
    assert import_file(db, packed, progress=calls.append).messages == 700
    assert all(call.bytes_read <= call.bytes_total for call in calls)
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(InvalidInput, match="cannot be read"):
        import_file(db, packed)


def test_a_damaged_archive_is_an_error(db, tmp_path):
    packed = tmp_path / "talk.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("talk.jsonl", json.dumps(record(1)) + "\n")
    packed.write_bytes(packed.read_bytes().replace(b"text 1", b"text 2"))
    with pytest.raises(InvalidInput, match="decoded|text|CRC"):
        import_file(db, packed)
    assert db.count("Message") == 0


@pytest.mark.parametrize("format_", ["jsonl", more("chatgpt"), more("slack"), "whatsapp"])
def test_memory_does_not_grow_with_the_file(tmp_path, format_):
    def peak(size):
        path = big_export(tmp_path / f"{format_}-{size}", format_, size)
        reader = FORMATS[format_]
        tracemalloc.start()
        with Source(path) as source:
            count = sum(len(batch.messages) for batch in reader.read(source))
        [_, most] = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == size
        return most

    assert peak(9_000) < 1.5 * peak(1_500)


def big_export(path, format_, size):
    text = "word " * 20
    if format_ == "jsonl":
        with path.open("w") as file:
            for n in range(size):
                file.write(json.dumps({"content": f"{text}{n}"}) + "\n")
    elif format_ == "whatsapp":
        path = path.with_suffix(".txt")
        with path.open("w") as file:
            for n in range(size):
                minute = n // 4
                clock = f"{minute // 60 % 24:02}:{minute % 60:02}"
                file.write(f"{13 + minute // 1440}.01.25, {clock} - Ann: {text}{n}\n")
    elif format_ == "chatgpt":
        with path.open("w") as file:
            file.write("[")
            for n in range(0, size, 10):
                file.write("," * bool(n))
                file.write(json.dumps(conversation(f"c{n}", [f"{text}{m}" for m in range(10)])))
            file.write("]")
    else:
        (path / "general").mkdir(parents=True)
        (path / "users.json").write_text("[]")
        for day in range(3):
            entries = [
                {"type": "message", "text": text, "ts": f"{1700000000 + n}.{day:06}", "user": "U1"}
                for n in range(size // 3)
            ]
            file = path / "general" / f"2025-01-0{day + 1}.json"
            file.write_text(json.dumps(entries))
    return path


def conversation(id_, texts):
    """A conversation as ChatGPT exports it."""
    mapping = {"root": {"id": "root", "message": None, "parent": None, "children": ["n0"]}}
    for n, text in enumerate(texts):
        mapping[f"n{n}"] = {
            "id": f"n{n}",
            "parent": f"n{n - 1}" if n else "root",
            "children": [f"n{n + 1}"] if n + 1 < len(texts) else [],
            "message": {
                "id": f"n{n}",
                "author": {"role": "user" if n % 2 == 0 else "assistant"},
                "create_time": 1700000000.25 + n,
                "content": {"content_type": "text", "parts": [text]},
            },
        }
    return {
        "title": "Talk",
        "create_time": 1700000000.0,
        "mapping": mapping,
        "current_node": f"n{len(texts) - 1}",
        "conversation_id": id_,
    }


def test_formats_tell_themselves_apart():
    assert set(FORMATS) == {
        "jsonl",
        "chatgpt",
        "openai",
        "slack",
        "whatsapp",
        "locomo",
        "apollo13",
    }
    for name, reader in FORMATS.items():
        assert reader.name == name
        assert reader.describes


def test_ids_are_made_by_one_rule_in_every_format(db, tmp_path):
    """They are part of what is stored: a later version has to find the same messages again."""
    lines = [
        {"content": "same"},
        {"content": "same"},
        {"content": "same", "sender": "Ann", "role": "user", "timestamp": 0, "metadata": {"x": 1}},
        {"content": "kept", "id": "mine"},
    ]
    file = write_jsonl(tmp_path / "talk.jsonl", lines)
    assert import_file(db, file).messages == 4
    ids = [message.id for message in db.get_node("talk").messages()]
    assert ids[:3] == [
        hashed_id("jsonl", "talk", "1", "", "", "", "same"),
        hashed_id("jsonl", "talk", "2", "", "", "", "same"),
        hashed_id("jsonl", "talk", "3", "1970-01-01T00:00:00+00:00", "Ann", "user", "same"),
    ]
    assert ids[0] == "jsonl-ec75e9f8c38c614e78b7fa413453761e"
    assert ids[3] == "mine"
    before = [(node.id, node.version) for node in db.nodes()]
    (tmp_path / "zipped").mkdir()
    for again in (file, write_jsonl(tmp_path / "zipped" / "talk.jsonl.gz", lines, compress=True)):
        report = import_file(db, again)
        assert (report.messages, report.skipped) == (0, 4)
    later = write_jsonl(tmp_path / "talk.jsonl", [*lines, {"content": "new"}])
    assert import_file(db, later).messages == 1
    assert [(node.id, node.version) for node in db.nodes()][:5] == before[:5]
