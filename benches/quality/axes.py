"""Do the eight axes order sentences as a person would?

40 sentences of ours, each with how much it is about each axis: not at all, somewhat, mostly. One
reader labelled them before their coordinates were known (`data/axes.json`). Of two sentences that
differ in that, the one with more should have the greater coordinate. Printed: the share of such
pairs that are in order, by axis and of all; 50 % is chance.

    python benches/quality/axes.py
"""

import json
from pathlib import Path

import numpy as np

from embedded_db import EmbeddedDB
from embedded_db.tokens import AXES

LABELS = Path(__file__).parent / "data" / "axes.json"
GOAL = 0.8


def main() -> None:
    """Print the figures."""
    rows = json.loads(LABELS.read_text("utf-8"))
    with EmbeddedDB(":memory:") as db:
        messages = db.create_chat().add_messages([{"content": text} for text, _ in rows])
        db.flush(timeout=600)
        tokens = [db.token(message) for message in messages]
    at = np.array([token.coordinates for token in tokens])
    right, pairs = 0, 0
    for axis, name in enumerate(AXES):
        labels = np.array([levels.get(name, 0) for _, levels in rows])
        more = labels[:, None] > labels[None, :]
        greater = at[:, None, axis] > at[None, :, axis]
        print(f"{name:<10} {(more & greater).sum() / more.sum():6.1%} of {more.sum()} pairs")
        right, pairs = right + (more & greater).sum(), pairs + more.sum()
    print(f"{'all':<10} {right / pairs:6.1%} of {pairs} pairs; goal {GOAL:.0%}")


if __name__ == "__main__":
    main()
