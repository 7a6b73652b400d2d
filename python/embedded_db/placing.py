"""Where nodes lie on the eight axes of tokens, and the fields that they form."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ._native import Token, TokenArray
from .arguments import flag_argument, natural_argument
from .errors import InvalidInput, shown
from .models import IdLike, id_of
from .tokens import AXES

if TYPE_CHECKING:
    from ._native import Database as NativeDatabase

__all__ = ["NearToken", "Placing", "TokenField"]

MOST: Final = 10_000
MOST_LEVELS: Final = 64
MOST_NODES: Final = 2**32


class NearToken(NamedTuple):
    """A node that lies near something on the eight axes.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> message = woven.create_chat().add_message("Alice met Bob")
        >>> woven.flush()
        >>> [near] = woven.near_tokens(message)
        >>> near.id == message.id, near.token == woven.token(message), near.distance
        (True, True, 0.0)
        >>> woven.close()
    """

    id: str
    """The id of the node."""
    token: Token
    """Its token."""
    distance: float
    """How far it is: 0 is the same place."""


@dataclass(frozen=True, slots=True)
class TokenField:
    """Some nodes that lie together on the eight axes.

    Attributes:
        number: its place in the list.
        parent: the number of the field that it is a part of; None for that of all nodes.
        parts: the numbers of its parts; either none or two.
        level: how many fields it lies in.
        centre: the mean of its tokens' coordinates, by axis.
        ids: ids of its nodes, those nearest to the centre first.
        axes: the two axes by which it differs most from the field that it is a part of, such as
            ``"+social"``; of the field of all nodes, those on which it lies farthest out.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> _ = woven.create_chat().add_messages([{"content": f"Word {n}"} for n in range(32)])
        >>> woven.flush()
        >>> every, *parts = woven.fields()
        >>> every.parent, len(every.ids), [part.parent for part in parts[:1]]
        (None, 32, [0])
        >>> woven.close()
    """

    number: int
    parent: int | None
    parts: tuple[int, ...]
    level: int
    centre: dict[str, float]
    ids: tuple[str, ...]
    axes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


class Placing:
    """Where nodes lie on the eight axes."""

    _native: "NativeDatabase"

    def tokens(self, space: str | None = None, *, organised: bool = False) -> TokenArray:
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
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> message = woven.create_chat().add_message("Alice met Bob")
            >>> woven.flush()
            >>> tokens = woven.tokens()
            >>> len(tokens), tokens[0] == woven.token(message)
            (1, True)
            >>> woven.token_ids(tokens) == [message.id]
            True
            >>> woven.close()
        """
        return self._native.tokens(space, _flag(organised))

    def token(self, node: IdLike, space: str | None = None) -> Token | None:
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
            >>> chat = db.create_chat()
            >>> db.token(chat) is None
            True
        """
        return self._native.token(id_of(node), space)

    def token_ids(self, tokens: TokenArray) -> list[str | None]:
        """Give the ids of the nodes that tokens are of.

        Args:
            tokens: some of those that `tokens` gave.

        Returns:
            The ids in the order of the tokens; None for a node that is not there any more.

        Raises:
            InvalidInput: it is no `TokenArray`.

        Examples:
            >>> db.token_ids(db.tokens())
            []
        """
        if not isinstance(tokens, TokenArray):
            raise InvalidInput(f"tokens is {shown(tokens)}", hint="Give a TokenArray")
        return self._native.token_ids(tokens.to_numpy()["id"].tolist())

    def near_tokens(
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
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> met, _ = woven.create_chat().add_messages(
            ...     [{"content": "Alice met Bob"}, {"content": "Rust is fast"}]
            ... )
            >>> woven.flush()
            >>> nearest, other = woven.near_tokens(met)
            >>> nearest.id == met.id, nearest.distance, other.distance > 0
            (True, 0.0, True)
            >>> woven.close()
        """
        if natural_argument("limit", limit, MOST) == 0:
            raise InvalidInput("limit is 0", hint=f"It has to be 1 to {MOST}")
        token = to if isinstance(to, Token) else self.token(to, space)
        if _flag(organised) and not isinstance(to, Token) and token is not None:
            # Where it has moved to.
            every = self._native.tokens(space, True)
            places = np.flatnonzero(every.to_numpy()["id"] == token.id)
            token = every[int(places[0])] if len(places) else None
        if token is None:
            raise InvalidInput(
                f"the node {shown(to)} is not embedded", hint="Wait for it with db.flush()"
            )
        found = self._native.near_tokens(token.coordinates, limit, space, organised)
        return [NearToken(*near) for near in found]

    def fields(
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
            >>> db.fields()
            []
        """
        if min_size is not None and natural_argument("min_size", min_size, MOST_NODES) == 0:
            raise InvalidInput("min_size is 0", hint="It has to be 1 or more")
        if natural_argument("max_levels", max_levels, MOST_LEVELS) == 0:
            raise InvalidInput("max_levels is 0", hint=f"It has to be 1 to {MOST_LEVELS}")
        if min_size is None:
            min_size = max(8, len(self._native.tokens(space, _flag(organised))) // 64)
        found = self._native.fields(min_size, max_levels, space, _flag(organised))
        if not found:
            return []
        every = found[0][3]
        ids = dict(zip(every, self._native.token_ids(every), strict=True))
        parts: dict[int, list[int]] = {}
        for number, (parent, *_) in enumerate(found):
            if parent is not None:
                parts.setdefault(parent, []).append(number)
        return [
            TokenField(
                number=number,
                parent=parent,
                parts=tuple(parts.get(number, ())),
                level=level,
                centre=dict(zip(AXES, centre, strict=True)),
                ids=tuple(id for id in map(ids.get, own) if id is not None),
                axes=_farthest(centre, [0.0] * 8 if parent is None else found[parent][2]),
            )
            for number, (parent, level, centre, own) in enumerate(found)
        ]


def _flag(organised: bool) -> bool:
    flag_argument("organised", organised)
    return organised


def _farthest(centre: list[float], of: list[float]) -> tuple[str, ...]:
    off = np.subtract(centre, of)
    order = np.argsort(-np.abs(off), kind="stable")[:2]
    return tuple(f"{'+' if off[axis] > 0 else '-'}{AXES[axis]}" for axis in order)
