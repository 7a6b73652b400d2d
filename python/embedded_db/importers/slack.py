"""The export of Slack: a directory or archive with one file for each day of each channel.

A channel is a chat. Names of users and channels stand where the export has their ids. Ids are made
of those of the channel and the time stamp, which is unique in it, so that reading a later export
adds what is new. What belongs to a thread has the id of its first message in
``metadata["thread"]``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from ..errors import InvalidInput
from .base import Batch, Reader, batches, from_seconds, made_id
from .json_stream import array_elements
from .source import Document, Source

__all__ = ["SLACK"]

DAY: Final = re.compile(r"(?P<folder>.+)/\d{4}-\d\d-\d\d\.json")
STAMP: Final = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?")
LISTS: Final = ("channels.json", "groups.json", "dms.json", "mpims.json")
BOTS: Final = {"bot_message", "bot_add", "bot_remove"}
SPOKEN: Final = {None, "", "bot_message", "me_message", "thread_broadcast", "file_share"}
"""Subtypes of what somebody wrote; the others are notices of Slack itself."""
LINK: Final = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
TOMBSTONE: Final = "tombstone"


@dataclass
class _Names:
    """What ids stand for."""

    users: dict[str, str] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Channel:
    id: str
    title: str
    topic: str | None = None


def misfit(source: Source) -> str | None:
    """Tell by the lists and the files of days."""
    if not source.members:
        return "it is a single file, not a directory or archive"
    root = _root(source)
    if root is None:
        return "it has no users.json and no channels.json"
    if not any(DAY.fullmatch(name.removeprefix(root)) for name in source.members):
        return "no channel in it has a file of a day, such as general/2026-01-31.json"
    return None


def _root(source: Source) -> str | None:
    """Give the folder with the lists, for archives that were packed with their folder."""
    found = [
        name.removesuffix(last)
        for name in source.members
        for last in ("users.json", *LISTS)
        if name == last or name.endswith(f"/{last}")
    ]
    return min(found, key=len, default=None)


def read(source: Source) -> Iterator[Batch]:
    """Read channel after channel, each day by day.

    Raises:
        InvalidInput: a message lacks what it needs; the error names file and place.
    """
    root = _root(source)
    if root is None:
        raise source.problem(
            "the export", "it has no users.json and no channels.json", "Give a whole export"
        )
    names = _Names()
    for user in _listed(source, f"{root}users.json"):
        names.users[user["id"]] = _user_name(user)
    channels = _channels(source, root, names)
    days: dict[str, list[str]] = {}
    for name in source.members:
        day = DAY.fullmatch(name.removeprefix(root)) if name.startswith(root) else None
        if day is not None:
            days.setdefault(day["folder"], []).append(name)
    for folder, files in days.items():
        channel = channels.get(folder) or _Channel(folder, f"#{folder}")
        yield from batches(
            _messages(source, sorted(files), channel, names),
            made_id("slack", channel.id),
            channel.title,
            channel.topic,
        )


def _listed(source: Source, member: str) -> Iterator[dict[str, Any]]:
    if member not in source.members:
        return
    with source.open(member) as document:
        for number, entry in enumerate(array_elements(document), 1):
            if isinstance(entry, dict) and isinstance(entry.get("id"), str):
                yield entry
            else:
                source.refuse(
                    document.problem(
                        f"entry {number}",
                        f"it is {entry!r:.60}, without an id",
                        "Give a whole export",
                    )
                )


def _user_name(user: Mapping[str, Any]) -> str:
    profile = user.get("profile")
    for place in (profile if isinstance(profile, dict) else {}, user):
        for key in ("display_name", "real_name", "name"):
            name = place.get(key)
            if isinstance(name, str) and name.strip():
                return name.strip()
    return str(user["id"])


def _channels(source: Source, root: str, names: _Names) -> dict[str, _Channel]:
    """Give the channels by the name of their folder."""
    found: dict[str, _Channel] = {}
    for file in LISTS:
        for entry in _listed(source, f"{root}{file}"):
            id, name = entry["id"], entry.get("name")
            members = entry.get("members")
            people = ", ".join(
                names.users.get(str(user), str(user)) for user in members or [] if user
            )
            if file == "dms.json":
                found[id] = _Channel(id, people or id)
                continue
            folder = name if isinstance(name, str) and name else id
            title = (people or folder) if file == "mpims.json" else f"#{folder}"
            found[folder] = _Channel(id, title, _value(entry, "topic") or _value(entry, "purpose"))
            names.channels[id] = folder
    return found


def _value(entry: Mapping[str, Any], name: str) -> str | None:
    inner = entry.get(name)
    value = inner.get("value") if isinstance(inner, dict) else None
    return value if isinstance(value, str) and value else None


def _messages(
    source: Source, files: list[str], channel: _Channel, names: _Names
) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files:
        with source.open(file) as document:
            for number, entry in enumerate(array_elements(document), 1):
                where = f"message {number}"
                try:
                    message = _message(document, where, entry, channel, names)
                except InvalidInput as error:
                    source.refuse(error)
                    continue
                if message is None:
                    source.empty += 1
                else:
                    yield document.place(where), message


def _message(
    document: Document, where: str, entry: object, channel: _Channel, names: _Names
) -> dict[str, Any] | None:
    def problem(what: str) -> InvalidInput:
        return document.problem(where, what, "Give the export as it was downloaded")

    if not isinstance(entry, dict):
        raise problem(f"it is {entry!r:.60}, not an object")
    time = _time(entry.get("ts"))
    if time is None:
        raise problem(f"its ts is {entry.get('ts')!r:.60}")
    written = entry.get("text")
    if written is not None and not isinstance(written, str):
        raise problem(f"its text is {written!r:.60}")
    subtype = entry.get("subtype")
    text = _content(entry, written or "", names)
    if not text or subtype == TOMBSTONE:
        return None
    bot = subtype in BOTS or (entry.get("bot_id") and not entry.get("user"))
    facts = _facts(entry, channel)
    return {
        "id": made_id("slack", channel.id, entry["ts"]),
        "content": text,
        "sender": _sender(entry, names),
        "role": "user" if subtype in SPOKEN and not bot else "bot" if bot else "system",
        "timestamp": time,
        **({"metadata": facts} if facts else {}),
    }


def _time(stamp: object) -> datetime | None:
    found = STAMP.fullmatch(stamp) if isinstance(stamp, str) else None
    if found is None:
        return None
    try:
        # Not as one float: the digits behind the point have to stay what they are.
        return from_seconds(int(found[1])) + timedelta(
            microseconds=int((found[2] or "0").ljust(6, "0"))
        )
    except (ValueError, OverflowError):
        return None


def _sender(entry: Mapping[str, Any], names: _Names) -> str:
    user = entry.get("user")
    if isinstance(user, str) and user in names.users:
        return names.users[user]
    profile = entry.get("user_profile")
    if isinstance(profile, dict):
        return _user_name({"id": user or "unknown", "profile": profile})
    bot = entry.get("bot_profile")
    candidates = (
        entry.get("username"),
        bot.get("name") if isinstance(bot, dict) else None,
        user,
        entry.get("bot_id"),
    )
    return next((name for name in candidates if isinstance(name, str) and name), "Slack")


def _facts(entry: Mapping[str, Any], channel: _Channel) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    thread = entry.get("thread_ts")
    if isinstance(thread, str):
        facts["thread"] = made_id("slack", channel.id, thread)
    subtype = entry.get("subtype")
    if isinstance(subtype, str) and subtype:
        facts["subtype"] = subtype
    edited = entry.get("edited")
    moment = _time(edited.get("ts")) if isinstance(edited, dict) else None
    if moment is not None:
        facts["edited_at"] = moment
    reactions = entry.get("reactions")
    if isinstance(reactions, list):
        counted = {
            each["name"]: each.get("count")
            for each in reactions
            if isinstance(each, dict) and isinstance(each.get("name"), str)
        }
        facts["reactions"] = {
            name: count for name, count in counted.items() if isinstance(count, int)
        }
    return facts


def _content(entry: Mapping[str, Any], written: str, names: _Names) -> str:
    lines = [_readable(written, names)]
    for file in _dicts(entry.get("files")):
        name = file.get("title") or file.get("name")
        lines.append(f"[file: {name}]" if isinstance(name, str) and name else "[file]")
    if not written.strip():
        # What bots post is often in here alone.
        for attachment in _dicts(entry.get("attachments")):
            for key in ("pretext", "title", "text"):
                value = attachment.get(key)
                if isinstance(value, str):
                    lines.append(_readable(value, names))
            if not any(isinstance(attachment.get(key), str) for key in ("title", "text")):
                fallback = attachment.get("fallback")
                lines.append(_readable(fallback, names) if isinstance(fallback, str) else "")
    return "\n".join(line for line in lines if line.strip()).strip()


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _readable(text: str, names: _Names) -> str:
    """Put names where Slack has ids, and take its markup off links."""
    plain = LINK.sub(lambda found: _link(found[1], found[2], names), text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _link(target: str, label: str | None, names: _Names) -> str:
    kind, rest = target[0], target[1:]
    if kind == "@":
        return f"@{names.users.get(rest) or label or rest}"
    if kind == "#":
        return f"#{label or names.channels.get(rest) or rest}"
    if kind == "!":
        if label:
            return label if label.startswith("@") or "^" in rest else f"@{label}"
        return f"@{rest.partition('^')[0]}"
    if target.startswith("mailto:"):
        return label or target.removeprefix("mailto:")
    return f"{label} ({target})" if label and label != target else target


SLACK: Final = Reader("slack", "Slack export, a directory or archive", misfit, read)
