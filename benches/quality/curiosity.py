"""Are the ties that are proposed right?

The five conversations of LoCoMo are stored in one namespace, a chat for each session, and tied in
SleepMode. A tie is right when its two messages are about the same particular matter: an event, a
plan, a person, a thing, an activity; not when they only thank, greet, praise or agree alike. A
sample of 70 was labelled by one reader, who did not see how similar they are, in
`data/curiosity.json`, by conversation, session and turn. Printed: how many ties there are, how many
of those in the sample are right, by confidence, and how many of all are within one conversation,
beside two messages at random.

    python benches/quality/curiosity.py [FILE] [--sample N] [--seed N]
"""

import argparse
import json
import random
import time
from pathlib import Path

from topics import FILE, Conversations

from embedded_db import Config, EmbeddedDB, MLConfig, WeaverConfig

LABELS = Path(__file__).parent / "data" / "curiosity.json"


def main() -> None:
    """Print the figures, or a sample to label."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    parser.add_argument("--sample", type=int, default=0, help="print so many ties to label")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    config = Config(
        ml=MLConfig(summary=None), weaver=WeaverConfig(activity_level="Normal", topics=False)
    )
    with EmbeddedDB(":memory:", config=config) as db:
        stored = Conversations(db, given.file)
        db.flush(timeout=3600)
        begun = time.perf_counter()
        db.set_activity_level("SleepMode")
        db.flush(timeout=3600)
        took = time.perf_counter() - begun
        names = {
            id: f"{chat}:{at}"
            for chat, ids in stored.of_chat.items()
            for at, id in enumerate(ids, 1)
        }
        ties = {
            (names[edge.source], names[edge.target]): float(edge.properties["confidence"])
            for id in names
            for edge in db.edges(id, "RELATED_TO")
            if "confidence" in edge.properties
        }
        if given.sample:
            texts = {name: db.get_node(id)["content"] for id, name in names.items()}
            for one, other in random.Random(given.seed).sample(sorted(ties), given.sample):
                print(json.dumps([one, other]), "|", texts[one], "||", texts[other])
            return
    labels = {tuple(pair): right for pair, right in json.loads(LABELS.read_text("utf-8"))}
    print(f"{len(ties)} ties of {len(names)} messages in {took:.1f} s")
    for least, below in [(0.0, 0.7), (0.7, 0.8), (0.8, 1.1), (0.0, 1.1)]:
        some = [tie for tie, sure in ties.items() if least <= sure < below]
        known = [labels[tie] for tie in some if tie in labels]
        print(
            f"confidence {least:.1f} to {min(below, 1):.1f}: {len(some)} ties, of {len(known)} "
            f"labelled ones {sum(known)} right"
        )
    inside = [one.split("/")[0] == other.split("/")[0] for one, other in ties]
    within = sum(inside) / len(ties)
    sizes: dict[str, int] = {}
    for name in names.values():
        conversation = name.split("/")[0]
        sizes[conversation] = sizes.get(conversation, 0) + 1
    chance = sum((size / len(names)) ** 2 for size in sizes.values())
    print(f"within one conversation: {within:.3f}, by chance {chance:.3f}")


if __name__ == "__main__":
    main()
