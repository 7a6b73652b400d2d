"""Tokens in numbers: how long one takes, how long a million, and what they take in memory.

    python examples/python/token_batch_performance.py [--tokens N]

Times are the medians of several goes.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from embedded_db import Token, TokenArray


def seconds(call: Callable[[], object], goes: int = 7) -> float:
    """Median time of a call."""
    times = []
    for _ in range(goes):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def shown(what: str, time: float, each: int) -> None:
    print(f"{what:<42} {time * 1e3:9.2f} ms {time / each * 1e9:9.0f} ns each")


def made_one_by_one(count: int) -> None:
    for number in range(count):
        Token(number)


def cloned(token: Token, count: int) -> None:
    for _ in range(count):
        token.clone()


def read_in_order(tokens: TokenArray) -> float:
    return sum(token.weight for token in tokens)


def read_at(tokens: TokenArray, places: list[int]) -> float:
    return sum(tokens[place].weight for place in places)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure tokens.")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    count = parser.parse_args().tokens
    some = min(count, 200_000)

    tokens = Token.create_batch(count)
    array = tokens.to_numpy()
    print(
        f"{count:,} tokens, {array.itemsize} bytes each, {array.nbytes / 1e6:.1f} MB in one piece"
    )
    print(f"a single one is an object of {sys.getsizeof(tokens[0])} bytes\n")

    shown("Token.create_batch", seconds(lambda: Token.create_batch(count)), count)
    shown("Token(id), one by one", seconds(lambda: made_one_by_one(some)), some)
    shown("token.clone(), one by one", seconds(lambda: cloned(tokens[0], some)), some)
    shown("tokens.clone(), all", seconds(tokens.clone), count)
    shown("read in order", seconds(lambda: read_in_order(tokens[:some])), some)
    places = random.Random(7).choices(range(count), k=some)
    shown("read at random", seconds(lambda: read_at(tokens, places)), some)
    shown("summed by NumPy", seconds(array["weight"].sum), count)

    tokens.coordinates[:] = np.linspace(-1, 1, 8, dtype=np.float32)
    shared = tokens[count // 2 :]
    assert np.shares_memory(shared.to_numpy(), array)
    assert shared[0].physical == -1.0
    assert shared[0].abstract == 1.0
    assert TokenArray.from_bytes(shared.to_bytes()) == shared
    print("\nNumPy, slices and tokens share one memory; bytes give the same tokens back.")


if __name__ == "__main__":
    main()
