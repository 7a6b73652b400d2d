"""One long real conversation from file to enriched database, killed three times on the way.

The Apollo 13 transcript (10,876 utterances) is imported durably, asked at once by text and
structure, and enriched in a process that is killed with SIGKILL at a quarter, half and three
quarters of the way and started again. Printed: messages a second of each stage, the bare embedding
model's rate on the same texts in the same run, and the counters that prove that nothing was lost
and no vector was stored twice.

    python benches/apollo13.py [--data DIRECTORY] [--kills N]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from embedded_db import EmbeddedDB
from embedded_db.importers import import_file
from embedded_db.ml.providers import Functions, load_functions
from embedded_db.ml_config import MLConfig

ROOT = Path(__file__).resolve().parent.parent
FILE = "apollo13/apollo-13-air-to-ground.json.gz"
BATCH = 64
SAMPLE = 1024


def enrich(path: str) -> None:
    """Work until nothing is left; run as a process of its own that may be killed."""
    begun = time.perf_counter()
    with EmbeddedDB(path) as db:
        db.flush()
        print(f"{time.perf_counter() - begun:.3f}", flush=True)


def bare_rate(functions: Functions, texts: list[str]) -> float:
    """Texts a second of the embedding model alone, in the weaver's batch size."""
    begun = time.perf_counter()
    for at in range(0, len(texts), BATCH):
        functions.embed(texts[at : at + BATCH])
    return len(texts) / (time.perf_counter() - begun)


def embedded(path: str) -> int:
    """Vectors stored so far, seen from another process."""
    with EmbeddedDB(path, read_only=True, ml=None) as db:
        return int(db.stats()["embeddings"])


def run(path: str, total: int, kills: int) -> float:
    """Enrich in child processes, killing the first ones; seconds spent in all of them."""
    spent = 0.0
    for kill in range(kills + 1):
        goal = total * (kill + 1) // (kills + 1)
        begun = time.perf_counter()
        child = subprocess.Popen([sys.executable, __file__, "--enrich", path])
        if kill < kills:
            while embedded(path) < goal and child.poll() is None:
                time.sleep(0.2)
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
        spent += time.perf_counter() - begun
        how = "killed" if kill < kills else "ended"
        print(f"  {how} at {embedded(path):,} vectors; {total:,} messages have one or more each")
    return spent


def main() -> None:
    """Run all stages and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--enrich", metavar="PATH")
    options = parser.parse_args()
    if options.enrich:
        enrich(options.enrich)
        return
    data = options.data or Path(os.environ.get("EMBEDDED_DB_DATA", ROOT.parent / "shared" / "data"))
    file = data / FILE
    if not file.exists():
        sys.exit(f"{file} is not there; name the data with --data")

    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "apollo13.db")
        with EmbeddedDB(path, ml=None) as db:
            report = import_file(db, str(file))
            print(
                f"import, durable: {report.messages:,} messages in {report.seconds:.2f} s, "
                f"{report.messages / report.seconds:,.0f} a second"
            )
            begun = time.perf_counter()
            hits = db.query(
                text_query={"text": "main bus undervolt"},
                structural_filters=[
                    {"property": "sender", "operator": "Equals", "value": "CDR"},
                ],
                limit=3,
            )
            print(f"first query, text and structure: {(time.perf_counter() - begun) * 1e3:.1f} ms")
            for hit in hits:
                print(f"  {hit.score:.2f}  {hit.node.sender}: {hit.node.content[:70]}")
            messages = list(db.nodes(label="Message"))
            texts = [f"{message.sender}: {message.content}" for message in messages]
            total, distinct = len(texts), len(set(texts))

        functions = load_functions(MLConfig())
        functions.warm_up()
        step = max(1, total // SAMPLE)
        sample = texts[::step]
        before = bare_rate(functions, sample)
        spent = run(path, total, options.kills)
        after = bare_rate(functions, sample)
        bare = (before + after) / 2

        with EmbeddedDB(path, read_only=True, ml=None) as db:
            stats, verdict = db.stats(), db.verify()
            status = db.weaver_status()
            entities = db.count("Entity")
        rate = total / spent
        print(
            f"bare embedding model: {bare:.1f} texts a second "
            f"({before:.1f} before, {after:.1f} after)"
        )
        print(
            f"enrichment, {options.kills} kills and cold starts included: {spent:.1f} s, "
            f"{rate:.1f} messages a second, {rate / bare:.2f} × the bare model; "
            f"{distinct / spent:.1f} distinct texts a second, {distinct / spent / bare:.2f} ×"
        )
        print(
            f"vectors: {stats['embeddings']:,} stored, {stats['vectors_computed']:,} computed and "
            f"{stats['vectors_reused']:,} taken over for {total:,} messages with {distinct:,} "
            f"distinct texts; {entities:,} entities; {status['queue_size']} jobs left; "
            f"verify: {verdict['problems'] or 'clean'}"
        )
        computed, reused = stats["vectors_computed"], stats["vectors_reused"]
        if (computed, reused, status["queue_size"]) != (distinct, total - distinct, 0):
            sys.exit("something was lost or embedded twice")
        if not verdict["ok"]:
            sys.exit("the database does not agree with itself")


if __name__ == "__main__":
    main()
