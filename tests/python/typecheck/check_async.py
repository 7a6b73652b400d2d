"""What type checkers have to make of the asynchronous twins; see `check_models`."""

from typing import ClassVar, assert_type

from embedded_db import (
    AsyncChat,
    AsyncEdgeModel,
    AsyncEmbeddedDB,
    AsyncEntity,
    AsyncMessage,
    AsyncNodeModel,
    AsyncPages,
    AsyncRelation,
    AsyncResult,
    AsyncResults,
    AsyncSelection,
    AsyncTransaction,
    Condition,
    Edge,
)


class Knows(AsyncEdgeModel, type="KNOWS"):
    since: int


class Person(AsyncNodeModel, label="Person"):
    name: str
    age: int = 3

    friends: ClassVar = AsyncRelation["Person"](Knows)


async def chats(db: AsyncEmbeddedDB) -> None:
    chat = await db.create_chat(title="Trip")
    assert_type(chat, AsyncChat)
    assert_type(chat.title, str | None)
    assert_type(await chat.add_message("Hello"), AsyncMessage)
    async for message in chat.messages():
        assert_type(message, AsyncMessage)
        assert_type(message.content, str)
        assert_type(await message.next(), AsyncMessage | None)
        assert_type(await message.entities(), list[AsyncEntity])
        message.content = "Bye"
        await message.save()


async def queries(db: AsyncEmbeddedDB) -> None:
    results = await db.query(text_query={"text": "rust"})
    assert_type(results, AsyncResults)
    assert_type(results[0], AsyncResult)
    assert_type(db.edges("a"), AsyncPages[Edge])
    assert_type(AsyncMessage.sender == "Ann", Condition)
    said = AsyncMessage.where(AsyncMessage.sender == "Ann").on(db)
    assert_type(said, AsyncSelection[AsyncMessage])
    assert_type(await said.first(), AsyncMessage | None)


async def objects(db: AsyncEmbeddedDB) -> None:
    ann = await db.add(Person(name="Ann"))
    assert_type(ann, Person)
    assert_type(await db.get(Person, "ann"), Person | None)
    assert_type(await db.get(Knows, "k"), Knows | None)
    await ann.save(force=True)
    async for edge in Knows.of(ann):
        assert_type(edge, Knows)
    async for person in Person.where(Person.age > 3).on(db):
        assert_type(person, Person)


async def writes(db: AsyncEmbeddedDB) -> None:
    async def count(tx: AsyncTransaction) -> int:
        return await tx.forget(source="letter")

    assert_type(await db.run(count), int)
    async with db.transaction() as tx, db.batch() as batch, db.snapshot() as snapshot:
        assert_type(tx, AsyncTransaction)
        assert_type(batch.stored, int)
        assert_type(await snapshot.count(), int)
