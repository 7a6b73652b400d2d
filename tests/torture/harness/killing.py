"""Doing one thing again and again, and being killed at another of its calls each time."""

import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .processes import Child, Dead, Nursery
from .strace import CHANGES, Tracing, tracing

__all__ = ["Killing"]


@dataclass
class Killing:
    """What is done, to what, and what must be true afterwards.

    Attributes:
        nursery: where the children come from that do it.
        path: where they find the database.
        source: of what it is a fresh copy each time; there is none when left out.
        prepare: what a child does before its calls are counted.
        act: what it does then; whether that was acknowledged.
        examine: fails unless all is well, given whether it was acknowledged.
        calls: the calls at which it is killed.
    """

    nursery: Nursery
    path: Path
    source: Path | None
    prepare: Callable[[Child], None]
    act: Callable[[Child], bool]
    examine: Callable[[bool], None]
    calls: tuple[str, ...] = CHANGES

    def once(self, inject: str | None) -> tuple[Tracing, bool]:
        """Do it once, with a fault; whether it was acknowledged."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.source is not None:
            shutil.copytree(self.source, self.path)
        child = self.nursery.child()
        self.prepare(child)
        log = self.path.with_suffix(".strace")
        with tracing(child, log, self.calls, inject) as traced:
            acknowledged = self._acknowledged(child)
            status = child.end()
        assert status == (-signal.SIGKILL if traced.killed() else 0)
        self.examine(acknowledged)
        return traced, acknowledged

    def _acknowledged(self, child: Child) -> bool:
        try:
            return self.act(child)
        except Dead:
            return False

    def points(self) -> list[str]:
        """Each call that it makes, as strace takes it."""
        traced, acknowledged = self.once(None)
        assert acknowledged, "it is done when nobody is killed"
        return [
            f"{call}:signal=KILL:when={number}"
            for call, count in sorted(traced.calls().items())
            for number in range(1, count + 1)
        ]

    def sweep(self, most: int | None, *, exact: bool = True) -> None:
        """Be killed at every call, or at so many of them.

        Args:
            most: at how many; at every one when it is None.
            exact: whether it makes the same calls each time. What several threads do may take
                fewer, so that some points are not reached.
        """
        points = self.points()
        order = points if most is None else random.sample(points, len(points))
        wanted, killed, missed = most or len(points), 0, []
        for point in order:
            try:
                traced, _ = self.once(point)
            except AssertionError as error:
                raise AssertionError(f"killed at {point}:\n{error}") from error
            if traced.killed():
                killed += 1
            else:
                missed.append(point)
            if killed == wanted:
                break
        print(f"killed at {killed} of {len(points)} points")
        assert not missed or (not exact and killed > len(missed)), missed
