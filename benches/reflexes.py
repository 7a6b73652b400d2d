"""What tokens and reflexes cost, from Python.

Of lookups in Rust, by threads that run at the same time:
`cargo run --release -p embedded-db-reflex --example lookup`.
"""

import random
import statistics
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measuring import Row, median, timed
from writing import THREADS, in_threads

from embedded_db import IntuitionEngine, Token
from embedded_db.tokens import TOKEN_DTYPE

COUNT = 1_000_000
REFLEXES = 50_000
SOME = 1_000


def tokens(_directory: Path) -> Iterator[Row]:
    """Tokens one by one and in batches, beside structured arrays that NumPy makes alone."""

    def by_numpy() -> npt.NDArray[np.void]:
        array = np.zeros(COUNT, TOKEN_DTYPE)
        array["id"] = np.arange(COUNT, dtype=np.uint64)
        array["weight"] = array["version"] = 1
        array["created_at"] = array["updated_at"] = np.datetime64("now", "us")
        return array

    ours, theirs = median(lambda: Token.create_batch(COUNT), by_numpy, rounds=15)
    batch = Token.create_batch(COUNT)
    array = batch.to_numpy()
    note = f"{array.itemsize} bytes each"
    yield Row("Token.create_batch(1,000,000)", ours, "≤ 20 ms", "NumPy", theirs, note)

    def singles() -> None:
        for number in range(SOME):
            Token(number)

    def clones() -> None:
        for _ in range(SOME):
            one.clone()

    one = Token(42)
    single, clone = median(singles, clones, rounds=200)
    yield Row("Token(id)", single / SOME, "≤ 250 ns")
    yield Row("token.clone()", clone / SOME)
    some = batch[:SOME]
    of_numpy = array[:SOME]
    places = random.Random(7).choices(range(COUNT), k=SOME)
    ours, theirs, at_random, at_random_theirs = median(
        lambda: [token.id for token in some],
        lambda: [row["id"] for row in of_numpy],
        lambda: [batch[place].id for place in places],
        lambda: [array[place]["id"] for place in places],
        rounds=200,
    )
    yield Row("a token read in order, its id", ours / SOME, "", "NumPy", theirs / SOME)
    yield Row("at random", at_random / SOME, "", "NumPy", at_random_theirs / SOME)
    ours, theirs = median(batch.clone, array.copy, rounds=15)
    yield Row("clone() of a million", ours, "", "NumPy", theirs)


def reflexes(_directory: Path) -> Iterator[Row]:
    """Lookups among 50,000 reflexes, beside a dict under a lock."""
    engine = IntuitionEngine.create(capacity=REFLEXES)
    lock, answers = threading.Lock(), {}
    keys = [f"what did Ann say about topic {number:05}?" for number in range(REFLEXES)]
    for key in keys:
        engine.learn(key, key.upper(), 0.9)
        answers[key] = key.upper()
    hot = keys[:100] * (SOME // 100)

    def by_reflex(asked: list[str]) -> None:
        lookup = engine.lookup
        for key in asked:
            lookup(key)

    def by_dict(asked: list[str]) -> None:
        get = answers.get
        for key in asked:
            with lock:
                get(key)

    times = median(lambda: by_reflex(hot), lambda: by_dict(hot), rounds=300)
    ours, theirs = (time / SOME for time in times)
    yield Row("reflex lookup, 100 keys in turn", ours, "≤ 200 ns", "dict + lock", theirs)
    pick, samples = random.Random(7), {by_reflex: [], by_dict: []}
    for _ in range(300):
        for ask, sample in samples.items():
            # Texts that somebody has just written: in the caches, and not hashed yet.
            asked = [f"what did Ann say about topic {pick.randrange(REFLEXES):05}?" for _ in hot]
            sample.append(timed(lambda ask=ask, asked=asked: ask(asked)) / SOME)
    ours, theirs = map(statistics.median, samples.values())
    yield Row("any of 50,000, new texts", ours, "≤ 200 ns", "dict + lock", theirs)
    rates = [in_threads(THREADS, 2.0, lambda ask=ask: ask(hot)) for ask in (by_reflex, by_dict) * 2]
    ours, theirs = (2e6 / SOME / (rates[at] + rates[at + 2]) for at in (0, 1))
    note = "wall time, all threads together"
    yield Row(f"100 keys, {THREADS} threads", ours, "≤ 200 ns", "dict + lock", theirs, note)
    new = [f"new {number}" for number in range(200 * SOME)]
    batches = iter(new[at : at + SOME] for at in range(0, len(new), SOME))

    def learn() -> None:
        for key in next(batches):
            engine.learn(key, key, 0.9)

    (ours,) = median(learn, rounds=100)
    yield Row("learn, where another reflex leaves", ours / SOME)
    own = engine.stats()["avg_fast_path_time_ns"]
    note = "as stats() gives it"
    yield Row("the engine's own mean of lookups", own / 1000, "≤ 50 ns", note=note)


REFLEX: dict[str, Callable[[Path], Iterator[Row]]] = {"tokens": tokens, "reflexes": reflexes}
