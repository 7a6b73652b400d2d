"""Import conversations, let the weaver enrich them, and look at what came of it.

python examples/demo.py             our own conversations, in examples/conversations
python examples/demo.py FILE        a file of yours: JSON Lines, LoCoMo or Apollo 13 JSON
"""

import shlex
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from embedded_db import Chat, DbError, EmbeddedDB, Entity, Message, Result
from embedded_db.importers import ImportProgress, check_file, import_file
from embedded_db.progress import ProgressBar

CONVERSATIONS = Path(__file__).parent / "conversations"
WIDTH = 100
LINES = 3  # of a message in a list
HOPS = 2
TRIED = 6  # people among whom two with a path are looked for
LOOKED_AT = 200  # messages about somebody, in which a second name is looked for


@dataclass(frozen=True)
class Tour:
    """What is shown of a database; what is None is chosen from what it holds."""

    question: str | None = None
    about: str | None = None
    message: str | None = None
    between: tuple[str, str] | None = None


OURS = Tour(
    question="Who carved the wooden heron on Priya's lectern?",
    about="Baltasar",  # as the heron is called
    message="msg-books-016",
    between=("Kenji", "Ollie"),
)


def main(arguments: Sequence[str]) -> int:
    files = [Path(name) for name in arguments] or our_conversations()
    for file in files:
        check_file(file)
    directory = Path(tempfile.mkdtemp(prefix="embedded-db-demo-")) / "memory.db"
    with EmbeddedDB(directory) as db:
        namespaces = import_all(db, files)
        enrich(db)
        largest = max(
            (db.namespace(name) for name in namespaces), key=lambda one: one.count("Message")
        )
        show(largest, Tour() if arguments else OURS)
        print(f"\nThe database lies in {db.path}")
    print(f"Look around: {command()} stats --db {shlex.quote(str(directory))}")
    return 0


def our_conversations() -> list[Path]:
    return [
        file for file in sorted(CONVERSATIONS.glob("*.jsonl")) if file.name != "questions.jsonl"
    ]


def import_all(db: EmbeddedDB, files: Iterable[Path]) -> list[str]:
    messages = chats = 0
    seconds = 0.0
    namespaces: list[str] = []
    for file in files:
        with ProgressBar(f"importing {file.name}") as bar:

            def draw(at: ImportProgress, bar: ProgressBar = bar) -> None:
                bar.update(at.bytes_read, at.bytes_total, "bytes")

            report = import_file(db, file, progress=draw)
        messages += report.messages
        chats += report.chats
        seconds += report.seconds
        namespaces += [name for name in report.namespaces if name not in namespaces]
    rate = messages / seconds if seconds else 0.0
    print(
        f"Imported {messages:,} messages in {chats} {'chat' if chats == 1 else 'chats'}: "
        f"{seconds:.2f} s, {rate:,.0f} a second"
    )
    return namespaces


def enrich(db: EmbeddedDB) -> None:
    queued = db.weaver_status()["queue_size"]
    begun = time.perf_counter()
    db.flush(progress=True)
    print(f"Enriched ({queued:,} jobs were waiting): {time.perf_counter() - begun:.1f} s")


def show(db: EmbeddedDB, tour: Tour) -> None:
    entities = sorted(
        (node for node in db.nodes("Entity") if isinstance(node, Entity)),
        key=lambda entity: (entity.entity_type != "PERSON", -entity.mention_count),
    )
    show_query(db, tour, entities)
    show_entities(db, tour)
    show_path(db, tour, entities)
    show_summary(db)


def show_query(db: EmbeddedDB, tour: Tour, entities: Sequence[Entity]) -> None:
    about = named(entities, tour.about) or next(iter(entities), None)
    question = tour.question or question_about(db, about)
    heading(f"A converged query: {question}")
    near = "" if about is None else f", within {HOPS} hops of {about.label}"
    print(f"Messages by meaning and words{near}:\n")
    results = db.query(
        text_query={"text": question},
        semantic_query={"text": question},
        graph_filter=None if about is None else {"start": about, "max_hops": HOPS},
        labels=["Message"],
        limit=4,
    )
    print(f"{'score':>6} {'meaning':>8} {'words':>7} {'hops':>5}")
    for result in results:
        scores = (
            f"{result.score:6.3f} {shown(result, 'similarity_score'):>8} "
            f"{shown(result, 'text_score'):>7} {shown(result, 'graph_distance', 0):>5}  "
        )
        print(wrapped(line(result.node), scores, lines=LINES))


def named(entities: Iterable[Entity], label: str | None) -> Entity | None:
    return next((entity for entity in entities if entity.label == label), None)


def question_about(db: EmbeddedDB, entity: Entity | None) -> str:
    """A question about somebody much talked of, and what is named together with them above all."""
    if entity is None:
        return "What happened?"
    together: Counter[Entity] = Counter()
    for message in db.neighbors(entity, "MENTIONS", "in", limit=LOOKED_AT):
        if isinstance(message, Message):
            together.update(message.entities())
    others = [other for other in together if distinct(other.label, [entity.label])]
    # What is named everywhere says little about anybody.
    other = max(others, key=lambda each: together[each] ** 2 / each.mention_count, default=None)
    return f"What about {entity.label}{f' and {other.label}' if other else ''}?"


def distinct(name: str, others: Iterable[str]) -> bool:
    """Whether no name is part of the other, as a first name is of the full one."""
    name = name.casefold()
    return not any(name in other or other in name for other in map(str.casefold, others))


def shown(result: Result, leg: str, digits: int = 3) -> str:
    score = getattr(result, leg)
    return "–" if score is None else f"{score:.{digits}f}"


def show_entities(db: EmbeddedDB, tour: Tour) -> None:
    heading("What a message mentions")
    message = db.get_node(tour.message) if tour.message else None
    if not isinstance(message, Message) or not message.entities():
        messages = [node for node in db.nodes("Message") if isinstance(node, Message)]
        short = (each for each in messages if len(each.content) < 200)
        message = next((each for each in short if 2 <= len(each.entities()) <= 4), None)
        message = message or max(messages, key=lambda each: len(each.entities()), default=None)
    if message is None:
        print("There are no messages.")
        return
    print(wrapped(line(message)))
    for entity in message.entities():
        times = "once" if entity.mention_count == 1 else f"{entity.mention_count} times"
        print(
            f"  mentions {entity.label} ({entity.entity_type}), which is mentioned {times} in all"
        )


def show_path(db: EmbeddedDB, tour: Tour, entities: Sequence[Entity]) -> None:
    heading("The shortest path between two people")
    pair = [named(entities, label) for label in tour.between or ()]
    people = [entity for entity in pair if entity is not None]
    if len(people) < 2:
        people = most_mentioned(entities)
    paths = [
        path
        for one, other in combinations(people, 2)
        if (path := db.find_shortest_path(one, other, edge_types=["MENTIONS"], max_hops=8))
    ]
    if not paths:
        print("No two of them are connected.")
        return
    # Best with somebody in between: person, message, person, message, person.
    for node in min(paths, key=lambda path: abs(len(path.edges) - 4)).nodes:
        if isinstance(node, Entity):
            print(f"  {node.label}")
        else:
            print(wrapped(line(node), "      ", lines=2 * LINES))


def most_mentioned(entities: Iterable[Entity]) -> list[Entity]:
    people: list[Entity] = []
    for entity in entities:
        if entity.entity_type == "PERSON" and distinct(entity.label, [one.label for one in people]):
            people.append(entity)
        if len(people) == TRIED:
            break
    return people


def show_summary(db: EmbeddedDB) -> None:
    heading("What the largest chat was about: its summary, in its own words")
    chats = [node for node in db.nodes("Chat") if isinstance(node, Chat)]
    chats.sort(key=lambda chat: sum(1 for _ in chat.messages()), reverse=True)
    summaries = ((chat, chat.summary()) for chat in chats)
    for chat, summary in summaries:
        if summary is not None:
            print(chat.title or chat.id)
            for sentence in summary.text.splitlines():
                print(wrapped(sentence, "  "))
            return
    print("There is no summary.")


def line(node: object) -> str:
    if not isinstance(node, Message):
        return repr(node)
    return " ".join(f"{node.sender or node.role}: {node.content}".split())


def wrapped(text: str, start: str = "", lines: int | None = None) -> str:
    """The text in lines below each other, behind ``start``; at most so many of them."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        max_lines=lines,
        placeholder=" …",
        break_on_hyphens=False,
    )


def command() -> str:
    """The command that is installed beside this interpreter, as it is typed from here."""
    path = Path(sys.executable).parent / "embedded-db"
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except DbError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        sys.exit(1)
