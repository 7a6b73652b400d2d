"""A WhatsApp text export is read in each of its forms, with days and months told apart."""

import zipfile
from datetime import UTC, datetime

import pytest

from embedded_db import InvalidInput, ValueTooLarge
from embedded_db.importers import detect, import_file, whatsapp
from harness.lengths import longer

LRM, NNBSP = "\u200e", "\u202f"


def write(tmp_path, *lines, name="WhatsApp Chat with Ann Ox.txt", end="\n", bom=b""):
    file = tmp_path / name
    file.write_bytes(bom + end.join([*lines, ""]).encode())
    return file


def read(db, file, chat="whatsapp-Ann Ox", **options):
    import_file(db, file, **options)
    return list(db.get_node(chat).messages())


def at(*moment):
    return datetime(*moment, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("12/31/23, 9:05 PM - Ann: hi", at(2023, 12, 31, 21, 5)),
        (f"12/31/23, 9:05{NNBSP}PM - Ann: hi", at(2023, 12, 31, 21, 5)),
        ("31/12/23, 9:05 p. m. - Ann: hi", at(2023, 12, 31, 21, 5)),
        ("31/12/2023, 12:05 am - Ann: hi", at(2023, 12, 31, 0, 5)),
        ("31/12/2023, 12:05 pm - Ann: hi", at(2023, 12, 31, 12, 5)),
        ("31/12/2023 21:05 - Ann: hi", at(2023, 12, 31, 21, 5)),
        ("31.12.23, 21:05 - Ann: hi", at(2023, 12, 31, 21, 5)),
        ("05.12.23, 21:05 - Ann: hi", at(2023, 12, 5, 21, 5)),
        ("2023-12-31, 21:05 - Ann: hi", at(2023, 12, 31, 21, 5)),
        ("31-12-23 21.05 - Ann: hi", at(2023, 12, 31, 21, 5)),
        ("[31/12/2023, 21:05:33] Ann: hi", at(2023, 12, 31, 21, 5, 33)),
        ("[31.12.23, 21:05:33] Ann: hi", at(2023, 12, 31, 21, 5, 33)),
        (f"[12/31/23, 9:05:33{NNBSP}PM] Ann: hi", at(2023, 12, 31, 21, 5, 33)),
        (f"{LRM}[31.12.2023 21:05:33] Ann: hi", at(2023, 12, 31, 21, 5, 33)),
        ("[2023/12/31, 21:05:33] Ann: hi", at(2023, 12, 31, 21, 5, 33)),
    ],
)
def test_each_form_of_date_and_time(db, tmp_path, line, moment):
    file = write(tmp_path, line)
    assert detect(file) == "whatsapp"
    [message] = read(db, file)
    assert (message.sender, message.content, message.timestamp) == ("Ann", "hi", moment)
    assert message.chat.title == "Ann Ox"


def test_what_messages_are_made_of(db, tmp_path):
    file = write(
        tmp_path,
        "31/12/23, 21:00 - Messages and calls are end-to-end encrypted. No one outside can read.",
        '31/12/23, 21:01 - Ann changed the subject from "a: b" to "c: d"',
        "31/12/23, 21:02 - Ann: first line",
        "second line",
        "",
        "  12/31 is no date, nor is this: one",
        "31/12/23, 21:03 - Bob Å: <Media omitted>",
        "31/12/23, 21:04 - \u202a+49 170 1234567\u202c: IMG-2023.jpg (file attached)",
        "a caption",
        "31/12/23, 21:05 - Ann: family 👨‍👩‍👧 cafe\u0301 שלום مرحبا",
        "31/12/23, 21:06 - Ann: hello @\u2068Bob Å\u2069: look <This message was edited>",
        "31/12/23, 21:07 - Ann: This message was deleted",
        "31/12/23, 21:08 - Ann: ",
        "31/12/23, 21:09 - Ann: ok",
        "31/12/23, 21:09 - Ann: ok",
        end="\r\n",
        bom=b"\xef\xbb\xbf",
    )
    report = import_file(db, file)
    assert (report.messages, report.empty, report.bad) == (10, 1, 0)
    messages = list(db.get_node("whatsapp-Ann Ox").messages())
    assert [message.role for message in messages] == ["system"] * 2 + ["user"] * 8
    notice, subject, long, media, file_sent, letters, edited, deleted, *twice = messages
    assert notice.sender is None
    assert notice.content.startswith("Messages and calls")
    assert subject.content == 'Ann changed the subject from "a: b" to "c: d"'
    assert long.content == "first line\nsecond line\n\n  12/31 is no date, nor is this: one"
    assert (media.sender, media.metadata) == ("Bob Å", {"media": "omitted"})
    assert file_sent.sender == "+49 170 1234567"
    assert file_sent.content == "IMG-2023.jpg (file attached)\na caption"
    assert file_sent.metadata == {"attachment": "IMG-2023.jpg"}
    assert letters.content == "family 👨‍👩‍👧 cafe\u0301 שלום مرحبا"
    assert (edited.content, edited.metadata) == ("hello @Bob Å: look", {"edited": True})
    assert deleted.metadata == {"deleted": True}
    assert [message.content for message in twice] == ["ok", "ok"]
    assert twice[0].id != twice[1].id


def test_what_ios_writes(db, tmp_path):
    packed = tmp_path / "WhatsApp Chat - Trip 🏔.zip"
    text = "\n".join(
        [
            f"[01.02.24, 10:00:00] Trip 🏔: {LRM}Messages and calls are end-to-end encrypted.",
            f"{LRM}[01.02.24, 10:00:01] Ann: {LRM}image omitted",
            f"{LRM}[01.02.24, 10:00:02] ~{NNBSP}Bob: {LRM}<attached: 0001-PHOTO.jpg>",
            "[01.02.24, 10:00:03] Ann: two",
            "lines",
        ]
    )
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("_chat.txt", text)
        archive.writestr("0001-PHOTO.jpg", b"\xff\xd8")
    assert detect(packed) == "whatsapp"
    notice, image, photo, two = read(db, packed, "whatsapp-Trip 🏔")
    assert (notice.role, notice.sender) == ("system", None)
    assert (image.content, image.metadata) == ("image omitted", {"media": "omitted"})
    assert (photo.sender, photo.metadata) == ("Bob", {"attachment": "0001-PHOTO.jpg"})
    assert two.content == "two\nlines"


def test_the_whole_file_tells_day_from_month(db, tmp_path):
    us = write(tmp_path, "1/2/24, 10:00 - Ann: a", "1/3/24, 10:00 - Ann: b", "1/13/24, 9:00 - A: c")
    assert [m.timestamp.month for m in read(db, us)] == [1, 1, 1]
    rows = [f"0{day}/0{month}/24, 10:00 - Ann: x" for month in (1, 2) for day in (3, 9)]
    world = write(tmp_path, *rows, name="WhatsApp Chat with World.txt")
    months = [m.timestamp.month for m in read(db, world, "whatsapp-World")]
    assert months == [1, 1, 2, 2], "in the other order they would go back in time"


def test_what_cannot_be_told_is_asked_for(db, tmp_path):
    file = write(tmp_path, "1/2/24, 10:00 - Ann: a")
    with pytest.raises(InvalidInput, match=r"'1/2/24'.*--date-order.*dmy or mdy"):
        import_file(db, file)
    [message] = read(db, file, date_order="mdy")
    assert message.timestamp == at(2024, 1, 2, 10)
    same = write(tmp_path, "2/2/24, 10:00 - Ann: a", name="WhatsApp Chat with Two.txt")
    assert len(read(db, same, "whatsapp-Two")) == 1
    both = write(tmp_path, "31/1/24, 10:00 - Ann: a", "1/31/24, 10:00 - Ann: b")
    with pytest.raises(InvalidInput, match="some are possible"):
        import_file(db, both)
    report = import_file(db, both, date_order="dmy", skip_bad=True)
    assert (report.bad, report.problems[0].record) == (1, "line 2")


def test_times_have_the_zone_that_is_named(db, tmp_path):
    file = write(tmp_path, "15.07.24, 10:00 - Ann: a", "15.12.24, 10:00 - Ann: b")
    summer, winter = read(db, file, time_zone="Europe/Berlin")
    assert (summer.timestamp, winter.timestamp) == (at(2024, 7, 15, 8), at(2024, 12, 15, 9))


def test_a_later_export_that_begins_later_adds_what_is_new(db, tmp_path):
    lines = [f"{day}.05.24, 10:00 - Ann: ok" for day in range(10, 20)]
    assert len(read(db, write(tmp_path, *lines))) == 10
    assert import_file(db, write(tmp_path, *lines)).skipped == 10
    later = write(
        tmp_path, *lines[5:], "20.05.24, 10:00 - Ann: new", name="WhatsApp Chat with Ann Ox (1).txt"
    )
    report = import_file(db, later)
    assert (report.messages, report.skipped, report.chats) == (1, 5, 0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("31.02.24, 10:00 - Ann: never", "line 2: its time"),
        ("15.02.24, 24:30 - Ann: never", "line 2: its time"),
        ("15.02.24, 13:30 PM - Ann: never", "line 2: its time .*no such hour"),
    ],
)
def test_what_is_malformed_is_named_or_skipped(db, tmp_path, line, words):
    file = write(
        tmp_path, "15.01.24, 10:00 - Ann: a", line, "goes with it", "16.02.24, 10:00 - Ann: b"
    )
    with pytest.raises(InvalidInput, match=words):
        import_file(db, file)
    report = import_file(db, file, skip_bad=True)
    assert report.bad == 1
    assert [m.content for m in db.get_node("whatsapp-Ann Ox").messages()] == ["a", "b"]


def test_what_stands_before_the_first_message_is_not_lost_silently(db, tmp_path):
    file = write(tmp_path, "Chat of last year", "", "15.01.24, 10:00 - Ann: a")
    with pytest.raises(InvalidInput, match="line 1: it stands before the first message"):
        import_file(db, file)
    assert import_file(db, file, skip_bad=True).bad == 1


def test_lines_that_only_look_alike_belong_to_the_message(db, tmp_path):
    file = write(
        tmp_path,
        "[15.01.24, 10:00:00] Ann: Bob wrote:",
        "14.01.24, 09:00 - Bob: I come",
        "[see below]",
        "[16.01.24, 10:00:00] Ann: b",
    )
    assert [m.content for m in read(db, file)] == [
        "Bob wrote:\n14.01.24, 09:00 - Bob: I come\n[see below]",
        "b",
    ]


LONG = """
    import sys
    from embedded_db import EmbeddedDB
    from embedded_db.importers import import_file

    with EmbeddedDB(":memory:", ml=None) as db:
        assert import_file(db, sys.argv[1]).messages == 2
        first = next(db.get_node("whatsapp-Ann Ox").messages())
        print(len(first.content), first.content[-1:])
"""


@pytest.mark.parametrize(
    "line", ["a line", "", "  ", "\t", "15.01.24", "<This message was edited", LRM]
)
def test_a_message_of_very_many_lines_is_read(tmp_path, run_python, thorough, line):
    """Within the time of a child process, which the square of that many steps would pass by far."""
    many = 500_000 if thorough else 100_000
    end = "15.01.24, 10:01 - Bob: b"
    file = write(tmp_path, "15.01.24, 10:00 - Ann: a", *[line] * many, "x", end)
    done = run_python(LONG, file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(len("a\n") + (len(line) + 1) * many + len("x")), "x"]


def test_a_message_is_no_larger_than_one_can_be(db, tmp_path, monkeypatch):
    monkeypatch.setattr(whatsapp, "MOST_TEXT", 1_000)
    lines = ["x" * 99] * 20
    file = write(
        tmp_path,
        "15.01.24, 10:00 - Ann: a",
        "15.01.24, 10:01 - Ann: much",
        *lines,
        "15.01.24, 10:02 - Ann: b",
        *lines[:9],
    )
    with pytest.raises(ValueTooLarge, match="line 2: the message that begins there") as caught:
        import_file(db, file)
    assert (caught.value.record, caught.value.limit) == ("line 2", 1_000)
    report = import_file(db, file, skip_bad=True)
    assert (report.messages, report.bad) == (2, 1)
    assert report.problems[0].record == "line 2"
    last = list(db.get_node("whatsapp-Ann Ox").messages())[-1]
    assert last.content == "\n".join(["b", *lines[:9]])


@longer
def test_what_the_database_finds_too_large_says_where(db, tmp_path):
    file = tmp_path / "WhatsApp Chat with Ann Ox.txt"
    with open(file, "w", encoding="utf-8") as out:
        out.write("15.01.24, 10:00 - Ann: a\n15.01.24, 10:01 - Ann: much\n")
        for _ in range(17):
            out.write("🙂" * 1_000_000 + "\n")  # four bytes each
    with pytest.raises(ValueTooLarge, match="line 2: ") as caught:
        import_file(db, file)
    assert (caught.value.record, caught.value.limit) == ("line 2", 64 << 20)
    assert db.count("Message") == 0
