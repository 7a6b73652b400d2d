"""Recall that adapts: edges that were used carry more for a while."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from .models import IdLike, id_of
from .results import Result, Results

if TYPE_CHECKING:
    from ._native import Database as NativeDatabase

__all__ = ["Adapting"]


class Adapting:
    """Strengths of edges, which stand beside them: their weights and versions stay as they are."""

    _native: "NativeDatabase"

    def strengthen(self, used: Results | Result | IdLike | Iterable[Result | IdLike]) -> int:
        """Strengthen edges that were of use, so that `recall` follows them more readily.

        The weight of an edge is multiplied by a factor: 1 at first, at each use a quarter of the
        way nearer to 5. What is over 1 is worth half as much every `Config.recall_half_life`, so
        that what is not used any more is forgotten. The factors are stored, and go with their edge;
        no edge, version or history is changed, and nothing comes into the feed of changes.
        Exports and repairs leave them behind. Without this, and without ``recall(…,
        strengthen=True)``, recall never changes.

        Args:
            used: results of `recall`, or of a query with ``rank={"activation": w}``, whose paths
                were of use, such as those that an answer was made of; or edges, or their ids.

        Returns:
            How many edges were strengthened; each counts once.

        Raises:
            NotFound: an edge does not exist.
            ReadOnly: the handle only reads.
            InvalidInput: something is no result and no edge.

        Examples:
            >>> ann, bob = db.create_nodes([{"label": "Person", "id": n} for n in ("ann", "bob")])
            >>> knows = db.create_edge({"id": "e", "source": ann, "target": bob, "type": "KNOWS"})
            >>> db.strengthen(db.recall([ann])), db.strengths()
            (1, {'e': 2.0})
            >>> db.strengthen(["e"]), db.strengths()["e"] > 2.7, db.get_edge("e").weight
            (1, True, 1.0)
            >>> db.forget_strengths(), db.strengths()
            (1, {})
        """
        several = isinstance(used, Iterable) and not isinstance(used, str)
        edges: list[str] = []
        for each in cast("Iterable[Result | IdLike]", used if several else [used]):
            if isinstance(each, Result):
                path = each._hit.path
                edges += [] if path is None else [edge.id for edge in path.edges]
            else:
                edges.append(id_of(each))
        return self._native.strengthen(edges)

    def strengths(self) -> dict[str, float]:
        """Give the factors by which weights of edges are multiplied now.

        Returns:
            The factors by ids of edges; of those that are over 1.01.

        Examples:
            >>> db.strengths()
            {}
        """
        return dict(self._native.strengths())

    def forget_strengths(self) -> int:
        """Take back all that `strengthen` and `recall` have strengthened, in steps.

        Afterwards `recall` finds exactly what it would have found without.

        Returns:
            How many edges had been strengthened.

        Raises:
            ReadOnly: the handle only reads.

        Examples:
            >>> db.forget_strengths()
            0
        """
        return self._native.forget_strengths()
