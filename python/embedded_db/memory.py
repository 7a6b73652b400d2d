"""Documents and facts: adding, remembering, forgetting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from .arguments import text_argument, whole_argument
from .checks import MAX_LIMIT
from .errors import InvalidInput, NotFound, shown
from .models.documents import Document, Fact
from .models.message import Message
from .models.owner import IdLike, id_of
from .query import ConvergedQuery
from .splitting import split
from .token_count import counter

if TYPE_CHECKING:
    from .transaction import Transaction

__all__ = ["Memory", "forget_in", "one_to_forget", "source_of"]

DOCUMENT: Final = ["Document", "Chat"]
PART: Final = ["Part", "Message"]
FACT: Final = ["Fact", "Message"]

NOT_TOLD: Final = {
    "content": "It is the fact itself: give that once",
    "superseded_by": "It is kept by the database: name this fact in the supersedes of another",
}
"""What no fact is told with, and why."""


class Memory:
    """What databases and transactions keep besides conversations."""

    def add_document(
        self,
        text: str,
        *,
        title: str | None = None,
        source: IdLike | None = None,
        id: str | None = None,
        max_tokens: int = 200,
        count_tokens: Callable[[str], int] | None = None,
        timestamp: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> Document:
        r"""Store a text in parts that are embedded and searched each, all or nothing, in one step.

        A part ends with a paragraph or a sentence where it can. The document ``CONTAINS`` its
        parts, each has a ``NEXT`` edge to the one after it, and deleting the document deletes
        them. Parts are found as messages are: they have the labels ``Part`` and ``Message``, and
        the document's id as ``chat_id``.

        Args:
            text: the text.
            title: what it is called.
            source: where it comes from, such as an address, a file name, or the id of a node.
            id: an id of your own; made when left out.
            max_tokens: most tokens of a part. Up to 254 the default model embeds it as one.
            count_tokens: gives the number of tokens of a text; when left out, those of the
                default embedding model.
            timestamp: when it was written, with a time zone; now when left out. Its parts have
                the same.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there with its parts, in seconds or as a timedelta; for ever
                when left out. See `EmbeddedDB.set_ttl`.
            **properties: further properties of the document.

        Raises:
            InvalidInput: the text is empty, or a value cannot be stored.
            AlreadyExists: the id is taken.
            ModelUnavailable: the default model, which knows its tokens, is not installed.

        Examples:
            >>> words = lambda text: len(text.split())
            >>> text = "Rust has no garbage collector.\n\nPython has one."
            >>> document = db.add_document(
            ...     text, title="Memory", source="notes.md", max_tokens=6, count_tokens=words
            ... )
            >>> [part.content for part in document.parts()]
            ['Rust has no garbage collector.\n\n', 'Python has one.']
            >>> document.text == text
            True
        """
        text_argument("the text of the document", text)
        whole_argument("max_tokens", max_tokens)
        spans = split(text, max_tokens, counter(count_tokens))
        common = _present(source=source_of(source), timestamp=_time(timestamp, "document"))
        about = _present(title=title, metadata=_plain(metadata))
        content = {**properties, **about, **common}
        Document._checked_new(content)
        document = {"labels": DOCUMENT, "properties": content, "ttl": ttl}

        def write(tx: Transaction) -> str:
            node = tx.create_node(document if id is None else {**document, "id": id})
            last = None
            for start, end in spans:
                part = {"chat_id": node, "start": start, "end": end, "content": text[start:end]}
                last = _append(tx, node, last, {**common, **part})
            return node

        return cast("Document", self._in_one_step(write))

    def remember(
        self,
        fact: str,
        *,
        source: IdLike | None = None,
        about: IdLike | Sequence[IdLike] = (),
        supersedes: IdLike | Sequence[IdLike] = (),
        timestamp: datetime | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> Fact:
        """Store a fact with where it is from and what it is about, in one step.

        It is embedded and searched as messages are (its labels are ``Fact`` and ``Message``).
        ``ABOUT`` edges lead to what it is about, a ``DERIVED_FROM`` edge to its source if that
        is given as an object, ``SUPERSEDES`` edges to the facts whose place it takes. Those stay,
        with ``superseded_by``: a condition ``Fact.superseded_by.missing()`` leaves them out.

        Args:
            fact: the fact, in words.
            source: where it is known from: a message or another object, or any text, such as an
                id, an address or a name. `forget` takes it.
            about: nodes it is about, or their ids.
            supersedes: facts that are true no longer, or their ids.
            timestamp: when it was told, with a time zone; now when left out.
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there, in seconds or as a timedelta; for ever when left out.
                See `EmbeddedDB.set_ttl`.
            **properties: further properties.

        Raises:
            InvalidInput: the fact is empty, a value cannot be stored or is not for you to set,
                or what it supersedes is no fact, or was superseded by another already.
            NotFound: a node it is about, its source object or a fact does not exist.
            AlreadyExists: the id is taken.

        Examples:
            >>> old = db.remember("Ann lives in Oslo", source="call of May 3")
            >>> new = db.remember("Ann lives in Bergen", supersedes=old)
            >>> old.refresh()
            >>> old.current, old.superseded_by == new.id, [f.content for f in new.supersedes()]
            (False, True, ['Ann lives in Oslo'])
        """
        text_argument("the fact", fact)
        for name in NOT_TOLD.keys() & properties.keys():
            raise InvalidInput(f"{name} of the fact cannot be given", hint=NOT_TOLD[name])
        given = _present(
            source=source_of(source),
            timestamp=_time(timestamp, "fact"),
            metadata=_plain(metadata),
        )
        content = {**properties, **given, "content": fact}
        Fact._checked_new(content)
        draft = {"labels": FACT, "properties": content, "ttl": ttl}
        subjects, replaced = dict.fromkeys(_ids(about)), dict.fromkeys(_ids(supersedes))

        def write(tx: Transaction) -> str:
            node = tx.create_node(draft if id is None else {**draft, "id": id})
            if source is not None and not isinstance(source, str):
                _edge(tx, node, "DERIVED_FROM", id_of(source))
            for target in subjects:
                _edge(tx, node, "ABOUT", target)
            for target in replaced:
                _supersede(tx, node, target)
            return node

        return cast("Fact", self._in_one_step(write))

    def _in_one_step(self, write: Callable[[Transaction], str]) -> object:
        """Write a node with what belongs to it, all or nothing, and read it."""
        raise NotImplementedError


def one_to_forget(**given: object) -> None:
    """Refuse all but one of what can be forgotten.

    Raises:
        InvalidInput: none or several are given.
    """
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise InvalidInput(
            f"forget was given {' and '.join(named) or 'nothing'}",
            hint=f"Give one of {', '.join(given)}",
        )


def forget_in(tx: Transaction, id: IdLike | None, source: IdLike | None) -> int:
    """Delete a node, or everything from one source, within a transaction.

    Raises:
        InvalidInput: none or both are given.
        NotFound: there is no such node.
    """
    one_to_forget(id=id, source=source)
    if id is not None:
        tx.delete_node(id)
        return 1
    ids = _of_source(tx, source_of(source))
    for each in ids:
        if tx._raw_node(each) is not None:  # it may have gone with its document
            tx.delete_node(each)
    return len(ids)


def _of_source(tx: Transaction, source: object) -> list[str]:
    """Give the nodes from a source: those that a query finds, as the transaction left them."""
    by_source = ConvergedQuery(
        structural_filters=[{"property": "source", "operator": "Equals", "value": source}],
        limit=MAX_LIMIT,
    )
    candidates: list[str] = []
    results = tx.execute_query(by_source)
    candidates += (node.id for node in results._raw_nodes())
    while results.cursor is not None:
        results = tx.execute_query(by_source, after=results.cursor)
        candidates += (node.id for node in results._raw_nodes())
    candidates += sorted(tx._native.written_nodes())
    found = {id: tx._raw_node(id) for id in candidates}
    return [id for id, node in found.items() if node is not None and node.get("source") == source]


def _append(tx: Transaction, document: str, last: str | None, part: dict[str, Any]) -> str:
    node = tx.create_node({"labels": PART, "properties": {**part, "role": "document"}})
    _edge(tx, document, "CONTAINS", node)
    if last is not None:
        _edge(tx, last, "NEXT", node)
    return node


def _supersede(tx: Transaction, node: str, target: str) -> None:
    if target == node:
        raise InvalidInput(
            f"the fact {node!r} cannot take its own place", hint="Give the id of an older fact"
        )
    old = tx.get_node(target)
    if old is None:
        raise NotFound(f"the fact {target!r} does not exist", hint="Check the id", id=target)
    if not isinstance(old, Fact):
        raise InvalidInput(
            f"{target!r} is no fact, so nothing can take its place",
            hint="Give what db.remember(…) gave",
        )
    if not old.current:
        raise InvalidInput(
            f"the fact {target!r} was superseded by {old.superseded_by!r} already",
            hint="Supersede that one",
        )
    _edge(tx, node, "SUPERSEDES", target)
    tx.update_node(target, {"superseded_by": node})


def _edge(tx: Transaction, source: str, type: str, target: str) -> None:
    tx.create_edge({"source": source, "target": target, "type": type})


def _ids(given: IdLike | Iterable[IdLike]) -> list[str]:
    if isinstance(given, list | tuple | set | frozenset):
        return [id_of(one) for one in given]
    return [id_of(cast("IdLike", given))]


def source_of(source: IdLike | None) -> str | None:
    """Give a source as it is stored."""
    return None if source is None else id_of(source)


def _time(timestamp: datetime | None, of: str) -> datetime:
    if timestamp is None:
        return datetime.now(UTC)
    Message.timestamp.check(timestamp, f"timestamp of the {of}")
    return timestamp


def _plain(metadata: object) -> dict[str, Any] | None:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata is {shown(metadata)}", hint="It has to be a dict")
    return None if metadata is None else dict(metadata)


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
