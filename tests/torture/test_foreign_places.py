"""A place where a database cannot be kept is named, and left as it is.

strace tells a child that the file system is another one.
"""

from pathlib import Path

import pytest

from embedded_db import EmbeddedDB
from harness.child import Done, Refused
from harness.operations import CreateNode
from harness.strace import says_kind, tracing

pytestmark = pytest.mark.usefixtures("needs_strace")


def contents(path: Path) -> dict[Path, bytes] | None:
    """Of all files below a directory; None if there is none."""
    if not path.exists():
        return None
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("kind", ["NFS", "SMB", "AFS"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "old"])
def test_a_network_file_system_is_refused(path, nursery, kind, there):
    if there:
        with EmbeddedDB(path, ml=None) as db:
            db.create_node({"id": "kept", "label": "Thing"})
    before = contents(path)
    child = nursery.child()
    with tracing(child, path.with_suffix(".strace"), ("statfs",), says_kind(kind)) as traced:
        for options in ({}, {"read_only": True}):
            answer = child.ask("open", str(path / "."), options)
            assert isinstance(answer, Refused)
            assert answer.code == "InvalidInput"
            for word in (str(path), f"network file system ({kind})", "local disk"):
                assert word in answer.message
    assert traced.injected() >= 2
    assert contents(path) == before
    child.open(path)
    assert child.do(CreateNode("now")) == Done()


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "FUSE", "Btrfs"])
def test_others_are_taken(path, nursery, kind):
    child = nursery.child()
    with tracing(child, path.with_suffix(".strace"), ("statfs",), says_kind(kind)) as traced:
        child.open(path)
    assert traced.injected() >= 1
    assert child.do(CreateNode("one")) == Done()
