"""How objects of users' own asynchronous models find the threads that run their calls."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...database import EmbeddedDB
from ...errors import InvalidInput, shown
from ..twin import AsyncPages, Twin, twin

if TYPE_CHECKING:
    from ...models.nodes import NodeModel, StoredModel
    from ...models.relations import Related
    from ..pool import Pool

__all__ = ["Relating", "Stored", "asynchronous", "edges_of", "only_asynchronous", "pool_of"]

N = TypeVar("N")
R = TypeVar("R")


class Relating(Twin, Generic[N]):
    """Stands for the nodes of one relation of one object."""

    __slots__ = ()

    def __init__(self, related: Related[Any], node: NodeModel) -> None:
        self._sync = related
        self._pool = pool_of(node)

    def __repr__(self) -> str:
        return repr(self._sync)


class Stored:
    """Marks the models whose objects are asked asynchronously."""


def pool_of(thing: object) -> Pool:
    """Give the threads of the database that an object was read from or added to.

    Raises:
        InvalidInput: it was not.
    """
    if isinstance(thing, Twin):
        return thing._pool
    owner = thing._bound() if isinstance(thing, Stored) else None  # type: ignore[attr-defined]
    database = owner if isinstance(owner, EmbeddedDB) else getattr(owner, "_parent", None)
    if not isinstance(database, EmbeddedDB) or database._pool is None:
        raise InvalidInput(
            f"{shown(thing)} belongs to no asynchronous database",
            hint="Read it from an AsyncEmbeddedDB, or add it to one",
        )
    return database._pool


def run(
    thing: StoredModel, function: Callable[..., R], /, *args: Any, **named: Any
) -> Coroutine[Any, Any, R]:
    """Call a method of an object in the threads of its database."""
    return pool_of(thing).run(function, thing, *args, **named)


def made(
    thing: StoredModel, function: Callable[..., object], /, *args: Any, **named: Any
) -> Coroutine[Any, Any, Any]:
    """Call a method of an object, and give the twin of what it gives."""
    pool = pool_of(thing)
    return pool.run(lambda: twin(pool, function(thing, *args, **named)))


def edges_of(
    function: Callable[..., Iterator[Any]], node: object, *args: Any, **named: Any
) -> AsyncPages[Any]:
    """Iterate over the edges of a model at a node."""
    plain = node._sync if isinstance(node, Twin) else node
    return AsyncPages(pool_of(node), partial(function, plain, *args, **named))


def asynchronous(model: Any) -> Any:
    """Refuse a model, or an object of one, that would hold up the event loop.

    Raises:
        InvalidInput: it is one of `NodeModel` or `EdgeModel`.
    """
    from ...models.nodes import StoredModel

    kind = model if isinstance(model, type) else type(model)
    if issubclass(kind, StoredModel) and not issubclass(kind, Stored):
        raise InvalidInput(
            f"{kind.__name__} is a model for EmbeddedDB: its objects would hold up the event loop",
            hint="Declare it with AsyncNodeModel or AsyncEdgeModel",
        )
    return model


def only_asynchronous(objs: Any) -> Any:
    """Refuse such objects among several, each when it is taken."""
    if (
        isinstance(objs, Mapping | str | bytes)
        or hasattr(objs, "model_dump")
        or not isinstance(objs, Iterable)
    ):
        return objs  # which is refused as no list
    return (asynchronous(each) for each in objs)
