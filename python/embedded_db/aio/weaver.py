"""Written by scripts/make-async from `embedded_db.weaver`."""

from __future__ import annotations

from typing import Any

from ..weaver import Weaver
from .handles import Controls

__all__ = ["AsyncWeaver"]


class AsyncWeaver(Controls):
    """What went wrong in the background, and how to go on; reached as ``db.weaver``.

    Examples:
        >>> from embedded_db import AsyncEmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> model = FakeModel()
        >>> model.fail("raise")
        >>> woven = AsyncEmbeddedDB(":memory:", ml=model, weaver={"max_attempts": 1})
        >>> message = await (await woven.create_chat()).add_message("Alice met Bob")
        >>> try:
        ...     await woven.flush(timeout=30)
        ... except EnrichmentFailed:
        ...     letters = {letter["job"]: letter for letter in await woven.weaver.dead_letters()}
        >>> letters["embedding"]["id"] == message.id, letters["embedding"]["error"]
        (True, 'ModelFailure: enrich fails because the test says so')
        >>> model.recover()
        >>> await woven.weaver.retry_failed() > 0
        True
        >>> await woven.flush(timeout=30)
        >>> (await message.status()).embedding
        'ready'
        >>> await woven.weaver.pause()
        >>> late = await (await message.chat()).add_message("Later")
        >>> (await late.status()).embedding
        'pending'
        >>> await woven.weaver.resume()
        >>> (await woven.wait_for(late, "embedding", timeout=30)).embedding
        'ready'
        >>> await woven.close()
    """

    __slots__ = ()

    async def dead_letters(self) -> list[dict[str, Any]]:
        """Give the work that was given up, with what failed.

        Returns:
            One dict each: ``namespace``, ``id`` (of the node), ``job``, ``error`` (one line),
            ``attempts``, ``traceback`` (empty when it was no exception).
        """
        return await self._run(Weaver.dead_letters)

    async def retry_failed(self) -> int:
        """Queue all work that was given up once more.

        Returns:
            How many jobs were queued.
        """
        return await self._run(Weaver.retry_failed)

    async def pause(self) -> None:
        """Stop taking up work; what is running ends. Work goes on being recorded.

        Indexes are built and expired nodes deleted all the same.
        """
        await self._run(Weaver.pause)

    async def resume(self) -> None:
        """Take up work again."""
        await self._run(Weaver.resume)

    async def withdraw_proposals(self) -> int:
        """Take back all ties that the weaver has proposed between nodes of this namespace.

        These are the ``RELATED_TO`` edges with a ``confidence``. They are not proposed again until
        a node has another vector; ``WeaverConfig(curiosity=False)`` proposes none.

        Returns:
            How many there were.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> settings = {"activity_level": "SleepMode"}
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel(), weaver=settings)
            >>> one, other = (
            ...     await woven.create_message("a", "tea"),
            ...     await woven.create_message("b", "tea"),
            ... )
            >>> await woven.flush(timeout=30)
            >>> [tie] = [each async for each in woven.edges(one, "RELATED_TO", "both")]
            >>> set(tie.sources) == {one.id, other.id}, round(tie.properties["confidence"], 2)
            (True, 1.0)
            >>> (
            ...     await woven.weaver.withdraw_proposals(),
            ...     [each async for each in woven.edges(one, "RELATED_TO", "both")],
            ... )
            (1, [])
            >>> await woven.close()
        """
        return await self._run(Weaver.withdraw_proposals)
