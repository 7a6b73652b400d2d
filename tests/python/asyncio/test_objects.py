"""Objects, models, transactions, batches and callbacks work as they do without a loop."""

import asyncio
import copy
import threading

import pytest

from embedded_db import (
    AsyncChat,
    AsyncEdgeModel,
    AsyncEmbeddedDB,
    AsyncMessage,
    AsyncNodeModel,
    AsyncRelation,
    Conflict,
    Field,
    InvalidInput,
    NodeModel,
    ReadOnly,
)
from embedded_db.testing import FakeModel


class Knows(AsyncEdgeModel, type="KNOWS"):
    since: int


class Person(AsyncNodeModel, label="Person"):
    name: str = Field(index=True)
    age: int | None = None
    friends = AsyncRelation["Person"](Knows)


class Blocking(NodeModel, label="Blocking"):
    name: str


def test_chats_and_messages(run):
    async def test(db):
        chat = await db.create_chat(title="Trip", topic="Paris")
        first = await chat.add_message("Alice met Bob in Paris", sender="Carol", mood="glad")
        await chat.add_messages([{"content": "one"}, {"content": "two", "sender": "Dave"}])
        assert [message.sender async for message in chat.messages()] == ["Carol", None, "Dave"]
        assert (await first.next()).content == "one"
        assert await first.previous() is None
        assert await first.chat() == chat
        assert type(await first.chat()) is AsyncChat
        assert (first.mood, first["mood"], first.get("tone", "none")) == ("glad", "glad", "none")
        assert (await first.status()).embedding == "pending"
        first.content, first["mood"] = "Alice met Bob", "calm"
        assert first.changed
        await first.save()
        assert (first.changed, first.version) == (False, 2)
        again = await db.get_node(first.id)
        assert again == first
        assert hash(again) == hash(first)
        assert again.content == "Alice met Bob"
        again.content = "theirs"
        await again.save()
        first.content = "mine"
        with pytest.raises(Conflict):
            await first.save()
        assert first.changed
        await first.refresh()
        assert first.content == "theirs"
        assert copy.copy(first) == first
        assert repr(first).startswith("AsyncMessage(")
        with pytest.raises(AttributeError, match="has no property"):
            first.moood  # noqa: B018
        with pytest.raises(InvalidInput):
            first.content = 5
        page = [message async for message in chat.messages(newest_first=True, limit=2)]
        assert [message.content for message in page] == ["two", "one"]
        await first.delete()
        assert not await db.exists(first)

    run(test)


def test_what_is_set_while_it_is_saved_is_not_lost(run):
    async def test(db):
        message = await db.create_message("chat", "Hello")
        for n in range(50):
            message["n"] = n
            saving = asyncio.ensure_future(message.save())
            await asyncio.sleep(0)
            message["m"] = n
            await saving
            await message.save()
            assert (await db.get_node(message)).properties["m"] == n

    run(test)


def test_results_walks_and_paths(run):
    async def test(db):
        chat = await db.create_chat()
        texts = [{"content": f"Rust {n}"} for n in range(1_500)]
        messages = await chat.add_messages(texts)
        found = await db.query(text_query={"text": "rust"}, limit=3)
        assert type(found[0].node) is AsyncMessage
        assert found[0].node is found[0].node
        assert found[-1].node == list(found)[2].node == found[1:][1].node
        assert len(found.to_dicts()) == 3
        assert await found[0].node.chat() == chat
        assert [m.content async for m in chat.messages()] == [each["content"] for each in texts]
        pages = db.neighbors(chat, "CONTAINS", limit=2)
        assert [m.content async for m in pages] == ["Rust 0", "Rust 1"]
        more = db.neighbors(chat, "CONTAINS", limit=1, after=pages.cursor)
        assert [m.content async for m in more] == ["Rust 2"]
        path = await db.find_shortest_path(messages[0], messages[2])
        assert next(type(node) for node in path.nodes) is AsyncMessage
        visits = [(node.content, depth) async for node, depth in db.traverse(messages[0], "NEXT")]
        assert visits[1] == ("Rust 1", 1)
        kept = db.nodes("Message")
        await anext(kept)
        await kept.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(kept)
        both = db.nodes("Message")
        seen = []

        async def take():
            async for message in both:
                seen.append(message.id)
                await asyncio.sleep(0)

        await asyncio.gather(take(), take())
        assert sorted(seen) == sorted(message.id for message in messages)
        said = AsyncMessage.where(AsyncMessage.content.in_(["Rust 1", "Rust 2"]))
        assert await said.count() == 2  # of the one that is open
        assert {type(message) async for message in said.on(db)} == {AsyncMessage}
        results = await said.on(db).matching("rust").results()
        assert type(results[0].node) is AsyncMessage
        assert await said.on(db).update(read=True) == 2
        assert await said.on(db).delete() == 2
        assert await said.on(db).first() is None

    run(test)


def test_models_of_users(run):
    async def test(db):
        ann, bob = Person(name="Ann", age=41), Person(name="Bob")
        await db.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
        ann.age = 42
        await ann.save()
        read = await db.get(Person, ann.id)
        assert (type(read), read, read.labels) == (Person, ann, ["Person"])
        assert [p.name async for p in Person.where(Person.age > 40).on(db)] == ["Ann"]
        assert (await Person.where(Person.name == "Bob").on(db).first()).name == "Bob"
        [knows] = [edge async for edge in Knows.of(ann)]
        assert [friend.name async for friend in ann.friends] == ["Bob"]
        assert (await ann.friends.first()).name == "Bob"
        new = await knows.supersede(since=2021)
        assert [edge.since for edge in await new.history()] == [2021]
        assert (await new.retract()) is None
        assert await bob.friends.add(ann, since=1) != knows
        assert await bob.friends.remove(ann) == 1
        with pytest.raises(InvalidInput, match="AsyncNodeModel"):
            await db.add(Blocking(name="x"))
        with pytest.raises(InvalidInput, match="AsyncNodeModel"):
            await db.add_all([ann, Blocking(name="x")])
        with pytest.raises(InvalidInput, match="AsyncNodeModel"):
            await db.get(Blocking, "x")
        with pytest.raises(InvalidInput, match="AsyncNodeModel"):
            await db.register(Blocking)
        with pytest.raises(InvalidInput, match="not stored yet"):
            await Person(name="Eve").save()
        async with db.transaction() as tx:
            eve = await tx.add(Person(name="Eve"))
            eve.age = 7
            await eve.save()
            assert await db.get(Person, eve.id) is None
        eve.age = 8
        await eve.save()
        assert (await db.get(Person, eve.id)).age == 8
        await eve.delete()
        async with db.snapshot() as snapshot:
            found = await Person.where(Person.name == "Ann").on(snapshot).first()
            found.age = 1
            with pytest.raises(ReadOnly):
                await found.save()

    run(test)


def test_transactions(run):
    async def test(db):
        async with db.transaction() as tx:
            chat = await tx.create_chat(title="Trip")
            message = await chat.add_message("To Paris?", sender="Ann")
            await asyncio.gather(
                *(tx.create_node({"id": f"n{n}", "label": "X"}) for n in range(20))
            )
            assert [m.content async for m in chat.messages()] == ["To Paris?"]
            assert await db.count() == 0
            with pytest.raises(InvalidInput, match="do not nest"):
                await db.transaction().__aenter__()
            with pytest.raises(InvalidInput, match="do not nest"):
                await asyncio.create_task(db.transaction().__aenter__())
        assert await db.count("X") == 20
        message["mood"] = "glad"  # it went over to the database
        await message.save()

        async def fail():
            async with db.transaction() as tx:
                await tx.delete_node(chat)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await db.exists(chat)
        with pytest.raises(InvalidInput, match="has ended"):
            await tx.create_node({"label": "X"})
        with pytest.raises(InvalidInput, match="not open"):
            await db.transaction().create_node({"label": "X"})
        async with db.transaction() as tx:  # and another one, after those
            await tx.delete_node(chat)
        async with db.transaction() as one, db.snapshot():
            await one.create_node({"id": "last", "label": "X"})
        assert await db.exists("last")

    run(test)


def test_two_transactions_in_two_tasks(run):
    async def test(db):
        await db.create_node({"id": "n", "label": "Counter", "properties": {"n": 0}})

        async def count_up(tx):
            n = (await tx.get_node("n"))["n"]
            await asyncio.sleep(0)
            await tx.update_node("n", {"n": n + 1})
            return n + 1

        done = await asyncio.gather(*(db.run(count_up, attempts=1_000) for _ in range(20)))
        assert sorted(done) == list(range(1, 21))

        def plain(tx):
            assert threading.current_thread() is not threading.main_thread()
            tx.update_node("n", {"n": 0})

        await db.run(plain)
        assert (await db.get_node("n"))["n"] == 0

        async def refused(tx):
            raise Conflict("always")

        with pytest.raises(Conflict):
            await db.run(refused, attempts=3)

    run(test)


def test_batches(run):
    async def test(db):
        async with db.batch(size=7) as batch:
            towns = await asyncio.gather(*(batch.create_node({"label": "Town"}) for _ in range(50)))
            assert batch.stored == 49
            await batch.flush()
            assert batch.stored == 50
            await batch.update_node(towns[0], {"name": "Oslo"})
        assert (await db.get_node(towns[0]))["name"] == "Oslo"
        with pytest.raises(InvalidInput, match="not open"):
            await batch.create_node({"label": "Town"})
        with pytest.raises(InvalidInput):
            db.batch(size=0)

    run(test)


def test_callbacks_are_plain_or_coroutine_functions(run, tmp_path):
    async def test(db):
        await db.create_nodes([{"label": "X"}] * 100)
        await db.create_message("chat", "Rust is fast")
        loop = asyncio.get_running_loop()
        told = []

        async def progress(done, total):
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            told.append(done)

        class Plain:
            def __call__(self, done, total):
                assert threading.current_thread() is not threading.main_thread()
                told.append(done)

        class Later:
            async def __call__(self, results):
                assert await results[0].node.chat()
                return [1.0 for _ in results]

        await db.export(tmp_path / "one", progress=progress)
        assert told.pop() > 0
        await db.export(tmp_path / "two", progress=Plain())
        assert told.pop() > 0
        await AsyncEmbeddedDB.restore(
            (await db.backup(tmp_path / "b")).path, tmp_path / "again", progress=progress
        )
        assert told.pop() > 0
        found = await db.query(text_query={"text": "rust"}, rerank=Later())
        assert found[0].rerank_score == 1.0

        async def count(text):
            return len(text.split())

        chat = await db.get_node("chat")
        assert await chat.context(token_budget=3, count_tokens=count)

        async def fails(done, total):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await db.backup(tmp_path / "never", progress=fails)
        assert not (tmp_path / "never" / "MANIFEST").exists()

        def stops(results):
            raise StopIteration

        with pytest.raises(RuntimeError, match="StopIteration"):
            await db.query(text_query={"text": "rust"}, rerank=stops)

    run(test)


def test_callbacks_may_call_the_database(run):
    """However many there are: threads that wait for them do not count."""

    async def test(db):
        chat = await db.create_chat()
        await chat.add_message("Rust is fast")

        async def rerank(results):
            await asyncio.gather(*(result.node.chat() for result in results))
            inner = await db.query(text_query={"text": "rust"}, rerank=nested)
            return [1.0] * len(results) if len(inner) else []

        async def nested(results):
            assert await db.count("Message") == 1
            return [0.5] * len(results)

        asked = (db.query(text_query={"text": "rust"}, rerank=rerank) for _ in range(40))
        found = await asyncio.wait_for(asyncio.gather(*asked), 60)
        assert {each[0].rerank_score for each in found} == {1.0}

    run(test)


def test_the_background(run):
    async def test(db):
        message = await db.create_message("chat", "Alice met Bob in Paris")
        await db.flush(timeout=60)
        assert (await message.status()).embedding == "ready"
        assert sorted(e.label for e in await message.entities()) == ["Alice", "Bob", "Paris"]
        assert (await message.embedding()).vector.shape == (256,)
        await db.weaver.pause()
        late = await db.create_message("chat", "Alice met Carol")
        assert (await late.status()).embedding == "pending"
        await db.weaver.resume()
        assert (await db.wait_for(late, "embedding", timeout=60)).embedding == "ready"
        assert [found.node.id for found in await late.similar()] == [message.id]
        found = await db.search("Who met Bob?", explain=True)
        assert found.plan["analysis"] == found.analysis
        assert await db.weaver.dead_letters() == []

    run(test, ml=FakeModel())


def test_a_feed_gives_what_is_there_at_once(run):
    async def test(db):
        await db.create_nodes([{"id": f"{n:04}", "label": "X"} for n in range(1_200)])
        feed = db.changes(labels="X", follow=True)
        assert [(await anext(feed)).id for _ in range(1_200)] == [f"{n:04}" for n in range(1_200)]
        task = asyncio.ensure_future(anext(feed))
        await db.create_node({"id": "late", "label": "X"})
        assert (await task).id == "late"
        assert feed.position == task.result().lsn
        with pytest.raises(InvalidInput):
            await anext(db.changes(since=-1))

    run(test)
