"""What the checksums cost whoever reads, in turns with a build that looks at none.

    python benches/checks.py [--rounds N] [--messages N]

`checks.patch` takes the looks out of a copy of the sources, which is built into `build/unchecked`.
Processes with the one and the other module read the same closed database, with its files in memory:
all that was read before, as whatever is asked twice.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from itertools import islice
from pathlib import Path

from measuring import median, processor, scratch, shown

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "unchecked"
DIMENSION = 384
ROUNDS_OF_A_PROCESS = 200


def built() -> Path:
    """Where a package lies that checks nothing."""
    for folder in ("crates", "python", "site", "dist"):
        shutil.rmtree(COPY / folder, ignore_errors=True)
    COPY.mkdir(parents=True, exist_ok=True)
    tops = "Cargo.toml Cargo.lock rust-toolchain.toml pyproject.toml README.md LICENSE NOTICE"
    listed = ["git", "ls-files", "-z", "crates", "python", "THIRD-PARTY.txt", *tops.split()]
    names = subprocess.run(listed, check=True, capture_output=True, cwd=ROOT).stdout
    for name in filter(None, names.decode().split("\0")):
        place = COPY / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
    patch = ROOT / "benches" / "checks.patch"
    subprocess.run(["patch", "--strip=1", "--quiet", f"--input={patch}"], check=True, cwd=COPY)
    build = [sys.executable, "-m", "maturin", "build", "--release", "--quiet", "--out", "dist"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target")}
    subprocess.run(build, check=True, cwd=COPY, env=environment, stderr=subprocess.DEVNULL)
    [wheel] = (COPY / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(COPY / "site")
    return COPY / "site"


def fill(path: Path, messages: int) -> None:
    from embedded_db import EmbeddedDB

    with EmbeddedDB(path, ml=None, durability="memory") as db:
        fill_into(db, messages)


def fill_into(db, messages: int) -> None:
    for first in range(0, messages, 1_000):
        several = range(first, min(first + 1_000, messages))
        words = [" ".join(f"word{(n * 31 + w * 17) % 997}" for w in range(14)) for n in several]
        drafts = [
            {"content": text, "sender": "Ann", "id": f"m{n}"}
            for n, text in zip(several, words, strict=True)
        ]
        db.create_chat(id=f"c{first}").add_messages(drafts)
        vectors = [[float((n * 7 + d * 13) % 101) - 50 for d in range(DIMENSION)] for n in several]
        db.set_embeddings([f"m{n}" for n in several], vectors)
    db.flush()


def read(path: str, messages: int) -> dict[str, float]:
    """Medians of reads in this process, in microseconds."""
    from embedded_db import EmbeddedDB

    vector = [float(d % 11) for d in range(DIMENSION)]
    with EmbeddedDB(path, ml=None, read_only=True, metrics=False, blackbox=False) as db:
        at = [0]

        def some() -> str:
            at[0] = (at[0] + 7919) % messages
            return f"m{at[0]}"

        calls = {
            "a node and a property": lambda: db.get_node(some())["content"],
            "a vector of 384 numbers": lambda: db.get_embedding_for_node(some()).vector,
            "neighbours of a message": lambda: list(db.neighbors(some(), direction="both")),
            "a hundred messages of a chat": lambda: [
                message.content for message in islice(db.get_node("c0").messages(), 100)
            ],
            "a thousand edges of a chat": lambda: list(db.edges("c0", direction="out")),
            "query by words": lambda: db.query(text_query={"text": "word5 word22"}, limit=10),
            "query by a vector": lambda: db.query(semantic_query={"vector": vector}, limit=10),
        }
        # Each page is met for the first time here.
        for number in range(messages):
            db.get_embedding_for_node(f"m{number}")
        figures = median(*calls.values(), rounds=ROUNDS_OF_A_PROCESS, inner=5)
        return dict(zip(calls, figures, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read(arguments.read, arguments.messages)))
        return
    sites = {"checked": ROOT / "python", "unchecked": built()}
    with scratch() as folder:
        path = folder / "memory.db"
        fill(path, arguments.messages)
        samples: dict[str, list[dict[str, float]]] = {name: [] for name in sites}
        for _ in range(arguments.rounds):
            for name, site in sites.items():
                command = [sys.executable, __file__, "--read", str(path)]
                command += ["--messages", str(arguments.messages)]
                environment = os.environ | {"PYTHONPATH": str(site)}
                run = subprocess.run(command, check=True, capture_output=True, env=environment)
                samples[name].append(json.loads(run.stdout))
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}; medians of {arguments.rounds} in turns")
    for title in samples["checked"][0]:
        with_checks, without = ([run[title] for run in samples[name]] for name in sites)
        quotients = [one / other for one, other in zip(with_checks, without, strict=True)]
        cost = (statistics.median(quotients) - 1) * 100
        each = f"{shown(statistics.median(with_checks))}, {shown(statistics.median(without))}"
        print(f"{title:<32}{each:>24}  {cost:+.1f} %")


if __name__ == "__main__":
    main()
