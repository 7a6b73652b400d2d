"""What enriching messages costs beside the embedding model alone, whatever else the machine does.

Different utterances of Apollo 13 are enriched to the end (vectors, entities, relations, summary) by
the weaver, and embedded by the model alone in batches of the same size, in turns. Compared are the
times of the processor of the whole process: the weaver works at a low priority, so that on a busy
machine its wall says more of others. `apollo13.py` has the walls.

    python benches/enrichment.py [--texts N] [--rounds N]
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from apollo13 import BATCH, FILE, ROOT
from measuring import processor

from embedded_db import EmbeddedDB
from embedded_db.importers import import_file
from embedded_db.ml.providers import load_functions

GOAL = 0.9


def utterances(file: Path, count: int) -> list[tuple[str, str]]:
    """Senders and texts, no two the same, spread over the whole file."""
    with EmbeddedDB(":memory:", ml=None) as db:
        import_file(db, str(file))
        said = {(str(node["sender"]), str(node["content"])) for node in db.nodes("Message")}
    every = sorted(said)
    return every[:: max(1, len(every) // count)][:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    data = Path(os.environ.get("EMBEDDED_DB_DATA", ROOT.parent / "shared" / "data"))
    if not (data / FILE).exists():
        sys.exit(f"{data / FILE} is not there; EMBEDDED_DB_DATA names the data")
    said = utterances(data / FILE, given.texts)
    texts = [f"{sender}: {content}" for sender, content in said]
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}; {len(texts)} utterances")
    functions = load_functions()
    functions.warm_up()
    ratios = []
    for turn in range(given.rounds):
        used = time.process_time()
        for at in range(0, len(texts), BATCH):
            functions.embed(texts[at : at + BATCH])
        alone = time.process_time() - used
        with EmbeddedDB(":memory:", warm_up=False, weaver={"activity_level": "Normal"}) as db:
            first = db.create_message("first", "The models are loaded with this one")
            db.wait_for(first, "links")
            db.weaver.pause()
            messages = [{"sender": sender, "content": content} for sender, content in said]
            db.create_chat(id="chat").add_messages(messages)
            used, begun = time.process_time(), time.perf_counter()
            db.weaver.resume()
            db.flush()
            whole, wall = time.process_time() - used, time.perf_counter() - begun
        ratios.append(alone / whole)
        print(
            f"turn {turn + 1}: model alone {len(texts) / alone:.0f} texts a second of the "
            f"processor, enrichment {len(texts) / whole:.0f}, {alone / whole:.3f} ×; "
            f"wall {len(texts) / wall:.0f} a second"
        )
    print(f"median {statistics.median(ratios):.3f} × (goal ≥ {GOAL})")


if __name__ == "__main__":
    main()
