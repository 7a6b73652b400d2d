"""Damage to the files of a closed database is told: nothing wrong is read, no process dies of it.

Each time one thing in a copy of a database is damaged, and a process of its own opens it, for
reading or for writing, and reads everything, piece by piece. What came of it is the worst of:

- *right*: every piece was right; the damage hit nothing that is in use, or could be done without;
- *told*: some pieces were refused as damage (`Corruption`, or another error that names the file);
- *wrong*: some piece was not what had been stored, and nobody said so;
- *dead*: the process was ended by a signal, or did not come back.

Full length is two thousand bits in `data.mdb` and a hundred of everything else.
"""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from harness.base import MODEL
from harness.child import Done, Refused
from harness.damages import (
    Damage,
    double_a_page,
    flip_a_bit,
    lose_half_a_page,
    swap_two_pages,
    zero_a_page,
)
from harness.lengths import length
from harness.operations import CreateNode
from harness.processes import Child, Dead

DATA = Path("gen-0000000001") / "data.mdb"
SUMS = DATA.with_name("data.sums")
PATIENCE = 20.0
TOLD = {"Corruption", "FormatTooNew", "InvalidInput", "StorageError"}
OUTCOMES = ["right", "told", "wrong", "dead"]
SOME = length(4, 30, 100)
DAMAGES: dict[str, tuple[Path, Damage, int]] = {
    "a bit of data.mdb": (DATA, flip_a_bit, length(10, 100, 2_000)),
    "a zeroed page": (DATA, zero_a_page, SOME),
    "two swapped pages": (DATA, swap_two_pages, SOME),
    "a page in another's place": (DATA, double_a_page, SOME),
    "a torn page": (DATA, lose_half_a_page, SOME),
    "a bit of data.sums": (SUMS, flip_a_bit, SOME),
    "a zeroed page of data.sums": (SUMS, zero_a_page, SOME),
    "a bit of CURRENT": (Path("CURRENT"), flip_a_bit, SOME),
}


def worst(child: Child, path: Path, read_only: bool) -> str:
    """What came of opening it and reading everything; with a write between, if it may."""
    opened = child.ask("open", str(path), {"read_only": read_only})
    if isinstance(opened, Refused):
        return "told" if opened.code in TOLD else "wrong"
    model, outcome = MODEL, "right"
    if not read_only:
        answer = child.do(CreateNode("after"))
        if isinstance(answer, Refused):
            outcome = "told" if answer.code in TOLD else "wrong"
        else:
            model = MODEL.after(CreateNode("after"))
    wanted = model.content()
    for key, found in child.must("pieces", list(wanted)).items():
        if isinstance(found, Refused):
            outcome = max(outcome, "told" if found.code in TOLD else "wrong", key=OUTCOMES.index)
        elif found != wanted[key]:
            outcome = "wrong"
    if outcome == "right":
        report = child.ask("run", "result = db.verify()['ok']", {})
        outcome = "right" if report == Done(True) else "told"
    return outcome


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_told(path, base, nursery, rng, what):
    file, damage, times = DAMAGES[what]
    seen: Counter[str] = Counter()
    whole = (base / file).read_bytes()
    for number in range(times):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(base, path)
        data = bytearray(whole)
        while data == whole:
            damage(data, rng)
        (path / file).write_bytes(data)
        child = nursery.child()
        child.patience(PATIENCE)
        try:
            outcome = worst(child, path, read_only=number % 2 == 0)
        except (Dead, TimeoutError):
            outcome = "dead"
        if outcome in ("wrong", "dead"):
            places = [
                at for at, (old, new) in enumerate(zip(whole, data, strict=True)) if old != new
            ]
            pytest.fail(f"{what}, bytes {places[0]} to {places[-1]}, {number=}: {outcome}")
        child.kill()
        child.end()
        seen[outcome] += 1
    print(f"{what}: {dict(seen)}")
