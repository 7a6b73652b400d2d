"""What a name that does not exist was meant to be: the right call instead of a bare AttributeError.

Names are guessed from other databases, vector stores and memory layers. Python asks here only for a
name that it did not find, so that what exists costs nothing.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

__all__ = [
    "CHAT",
    "DATABASE",
    "MESSAGE",
    "RESULT",
    "RESULTS",
    "TRANSACTION",
    "Guessing",
    "advice",
]

MOST: Final = 3
LIKENESS: Final = 0.6
CALL: Final = re.compile(r"\bdb\.(\w+)")


def _table(names: Mapping[str, str], more: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Give what to call by each name, from the names by what to call."""
    own = {name: call for call, tried in names.items() for name in tried.split()}
    return MappingProxyType({**(more or {}), **own})


DATABASE: Final = _table(
    {
        "db.get_node(id) gives a chat, a message or any other node": (
            "get_chat get_message get_entity get_fact fetch find_one read"
        ),
        "db.nodes(label) iterates over the nodes with a label, such as 'Message' or 'Chat'": (
            "chats messages entities facts summaries documents get_chats get_entities "
            "get_nodes get_all all memories get_memories scan list_chats list_nodes labels "
            "history"
        ),
        "db.get_node(chat_id).messages() gives those of a chat, db.nodes('Message') all": (
            "get_messages list_messages"
        ),
        "db.create_chat(title)": "chat new_chat add_chat get_or_create_chat",
        "db.create_message(chat_id, text), or chat.add_message(text)": (
            "add_message send save_message append"
        ),
        "chat.add_messages([…]) stores many in one step; db.create_message one": "add_messages",
        "db.create_node({…}) stores a node, db.add(obj) an object of a class of your own": (
            "insert put set create store add_node new_node"
        ),
        "db.create_nodes([{…}]) stores many nodes in one step, db.add_all(objs) objects": (
            "add_nodes insert_many bulk_insert add_many"
        ),
        "db.create_edge({'source': …, 'target': …, 'type': …})": (
            "add_edge link connect_nodes relate add_relationship create_relationship"
        ),
        "db.create_edges([{…}])": "add_edges",
        "db.edges(id) iterates over the edges of a node": (
            "get_edges relationships relations out_edges in_edges"
        ),
        "db.neighbors(id, type, direction) iterates over the nodes at the other ends of edges": (
            "get_neighbors neighbours successors predecessors"
        ),
        "db.find_shortest_path(start, end)": "shortest_path path_between",
        "db.traverse(start)": "walk bfs dfs expand",
        "obj.delete(), db.delete_node(id), db.delete_edge(id), or db.forget(…) of a memory": (
            "delete remove delete_message delete_chat delete_all delete_many drop"
        ),
        "obj.save() stores changes of an object, db.update_node(id, {…}) those of a node": (
            "save update set_node"
        ),
        "db.update_node(id, {…}) where db.exists(id), else db.create_node({…})": (
            "upsert merge put_node replace"
        ),
        "db.search(text) asks in plain words, db.query(…) by legs of your choice": (
            "similarity_search vector_search semantic_search hybrid_search knn ask find "
            "filter where select retrieve invoke similar full_text_search match"
        ),
        "There is no query language: db.query(…) takes filters, db.search(text) words": (
            "execute sql cypher run_query executemany"
        ),
        "Every call is stored at once; for several together: with db.transaction() as tx": (
            "commit rollback begin session atomic transact"
        ),
        "db.namespace(name) gives one, which is made if it is new; see db.namespaces()": (
            "create_namespace get_namespace list_namespaces use collection create_collection "
            "get_collection get_or_create_collection list_collections create_table open_table "
            "table_names table database"
        ),
        "db.drop_namespace(name)": "delete_namespace delete_collection drop_table",
        "db.remember(fact) stores a fact, db.add_document(text) a longer text": (
            "add_text add_texts add_memory add_episode add_fact memorize"
        ),
        "db.add_document(text, title=…) for each": "add_documents from_texts",
        "db.set_embeddings(ids, vectors); texts of messages are embedded by themselves": (
            "add_embedding add_embeddings upsert_vectors add_vectors embed"
        ),
        "What was acknowledged is stored; db.flush() waits for the enrichment": (
            "persist sync checkpoint"
        ),
        "db.count(label)": "size length count_nodes",
        "db.flush() or db.wait_for(…)": "wait wait_for_enrichment drain",
        "from embedded_db.importers import import_file; import_file(db, path)": "import_file",
        "db.close()": "shutdown",
    }
)
"""By a name that was guessed on a database: what to call."""

TRANSACTION: Final = _table(
    {
        "The end of the block commits": "commit",
        "An exception that leaves the block rolls back": "rollback",
        "tx.create_node({…}) for each, or tx.add_all(objs)": "create_nodes",
        "tx.create_edge({…}) for each, or tx.add_all(objs)": "create_edges",
        "tx.create_embedding({…}) for each": "set_embeddings",
        "tx.delete_embedding(id), then tx.create_embedding({…})": "update_embedding",
        "Person.where(…).on(tx).update(…), for a class of nodes such as Message": "update_matching",
        "Person.where(…).on(tx).delete(), for a class of nodes such as Message": "delete_matching",
        "A transaction is written in one step as it is": "batch",
    },
    DATABASE,
)
"""By a name that was guessed on a transaction."""

CHAT: Final = _table(
    {
        "chat.add_message(text)": "add append send post write create_message",
        "chat.add_message(text, role=…)": (
            "add_user_message add_ai_message add_assistant_message add_system_message"
        ),
        "chat.add_messages([…])": "extend",
        "chat.messages() in order, chat.messages(newest_first=True, limit=…) the last ones": (
            "get_messages history all_messages last latest tail"
        ),
        "chat.to_openai()": "to_messages as_openai openai",
        "chat.context(query)": "get_context prompt memory load_memory_variables",
        "db.search(text, chat=chat)": "search query similar",
        "chat.delete() deletes it with its messages": "remove clear",
        "chat.save() after setting what changes": "update",
        "chat.summary()": "get_summary summarize",
        "chat.title": "name",
    }
)
"""By a name that was guessed on a chat."""

MESSAGE: Final = _table(
    {
        "message.content": "text body message page_content",
        "message.sender": "author user from_ speaker",
        "message.previous": "prev before",
        "message.next": "after",
        "message.embedding()": "vector get_embedding embed",
        "message.entities()": "mentions get_entities",
        "message.similar(limit)": "find_similar neighbors related",
        "message.timestamp": "time date sent_at created",
        "message.save() after setting what changes": "update edit",
        "message.delete()": "remove",
    }
)
"""By a name that was guessed on a message."""

RESULT: Final = _table(
    {
        "result.text": "content document page_content body",
        "result.node has it, as in result.node.id": (
            "id labels properties metadata payload message entity item"
        ),
        "result.similarity_score, or result.graph_distance": "distance similarity cosine",
        "result.text_score, or result.ranks": "bm25 bm25_score text_rank",
        "result.ranks, or result.shares": "rank explain",
        "result.highlights": "highlight snippet snippets fragments matches spans offsets",
    }
)
"""By a name that was guessed on a result."""

RESULTS: Final = _table(
    {
        "results[0], if there is one": "first top best fetchone one",
        "results is a sequence: [result.node for result in results]": (
            "all hits items results rows fetchall points matches nodes to_list documents ids"
        ),
        "results.to_pandas(), or results.to_polars()": "df to_df pandas",
        "len(results); db.count_matching(…) counts all": "total size length",
        "db.query(…, after=results.cursor)": "next next_page more",
    }
)
"""By a name that was guessed on results."""


def advice(name: str, guesses: Mapping[str, str], known: Iterable[str]) -> str:
    """Say what to call instead of a name that does not exist.

    Args:
        name: what was asked for.
        guesses: what to call, by names that people try.
        known: the names that exist.
    """
    if name in guesses:
        return f"Use this: {guesses[name]}"
    folded = {candidate.casefold(): candidate for candidate in known if candidate[0] != "_"}
    close = get_close_matches(name.casefold(), folded, n=MOST, cutoff=LIKENESS)
    if not close:
        return "help() on its class lists what there is"
    return f"Did you mean {' or '.join(repr(folded[each]) for each in close)}?"


class Guessing:
    """A class whose missing names are answered with the right call."""

    __slots__ = ()

    _guesses: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _apart: ClassVar[str] = ""
    """Why it has not all that a database has, if it stands beside one."""
    _called: ClassVar[str] = "db"
    """What examples call it, where it has the same as a database."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            cls = type(self)
            if name.startswith("_"):  # asked by copy, pickle, notebooks and the like, of any object
                raise AttributeError(
                    f"{cls.__name__!r} object has no attribute {name!r}", name=name
                )
            if hasattr(cls, name):  # a property failed: what it says counts
                return object.__getattribute__(self, name)
            raise AttributeError(f"{cls.__name__} has no {name!r}. {cls._instead(name)}", name=name)

    @classmethod
    def _instead(cls, name: str) -> str:
        if cls._apart and name not in cls._guesses:
            from .database import EmbeddedDB

            if hasattr(EmbeddedDB, name):
                return f"{cls._apart}: use db.{name}"

        def own(call: re.Match[str]) -> str:
            return f"{cls._called}.{call[1]}" if hasattr(cls, call[1]) else call[0]

        return CALL.sub(own, advice(name, cls._guesses, dir(cls)))
