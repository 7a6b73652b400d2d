"""Talk to the assistant: ``python -m examples.assistant [FOLDER]``, with Ctrl-D to end.

With ``--script`` it holds a conversation by itself.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from embedded_db import EmbeddedDB

from .assistant import Assistant
from .model import ScriptedModel

SCRIPT = (
    "Hello!",
    "Remember that the launch of Kestrel is on Friday",
    "Remember that Priya leads the design of Kestrel",
    "When is the launch of Kestrel?",
    "Who wrote the handbook?",
)
HANDBOOK = "The handbook was written by Tomek. It says that every launch needs a rehearsal."


def scripted(folder: str) -> None:
    """Hold the conversation of the script, and show what is kept."""
    with EmbeddedDB(folder) as db:
        assistant = Assistant(db, ScriptedModel(), user="Ann")
        print(f"The handbook has {assistant.read(HANDBOOK, 'handbook')} part(s).")
        for text in SCRIPT:
            show(assistant, text)
    with EmbeddedDB(folder) as db:  # another day
        assistant = Assistant(db, ScriptedModel(), user="Ann")
        print(f"Ann has {len(list(assistant.user.chats))} chats; known: {assistant.known()}")
        show(assistant, "Who leads the design of Kestrel?")
        print(f"Forgotten: {assistant.forget('handbook')} nodes of the handbook.")
        show(assistant, SCRIPT[-1])


def show(assistant: Assistant, text: str) -> None:
    """Say something, and print it with the answer."""
    print(f"{assistant.user.name}: {text}\nassistant: {assistant.say(text).content}")


def talk(folder: str) -> None:
    """Answer line by line."""
    with EmbeddedDB(folder) as db:
        assistant = Assistant(db, ScriptedModel(), user="you")
        for line in sys.stdin:
            if line.strip():
                print(assistant.say(line.strip()).content)


def main(arguments: list[str]) -> None:
    if "--script" in arguments:
        with TemporaryDirectory() as folder:
            scripted(str(Path(folder) / "memory.db"))
    else:
        talk(arguments[0] if arguments else "assistant.db")


if __name__ == "__main__":
    main(sys.argv[1:])
