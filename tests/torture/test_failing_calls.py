"""A write or a sync that fails is an error that says so, and loses nothing that was acknowledged.

strace makes a call of a child fail. Whoever wrote is told, by an error that names the file and what
the system said; nothing of it is stored. Then it depends:

- *No room for a write* leaves the commit before untouched. Reading goes on, and so does writing as
  soon as there is room, without opening anew.
- *Anything else*, and a sync that finds no room, means that what the disk holds is unknown. Nothing
  more is acknowledged until the database is opened again, whatever later calls say; reading goes
  on.
- When it was the *meta page* that could not be written, for either reason, LMDB does not read any
  more either until the database is opened again; whether the commit is there shows then.
"""

import random
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB
from harness.base import MODEL
from harness.child import Done, Refused
from harness.content import check
from harness.lengths import length, longer
from harness.model import Content, Model, Words, differences, words_of
from harness.operations import (
    AddMessages,
    CreateEdge,
    CreateNode,
    CreateNodes,
    Declare,
    DeleteNode,
    DropNamespace,
    Operation,
    Pair,
    Renew,
    SetVector,
    UpdateNode,
)
from harness.processes import Child, Nursery
from harness.strace import SYNCS, WRITES, Tracing, says_kind, tracing

pytestmark = [pytest.mark.usefixtures("needs_strace"), pytest.mark.timeout(900)]

CALLS = (*WRITES, *SYNCS)
SAYS = {
    "EIO": "Input/output error",
    "ENOSPC": "No space left on device",
    "EDQUOT": "Disk quota exceeded",
}
NO_ROOM = {"ENOSPC", "EDQUOT"}
META = re.compile(r"pwrite64\(.*, 120, \d+\)\s")
"""How LMDB ends a commit: with the 120 bytes of a meta page that change."""
FAULTY = re.compile(r"(.*):(?:error=(E\w+)|retval=\d+):when=(\d+)(\+?)")

FIRST = AddMessages("chat", ("first",))
LATER: list[Operation] = [
    CreateNode("later"),
    Pair("later2", "n7"),
    SetVector("n9", 3),
    UpdateNode("n10", 3),
    CreateEdge("later3", "n11", "n12"),
]
"""What is tried after the failure, while the fault may still be there."""
AGAIN: list[Operation] = [CreateNode("again"), AddMessages("chat", ("again2",))]
"""What is done when it is over."""

OPERATIONS: dict[str, Operation] = {
    "a message": FIRST,
    "a batch": CreateNodes(tuple(f"b{i}" for i in range(300))),
    "a transaction": Pair("pair", "n5"),
    "a deleted node": DeleteNode("n1"),
    "a dropped namespace": DropNamespace(namespace="other"),
    "a declared label": Declare(namespace="other"),
}


@dataclass
class Befallen:
    """A child to which something has happened, and what it said."""

    child: Child
    model: Model
    """What was acknowledged."""
    words: Words
    answers: list[Done | Refused]
    looked: Content | Refused
    traced: Tracing

    def reads_on(self) -> None:
        """It sees what was acknowledged and nothing else."""
        assert not isinstance(self.looked, Refused), self.looked
        different = differences(self.looked, self.model.content(self.words))
        assert not different, "\n".join(different)


def befall(
    nursery: Nursery,
    base: Path,
    path: Path,
    inject: str | None,
    operations: list[Operation],
    *,
    before: tuple[Operation, ...] = (),
    follow: bool = True,
    only: Path | None = None,
    kind: str | None = None,
) -> Befallen:
    """Do these in a copy of the base, with a fault; then read everything, with the fault there.

    Args:
        nursery: of the child.
        base: what to copy.
        path: where to.
        inject: the fault.
        operations: what is done with it.
        before: and before it.
        follow: whether in all threads.
        only: of which file.
        kind: which kind of file system it takes the place for.
    """
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(base, path)
    child = nursery.child()
    if kind is None:
        child.open(path)
    else:
        with tracing(child, path.with_suffix(".strace"), ("statfs",), says_kind(kind)) as traced:
            child.open(path)
        assert traced.injected() > 0
    for operation in before:
        assert child.do(operation) == Done()
    model = MODEL.after(*before)
    words = words_of(model, model.after(*operations))
    with tracing(
        child, path.with_suffix(".strace"), CALLS, inject, follow=follow, only=only
    ) as traced:
        answers = [child.do(operation) for operation in operations]
        looked = child.ask("look", words)
    assert traced.injected() >= (inject is not None), "the fault was there"
    done = [each for each, answer in zip(operations, answers, strict=True) if answer == Done()]
    seen = looked if isinstance(looked, Refused) else looked.value
    return Befallen(child, model.after(*done), words, answers, seen, traced)


def goes_on(befallen: Befallen, path: Path, *, reopen: bool) -> None:
    """The fault is over: it writes, and everything acknowledged is there."""
    child, model = befallen.child, befallen.model
    if reopen:
        child.must("close")
        child.open(path)
    for operation in AGAIN:
        assert child.do(operation) == Done(), operation
        operation.apply(model)
    child.must("close")
    assert child.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        check(db, model)


def is_refused(answer: Done | Refused, path: Path, code: str, *words: str) -> None:
    assert isinstance(answer, Refused), "it was acknowledged"
    assert answer.code == code, answer
    for word in (str(path), *words):
        assert word in answer.message, answer
    assert answer.path is not None
    assert answer.path.startswith(str(path))


@pytest.mark.parametrize("error", SAYS)
@pytest.mark.parametrize(
    "when", ["1+", *length([], ["1", "2", "3"], ["1", "2", "3", "4+", "5", "7"])]
)
def test_nothing_is_acknowledged_after_a_failed_sync(path, nursery, base, when, error):
    operations = [FIRST, *LATER]
    befallen = befall(nursery, base, path, f"fdatasync:error={error}:when={when}", operations)
    # The first commit takes several syncs, since it begins the log; a later one takes one.
    number = next(n for n, answer in enumerate(befallen.answers) if answer != Done())
    is_refused(befallen.answers[number], path, "StorageError", "gen-0000000001", SAYS[error])
    for answer in befallen.answers[number + 1 :]:
        is_refused(answer, path, "StorageError", "earlier write", "opened again")
    # No later call was made, whatever it would have said, but to take back what was refused.
    failed = [line for line in befallen.traced.lines() if "(INJECTED)" in line]
    assert len(failed) == 1 or (len(failed) == 2 and all("/log." in line for line in failed))
    befallen.reads_on()
    goes_on(befallen, path, reopen=True)


def test_opening_again_while_the_disk_is_broken_acknowledges_nothing_either(path, nursery, base):
    child = nursery.child()
    shutil.copytree(base, path)
    child.open(path)
    log = path.with_suffix(".strace")
    with tracing(child, log, CALLS, "fdatasync,fsync,msync:error=EIO:when=1+") as traced:
        is_refused(child.do(FIRST), path, "StorageError", SAYS["EIO"])
        is_refused(child.do(FIRST), path, "StorageError", "opened again")
        child.must("close")
        for _ in range(3):
            is_refused(child.ask("open", str(path), {}), path, "StorageError", SAYS["EIO"])
    assert traced.injected() >= 4
    child.open(path)
    goes_on(Befallen(child, MODEL.after(), {}, [], {}, traced), path, reopen=False)


def points(traced: Tracing, errors: list[str]) -> list[str]:
    """Each call, failing in each way."""
    return [
        f"{call}:{error}:when={number}"
        for call, count in sorted(traced.calls().items())
        for number in range(1, count + 1)
        for error in errors
    ]


def line_of(point: str, traced: Tracing) -> str:
    """The call that is a point."""
    match = FAULTY.fullmatch(point)
    assert match is not None
    call, _, number, _ = match.groups()
    return traced.lines(call)[int(number) - 1]


def is_meta(point: str, traced: Tracing) -> bool:
    """Whether a point is the writing of a meta page."""
    return META.search(line_of(point, traced)) is not None


def fails(nursery: Nursery, base: Path, path: Path, point: str, operation: Operation) -> None:
    """One call of an operation fails; then others are tried."""
    befallen = befall(nursery, base, path, point, [operation, *LATER], follow=False)
    _, error, _, _ = FAULTY.fullmatch(point).groups()
    says, no_room = SAYS[error or "EIO"], error in NO_ROOM and "sync" not in point
    first, *later = befallen.answers
    if is_meta(point, befallen.traced):
        is_refused(first, path, "StorageError", "meta page", says, "opened again")
        for answer in later:
            is_refused(answer, path, "StorageError", "opened again")
        looked = befallen.looked
        assert isinstance(looked, Refused), "LMDB does not read any more"
        is_refused(looked, path, "StorageError", "meta page", "opened again")
        befallen.child.must("close")
        befallen.child.open(path)
        found = befallen.child.must("look", befallen.words)
        befallen.model.settle([operation], found)
        goes_on(befallen, path, reopen=False)
    elif no_room:
        is_refused(first, path, "StorageFull", "gen-0000000001", says, "nothing was stored")
        assert later == [Done()] * len(later), "there is room again"
        befallen.reads_on()
        goes_on(befallen, path, reopen=False)
    else:
        is_refused(first, path, "StorageError", "gen-0000000001", says)
        for answer in later:
            is_refused(answer, path, "StorageError", "opened again")
        befallen.reads_on()
        goes_on(befallen, path, reopen=True)


@pytest.mark.parametrize("name", list(OPERATIONS)[: length(1, None, None)])
def test_any_call_of_an_operation_fails_once(path, nursery, base, name):
    """Of the first one since the opening, which is committed before it is acknowledged."""
    operation = OPERATIONS[name]
    counted = befall(nursery, base, path, None, [operation], follow=False).traced
    errors = length(["ENOSPC"], ["ENOSPC", "EIO"], ["ENOSPC", "EIO", "EDQUOT"])
    for point in points(counted, [f"error={error}" for error in errors]):
        try:
            if point.startswith("fallocate"):
                is_absorbed(nursery, base, path, point, operation)
            else:
                fails(nursery, base, path, point, operation)
        except AssertionError as error:
            raise AssertionError(f"at {point}:\n{error}") from error


def is_absorbed(nursery, base, path, point, operation):
    """Where no room can be kept for what is owed, it is committed at once."""
    befallen = befall(nursery, base, path, point, [operation])
    assert befallen.traced.injected() > 0
    assert not any(isinstance(answer, Refused) for answer in befallen.answers)
    befallen.reads_on()
    goes_on(befallen, path, reopen=False)


@longer
@pytest.mark.parametrize("name", list(OPERATIONS)[: length(1, 2, None)])
def test_any_write_of_an_operation_is_short(path, nursery, base, name):
    operation = OPERATIONS[name]
    counted = befall(nursery, base, path, None, [operation]).traced
    # Where LMDB writes. Our own code goes on behind what the system says it has written.
    written = [
        point
        for point in points(counted, ["retval=100"])
        if "sync" not in point
        and not point.startswith("fallocate")
        and "/data.mdb>" in line_of(point, counted)
    ]
    assert written
    for point in written:
        try:
            fails(nursery, base, path, point, operation)
        except AssertionError as error:
            raise AssertionError(f"at {point}:\n{error}") from error


@pytest.mark.parametrize("call", ["writev", *length([], [], ["pwrite64"])])
def test_writing_goes_on_by_itself_when_there_is_room_again(path, nursery, base, call):
    # The first commit takes other calls than later ones, so each call fails in some of them.
    full = f"{call}:error=ENOSPC:when=2+"
    befallen = befall(nursery, base, path, full, [FIRST, *LATER], kind="Btrfs")
    refused = [answer for answer in befallen.answers if isinstance(answer, Refused)]
    for answer in refused:
        is_refused(
            answer, path, "StorageFull", "gen-0000000001", SAYS["ENOSPC"], "nothing was stored"
        )
    assert len(refused) > 1
    befallen.reads_on()
    goes_on(befallen, path, reopen=False)


OWED: list[Operation] = [CreateNode(f"owed{number}") for number in range(5)]
"""What is acknowledged before it is committed, since nobody reads in between."""


@pytest.mark.parametrize("error", SAYS)
@pytest.mark.parametrize("call", ["writev", "pwrite64"])
def test_what_is_acknowledged_cannot_be_committed(path, nursery, base, call, error):
    """It is in the log: reads wait or are refused, and it is there when it can be."""
    data, fault = path / "gen-0000000001/data.mdb", f"{call}:error={error}:when=1+"
    befallen = befall(nursery, base, path, fault, OWED, before=(FIRST,), only=data)
    assert Done() in befallen.answers, "before it was committed"
    refused = [answer for answer in befallen.answers if isinstance(answer, Refused)]
    assert isinstance(befallen.looked, Refused)
    for answer in (*refused, befallen.looked):
        if call == "pwrite64":
            is_refused(answer, path, "StorageError", "opened again")
        elif error in NO_ROOM:
            # A write that was to be committed with what is owed speaks of itself.
            is_read = answer is befallen.looked
            word = "kept in the log" if is_read else "nothing was stored"
            is_refused(answer, path, "StorageFull", SAYS[error], word)
        else:
            is_refused(answer, path, "StorageError")
            assert SAYS[error] in answer.message or "opened again" in answer.message, answer
    goes_on(befallen, path, reopen=call == "pwrite64" or error not in NO_ROOM)


def test_what_is_acknowledged_is_committed_by_itself_when_there_is_room_again(path, nursery, base):
    """Who only writes calls nothing any more; other processes read it all the same."""
    data, fault = path / "gen-0000000001/data.mdb", "writev:error=ENOSPC:when=1..2"
    shutil.copytree(base, path)
    child = nursery.child()
    child.open(path)
    assert child.do(FIRST) == Done()
    log = path.with_suffix(".strace")
    with tracing(child, log, CALLS, fault, only=data) as traced:
        assert child.do(OWED[0]) == Done(), "before it was committed"
        with EmbeddedDB(path, read_only=True, ml=None) as reader:
            until = time.monotonic() + 60
            while reader.get_node("owed0") is None:
                assert time.monotonic() < until, "it is never committed"
                time.sleep(0.05)
    assert traced.injected() >= 2, "not at the first try"
    model = MODEL.after(FIRST, OWED[0])
    goes_on(Befallen(child, model, {}, [], {}, traced), path, reopen=False)


OPENING = (*CALLS, "openat", "mkdir", "rename", "flock", "mmap", "newfstatat", "statx", "fcntl")
REFUSALS = {"StorageError", "StorageFull"}
ERRORS = {"openat": "EMFILE", "mmap": "ENOMEM", "mkdir": "ENOSPC", "flock": "ENOLCK"}


@pytest.mark.parametrize("there", [False, True], ids=["new", "old"])
def test_opening_fails_at_any_call(path, nursery, base, there):
    """It is refused in words, or goes on without; then nothing is left that is in the way."""

    def once(inject: str | None) -> Tracing:
        shutil.rmtree(path, ignore_errors=True)
        if there:
            shutil.copytree(base, path)
        child = nursery.child()
        files = "import os\nresult = len(os.listdir('/proc/self/fd'))"
        held = child.run(files)
        with tracing(child, path.with_suffix(".strace"), OPENING, inject) as traced:
            answer = child.ask("open", str(path), {})
        if isinstance(answer, Refused):
            assert answer.code in REFUSALS, answer
            assert str(path) in answer.message, answer
            assert child.run(files) == held, "it let go of what it had opened"
            child.open(path)
        model = MODEL.after() if there else Model()
        goes_on(Befallen(child, model, {}, [answer], {}, traced), path, reopen=False)
        return traced

    counted = once(None)
    errors = length(["EIO"], ["EIO"], ["EIO", "ENOSPC"])
    faults = [
        point.replace("error=EIO", f"error={ERRORS.get(point.split(':')[0], 'EIO')}")
        for point in points(counted, [f"error={error}" for error in errors])
    ]
    wanted, refused = sorted(set(faults))[:: length(4, 1, 1)], 0
    for point in wanted:
        try:
            traced = once(point)
        except AssertionError as error:
            raise AssertionError(f"at {point}:\n{error}") from error
        # Calls are counted by thread, and there is one more that may meet it.
        if traced.injected() >= 1:
            refused += 1
            continue
        # Who looks again and again looked less often this time than when it was counted.
        call, *_, number = point.split(":")
        assert traced.calls().get(call, 0) < int(number.removeprefix("when=")), point
    print(f"{refused} of {len(wanted)} points")
    assert refused > len(wanted) * 0.9


RENEWING = (*CALLS, "openat", "mkdir", "rename", "unlink", "unlinkat", "rmdir")


@pytest.mark.parametrize("scrub", length([False], [False, True], [False, True]))
def test_a_compaction_fails_at_any_call(path, nursery, base, scrub):
    """It is refused or done; nothing changes, and nothing of what was begun is left."""
    words = words_of(MODEL, MODEL.after(CreateNode("later")))

    def once(inject: str | None) -> Tracing:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(base, path)
        model, child = MODEL, nursery.child()
        child.open(path)
        with tracing(child, path.with_suffix(".strace"), RENEWING, inject) as traced:
            answer = child.do(Renew(scrub))
        looked, later = child.ask("look", words), child.do(CreateNode("later"))
        if isinstance(answer, Refused):
            assert inject is not None
            assert answer.code in REFUSALS, answer
            assert str(path) in answer.message, answer
        for told in (looked, later):
            if isinstance(told, Refused):
                assert isinstance(answer, Refused), "it was done"
                assert "opened again" in told.message, told
        if isinstance(looked, Done):
            assert not differences(looked.value, model.content(words))
        if later == Done():
            model = model.after(CreateNode("later"))
        child.must("close")
        assert child.end() == 0
        with EmbeddedDB(path, ml=None, read_only=True) as db:
            check(db, model)
        with EmbeddedDB(path, ml=None) as db:
            assert len(list(path.glob("gen-*"))) == 1
            assert db.verify(deep=True)["ok"]
            db.compact()
            check(db, model)
        return traced

    counted = once(None)
    errors = length(["ENOSPC"], ["ENOSPC", "EIO"], ["ENOSPC", "EIO", "EDQUOT"])
    faults = points(counted, [f"error={error}" for error in errors])
    chosen = random.sample(faults, min(len(faults), length(3, 30, len(faults))))
    for point in chosen:
        try:
            traced = once(point)
        except AssertionError as error:
            raise AssertionError(f"at {point}:\n{error}") from error
        # Calls are counted by thread, and what works behind the writer opens files, too.
        assert traced.injected() >= 1, point
    print(f"{len(chosen)} of {len(faults)} points")
