"""What joining two entities with many mentions costs those who write meanwhile.

Two names are mentioned in many messages each, and joined, while another thread adds a message at a
time. Printed:
how long the joining takes, and what a message took before and meanwhile.

    python benches/joining.py [--messages N]
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

from measuring import processor

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

BATCH = 1_000
NAMES = ("Rob", "Bob")


def shown(name: str, taken: list[float]) -> None:
    """Print how long calls took."""
    quantiles = statistics.quantiles(taken, n=100)
    print(
        f"{name}: {len(taken)} messages, p50 {1e3 * statistics.median(taken):.2f} ms, "
        f"p99 {1e3 * quantiles[-1]:.1f} ms, longest {1e3 * max(taken):.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=100_000)
    count = parser.parse_args().messages
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as directory:
        model = FakeModel(entities=dict.fromkeys(NAMES, "PERSON"))
        with EmbeddedDB(f"{directory}/memory.db", ml=model, durability="memory") as db:
            chat = db.create_chat()
            for name in NAMES:
                for at in range(0, count, BATCH):
                    texts = [f"{name} {n}" for n in range(at, min(at + BATCH, count))]
                    chat.add_messages([{"content": text} for text in texts])
            db.flush()
        with EmbeddedDB(f"{directory}/memory.db", ml=None) as db:
            ids = {str(entity["label"]): entity.id for entity in db.nodes("Entity")}

            def adding(goes_on: Callable[[], bool]) -> list[float]:
                taken = []
                while goes_on():
                    begun = time.perf_counter()
                    db.create_message("other", "a message")
                    taken.append(time.perf_counter() - begun)
                return taken

            until = time.monotonic() + 5
            before = adding(lambda: time.monotonic() < until)
            join = threading.Thread(target=db.merge_entities, args=(ids["Rob"], ids["Bob"]))
            begun = time.perf_counter()
            join.start()
            meanwhile = adding(join.is_alive)
            print(f"{count} mentions moved in {time.perf_counter() - begun:.1f} s")
            shown("before", before)
            shown("meanwhile", meanwhile)
            assert db.get_node(ids["Rob"])["mention_count"] == 2 * count  # type: ignore[index]


if __name__ == "__main__":
    main()
