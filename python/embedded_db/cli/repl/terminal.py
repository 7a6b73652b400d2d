"""Lines typed on a terminal: history, completion, colours."""

import os
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from ...errors import DbError
from ...libraries import library
from .. import output
from .answers import show, show_error
from .commands import COMMANDS
from .session import Session

library("prompt_toolkit", "the REPL on a terminal", '"embedded-db[repl]"')

from prompt_toolkit import PromptSession  # noqa: E402
from prompt_toolkit.completion import CompleteEvent, Completer, Completion  # noqa: E402
from prompt_toolkit.document import Document  # noqa: E402
from prompt_toolkit.history import FileHistory, History, InMemoryHistory  # noqa: E402

__all__ = ["converse"]

LOOKED_AT: Final = 2_000
"""Nodes whose ids and labels are offered before they were seen."""
WITH_IDS: Final = {"/node", "/path"}


def converse(session: Session, path: Path, *, keep_history: bool) -> None:
    """Read lines and answer them until Ctrl-D or ``/quit``."""
    prompts: PromptSession[str] = PromptSession(
        history=_history() if keep_history else InMemoryHistory(),
        completer=Names(session),
        complete_while_typing=False,
        enable_history_search=True,
    )
    colour = "" if "NO_COLOR" in os.environ else "ansicyan bold"
    name = output.clean(path.resolve().name)
    output.note("/help lists the commands; y, n or c says whether an answer was right")
    while not session.ended:
        text = "right answer" if session.awaits_correction else name
        try:
            line = prompts.prompt([(colour, f"{text}> ")])
        except KeyboardInterrupt:
            session.awaits_correction = False
            continue
        except EOFError:
            return
        try:
            _answer(session, line)
        except KeyboardInterrupt:
            output.note("interrupted")


def _answer(session: Session, line: str) -> None:
    try:
        answer = session.answer(line)
        if answer is not None:
            show(answer, machine=False)
    except DbError as error:
        show_error(error, machine=False)
    sys.stdout.flush()


class Names(Completer):
    """Offers commands, ids and labels where they may stand."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ids: list[str] | None = None
        self._labels: list[str] = []

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Give what the word before the cursor may become."""
        text = document.text_before_cursor
        words = text.split(" ")
        word, before = words[-1], words[:-1]
        for offered in self._offered(before):
            if offered.startswith(word) and offered.isprintable() and " " not in offered:
                yield Completion(offered, start_position=-len(word))

    def _offered(self, before: list[str]) -> Iterable[str]:
        if not before:
            return [f"/{name}" for name in COMMANDS]
        self._look()
        if before[0] in WITH_IDS or before[-1] == "--from":
            return dict.fromkeys([*reversed(self._session.seen), *(self._ids or [])])
        if before[0] == "/query":
            if before[-1] == "--label":
                return self._labels
            return ["--label", "--where", "--from", "--hops", "--limit"]
        return []

    def _look(self) -> None:
        """Read some ids and labels, once."""
        if self._ids is None:
            try:
                nodes = list(islice(self._session.db.nodes(), LOOKED_AT))
            except DbError:  # what is wrong will be told when something is asked
                nodes = []
            self._ids = [node.id for node in nodes]
            self._labels = sorted({label for node in nodes for label in node.labels})


def _history() -> History:
    file = _state_directory() / "history"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        output.note(f"what you type is not kept: {error}")
        return InMemoryHistory()
    return FileHistory(str(file))


def _state_directory() -> Path:
    """Where programs of this user keep what is neither settings nor data."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        given = os.environ.get("XDG_STATE_HOME", "")
        base = given if os.path.isabs(given) else Path.home() / ".local" / "state"
    return Path(base) / "embedded-db"
