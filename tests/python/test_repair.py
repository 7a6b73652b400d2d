"""What reads of a damaged database is saved in a new one, and whatever is not is told.

Whether it is right in every case is for the tests in Rust and of faults to show, which damage
everything; here is what a user of the class meets.
"""

import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from embedded_db import (
    Corruption,
    DatabaseLocked,
    EmbeddedDB,
    FormatTooNew,
    InvalidInput,
)

PAGE = 4096
DATA = Path("gen-0000000001") / "data.mdb"


def fill(db):
    chat = db.create_chat(id="trip", title="Trip")
    chat.add_messages(
        [{"content": f"Message {n} of Ann", "sender": "Ann", "id": f"m{n}"} for n in range(150)]
    )
    db.create_nodes(
        [{"id": f"p{n}", "label": "Person", "properties": {"age": n}} for n in range(150)]
    )
    db.create_edge({"id": "likes", "source": "p1", "target": "trip", "type": "LIKES"})
    db.update_edge("likes", {"weight": 2.0})
    db.set_embeddings(["p1"], np.float32([[1, 2, 3]]), space="own")
    db.create_index("Person", "age", unique=True)
    db.declare_label("Person", text=["name"])
    db.namespace("other").create_node({"id": "far", "label": "Person"})


@pytest.fixture
def filled(path):
    """A closed database."""
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        fill(db)
    return path


def everything(db):
    """Tell what is in all namespaces."""
    found = {}
    for name in db.namespaces():
        space = db.namespace(name)
        for node in space.nodes():
            found[name, node.id] = (node.labels, node.version, node.properties)
    return found


def held(path):
    with EmbeddedDB(path, read_only=True, ml=None) as db:
        return everything(db)


def bytes_of(path):
    """All files but the one in which readers put their names."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "lock.mdb")
    return {file: file.read_bytes() for file in files}


def lose_the_page_of(path, text):
    """Overwrite with zeros each page on which a text stands; how many there were."""
    data = bytearray((path / DATA).read_bytes())
    pages = {at // PAGE for at in range(len(data)) if data.startswith(text, at)}
    for page in pages:
        data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    (path / DATA).write_bytes(data)
    return len(pages)


def test_what_stood_elsewhere_is_saved(filled, tmp_path):
    before = held(filled)
    assert lose_the_page_of(filled, b"Message 77 of Ann") > 0
    damaged = bytes_of(filled)
    with EmbeddedDB(filled, read_only=True, ml=None) as db, pytest.raises(Corruption) as told:
        db.verify()
    assert "repair" in told.value.hint
    report = EmbeddedDB.repair(filled, tmp_path / "new.db")
    assert bytes_of(filled) == damaged
    assert (report.path, report.state) == (str(tmp_path / "new.db"), "newest")
    assert not report.complete
    assert 0 < report.lost.nodes < 150
    assert report.saved.nodes + report.lost.nodes == len(before)
    missing = {(it.namespace, it.id) for it in report.missing if it.kind == "node"}
    assert len(missing) == report.lost.nodes
    assert ("default", "m77") in missing
    after = held(tmp_path / "new.db")
    assert after == {key: told for key, told in before.items() if key not in missing}
    with EmbeddedDB(tmp_path / "new.db", ml=None) as db:
        assert db.verify(deep=True)["ok"]
        assert [index.state for index in db.indexes()] == ["ready"]
        assert db.query(structural_filters=[{"property": "age", "operator": "Equals", "value": 7}])
        assert [edge.weight for edge in db.edge_history("likes")] == [1.0, 2.0]
        assert db.query(text_query={"text": "149"})[0].node.id == "m149"
        db.get_node("trip").add_message("It goes on")
        assert db.verify(deep=True)["ok"]


def test_what_is_whole_is_the_same_again(filled, tmp_path):
    with EmbeddedDB(filled, ml=None, read_only=True) as db:
        before = db.logical_hash()
    (tmp_path / "new.db").mkdir()
    report = EmbeddedDB.repair(str(filled), str(tmp_path / "new.db"))
    assert report.complete
    assert (report.damaged_pages, report.remarks, report.missing, report.doubtful) == (
        0,
        [],
        [],
        [],
    )
    assert report.saved.namespaces == 2
    assert report.saved.indexes == report.saved.labels == report.saved.versions == 1
    assert report.bytes == (tmp_path / "new.db" / DATA).stat().st_size
    with EmbeddedDB(tmp_path / "new.db", ml=None) as db:
        assert db.logical_hash() == before


def test_a_fact_whose_successor_was_lost_stays_superseded(path, tmp_path):
    """That it is no longer so was told, though nobody knows by what."""
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        old = db.remember("The launch is on Monday")
        db.create_nodes([{"id": f"x{n}", "label": "X"} for n in range(300)])
        new = db.remember("The launch is on Friday", supersedes=[old])
        db.create_nodes([{"id": f"y{n}", "label": "Y"} for n in range(300)])
    lose_the_page_of(path, b"The launch is on Friday")
    report = EmbeddedDB.repair(path, tmp_path / "new.db")
    assert new.id in {it.id for it in report.missing}
    with EmbeddedDB(tmp_path / "new.db", ml=None) as db:
        assert not db.exists(new.id)
        again = db.get_node(old.id)
        assert (again.content, again.current, again.superseded_by) == (
            "The launch is on Monday",
            False,
            new.id,
        )
        assert db.verify(deep=True)["ok"]
        db.forget(old.id)
        assert db.verify(deep=True)["ok"]


def test_what_is_refused_leaves_nothing(filled, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    for to, why in [
        (tmp_path / "full", "is not empty"),
        (tmp_path / "full" / "mine", "is a file"),
        (filled, "lies in the directory of the damaged database"),
        (filled / "new", "lies in the directory of the damaged database"),
        ("", "to is ''"),
    ]:
        with pytest.raises(InvalidInput, match=why):
            EmbeddedDB.repair(filled, to)
    for path in (tmp_path / "nowhere", tmp_path / "full", tmp_path / "full" / "mine", "", None):
        with pytest.raises(InvalidInput):
            EmbeddedDB.repair(path, tmp_path / "new.db")
    (tmp_path / "later").mkdir()
    shutil.copytree(filled / "gen-0000000001", tmp_path / "later" / "gen-0000000001")
    (tmp_path / "later" / "CURRENT").write_text("embedded-db format 2\n")
    with pytest.raises(FormatTooNew):
        EmbeddedDB.repair(tmp_path / "later", tmp_path / "new.db")
    (tmp_path / "later" / "CURRENT").unlink()
    (tmp_path / "later" / DATA).write_bytes(b"x" * 100_000)
    with pytest.raises(Corruption, match="nothing of"):
        EmbeddedDB.repair(tmp_path / "later", tmp_path / "new.db")
    assert sorted(os.listdir(tmp_path)) == ["full", "later", "memory.db"]


def test_nobody_may_write_to_it(filled, tmp_path, spawn):
    with EmbeddedDB(filled, ml=None), pytest.raises(DatabaseLocked, match=str(os.getpid())):
        EmbeddedDB.repair(filled, tmp_path / "new.db")
    writer = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        with EmbeddedDB(sys.argv[1], ml=None):
            print("open", flush=True)
            sys.stdin.readline()
        """,
        filled,
    )
    assert writer.stdout.readline() == "open\n"
    with pytest.raises(DatabaseLocked, match=str(writer.pid)):
        EmbeddedDB.repair(filled, tmp_path / "new.db")
    writer.kill()
    writer.wait(timeout=60)
    assert EmbeddedDB.repair(filled, tmp_path / "new.db").saved.nodes == 302


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_is_read_only(filled, tmp_path):
    for place in (filled / "gen-0000000001", filled):
        place.chmod(0o500)
    try:
        assert EmbeddedDB.repair(filled, tmp_path / "new.db").complete
    finally:
        for place in (filled, filled / "gen-0000000001"):
            place.chmod(0o700)


PROGRAM = """
    import resource, sys, time
    from embedded_db import EmbeddedDB, DbError
    path, to, how = sys.argv[1:]
    def told(done, total):
        if how == "told" and done * 2 > total:
            print("begun", flush=True)
            while True:  # a signal just before one long wait would be seen after it
                time.sleep(0.01)
    if how.isdigit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(how), int(how)))
    try:
        EmbeddedDB.repair(path, to, progress=told)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    except DbError as error:
        print(error.code, flush=True)
"""


def test_ctrl_c_and_a_kill_leave_nothing_that_could_be_taken_for_it(filled, tmp_path, spawn):
    child = spawn(PROGRAM, filled, tmp_path / "new.db", "told")
    assert child.stdout.readline() == "begun\n"
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert child.wait(timeout=60) == 0
    assert os.listdir(tmp_path) == ["memory.db"]
    child = spawn(PROGRAM, filled, tmp_path / "new.db", "told")
    assert child.stdout.readline() == "begun\n"
    child.kill()
    child.wait(timeout=60)
    assert not (tmp_path / "new.db").exists()
    left = [name for name in os.listdir(tmp_path) if name != "memory.db"]
    assert [name.startswith(".embedded-db-repairing_") for name in left] == [True]
    assert EmbeddedDB.repair(filled, tmp_path / "new.db").complete
    assert sorted(os.listdir(tmp_path)) == ["memory.db", "new.db"], "the next one removes it"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
@pytest.mark.parametrize("share", [4, 2])
def test_where_there_is_no_room(filled, tmp_path, spawn, share):
    """No file may grow beyond a part of what the new one needs, as on a disk that is full."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    EmbeddedDB.repair(filled, tmp_path / "whole.db")
    needed = (tmp_path / "whole.db" / DATA).stat().st_size
    shutil.rmtree(tmp_path / "whole.db")
    child = spawn(PROGRAM, filled, tmp_path / "new.db", needed // share)
    assert child.stdout.readline() == "StorageFull\n"
    assert child.wait(timeout=60) == 0
    assert os.listdir(tmp_path) == ["memory.db"]


def test_the_progress_is_told(filled, tmp_path):
    told = []
    EmbeddedDB.repair(filled, tmp_path / "new.db", progress=lambda *far: told.append(far))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 0

    class Enough(Exception):
        pass

    def stop(done, total):
        raise Enough(f"{done} of {total}")

    with pytest.raises(Enough):
        EmbeddedDB.repair(filled, tmp_path / "part.db", progress=stop)
    assert sorted(os.listdir(tmp_path)) == ["memory.db", "new.db"]
