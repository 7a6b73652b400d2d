"""What it costs to be watched and limited, in instructions, whatever else the machine does.

    python benches/instructions.py

It runs each work of `overhead` under valgrind, in a database with everything off and in one for
each part, and counts those of the thread that calls. Looks at the clock are calls of the system
there, and are not in the figures; nor is what memory and caches cost.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from overhead import NOTHING, PARTS, TRACING, WORKS, collector, fill

from embedded_db import EmbeddedDB
from embedded_db.logs import flush

ROUNDS = {
    "1,000 nodes in one call": 6,
    "one node": 100,
    "get_node": 6,
    "neighbors": 10,
    "query": 200,
}
NAMES = ["off", *PARTS]
MARK = "*logs_flush*"
"""A function that does next to nothing: valgrind tells what was counted whenever it is called."""


def work(endpoint: str) -> None:
    """Do each work in each database, each with a mark before and behind it."""
    TRACING["endpoint"] = endpoint
    with ExitStack() as stack:
        databases = []
        for name in NAMES:
            parts = {} if name == "off" else PARTS[name][0]
            options = {**NOTHING, "durability": "memory", "map_size_max": 1 << 30, **parts}
            databases.append(stack.enter_context(EmbeddedDB(":memory:", ml=None, **options)))
            fill(databases[-1])
        for title, rounds in ROUNDS.items():
            for db in databases:
                for warm in (2, rounds):
                    flush()
                    for _ in range(warm):
                        WORKS[title][0](db)
                flush()


def counted(endpoint: str) -> list[int]:
    """Instructions between two marks, in their order."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "out")
        command = ["valgrind", "--tool=callgrind", "--separate-threads=yes"]
        command += [f"--callgrind-out-file={out}", f"--dump-before={MARK}"]
        command += [sys.executable, __file__, endpoint]
        subprocess.run(command, check=True, capture_output=True, env=dict(os.environ))
        # What is told at a mark is of the thread that has come to it, the first.
        dumps = {int(path.suffix[1:-3]): path for path in Path(directory).glob("out.*-01")}
        found = [dumps[number].read_text() for number in sorted(dumps)]
        each = [int(text.rpartition("\ntotals: ")[2].split()[0]) for text in found]
        # One call of the mark may be several functions that are named so.
        return [count for count in each if count > 10_000]


def main() -> None:
    """Print a row for each work."""
    with collector() as endpoint:
        counts = iter(counted(endpoint)[1:])  # what came before the first mark
    print(f"{'instructions':<26}{'off':>10}", *(f"{name:>12}" for name in PARTS))
    for title, rounds in ROUNDS.items():
        each = []
        for _ in NAMES:
            next(counts)  # the first rounds are for the caches
            each.append(next(counts) / rounds)
        off, *parts = each
        more = (f"{100 * (part / off - 1):>+10.2f} %" for part in parts)
        print(f"{title:<26}{off:>10,.0f}", *more)


if __name__ == "__main__":
    work(sys.argv[1]) if len(sys.argv) > 1 else main()
