"""A transaction is in the way of another one of the same context only while it is open.

Tasks inherit what is open where they are made, and one may end in another context, or never.
"""

import asyncio
import contextvars
import gc
import threading

import pytest

from embedded_db import EmbeddedDB, InvalidInput


def in_a_context(function):
    """Run a function with no transaction marked as open."""
    return contextvars.Context().run(function)


def begin_and_end(db):
    with db.transaction() as tx:
        return tx.create_chat().id


def test_a_task_that_outlives_the_block_it_was_made_in(db):
    async def main():
        with db.transaction() as tx:
            tx.create_chat()
            ended = asyncio.Event()

            async def later():
                with pytest.raises(InvalidInput, match="open already"):
                    begin_and_end(db)
                await ended.wait()
                return begin_and_end(db), db.run(lambda tx: tx.create_chat().id)

            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        ended.set()
        return await task

    assert all(db.exists(id) for id in asyncio.run(main()))


def test_a_transaction_that_ends_in_another_thread(db):
    def main():
        tx = db.transaction()
        tx.__enter__()
        chat = tx.create_chat()
        thread = threading.Thread(target=lambda: tx.__exit__(None, None, None))
        thread.start()
        thread.join()
        assert db.exists(chat)
        return begin_and_end(db)

    assert db.exists(in_a_context(main))


def test_an_asynchronous_generator_that_another_task_ends(db):
    async def within():
        with db.transaction() as tx:
            yield tx.create_chat().id

    async def main():
        generator = within()
        chat = await anext(generator)
        await asyncio.create_task(generator.aclose())
        assert not db.exists(chat)
        return begin_and_end(db)

    assert db.exists(in_a_context(lambda: asyncio.run(main())))


def test_a_transaction_that_nobody_has_any_more(db):
    def main():
        tx = db.transaction()
        tx.__enter__()
        chat = tx.create_chat().id
        del tx
        gc.collect()
        assert not db.exists(chat)
        return begin_and_end(db)

    assert db.exists(in_a_context(main))


def test_one_of_two_databases_may_end_first(db, tmp_path):
    with EmbeddedDB(tmp_path / "other", ml=None) as other:
        mine, others = db.transaction(), other.transaction()
        mine.__enter__(), others.__enter__()
        mine.__exit__(None, None, None)
        with pytest.raises(InvalidInput, match="open already"):
            begin_and_end(other)
        assert db.exists(begin_and_end(db))
        others.__exit__(None, None, None)
        assert other.exists(begin_and_end(other))
