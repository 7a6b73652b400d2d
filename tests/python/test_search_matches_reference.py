"""`db.search` gives the scores of its formulas.

They are written down here a second time, as plainly as possible, over lists: what BM25 knows, who
is a sender, what lies beside what and in which session is that of the candidates alone. Random
small chats, with pauses, senders, question marks and edits, are then asked random questions.
"""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

WORDS = ["zor", "mip", "taq", "vul", "wek"]
SENDERS = ["Alice Roe", "Bob", "Dave"]
BEGIN = datetime(2023, 4, 28, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Turn:
    """A message as the reference sees it."""

    id: str
    chat: str | None  # None: it stands alone
    sender: str
    content: str
    time: datetime
    vector: np.ndarray | None
    session: int = 0

    @property
    def words(self):
        return f"{self.sender} {self.content}".lower().replace("?", " ").split()


def divided(turns):
    """Number the sessions: a new one for each chat, and where more than an hour lies between."""
    number = -1
    for chat in dict.fromkeys(turn.chat or turn.id for turn in turns):
        before = None
        for turn in (turn for turn in turns if chat in (turn.chat, turn.id)):
            number += before is None or abs(turn.time - before) > HOUR
            turn.session, before = number, turn.time
    return turns


def bm25(documents, terms, k1, b):
    count = sum(bool(document) for document in documents)
    mean = sum(map(len, documents)) / max(count, 1)
    scores = [0.0] * len(documents)
    for term in dict.fromkeys(terms):
        holders = sum(term in document for document in documents)
        if not holders:
            continue
        rarity = math.log(1 + (count - holders + 0.5) / (holders + 0.5))
        for at, document in enumerate(documents):
            often = document.count(term)
            damped = k1 * (1 - b + b * len(document) / mean)
            scores[at] += rarity * often * (k1 + 1) / (often + damped) if often else 0.0
    return scores


def mm(scores, floor=None):
    """Spread from 0 to 1; what has no score is at the bottom."""
    known = [score if score is not None else floor for score in scores]
    known = [score for score in known if score is not None]
    if not known:
        return [0.0] * len(scores)
    low, high = min(known), max(known)
    # Where a spread is but rounding, nothing can be said of its order.
    assume(high == low or high - low > 1e-5)
    if high == low:
        return [0.0 if score is None else 1.0 for score in scores]
    return [0.0 if score is None else (score - low) / (high - low) for score in scores]


def positive(scores):
    return [score if score > 0 else None for score in scores]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def near(session, day, month):
    """How near the days of a session lie to a day of a month, or to a month."""
    first, last = session[0].time.date(), session[-1].time.date()
    first = min([first, *(turn.time.date() for turn in session)])
    last = max([last, *(turn.time.date() for turn in session)])
    in_month = first.month <= month <= last.month
    if day is None:
        return float(in_month)
    wanted = datetime(2023, month, day, tzinfo=UTC).date()
    days = max((first - wanted).days, (wanted - last).days, 0)
    return 0.3 * in_month + math.exp(-days / 4)


def expected(profile, turns, terms, question, names, date, pool=None):
    """The score of every turn of the pool (all of them, if none is given) by its id."""
    sessions = [
        [turn for turn in turns if turn.session == number]
        for number in dict.fromkeys(turn.session for turn in turns)
    ]
    turns = [turn for session in sessions for turn in session]
    pool = set(range(len(turns))) if pool is None else pool
    session_of = [at for at, session in enumerate(sessions) for _ in session]

    def beside(at, steps):
        other = at + steps
        inside = 0 <= other < len(turns) and session_of[other] == session_of[at]
        return other if inside else None

    def only_pool(scores):
        return [score for at, score in enumerate(scores) if at in pool]

    def spread(scores, floor=None):
        scaled = iter(mm(only_pool(scores), floor))
        return [next(scaled) if at in pool else 0.0 for at in range(len(turns))]

    text = spread(positive(bm25([turn.words for turn in turns], terms, 0.9, 0.4)), 0.0)
    similarity = [
        None if turn.vector is None or question is None else cosine(turn.vector, question)
        for turn in turns
    ]
    semantic = spread(similarity)
    if profile == "plain":
        return {turns[at].id: 0.5 * text[at] + 0.5 * semantic[at] for at in pool}
    base = [0.5 * a + 0.5 * b for a, b in zip(text, semantic, strict=True)]
    by_name = [float(len(names) == 1 and turn.sender in names) for turn in turns]
    by_date = [near(sessions[session_of[at]], *date) if date else 0.0 for at in range(len(turns))]
    if profile == "conversation":
        whole = bm25(
            [[word for t in session if t.chat for word in t.words] for session in sessions],
            terms,
            1.2,
            0.75,
        )
        session = spread(positive([whole[number] for number in session_of]), 0.0)
        scores = []
        for at, turn in enumerate(turns):
            own = base[at] + 0.3 * (session[at] if turn.chat else text[at])
            for steps, share in ((-1, 0.3), (1, 0.3), (-2, 0.1), (2, 0.1)):
                other = beside(at, steps)
                own += share * base[other] if other is not None else 0.0
            ends = turn.content.endswith("?")
            scores.append(own * (1 + 0.1 * by_name[at]) + 0.5 * by_date[at] - 0.2 * ends)
        return {turns[at].id: scores[at] for at in pool}
    around = [
        [other for steps in range(-2, 3) if (other := beside(at, steps)) is not None]
        for at in range(len(turns))
    ]
    windows = [[word for other in window for word in turns[other].words] for window in around]
    window = spread(positive(bm25(windows, terms, 0.9, 0.4)), 0.0)
    meanings = []
    for at, turn in enumerate(turns):
        if turn.vector is None or question is None:
            meanings.append(None)
            continue
        vector = turn.vector.astype(float)
        for steps in (-1, 1):
            other = beside(at, steps)
            if other is not None and turns[other].vector is not None:
                vector = vector + 0.5 * turns[other].vector
        meanings.append(cosine(vector, question))
    meaning = spread(meanings)
    scores = []
    for at, turn in enumerate(turns):
        before = beside(at, -1)
        answers = before is not None and "?" in turns[before].content
        best = max((base[i] for i in pool if session_of[i] == session_of[at]), default=0.0)
        scores.append(
            0.6 * text[at]
            + semantic[at]
            + window[at]
            + meaning[at]
            + best
            + 0.4 * by_name[at]
            + by_date[at]
            + 0.3 * answers
            - 0.26 * ("?" in turn.content)
        )
    return {turns[at].id: scores[at] for at in pool}


contents = st.builds(
    lambda words, mark: " ".join(words) + mark,
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
    st.sampled_from(["", "", "?", "? zor"]),
)
messages = st.lists(
    st.tuples(
        st.sampled_from(["c1", "c2", "c3", None]),
        st.sampled_from(SENDERS),
        contents,
        # Seconds since the message before, of whichever chat: some go back, some pause.
        st.sampled_from([-90_000, -60, 10, 600, 3600, 3601, 90_000]),
    ),
    min_size=1,
    max_size=14,
)
questions = st.fixed_dictionaries(
    {
        "words": st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
        "names": st.lists(st.sampled_from(SENDERS), max_size=2, unique=True),
        "date": st.sampled_from([None, None, (None, 5), (30, 4), (2, 5)]),
    }
)
MONTHS = {4: "April", 5: "May"}


def put_into(*questions):
    """The text of a question, and what of it is embedded."""
    asked, embedded = [], []
    for question in questions:
        dated = []
        if question["date"]:
            day, month = question["date"]
            dated = ["in" if day is None else f"on {day}", MONTHS[month]]
        names = [name.split()[0] for name in question["names"]]
        asked += ["what", "did", *names, *question["words"], *dated]
        embedded += ["what", "did", *question["words"], *dated]
    return " ".join(asked), " ".join(embedded)


def fill(db, messages):
    time = BEGIN
    for number, (chat, sender, content, later) in enumerate(messages):
        time += timedelta(seconds=later)
        if chat is not None:
            db.create_message(chat, content, sender=sender, timestamp=time, id=f"m{number}")
            continue
        said = {"content": content, "sender": sender, "timestamp": time}
        db.create_node({"id": f"m{number}", "label": "Message", "properties": said})


def make_sure_of(db, chats):
    """Make the chats that no message has made: a chat that is asked for has to exist."""
    for chat in chats:
        if not db.exists(chat):
            db.create_chat(id=chat)


def stored(db, vectors=True):
    """The turns as they are read back, in the order in which they were made."""
    out = []
    for node in db.nodes("Message"):
        found = db.get_embedding_for_node(node.id) if vectors else None
        out.append(
            Turn(
                node.id,
                node.get("chat_id"),
                node["sender"],
                node["content"],
                node["timestamp"],
                None if found is None else found.vector,
            )
        )
    return divided(out)


def terms_of(question):
    """The words that tell: neither stop words nor a date's preposition."""
    day, month = question["date"] or (None, None)
    date = [*([str(day)] if day else []), *(["april"] if month == 4 else [])]
    return [*(name.split()[0].lower() for name in question["names"]), *question["words"], *date]


def check(results, scores):
    assert {result.node.id for result in results} == set(scores)
    for result in results:
        assert result.score == pytest.approx(scores[result.node.id], abs=2e-4)
        assert sum(result.shares.values()) == pytest.approx(result.score, abs=1e-5)
    assert [r.score for r in results] == sorted((r.score for r in results), reverse=True)


@given(
    messages,
    questions,
    st.sampled_from(["conversation", "window", "plain"]),
    st.none() | st.lists(st.sampled_from(["c1", "c2", "c3"]), min_size=1, max_size=2, unique=True),
    st.booleans(),
)
def test_scores_are_those_of_the_formulas(messages, question, profile, chats, only_sender):
    model = FakeModel(dim=16)
    with EmbeddedDB(":memory:", ml=model) as db:
        fill(db, messages)
        make_sure_of(db, chats or ())
        db.flush(timeout=60)
        filters = []
        if only_sender:
            filters = [{"property": "sender", "operator": "In", "value": ["Bob", "Dave"]}]
        turns = [
            turn
            for turn in stored(db)
            if (chats is None or turn.chat in chats)
            and (not only_sender or turn.sender in ("Bob", "Dave"))
        ]
        text, embedded = put_into(question)
        present = {turn.sender for turn in turns}
        names = [name for name in question["names"] if name in present]
        if len(names) < len(question["names"]):
            # Who wrote none of the candidates is not known to be a name.
            _, embedded = put_into({**question, "words": [], "names": []})
            asked = [name.split()[0] for name in question["names"] if name not in present]
            _, embedded = put_into({**question, "words": [*asked, *question["words"]]})
        results = db.search(
            text,
            chats,
            limit=100,
            profile=profile,
            structural_filters=filters,
            labels=["Message"],
        )
        assert results.analysis["embedded"] == embedded
        assert results.analysis["names"] == sorted(names, key=results.analysis["names"].index)
        vector = model.embed([embedded])[0]
        check(
            results, expected(profile, turns, terms_of(question), vector, names, question["date"])
        )


@settings(max_examples=40)
@given(messages, questions, st.sampled_from(["conversation", "window"]), st.data())
def test_words_alone_need_no_model(messages, question, profile, data):
    """What matches, and what stands beside it, is found; edits and deletions are followed."""
    question = {**question, "date": None}
    with EmbeddedDB(":memory:", ml=None) as db:
        fill(db, messages)
        text, _ = put_into(question)
        weights = {"semantic": 0}
        for _ in range(3):
            turns = stored(db, vectors=False)
            terms = terms_of(question)
            names = [name for name in question["names"] if name in {t.sender for t in turns}]
            order = sorted(range(len(turns)), key=lambda at: (turns[at].session, at))
            turns = [turns[at] for at in order]
            pool = {
                other
                for at, turn in enumerate(turns)
                for other in range(max(at - 2, 0), min(at + 3, len(turns)))
                if turns[other].session == turn.session and (set(turn.words) & set(terms))
            }
            if profile == "window":
                pool = {
                    other
                    for at in pool
                    for other in range(max(at - 2, 0), min(at + 3, len(turns)))
                    if turns[other].session == turns[at].session
                }
            found = db.search(text, limit=100, profile=profile, weights=weights)
            if turns:
                check(found, expected(profile, turns, terms, None, names, None, pool))
            else:
                assert len(found) == 0
            changed = data.draw(st.sampled_from([f"m{at}" for at in range(len(messages))]))
            if not db.exists(changed):
                continue
            match data.draw(st.sampled_from(["delete", "content", "sender", "time", "chat"])):
                case "delete":
                    db.delete_node(changed)
                case "content":
                    db.update_node(changed, {"content": data.draw(contents)})
                case "sender":
                    db.update_node(changed, {"sender": data.draw(st.sampled_from(SENDERS))})
                case "time":
                    hours = data.draw(st.integers(-3, 3))
                    db.update_node(changed, {"timestamp": BEGIN + hours * HOUR})
                case "chat":
                    chat = data.draw(st.sampled_from(["c1", "c2", "c3", "c4"]))
                    sender, hours = (
                        data.draw(st.sampled_from(SENDERS)),
                        data.draw(st.integers(0, 3)),
                    )
                    content = data.draw(contents)
                    db.create_message(chat, content, sender=sender, timestamp=BEGIN + hours * HOUR)


@settings(max_examples=30)
@given(messages, questions, st.sampled_from(["conversation", "window", "plain"]))
def test_chats_of_many_answer_as_if_they_were_alone(messages, question, profile):
    model = FakeModel(dim=16)
    chats = ["c1", "c2"]
    with EmbeddedDB(":memory:", ml=model) as db:
        alone = db.namespace("alone")
        fill(db, messages)
        for node in db.nodes("Message"):
            if node.get("chat_id") in chats:
                alone.create_message(
                    node["chat_id"],
                    node["content"],
                    sender=node["sender"],
                    timestamp=node["timestamp"],
                    id=node.id,
                )
        make_sure_of(db, chats)
        make_sure_of(alone, chats)
        db.flush(timeout=60)
        text, _ = put_into(question)
        asked = {"limit": 100, "profile": profile, "labels": ["Message"]}
        among = db.search(text, chats, **asked)
        itself = alone.search(text, **asked)
        if profile == "plain":
            # There the titles of chats, entities and summaries are in the namespace too.
            itself = alone.search(text, chats, **asked)
        assert [(r.node.id, r.score, r.shares) for r in among] == [
            (r.node.id, r.score, r.shares) for r in itself
        ]
        assert Counter(among.analysis["names"]) == Counter(itself.analysis["names"])
