"""Written by scripts/make-async from `embedded_db.placing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..placing import NearToken, Placing, TokenField
from .twin import Twin

if TYPE_CHECKING:
    from .._native import Token, TokenArray
    from ..models import IdLike

__all__ = ["AsyncPlacing"]


class AsyncPlacing(Twin):
    """Where nodes lie on the eight axes."""

    async def tokens(self, space: str | None = None, *, organised: bool = False) -> TokenArray:
        """Give the token of every embedded node: its embedding, projected on the eight axes.

        A coordinate is the cosine of the embedding with the axis, from -1 to 1. An axis leads from
        the mean of some sixty short phrases to that of its own eight, as the model of the space
        embeds them; so the model is needed, when tokens are first asked for.

        Args:
            space: an embedding space whose model the database is opened with; that of the model
                in use when left out.
            organised: move the tokens along the edges first, so that what hangs together comes to
                lie together. In each of 24 rounds a token goes, 0.05 far at most, towards those
                that its node is tied to, over edges and over nodes that have no token, such as
                entities; back towards its projection; and out of a crowd. Edges carry as in
                `recall`; ``CONTAINS``, ``SUMMARIZES`` and ``GROUPS`` do not.

        Returns:
            The tokens in the order in which the nodes were made. A token's ``id`` is a number of
            its node, by which `token_ids` finds it; `compact` gives new ones. Its times are that
            of the embedding. An array of its own: what is written to it is not stored.

        Raises:
            NotFound: there is no such space.
            ModelUnavailable: the model of the space is not there.
            EnrichmentFailed: the model fails.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> message = await (await woven.create_chat()).add_message("Alice met Bob")
            >>> await woven.flush()
            >>> tokens = await woven.tokens()
            >>> len(tokens), tokens[0] == await woven.token(message)
            (1, True)
            >>> await woven.token_ids(tokens) == [message.id]
            True
            >>> await woven.close()
        """
        return await self._wait(Placing.tokens, space, organised=organised)

    async def token(self, node: IdLike, space: str | None = None) -> Token | None:
        """Give the token of a node.

        Args:
            node: the node.
            space: as in `tokens`.

        Returns:
            The token; None when the node is not embedded in the space.

        Raises:
            NotFound: there is no such node, or space.
            DbError: as `tokens`.

        Examples:
            >>> chat = await db.create_chat()
            >>> await db.token(chat) is None
            True
        """
        return await self._run(Placing.token, node, space)

    async def token_ids(self, tokens: TokenArray) -> list[str | None]:
        """Give the ids of the nodes that tokens are of.

        Args:
            tokens: some of those that `tokens` gave.

        Returns:
            The ids in the order of the tokens; None for a node that is not there any more.

        Raises:
            InvalidInput: it is no `TokenArray`.

        Examples:
            >>> await db.token_ids(await db.tokens())
            []
        """
        return await self._run(Placing.token_ids, tokens)

    async def near_tokens(
        self,
        to: IdLike | Token,
        limit: int = 10,
        space: str | None = None,
        *,
        organised: bool = False,
    ) -> list[NearToken]:
        """Find the nodes that lie nearest to a node or a token on the eight axes.

        All tokens are looked at. They are held in memory until something is written.

        Args:
            to: an embedded node, which is itself the nearest; or a token.
            limit: most results, 1 to 10,000.
            space: as in `tokens`.
            organised: as in `tokens`.

        Returns:
            The nodes, the nearest first.

        Raises:
            NotFound: there is no such node, or space.
            InvalidInput: the node is not embedded, or ``limit`` is out of range.
            DbError: as `tokens`.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> met, _ = await (await woven.create_chat()).add_messages(
            ...     [{"content": "Alice met Bob"}, {"content": "Rust is fast"}]
            ... )
            >>> await woven.flush()
            >>> nearest, other = await woven.near_tokens(met)
            >>> nearest.id == met.id, nearest.distance, other.distance > 0
            (True, 0.0, True)
            >>> await woven.close()
        """
        return await self._wait(Placing.near_tokens, to, limit, space, organised=organised)

    async def fields(
        self,
        min_size: int | None = None,
        max_levels: int = 8,
        space: str | None = None,
        *,
        organised: bool = True,
    ) -> list[TokenField]:
        """List the fields that nodes form on the eight axes, with those that they are parts of.

        The field of all nodes is parted in two by 2-means (Lloyd, 1982), begun on both sides of
        its mean along the direction in which it is widest, and so is each part, until parts would
        be too small. The same tokens give the same fields.

        Args:
            min_size: fewest nodes of a field; a 64th of all, and at least 8, when left out.
            max_levels: most fields that lie in each other, 1 to 64.
            space: as in `tokens`.
            organised: of the tokens as they have moved along the edges (see `tokens`); else of
                the mere projections.

        Returns:
            The fields, each before its parts; none when nothing is embedded.

        Raises:
            InvalidInput: a number is out of range.
            DbError: as `tokens`.

        Examples:
            >>> await db.fields()
            []
        """
        return await self._wait(Placing.fields, min_size, max_levels, space, organised=organised)
