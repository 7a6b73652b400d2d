"""What an algorithm says of each node of a graph, without an object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .arguments import natural_argument, whole_argument
from .models import IdLike, id_of

if TYPE_CHECKING:
    from ._native import Ids

__all__ = ["NodeIds", "NodeValues", "Partition"]

V = TypeVar("V", int, float)


class NodeIds(Sequence[str]):
    """The ids of the nodes of a graph, each made a text when it is asked for.

    Examples:
        >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in "abc"])
        >>> ids = db.degree().ids
        >>> len(ids), ids[0], ids[1:], "d" in ids
        (3, 'a', ['b', 'c'], False)
    """

    __slots__ = ("_all", "_places")

    def __init__(self, ids: Ids, places: npt.NDArray[np.intp] | None = None) -> None:
        self._all = ids
        # Which of them, in rising order; None means all.
        self._places = places

    def __len__(self) -> int:
        return len(self._all) if self._places is None else len(self._places)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        size = len(self)
        at = index + size if index < 0 else index
        if not 0 <= at < size:
            raise IndexError(f"id {index} of {size}")
        return self._all[at if self._places is None else int(self._places[at])]

    def __iter__(self) -> Iterator[str]:
        return (self[at] for at in range(len(self)))

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._place(id) is not None

    def _place(self, id: str) -> int | None:
        """Give where an id is, if it is there."""
        number = self._all.number(id)
        if number is None or self._places is None:
            return number
        at = int(np.searchsorted(self._places, number))
        return at if at < len(self._places) and self._places[at] == number else None


class NodeValues(Generic[V]):
    """A value for each node of a graph: a NumPy array, and the ids beside it.

    It is read like a dict from id to value: ``ranks[id]``, ``id in ranks``, ``ranks.get(id)``,
    ``ranks.items()``, ``dict(ranks)``. It is what the graph was like at the call that gave it.

    Attributes:
        ids: the ids, n of them, in the order in which the nodes were made.
        values: the values in the same order, a read-only array of n numbers.

    Examples:
        >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in "abc"])
        >>> _ = db.create_edge({"source": "a", "target": "b", "type": "R"})
        >>> degrees = db.degree()
        >>> degrees["a"], degrees.get("nobody", 0), "nobody" in degrees, len(degrees)
        (1, 0, False, 3)
        >>> list(degrees.ids), degrees.values
        (['a', 'b', 'c'], array([1, 1, 0]))
    """

    __slots__ = ("ids", "values")

    ids: NodeIds
    values: npt.NDArray[Any]

    def __init__(self, ids: NodeIds, values: npt.NDArray[Any]) -> None:
        self.ids = ids
        self.values = values
        values.flags.writeable = False

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, id: object) -> bool:
        return (id if isinstance(id, str) else getattr(id, "id", None)) in self.ids

    def __getitem__(self, id: IdLike) -> V:
        place = self.ids._place(id_of(id))
        if place is None:
            raise KeyError(id_of(id))
        return self._at(place)

    def _at(self, place: int) -> V:
        value: V = self.values[place].item()
        return value

    def get(self, id: IdLike, default: Any = None) -> Any:
        """Give the value of a node.

        Args:
            id: the node.
            default: what to give when it is not in the graph.

        Examples:
            >>> _ = db.create_node({"id": "a", "label": "X"})
            >>> db.degree().get("a"), db.degree().get("b", -1)
            (0, -1)
        """
        place = self.ids._place(id_of(id))
        return default if place is None else self._at(place)

    def keys(self) -> NodeIds:
        """Give the ids.

        Examples:
            >>> _ = db.create_node({"id": "a", "label": "X"})
            >>> list(db.degree().keys())
            ['a']
        """
        return self.ids

    def items(self) -> Iterator[tuple[str, V]]:
        """Iterate over ids and values.

        Examples:
            >>> _ = db.create_node({"id": "a", "label": "X"})
            >>> list(db.degree().items())
            [('a', 0)]
        """
        return zip(self.ids, (self._at(place) for place in range(len(self))), strict=True)

    def top(self, count: int) -> list[tuple[str, V]]:
        """Give the nodes with the highest values, the highest first.

        Args:
            count: most of them.

        Returns:
            Ids and values; of equal values that of the older node first.

        Raises:
            InvalidInput: the number is not 1 or more.

        Examples:
            >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in "abc"])
            >>> _ = db.create_edge({"source": "c", "target": "b", "type": "R"})
            >>> db.degree().top(2)
            [('b', 1), ('c', 1)]
        """
        most = min(whole_argument("count", count), len(self))
        places = np.argsort(-self.values.astype(np.float64), kind="stable")[:most]
        return [(self.ids[int(place)], self._at(int(place))) for place in places]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} nodes)"


class Partition(NodeValues[int]):
    """The number of the group that each node is in, from 0, the largest group first.

    Attributes:
        sizes: how many nodes each group has, a read-only array.
        modularity: the share of the edges' weight that lies within groups, less what would lie
            there by chance; None of what does not aim at it.

    Examples:
        >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in "abc"])
        >>> _ = db.create_edge({"source": "a", "target": "c", "type": "R"})
        >>> components = db.connected_components()
        >>> components["c"], components.sizes, components.modularity
        (0, array([2, 1]), None)
    """

    __slots__ = ("modularity", "sizes")

    sizes: npt.NDArray[np.intp]
    modularity: float | None

    def __init__(
        self, ids: NodeIds, values: npt.NDArray[Any], modularity: float | None = None
    ) -> None:
        super().__init__(ids, values)
        self.sizes = np.bincount(values)
        self.sizes.flags.writeable = False
        self.modularity = modularity

    def members(self, group: int) -> list[str]:
        """Give the nodes of a group.

        Args:
            group: its number.

        Returns:
            The ids of its nodes, the oldest first.

        Raises:
            InvalidInput: there is no group of this number.

        Examples:
            >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in "ab"])
            >>> db.connected_components().members(1)
            ['b']
        """
        group = natural_argument("group", group, len(self.sizes) - 1)
        return [self.ids[int(place)] for place in np.flatnonzero(self.values == group)]
