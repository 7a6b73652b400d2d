"""A repair survives what a disk may do to it: files that are damaged or missing, places that are
read-only, disks that are full, and reads that fail. What comes of it is right, or nothing does.
"""

import json
import random
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, StorageFull
from embedded_db.rescue import RepairReport
from harness.base import MODEL
from harness.child import Done, Refused
from harness.content import check
from harness.damages import (
    PAGE,
    double_a_page,
    flip_a_bit,
    lose_half_a_page,
    swap_two_pages,
    zero_a_page,
)
from harness.disks import in_memory, leave_room, remount
from harness.lengths import length
from harness.model import text_of, word_of
from harness.operations import CreateNode, DeleteNode, Revise, UpdateNode

PROGRAM = textwrap.dedent(
    """
    import dataclasses, json, sys
    from embedded_db import DbError, EmbeddedDB
    try:
        report = EmbeddedDB.repair(sys.argv[1], sys.argv[2])
        print(json.dumps(dataclasses.asdict(report)))
    except DbError as error:
        print(json.dumps({"code": error.code}))
    """
)

LATER = [
    *(CreateNode(f"later{n}") for n in range(30)),
    *(UpdateNode(f"n{n}", n=1) for n in range(10)),
    DeleteNode("n59"),
    Revise("e3", 0.25),
]
"""What is in the log alone."""

PAGES = [zero_a_page, swap_two_pages, double_a_page, lose_half_a_page]


@pytest.fixture(scope="module")
def in_use(quick, base):
    """A copy of the files of a database in use: its last commits wait in the log."""
    path, copied = quick / "in_use.db", quick / "copied.db"
    shutil.copytree(base, path)
    with EmbeddedDB(path, ml=None) as db:
        for operation in LATER:
            operation.perform(db)
        shutil.copytree(path, copied)
    return copied


def damage(path: Path, rng: random.Random) -> "list[str]":
    """Damage some files of a database; which, and how."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    data = next(file for file in files if file.name == "data.mdb")
    done = []
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        file = data if rng.random() < 0.5 else rng.choice(files)
        if not file.exists() or not (content := bytearray(file.read_bytes())):
            continue
        how = rng.choice(["bit", "bit", "page", "page", "page", "cut", "other", "empty", "gone"])
        if file == data and how in ("other", "empty", "gone"):
            how = "bit"
        if how == "bit" or (how == "page" and len(content) < 4 * PAGE):
            flip_a_bit(content, rng)
        elif how == "page":
            rng.choice(PAGES)(content, rng)
        elif how == "cut":
            del content[rng.randrange(len(content)) :]
        elif how == "other":
            content = bytearray(rng.randbytes(len(content)))
        else:
            content = bytearray()
        file.write_bytes(content)
        if how == "gone":
            file.unlink()
        done.append(f"{file.name}: {how}")
    return done


REPAIR = """
    from embedded_db import EmbeddedDB
    findings = EmbeddedDB.doctor(path).findings
    assert all(each.remedy for each in findings if each.level != "ok"), findings
    result = EmbeddedDB.repair(path, to)
"""

LOOK = """
    assert db.verify(deep=True)["ok"]
    result = {
        (name, node.id): node.properties
        for name in db.namespaces()
        for node in db.namespace(name).nodes()
    }
"""


def compare(child, model, report: RepairReport) -> None:
    """Everything was there; and what is known to be the newest is what was last stored."""
    nodes = child.run(LOOK)
    for (_, id), properties in nodes.items():
        n = properties.get("n")
        if n is not None:
            assert properties == {"n": n, "text": word_of(id, n)}
        elif "content" in properties:
            assert properties["content"] == text_of(id, 0)
    if report.state in ("older", "scanned"):
        return
    doubtful = {(it.namespace, it.id) for it in report.doubtful}
    wanted = {
        key: value
        for key, value in model.content().items()
        if key[1] in ("thing", "message", "vector", "edge") and key[::2] not in doubtful
    }
    assert {key for key in nodes if "n" in nodes[key]} - doubtful <= {key[::2] for key in wanted}
    for key, found in child.must("pieces", list(wanted)).items():
        if found is None or isinstance(found, Refused):
            assert found is None or found.code == "NotFound", (key, found)
            assert not report.complete, key
        elif key[1] == "edge":
            source, target, weights, retracted = wanted[key]
            # Of its history that is saved which goes on up to now.
            assert found == (source, target, weights[-len(found[2]) :], retracted), key
        else:
            assert found == wanted[key], key


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("what", ["closed", "in use"])
def test_whatever_befell_its_files(path, base, in_use, nursery, rng, what):
    whole, model = (base, MODEL) if what == "closed" else (in_use, MODEL.after(*LATER))
    to, seen = path.with_name("new.db"), Counter()
    for _ in range(length(12, 100, 2_000)):
        shutil.copytree(whole, path)
        done = damage(path, rng)
        print(done)
        before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        child = nursery.child()
        answer = child.ask("run", REPAIR, {"path": path, "to": to})
        assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        if isinstance(answer, Done):
            child.open(to)
            compare(child, model, answer.value)
            seen[answer.value.state] += 1
        else:
            assert answer.code in ("Corruption", "FormatTooNew"), (done, answer)
            assert [each.name for each in path.parent.iterdir()] == [path.name]
            seen["refused"] += 1
        child.kill()
        child.end()
        shutil.rmtree(path)
        shutil.rmtree(to, ignore_errors=True)
    print(dict(seen))
    assert seen["newest"] > 0


def look(nursery, path):
    """Ask the doctor, who keeps `lock.mdb` open until his process ends."""
    child = nursery.child()
    found = child.run(
        "from embedded_db import EmbeddedDB; result = EmbeddedDB.doctor(path).findings", path=path
    )
    child.end()
    return {finding.about: finding for finding in found}


@pytest.mark.usefixtures("needs_mounts")
def test_a_file_system_that_is_read_only(tmp_path, base, nursery):
    with in_memory(tmp_path / "disk", 16 << 20) as disk:
        shutil.copytree(base, disk / "memory.db")
        remount(disk, "ro")
        try:
            found = look(nursery, disk / "memory.db")
            assert found["file system"].level == "warning"
            assert "read_only=True" in found["file system"].remedy
            assert EmbeddedDB.repair(disk / "memory.db", tmp_path / "new.db").complete
        finally:
            remount(disk, "rw")
    with EmbeddedDB(tmp_path / "new.db", ml=None) as db:
        check(db, MODEL)


@pytest.mark.usefixtures("needs_mounts")
def test_a_disk_that_is_full(tmp_path, base, nursery):
    """It is filled but for more and more, until there is room for all."""
    with in_memory(tmp_path / "disk", 16 << 20) as disk:
        ballast = disk / "ballast"
        refused = 0
        for step in range(100):
            room = step * (1 << 20) // length(8, 16, 64) + 4096
            leave_room(ballast, room)
            if step == 1:
                found = look(nursery, disk)
                assert found["free space"].level == "error"
            try:
                EmbeddedDB.repair(base, disk / "new.db")
                break
            except StorageFull:
                refused += 1
            assert [each.name for each in disk.iterdir()] == ["ballast"], f"{room} bytes"
        assert refused > 1
        ballast.unlink()
        with EmbeddedDB(disk / "new.db", ml=None) as db:
            check(db, MODEL)


@pytest.mark.usefixtures("needs_strace")
@pytest.mark.parametrize("when", ["1", "2..200+3", "7..400+17"])
def test_a_disk_that_does_not_give_all(tmp_path, base, when):
    """Pages that cannot be read are as if they were lost."""
    log, data = tmp_path / "log", base / "gen-0000000001" / "data.mdb"
    inject = f"inject=read:error=EIO:when={when}"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", log, "-P", data, "-e", "trace=read", "-e", inject]
        + [sys.executable, "-c", PROGRAM, base, tmp_path / "new.db"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "(INJECTED)" in log.read_text()
    told = json.loads(done.stdout)
    if told.get("code") == "Corruption":
        assert not (tmp_path / "new.db").exists()
        return
    with EmbeddedDB(tmp_path / "new.db", ml=None) as db:
        assert db.verify(deep=True)["ok"]
        stored = {node.id: node.properties for node in db.nodes()}
    with EmbeddedDB(base, ml=None, read_only=True) as db:
        assert stored.items() <= {node.id: node.properties for node in db.nodes()}.items()
        lost = told["lost"]["nodes"]
        assert lost is None or len(stored) + lost == db.count()
