"""An assistant that answers at once what it was asked before, and learns from what people say.

python examples/python/intuition_simple.py
"""

import time

from embedded_db import IntuitionConfig, IntuitionEngine

FACTS = {
    "who leads kestrel?": "Tomek",
    "when is the launch?": "on Friday",
    "where is the key?": "under the mat",
}


def thought_out(question: str) -> str:
    """What a model or a search would take its time for."""
    time.sleep(0.02)
    return FACTS.get(question, "I do not know")


def answer(engine: IntuitionEngine, question: str) -> tuple[str, str]:
    """The answer, and where it came from."""
    known = engine.lookup(question)
    if known is not None:
        return known, "reflex"
    found = thought_out(question)
    engine.learn(question, found, confidence=0.85)
    return found, "thought out"


def ask(engine: IntuitionEngine, question: str) -> None:
    begun = time.perf_counter()
    text, source = answer(engine, question)
    taken = (time.perf_counter() - begun) * 1e6
    print(f"{question:<22} {text:<14} {source:<12} {taken:10.1f} µs")


def main() -> None:
    engine = IntuitionEngine.create(config=IntuitionConfig(min_confidence=0.8), capacity=50_000)
    for _ in range(2):
        for question in FACTS:
            ask(engine, question)

    print("\nA reader says that the key is there (y), and that Priya leads Kestrel (c).")
    print(f"sure of the key: {engine.feedback('where is the key?', 'y'):.2f}")
    print(f"sure of Priya: {engine.feedback('who leads kestrel?', 'c', correction='Priya'):.2f}")
    ask(engine, "who leads kestrel?")

    print("\nThe launch was put off: twice no (n).")
    for _ in range(2):
        print(f"sure of Friday: {engine.feedback('when is the launch?', 'n'):.2f}")
    FACTS["when is the launch?"] = "on Monday"
    ask(engine, "when is the launch?")
    ask(engine, "when is the launch?")

    print()
    for name, value in engine.stats().items():
        print(f"{name:<24} {value:.1f}" if isinstance(value, float) else f"{name:<24} {value}")


if __name__ == "__main__":
    main()
