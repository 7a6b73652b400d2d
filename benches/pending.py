"""What a queue of a million messages costs in memory: nothing that grows with it.

Messages are added while the weaver rests, then the database is opened again, asked for its status,
and the weaver works for a while. Printed each time: memory of the process that is its own
(RssAnon), beside pages of the files (RssFile), which the system takes back when it needs them.

    python benches/pending.py [--messages N] [--seconds N]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import processor

from embedded_db import EmbeddedDB, MLConfig

BATCH = 1_000
MODELS = MLConfig(embedding="hashing", entities=None, summary=None)


def memory() -> str:
    """What the process has, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    own, files = (int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return f"{own:6.0f} MB of its own, {files:6.0f} MB of files"


def pending(db: EmbeddedDB) -> int:
    return int(db.weaver_status()["per_job"]["embedding"]["pending"])


def add(path: str, count: int) -> None:
    """Add messages while nothing is enriched."""
    with EmbeddedDB(path, ml=MODELS, durability="relaxed") as db:
        db.weaver.pause()
        chat = db.create_chat(id="chat")
        begun = time.perf_counter()
        for at in range(0, count, BATCH):
            chat.add_messages([{"content": f"message number {n}"} for n in range(at, at + BATCH)])
            if (at + BATCH) % (count // 10) == 0:
                taken = time.perf_counter() - begun
                print(f"{pending(db):>9} pending: {memory()}; {taken:.0f} s", flush=True)


def work(path: str, seconds: float) -> None:
    """Open it, ask for its status, and let the weaver work."""
    begun = time.perf_counter()
    with EmbeddedDB(path, ml=MODELS, weaver={"activity_level": "Normal"}) as db:
        opened = time.perf_counter() - begun
        db.weaver.pause()
        begun = time.perf_counter()
        count = pending(db)
        asked = time.perf_counter() - begun
        print(
            f"{count:>9} pending: {memory()}; opened in {1000 * opened:.1f} ms, status in ", end=""
        )
        print(f"{1000 * asked:.1f} ms", flush=True)
        db.weaver.resume()
        for _ in range(4):
            time.sleep(seconds / 4)
            left = pending(db)
            print(f"{left:>9} pending: {memory()}; {count - left} embedded meanwhile", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--add", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.add is not None:
        return add(given.add, given.messages)
    if given.work is not None:
        return work(given.work, given.seconds)
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as directory:
        for step in ("--add", "--work"):
            numbers = ["--messages", str(given.messages), "--seconds", str(given.seconds)]
            command = [sys.executable, __file__, step, f"{directory}/memory.db", *numbers]
            subprocess.run(command, check=True)
    return None


if __name__ == "__main__":
    main()
