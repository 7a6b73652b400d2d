"""What embedding a hundred texts costs beside ONNX Runtime alone on the same batches.

The batches that the embedding makes are kept and given to the session of ONNX Runtime again, in
turns. What lies between the two is ours: tokens, sorting, batches, rows in their order. Times of
the processor count all threads, so that others on the machine matter little.

    python benches/embedding.py [--rounds N]
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable

from measuring import processor

from embedded_db.ml.embeddings import embedding_function
from embedded_db.ml.minilm import MiniLM
from embedded_db.ml_config import MLConfig

COUNT = 100
LENGTHS = (57, 10)
# One token each.
WORDS = "time year people way day man thing woman life child world school state family".split()
GOAL = 1.1


def texts(length: int) -> list[str]:
    """Texts of so many tokens, the first and the last of the model included."""
    chosen = random.Random(length)
    return [" ".join(chosen.choices(WORDS, k=length - 2)) for _ in range(COUNT)]


def cost(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of the processor, and of the clock."""
    used, begun = time.process_time(), time.perf_counter()
    call()
    return 1000 * (time.process_time() - used), 1000 * (time.perf_counter() - begun)


def batches(model: MiniLM, given: list[str]) -> list[tuple[object, object]]:
    """What the encoder is given for some texts."""
    kept: list[tuple[object, object]] = []
    encoder = model.load().encoder
    run = encoder.run

    def keep(ids, mask, *, hidden):  # type: ignore[no-untyped-def]
        kept.append((ids, mask))
        return run(ids, mask, hidden=hidden)

    encoder.run = keep  # type: ignore[method-assign]
    model.encode(model.tokenize(given, words=False), [True] * len(given))
    del encoder.run  # type: ignore[misc]
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}; medians of {rounds} in turns, ms")
    for precision, name in (("fp32", "minilm-onnx"), ("int8", "minilm-onnx-int8")):
        for threads in (1, 2):
            config = MLConfig(embedding=name, threads=threads)
            embed = embedding_function(config)
            model = MiniLM(precision, threads)
            for length in LENGTHS:
                given = texts(length)
                fed = batches(model, given)
                encoder = model.load().encoder

                def bare() -> None:
                    for ids, mask in fed:  # noqa: B023
                        encoder.run(ids, mask, hidden=False)  # type: ignore[arg-type] # noqa: B023

                def ours() -> None:
                    embed.parts(given)  # noqa: B023

                alone, all_of_it = [], []
                for _ in range(rounds + 1):
                    alone.append(cost(bare))
                    all_of_it.append(cost(ours))
                cpu = [statistics.median(used for used, _ in of[1:]) for of in (alone, all_of_it)]
                wall = [statistics.median(of[1] for of in runs[1:]) for runs in (alone, all_of_it)]
                ratio = statistics.median(
                    mine[0] / its[0] for its, mine in zip(alone[1:], all_of_it[1:], strict=True)
                )
                print(
                    f"{precision}, {threads} thread(s), {COUNT} texts of {length} tokens: "
                    f"processor {cpu[1]:.0f}, ONNX Runtime alone {cpu[0]:.0f}, ratio {ratio:.3f} "
                    f"(goal ≤ {GOAL}); wall {wall[1]:.0f}, {wall[0]:.0f}"
                )


if __name__ == "__main__":
    main()
