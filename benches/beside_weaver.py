"""How long calls of the user's take while the weaver works, beside the same calls without a weaver.

Each way runs in a process of its own, all in turns: without models; with the default local model;
with a function that answers after a while, as a server does; with one that computes in Python and
so holds the interpreter. The weaver has a backlog that it does not come to the end of. Calls come
one by one with two milliseconds between them, as those of an application do.

Of a call in the background of a busy machine a part is the wait for a processor. Linux tells it for
each thread: the last column is without it, what the database and the interpreter are to blame for.

    python benches/beside_weaver.py [--rounds N] [--seconds N] [--backlog N] [--way WORD]
        [--levels LEVEL …]
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import processor, scratch, shown

from embedded_db import Config, EmbeddedDB, MLConfig, WeaverConfig

DIMENSION = 384
MESSAGES = 5_000
PAUSE = 0.002
VOCABULARY = [f"word{number}" for number in range(4_000)]


def answers_late(texts: Sequence[str]) -> np.ndarray:
    """As a server that is far away."""
    time.sleep(0.3)
    return np.ones((len(texts), DIMENSION), np.float32)


def computes(texts: Sequence[str]) -> np.ndarray:
    """Ten milliseconds a text, in Python."""
    end = time.perf_counter() + 0.01 * len(texts)
    number = 1
    while time.perf_counter() < end:
        number = number * 31 % 1_000_003
    return np.full((len(texts), DIMENSION), number, np.float32)


for function in (answers_late, computes):
    function.dim = DIMENSION  # type: ignore[attr-defined]

WAYS: dict[str, Callable[[], MLConfig | None]] = {
    "no weaver": lambda: None,
    "local model": MLConfig,
    "answers late": lambda: MLConfig(embedding=answers_late, entities=None, summary=None),
    "computes in Python": lambda: MLConfig(embedding=computes, entities=None, summary=None),
}


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(VOCABULARY, k=30))


def waited() -> float:
    """Microseconds that this thread has waited for a processor, as far as the system tells."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as stat:
            return int(stat.read().split()[1]) / 1000
    except OSError:
        return 0.0


def run(way: str, level: str, seconds: float, backlog: int, path: Path) -> dict[str, Any]:
    """Microseconds of each call, and how far the weaver came."""
    rng, numbers = random.Random(3), np.random.default_rng(3)
    vectors = numbers.standard_normal((MESSAGES, DIMENSION)).astype(np.float32)
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    weaver = WeaverConfig(activity_level=level)  # type: ignore[arg-type]
    with EmbeddedDB(path, config=Config(ml=WAYS[way](), weaver=weaver)) as db:
        weaves = way != "no weaver"
        if weaves:
            db.weaver.pause()
        chat = db.create_chat(id="chat")
        ids = [f"m{number}" for number in range(MESSAGES)]
        chat.add_messages([{"id": id, "content": text(rng), "sender": "Ann"} for id in ids])
        db.set_embeddings(ids, vectors)
        late = db.create_chat(id="late")
        late.add_messages([{"content": text(rng)} for _ in range(backlog)])
        if weaves:
            db.weaver.resume()
        calls: dict[str, Callable[[], object]] = {
            "add_message": lambda: chat.add_message(text(rng)),
            "get, and a property": lambda: db.get_node(rng.choice(ids))["content"],  # type: ignore[index]
            "query by vector": lambda: db.query(
                semantic_query={"vector": vectors[rng.randrange(MESSAGES)]}, limit=10
            ),
            "search by words": lambda: db.search(
                " ".join(rng.choices(VOCABULARY, k=3)), weights={"semantic": 0}
            ),
        }
        if way == "local model":
            calls["query by text"] = lambda: db.query(
                semantic_query={"text": " ".join(rng.choices(VOCABULARY, k=3))}, limit=10
            )
        for call in calls.values():
            for _ in range(5):
                call()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, call in calls.items():
                time.sleep(PAUSE)
                delay, begun = waited(), time.perf_counter_ns()
                call()
                took = (time.perf_counter_ns() - begun) / 1000
                times[name].append((took, max(took - (waited() - delay), 0.0)))
        jobs = db.weaver_status()["per_job"]["embedding"]
        left = {"done": jobs["done"], "pending": jobs["pending"]}
    return {"times": times, "left": left}


def percentile(sample: Sequence[float], share: float) -> float:
    return sorted(sample)[min(int(len(sample) * share), len(sample) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--backlog", type=int, default=20_000)
    parser.add_argument("--way", default="")
    parser.add_argument("--levels", nargs="+", default=["Auto"], help="of the weaver, in turns")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        with scratch() as directory:
            path, level = directory / "memory.db", given.levels[0]
            told = run(given.child, level, given.seconds, given.backlog, path)
        print(json.dumps(told))
        return
    print(f"{processor()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f}")
    print(" ".join(sys.argv))
    # Without a weaver there is no level.
    kinds = {
        f"{way}, {level}" if way != "no weaver" and len(given.levels) > 1 else way: (way, level)
        for way in WAYS
        for level in given.levels
        if given.way in way
    }
    ways = list(kinds)
    times: dict[str, dict[str, list[tuple[float, float]]]] = {
        way: defaultdict(list) for way in ways
    }
    done = dict.fromkeys(ways, 0)
    for _ in range(given.rounds):
        for name, (way, level) in kinds.items():
            options = ["--seconds", str(given.seconds), "--backlog", str(given.backlog)]
            options += ["--levels", level]
            command = [sys.executable, __file__, "--child", way, *options]
            told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            for call, sample in told["times"].items():
                times[name][call] += sample
            done[name] += told["left"]["done"]
            if way != "no weaver" and not told["left"]["pending"]:
                print(f"{way}: the backlog was too short, give a larger --backlog")
    print(f"{'':<32}{'':<22}{'calls':>7}{'p50':>12}{'p99':>12}{'longest':>12}{'p99, own':>12}")
    for way in ways:
        for name, sample in times[way].items():
            took, own = zip(*sample, strict=True)
            figures = [percentile(took, 0.5), percentile(took, 0.99), max(took)]
            figures.append(percentile(own, 0.99))
            line = "".join(f"{shown(figure):>12}" for figure in figures)
            print(f"{way:<32}{name:<22}{len(sample):>7}{line}")
        print(f"{way:<32}{done[way] / given.rounds / given.seconds:.0f} messages embedded a second")


if __name__ == "__main__":
    main()
