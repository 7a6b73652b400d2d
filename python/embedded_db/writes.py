"""Single writes and batches: nodes, edges, embeddings."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

import numpy.typing as npt

from ._native import Database as NativeDatabase
from ._native import Edge, Embedding
from .arguments import text_argument
from .arrays import float32
from .checks import vector as checked_vector
from .errors import InvalidInput, shown
from .models import AnyNode, Entity, IdLike, id_of, wrap
from .models.drafts import with_vector_space
from .query import ConvergedQuery
from .querying import checked_query
from .reads import Reads, with_space

__all__ = ["Writes"]


class Writes(Reads):
    """What a database writes outside of transactions."""

    _native: NativeDatabase

    # ------------------------------------------------------------------ nodes

    def create_node(self, node: Mapping[str, Any]) -> str:
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
            >>> id = db.create_node({"label": "Person", "properties": {"name": "Ann"}})
            >>> db.get_node(id)["name"]
            'Ann'
            >>> said = {"chat_id": "talk", "content": "Hello"}
            >>> _ = db.create_node({"label": "Message", "properties": said})
            >>> [message.content for message in db.get_node("talk").messages()]
            ['Hello']
            >>> db.create_node({"labels": ["Person", "Author"], "id": "bob"})
            'bob'
            >>> code = db.get_node(db.create_node({"label": "Code", "ttl": 3600}))
            >>> (code.expires_at - code.created_at).total_seconds()
            3600.0
        """
        return self._native.create_node(with_vector_space(node, self._default_space()))

    def create_nodes(self, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
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
            >>> db.create_nodes([{"label": "City", "id": "oslo"}, {"label": "City", "id": "voss"}])
            ['oslo', 'voss']
        """
        space = self._default_space()
        if space is None or not isinstance(nodes, Iterable):
            return self._native.create_nodes(cast("Sequence[dict[str, Any]]", nodes))
        return self._native.create_nodes([with_vector_space(node, space) for node in nodes])

    def update_node(self, id: IdLike, updates: Mapping[str, Any]) -> AnyNode:
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
            >>> id = db.create_node({"label": "Person", "properties": {"name": "Ann", "age": 41}})
            >>> node = db.update_node(id, {"city": "Oslo", "age": DELETE})
            >>> node.properties, node.version
            ({'name': 'Ann', 'city': 'Oslo'}, 2)
        """
        return wrap(
            self._owner(), self._native.update_node(id_of(id), cast("dict[str, Any]", updates))
        )

    def set_ttl(self, id: IdLike, ttl: float | timedelta | None) -> AnyNode:
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
            >>> note = db.create_chat().add_message("Buy milk")
            >>> note = db.set_ttl(note, timedelta(days=1))
            >>> note.expires_at - note.updated_at
            datetime.timedelta(days=1)
            >>> db.set_ttl(note, None).expires_at is None
            True
        """
        return wrap(self._owner(), self._native.set_ttl(id_of(id), ttl))

    def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges and their history, its embeddings and all derived.

        Args:
            id: the node.

        Raises:
            NotFound: the node does not exist.

        Examples:
            >>> ann, bob = db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> _ = db.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            >>> db.delete_node(bob)
            >>> db.exists(bob), list(db.edges(ann))
            (False, [])
        """
        self._native.delete_node(id_of(id))

    def update_matching(self, query: ConvergedQuery, updates: Mapping[str, Any]) -> int:
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
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> query = ConvergedQuery(labels=["Message"])
            >>> db.update_matching(query, {"read": True})
            3
        """
        native = checked_query(query).native
        return self._native.update_matching(native, cast("dict[str, Any]", updates))

    def delete_matching(self, query: ConvergedQuery) -> int:
        """Delete all nodes that a query matches, in one step, all or nothing.

        Args:
            query: a query without semantic and text legs; its limit and order do not matter.

        Returns:
            How many nodes matched. A chat takes its messages along, whether they match or not.

        Raises:
            InvalidQuery: the query has a ranking leg.

        Examples:
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> said = {"property": "content", "operator": "In", "value": ["a", "b"]}
            >>> db.delete_matching(ConvergedQuery(structural_filters=[said])), db.count("Message")
            (2, 1)
        """
        return self._native.delete_matching(checked_query(query).native)

    # --------------------------------------------------------------- entities

    def merge_entities(self, entity: IdLike, other: IdLike) -> Entity:
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
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> names = {"Rob": "PERSON", "Bob": "PERSON"}
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel(entities=names))
            >>> message = woven.create_chat().add_message("Rob is Bob")
            >>> woven.flush(timeout=30)
            >>> rob, bob = message.entities()
            >>> rob = woven.merge_entities(rob, bob)
            >>> rob.label, list(rob.aliases), rob.mention_count, woven.exists(bob)
            ('Rob', ['Bob'], 1, False)
            >>> woven.close()
        """
        return Entity(self._owner(), self._native.merge_entities(id_of(entity), id_of(other)))

    def split_entity(self, entity: IdLike, name: str) -> Entity:
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
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> names = {"Rob": "PERSON", "Bob": "PERSON"}
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel(entities=names))
            >>> chat = woven.create_chat()
            >>> _ = chat.add_messages([{"content": "Rob came"}, {"content": "So did Bob"}])
            >>> woven.flush(timeout=30)
            >>> [rob, bob] = woven.nodes("Entity")
            >>> rob = woven.merge_entities(rob, bob)
            >>> bob = woven.split_entity(rob, "Bob")
            >>> bob.label, [message.content for message in bob.messages()]
            ('Bob', ['So did Bob'])
            >>> woven.close()
        """
        return Entity(self._owner(), self._native.split_entity(id_of(entity), name))

    # ------------------------------------------------------------------ edges

    def create_edge(self, edge: Mapping[str, Any]) -> str:
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
            >>> ann, bob = db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> id = db.create_edge({"source": ann, "target": bob, "type": "KNOWS", "weight": 0.8})
            >>> db.get_edge(id).weight
            0.8
        """
        return self._native.create_edge(cast("dict[str, Any]", edge))

    def create_edges(self, edges: Sequence[Mapping[str, Any]]) -> list[str]:
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
            >>> ann, bob, eve = db.create_nodes([{"label": "Person"}] * 3)
            >>> edges = [{"source": ann, "target": other, "type": "KNOWS"} for other in (bob, eve)]
            >>> len(db.create_edges(edges)), db.count_edges("KNOWS")
            (2, 2)
        """
        return self._native.create_edges(cast("Sequence[dict[str, Any]]", edges))

    def update_edge(self, id: IdLike, updates: Mapping[str, Any]) -> Edge:
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
            >>> ann, bob = db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> id = db.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            >>> edge = db.update_edge(id, {"weight": 0.5, "since": 2020})
            >>> edge.weight, edge.properties, edge.version
            (0.5, {'since': 2020}, 2)
        """
        return self._native.update_edge(id_of(id), cast("dict[str, Any]", updates))

    def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
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
            >>> ann, oslo, bergen = db.create_nodes([{"label": n} for n in ("A", "B", "C")])
            >>> old = db.create_edge({"source": ann, "target": oslo, "type": "LIVES_IN"})
            >>> new = db.supersede_edge(old, {"target": bergen})
            >>> moved = db.get_edge(new).valid_from
            >>> db.get_edge(old).valid_to == moved
            True
            >>> [edge.id == new for edge in db.edges(ann, "LIVES_IN", valid_at=moved)]
            [True]
        """
        return self._native.supersede_edge(id_of(id), cast("dict[str, Any]", new_edge))

    def retract_edge(self, id: IdLike) -> None:
        """Take an edge back: it was never true, or the database is to hold it for true no more.

        It is hidden from then on, but for reads with ``known_at`` and `edge_history`. Its id
        stays taken. What was derived goes as with `delete_edge`, which removes the history too.

        Args:
            id: the edge.

        Raises:
            NotFound: the edge does not exist, or was retracted already.

        Examples:
            >>> ids = db.create_nodes([{"label": "Person"}, {"label": "City"}])
            >>> edge = db.create_edge({"source": ids[0], "target": ids[1], "type": "LIVES_IN"})
            >>> known = db.get_edge(edge).recorded_at
            >>> db.retract_edge(edge)
            >>> len(list(db.edges(ids[0]))), len(list(db.edges(ids[0], known_at=known)))
            (0, 1)
        """
        self._native.retract_edge(id_of(id))

    def delete_edge(self, id: IdLike) -> None:
        """Delete an edge with its history; one that was retracted too.

        Args:
            id: the edge.

        Raises:
            NotFound: the edge does not exist.

        Examples:
            >>> ann, bob = db.create_nodes([{"label": "Person"}, {"label": "Person"}])
            >>> id = db.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            >>> db.delete_edge(id)
            >>> db.get_edge(id) is None, db.exists(bob)
            (True, True)
        """
        self._native.delete_edge(id_of(id))

    # ------------------------------------------------------------------ embeddings

    def create_embedding(self, embedding: Mapping[str, Any]) -> str:
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
            >>> red = db.create_node({"label": "Colour"})
            >>> id = db.create_embedding({"node_id": red, "vector": [1, 0, 0], "space": "rgb"})
            >>> db.get_embedding_for_node(red, space="rgb").vector
            array([1., 0., 0.], dtype=float32)
        """
        return self._native.create_embedding(with_space(embedding, self._default_space()))

    def get_embedding(self, id: IdLike) -> Embedding | None:
        """Read an embedding by its own id, or None when there is none.

        Args:
            id: the id of the embedding (not of its node).

        Examples:
            >>> red = db.create_node({"label": "Colour"})
            >>> id = db.create_embedding({"node_id": red, "vector": [1, 0, 0], "space": "rgb"})
            >>> db.get_embedding(id).node_id == red
            True
        """
        return self._native.get_embedding(id_of(id))

    def update_embedding(self, id: IdLike, vector: npt.ArrayLike) -> Embedding:
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
            >>> red = db.create_node({"label": "Colour"})
            >>> id = db.create_embedding({"node_id": red, "vector": [1, 0, 0], "space": "rgb"})
            >>> db.update_embedding(id, [0.9, 0.1, 0.0]).vector
            array([0.9, 0.1, 0. ], dtype=float32)
        """
        return self._native.update_embedding(id_of(id), checked_vector(vector))

    def delete_embedding(self, id: IdLike) -> None:
        """Delete an embedding with all its parts; of a message the model computes it again.

        Args:
            id: the embedding, or a part of it.

        Raises:
            NotFound: the embedding does not exist.

        Examples:
            >>> red = db.create_node({"label": "Colour"})
            >>> id = db.create_embedding({"node_id": red, "vector": [1, 0, 0], "space": "rgb"})
            >>> db.delete_embedding(id)
            >>> db.get_embedding_for_node(red, space="rgb") is None
            True
        """
        self._native.delete_embedding(id_of(id))

    def set_embeddings(
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
            >>> red, blue = db.create_nodes([{"label": "Colour"}, {"label": "Colour"}])
            >>> ids = db.set_embeddings([red, blue], np.eye(2, 3, dtype=np.float32), space="rgb")
            >>> near = db.query(semantic_query={"vector": [1, 0.1, 0], "space": "rgb"}, limit=1)
            >>> near[0].node.id == red
            True
        """
        nodes = [id_of(id) for id in ids]
        try:
            matrix = float32(vectors)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f"vectors is {shown(vectors)}", hint="Give float32[n, dim]"
            ) from error
        if matrix.ndim != 2 or matrix.shape[0] != len(nodes):
            raise InvalidInput(
                f"vectors has the shape {matrix.shape} for {len(nodes)} ids",
                hint="Give one row for each id: float32[n, dim]",
            )
        return self._native.set_embeddings(nodes, matrix, self._space(space))

    def spaces(self) -> list[dict[str, Any]]:
        """Give the embedding spaces.

        Returns:
            One dict each: ``name``, ``model`` (empty where users alone set the vectors),
            ``provider`` (``"user"`` there), ``precision``, ``dim``, ``metric``, ``default``:
            whether it is the one that is used where none is named, and ``state``: ``"in use"``
            (the default one, or that of the model), ``"filling"`` (texts are being embedded into
            it, and it then takes the place of the one in use), or ``"kept"``.

        Examples:
            >>> red = db.create_node({"label": "Colour"})
            >>> _ = db.create_embedding({"node_id": red, "vector": [1, 0, 0], "space": "rgb"})
            >>> [(space["name"], space["dim"], space["metric"]) for space in db.spaces()]
            [('rgb', 3, 'cosine')]
        """
        return self._native.spaces()

    def drop_space(self, name: str) -> None:
        """Remove an embedding space with all vectors in it, in all namespaces.

        Nobody finds it from now on; its room is freed in the background, which `flush` waits for.
        `EmbeddedDB.compact` then gives it back to the disk.

        Args:
            name: the space.

        Raises:
            NotFound: there is no such space.
            InvalidInput: it is in use, or texts are being embedded into it.
            ReadOnly: the handle only reads.

        Examples:
            >>> red = db.create_node({"label": "Colour"})
            >>> own = db.create_embedding({"node_id": red, "vector": [1, 0, 0], "space": "rgb"})
            >>> grey = db.create_embedding({"node_id": red, "vector": [0.3], "space": "grey"})
            >>> db.drop_space("grey")
            >>> [space["name"] for space in db.spaces()], db.get_embedding(grey)
            (['rgb'], None)
        """
        self._native.drop_space(text_argument("name", name))
