"""Do the fields of tokens mean something?

The five conversations of LoCoMo are stored in one namespace, a chat for each session. Fields are
compared with the conversations, the chats and the topics (of the highest level) by the adjusted
Rand index: 0 is what chance gives, 1 is the same partition. The same with the nodes shuffled among
the fields. Printed for the fields of each number of levels, of mere projections and of organised
tokens, with the largest of the latter. No edge says to which conversation a chat belongs; `NEXT`
ties the messages of a chat, and topics are made of the same edges.

    python benches/quality/fields.py [FILE]
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from math import comb
from pathlib import Path

from topics import FILE, Conversations

from embedded_db import EmbeddedDB, MLConfig
from embedded_db.placing import TokenField

LEVELS = (2, 3, 4, 5, 6, 7)


def rand_index(ones: Sequence[object], others: Sequence[object]) -> float:
    """Give the adjusted Rand index of two partitions (Hubert and Arabie, 1985)."""

    def pairs(parts: Sequence[object]) -> int:
        return sum(comb(count, 2) for count in Counter(parts).values())

    both = pairs(list(zip(ones, others, strict=True)))
    one, other, every = pairs(ones), pairs(others), comb(len(ones), 2)
    expected = one * other / every
    most = (one + other) / 2
    return (both - expected) / (most - expected) if most != expected else 0.0


def leaves(fields: Sequence[TokenField], levels: int) -> dict[str, int]:
    """Give the innermost field of each node, of so many levels."""
    return {id: field.number for field in fields if field.level < levels for id in field.ids}


def agreement(fields: dict[str, int], others: dict[str, str]) -> float:
    """Give the index of what is in both."""
    shared = [id for id in fields if id in others]
    return rand_index([fields[id] for id in shared], [others[id] for id in shared])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    file = parser.parse_args().file
    if not file.exists():
        print(f"skipped: the data {file.name} is not on this machine")
        return
    with EmbeddedDB(":memory:", ml=MLConfig(summary=None)) as db:
        stored = Conversations(db, file)
        db.flush(timeout=3600)
        db.set_activity_level("SleepMode")
        db.flush(timeout=3600)
        chats = {id: chat for chat, ids in stored.of_chat.items() for id in ids}
        conversations = {id: chat.split("/")[0] for id, chat in chats.items()}
        topics = {
            message.id: topic.id
            for topic in db.nodes("Topic")
            if topic.parent is None
            for message in topic.messages()
        }
        print(f"{len(chats)} messages in {len(set(chats.values()))} chats")
        for organised in (False, True):
            begun = time.perf_counter()
            db.tokens(organised=organised)
            took = time.perf_counter() - begun
            fields = db.fields(min_size=8, max_levels=max(LEVELS), organised=organised)
            print(f"\n{'organised' if organised else 'projections'}, tokens in {took:.2f} s")
            names = ("levels", "fields", "conversations", "chats", "topics", "shuffled")
            print(" ".join(f"{name:>13}" for name in names))
            for levels in LEVELS:
                of = leaves(fields, levels)
                ids = list(of)
                mixed = random.Random(1).sample(ids, len(ids))
                shuffled = {id: of[other] for id, other in zip(ids, mixed, strict=True)}
                agreements = [agreement(of, them) for them in (conversations, chats, topics)]
                values = [*agreements, agreement(shuffled, conversations)]
                row = " ".join(f"{value:13.3f}" for value in values)
                print(f"{levels:>13} {len(set(of.values())):>13} {row}")
        for field in fields[:15]:
            example = db.get_node(field.ids[0])["content"] if field.ids else ""
            print("  " * field.level, len(field), *field.axes, "|", example[:70])


if __name__ == "__main__":
    main()
