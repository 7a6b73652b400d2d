"""Written by scripts/make-async from `embedded_db.writes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..writes import Writes
from .reads import AsyncReads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    import numpy.typing as npt

    from .._native import Edge, Embedding
    from ..models import IdLike
    from ..query import ConvergedQuery
    from .models import AsyncAnyNode
    from .models.entity import AsyncEntity

__all__ = ["AsyncWrites"]


class AsyncWrites(AsyncReads):
    """What a database writes outside of transactions."""

    async def create_node(self, node: Mapping[str, Any]) -> str:
        """Store a node.

        A node with the label ``Message`` and a text as ``chat_id`` is put at the end of that chat,
        which is made when it is new, as `create_message` does.

        Args:
            node: ``labels`` (a list) or ``label``, and where wanted ``id``, ``properties``, and
                ``ttl`` (seconds or a timedelta) or ``expires_at`` (a time with a time zone): from
                then on it is as good as deleted. See `set_ttl`. ``embedding`` is a vector of your
                own (float32[dim]), stored with it in one step as `create_embedding` does; in the
                space ``embedding_space``, or the default one.

        Returns:
            The id: the one given, or a new one beginning with the label.

        Raises:
            AlreadyExists: the id is taken.
            InvalidInput: a key is unknown, a value cannot be stored, or the ``chat_id`` of a
                message is that of another node than a chat.
            DimensionMismatch: the vector has another length than its space.
            NonFiniteVector: the vector holds NaN or an infinity.

        Examples:
            >>> id = await db.create_node({"label": "Person", "properties": {"name": "Ann"}})
            >>> (await db.get_node(id))["name"]
            'Ann'
            >>> said = {"chat_id": "talk", "content": "Hello"}
            >>> _ = await db.create_node({"label": "Message", "properties": said})
            >>> [message.content async for message in (await db.get_node("talk")).messages()]
            ['Hello']
            >>> await db.create_node({"labels": ["Person", "Author"], "id": "bob"})
            'bob'
            >>> code = await db.get_node(await db.create_node({"label": "Code", "ttl": 3600}))
            >>> (code.expires_at - code.created_at).total_seconds()
            3600.0
        """
        return await self._run(Writes.create_node, node)

    async def create_nodes(self, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
        """Store many nodes, all or nothing, in one step.

        Args:
            nodes: dicts as in `create_node`. Messages are put into their chats in this order; a
                chat among them may come behind its messages.

        Returns:
            The ids in the order given.

        Raises:
            AlreadyExists: an id is taken.
            InvalidInput: a key is unknown, or a value cannot be stored; the message says which.

        Examples:
            >>> await db.create_nodes(
            ...     [{"label": "City", "id": "oslo"}, {"label": "City", "id": "voss"}]
            ... )
            ['oslo', 'voss']
        """
        return await self._run(Writes.create_nodes, nodes)

    async def update_node(self, id: IdLike, updates: Mapping[str, Any]) -> AsyncAnyNode:
        """Change properties; those not named stay.

        Args:
            id: the node.
            updates: values by property name; `DELETE` as a value removes the property.

        Returns:
            The node as it now is.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: a value cannot be stored, or it is the ``chat_id`` of a message, which
                stays in the chat it was added to.

        Examples:
            >>> from embedded_db import DELETE
            >>> id = await db.create_node(
            ...     {"label": "Person", "properties": {"name": "Ann", "age": 41}}
            ... )
            >>> node = await db.update_node(id, {"city": "Oslo", "age": DELETE})
            >>> node.properties, node.version
            ({'name': 'Ann', 'city': 'Oslo'}, 2)
        """
        found: AsyncAnyNode = await self._made(Writes.update_node, id, updates)
        return found

    async def set_ttl(self, id: IdLike, ttl: float | timedelta | None) -> AsyncAnyNode:
        """Say how long a node is to be there, counted from now.

        From then on no read finds it, as if it had been deleted, nor what a deletion takes along:
        its edges and embeddings, a chat's messages, an entity that nothing else mentions. Soon
        after, it is deleted in the background. What a snapshot or cursor sees, it goes on seeing.

        It is a change of the node: ``version`` and ``updated_at`` rise.

        Args:
            id: the node.
            ttl: seconds or a timedelta, more than 0 and at most 1,000 years; None takes the time
                away, and the node stays.

        Returns:
            The node as it now is; ``expires_at`` says when it goes.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: ``ttl`` is no such time.

        Examples:
            >>> from datetime import timedelta
            >>> note = await (await db.create_chat()).add_message("Buy milk")
            >>> note = await db.set_ttl(note, timedelta(days=1))
            >>> note.expires_at - note.updated_at
            datetime.timedelta(days=1)
            >>> (await db.set_ttl(note, None)).expires_at is None
            True
        """
        found: AsyncAnyNode = await self._made(Writes.set_ttl, id, ttl)
        return found

    async def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges and their history, its embeddings and all derived.

        Args:
            id: the node.

        Raises:
            NotFound: the node does not exist.

        Examples:
            >>> ann, bob = await db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> _ = await db.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            >>> await db.delete_node(bob)
            >>> await db.exists(bob), [each async for each in db.edges(ann)]
            (False, [])
        """
        await self._run(Writes.delete_node, id)

    async def update_matching(self, query: ConvergedQuery, updates: Mapping[str, Any]) -> int:
        """Change all nodes that a query matches, in one step, all or nothing.

        The nodes are found in the state that is being changed: nobody's write comes in between.

        Args:
            query: a query without semantic and text legs; its limit and order do not matter.
            updates: as in `update_node`.

        Returns:
            How many nodes there were.

        Raises:
            InvalidQuery: the query has a ranking leg.
            InvalidInput: a name or value cannot be stored.

        Examples:
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> query = ConvergedQuery(labels=["Message"])
            >>> await db.update_matching(query, {"read": True})
            3
        """
        return await self._run(Writes.update_matching, query, updates)

    async def delete_matching(self, query: ConvergedQuery) -> int:
        """Delete all nodes that a query matches, in one step, all or nothing.

        Args:
            query: a query without semantic and text legs; its limit and order do not matter.

        Returns:
            How many nodes matched. A chat takes its messages along, whether they match or not.

        Raises:
            InvalidQuery: the query has a ranking leg.

        Examples:
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> said = {"property": "content", "operator": "In", "value": ["a", "b"]}
            >>> (
            ...     await db.delete_matching(ConvergedQuery(structural_filters=[said])),
            ...     await db.count("Message"),
            ... )
            (2, 1)
        """
        return await self._run(Writes.delete_matching, query)

    async def merge_entities(self, entity: IdLike, other: IdLike) -> AsyncEntity:
        """Say that two entities are one.

        The names of the other one are names of this one from now on, and its mentions move. That is
        decided at once; the mentions of more than 64 messages move in steps, between which others
        write. The weaver keeps to it, and goes on with it should the process end. The other one
        goes, unless you have tied it to something by an edge. `split_entity` takes a name back.

        Args:
            entity: the one that stays.
            other: the one whose names it gets.

        Returns:
            The entity that stays.

        Raises:
            NotFound: one of them does not exist.
            InvalidInput: one of them is no entity that the weaver found in messages.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> names = {"Rob": "PERSON", "Bob": "PERSON"}
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel(entities=names))
            >>> message = await (await woven.create_chat()).add_message("Rob is Bob")
            >>> await woven.flush(timeout=30)
            >>> rob, bob = await message.entities()
            >>> rob = await woven.merge_entities(rob, bob)
            >>> rob.label, list(rob.aliases), rob.mention_count, await woven.exists(bob)
            ('Rob', ['Bob'], 1, False)
            >>> await woven.close()
        """
        found: AsyncEntity = await self._made(Writes.merge_entities, entity, other)
        return found

    async def split_entity(self, entity: IdLike, name: str) -> AsyncEntity:
        """Say that a name is not one of an entity.

        What is mentioned by this name leads elsewhere from now on: to an entity of its own, or to
        another that it fits, many mentions in steps as in `merge_entities`, which takes it back.
        The weaver keeps to it.

        Args:
            entity: the entity that has too many names.
            name: one of its ``aliases``.

        Returns:
            The entity that the name leads to now.

        Raises:
            NotFound: the entity does not exist.
            InvalidInput: it has no such name beside its ``label``, or the weaver did not find it in
                messages.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> names = {"Rob": "PERSON", "Bob": "PERSON"}
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel(entities=names))
            >>> chat = await woven.create_chat()
            >>> _ = await chat.add_messages([{"content": "Rob came"}, {"content": "So did Bob"}])
            >>> await woven.flush(timeout=30)
            >>> [rob, bob] = [each async for each in woven.nodes("Entity")]
            >>> rob = await woven.merge_entities(rob, bob)
            >>> bob = await woven.split_entity(rob, "Bob")
            >>> bob.label, [message.content async for message in bob.messages()]
            ('Bob', ['So did Bob'])
            >>> await woven.close()
        """
        found: AsyncEntity = await self._made(Writes.split_entity, entity, name)
        return found

    async def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Store an edge; parallel edges and loops are allowed.

        Args:
            edge: ``source`` and ``target`` (nodes or their ids), ``type``, and where wanted
                ``id``, ``properties``, ``weight`` (1.0), ``valid_from`` and ``valid_to`` (times
                with a time zone), ``sources`` (what it was derived from, or its ids).

        Returns:
            The id: the one given, or a new one beginning with the type.

        Raises:
            NotFound: one of its ends does not exist.
            AlreadyExists: the id is taken.
            InvalidInput: a key is unknown, a value cannot be stored, or ``valid_from`` is not
                before ``valid_to``.

        Examples:
            >>> ann, bob = await db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> id = await db.create_edge(
            ...     {"source": ann, "target": bob, "type": "KNOWS", "weight": 0.8}
            ... )
            >>> (await db.get_edge(id)).weight
            0.8
        """
        return await self._run(Writes.create_edge, edge)

    async def create_edges(self, edges: Sequence[Mapping[str, Any]]) -> list[str]:
        """Store many edges, all or nothing, in one step.

        Args:
            edges: dicts as in `create_edge`.

        Returns:
            The ids in the order given.

        Raises:
            NotFound: an end does not exist.
            AlreadyExists: an id is taken.
            InvalidInput: a key is unknown, or a value cannot be stored; the message says which.

        Examples:
            >>> ann, bob, eve = await db.create_nodes([{"label": "Person"}] * 3)
            >>> edges = [{"source": ann, "target": other, "type": "KNOWS"} for other in (bob, eve)]
            >>> len(await db.create_edges(edges)), await db.count_edges("KNOWS")
            (2, 2)
        """
        return await self._run(Writes.create_edges, edges)

    async def update_edge(self, id: IdLike, updates: Mapping[str, Any]) -> Edge:
        """Change an edge; what is not named stays.

        Args:
            id: the edge.
            updates: values by property name; ``weight``, ``valid_from`` and ``valid_to`` are
                the edge's own. `DELETE` as a value removes a property or a bound.

        Returns:
            The edge as it now is.

        Raises:
            NotFound: the edge does not exist, or was retracted.
            InvalidInput: a value cannot be stored, or ``valid_from`` is not before ``valid_to``.

        Examples:
            >>> ann, bob = await db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> id = await db.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            >>> edge = await db.update_edge(id, {"weight": 0.5, "since": 2020})
            >>> edge.weight, edge.properties, edge.version
            (0.5, {'since': 2020}, 2)
        """
        return await self._run(Writes.update_edge, id, updates)

    async def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
        """Store an edge that is true from now on in the place of another, in one step.

        The other one stays: its ``valid_to`` becomes the ``valid_from`` of the new one, unless it
        has ended before.

        Args:
            id: the edge that is true no longer.
            new_edge: as in `create_edge`; ``source``, ``target`` and ``type`` are those of the
                other edge when left out, ``valid_from`` is now.

        Returns:
            The id of the new edge.

        Raises:
            NotFound: the edge does not exist or was retracted, or an end of the new one does not
                exist.
            AlreadyExists: the new id is taken.
            InvalidInput: a value cannot be stored, or the new edge does not begin after the other.

        Examples:
            >>> ann, oslo, bergen = await db.create_nodes([{"label": n} for n in ("A", "B", "C")])
            >>> old = await db.create_edge({"source": ann, "target": oslo, "type": "LIVES_IN"})
            >>> new = await db.supersede_edge(old, {"target": bergen})
            >>> moved = (await db.get_edge(new)).valid_from
            >>> (await db.get_edge(old)).valid_to == moved
            True
            >>> [edge.id == new async for edge in db.edges(ann, "LIVES_IN", valid_at=moved)]
            [True]
        """
        return await self._run(Writes.supersede_edge, id, new_edge)

    async def retract_edge(self, id: IdLike) -> None:
        """Take an edge back: it was never true, or the database is to hold it for true no more.

        It is hidden from then on, but for reads with ``known_at`` and `edge_history`. Its id
        stays taken. What was derived goes as with `delete_edge`, which removes the history too.

        Args:
            id: the edge.

        Raises:
            NotFound: the edge does not exist, or was retracted already.

        Examples:
            >>> ids = await db.create_nodes([{"label": "Person"}, {"label": "City"}])
            >>> edge = await db.create_edge(
            ...     {"source": ids[0], "target": ids[1], "type": "LIVES_IN"}
            ... )
            >>> known = (await db.get_edge(edge)).recorded_at
            >>> await db.retract_edge(edge)
            >>> (
            ...     len([each async for each in db.edges(ids[0])]),
            ...     len([each async for each in db.edges(ids[0], known_at=known)]),
            ... )
            (0, 1)
        """
        await self._run(Writes.retract_edge, id)

    async def delete_edge(self, id: IdLike) -> None:
        """Delete an edge with its history; one that was retracted too.

        Args:
            id: the edge.

        Raises:
            NotFound: the edge does not exist.

        Examples:
            >>> ann, bob = await db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> id = await db.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            >>> await db.delete_edge(id)
            >>> await db.get_edge(id) is None, await db.exists(bob)
            (True, True)
        """
        await self._run(Writes.delete_edge, id)

    async def create_embedding(self, embedding: Mapping[str, Any]) -> str:
        """Set the embedding of a node by hand; the weaver never overwrites it.

        Args:
            embedding: ``node_id`` (or the node) and ``vector`` (float32[dim]), and where wanted
                ``id`` and ``space``, which is made when it is new.

        Returns:
            The id: the one given, or a new one.

        Raises:
            NotFound: the node does not exist.
            AlreadyExists: the id is taken.
            DimensionMismatch: the vector has another length than its space.
            NonFiniteVector: the vector holds NaN or an infinity.

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> id = await db.create_embedding(
            ...     {"node_id": red, "vector": [1, 0, 0], "space": "rgb"}
            ... )
            >>> (await db.get_embedding_for_node(red, space="rgb")).vector
            array([1., 0., 0.], dtype=float32)
        """
        return await self._run(Writes.create_embedding, embedding)

    async def get_embedding(self, id: IdLike) -> Embedding | None:
        """Read an embedding by its own id, or None when there is none.

        Args:
            id: the id of the embedding (not of its node).

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> id = await db.create_embedding(
            ...     {"node_id": red, "vector": [1, 0, 0], "space": "rgb"}
            ... )
            >>> (await db.get_embedding(id)).node_id == red
            True
        """
        return await self._run(Writes.get_embedding, id)

    async def update_embedding(self, id: IdLike, vector: npt.ArrayLike) -> Embedding:
        """Replace the embedding of a node by one vector, which stands for the whole node.

        Args:
            id: the embedding; of one in several parts, any of them. The others go.
            vector: float32[dim], of the dimension of its space.

        Returns:
            The embedding as it now is.

        Raises:
            NotFound: the embedding does not exist.
            DimensionMismatch: the vector has another length than its space.
            NonFiniteVector: the vector holds NaN or an infinity.
            InvalidInput: the vector is no list or array of numbers.

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> id = await db.create_embedding(
            ...     {"node_id": red, "vector": [1, 0, 0], "space": "rgb"}
            ... )
            >>> (await db.update_embedding(id, [0.9, 0.1, 0.0])).vector
            array([0.9, 0.1, 0. ], dtype=float32)
        """
        return await self._run(Writes.update_embedding, id, vector)

    async def delete_embedding(self, id: IdLike) -> None:
        """Delete an embedding with all its parts; of a message the model computes it again.

        Args:
            id: the embedding, or a part of it.

        Raises:
            NotFound: the embedding does not exist.

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> id = await db.create_embedding(
            ...     {"node_id": red, "vector": [1, 0, 0], "space": "rgb"}
            ... )
            >>> await db.delete_embedding(id)
            >>> await db.get_embedding_for_node(red, space="rgb") is None
            True
        """
        await self._run(Writes.delete_embedding, id)

    async def set_embeddings(
        self, ids: Sequence[IdLike], vectors: npt.ArrayLike, space: str | None = None
    ) -> list[str]:
        """Set the embeddings of many nodes, all or nothing, in one step.

        Args:
            ids: n nodes.
            vectors: float32[n, dim]; other kinds of numbers are converted once.
            space: the embedding space; the default one when left out.

        Returns:
            The ids of the embeddings in the order given.

        Raises:
            NotFound: a node does not exist.
            DimensionMismatch: the vectors have another length than their space.
            NonFiniteVector: a vector holds NaN or an infinity.
            InvalidInput: ``vectors`` has not the shape [n, dim], or a node is named twice.

        Examples:
            >>> import numpy as np
            >>> red, blue = await db.create_nodes([{"label": "Colour"}, {"label": "Colour"}])
            >>> ids = await db.set_embeddings(
            ...     [red, blue], np.eye(2, 3, dtype=np.float32), space="rgb"
            ... )
            >>> near = await db.query(
            ...     semantic_query={"vector": [1, 0.1, 0], "space": "rgb"}, limit=1
            ... )
            >>> near[0].node.id == red
            True
        """
        return await self._run(Writes.set_embeddings, ids, vectors, space)

    async def spaces(self) -> list[dict[str, Any]]:
        """Give the embedding spaces.

        Returns:
            One dict each: ``name``, ``model`` (empty where users alone set the vectors),
            ``provider`` (``"user"`` there), ``precision``, ``dim``, ``metric``, ``default``:
            whether it is the one that is used where none is named, and ``state``: ``"in use"``
            (the default one, or that of the model), ``"filling"`` (texts are being embedded into
            it, and it then takes the place of the one in use), or ``"kept"``.

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> _ = await db.create_embedding({"node_id": red, "vector": [1, 0, 0], "space": "rgb"})
            >>> [(space["name"], space["dim"], space["metric"]) for space in await db.spaces()]
            [('rgb', 3, 'cosine')]
        """
        return await self._run(Writes.spaces)

    async def drop_space(self, name: str) -> None:
        """Remove an embedding space with all vectors in it, in all namespaces.

        Nobody finds it from now on; its room is freed in the background, which `flush` waits for.
        `AsyncEmbeddedDB.compact` then gives it back to the disk.

        Args:
            name: the space.

        Raises:
            NotFound: there is no such space.
            InvalidInput: it is in use, or texts are being embedded into it.
            ReadOnly: the handle only reads.

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> own = await db.create_embedding(
            ...     {"node_id": red, "vector": [1, 0, 0], "space": "rgb"}
            ... )
            >>> grey = await db.create_embedding({"node_id": red, "vector": [0.3], "space": "grey"})
            >>> await db.drop_space("grey")
            >>> [space["name"] for space in await db.spaces()], await db.get_embedding(grey)
            (['rgb'], None)
        """
        await self._run(Writes.drop_space, name)
