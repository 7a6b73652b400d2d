"""Documents and facts: adding, remembering, forgetting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from .arguments import text_argument, whole_argument
from .checks import MAX_LIMIT
from .errors import InvalidInput, NotFound, is_one_of, shown
from .models.documents import Document, Fact
from .models.owner import HasId, IdLike, id_of
from .splitting import split
from .token_count import counter
from .transaction import Transaction, run

if TYPE_CHECKING:
    from .database import EmbeddedDB

__all__ = ["Memory"]

DOCUMENT: Final = ["Document", "Chat"]
PART: Final = ["Part", "Message"]
FACT: Final = ["Fact", "Message"]


class Memory:
    """What a database keeps besides conversations."""

    def add_document(
        self,
        text: str,
        *,
        title: str | None = None,
        source: IdLike | None = None,
        id: str | None = None,
        max_tokens: int = 200,
        count_tokens: Callable[[str], int] | None = None,
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
        common = _present(source=_source(source), timestamp=datetime.now(UTC))
        about = _present(title=title, metadata=_plain(metadata))
        content = {**properties, **about, **common}
        document = {"labels": DOCUMENT, "properties": content, "ttl": ttl}

        def write(tx: Transaction) -> str:
            node = tx.create_node(document if id is None else {**document, "id": id})
            last = None
            for start, end in spans:
                part = {"chat_id": node, "start": start, "end": end, "content": text[start:end]}
                last = _append(tx, node, last, {**common, **part})
            return node

        return cast("Document", self._written(write))

    def remember(
        self,
        fact: str,
        *,
        source: IdLike | None = None,
        about: IdLike | Sequence[IdLike] = (),
        supersedes: IdLike | Sequence[IdLike] = (),
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
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there, in seconds or as a timedelta; for ever when left out.
                See `EmbeddedDB.set_ttl`.
            **properties: further properties.

        Raises:
            InvalidInput: the fact is empty, a value cannot be stored, or what it supersedes is
                no fact, or was superseded by another already.
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
        given = _present(
            source=_source(source), timestamp=datetime.now(UTC), metadata=_plain(metadata)
        )
        content = {**properties, **given, "content": fact}
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

        return cast("Fact", self._written(write))

    def forget(
        self,
        id: IdLike | None = None,
        *,
        source: IdLike | None = None,
        namespace: str | None = None,
    ) -> int:
        """Delete a node, everything from one source, or a namespace, with all that was derived.

        A chat goes with its messages, a document with its parts, an entity that nobody mentions
        any more goes too. A fact that is forgotten might never have been told: the facts whose
        place it took are current again, or superseded by the one that took its own place. To have
        neither, forget both. Exactly one argument is given.

        Args:
            id: a node of any kind, or its id.
            source: the source of documents, facts and whatever else has a property ``source`` of
                this value. Up to 10,000 nodes are forgotten in one step, more in several.
            namespace: the namespace to drop.

        Returns:
            How many nodes were asked for and deleted: 1 for an id, those of the source, or those
            the namespace held.

        Raises:
            InvalidInput: none or several of the arguments are given.
            NotFound: there is no such node or namespace. A source without nodes gives 0.

        Examples:
            >>> _ = db.remember("The launch is on Friday", source="https://example.org/plan")
            >>> db.forget(source="https://example.org/plan")
            1
            >>> db.forget(source="https://example.org/plan")
            0
            >>> old = db.remember("Eve lives in Oslo")
            >>> new = db.remember("Eve lives in Rome", supersedes=old)
            >>> _ = db.forget(new)
            >>> old.refresh()
            >>> old.current
            True
        """
        given = [value for value in (id, source, namespace) if value is not None]
        if len(given) != 1:
            raise InvalidInput(
                f"forget was given {len(given)} of id, source and namespace",
                hint="Say one: db.forget(message), db.forget(source=…) or db.forget(namespace=…)",
            )
        database = cast("EmbeddedDB", self)
        if namespace is not None:
            if not is_one_of(namespace, database.namespaces()):
                raise NotFound(
                    f"the namespace {shown(namespace)} does not exist",
                    hint="db.namespaces() lists them",
                    id=shown(namespace),
                )
            held = database.namespace(namespace).count()
            database.drop_namespace(namespace)
            return held
        if id is not None:
            database.delete_node(id)
            return 1
        return _forget_source(database, _source(source))

    def _written(self, write: Callable[[Transaction], str]) -> object:
        database = cast("EmbeddedDB", self)
        id = run(database, write, own=True)
        found = database.get_node(id)
        if found is None:  # somebody deleted it in between
            raise NotFound(f"node {id!r} was deleted as soon as it was made", id=id)
        return found


def _forget_source(database: EmbeddedDB, source: object) -> int:
    by_source = [{"property": "source", "operator": "Equals", "value": source}]

    def delete_some(tx: Transaction) -> int:
        found = tx.query(structural_filters=by_source, limit=MAX_LIMIT)
        ids = [result.node.id for result in found]
        for id in ids:
            if tx.get_node(id) is not None:  # it may have gone with its document
                tx.delete_node(id)
        return len(ids)

    forgotten = 0
    while True:
        step = run(database, delete_some, own=True)
        forgotten += step
        if step < MAX_LIMIT:
            return forgotten


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


def _source(source: str | HasId | None) -> str | None:
    return None if source is None else id_of(source)


def _plain(metadata: object) -> dict[str, Any] | None:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata is {shown(metadata)}", hint="It has to be a dict")
    return None if metadata is None else dict(metadata)


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
