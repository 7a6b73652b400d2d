"""Every public class that reads or writes has its twin, with the same methods, parameters and docs.

The twins are written by a script; what is compared here is what users see, whoever wrote it.
"""

import ast
import inspect
import re
import textwrap

import pytest

import embedded_db

# What is a value, or in memory alone: it reads nothing, and is the same for both.
VALUES = {
    "BlackBoxEvent",
    "HealthReport",
    "Attr",
    "Change",
    "Condition",
    "Config",
    "ConvergedQuery",
    "Edge",
    "Embedding",
    "Enrichment",
    "Expression",
    "Highlight",
    "Index",
    "IntuitionBuilder",
    "IntuitionConfig",
    "IntuitionEngine",
    "IntuitionStats",
    "Limit",
    "MLConfig",
    "NamespaceQuota",
    "NearToken",
    "Node",
    "NodeIds",
    "NodeValues",
    "Partition",
    "Policy",
    "Quota",
    "Sampling",
    "Status",
    "Token",
    "TokenArray",
    "TokenField",
    "Tracing",
    "WeaverConfig",
}
# What reads nothing in the twins either: it is there, or makes something that is awaited.
AT_ONCE = {
    "EmbeddedDB.batch",
    "EmbeddedDB.snapshot",
    "EmbeddedDB.transaction",
    "Message.to_openai",
    "Model.get",
    "Model.to_dict",
    "Model.where",
    "NodeModel.where",
    "Relation.model",
    "Selection.to_query",
}
# What only the twins have: opening without a block; the number of stored writes, for
# that of a batch is an attribute, which only its objects have.
MORE = {"AsyncBatch.stored", "AsyncEmbeddedDB.open"}
# What holds what was read, and awaits nothing but what its nodes offer.
HELD = {"Path", "Result", "Results", "SearchResults", "Subgraph", "Visit"}

PAIRS = {
    name: (getattr(embedded_db, name), getattr(embedded_db, f"Async{name}"))
    for name in embedded_db.__all__
    if f"Async{name}" in embedded_db.__all__
}


def test_every_class_that_reads_or_writes_has_a_twin():
    kinds = {
        name
        for name in embedded_db.__all__
        if inspect.isclass(getattr(embedded_db, name))
        and not issubclass(getattr(embedded_db, name), embedded_db.DbError)
        and not name.startswith("Async")
    }
    assert kinds - VALUES == set(PAIRS)
    twins = {name for name in embedded_db.__all__ if name.startswith("Async")}
    assert twins - {f"Async{name}" for name in PAIRS} == {"AsyncPages"}


def public(kind):
    """Give the public names of a class that are ours."""
    found = {}
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        of = next(base for base in kind.__mro__ if name in vars(base))
        if not name.startswith(("_", "model_")) and of.__module__.split(".")[0] == "embedded_db":
            found[name] = value
    return found


MEMBERS = [
    pytest.param(name, member, id=f"{name}.{member}")
    for name, (plain, _) in PAIRS.items()
    for member in public(plain)
]


def function_of(value):
    value = getattr(value, "fget", value)
    return getattr(value, "__func__", value)


def parameters(function):
    """Give parameters and what comes back as they are written, without quotes and `Async`."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    returns = ast.unparse(node.returns).replace("'", "")
    text = ast.unparse(node.args).replace("'", "")
    if "Literal" in text:  # whose texts keep their quotes
        text, returns = text.replace('"', ""), returns.replace('"', "")
    return plain(text), re.sub(r"^Pages\[", "Iterator[", plain(returns))


def plain(text):
    """Give what a twin says as the class itself would."""
    text = re.sub(r"\bAsync(?=\w)", "", text)
    text = re.sub(r"Callable\[\[Transaction\], Awaitable\[R\]\] \| ", "", text)
    text = text.replace("progress: Progress", "progress: Callable[[int, int], None]")
    return text.replace("count_tokens: TokenCounter", "count_tokens: Callable[[str], int]")


def words(doc):
    """Give what a docstring says before its examples, as one line."""
    text = re.sub(r"\bAsync(?=[A-Z])", "", inspect.cleandoc(doc or "").partition("Examples:")[0])
    text = text.replace("async with", "with").replace("at the first step", "at the call")
    return " ".join(re.sub(r"\b([Aa])n (?=`[BCDFMNPRSTV])", r"\1 ", text).split())


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_a_member_has_its_twin(name, member):
    plain_kind, twin_kind = PAIRS[name]
    value = inspect.getattr_static(plain_kind, member)
    assert hasattr(twin_kind, member), "the twin has it not"
    twin = inspect.getattr_static(twin_kind, member)
    if twin is value:  # held, and so taken over
        assert name in (*HELD, "NodeModel", "EdgeModel", "Relation") or not callable(value)
        return
    first, second = function_of(value), function_of(twin)
    if not inspect.isfunction(first):  # a declared property, a label
        assert type(value) is type(twin) or isinstance(twin, property)
        return
    assert isinstance(value, staticmethod) == isinstance(twin, staticmethod)
    assert isinstance(value, classmethod) == isinstance(twin, classmethod)
    awaited = inspect.iscoroutinefunction(second)
    ours, theirs = parameters(first), parameters(second)
    assert ours[0] == theirs[0]
    assert [p.default for p in inspect.signature(first).parameters.values()] == [
        p.default for p in inspect.signature(second).parameters.values()
    ]
    assert re.sub(r"^Pages\[", "Iterator[", ours[1]) == theirs[1]
    if not isinstance(value, property) or awaited:
        given_at_once = "Iterator[" in theirs[1] or theirs[1].startswith(
            ("Selection", "ChangeFeed")
        )
        at_once = f"{first.__qualname__}" in AT_ONCE
        assert awaited != (given_at_once or at_once)
    if name not in HELD:
        assert words(value.__doc__) == words(twin.__doc__)


def test_the_twins_have_nothing_else():
    more = {
        f"{kind.__name__}.{member}"
        for plain_kind, kind in PAIRS.values()
        for member in public(kind)
        if not hasattr(plain_kind, member)
    }
    assert more == MORE


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in HELD])
def test_a_class_says_what_its_twin_says(name):
    plain_kind, twin_kind = PAIRS[name]
    if name not in ("ChangeFeed", "Relation"):  # of which more is to be said
        assert words(plain_kind.__doc__) == words(twin_kind.__doc__)
    assert "await " in twin_kind.__doc__ or "async " in twin_kind.__doc__


def test_handles_are_made_of_the_same():
    first = inspect.signature(embedded_db.EmbeddedDB)
    second = inspect.signature(embedded_db.AsyncEmbeddedDB)
    assert [(p.name, p.kind, p.default) for p in first.parameters.values()] == [
        (p.name, p.kind, p.default) for p in second.parameters.values()
    ]
