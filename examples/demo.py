"""Import conversations, let the weaver enrich them, and look at what came of it.

python examples/demo.py             our own conversations, in examples/conversations
python examples/demo.py FILE        a file of yours: JSON Lines, LoCoMo or Apollo 13 JSON
"""

import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from embedded_db import Chat, DbError, EmbeddedDB, Entity, Message, Result
from embedded_db.importers import ImportProgress, import_file
from embedded_db.progress import ProgressBar

CONVERSATIONS = Path(__file__).parent / "conversations"
OUR_QUESTION = "When does the bakery open?"
TRIED = 12  # people among whom two with a path are looked for


def main(arguments: Sequence[str]) -> int:
    files = [Path(name) for name in arguments] or our_conversations()
    directory = Path(tempfile.mkdtemp(prefix="embedded-db-demo-")) / "memory.db"
    with EmbeddedDB(directory) as db:
        namespaces = import_all(db, files)
        enrich(db)
        largest = max(
            (db.namespace(name) for name in namespaces), key=lambda one: one.count("Message")
        )
        show(largest, OUR_QUESTION if not arguments else None)
        print(f"\nThe database lies in {db.path}")
    print(f"Look around: embedded-db stats --db {directory}")
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
    print(f"Imported {messages:,} messages in {chats} chats: {seconds:.2f} s, {rate:,.0f} a second")
    return namespaces


def enrich(db: EmbeddedDB) -> None:
    queued = db.weaver_status()["queue_size"]
    begun = time.perf_counter()
    db.flush(progress=True)
    print(f"Enriched ({queued:,} jobs were waiting): {time.perf_counter() - begun:.1f} s")


def show(db: EmbeddedDB, question: str | None) -> None:
    people = sorted(
        (node for node in db.nodes("Entity") if isinstance(node, Entity)),
        key=lambda entity: (entity.entity_type != "PERSON", -entity.mention_count),
    )
    show_query(db, question or about(people))
    show_entities(db)
    show_path(db, people[:TRIED])
    show_summary(db)


def about(entities: Sequence[Entity]) -> str:
    """A question about what is talked of most."""
    return f"What about {entities[0].label}?" if entities else "What happened?"


def show_query(db: EmbeddedDB, question: str) -> None:
    heading(f"A converged query: {question!r}, in words and meaning")
    results = db.query(
        text_query={"text": question},
        semantic_query={"text": question},
        labels=["Message"],
        limit=5,
    )
    print(f"{'score':>6} {'meaning':>8} {'words':>6}")
    for result in results:
        print(
            f"{result.score:6.3f} {shown(result, 'similarity_score'):>8} "
            f"{shown(result, 'text_score'):>6}  {line(result.node)}"
        )


def shown(result: Result, leg: str) -> str:
    score = getattr(result, leg)
    return "–" if score is None else f"{score:.3f}"


def show_entities(db: EmbeddedDB) -> None:
    heading("What a message mentions")
    messages = (node for node in db.nodes("Message") if isinstance(node, Message))
    message = max(messages, key=lambda each: len(each.entities()), default=None)
    if message is None:
        print("There are no messages.")
        return
    print(line(message))
    for entity in message.entities():
        times = "once" if entity.mention_count == 1 else f"{entity.mention_count} times"
        print(f"  mentions {entity.label} ({entity.entity_type}), which is mentioned {times}")


def show_path(db: EmbeddedDB, people: Sequence[Entity]) -> None:
    heading("The shortest path between two people")
    paths = (
        db.find_shortest_path(one, other, edge_types=["MENTIONS"], max_hops=8)
        for one, other in combinations(people, 2)
    )
    longest = max((path for path in paths if path is not None), key=len, default=None)
    if longest is None:
        print("No two of them are connected.")
        return
    for node in longest.nodes:
        print(f"  {node.label}" if isinstance(node, Entity) else f"    {line(node)}")


def show_summary(db: EmbeddedDB) -> None:
    heading("What a chat was about: its summary, in its own words")
    chats = (node for node in db.nodes("Chat") if isinstance(node, Chat))
    for chat in chats:
        summary = chat.summary()
        if summary is not None:
            print(chat.title or chat.id)
            for sentence in summary.text.splitlines():
                print(f"  {sentence}")
            return
    print("There is no summary.")


def line(node: object, width: int = 96) -> str:
    if not isinstance(node, Message):
        return repr(node)
    text = " ".join(f"{node.sender or node.role}: {node.content}".split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except DbError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        sys.exit(1)
