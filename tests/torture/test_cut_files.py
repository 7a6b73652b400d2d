"""A file that was cut off, at whatever length, is damage that is named; no process dies of it.

Touching a page of the map that lies beyond the end of its file kills a process, so every cut is
opened by a child of its own: for reading and for writing, and then everything is read that can be.
Whatever is read is right.
"""

import shutil

import pytest

from harness.base import MODEL
from harness.child import Done, Refused
from harness.lengths import length
from harness.model import differences, words_of
from harness.operations import CreateNode
from harness.waiting import eventually

CUTS = length(4, 20, 100)


@pytest.mark.parametrize("read_only", [True, False], ids=["reading", "writing"])
def test_any_cut(path, base, nursery, rng, read_only):
    data = path / "gen-0000000001" / "data.mdb"
    whole = (base / "gen-0000000001" / "data.mdb").read_bytes()
    pages = [4096 * page for page in range(len(whole) // 4096)]
    cuts = [0, 1, 4095, 8191, len(whole) - 1, *rng.choices(pages, k=CUTS // 2)]
    cuts += [rng.randrange(len(whole)) for _ in range(CUTS // 2)]
    seen = {"damage": 0, "all there": 0}
    for cut in cuts[:: length(3, 1, 1)]:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(base, path)
        data.write_bytes(whole[:cut])
        child = nursery.child()
        answers = [child.ask("open", str(path), {"read_only": read_only})]
        if answers[-1] == Done():
            answers.append(child.ask("run", "result = [n.id for n in db.nodes()]", {}))
            answers.append(child.ask("look", words_of(MODEL)))
            if isinstance(answers[-1], Done):
                assert not differences(answers[-1].value, MODEL.content()), f"cut at {cut}"
            if not read_only:
                answers.append(child.do(CreateNode("new")))
            answers.append(child.ask("run", "result = db.verify()", {}))
            if answers[2:] and isinstance(answers[-1], Done) and isinstance(answers[2], Done):
                assert answers[-1].value["ok"], f"cut at {cut}"
            child.must("close")
        refused = [answer for answer in answers if isinstance(answer, Refused)]
        for answer in refused:
            assert answer.code == "Corruption", f"cut at {cut}: {answer}"
            assert "data" in answer.message
        seen["damage" if refused else "all there"] += 1
        if read_only:
            assert data.stat().st_size == cut, "a reader leaves the file alone"
            assert refused or cut == len(whole)
        assert child.end() == 0, f"cut at {cut}"
    print(seen)
    assert seen["damage"] > 0


@pytest.mark.parametrize("read_only", [True, False], ids=["reading", "writing"])
def test_a_cut_while_it_is_open(path, base, nursery, rng, read_only):
    """It is looked for every 10 ms; who touches a lost page before that dies, as is documented."""
    shutil.copytree(base, path)
    data = path / "gen-0000000001" / "data.mdb"
    whole = data.read_bytes()
    for _ in range(length(1, 5, 20)):
        child = nursery.child()
        child.open(path, read_only=read_only)
        child.look(MODEL)
        # Those that the opening began for work that there may be.
        eventually(lambda on=child: set(on.threads()) == {"S"}, "its threads have ended or wait")
        with data.open("r+b") as file:
            file.truncate(rng.randrange(8192, len(whole)))
        child.run("import time\ntime.sleep(0.03)")
        refused = child.ask("run", "result = [n.id for n in db.nodes()]", {})
        assert isinstance(refused, Refused)
        assert refused.code == "Corruption"
        assert "cut off" in refused.message
        if not read_only:
            refused = child.do(CreateNode("new"))
            assert isinstance(refused, Refused)
            assert refused.code == "Corruption"
        child.must("close")
        assert child.end() == 0
        data.write_bytes(whole)
