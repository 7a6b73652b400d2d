"""Work that waits takes no memory, however much there is: it is a bit in the store.

A process adds messages that nothing enriches. Another one opens the database, sees all of them
waiting, and enriches some: what it has of its own does not grow with what waits.
"""

import pytest

from harness.lengths import length

MESSAGES = length(20_000, 100_000, 1_000_000)
DONE = 3_000
"""So many are enriched while it is looked at."""
MOST = 48 << 20
"""Bytes more than an open database without work has: what a batch and its indexes take."""

ADD = """
chat = db.create_chat(id="chat")
for at in range(0, count, 1_000):
    chat.add_messages([{"content": f"message {n}"} for n in range(at, at + 1_000)])
result = db.weaver_status()["queue_size"]
"""
MEMORY = """
def memory():
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024
"""
WORK = """
import time
db.weaver.pause()
waiting = db.weaver_status()["per_job"]["embedding"]["pending"]
most = memory()
db.weaver.resume()
deadline = time.monotonic() + 60
while (left := db.weaver_status()["per_job"]["embedding"]["pending"]) > waiting - done:
    most = max(most, memory())
    assert time.monotonic() < deadline, left
    time.sleep(0.01)
result = waiting, most
"""


@pytest.mark.timeout(1800)
def test_what_waits_takes_no_memory(tmp_path, nursery):
    path = tmp_path / "memory.db"
    child = nursery.child()
    child.open(path, ml=None, durability="relaxed")
    child.patience(1800)
    assert child.run(ADD, count=MESSAGES) >= 2 * MESSAGES, "vectors and entities wait"
    child.must("close")
    child.end()

    child = nursery.child()
    child.open(tmp_path / "empty.db", ml="fake")
    child.run(MEMORY)
    empty = child.run("result = memory()")
    child.must("close")
    child.open(path, ml="fake", weaver={"activity_level": "HighActivity"})
    waiting, most = child.run(WORK, done=DONE)
    child.kill()
    child.end()
    assert waiting > MESSAGES - 2_000, "it waits; the weaver may have begun"
    print(f"{waiting} waiting: {(most - empty) / 2**20:.1f} MB more than without")
    assert most - empty < MOST
