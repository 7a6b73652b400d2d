"""How often are names joined that mean one person, place or organisation, and only those?

Chats of our own (``data/entities.txt``) say who is meant by each name. The names are given to the
database as a recogniser would find them, so that what is measured is the joining alone. Every pair
of mentions in a namespace counts: precision is the share of the pairs with one entity that mean
one, recall the share of those that mean one that have one entity.

Usage: python benches/quality/entities.py [--wrong]
"""

import argparse
import itertools
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from embedded_db import EmbeddedDB, MLConfig

DATA = Path(__file__).with_name("data") / "entities.txt"
NAME = re.compile(r"\[([^|\]]+)\|([PGO])\|(\w+)\]")
CLASSES = {"P": "PERSON", "G": "GPE", "O": "ORG"}


class Found(NamedTuple):
    """A name in a message."""

    name: str
    who: str
    entity: str


class Scores(NamedTuple):
    """Pairs of mentions: joined and right, joined, and of one meaning."""

    right: int
    joined: int
    wanted: int

    def __str__(self) -> str:
        precision, recall = self.right / max(self.joined, 1), self.right / max(self.wanted, 1)
        counts = f"{self.right} right of {self.joined} joined and {self.wanted} wanted"
        return f"precision {precision:.3f}, recall {recall:.3f} ({counts})"


def read(path: Path = DATA) -> dict[str, list[list[str]]]:
    """Give the marked messages of each chat of each namespace."""
    out: dict[str, list[list[str]]] = {}
    chats: list[list[str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("=="):
            chats = out[line[2:].strip()] = [[]]
        elif line.startswith("--"):
            chats.append([])
        elif line and not line.startswith("#"):
            chats[-1].append(line)
    return out


def marked(line: str) -> tuple[str, list[dict[str, object]], list[str]]:
    """Give the text of a message, the names in it, and who is meant."""
    text, names, who, last = "", [], [], 0
    for match in NAME.finditer(line):
        text += line[last : match.start()]
        name, kind, meant = match.groups()
        end = len(text) + len(name)
        names.append({"text": name, "label": CLASSES[kind], "start": len(text), "end": end})
        who.append(meant)
        text, last = text + name, match.end()
    return text + line[last:], names, who


def resolved(chats: list[list[str]], *, backwards: bool = False) -> list[Found]:
    """Store the chats of a namespace and give its names with their entities."""
    texts = {marked(line)[0]: marked(line) for chat in chats for line in chat}
    config = MLConfig(
        embedding="hashing", entities=lambda given: [texts[text][1] for text in given]
    )
    found = []
    with EmbeddedDB(":memory:", ml=config) as db:
        messages = []
        for lines in chats:
            chat = db.create_chat()
            for line in reversed(lines) if backwards else lines:
                messages.append(chat.add_message(marked(line)[0]))
        db.flush(timeout=60)
        for message in messages:
            _, names, who = texts[message.content]
            entities = {
                (said["name"], said["type"]): edge.target
                for edge in db.edges(message, "MENTIONS")
                for said in edge.properties["names"]
            }
            for name, meant in zip(names, who, strict=True):
                found.append(Found(name["text"], meant, entities[name["text"], name["label"]]))
    return found


def scores(found: list[Found], *, by_letters: bool = False) -> tuple[Scores, list[str]]:
    """Count the pairs, and say which are wrong; ``by_letters`` joins what is equal but for case."""
    right = joined = wanted = 0
    wrong = []
    for one, other in itertools.combinations(found, 2):
        same = one.who == other.who
        together = one.entity == other.entity
        if by_letters:
            together = one.name.casefold() == other.name.casefold()
        wanted += same
        joined += together
        right += same and together
        if same != together:
            wrong.append(f"{'joined' if together else 'apart '} {one.name!r}, {other.name!r}")
    return Scores(right, joined, wanted), wrong


def total(parts: list[Scores]) -> Scores:
    """Add scores up."""
    return Scores(*(sum(column) for column in zip(*parts, strict=True)))


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wrong", action="store_true", help="list the pairs that are wrong")
    arguments = parser.parse_args()
    sample = read()
    of: dict[str, list[Scores]] = defaultdict(list)
    names = 0
    for title, chats in sample.items():
        found = resolved(chats)
        names += len(found)
        score, wrong = scores(found)
        of["resolved"].append(score)
        of["by letters"].append(scores(found, by_letters=True)[0])
        of["messages backwards"].append(scores(resolved(chats, backwards=True))[0])
        for line in wrong if arguments.wrong else []:
            print(f"{title}: {line}")
    print(f"{sum(len(chats) for chats in sample.values())} chats, {names} names")
    for what, parts in of.items():
        print(f"{what:18} {total(parts)}")


if __name__ == "__main__":
    main()
