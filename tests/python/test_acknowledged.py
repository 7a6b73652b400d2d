"""What was acknowledged is found, in whichever process one looks and however the writer ended."""

import signal

from embedded_db import EmbeddedDB

MANY = 400


def test_another_process_finds_what_it_is_told_of(path, spawn):
    """The writer never reads, so that its commits come late; the reader looks at once."""
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"label": "Thing"})
        reader = spawn(
            """
            import sys
            from embedded_db import EmbeddedDB
            with EmbeddedDB(sys.argv[1], ml=None, read_only=True) as db:
                print("ready", flush=True)
                for line in sys.stdin:
                    print(db.exists(line.strip()), flush=True)
            """,
            path,
        )
        assert reader.stdout.readline() == "ready\n"
        for number in range(MANY):
            # Some are told of at once, others when many were written.
            db.create_node({"label": "Thing", "id": f"n{number}"})
            if number % 7 < 3:
                reader.stdin.write(f"n{number}\n")
                reader.stdin.flush()
                assert reader.stdout.readline() == "True\n", number


def test_a_writer_that_was_killed_leaves_all_to_readers(path, spawn):
    """A reader that opens it does again what was not committed."""
    for turn in range(10):
        writer = spawn(
            """
            import sys
            from embedded_db import EmbeddedDB
            db = EmbeddedDB(sys.argv[1], ml=None)
            for number in range(1_000_000):
                db.create_node({"label": "Thing", "id": f"{sys.argv[2]}-{number}"})
                sys.stdout.write(f"{number}\\n")
                sys.stdout.flush()
            """,
            path,
            turn,
        )
        told = [writer.stdout.readline() for _ in range(300 + turn)]
        writer.send_signal(signal.SIGKILL)
        told += writer.stdout.readlines()
        writer.wait()
        ids = [f"{turn}-{line.strip()}" for line in told if line.endswith("\n")]
        with EmbeddedDB(path, ml=None, read_only=True) as db:
            missing = [id for id in ids if not db.exists(id)]
            assert not missing, (turn, missing)


def test_a_writer_that_stands_still_keeps_no_reader_waiting(path, spawn):
    """What it owes shows when it goes on."""
    writer = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(sys.argv[1], ml=None)
        for number in range(1_000_000):
            db.create_node({"label": "Thing", "id": f"n{number}"})
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
        """,
        path,
    )
    for _ in range(200):
        writer.stdout.readline()
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        for _ in range(20):
            writer.send_signal(signal.SIGSTOP)
            for _ in range(50):
                assert db.exists("n0")
            writer.send_signal(signal.SIGCONT)
            writer.stdout.readline()
