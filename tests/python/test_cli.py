"""The command line does what the library does, with exit codes and without tracebacks."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, __version__
from embedded_db.importers import import_file

CliRunner = pytest.importorskip("typer.testing").CliRunner
pytest.importorskip("rich")

RECORDS = [
    {
        "id": f"m{n}",
        "chat_id": "trip",
        "chat_title": "Trip",
        "sender": "Ann" if n % 2 else "Bob",
        "content": text,
        "timestamp": f"2025-03-16T11:38:0{n}Z",
    }
    for n, text in enumerate(["We go to Paris", "By train [red]or[/red] by bike?", "By train"])
]


@pytest.fixture
def config(tmp_path) -> Path:
    """A configuration that needs no model."""
    file = tmp_path / "config.toml"
    file.write_text('ml = "none"\n')
    return file


@dataclass
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(config, path, tmp_path, monkeypatch):
    """Run a command in this process."""
    from embedded_db.cli.app import app

    monkeypatch.chdir(tmp_path)

    def call(command, *args, db=True):
        where = ["--db", str(path), "--config", str(config)] if db else []
        result = CliRunner().invoke(app, [command, *where, *map(str, args)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def child(tmp_path, config, path):
    """Run a command in a process of its own."""

    def call(command, *args, db=True):
        where = ["--db", str(path), "--config", str(config)] if db else []
        return subprocess.run(
            [sys.executable, "-m", "embedded_db.cli", command, *where, *map(str, args)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )

    return call


@pytest.fixture
def talk(tmp_path) -> Path:
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return file


@pytest.fixture
def imported(run, talk, path):
    with EmbeddedDB(path, ml=None) as db:
        import_file(db, str(talk))
    return run


def test_import_twice(run, talk):
    result = run("import", talk, "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["messages"], facts["chats"], facts["skipped"]) == (3, 1, 0)
    again = run("import", talk, "--wait")
    assert again.returncode == 0, again.stderr
    assert "skipped" in again.stdout
    assert "3" in again.stdout


def test_stats(imported):
    plain, machine = imported("stats"), imported("stats", "--json")
    assert plain.returncode == machine.returncode == 0
    rows = [line.split(maxsplit=1) for line in plain.stdout.splitlines()]
    assert rows[:3] == [["messages", "3"], ["chats", "1"], ["entities", "0"]]
    assert "pending jobs" in plain.stdout
    assert "3 embedding" in plain.stdout
    assert "tables" not in plain.stdout, "what is inside is for --json"
    assert all(line == line.rstrip() for line in plain.stdout.splitlines())
    facts = json.loads(machine.stdout)
    assert facts["namespaces"] == ["default"]
    assert facts["tables"]["nodes"] == facts["nodes"] == 4


def test_stats_count_every_namespace_or_one(imported, talk):
    assert imported("import", talk, "--namespace", "other").returncode == 0
    both = json.loads(imported("stats", "--json").stdout)
    assert (both["messages"], both["chats"], both["nodes"]) == (6, 2, 8)
    one = json.loads(imported("stats", "--json", "--namespace", "other").stdout)
    assert (one["messages"], one["chats"], one["nodes"]) == (3, 1, 4)


def test_query(imported):
    found = imported("query", "train", "--legs", "text", "--where", "sender=Ann", "--json")
    assert found.returncode == 0, found.stderr
    assert [each["id"] for each in json.loads(found.stdout)["results"]] == ["m1"]
    table = imported("query", "train", "--legs", "text")
    assert "[red]or[/red]" in table.stdout, "what is stored is not markup"
    none = imported("query", "submarine", "--legs", "text")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "nothing found\n")
    late = imported("query", "--where", "timestamp>=2025-03-16T11:38:01Z", "--json")
    assert [each["id"] for each in json.loads(late.stdout)["results"]] == ["m1", "m2"]
    reached = imported("query", "--from", "m0", "--hops", "1", "--label", "Message", "--json")
    assert [each["id"] for each in json.loads(reached.stdout)["results"]] == ["m1"]


def test_a_day_is_compared_with_times_and_with_dates_of_models(run, path):
    with EmbeddedDB(path, ml=None) as db:
        days = {"early": "2025-11-30", "late": "2025-12-01", "never": None}
        db.create_nodes(
            [{"id": id, "label": "Task", "properties": {"due": day}} for id, day in days.items()]
        )
        for id, month in (("m1", 10), ("m2", 12)):
            time = datetime(2025, month, 15, tzinfo=UTC)
            db.create_node({"id": id, "label": "Task", "properties": {"due": time}})

    def found(condition):
        done = run("query", "--label", "Task", "--where", condition, "--json")
        return {each["id"] for each in json.loads(done.stdout)["results"]}

    assert found("due<2025-12-01") == {"early", "m1"}
    assert found("due>=2025-12-01") == {"late", "m2"}
    assert found("due=2025-12-01") == {"late"}
    assert found("due!=2025-12-01") == {"early", "never", "m1", "m2"}


def test_search(imported, path):
    def search(*args, code=0):
        found = imported("search", *args)
        assert found.returncode == code, found.stderr
        return found

    facts = json.loads(search("What did Ann say of a train?", "--legs", "text", "--json").stdout)
    best = facts["results"][0]
    assert (best["id"], facts["analysis"]["names"]) == ("m1", ["Ann"])
    assert sum(best["shares"].values()) == pytest.approx(best["score"])
    table = search("What did Ann say of a train?", "--legs", "text").stdout.splitlines()
    assert table[0].split()[:2] == ["score", "text"]
    assert "sender" in table[0].split()
    assert "m1" in table[1].split()
    assert "[red]or[/red]" in table[1]
    shares = [float(value) for value in table[1].split()[: len(table[0].split()) - 1]]
    assert sum(shares[1:]) == pytest.approx(shares[0], abs=0.01)
    one = search("train", "--legs", "text", "--limit", "1", "--chat", "trip", "--json")
    assert len(json.loads(one.stdout)["results"]) == 1
    plain = search("train", "--legs", "text", "--profile", "plain", "--json")
    assert json.loads(plain.stdout)["analysis"]["profile"] == "plain"
    none = search("submarine", "--legs", "text", "--profile", "plain")
    assert (none.stdout, none.stderr) == ("", "nothing found\n")
    with EmbeddedDB(path, ml=None) as db:
        old = db.remember("The submarine is yellow")
        db.remember("It is green", supersedes=old)
    by_words = ("submarine", "--legs", "text", "--json")
    assert json.loads(search(*by_words).stdout)["results"] == []
    [found] = json.loads(search(*by_words, "--superseded").stdout)["results"]
    assert found["id"] == old.id
    with EmbeddedDB(path, ml=None) as db:
        db.namespace("other").create_message("c", "An airship", id="far")
    far = search("airship", "--legs", "text", "--namespace", "other", "--json")
    assert [each["id"] for each in json.loads(far.stdout)["results"]] == ["far"]


def test_what_is_refused_is_said_in_words_of_the_command(imported):
    """No name of an argument in Python stands in a remedy."""
    for args, hint in [
        (["query"], "Give words, or --label, --where or --from"),
        (["query", "train"], "--legs text"),
        (["search", "train"], "--legs text"),
        (["search", " "], "in quotes"),
        (["search", "train", "--legs", "text", "--chat", "no"], "embedded-db query --label Chat"),
    ]:
        said = " ".join(imported(*args).stderr.split())
        assert hint in said
        for name in ("structural_filters", "semantic", "weights", "ml=", "_query", "where()"):
            assert name not in said


def test_show(imported):
    chat = imported("show", "trip")
    assert chat.returncode == 0, chat.stderr
    for record in RECORDS:
        assert record["content"] in chat.stdout
    message = json.loads(imported("show", "m0", "--json").stdout)
    assert message["properties"]["content"] == "We go to Paris"
    assert message["status"]
    whole = json.loads(imported("show", "trip", "--json").stdout)
    assert [each["id"] for each in whole["messages"]] == ["m0", "m1", "m2"]


def test_verify(imported):
    assert imported("verify").returncode == 0
    assert json.loads(imported("verify", "--json").stdout)["ok"] is True


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["show", "missing"], 10, "NotFound: no node or edge has the id 'missing'"),
        (["query", "train"], 33, "ModelUnavailable"),
        (["query", "--where", "sender"], 13, "property=value"),
        (["query"], 18, "InvalidQuery: the query is empty"),
        (["query", "--label", "X", "--limit", "0"], 2, "--limit"),
        (["search", "train"], 33, "ModelUnavailable"),
        (["search", "train", "--legs", "text", "--chat", "no"], 10, "no chat has the id"),
        (["search", ""], 18, "InvalidQuery: the question is empty"),
        (["search", "train", "--profile", "best"], 2, "conversation"),
        (["search"], 2, "Missing argument"),
        (["import", "missing.jsonl"], 13, "missing.jsonl"),
        (["import", "talk.jsonl", "--format", "json"], 13, "'jsonl'"),
        (["import", "talk.jsonl", "--date-order", "dym"], 2, "dym"),
        (["import", "talk.jsonl", "--time-zone", "Mars"], 13, "Mars"),
        (["export", "talk.jsonl"], 13, "not an empty directory"),
        (["export", "out", "--namespace", "no"], 10, "no namespace 'no'"),
        (["show"], 2, "Missing argument"),
        (["stats", "--jsn"], 2, "--jsn"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_errors_are_lines_not_tracebacks(imported, args, code, words):
    result = imported(*args)
    assert result.returncode == code, result.stdout + result.stderr
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_missing_database_is_not_made(run, path):
    result = run("stats")
    assert result.returncode == 13
    assert "is no database" in result.stderr
    assert f"embedded-db import FILE --db {path}" in result.stderr
    assert not path.exists()


def test_a_file_is_no_database(run, path, talk):
    path.write_text("x")
    for command in (["stats"], ["import", talk]):
        result = run(*command)
        assert result.returncode == 13
        assert "is a file; a database is a directory" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"), [("", "is empty"), ('{"text": "x"}\n', "Did you mean 'content'?")]
)
def test_a_file_of_no_use_leaves_no_database(run, path, tmp_path, text, words):
    (tmp_path / "bad.jsonl").write_text(text)
    result = run("import", "bad.jsonl")
    assert result.returncode == 13
    assert words in result.stderr
    assert not path.exists()


def test_what_an_import_leaves_to_do_is_said(run, talk):
    assert "is next opened for writing" in run("import", talk).stderr
    assert run("import", talk, "--wait").stderr == ""


def test_the_version(run):
    result = run("--version", db=False)
    assert result.returncode == 0
    assert result.stdout == f"embedded-db {__version__}\n"


def test_a_bad_line_is_named(run, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"content": "x"}\nnonsense\n')
    result = run("import", "bad.jsonl")
    assert result.returncode == 13
    assert "line 2" in result.stderr


def test_help_names_the_exit_codes(run):
    result = run("--help", db=False)
    assert result.returncode == 0
    for command in (
        "import",
        "export",
        "stats",
        "namespaces",
        "query",
        "search",
        "show",
        "verify",
    ):
        assert command in result.stdout
    assert "Exit codes" in result.stdout


def test_a_remedy_is_said_once(imported, config, path):
    config.write_text('ml = "none"\nlock_timeout = 0.1\n')
    with EmbeddedDB(path, ml=None):
        refused = imported("stats")
    assert (refused.returncode, refused.stderr.count("close it first")) == (13, 1)


@pytest.mark.usefixtures("imported")
def test_reading_goes_on_beside_a_writer(child, config, path):
    config.write_text('ml = "none"\nlock_timeout = 0.1\n')
    with EmbeddedDB(path, ml=None) as db:
        assert child("stats").returncode == 0
        refused = child("import", "talk.jsonl")
        assert refused.returncode == 26
        assert "DatabaseLocked" in refused.stderr
        assert db.count("Message") == 3


def test_without_the_extra_the_command_says_how_to_install_it(tmp_path):
    program = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('typer', 'rich') else find(name, *a)\n"
        "from embedded_db.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 2
    assert 'pip install "embedded-db[cli]"' in result.stderr
    assert "Traceback" not in result.stderr


def test_without_the_model_what_is_stored_is_told_and_why_the_rest_waits(tmp_path, path, talk):
    program = (
        "import sys; sys.modules['embedded_db_minilm'] = None\n"
        "from embedded_db.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "import", str(talk), "--db", str(path), "--wait"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert result.returncode == 32, result.stderr
    assert result.stdout.startswith("messages")
    # Vector and entities of three messages, and the summary of their chat, which tells vectors.
    assert "7 jobs wait for the model: " in result.stderr
    assert "not installed" in result.stderr
    assert "They go on by themselves once it can be used" in result.stderr


def test_a_command_without_a_model_of_its_own_does_not_change_that_of_a_database(
    run, path, config, tmp_path
):
    from embedded_db import MLConfig

    pytest.importorskip("embedded_db_minilm")
    file = tmp_path / "talk.jsonl"
    file.write_text("\n".join(map(json.dumps, RECORDS)))
    models = MLConfig(embedding="hashing", entities=None, summary=None)
    with EmbeddedDB(path, ml=models) as db:
        db.create_message("chat", "text")
        db.flush(timeout=60)
    done = run("import", file, "--db", path, db=False)
    assert done.returncode == 13, done.stderr
    assert "embed them all again" in " ".join(done.stderr.split())
    config.write_text('[ml]\nembedding = "hashing"\n')
    assert run("import", file).returncode == 0
    with EmbeddedDB(path, ml=None) as db:
        assert [space["state"] for space in db.spaces()] == ["in use"]
