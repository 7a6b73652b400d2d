"""A program may end at any moment, in any way, without `close`: cleanly, and nothing is lost.

The exit must neither crash nor hang: threads of ours that would come back into an interpreter that
is gone have to be stopped before. What the program printed was acknowledged; it is there
afterwards.
"""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

BUSY = """
import atexit, os, sys, threading
from embedded_db import DatabaseClosed, EmbeddedDB
from embedded_db.testing import FakeModel

db = EmbeddedDB(sys.argv[1], ml=FakeModel())
turns = int(sys.argv[2])
moved = threading.Semaphore(0)

def told(line):
    os.write(1, f"{line}\\n".encode())

def until_closed(work):
    number = 0
    try:
        while True:
            work(number)
            number += 1
    except DatabaseClosed:
        pass

def write(number):
    id = f"{os.getpid()}-{threading.get_ident()}-{number}"
    db.create_message("chat", f"Alice met Bob {number}", id=id)
    told(id)
    moved.release()

def add(number):
    ids = [f"{os.getpid()}-{threading.get_ident()}-{number}-{n}" for n in range(20)]
    db.create_nodes([{"id": id, "label": "X"} for id in ids])
    told("\\n".join(ids))
    moved.release()

def read(number):
    db.query(text_query={"text": "Alice"}, limit=5)
    for _ in zip(range(5), db.nodes("Message")):
        pass

works = [write, add, read]
for work in works:
    threading.Thread(target=until_closed, args=(work,), daemon=True).start()
for _ in range(turns):
    moved.acquire()
told("ending")
"""

ENDS = {
    "falling off its end": "",
    "sys.exit": "sys.exit(0)",
    "an exit in a hook": "atexit.register(lambda: db.create_node({'label': 'Hook'}))",
    "a garbage cycle": """
class Holder:
    pass

held = Holder()
held.itself, held.db = held, EmbeddedDB(sys.argv[1] + ".other", ml=FakeModel())
held.db.create_message("chat", "Alice")
del held
""",
    "a held snapshot": "kept = db.snapshot(), db.nodes(), db.transaction()",
}


def run_busy(path, end: str, turns: int) -> tuple[int, list[str], str]:
    program = textwrap.dedent(BUSY) + end
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, str(path), str(turns)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout.split(), done.stderr


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_program_may_end_while_its_threads_work(tmp_path, thorough, end):
    def one(number: int) -> tuple[int, list[str], str]:
        return run_busy(tmp_path / f"{number % 2}.db", end, number % 23)

    def both(numbers: range) -> list[tuple[int, list[str], str]]:
        return [one(number) for number in numbers]

    times = 100 if thorough else 4
    with ThreadPoolExecutor(2) as pool:
        # Two at a time, each with a path of its own.
        runs = list(pool.map(both, (range(0, times, 2), range(1, times, 2))))
    acknowledged = 0
    for number, outcomes in enumerate(runs):
        for code, said, errors in outcomes:
            assert (code, errors) == (0, "")
            assert "ending" in said
        ids = [id for _, said, _ in outcomes for id in said if id != "ending"]
        acknowledged += len(ids)
        with EmbeddedDB(tmp_path / f"{number}.db", ml=None, lock_timeout=0) as db:
            assert all(node is not None for node in db.get_many(ids))
            assert db.count("X") % 20 == 0, "a batch is whole"
            assert db.count("Hook") == (times // 2 if "Hook" in end else 0)
            assert db.verify()["ok"]
    print(f"{times} of {times} exits were clean, {acknowledged} acknowledged and there")
    assert acknowledged > times, "the programs were at work when they ended"


def test_a_program_may_end_without_closing(run_python, path, thorough):
    times = 20 if thorough else 6
    for number in range(times):
        run = run_python(
            """
            import sys
            from embedded_db import EmbeddedDB
            from embedded_db.testing import FakeModel
            db = EmbeddedDB(sys.argv[1], ml=FakeModel())
            chat = db.create_chat()
            chat.add_messages([{"content": f"Alice met Bob {n}"} for n in range(200)])
            other = db.namespace("other")
            if sys.argv[2] == "1":
                raise SystemExit(0)
            """,
            path,
            number % 2,
        )
        assert (run.returncode, run.stderr) == (0, "")
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Message") == 200 * times
        assert db.verify()["ok"]


def test_what_was_added_just_before_the_end_is_enriched_once(run_python, path):
    run = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        db = EmbeddedDB(sys.argv[1], ml=FakeModel())
        chat = db.create_chat(id="chat")
        for n in range(1_000):
            if n == 950:
                db.weaver.pause()  # on a slow disk it would keep up
            chat.add_message(f"Alice met Bob {n}")
        print(db.stats()["embeddings"])
        """,
        path,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) < 1_000, "it ended before all was done"
    model = FakeModel()
    with EmbeddedDB(path, ml=model) as db:
        before = db.stats()["embeddings"]
        assert before < 1_000
        db.flush(timeout=120)
        messages = list(db.nodes("Message"))
        assert len(messages) == 1_000
        for message in messages:
            status = message.status
            assert (status.embedding, status.entities, status.links) == ("ready",) * 3
            assert len(db.get_embeddings_for_node(message.id)) == 1
            assert len(list(db.edges(message.id, "MENTIONS"))) == 2
        counts = {entity["label"]: entity["mention_count"] for entity in db.nodes("Entity")}
        assert counts == {"Alice": 1_000, "Bob": 1_000}
        assert db.stats()["embeddings"] == 1_000
        # What was stored by the first process is not embedded once more.
        assert sum(model.embedded.values()) == 1_000 - before
        assert max(model.embedded.values()) == 1
        assert db.verify(deep=True)["ok"]


def test_a_program_may_end_by_an_exception(run_python, path):
    run = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        db = EmbeddedDB(sys.argv[1], ml=FakeModel())
        db.create_message("chat", "kept")
        raise RuntimeError("the program's own")
        """,
        path,
    )
    assert run.returncode == 1
    assert "the program's own" in run.stderr
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Message") == 1


@pytest.mark.usefixtures("real_models")
@pytest.mark.parametrize("closes", [True, False])
def test_a_program_may_end_while_the_models_compute(run_python, path, closes):
    run = run_python(
        """
        import sys, time
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(sys.argv[1])
        db.create_message("chat", "the models are loaded")
        db.flush(timeout=120)
        long = db.create_message("chat", "Alice met Bob in Paris. " * 10_000)
        time.sleep(1)
        print(long.status.embedding)
        if sys.argv[2] == "True":
            db.close()
        """,
        path,
        closes,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip() in {"pending", "running", "processing"}, "the models were at work"
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Message") == 2
        assert db.weaver.dead_letters() == []


@pytest.mark.parametrize("slow", ["model", "reads", "generator"])
def test_a_program_may_end_while_a_thread_is_in_a_call(run_python, path, slow, thorough):
    """A thread that is ended as it comes back from native code takes the process with it."""
    for _ in range(30 if thorough else 5):
        run = run_python(
            """
            import sys, threading, time
            from embedded_db import DbError, EmbeddedDB
            from embedded_db.testing import FakeModel

            class Slow(FakeModel):
                def embed(self, texts):
                    if threading.current_thread() in asking:
                        asked.set()
                        until = time.monotonic() + 0.7
                        while time.monotonic() < until:
                            pass
                    return super().embed(texts)

            asked, asking = threading.Event(), []
            db = EmbeddedDB(sys.argv[1], ml=Slow())
            db.create_nodes([{"label": "X", "properties": {"n": n}} for n in range(300)])
            db.create_message("chat", "Alice met Bob")
            db.flush(timeout=60)

            def busy():
                asked.set()
                until = time.monotonic() + 0.7
                while time.monotonic() < until:
                    pass
                yield {"label": "Y"}

            def ask():
                while True:
                    try:
                        if sys.argv[2] == "model":
                            db.query(semantic_query={"text": f"Alice {time.monotonic()}"})
                        elif sys.argv[2] == "generator":
                            db.create_nodes(busy())
                        else:
                            db.query(labels=["X"], order_by=["n"], limit=300)
                            asked.set()
                    except DbError:
                        if not asked.is_set():
                            raise

            for _ in range(3):
                asking.append(threading.Thread(target=ask, daemon=True))
                asking[-1].start()
            print(asked.wait(30))
            """,
            path,
            slow,
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", "")


@pytest.mark.parametrize("blocked", ["opening", "model", "generator"])
def test_the_end_of_a_program_waits_for_no_call_that_stands_still(run_python, path, blocked):
    run = run_python(
        """
        import queue, sys, threading, time
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel

        class Held(FakeModel):
            def embed(self, texts):
                if threading.current_thread() is thread:
                    begun.set()
                    queue.Queue().get()
                return super().embed(texts)

        def never():
            begun.set()
            yield queue.Queue().get()

        def call():
            if sys.argv[2] == "opening":
                begun.set()
                EmbeddedDB(sys.argv[1], ml=None, lock_timeout=1000, durability="relaxed")
            elif sys.argv[2] == "model":
                db.query(semantic_query={"text": "Alice"})
            else:
                db.create_nodes(never())

        begun = threading.Event()
        thread = threading.Thread(target=call, daemon=True)
        db = EmbeddedDB(sys.argv[1] + ("" if sys.argv[2] != "opening" else ".own"), ml=Held())
        if sys.argv[2] == "opening":
            import subprocess
            program = "import sys, time; from embedded_db import EmbeddedDB;"
            program += "db = EmbeddedDB(sys.argv[1], ml=None);"
            program += "print(1, flush=True); sys.stdin.read()"
            arguments = [sys.executable, "-c", program, sys.argv[1]]
            pipe = subprocess.PIPE
            holder = subprocess.Popen(arguments, stdin=pipe, stdout=pipe)
            holder.stdout.readline()
        else:
            db.create_message("chat", "Alice met Bob")
            db.flush(timeout=60)
        thread.start()
        assert begun.wait(30)
        """,
        path,
        blocked,
    )
    assert (run.returncode, run.stdout) == (0, "")


@pytest.mark.parametrize(
    "what", ["EmbeddedDB(path, ml=hashing)", "EmbeddedDB(path, ml=None)", "MessageBus()"]
)
def test_a_hook_may_be_the_first_to_use_anything(run_python, path, what):
    run = run_python(
        f"""
        import atexit, sys
        from embedded_db import EmbeddedDB, MLConfig
        path, hashing = sys.argv[1], MLConfig(embedding="hashing", entities=None)

        def hook():
            from embedded_db.messaging import MessageBus
            with {what} as opened:
                print(type(opened).__name__)

        atexit.register(hook)
        """,
        path,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, what.split("(")[0] + "\n", "")
