"""Do topics mean something? They know what messages mention, and nothing else.

Five conversations of LoCoMo are stored in one namespace, a chat for each session, and grouped. Of
the messages that are in a topic, by the narrowest one:

- agreement of topics with conversations, and with chats: mutual information, adjusted for chance,
  0 of topics dealt out at random, 1 of the same groups;
- two turns that together answer a labelled question, from different chats: how often they share a
  topic, beside two turns of different chats of the same conversation.

Topics dealt out at random (the same number of messages in each) are printed beside them.

    python benches/quality/topics.py [FILE]
"""

import argparse
import gzip
import itertools
import json
import math
import os
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embedded_db import Config, EmbeddedDB, MLConfig, Topic, WeaverConfig

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EMBEDDED_DB_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "locomo" / "locomo_open5.json.gz"
TURN = re.compile(r"D0*(\d+):0*(\d+)")
SHUFFLES = 50
DRAWN = 50_000


def entropy(groups: Sequence[Any]) -> float:
    """Give how much a group tells, in nats."""
    shares = [count / len(groups) for count in Counter(groups).values()]
    return -sum(share * math.log(share) for share in shares)


def mutual(some: Sequence[Any], others: Sequence[Any]) -> float:
    """Give how much one group tells of the other."""
    return entropy(some) + entropy(others) - entropy(list(zip(some, others, strict=True)))


def agreement(some: Sequence[Any], others: Sequence[Any], chance: random.Random) -> float:
    """Give the mutual information, adjusted by that of groups dealt out at random."""
    dealt, expected = list(some), 0.0
    for _ in range(SHUFFLES):
        chance.shuffle(dealt)
        expected += mutual(dealt, others) / SHUFFLES
    most = (entropy(some) + entropy(others)) / 2
    return (mutual(some, others) - expected) / (most - expected)


class Conversations:
    """What is stored, and which turns belong together."""

    def __init__(self, db: EmbeddedDB, file: Path) -> None:
        self.chats: dict[str, str] = {}
        self.of_chat: dict[str, list[str]] = {}
        self.evidence: set[tuple[str, str]] = set()
        with gzip.open(file) as opened:
            conversations = json.load(opened)
        for at, conversation in enumerate(conversations):
            turns = conversation["conversation"]
            for name in turns:
                if re.fullmatch(r"session_\d+", name):
                    self.store(db, f"{at}/{name}", turns[name])
            for question in conversation["qa"]:
                cited = TURN.findall(" ".join(question.get("evidence", [])))
                ids = {self.turn(f"{at}/session_{chat}", int(turn)) for chat, turn in cited}
                pairs = itertools.combinations(sorted(id for id in ids if id), 2)
                self.evidence.update(
                    (one, other) for one, other in pairs if self.chats[one] != self.chats[other]
                )

    def store(self, db: EmbeddedDB, name: str, turns: list[dict[str, str]]) -> None:
        said = [{"sender": turn["speaker"], "content": turn["text"]} for turn in turns]
        ids = [message.id for message in db.create_chat(id=name).add_messages(said)]
        self.of_chat[name] = ids
        self.chats.update(dict.fromkeys(ids, name))

    def turn(self, chat: str, number: int) -> str | None:
        ids = self.of_chat.get(chat, [])
        return ids[number - 1] if 0 < number <= len(ids) else None


def together(topics: dict[str, str], pairs: Sequence[tuple[str, str]]) -> float:
    """Give how many pairs share a topic."""
    return sum(topics[one] == topics[other] for one, other in pairs) / len(pairs)


def drawn(
    chats: dict[str, str], pairs: Sequence[tuple[str, str]], chance: random.Random
) -> list[tuple[str, str]]:
    """Draw pairs of different chats, from each conversation as many as there are of those."""
    by_conversation = defaultdict(list)
    for id, chat in chats.items():
        by_conversation[chat.split("/")[0]].append(id)
    out: list[tuple[str, str]] = []
    while len(out) < DRAWN:
        ids = by_conversation[chats[chance.choice(pairs)[0]].split("/")[0]]
        one, other = chance.choice(ids), chance.choice(ids)
        if chats[one] != chats[other]:
            out.append((one, other))
    return out


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    given = parser.parse_args()
    config = Config(ml=MLConfig(summary=None), weaver=WeaverConfig(activity_level="Normal"))
    with EmbeddedDB(":memory:", config=config) as db:
        stored = Conversations(db, given.file)
        db.flush(timeout=3600)
        db.set_activity_level("SleepMode")
        begun = time.perf_counter()
        db.flush(timeout=3600)
        took = time.perf_counter() - begun
        found = [topic for topic in db.nodes("Topic") if isinstance(topic, Topic)]
        topics = {
            edge.target: topic.id
            for topic in found
            for edge in db.edges(topic, "GROUPS")
            if edge.target in stored.chats
        }
        named = sum(1 for id in stored.chats if db.get_entities_mentioned_in(id))
        levels = Counter(topic.level for topic in found)
    chance = random.Random(1)
    ids = sorted(topics)
    dealt = [topics[id] for id in ids]
    chance.shuffle(dealt)
    pairs = sorted(pair for pair in stored.evidence if set(pair) <= set(ids))
    others = drawn({id: stored.chats[id] for id in ids}, pairs, chance)
    print(
        f"{len(stored.chats)} messages, {named} of them name something, {len(ids)} are in a topic"
    )
    print(f"topics by level: {dict(sorted(levels.items()))}, made in {took:.2f} s\n")
    print(f"{'':<18}{'conversations':>15}{'chats':>8}{'answers':>10}{'others':>9}")
    for name, groups in [
        ("topics", topics),
        ("dealt out", dict(zip(ids, dealt, strict=True))),
    ]:
        of = [groups[id] for id in ids]
        chats = [stored.chats[id] for id in ids]
        talks = [chat.split("/")[0] for chat in chats]
        figures = agreement(of, talks, chance), agreement(of, chats, chance)
        shares = together(groups, pairs), together(groups, others)
        print(f"{name:<18}{figures[0]:>15.3f}{figures[1]:>8.3f}{shares[0]:>10.3f}{shares[1]:>9.3f}")
    print(f"\nanswers: {len(pairs)} pairs of turns; the largest topics:")
    for topic in sorted(found, key=lambda topic: -topic.message_count)[:12]:
        print(f"  {'  ' * topic.level}{topic.label} ({topic.message_count})")


if __name__ == "__main__":
    main()
