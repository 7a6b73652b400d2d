"""What damage to the files does to whoever reads: a measurement, printed as a table.

``.venv/bin/python tests/torture/measure_damage.py [--times N] [--seed S]``

Each time one thing in a copy of a database is damaged, and a process of its own opens it for
reading and reads everything, piece by piece. What came of it is the worst of:

- *right*: every piece was right; the damage hit nothing that is in use, or could be done without;
- *told*: some pieces were refused as damage (`Corruption`, or another error that names the file);
- *wrong*: some piece was not what had been stored, and nobody said so;
- *dead*: the process was ended by a signal, or did not come back.

Of the wrong ones it is also counted how many `verify` finds. This is no test yet, because LMDB's
pages have no checksum: what must come of it, wrong and dead never, is not reached.
"""

import argparse
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from embedded_db import EmbeddedDB
from harness.base import BASE, MODEL
from harness.child import Done, Refused
from harness.model import Content
from harness.processes import Child, Dead, Nursery

PAGE = 4096
DATA = Path("gen-0000000001") / "data.mdb"
PATIENCE = 10.0
TOLD = {"Corruption", "FormatTooNew", "InvalidInput", "StorageError"}
OUTCOMES = ["right", "told", "wrong", "dead"]


def flip_a_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def zero_a_page(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) // PAGE) * PAGE
    data[at : at + PAGE] = bytes(PAGE)


def swap_two_pages(data: bytearray, rng: random.Random) -> None:
    one, other = (page * PAGE for page in rng.sample(range(2, len(data) // PAGE), 2))
    data[one : one + PAGE], data[other : other + PAGE] = (
        data[other : other + PAGE],
        data[one : one + PAGE],
    )


def double_a_page(data: bytearray, rng: random.Random) -> None:
    """As if a write had gone to another place: one page is lost, another is there twice."""
    one, other = (page * PAGE for page in rng.sample(range(2, len(data) // PAGE), 2))
    data[one : one + PAGE] = data[other : other + PAGE]


def lose_half_a_page(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) // PAGE) * PAGE + rng.randrange(1, PAGE // 512) * 512
    data[at : (at // PAGE + 1) * PAGE] = bytes(PAGE - at % PAGE)


Damage = Callable[[bytearray, random.Random], None]
DAMAGES: dict[str, tuple[Path, Damage]] = {
    "a bit of data.mdb": (DATA, flip_a_bit),
    "a zeroed page": (DATA, zero_a_page),
    "two swapped pages": (DATA, swap_two_pages),
    "a page in another's place": (DATA, double_a_page),
    "a torn page": (DATA, lose_half_a_page),
    "a bit of CURRENT": (Path("CURRENT"), flip_a_bit),
}


def read(child: Child, path: Path, wanted: Content) -> tuple[str, bool]:
    """What came of reading everything, and whether `verify` finds something."""
    opened = child.ask("open", str(path), {"read_only": True})
    if isinstance(opened, Refused):
        return ("told" if opened.code in TOLD else "wrong"), True
    pieces = child.must("pieces", list(wanted))
    outcome = "right"
    for key, found in pieces.items():
        if isinstance(found, Refused):
            outcome = max(outcome, "told" if found.code in TOLD else "wrong", key=OUTCOMES.index)
        elif found != wanted[key]:
            outcome = "wrong"
    report = child.ask("run", "result = db.verify()['ok']", {})
    return outcome, report != Done(True)


def measure(nursery: Nursery, source: Path, place: Path, what: str, rng: random.Random) -> Counter:
    """One time."""
    file, damage = DAMAGES[what]
    path, wanted = place / "damaged.db", MODEL.content()
    shutil.copytree(source, path)
    data = bytearray((path / file).read_bytes())
    damage(data, rng)
    (path / file).write_bytes(data)
    child = nursery.child()
    child.patience(PATIENCE)
    try:
        outcome, found = read(child, path, wanted)
    except (Dead, TimeoutError):
        outcome, found = "dead", False
    if not child.ended():
        child.kill()
        child.end()
    shutil.rmtree(path)
    return Counter({outcome: 1, f"{outcome}, found": int(found)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=300, help="of each kind of damage (300)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.times} times each")
    print(
        f"{'damage':28}" + "".join(f"{name:>8}" for name in OUTCOMES) + "  wrong, found by verify"
    )
    nursery, rng = Nursery(), random.Random(given.seed)
    with TemporaryDirectory() as place:
        source = Path(place) / "source.db"
        with EmbeddedDB(source, ml=None, durability="memory") as db:
            for operation in BASE:
                operation.perform(db)
        for what in DAMAGES:
            counts: Counter[str] = Counter()
            for _ in range(given.times):
                counts += measure(nursery, source, Path(place), what, rng)
            line = "".join(f"{counts[name]:8}" for name in OUTCOMES)
            print(f"{what:28}{line}{counts['wrong, found']:8} of {counts['wrong']}", flush=True)
    nursery.close()


if __name__ == "__main__":
    main()
