"""Measure queries in words beside SQLite's FTS5, in turns, and print every figure.

Texts of 8 to 40 words from a Zipf vocabulary whose words have English endings; the ten best are
wanted, with their ids. FTS5 stems too (``porter``), and has no misspelt words.

    python benches/texts.py [--messages N]
"""

import argparse
import random
import sqlite3
from collections.abc import Callable
from itertools import cycle

import numpy as np
from measuring import Row, median, processor, scratch
from run import word

from embedded_db import EmbeddedDB

VOCABULARY = 30_000
ENDINGS = ["", "", "", "s", "ed", "ing", "ation", "ness"]
STATEMENT = "select id from words where words match ? order by bm25(words) limit 10"


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(7)
    words = np.array([word(n) + ENDINGS[n % len(ENDINGS)] for n in range(VOCABULARY)])
    weights = 1 / np.arange(1, VOCABULARY + 1)
    drawn = rng.choice(words, size=(count, 40), p=weights / weights.sum())
    return [" ".join(row[: rng.integers(8, 41)]) for row in drawn]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    corpus = texts(arguments.messages)
    chance = random.Random(3)

    def neighbours(count: int) -> list[str]:
        words = chance.choice(corpus).split()
        at = chance.randrange(len(words) - count)
        return words[at : at + count]

    common = [word(n) + ENDINGS[n % len(ENDINGS)] for n in range(6)]
    kinds: list[tuple[str, Callable[[], tuple[str, str | None]]]] = []

    def kind(name: str, make: Callable[[], tuple[str, str | None]]) -> None:
        kinds.append((name, make))

    def bag() -> tuple[str, str | None]:
        words = neighbours(3)
        return " ".join(words), " OR ".join(words)

    def joined() -> tuple[str, str | None]:
        one, two = neighbours(2)
        return f"{one} AND {two}", f"{one} AND {two}"

    def phrase() -> tuple[str, str | None]:
        text = '"' + " ".join(neighbours(2)) + '"'
        return text, text

    def usual() -> tuple[str, str | None]:
        text = '"' + " ".join(chance.sample(common, 2)) + '"'
        return text, text

    def long() -> tuple[str, str | None]:
        text = '"' + " ".join(chance.sample(common, 4)) + '"'
        return text, text

    def without() -> tuple[str, str | None]:
        one, two = neighbours(2)
        return f"{one} -{two}", f"{one} NOT {two}"

    def prefix() -> tuple[str, str | None]:
        text = neighbours(1)[0][:4] + "*"
        return text, text

    def fuzzy(edits: int) -> tuple[str, str | None]:
        asked = neighbours(1)[0]
        return f"{asked[:2]}{asked[3:]}x~{edits}" if edits == 2 else f"{asked}x~1", None

    kind("three words", bag)
    kind("two words, AND", joined)
    kind("a word without another", without)
    kind("phrase of two neighbours", phrase)
    kind("phrase of two of the six commonest", usual)
    kind("phrase of four of them", long)
    kind("four letters *", prefix)
    kind("~1", lambda: fuzzy(1))
    kind("~2", lambda: fuzzy(2))
    print(f"{processor()}; {arguments.messages:,} texts; medians in turns")
    with scratch() as directory, EmbeddedDB(directory / "db", ml=None) as db:
        other = sqlite3.connect(directory / "other.db")
        other.execute("pragma journal_mode = wal")
        other.execute(
            "create virtual table words using fts5 (content, id unindexed, tokenize='porter')"
        )
        other.executemany(
            "insert into words values (?, ?)", [(t, str(n)) for n, t in enumerate(corpus)]
        )
        other.commit()
        for begin in range(0, len(corpus), 10_000):
            db.create_chat().add_messages([{"content": t} for t in corpus[begin : begin + 10_000]])
        db.compact()
        for name, make in kinds:
            asked = [make() for _ in range(arguments.rounds + 3)]
            ours, theirs = cycle(asked), cycle(asked)

            def ask(field: str = "query", asked: cycle = ours) -> None:
                for result in db.query(text_query={field: next(asked)[0]}):
                    _ = result.node.id

            def peer(asked: cycle = theirs) -> None:
                other.execute(STATEMENT, (next(asked)[1],)).fetchall()

            calls = [ask] if asked[0][1] is None else [ask, peer]
            if name == "three words":
                words = cycle(asked)
                calls.append(lambda asked=words: ask("text", asked))
            found = median(*calls, rounds=arguments.rounds)
            peers = ("SQLite FTS5", found[1]) if len(found) > 1 else ("", None)
            print(Row(name, found[0], "", *peers), flush=True)
            if len(found) > 2:
                print(Row(f"{name}, as text", found[2], "", *peers), flush=True)
        other.close()


if __name__ == "__main__":
    main()
