"""Writes of a transaction become visible together or not at all, and the first committer wins.

It sees one instant and its own writes, and holds no lock while Python runs.
"""

# ruff: noqa: PT012 - a conflict shows at the end of the block, which is the point

import threading
from datetime import UTC, datetime, timedelta

import pytest

from embedded_db import DELETE, Conflict, InvalidInput, NotFound, ReadOnly


@pytest.fixture
def accounts(db):
    for name in ("a", "b"):
        db.create_node({"id": name, "label": "Account", "properties": {"sum": 100}})
    return db


def move(tx, amount):
    for name, sign in (("a", -1), ("b", 1)):
        tx.update_node(name, {"sum": tx.get_node(name)["sum"] + sign * amount})


def sums(db):
    return db.get_node("a")["sum"], db.get_node("b")["sum"]


def test_writes_become_visible_together(accounts):
    with accounts.transaction() as tx:
        move(tx, 30)
        made = tx.create_node({"label": "Receipt"})
        edge = tx.create_edge({"source": made, "target": "a", "type": "FOR"})
        assert sums(accounts) == (100, 100)
        assert not accounts.exists(made)
    assert sums(accounts) == (70, 130)
    assert accounts.get_edge(edge).target == "a"
    assert [node.id for node in accounts.neighbors(made)] == ["a"]


def test_an_exception_undoes_everything(accounts):
    with pytest.raises(ZeroDivisionError), accounts.transaction() as tx:
        move(tx, 30)
        made = tx.create_node({"label": "Receipt"})
        tx.delete_node("b")
        raise ZeroDivisionError
    assert sums(accounts) == (100, 100)
    assert not accounts.exists(made)
    assert accounts.verify()["ok"]


def test_point_reads_and_neighbours_see_own_writes(accounts):
    with accounts.transaction() as tx:
        made = tx.create_node({"id": "c", "label": "Account", "properties": {"sum": 0}})
        tx.create_edge({"id": "e", "source": "a", "target": made, "type": "PAYS"})
        tx.update_node("c", {"sum": 5})
        assert tx.get_node("c")["sum"] == 5
        assert tx.get_edge("e").target == "c"
        assert [node.id for node in tx.neighbors("a")] == ["c"]
        tx.delete_edge("e")
        assert tx.get_edge("e") is None
        assert list(tx.neighbors("a")) == []
        tx.delete_node("c")
        assert tx.get_node("c") is None
        with pytest.raises(NotFound):
            tx.update_node("c", {"sum": 6})
    assert not accounts.exists("c")


def test_reads_see_the_instant_of_the_beginning(accounts):
    with accounts.transaction() as tx:
        accounts.update_node("b", {"sum": 1})
        accounts.create_node({"id": "late", "label": "Account"})
        assert {r.node.id for r in tx.query(labels=["Account"])} == {"a", "b"}
        assert tx.get_node("a")["sum"] == 100
    assert sums(accounts) == (100, 1)


def test_what_was_missing_when_read_may_not_have_come(accounts):
    with pytest.raises(Conflict), accounts.transaction() as tx:
        accounts.create_node({"id": "late", "label": "Account"})
        assert tx.get_node("late") is None
        tx.create_node({"id": "other", "label": "Account"})
    assert not accounts.exists("other")


def test_the_first_committer_wins(accounts):
    with pytest.raises(Conflict) as caught, accounts.transaction() as tx:
        move(tx, 30)
        accounts.update_node("b", {"sum": 1000})
    assert caught.value.retryable
    assert caught.value.id == "b"
    assert sums(accounts) == (100, 1000)


def test_what_was_only_read_is_checked_too(accounts):
    with pytest.raises(Conflict), accounts.transaction() as tx:
        total = tx.get_node("a")["sum"] + tx.get_node("b")["sum"]
        tx.create_node({"id": "total", "label": "Total", "properties": {"sum": total}})
        accounts.update_node("a", {"sum": 0})
    assert not accounts.exists("total")


def test_an_edge_to_a_node_deleted_meanwhile_is_a_conflict(accounts):
    with pytest.raises((Conflict, NotFound)), accounts.transaction() as tx:
        tx.create_edge({"id": "e", "source": "a", "target": "b", "type": "T"})
        accounts.delete_node("b")
    assert accounts.get_edge("e") is None
    assert accounts.verify()["ok"]


def test_run_tries_again_until_nothing_is_lost(accounts):
    def work():
        for _ in range(25):
            accounts.run(lambda tx: move(tx, 1), attempts=1000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums(accounts) == (0, 200)


def test_run_gives_up_after_its_attempts(accounts):
    calls = []

    def always_late(tx):
        calls.append(tx.get_node("a"))
        tx.update_node("a", {"sum": 1})
        accounts.update_node("a", {"sum": len(calls)})

    with pytest.raises(Conflict):
        accounts.run(always_late, attempts=3)
    assert len(calls) == 3
    assert accounts.run(lambda tx: tx.get_node("a")["sum"]) == 3


def test_no_lock_is_held_while_python_runs(accounts):
    written = threading.Event()

    def write():
        accounts.create_node({"id": "other", "label": "X"})
        written.set()

    with accounts.transaction() as tx:
        move(tx, 1)
        thread = threading.Thread(target=write)
        thread.start()
        assert written.wait(timeout=60), "a write outside waits for the transaction"
    thread.join()
    assert accounts.exists("other")
    assert sums(accounts) == (99, 101)


def test_transactions_do_not_nest(accounts):
    with accounts.transaction():
        with pytest.raises(InvalidInput, match="do not nest"), accounts.transaction():
            pass
        with pytest.raises(InvalidInput, match="do not nest"):
            accounts.run(lambda tx: None)
    with accounts.transaction() as tx:
        move(tx, 1)
    assert sums(accounts) == (99, 101)


def test_a_transaction_works_inside_its_block_only(accounts):
    tx = accounts.transaction()
    with pytest.raises(InvalidInput, match="not open"):
        tx.create_node({"label": "X"})
    with tx:
        pass
    with pytest.raises(InvalidInput, match="has ended"):
        tx.get_node("a")
    with pytest.raises(InvalidInput, match="entered twice"), tx:
        pass


def test_what_was_read_in_a_transaction_says_that_it_ended(accounts):
    chat = accounts.create_chat()
    with pytest.raises(ZeroDivisionError), accounts.transaction() as tx:
        inside = tx.get_node(chat)
        raise ZeroDivisionError
    inside["mood"] = "calm"
    with pytest.raises(InvalidInput, match=r"has ended\. Read an object .* again"):
        inside.save()
    assert accounts.get_node(chat).get("mood") is None


def test_what_was_missed_and_made_meanwhile_is_a_conflict_with_its_version(accounts):
    with pytest.raises(Conflict) as caught, accounts.transaction() as tx:
        assert tx.get_node("late") is None
        accounts.create_node({"id": "late", "label": "Account"})
        move(tx, 1)
    assert (caught.value.expected, caught.value.found) == (0, 1)
    assert sums(accounts) == (100, 100)


def test_models_read_in_a_transaction_save_in_it(accounts):
    chat = accounts.create_chat(title="before", id="chat")
    with pytest.raises(ZeroDivisionError), accounts.transaction() as tx:
        inside = tx.get_node("chat")
        inside.title = "inside"
        inside.save()
        assert tx.get_node("chat").title == "inside"
        inside.add_message("inside")
        assert inside.context(count_tokens=len) == [{"role": "user", "content": "inside"}]
        with pytest.raises(InvalidInput, match="transaction"):
            _ = inside.status
        raise ZeroDivisionError
    chat.refresh()
    assert chat.title == "before"
    assert list(chat.messages()) == []


def test_a_chat_read_in_a_transaction_gives_its_messages(accounts):
    made = accounts.create_chat(id="chat").add_messages([{"content": text} for text in "abcd"])
    for open_ in (accounts.transaction, accounts.snapshot):
        with open_() as reads:
            chat = reads.get_node("chat")
            assert [message.content for message in chat.messages()] == list("abcd")
            assert [m.content for m in chat.messages(after=made[0])] == list("bcd")
            assert [m.content for m in chat.messages(after=made[1], limit=1)] == ["c"]
            assert reads.get_node(made[0].id).next.content == "b"


def test_a_snapshot_shows_one_instant(accounts):
    with accounts.snapshot() as snapshot:
        accounts.run(lambda tx: move(tx, 30))
        accounts.create_node({"id": "late", "label": "Account"})
        accounts.delete_node("b")
        assert sums(snapshot) == (100, 100)
        assert snapshot.count("Account") == 2
        assert {r.node.id for r in snapshot.query(labels=["Account"])} == {"a", "b"}
        assert [node.id for node in snapshot.nodes()] == ["a", "b"]
        assert not snapshot.exists("late")
        assert snapshot.lsn >= 0
        with pytest.raises(ReadOnly):
            snapshot.delete_node("a")
    assert accounts.get_node("a")["sum"] == 70
    snapshot.close()
    with pytest.raises(InvalidInput, match="closed.*snapshot"):
        snapshot.get_node("a")


def test_a_long_chat_is_deleted_with_its_own_edges(db, thorough):
    """The whole of it is gone for the transaction, what was tied to it meanwhile included."""
    chat, length = db.create_chat(id="chat"), 20_000 if thorough else 5_000
    made = chat.add_messages([{"content": f"text {n}"} for n in range(length)])
    db.create_node({"id": "user", "label": "User"})
    db.create_edge({"id": "read", "source": "user", "target": made[7].id, "type": "READ"})
    with db.transaction() as tx:
        own = tx.create_edge({"source": "user", "target": made[-1].id, "type": "LIKES"})
        kept = tx.create_edge({"source": "user", "target": "user", "type": "LIKES"})
        tx.delete_node("chat")
        assert tx.get_node("chat") is None
        assert tx.get_node(made[-1].id) is None
        assert [tx.get_edge(id) for id in ("read", own)] == [None, None]
        assert tx.get_edge(kept) is not None
        assert [node.id for node in tx.neighbors("user")] == ["user"]
    assert db.count("Message") == 0
    assert [edge.id for edge in db.edges("user")] == [kept]
    assert db.verify()["ok"]


def test_a_chat_is_deleted_with_what_is_in_it_at_the_commit(db):
    """What happens to its messages meanwhile does not hold the deletion up, and nothing is left."""
    chat = db.create_chat(id="chat")
    changed, gone = chat.add_messages([{"content": "one"}, {"content": "two"}])
    with db.transaction() as tx:
        tx.delete_node("chat")
        changed.append(" more")
        gone.delete()
        chat.add_message("three")
    assert db.count() == 0
    assert db.verify()["ok"]


def test_a_chat_changed_meanwhile_is_not_deleted(db):
    chat = db.create_chat(id="chat")
    read = chat.add_message("one")
    with pytest.raises(Conflict), db.transaction() as tx:
        tx.delete_node("chat")
        db.update_node("chat", {"title": "kept"})
    with pytest.raises(Conflict), db.transaction() as tx:
        tx.get_node(read)
        tx.delete_node("chat")
        read.append(" more")
    assert db.get_node(read.id).content == "one more"


T0 = datetime(2024, 5, 6, tzinfo=UTC)
WRONG = [
    {"weight": float("nan")},
    {"weight": float("-inf")},
    {"valid_from": T0, "valid_to": T0},
    {"valid_from": T0, "valid_to": T0 - timedelta(days=1)},
]


@pytest.mark.parametrize("change", [*WRONG, {"sources": [""]}, {"sources": ["x" * 256]}])
def test_a_new_edge_is_checked_at_the_call(accounts, change):
    edge = {"id": "e", "source": "a", "target": "b", "type": "T", **change}
    with pytest.raises(InvalidInput) as outside:
        accounts.create_edge(edge)
    with accounts.transaction() as tx:
        with pytest.raises(InvalidInput) as inside:
            tx.create_edge(edge)
        # It left nothing behind: the transaction goes on without it.
        assert tx.get_edge("e") is None
        tx.create_edge({"id": "fine", "source": "a", "target": "b", "type": "T"})
        with pytest.raises(InvalidInput):
            tx.supersede_edge("fine", change)
    assert str(inside.value) == str(outside.value)
    assert accounts.get_edge("fine").valid_to is None
    assert accounts.count_edges() == 1


@pytest.mark.parametrize("change", WRONG)
def test_a_changed_edge_is_checked_at_the_call(accounts, change):
    begun = {"valid_from": T0} if "valid_to" in change else {}
    accounts.create_edge({"id": "e", "source": "a", "target": "b", "type": "T", **begun})
    # The other end of the interval may be what the edge has already, here or in the store.
    change = {name: value for name, value in change.items() if name != "valid_from"}
    with pytest.raises(InvalidInput) as outside:
        accounts.update_edge("e", change)
    with accounts.transaction() as tx:
        with pytest.raises(InvalidInput) as inside:
            tx.update_edge("e", change)
        assert tx.get_edge("e").version == 1
        tx.update_edge("e", {"weight": 2.0, "valid_from": T0 + timedelta(days=1)})
        with pytest.raises(InvalidInput):
            tx.update_edge("e", {"valid_to": T0 + timedelta(hours=1)})
    assert str(inside.value) == str(outside.value)
    assert accounts.get_edge("e").weight == 2.0


HUGE = "x" * (1 << 26)


@pytest.mark.parametrize(
    "call",
    [
        lambda where: where.update_node("m", {"chat_id": "other"}),
        lambda where: where.update_node("m", {"chat_id": DELETE}),
        lambda where: where.update_node("m", {"chat_id": 5}),
        lambda where: where.create_chat(HUGE[:-6], id="x"),
        lambda where: where.create_message("c", HUGE[:-20], id="x"),
        lambda where: where.update_node("large", {"topic": HUGE[: 1 << 25]}),
        lambda where: where.create_edge(
            {
                "id": "x",
                "source": "c",
                "target": "m",
                "type": "T",
                "properties": {"title": HUGE[:-6]},
            }
        ),
        lambda where: where.update_edge("e", {"topic": HUGE[: 1 << 25]}),
    ],
)
def test_what_the_database_refuses_is_refused_at_the_call(db, call):
    db.create_message("c", "x", id="m")
    if "large" in call.__code__.co_consts:
        db.create_node({"id": "large", "label": "X", "properties": {"title": HUGE[: 1 << 25]}})
    if "e" in call.__code__.co_consts:
        edge = {"id": "e", "source": "c", "target": "m", "type": "T"}
        db.create_edge({**edge, "properties": {"title": HUGE[: 1 << 25]}})
    with pytest.raises(InvalidInput) as outside:
        call(db)
    with db.transaction() as tx:
        with pytest.raises(type(outside.value)) as within:
            call(tx)
        assert str(within.value) == str(outside.value)
        assert vars(within.value) == vars(outside.value)
        tx.create_node({"id": "kept", "label": "X"})
    assert db.exists("kept")


def test_a_message_of_the_transaction_stays_in_its_chat_too(db):
    with db.transaction() as tx:
        tx.create_message("c", "x", id="m")
        with pytest.raises(InvalidInput, match="'m' is in the chat 'c'|\"m\" is in the chat \"c\""):
            tx.update_node("m", {"chat_id": "other"})
        # One that was made without a chat belongs where its user says, whatever edges lead to it.
        tx.create_node({"id": "own", "label": "Message"})
        tx.create_edge({"source": "c", "target": "own", "type": "CONTAINS"})
        tx.update_node("own", {"chat_id": "other"})
        tx.update_node("m", {"mood": "glad"})
    assert db.get_node("m")["mood"] == "glad"
    assert db.get_node("own").chat_id == "other"
    assert db.verify()["ok"]
