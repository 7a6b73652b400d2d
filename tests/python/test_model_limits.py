"""A function that is paid or shared takes no more than its owner allows; what is over waits.

The tests count what the functions were given. Nobody waits for a minute to pass: that no sixty
seconds see more than a limit is shown in `crates/weaver/src/limits/window.rs`.
"""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded_db import (
    Config,
    EmbeddedDB,
    EnrichmentFailed,
    InvalidInput,
    Limit,
    LimitReached,
    MLConfig,
    ModelUnavailable,
    QuotaExceeded,
    Timeout,
    WeaverConfig,
)


class Counting:
    """An embedding function that remembers what it was given."""

    dim = 3
    model = "counting"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails = False

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        if self.fails:
            raise RuntimeError("no answer")
        return [[float(len(text)), 1.0, 2.0] for text in texts]


def names(texts: list[str]) -> list[list[dict[str, Any]]]:
    return [
        [{"text": "Alice", "label": "PERSON", "start": 0, "end": 5}]
        if text.startswith("Alice")
        else []
        for text in texts
    ]


@pytest.fixture
def embed() -> Counting:
    return Counting()


@pytest.fixture
def opened(path: Path, embed: Counting) -> Iterator[Callable[..., EmbeddedDB]]:
    """Opens the same database, as often as a test likes, with limits of the embedding function."""
    last: list[EmbeddedDB] = []

    def open_with(batch_size: int = 64, read_only: bool = False, **limit: Any) -> EmbeddedDB:
        models = MLConfig(
            embedding=embed, entities=names, summary=None, limits={"embedding": Limit(**limit)}
        )
        options = Config(ml=models, weaver=WeaverConfig(batch_size=batch_size))
        last.append(EmbeddedDB(path, config=options, read_only=read_only))
        return last[-1]

    yield open_with
    for database in last:
        database.close()


def told(db: EmbeddedDB, count: int) -> None:
    db.create_chat(id="chat").add_messages(
        [{"id": f"m{number}", "content": f"Alice said {number:02}"} for number in range(count)]
    )


def until_it_waits(db: EmbeddedDB, function: str = "embedding") -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = db.weaver_status()
        limit = status["limits"][function]
        others = [job for job in ("entities", "links") if job != function]
        if limit["waits_for"] and not any(status["per_job"][job]["pending"] for job in others):
            return limit
        time.sleep(0.01)
    raise AssertionError(db.weaver_status())


@pytest.mark.parametrize(
    ("limit", "texts", "calls", "option"),
    [
        ({"texts_per_minute": 5}, 5, None, "texts_per_minute"),
        ({"calls_per_minute": 2}, 8, 2, "calls_per_minute"),
        ({"characters_per_minute": 6 * 13 + 9}, 6, None, "characters_per_minute"),
        ({"texts_per_minute": 20}, 18, None, "texts_per_minute"),
        (
            {"cost_per_1k_characters": 1000.0, "max_cost_per_day": 100.0},
            6,
            None,
            "max_cost_per_day",
        ),
    ],
    ids=["texts", "calls", "characters", "a tenth is left to queries", "cost"],
)
def test_no_more_is_taken_than_is_allowed_and_the_rest_waits(
    opened: Callable[..., EmbeddedDB],
    embed: Counting,
    limit: dict[str, Any],
    texts: int,
    calls: int | None,
    option: str,
) -> None:
    db = opened(batch_size=4, **limit)
    told(db, 30)
    before = datetime.now(UTC)
    waiting = until_it_waits(db)
    assert waiting["waits_for"] == option
    day = timedelta(days=1) if option == "max_cost_per_day" else timedelta(minutes=1)
    assert before < waiting["waits_until"] <= datetime.now(UTC) + day
    assert len(embed.texts) == texts == waiting["texts"]
    assert sum(map(len, embed.texts)) == waiting["characters"]
    assert calls in {None, len(embed.calls)}
    status = db.weaver_status()
    assert status["per_job"]["embedding"]["pending"] == 30 - texts
    assert status["per_job"]["embedding"]["failed"] == 0, "waiting is no failure"
    assert not db.weaver.dead_letters()
    assert status["per_job"]["entities"]["done"] == 30, "other functions go on"
    assert db.get_node("m29").status.embedding == "pending"  # type: ignore[union-attr]
    with pytest.raises(Timeout, match=f"embedding waits for {option} until"):
        db.flush(timeout=0.1)
    with pytest.raises(Timeout, match=option):
        db.wait_for("m29", "embedding", timeout=0.1)


def test_what_waits_for_a_day_goes_on_with_the_next(
    opened: Callable[..., EmbeddedDB], embed: Counting, clock: Any
) -> None:
    limit = {"cost_per_1k_characters": 1000.0, "max_cost_per_day": 40.0}
    db = opened(**limit)
    told(db, 4)
    until_it_waits(db)
    db.close()
    clock.move(86_400)
    db = opened(**limit)
    db.flush(timeout=60)
    assert db.weaver_status()["limits"]["embedding"]["cost_today"] == pytest.approx(26.0)
    db.close()
    clock.move(-86_400)
    db = opened(**limit)
    assert db.weaver_status()["limits"]["embedding"]["cost_today"] == pytest.approx(26.0), (
        "a clock that is set back begins no day"
    )
    assert len(embed.texts) == 4


def test_a_wait_ends_at_once_with_close(opened: Callable[..., EmbeddedDB], embed: Counting) -> None:
    db = opened(texts_per_minute=2)
    told(db, 5)
    until_it_waits(db)
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            db.flush()
        except BaseException as error:
            ended.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    begun = time.monotonic()
    db.close()
    waiter.join(30)
    assert not waiter.is_alive()
    assert time.monotonic() - begun < 20, "a minute is not waited for"
    assert len(ended) == 1
    db = opened(texts_per_minute=200)
    db.flush(timeout=60)
    assert sorted(embed.texts) == [f"Alice said {number:02}" for number in range(5)], "once each"


def test_a_query_at_the_limit_is_told_when(
    opened: Callable[..., EmbeddedDB], embed: Counting
) -> None:
    db = opened(texts_per_minute=2)
    told(db, 5)
    until_it_waits(db)
    asked = len(embed.texts)
    for ask in (
        lambda: db.query(semantic_query={"text": "who?"}),
        lambda: db.search("who?"),
    ):
        with pytest.raises(LimitReached, match="texts_per_minute=2") as caught:
            ask()
        error = caught.value
        assert isinstance(error, QuotaExceeded)
        assert error.retryable
        assert (error.function, error.option) == ("embedding", "texts_per_minute")
        assert (error.limit, error.used) == (2, 2)
        assert error.until is not None
        assert datetime.now(UTC) < error.until <= datetime.now(UTC) + timedelta(minutes=1)
        assert error.hint is not None
        assert "again at" in error.hint
    assert len(embed.texts) == asked, "nothing was called"
    assert db.query(semantic_query={"vector": [1.0, 1.0, 2.0]}).pending == 3
    assert len(db.search("Alice", weights={"semantic": 0})) > 0


def test_queries_count_and_have_a_tenth_for_themselves(
    opened: Callable[..., EmbeddedDB], embed: Counting
) -> None:
    db = opened(texts_per_minute=10)
    told(db, 12)
    until_it_waits(db)
    assert len(embed.texts) == 9
    db.query(semantic_query={"text": "who?"})
    assert db.weaver_status()["limits"]["embedding"]["texts"] == 10
    with pytest.raises(LimitReached):
        db.query(semantic_query={"text": "where?"})


def test_what_a_day_may_cost_is_known_after_a_restart(
    opened: Callable[..., EmbeddedDB], embed: Counting
) -> None:
    limit = {"cost_per_1k_characters": 1000.0, "max_cost_per_day": 40.0}
    db = opened(**limit)
    told(db, 5)
    assert until_it_waits(db)["cost_today"] == pytest.approx(26.0)
    db.query(semantic_query={"text": "x" * 14})
    db.close()
    db = opened(**limit)
    assert until_it_waits(db)["cost_today"] == pytest.approx(40.0)
    with pytest.raises(LimitReached, match="max_cost_per_day") as caught:
        db.query(semantic_query={"text": "x"})
    assert caught.value.until is not None
    midnight = (datetime.now(UTC) + timedelta(days=1)).date()
    assert caught.value.until.date() == midnight
    assert len(embed.texts) == 3, "two, and a question"


def test_a_call_that_fails_has_counted(opened: Callable[..., EmbeddedDB], embed: Counting) -> None:
    embed.fails = True
    db = opened(cost_per_1k_characters=1000.0, max_cost_per_day=1000.0)
    told(db, 1)
    while not db.weaver_status()["per_job"]["embedding"]["failed"]:
        time.sleep(0.01)
    assert db.weaver_status()["limits"]["embedding"]["cost_today"] >= 13


def test_a_text_that_no_call_may_hold_is_given_up_and_others_go_on(
    opened: Callable[..., EmbeddedDB], embed: Counting
) -> None:
    db = opened(characters_per_minute=500)
    db.create_chat(id="chat")
    db.create_message("chat", "x" * 501, id="long")
    told_before = db.create_message("chat", "short", id="short")
    with pytest.raises(EnrichmentFailed, match="characters_per_minute=500"):
        db.wait_for("long", "embedding", timeout=120)
    assert db.wait_for(told_before, "embedding", timeout=60).embedding == "ready"
    assert embed.texts.count("short") == 1
    with pytest.raises(InvalidInput, match="characters_per_minute=500"):
        db.query(semantic_query={"text": "x" * 501})


def test_who_only_reads_cannot_count_what_is_spent(
    opened: Callable[..., EmbeddedDB], path: Path
) -> None:
    limit = {"cost_per_1k_characters": 1.0, "max_cost_per_day": 100.0}
    db = opened(**limit)
    told(db, 1)
    db.flush(timeout=60)
    program = """
        import sys
        from embedded_db import EmbeddedDB, Limit, MLConfig, ModelUnavailable

        def embed(texts):
            print("called", flush=True)
            return [[1.0, 1.0, 2.0] for _ in texts]

        embed.dim, embed.model = 3, "counting"
        for most in (100.0, None):
            limit = Limit(cost_per_1k_characters=1.0, max_cost_per_day=most)
            models = MLConfig(embedding=embed, entities=None, limits={"embedding": limit})
            with EmbeddedDB(sys.argv[1], ml=models, read_only=True) as db:
                try:
                    print(len(db.query(semantic_query={"text": "who?"})))
                except ModelUnavailable as error:
                    print(error.hint)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert ended.stdout.splitlines() == [
        "give a vector, or set no max_cost_per_day here",
        "called",
        "1",
    ]
    assert ModelUnavailable.code == "ModelUnavailable"


KILLED = """
    import os, signal, sys
    from embedded_db import EmbeddedDB, Limit, MLConfig

    def embed(texts):
        os.kill(os.getpid(), signal.SIGKILL)

    embed.dim, embed.model = 3, "counting"
    limit = Limit(cost_per_1k_characters=1000.0, max_cost_per_day=1000.0)
    models = MLConfig(embedding=embed, entities=None, summary=None, limits={"embedding": limit})
    db = EmbeddedDB(sys.argv[1], ml=models)
    db.create_message("chat", "y" * 100)
    db.flush()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_what_was_spent_when_the_process_was_killed_is_spent(
    opened: Callable[..., EmbeddedDB], path: Path
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    for count in (1, 2):
        ended = subprocess.run(command, capture_output=True, check=False, timeout=120)
        assert ended.returncode == -signal.SIGKILL, (count, ended.stderr)
    db = opened(cost_per_1k_characters=1000.0, max_cost_per_day=210.0)
    # The first call held one text, each later one both of them or one: all of it has counted.
    assert db.weaver_status()["limits"]["embedding"]["cost_today"] >= 200


INTERRUPTED = """
    import sys
    from embedded_db import EmbeddedDB, Limit, MLConfig

    models = MLConfig(
        embedding="hashing", entities=None, summary=None,
        limits={"embedding": Limit(texts_per_minute=1)},
    )
    db = EmbeddedDB(sys.argv[1], ml=models)
    for number in range(3):
        db.create_message("chat", f"text {number}")
    print("waits", flush=True)
    try:
        db.flush()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    db.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C goes to whole groups there")
def test_ctrl_c_ends_a_wait(path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waits\n"
        time.sleep(0.3)
        begun = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        assert waiting.stdout.read() == "interrupted\n"
        assert waiting.wait(30) == 0
        assert time.monotonic() - begun < 20, "a minute is not waited for"


def test_summaries_have_limits_of_their_own(path: Path, embed: Counting) -> None:
    made: list[int] = []

    def summarize(messages: list[str]) -> str:
        made.append(len(messages))
        return "a summary"

    models = MLConfig(
        embedding=embed,
        entities=names,
        summary=summarize,
        limits={"summary": Limit(calls_per_minute=1)},
    )
    with EmbeddedDB(path, ml=models) as db:
        for chat in ("one", "two"):
            db.create_message(chat, "Alice met Bob")
        waiting = until_it_waits(db, "summary") if _drains(db) else {}
        assert waiting["waits_for"] == "calls_per_minute"
        assert made == [1]
        db.create_message("one", "Alice left")
        assert db.query(semantic_query={"text": "Alice"}, limit=5) is not None
        assert len(embed.texts) >= 2


def _drains(db: EmbeddedDB) -> bool:
    with pytest.raises(Timeout, match="summary waits for calls_per_minute"):
        db.flush(timeout=5)
    return True


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"embeding": Limit()}, "Did you mean 'embedding'"),
        ({"embedding": {"call_per_minute": 3}}, "Did you mean 'calls_per_minute'"),
        ({"embedding": 3}, "Give a Limit, or a dict"),
        (3, "limits is 3"),
        ({"summary": {"calls_per_minute": 0}}, "calls_per_minute is 0"),
        ({"summary": {"texts_per_minute": 1.5}}, "texts_per_minute is 1.5"),
        ({"summary": {"characters_per_minute": True}}, "characters_per_minute is True"),
        ({"entities": {"cost_per_1k_characters": -1}}, "cost_per_1k_characters is -1"),
        ({"entities": {"cost_per_1k_characters": float("nan")}}, "is nan"),
        ({"embedding": {"max_cost_per_day": 1.0}}, "Give cost_per_1k_characters"),
        ({"embedding": {"cost_per_1k_characters": 1, "max_cost_per_day": 0}}, "above 0"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(limits: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        MLConfig(limits=limits)


def test_limits_stand_in_files_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[ml]\nembedding = "hashing"\n[ml.limits.embedding]\ntexts_per_minute = 7\n')
    config = Config.from_file(file)
    assert isinstance(config.ml, MLConfig)
    assert config.ml.limits == {"embedding": Limit(texts_per_minute=7)}
    assert hash(config.ml) is not None


def test_without_limits_there_is_nothing_to_tell(path: Path) -> None:
    with EmbeddedDB(path, ml=MLConfig(embedding="hashing", entities=None)) as db:
        assert db.weaver_status()["limits"] == {}
    assert not (path / "spent").exists()
