"""Many transactions add to one chat, and none has to wait; only one supersedes a fact."""

# ruff: noqa: PT012 - a conflict shows at the end of the block, which is the point

import threading

import pytest

from embedded_db import Conflict

from .shared import contents


def test_many_add_to_one_chat_and_nobody_has_to_wait(db):
    """No attempt is in vain, and the messages of one transaction stay together, in order."""
    chat = db.create_chat(id="chat")
    failed = []

    def work(who):
        try:
            for n in range(10):
                with db.transaction() as tx:
                    tx.create_message("chat", f"{who} {n} a", sender=who)
                    tx.get_node("chat").add_messages([{"content": f"{who} {n} b", "sender": who}])
                    tx.get_node("chat").add_message(f"{who} {n} c", sender=who)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    said = contents(chat)
    assert len(said) == 90
    for at in range(0, 90, 3):
        who, n, _ = said[at].split()
        assert said[at : at + 3] == [f"{who} {n} {which}" for which in "abc"]
    message, chain = next(iter(chat.messages())), []
    while message is not None:
        chain.append(message.content)
        message = message.next
    assert chain == said
    assert db.verify()["ok"]


def test_two_that_supersede_one_fact(db):
    old = db.remember("Ann lives in Oslo")
    with pytest.raises(Conflict), db.transaction() as tx:
        tx.remember("Ann lives in Rome", supersedes=old)
        other = db.remember("Ann lives in Bonn", supersedes=old)
    old.refresh()
    assert old.superseded_by == other.id
    assert db.count("Fact") == 2
