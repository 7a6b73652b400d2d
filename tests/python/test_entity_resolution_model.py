"""Whatever is said, changed, deleted, joined and split: names lead where a simple model says.

The model computes from nothing, each time, where every name leads: from what all chats say now and
from what was decided, knowing nothing of the order in which it came.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, Entity, Message, MLConfig, Node

SMITH, ANNA = "smith", "anna"


@dataclass(frozen=True)
class Name:
    """How a name is read: its key, its class, what may stand for it, what it may stand for."""

    key: str
    kind: str = "PERSON"
    long: str = ""
    tokens: tuple[str, ...] = ()
    short: str = ""


NAMES = {
    "Anna Smith": Name("anna smith", long="full", tokens=(ANNA, SMITH)),
    "ANNA SMITH'S": Name("anna smith", long="full", tokens=(ANNA, SMITH)),
    "Ben Smith": Name("ben smith", long="full", tokens=("ben", SMITH)),
    "Anna Jones": Name("anna jones", long="full", tokens=(ANNA, "jones")),
    "Anna": Name("anna", short=ANNA),
    "anna": Name("anna", short=ANNA),
    "Smith": Name("smith", short=SMITH),
    "Dr Smith": Name("dr smith", long="titled", tokens=(SMITH,), short=SMITH),
    "Dr. Smith": Name("dr smith", long="titled", tokens=(SMITH,), short=SMITH),
    "Mr Smith": Name("mr smith", long="family", tokens=(SMITH,)),
    "Paris": Name("paris", "GPE"),
    "Anna River": Name("anna river", "GPE"),
    "I.B.M.": Name("ibm", "ORG", short="ibm"),
    "Idle Bus Makers": Name("idle bus makers", "ORG", long="initials", tokens=("ibm",)),
    "Ice Bar Milan": Name("ice bar milan", "ORG", long="initials", tokens=("ibm",)),
}


def names_in(texts: list[str]) -> list[list[dict[str, object]]]:
    """Find the names of a text, which are all that it holds."""
    out = []
    for text in texts:
        found, at = [], 0
        for name in text.split("; "):
            if name in NAMES:
                end = at + len(name)
                found.append({"text": name, "label": NAMES[name].kind, "start": at, "end": end})
            at += len(name) + 2
        out.append(found)
    return out


@dataclass
class Model:
    """What is said, and what was decided."""

    said: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    apart: set[tuple[str, str]] = field(default_factory=set)
    awaits: dict[str, str] = field(default_factory=dict)

    def leads_to(self, chat: str, name: str) -> str:
        """Give the key of the entity to which a name leads in a chat."""
        read = NAMES[name]
        own = self.same.get(read.key, read.key)
        if not read.short:
            return own
        longs = {}
        for other_chat, names in self.said.values():
            for other in names if other_chat == chat else ():
                if read.short in NAMES[other].tokens and NAMES[other].key != read.key:
                    longs[NAMES[other].key] = other
        kinds = defaultdict(set)
        titles = Counter[str]()
        for other in longs.values():
            entity = self.leads_to(chat, other)
            if (read.key, entity) not in self.apart:
                kinds[NAMES[other].long].add(entity)
                titles[NAMES[other].long] += 1
        full, titled = kinds["full"], kinds["titled"] | kinds["family"]
        if read.kind == "ORG":
            fits = kinds["initials"]
        elif read.long == "titled":
            others = {NAMES[other].long for other in longs.values()}
            fits = full if not others & {"titled", "family"} else set()
        elif full:
            fits = full if titled <= full and not kinds["family"] else set()
        else:
            fits = titled if titles["titled"] + titles["family"] == 1 else set()
        return next(iter(fits)) if len(fits) == 1 else own

    def entities(self) -> dict[str, dict[str, set[str]]]:
        """Give the names of each message by the keys of their entities."""
        out: dict[str, dict[str, set[str]]] = {}
        for message, (chat, names) in self.said.items():
            of = out.setdefault(message, {})
            for name in names:
                of.setdefault(self.leads_to(chat, name), set()).add(name)
        return out

    def forget(self, key: str) -> None:
        """Forget what was decided of an entity."""
        self.same = {name: of for name, of in self.same.items() if of != key}
        self.apart = {(name, of) for name, of in self.apart if of != key}
        self.awaits.pop(key, None)

    def there(self) -> set[str]:
        """Give the keys of all entities."""
        return {key for of in self.entities().values() for key in of}

    def gone(self, message: str) -> list[str]:
        """Take a message away; give what it mentioned last and is not named elsewhere."""
        before = self.entities()
        del self.said[message]
        after, gone = self.entities(), []
        for key in {key for of in before.values() for key in of} - self.there():
            own = {
                name
                for other in after
                for name in before[other].get(key, ())
                if NAMES[name].key == key
            }
            if not own:
                gone.append(key)
        return gone

    def delete(self, message: str) -> None:
        """Delete a message: what was decided of what it mentioned last is forgotten."""
        for key in self.gone(message):
            self.forget(key)
        self.know(message)

    def change(self, message: str, names: set[str]) -> None:
        """Let a message say something else, which may be the same again."""
        chat = self.said[message][0]
        for key in self.gone(message):
            self.awaits[key] = message
        self.said[message] = (chat, names)
        self.know(message)

    def know(self, message: str) -> None:
        """It is known what a message says: what waited for that stays if it is there again."""
        _, names = self.said.get(message, ("", set()))
        for key in [key for key, of in self.awaits.items() if of == message]:
            if key in self.there():
                del self.awaits[key]
            elif key not in {NAMES[name].key for name in names}:
                self.forget(key)

    def keys_at(self, key: str) -> set[str]:
        """Give the keys of the names that lead to an entity."""
        names = {name for of in self.entities().values() for name in of.get(key, ())}
        return {NAMES[name].key for name in names} | {key}

    def merge(self, key: str, other: str) -> None:
        """Make the names of another entity names of this one."""
        for name in self.keys_at(other):
            self.apart.discard((name, key))
        for name in self.keys_at(key):
            self.apart.discard((name, other))
        self.same.pop(key, None)
        for name, of in list(self.same.items()):
            if of == other:
                del self.same[name]
                if name != key:
                    self.same[name] = key
                    self.apart.discard((name, key))
        for name, of in list(self.apart):
            if of == other:
                self.apart.discard((name, of))
                if name != key and self.same.get(name) != key:
                    self.apart.add((name, key))
        self.same[other] = key
        self.apart.discard((other, key))

    def split(self, key: str, name: str) -> None:
        """Take a name from an entity."""
        own = NAMES[name].key
        if self.same.get(own) == key:
            del self.same[own]
        self.apart.add((own, key))


def entity_at(db: EmbeddedDB, id: str) -> Entity:
    """Read an entity."""
    entity = db.get_node(id)
    assert isinstance(entity, Entity)
    return entity


def check(db: EmbeddedDB, model: Model) -> None:
    """Compare everything that is seen of entities with the model."""
    expected = model.entities()
    ids: dict[str, str] = {}
    for message, of in expected.items():
        seen = {}
        for edge in db.edges(message, "MENTIONS"):
            names = {said["name"] for said in edge.properties["names"]}
            seen[edge.target] = names
            assert edge.weight == len(names)
            assert edge.sources == [message]
        assert sorted(map(sorted, seen.values())) == sorted(map(sorted, of.values()))
        for key, names in of.items():
            [entity] = [entity for entity, its in seen.items() if its == names]
            assert ids.setdefault(key, entity) == entity, "one key, one entity"
    assert len(set(ids.values())) == len(ids), "two keys, two entities"
    assert {entity.id for entity in db.nodes("Entity")} == set(ids.values())
    pairs = Counter[frozenset[str]]()
    for of in expected.values():
        pairs.update(frozenset(pair) for pair in itertools.combinations(of, 2))
    for key, id in ids.items():
        entity = entity_at(db, id)
        counts = Counter(name for of in expected.values() for name in of.get(key, ()))
        assert entity.mention_count == sum(key in of for of in expected.values())
        assert entity.names == counts
        own = {name for name in counts if NAMES[name].key == key}
        assert entity.label in own or not own
        assert set(entity.aliases) == counts.keys() - {entity.label}
        for edge in db.edges(id, "RELATED_TO"):
            other = next(key for key, id in ids.items() if id == edge.target)
            assert pairs.pop(frozenset([key, other]), 0) == edge.weight
    assert not pairs
    decided = {(node["decision"], node["name"], node["entity"]) for node in decisions(db)}
    kept = {("same", *pair) for pair in model.same.items()} | {("apart", *p) for p in model.apart}
    assert {(what, *(key.split(":")[1] for key in keys)) for what, *keys in decided} == kept


def decisions(db: EmbeddedDB) -> list[Node]:
    """Read the decisions."""
    return [node for node in db.nodes("EntityDecision") if isinstance(node, Node)]


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedDB]:
    config = MLConfig(embedding="hashing", entities=names_in, summary=None)
    with EmbeddedDB(":memory:", ml=config) as db:
        yield db


TEXTS = st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=3, unique=True)
STEPS = st.sampled_from(["say", "say", "say", "change", "delete", "merge", "split", "drop"])


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
def test_names_lead_where_the_model_says(shared: EmbeddedDB, data: st.DataObject) -> None:
    name = f"n{shared.stats()['lsn']}"
    db, model = shared.namespace(name), Model()
    try:
        for _ in range(data.draw(st.integers(3, 14))):
            act(db, model, data)
            db.flush(timeout=60)
            check(db, model)
        assert shared.verify(deep=True)["ok"]
        for message in list(model.said):
            db.delete_node(message)
            model.delete(message)
            check(db, model)
        assert db.count("Entity") == 0
        assert shared.verify(deep=True)["ok"]
    finally:
        shared.drop_namespace(name)


def act(db: EmbeddedDB, model: Model, data: st.DataObject) -> None:
    """Do one thing to both."""
    step = data.draw(STEPS)
    if step == "say" or not model.said:
        chat, names = data.draw(st.sampled_from("ab")), data.draw(TEXTS)
        message = db.create_message(chat, "; ".join(names))
        model.said[message.id] = (chat, set(names))
        return
    message = data.draw(st.sampled_from(sorted(model.said)))
    if step == "change":
        names = data.draw(TEXTS)
        before = db.get_node(message)
        db.update_node(message, {"content": "; ".join(names)})
        if before is not None and before["content"] != "; ".join(names):
            db.flush(timeout=60)
            model.change(message, set(names))
        return
    if step == "delete":
        db.delete_node(message)
        model.delete(message)
        return
    where = {}
    expected = model.entities()
    for id, of in expected.items():
        for edge in db.edges(id, "MENTIONS"):
            names = {said["name"] for said in edge.properties["names"]}
            where[next(key for key, its in of.items() if its == names)] = edge.target
    keys = sorted(where)
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    if step == "drop":
        db.delete_node(where[key])
        model.forget(key)
        for id, of in expected.items():
            chat, names = model.said[id]
            model.said[id] = (chat, names - of.get(key, set()))
    elif step == "merge":
        other = data.draw(st.sampled_from(keys))
        if other != key:
            kept = db.merge_entities(where[key], where[other])
            assert kept.id == where[key]
            model.merge(key, other)
    else:
        entity = entity_at(db, where[key])
        others = [alias for alias in entity.aliases if NAMES[alias].key != key]
        if others:
            alias = data.draw(st.sampled_from(sorted(others)))
            made = db.split_entity(entity, alias)
            model.split(key, alias)
            assert made.id != entity.id


def test_what_is_said_is_read_back(shared: EmbeddedDB) -> None:
    message = shared.create_message("c", "Anna Smith; Anna")
    shared.flush(timeout=60)
    assert isinstance(message, Message)
    assert [entity.label for entity in message.entities()] == ["Anna Smith"]
