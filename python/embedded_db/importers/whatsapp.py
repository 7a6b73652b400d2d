r"""The text export of WhatsApp, from Android and from iOS, by itself or in the archive it comes in.

::

    12/31/23, 9:05 PM - Ann: Happy new year!         Android
    [31.12.23, 21:05:33] Ann: Happy new year!        iOS

The file does not say in which order it writes day and month, which depends on the telephone: the
whole file is looked through once to find out, and where it leaves both possible, the order has to
be named. Times are those of the telephone; they are taken to be in `ImportOptions.time_zone`. A
line that begins like neither form goes on with the message before it. Ids are made of time, sender
and text, so that a later export, which may begin later, too, adds what is new.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from ..errors import InvalidInput, ValueTooLarge
from .base import Batch, Reader, batches, hashed_id, made_id
from .source import MOST_TEXT, Document, Source

__all__ = ["WHATSAPP"]

MARKS: Final = dict.fromkeys(
    map(ord, "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\ufeff")
)
"""Invisible marks of direction before dates, senders and notices."""
ISOLATES: Final = dict.fromkeys(map(ord, "\u2068\u2069"))
"""What stands around the names of those who are mentioned."""
SPACES: Final = r"[ \t\u00a0\u202f]"

DATE: Final = r"(?P<first>\d{1,4})(?P<sign>[./-])(?P<second>\d{1,2})(?P=sign)(?P<third>\d{2,4})\.?"
TIME: Final = (
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<seconds>\d{2}))?"
    rf"(?:{SPACES}*(?P<half>[AaPp])\.?{SPACES}?[Mm]\.?)?"
)
ANDROID: Final = re.compile(rf"{DATE},?{SPACES}+{TIME}{SPACES}+[-–]{SPACES}(?P<rest>.*)", re.DOTALL)
IOS: Final = re.compile(rf"\[{DATE},?{SPACES}+{TIME}\]{SPACES}?(?P<rest>.*)", re.DOTALL)
TITLE: Final = re.compile(
    r"(?:WhatsApp[ -]Chat|Chat(?: de)? WhatsApp|Discussion WhatsApp|Conversa do WhatsApp)"
    r"(?: with| mit| con| com| avec| met| -)? (.+)"
)
MEMBER: Final = re.compile(r"(?:.*/)?(?:_chat|[^/]*WhatsApp[^/]*)\.txt")
COPY: Final = re.compile(r" \(\d+\)$")

OMITTED: Final = re.compile(
    r"<[^<>]{3,40}>|(?:image|video|audio|sticker|GIF|document|contact card) omitted", re.IGNORECASE
)
ATTACHED: Final = re.compile(
    r"<[^<>:]+: (?P<ios>[^<>]+)>|(?P<android>\S.*\.\w{2,5}) \(file attached\)"
)
EDITED: Final = "<This message was edited>"
DELETED: Final = ("This message was deleted", "You deleted this message")
ENCRYPTED: Final = "end-to-end encrypted"
LOOKED_AT: Final = 50


def _form(line: str) -> re.Pattern[str] | None:
    """Give the form of a line that begins a message."""
    bare = _bare(line)
    return next((form for form in (IOS, ANDROID) if form.match(bare)), None)


def _bare(line: str) -> str:
    """Give a line without the marks it begins with."""
    at = 0
    while at < len(line) and ord(line[at]) in MARKS:
        at += 1
    return line[at:]


def misfit(source: Source) -> str | None:
    """Tell by a line among the first that begins with a date, a time and a dash or bracket."""
    member = None
    if source.members:
        members = _members(source)
        if len(members) != 1:
            return f"it has {len(members)} files named like a chat of WhatsApp, not 1"
        [member] = members
    lines = source.head(member).splitlines()[:LOOKED_AT]
    if any(_form(line) for line in lines):
        return None
    return "no line among its first begins with a date and a time of WhatsApp"


def _members(source: Source) -> list[str]:
    return [name for name in source.members if MEMBER.fullmatch(name)]


def read(source: Source) -> Iterator[Batch]:
    """Read the chat, having looked through it for the order of day and month.

    Raises:
        InvalidInput: a line cannot be used; the message has its number. Or day and month cannot
            be told apart.
    """
    member = None
    if source.members:
        members = _members(source)
        if len(members) != 1:
            raise source.problem(
                "the archive", f"it has {len(members)} chats of WhatsApp", "Give one at a time"
            )
        [member] = members
    with source.open(member) as document:
        dates = _look_through(document)
    source.restart()
    wanted = source.options.date_order
    order = _order(source, dates) if wanted == "auto" else wanted
    title = _title(source)
    with source.open(member) as document:
        chat = _Chat(document, title, order, source.options.zone())
        yield from batches(chat.messages(), made_id("whatsapp", title), title)


def _title(source: Source) -> str:
    name = source.name
    if name == "_chat" and source.only is None:
        name = "WhatsApp"
    name = COPY.sub("", name.translate(MARKS))
    found = TITLE.fullmatch(name)
    return found[1].strip() if found else name


# ---------------------------------------------------------------------- day and month


@dataclass
class _Dates:
    """What the dates of a file tell about their order, of which two are possible."""

    example: str = ""
    dots: bool = False
    years_first: bool = False
    impossible: set[str] = field(default_factory=set)
    different: bool = False
    backwards: dict[str, int] = field(default_factory=lambda: {"dmy": 0, "mdy": 0})
    last: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def add(self, found: re.Match[str]) -> None:
        if len(found["first"]) > 2:
            self.years_first = True
            return
        first, second, year = int(found["first"]), int(found["second"]), int(found["third"])
        self.dots |= found["sign"] == "."
        if first > 12:
            self.impossible.add("mdy")
        if second > 12:
            self.impossible.add("dmy")
        if first != second and not self.different:
            self.different, self.example = True, found[0].partition(",")[0].strip("[ ")
        for order, date in (("dmy", (year, second, first)), ("mdy", (year, first, second))):
            self.backwards[order] += date < self.last.get(order, date)
            self.last[order] = date


def _look_through(document: Document) -> _Dates:
    dates = _Dates()
    form: re.Pattern[str] | None = None
    for _, line in document.lines():
        form = form or _form(line)
        found = form.match(_bare(line)) if form else None
        if found is not None:
            dates.add(found)
    return dates


def _order(source: Source, dates: _Dates) -> str:
    possible = {"dmy", "mdy"} - dates.impossible
    if dates.years_first:
        return "ymd"
    if len(possible) == 1:
        return possible.pop()
    if not possible:
        raise source.problem(
            "its dates",
            "some are possible with the day first only, others with the month first only",
            "Name the order with date_order (--date-order), and leave out what is bad",
        )
    if dates.dots or not dates.different:
        return "dmy"  # nobody writes months first with dots
    # Messages stand in order: the wrong reading of the dates goes back in time.
    if dates.backwards["dmy"] != dates.backwards["mdy"]:
        return min(dates.backwards, key=lambda order: dates.backwards[order])
    raise source.problem(
        "its dates",
        f"whether the day or the month comes first, as in {dates.example!r}, cannot be told",
        "Name the order with date_order (--date-order): dmy or mdy",
    )


# ---------------------------------------------------------------------- messages


@dataclass
class _Open:
    """A message whose last line may still come."""

    number: int
    moment: datetime
    sender: str | None
    lines: list[str]
    size: int = 0


class _Chat:
    """Reads the messages of one file."""

    def __init__(self, document: Document, title: str, order: str, zone: tzinfo) -> None:
        self._document = document
        self._title = title
        self._order = order
        self._zone = zone
        self._form: re.Pattern[str] | None = None
        self._moment: datetime | None = None
        self._alike: dict[str, int] = {}

    def messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        current: _Open | None = None
        dropped = False
        for number, line in self._document.lines():
            self._form = self._form or _form(line)
            found = self._form.match(_bare(line)) if self._form else None
            if found is None:
                if current is not None:
                    current.size += len(line) + 1
                    if current.size > MOST_TEXT:
                        # What goes on with it goes with it.
                        self._too_large(current)
                        current, dropped = None, True
                        continue
                    current.lines.append(line)
                elif line.strip() and not dropped:
                    dropped = True
                    self._refuse(number, "it stands before the first message", "Remove the line")
                continue
            if current is not None:
                yield from self._finished(current)
            current, dropped = None, True  # lines that go on with a bad one go with it
            try:
                current = self._begun(number, found)
            except ValueError as error:
                what = f"its time {found[0].removesuffix(found['rest']).strip()!r}: {error}"
                self._refuse(number, what, "Check date_order (--date-order), or mend the line")
        if current is not None:
            yield from self._finished(current)

    def _refuse(self, number: int, what: str, hint: str) -> None:
        error: InvalidInput = self._document.problem(f"line {number}", what, hint)
        self._document.source.refuse(error)

    def _too_large(self, message: _Open) -> None:
        what = f"the message that begins there has more than {MOST_TEXT} characters"
        hint = "Split it, or leave it out"
        place = f"line {message.number}"
        error = self._document.problem(place, what, hint, ValueTooLarge, limit=MOST_TEXT)
        self._document.source.refuse(error)

    def _begun(self, number: int, found: re.Match[str]) -> _Open:
        sender, text = _sender(found["rest"])
        if sender == self._title and ENCRYPTED in text:
            sender = None  # iOS gives the notice the name of the chat
        return _Open(number, _moment(found, self._order), sender, [text])

    def _finished(self, message: _Open) -> Iterator[tuple[str, dict[str, Any]]]:
        text, facts = _content("\n".join(message.lines))
        if not text:
            self._document.source.empty += 1
            return
        place = self._document.place(f"line {message.number}")
        if message.moment != self._moment:
            self._moment = message.moment
            self._alike.clear()
        written = (self._title, message.moment.isoformat(), message.sender or "", text)
        id = hashed_id("whatsapp", *written)
        # The same words twice in one minute are two messages.
        self._alike[id] = alike = self._alike.get(id, 0) + 1
        yield (
            place,
            {
                "id": id if alike == 1 else hashed_id("whatsapp", *written, str(alike)),
                "content": text,
                "role": "system" if message.sender is None else "user",
                **({} if message.sender is None else {"sender": message.sender}),
                "timestamp": message.moment.replace(tzinfo=self._zone).astimezone(UTC),
                **({"metadata": facts} if facts else {}),
            },
        )


def _moment(found: re.Match[str], order: str) -> datetime:
    """Read date and time.

    Raises:
        ValueError: there is no such time.
    """
    parts = dict(zip(order, (found["first"], found["second"], found["third"]), strict=True))
    if len(found["first"]) > 2:
        parts = {"y": found["first"], "m": found["second"], "d": found["third"]}
    year, hour = int(parts["y"]), int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("there is no such hour of twelve")
        hour = hour % 12 + (12 if found["half"] in "pP" else 0)
    return datetime(
        year + 2000 if year < 100 else year,
        int(parts["m"]),
        int(parts["d"]),
        hour,
        int(found["minute"]),
        int(found["seconds"] or 0),
    )


def _sender(rest: str) -> tuple[str | None, str]:
    """Take the sender off; a notice of WhatsApp itself has none."""
    name, colon, text = rest.partition(": ")
    if not colon:
        name, colon, text = rest.removesuffix(":"), rest[-1:], ""
        if colon != ":":
            return None, rest
    # 'Ann changed the subject to "x: y"' is a notice, though it has a colon.
    if name.count('"') % 2 or name.count("“") != name.count("”"):
        return None, rest
    return name.translate(MARKS).translate(ISOLATES).lstrip("~").strip() or None, text


def _content(text: str) -> tuple[str, dict[str, Any]]:
    facts: dict[str, Any] = {}
    text = text.translate(ISOLATES)
    marked = text.startswith("\u200e")
    # Marks inside of a text may be its own, as in Arabic; those at its edges are WhatsApp's.
    text = text.strip("\u200e \t\r\n")
    if text.endswith(EDITED):
        text, facts["edited"] = text.removesuffix(EDITED).strip("\u200e \t\r\n"), True
    attached = ATTACHED.fullmatch(text.partition("\n")[0].strip("\u200e"))
    if attached is not None:
        facts["attachment"] = attached["ios"] or attached["android"].translate(MARKS)
    elif OMITTED.fullmatch(text) and (marked or text.startswith("<")):
        facts["media"] = "omitted"
    elif text.rstrip(".") in DELETED:
        facts["deleted"] = True
    return text, facts


WHATSAPP: Final = Reader("whatsapp", "WhatsApp text export, or its archive", misfit, read)
