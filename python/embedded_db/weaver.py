"""The background worker's own controls."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import EnrichmentFailed, InvalidInput, ReadOnly, Timeout, is_one_of, nearest, shown
from .progress import ProgressBar

if TYPE_CHECKING:
    from .database import EmbeddedDB
    from .models import Status

__all__ = ["Weaver"]

SLICE = 0.2


class Weaver:
    """What went wrong in the background, and how to go on; reached as ``db.weaver``.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> model = FakeModel()
        >>> model.fail("raise")
        >>> woven = EmbeddedDB(":memory:", ml=model, weaver={"max_attempts": 1})
        >>> message = woven.create_chat().add_message("Alice met Bob")
        >>> try:
        ...     woven.flush(timeout=30)
        ... except EnrichmentFailed:
        ...     letters = {letter["job"]: letter for letter in woven.weaver.dead_letters()}
        >>> letters["embedding"]["id"] == message.id, letters["embedding"]["error"]
        (True, 'ModelFailure: enrich fails because the test says so')
        >>> model.recover()
        >>> woven.weaver.retry_failed() > 0
        True
        >>> woven.flush(timeout=30)
        >>> message.status.embedding
        'ready'
        >>> woven.weaver.pause()
        >>> late = message.chat.add_message("Later")
        >>> late.status.embedding
        'pending'
        >>> woven.weaver.resume()
        >>> woven.wait_for(late, "embedding", timeout=30).embedding
        'ready'
        >>> woven.close()
    """

    __slots__ = ("_parent",)

    def __init__(self, database: "EmbeddedDB") -> None:
        self._parent = database

    def dead_letters(self) -> list[dict[str, Any]]:
        """Give the work that was given up, with what failed.

        Returns:
            One dict each: ``namespace``, ``id`` (of the node), ``job``, ``error`` (one line),
            ``attempts``, ``traceback`` (empty when it was no exception).
        """
        return failures(self._parent)

    def retry_failed(self) -> int:
        """Queue all work that was given up once more.

        Returns:
            How many jobs were queued.
        """
        return self._parent._native.retry_failed()

    def pause(self) -> None:
        """Stop taking up work; what is running ends. Work goes on being recorded.

        Indexes are built and expired nodes deleted all the same.
        """
        self._parent._native.pause_weaver()

    def resume(self) -> None:
        """Take up work again."""
        self._parent._native.resume_weaver()

    def withdraw_proposals(self) -> int:
        """Take back all ties that the weaver has proposed between nodes of this namespace.

        These are the ``RELATED_TO`` edges with a ``confidence``. They are not proposed again until
        a node has another vector; ``WeaverConfig(curiosity=False)`` proposes none.

        Returns:
            How many there were.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> settings = {"activity_level": "SleepMode"}
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel(), weaver=settings)
            >>> one, other = woven.create_message("a", "tea"), woven.create_message("b", "tea")
            >>> woven.flush(timeout=30)
            >>> [tie] = woven.edges(one, "RELATED_TO", "both")
            >>> set(tie.sources) == {one.id, other.id}, round(tie.properties["confidence"], 2)
            (True, 1.0)
            >>> woven.weaver.withdraw_proposals(), list(woven.edges(one, "RELATED_TO", "both"))
            (1, [])
            >>> woven.close()
        """
        return self._parent._native.withdraw_proposals()

    def __repr__(self) -> str:
        return f"<Weaver of {self._parent!r}>"


def failures(database: "EmbeddedDB") -> list[dict[str, Any]]:
    """Give the work that was given up; see `Weaver.dead_letters`."""
    letters = []
    for failure in database._native.failures():
        error, _, traceback = failure["error"].partition("\n")
        letters.append({**failure, "error": error, "traceback": traceback})
    return letters


def flush(database: "EmbeddedDB", timeout: float | None, progress: bool) -> None:
    """Wait until no work is left; see `EmbeddedDB.flush`."""
    native = database._native
    if not isinstance(progress, bool):
        raise InvalidInput(f"progress is {shown(progress)}", hint="It has to be True or False")
    if native.read_only:
        raise ReadOnly(
            f"{database.path!r} is open for reading only, where nothing is enriched",
            hint="Wait in the process that writes, or open without read_only=True",
            path=database.path,
        )
    done = _wait_with_bar(database, timeout) if progress else native.wait_idle(timeout)
    if not done:
        status = database.weaver_status()
        raise Timeout(
            f"after {timeout} s there are {status['queue_size']} jobs left"
            f"{waiting_for_limits(status)}",
            hint=how_it_goes_on(status),
        )
    failed = failures(database)
    if failed:
        raise _enrichment_failed(database, failed)


def how_it_goes_on(status: dict[str, Any]) -> str:
    """Say what helps whoever has waited for nothing."""
    if status["paused"]:
        return "The weaver is paused, and takes up work after db.weaver.resume()"
    return "Wait longer; the work goes on"


def waiting_for_limits(status: dict[str, Any]) -> str:
    """Say which functions have taken what their `Limit` allows, for the end of a message."""
    waits = [
        f"{function} waits for {limit['waits_for']} until {limit['waits_until'].isoformat()}"
        for function, limit in status["limits"].items()
        if limit["waits_for"] is not None
    ]
    return "".join(f"; {wait}" for wait in waits)


def _enrichment_failed(
    database: "EmbeddedDB", failed: Sequence[dict[str, Any]]
) -> EnrichmentFailed:
    # Work without a node was not given up: it waits for a model that cannot be used.
    missing = [failure for failure in failed if failure["id"] is None]
    given_up = [failure for failure in failed if failure["id"] is not None]
    parts: list[str] = []
    hints: list[str] = []
    if missing:
        queued = int(database.weaver_status()["queue_size"])
        reason = missing[0]["error"].rstrip(".")
        parts.append(f"{queued} jobs wait for the model: {reason}")
        hints.append("They go on by themselves once it can be used")
    if given_up:
        first = given_up[0]
        parts.append(
            f"{len(given_up)} jobs were given up, the first on {first['id']!r} "
            f"({first['job']}): {first['error']}"
        )
        hints.append(
            "Mend the cause, then db.weaver.retry_failed(); db.weaver.dead_letters() has all"
        )
    return EnrichmentFailed("; ".join(parts), hint=". ".join(hints), failures=list(failed))


def _wait_with_bar(database: "EmbeddedDB", timeout: float | None) -> bool:
    native = database._native
    begun = time.monotonic()
    left = timeout
    most = 0
    with ProgressBar("enriching") as bar:
        while True:
            queued = int(database.weaver_status()["queue_size"])
            most = max(most, queued)
            bar.update(most - queued, most, "jobs")
            # In this order also what is no number of seconds is passed on, and refused.
            if native.wait_idle(SLICE if left is None else min(left, SLICE)):
                left_over = int(database.weaver_status()["queue_size"])  # for want of a model
                bar.update(most - left_over, most, "jobs")
                return True
            if timeout is not None:
                left = begun + timeout - time.monotonic()
                if left <= 0:
                    return False


def wait_for(database: "EmbeddedDB", id: str, artefact: str, timeout: float | None) -> "Status":
    """Wait for one artefact; see `EmbeddedDB.wait_for`."""
    known = database._status(id).to_dict()
    if not is_one_of(artefact, known):
        raise InvalidInput(
            f"{id!r} has no artefact {shown(artefact)}", hint=nearest(shown(artefact), known)
        )
    native = database._native
    try:
        ready = native.wait_for(id, artefact, timeout)
    except EnrichmentFailed as error:
        # Links are made of entities.
        jobs = {artefact, "entities"} if artefact == "links" else {artefact}
        concerned = [failure for failure in failures(database) if failure["job"] in jobs]
        node = (database.namespace_name, id)
        given_up = [each for each in concerned if (each["namespace"], each["id"]) == node]
        if given_up:
            hint = "Mend the cause, then db.weaver.retry_failed()"
        else:
            hint = "It goes on by itself once the model can be used"
        raise EnrichmentFailed(
            error.message.partition("\n")[0],
            hint=hint,
            failures=given_up or [each for each in concerned if each["id"] is None],
        ) from None
    if ready:
        return database._status(id)
    status = database.weaver_status()
    raise Timeout(
        f"the {artefact} of {id!r} was not ready after {timeout} s{waiting_for_limits(status)}",
        hint=how_it_goes_on(status),
    )
