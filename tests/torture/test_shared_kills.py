"""Four processes write to one database together, and one after the other is killed.

Each writes messages with ids of its own, in order, and says so when one is acknowledged. The one
that holds the right to write is killed in the middle, or another, and a new one comes. Nothing
acknowledged is lost, nothing is there twice, and each has its messages in its order.
"""

import os
import random
import select
import subprocess
import sys
import textwrap
import time
from collections import defaultdict

import pytest

from embedded_db import EmbeddedDB
from harness.lengths import length

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets")

KILLS = length(5, 25, 60)

WRITER = """
import itertools, os, sys
from contextlib import suppress
from embedded_db import AlreadyExists, EmbeddedDB, OutcomeUnknown

path, name = sys.argv[1:]
db = EmbeddedDB(path, ml=None, shared=True, lock_timeout=60)
holds = None
for n in itertools.count():
    id = f"{name}-{n}"
    try:
        db.create_message("all", f"number {n}", sender=name, id=id, n=n)
    except OutcomeUnknown:
        try:
            db.create_message("all", f"number {n}", sender=name, id=id, n=n)
        except AlreadyExists:
            pass
    assert db.exists(id), "what was acknowledged is seen"
    if n % 8 == 0:
        with suppress(OutcomeUnknown), db.transaction() as tx:
            for part in "ab":
                tx.create_node({"id": f"{id}{part}", "label": "Pair"})
    now = db._native.holds()
    os.write(1, f"{n} {now}\\n".encode())
"""


class Writer:
    """A process that writes until it is killed."""

    def __init__(self, path, name):
        self.name, self.acknowledged, self.holds = name, -1, False
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), name]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.rest = b""

    def read(self):
        """Take what it has said; whether it said anything."""
        said = os.read(self.child.stdout.fileno(), 1 << 16)
        *lines, self.rest = (self.rest + said).split(b"\n")
        for line in lines:
            number, holds = line.split()
            assert int(number) == self.acknowledged + 1
            self.acknowledged, self.holds = int(number), holds == b"True"
        return bool(lines)

    def end(self):
        """Kill it, and hear what it had said before."""
        self.child.kill()
        self.child.wait()
        while self.read():
            pass
        self.child.stdout.close()


def hear(writers, seconds):
    """Listen for so long, or until somebody has said something."""
    files = {writer.child.stdout: writer for writer in writers}
    ready, _, _ = select.select(list(files), [], [], seconds)
    said = [files[file].read() for file in ready]
    for file in ready:
        assert files[file].child.poll() is None, "a writer has failed"
    return any(said)


def all_is_there(path, ended):
    """What was said, by each of the writers that have ended, who had so much acknowledged."""
    with EmbeddedDB(path, ml=None, shared=True) as db:
        said = defaultdict(list)
        for message in db.get_node("all").messages():
            said[message.sender].append(message["n"])
        for name, last in ended.items():
            # The last one may have been stored, and its writer killed before it could say so.
            assert said[name] == list(range(len(said[name]))), name
            assert last + 1 <= len(said[name]) <= last + 2, name
        pairs = {node.id for node in db.nodes("Pair")}
        assert {id[:-1] + "a" for id in pairs} == {id[:-1] + "a" for id in pairs if id[-1] == "b"}
        assert db.verify(deep=True)["ok"]
    return said


def states(data):
    """The numbers of the states in both meta pages of a data file."""
    with data.open("rb") as file:
        pages = file.read(2 * 4096)
    return [int.from_bytes(pages[at + 144 : at + 152], "little") for at in (0, 4096)]


@pytest.mark.usefixtures("needs_strace")
def test_a_holder_that_is_killed_between_its_meta_page_and_telling_others(path):
    """LMDB tells other processes in memory which state is the newest, after that is in the file."""
    data, ended = path / "gen-0000000001" / "data.mdb", {}
    writers = [Writer(path, name) for name in ("w0", "w1")]
    try:
        for turn in range(3):
            while min(writer.acknowledged for writer in writers) < 20:
                hear(writers, 1.0)
            [holder] = [writer for writer in writers if writer.holds]
            # Each write to the file keeps its thread for a second, when it is done.
            stands = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_exit=1000000"]
            command = ["strace", "-f", "-qq", "-o", str(path) + ".strace", "-P", str(data), *stands]
            strace = subprocess.Popen([*command, "-p", str(holder.child.pid)])
            before, end = states(data), time.monotonic() + 60
            while states(data) == before:
                assert time.monotonic() < end
            holder.end()
            strace.wait(60)
            ended[holder.name] = holder.acknowledged
            writers.remove(holder)
            while hear(writers, 0):
                pass
            while not hear(writers, 1.0):
                assert time.monotonic() < end + 60, "nobody takes over"
            writers.append(Writer(path, f"w{turn + 2}"))
    finally:
        for writer in writers:
            writer.end()
            ended[writer.name] = writer.acknowledged
    all_is_there(path, ended)


def test_whoever_is_killed_nothing_acknowledged_is_lost(path, rng: random.Random, capsys):
    writers = [Writer(path, f"w{n}") for n in range(4)]
    ended: dict[str, int] = {}
    took = []
    try:
        for kill in range(KILLS):
            until = time.monotonic() + rng.uniform(0.05, 0.4)
            heard: set[str] = set()
            while time.monotonic() < until or len(heard) < len(writers):
                before = {writer.name: writer.acknowledged for writer in writers}
                hear(writers, 0.05)
                heard |= {w.name for w in writers if w.acknowledged > before[w.name]}
            holders = [writer for writer in writers if writer.holds]
            assert len(holders) <= 1, "one process writes"
            victim = holders[0] if holders and kill % 4 != 3 else rng.choice(writers)
            writers.remove(victim)
            victim.end()
            killed = time.monotonic()
            ended[victim.name] = victim.acknowledged
            # What the others had said before does not count.
            while hear(writers, 0):
                pass
            while not hear(writers, 1.0):
                assert time.monotonic() - killed < 60, "nobody takes over"
            took.append(time.monotonic() - killed)
            writers.append(Writer(path, f"w{kill + 4}"))
    finally:
        for writer in writers:
            writer.end()
            ended[writer.name] = writer.acknowledged
    said = all_is_there(path, ended)
    middle, most = sorted(took)[len(took) // 2] * 1000, max(took) * 1000
    with capsys.disabled():
        print(f"\n{KILLS} kills, {sum(map(len, said.values()))} messages;")
        print(f"the next write of another process after {middle:.0f} ms, at most {most:.0f} ms")
