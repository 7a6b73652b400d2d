"""Ask all the time while the texts are embedded with another model, and its space takes the place.

The models hash words, so the figures are those of the database. One thread asks, another adds a
message a millisecond; then the old space is dropped.

    python benches/reembedding.py [--messages N]
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

from measuring import processor

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel


def milliseconds(seconds: list[float], share: float) -> float:
    """The quantile of some times."""
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))] * 1000


class Asking(threading.Thread):
    """Asks by text, by `similar` and by `search`, one after the other, until it is told to stop."""

    def __init__(self, db: EmbeddedDB) -> None:
        super().__init__()
        self.db = db
        self.done = threading.Event()
        self.times: list[float] = []
        self.spaces: list[str] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.done.is_set():
                begun = time.perf_counter()
                found = self.db.query(
                    semantic_query={"text": "message 77 about topic7"}, labels=["Message"], limit=5
                )
                self.times.append(time.perf_counter() - begun)
                assert found[0].node.id == "m77", found[0].node.id
                self.spaces.append(self.db.get_embedding_for_node("m77").space)
                assert len(found[0].node.similar(limit=5)) == 5
                assert self.db.search("What about message 77?", limit=5)
        except BaseException as error:
            self.error = error


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=20_000)
    count = parser.parse_args().messages
    old, new = FakeModel(dim=384, model="old"), FakeModel(dim=256, model="new")
    print(f"{processor()}, {os.cpu_count()} cores, {count:,} messages, 384 then 256 dimensions")
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "memory.db"
        with EmbeddedDB(path, ml=old) as db:
            chat = db.create_chat(id="chat")
            for first in range(0, count, 1000):
                chat.add_messages(
                    [
                        {"id": f"m{n}", "content": f"message {n} about topic{n % 70}"}
                        for n in range(first, min(first + 1000, count))
                    ]
                )
            db.flush()
            db.compact()
            asking = Asking(db)
            asking.start()
            time.sleep(3)
            asking.done.set()
            asking.join()
            assert asking.error is None, asking.error
            p50, p99 = milliseconds(asking.times, 0.5), milliseconds(asking.times, 0.99)
            print(f"query by text before: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        before = db_bytes(path)
        begun = time.perf_counter()
        with EmbeddedDB(path, ml=new, previous_ml=old) as db:
            print(f"opening with the new model: {(time.perf_counter() - begun) * 1000:.1f} ms")
            asking = Asking(db)
            asking.start()
            written = 0
            while db.weaver_status()["reembedding"] is not None:
                db.create_message("chat", f"late {written} about topic{written % 70}")
                written += 1
                time.sleep(0.001)
            whole = time.perf_counter() - begun
            time.sleep(1)
            asking.done.set()
            asking.join()
            assert asking.error is None, asking.error
            switches = sum(a != b for a, b in zip(asking.spaces, asking.spaces[1:], strict=False))
            p50, p99 = milliseconds(asking.times, 0.5), milliseconds(asking.times, 0.99)
            print(
                f"embedded again beside {len(asking.times):,} queries and {written:,} new "
                f"messages: {whole:.1f} s, {count / whole:,.0f} messages/s; "
                f"query p50 {p50:.2f} ms, p99 {p99:.2f} ms, "
                f"longest {max(asking.times) * 1000:.1f} ms, none failed"
            )
            print(f"spaces that answered: {list(dict.fromkeys(asking.spaces))}, {switches} switch")
            db.flush()
            kinds = {db.get_embedding_for_node(f"m{n}").space for n in range(0, count, 97)}
            assert kinds == {"new"}, kinds
            assert db.verify(deep=True)["ok"]
            db.compact()
            both = db_bytes(path)
            begun = time.perf_counter()
            db.drop_space("old")
            dropped = time.perf_counter() - begun
            db.flush()
            cleared = time.perf_counter() - begun
            db.compact()
            wait_for_files(path)
            after = db_bytes(path)
            assert db.verify(deep=True)["ok"]
        print(
            f"drop_space: {dropped * 1000:.1f} ms, vectors removed after {cleared:.2f} s; files "
            f"{before / 1e6:.1f} MB before, {both / 1e6:.1f} MB with both spaces, "
            f"{after / 1e6:.1f} MB after"
        )


def db_bytes(path: Path) -> int:
    """Bytes of the files of a database, without its log, which is recycled."""
    files = [file for file in path.rglob("*") if file.is_file() and file.stem != "log"]
    return sum(file.stat().st_size for file in files)


def wait_for_files(path: Path) -> None:
    """Wait until published files stay as they are."""
    last = -1
    while (now := db_bytes(path)) != last:
        last = now
        time.sleep(1)


if __name__ == "__main__":
    main()
