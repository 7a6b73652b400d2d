"""A disk without room refuses what needs some, and nothing else; what was acknowledged is there.

With root only: file systems of one megabyte, and a disk that takes what is written and finds only
later that it has no place for it.
"""

import shutil

import pytest

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel
from harness.base import MODEL
from harness.child import Done, Refused
from harness.content import check, check_woven
from harness.disks import in_memory, leave_room, make_image, mounted, remount
from harness.lengths import longer
from harness.load import Load
from harness.model import differences
from harness.operations import AddMessages, CreateNode, CreateNodes, DeleteNode, Renew
from harness.processes import Child

pytestmark = [longer, pytest.mark.usefixtures("needs_mounts"), pytest.mark.timeout(900)]


def fill(child: Child, load: Load, most: int = 2_000) -> Refused:
    """Write until something is refused: batches, then single nodes."""
    last = None
    for size in (20, 1):
        for _ in range(most):
            load.number += 1
            operation = CreateNodes(
                tuple(f"l1f{load.number}x{n}" for n in range(size)), load.number % 97
            )
            answer = child.do(operation)
            if isinstance(answer, Refused):
                last = answer
                break
            operation.apply(load.model)
    assert last is not None, "it was filled"
    return last


def goes_on(child: Child, load: Load) -> None:
    for _ in range(20):
        operation = load.next(1)
        assert child.do(operation) == Done(), operation
        operation.apply(load.model)


def test_a_small_disk_is_filled_and_cleared(tmp_path, nursery, rng):
    with in_memory(tmp_path / "disk", 1 << 20) as disk:
        path = disk / "memory.db"
        ballast = disk / "ballast"
        with EmbeddedDB(path, ml=None) as db:
            load = Load.start(rng, 2, db)
        ballast.write_bytes(bytes(300_000))
        child = nursery.child()
        child.open(path, ml="fake", warm_up=False)
        for _ in range(2):
            answer = fill(child, load)
            assert answer.code == "StorageFull", answer
            assert str(path) in answer.message
            assert not differences(child.look(load.model), load.model.content())
            # What is deleted makes room, though the file stays as long as it is.
            gone = [id for id in load.model.graphs["default"].things if "f" in id][:200]
            freed = 0
            for id in gone:
                answer = child.do(DeleteNode(id))
                if answer == Done():
                    DeleteNode(id).apply(load.model)
                    freed += 1
            print(f"{freed} of {len(gone)} could be deleted")
            assert not differences(child.look(load.model), load.model.content())
        refused = fill(child, load)
        assert refused.code == "StorageFull"
        # It opens while the disk is full.
        child.must("close")
        with EmbeddedDB(path, ml=None, read_only=True) as reader:
            check(reader, load.model)
        child.open(path, ml="fake", warm_up=False)
        assert not differences(child.look(load.model), load.model.content())
        ballast.unlink()
        goes_on(child, load)
        child.must("close")
        assert child.end() == 0
        with EmbeddedDB(path, ml=FakeModel()) as db:
            check_woven(db, load.model)


def test_a_disk_that_finds_no_place_for_what_it_took(tmp_path, nursery, rng):
    with in_memory(tmp_path / "small", 6 << 20) as small:
        image = make_image(small / "image", 64 << 20)
        with mounted(image, tmp_path / "disk", "errors=continue") as disk:
            path = disk / "memory.db"
            with EmbeddedDB(path, ml=None) as db:
                load = Load.start(rng, 2, db)
            child = nursery.child()
            child.open(path)
            for number in range(5_000):
                operation = CreateNodes(tuple(f"l1b{number}x{n}" for n in range(30)), number % 97)
                answer = child.do(operation)
                if answer != Done():
                    load.doing[1] = operation
                    break
                operation.apply(load.model)
            assert isinstance(answer, Refused)
            assert answer.code == "StorageError", "what was accepted may be lost"
            later = child.do(CreateNode("later"))
            assert isinstance(later, Refused)
            assert child.ask("run", "result = db.count()", {}) != Refused, "the process lives"
            child.must("close")
            assert child.end() == 0
        remount(small, "size=128m")
        with mounted(image, tmp_path / "disk") as disk, EmbeddedDB(path, ml=None) as db:
            load.settle(db)
            check(db, load.model)
            CreateNode("l1again").perform(db)
            AddMessages("chat1", ("l1m",)).perform(db)


@pytest.mark.parametrize("scrub", [False, True], ids=["compact", "scrub"])
def test_nothing_of_a_new_generation_that_has_no_room_is_left(tmp_path, nursery, base, scrub):
    with in_memory(tmp_path / "disk", 4 << 20) as disk:
        path, ballast = disk / "memory.db", disk / "ballast"
        shutil.copytree(base, path)
        model, child = MODEL, nursery.child()
        child.open(path)
        outcomes = []
        for number, room in enumerate(range(0, 1 << 20, 16 << 10)):
            before = [place.name for place in path.glob("gen-*")]
            leave_room(ballast, room)
            answer = child.do(Renew(scrub))
            outcomes.append(answer == Done())
            if isinstance(answer, Refused):
                assert answer.code == "StorageFull", answer
                assert str(path) in answer.message
                assert [place.name for place in path.glob("gen-*")] == before
            assert not differences(child.look(model), model.content())
            ballast.unlink()
            operation = CreateNode(f"with{number}")
            assert child.do(operation) == Done()
            model = model.after(operation)
            if all(outcomes[-3:]) and len(outcomes) > 3:
                break
        print(f"{outcomes.count(False)} were refused")
        assert outcomes[0] is False
        assert outcomes[-1] is True
        child.must("close")
        assert child.end() == 0
        with EmbeddedDB(path, ml=None) as db:
            assert len(list(path.glob("gen-*"))) == 1
            assert db.verify(deep=True)["ok"]
            check(db, model)
