"""Every public name has type hints, a docstring, a stub entry and an example that is executed.

Public is what the package and its documented modules export, and what the reference describes;
of a class also what it takes over from bases of ours. What is asked of a name follows from its
kind:

- a function or method: a hint and an entry under ``Args:`` for each parameter, a hint for what it
  returns, an entry under ``Raises:`` for each error that it raises (or that a helper says it does,
  but for `InvalidInput` of values that the hints exclude), and an example of its own that names it.
  One without parameters may be named by the example of its class instead.
- a function that a class has as a static method, too, is documented once.
- a twin, whose first sentence names the method of `EmbeddedDB` that does the same: its parameters
  are explained there, and the example is there.
- a class: a docstring and an example; and if it says ``Args:``, for users make its objects, of its
  constructor what is asked of a function. For an error the example of the whole tree is enough.
- a property: a hint, a docstring, and its name in the example of its class.
- a field, which is to its class what a parameter is to a function: a hint, and an entry under
  ``Attributes:`` or ``Args:``, its name in the docstring, or a text below it; the class has the
  example. A stored property of a built-in model is a field.
- a method of a protocol, which is there to be written by others: a docstring and hints.
- any other value, such as a constant, the name of a type, a fixture: a text.

Every example shows what comes of it. What is native is in the stub with the docstring that it has
at run time.
"""

import ast
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import itertools
import re
import runpy
import textwrap
import types
from pathlib import Path
from typing import NamedTuple, is_typeddict

import embedded_db
from embedded_db import errors
from embedded_db.errors import DbError, NotFound
from embedded_db.models import Property

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python"
NATIVE = "embedded_db._native"
MODULES = (
    "embedded_db",
    "embedded_db.bridges",
    "embedded_db.embedding",
    "embedded_db.importers",
    "embedded_db.interchange",
    "embedded_db.messaging",
    "embedded_db.ml",
    "embedded_db.ml.ml_funcs",
    "embedded_db.testing",
    "embedded_db.pytest_plugin",
    "embedded_db.vectors",
)
SECTION = re.compile(r"^(\w+):\n((?:    .*\n|\n)+)", re.MULTILINE)
ENTRY = re.compile(r"^    \*{0,2}(\w+):", re.MULTILINE)


def beside(file):
    """Give what another test file defines."""
    return runpy.run_path(str(Path(__file__).with_name(file)))


EXAMPLES = {
    found.id: found.values[0].examples for found in beside("test_docstrings.py")["examples"]()
}
DESCRIBED = beside("test_docs.py")["described"]()


# --- what is public -------------------------------------------------------------------------------


class Member(NamedTuple):
    """A public name of a class: the class that defines it, the name, what stands there."""

    definer: type
    name: str
    value: object

    @property
    def path(self):
        return f"{path_of(self.definer)}.{self.name}"


def path_of(value):
    return f"{value.__module__}.{value.__qualname__}"


def is_ours(value):
    return (getattr(value, "__module__", None) or "").split(".")[0] == "embedded_db"


def is_module(path):
    file = PACKAGE / path.replace(".", "/")
    return file.is_dir() or file.with_suffix(".py").is_file()


def public_names():
    """Give every public name by the path where it is defined."""
    names = {}
    # A module whose members are named is described for its own text, and for these.
    paths = {path for path in DESCRIBED if not path.endswith(".")}
    for module_name in {*MODULES, *filter(is_module, paths)}:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            if not name.startswith("__"):
                names |= defined(module, name)
    for path in paths:
        module_name, _, name = path.rpartition(".")
        if not is_module(path):
            names |= defined(importlib.import_module(module_name), name)
    return names


def defined(module, name):
    """Give a name with the path of the place where it is defined."""
    value = getattr(module, name)
    if isinstance(value, types.ModuleType):
        return {}
    if inspect.isclass(value) or inspect.isfunction(value):
        return {path_of(value): value}
    return {f"{source_of(module, name).__name__}.{name}": value}


def source_of(module, name):
    """Give the module in which a value is assigned, through those that pass it on."""
    for node in ast.walk(tree(module)):  # some are imported where there is a native module
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            package = module.__name__ if hasattr(module, "__path__") else module.__package__
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            return source_of(importlib.import_module(source), name)
    return module


@functools.cache
def tree(module):
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))


def members(kind):
    """Give what a class has, each where it is defined, without what others than us define."""
    for definer in kind.__mro__:
        if is_ours(definer):
            for name in {**vars(definer), **annotations(definer)}:
                if not name.startswith("_"):
                    yield Member(definer, name, vars(definer).get(name))


def annotations(kind):
    return vars(kind).get("__annotations__", {})


PUBLIC = public_names()
CLASSES = [value for value in PUBLIC.values() if inspect.isclass(value)]
FUNCTIONS = [value for value in PUBLIC.values() if inspect.isfunction(value)]
VALUES = {path: value for path, value in PUBLIC.items() if value not in [*CLASSES, *FUNCTIONS]}
MEMBERS = {member.path: member for kind in CLASSES for member in members(kind)}


# --- of what kind it is ---------------------------------------------------------------------------


def function_of(member):
    value = member.value
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if inspect.isfunction(value) and is_ours(value):
        return value
    return value if isinstance(value, types.MethodDescriptorType) else None


def is_property(member):
    kinds = (property, functools.cached_property, types.GetSetDescriptorType)
    return isinstance(member.value, kinds)


def is_field(member):
    if isinstance(member.value, Property):
        return True
    return (
        member.name in annotations(member.definer)
        and function_of(member) is None
        and not is_property(member)
    )


def is_protocol(kind):
    return getattr(kind, "_is_protocol", False)


# --- what a docstring says ------------------------------------------------------------------------


def doc_of(value):
    return inspect.cleandoc(getattr(value, "__doc__", None) or "")


def entries(doc, *sections):
    """Give the names that sections of a docstring explain."""
    found = set()
    for title, body in SECTION.findall(doc + "\n"):
        if title in sections:
            found |= set(ENTRY.findall(body))
    return found


def explained(member):
    """Tell whether a field is explained."""
    if isinstance(member.value, Property):
        return bool(member.value.doc)
    doc = doc_of(member.definer)
    return (
        member.name in entries(doc, "Args", "Attributes") | field_texts(member.definer)
        or f"``{member.name}``" in doc
    )


def field_texts(kind):
    """Give the names in the body of a class that have a text below them.

    A TypedDict repeats the fields of its bases, which explain them.
    """
    module = inspect.getmodule(kind)
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            names |= texts_below(node.body)
            if is_typeddict(kind):
                bases = [getattr(module, getattr(base, "id", ""), None) for base in node.bases]
                names |= set().union(*map(field_texts, filter(is_typeddict, bases)))
    return names


def texts_below(body):
    """Give the names that have a text below them."""
    names = set()
    for node, after in itertools.pairwise(body):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


# --- what examples show ---------------------------------------------------------------------------


def example(path):
    """Give the source of the example at a name, as it is executed; nothing when there is none."""
    return "".join(each.source for each in EXAMPLES.get(path, ()))


def shown_by_class(member):
    """Tell whether the example of the class, or of one that takes it over, has the name in it."""
    kinds = {member.definer, *(kind for kind in CLASSES if issubclass(kind, member.definer))}
    return any(re.search(rf"\.{member.name}\b", example(path_of(kind))) for kind in kinds)


def twin_of(doc):
    """Give the method of the database that a docstring names as the same thing."""
    named = re.search(r"`((?:Async)?EmbeddedDB)\.(\w+)`", doc.partition("\n")[0])
    twin = named and getattr(getattr(embedded_db, named[1]), named[2], None)
    return twin if twin is not None and example(path_of(twin)) else None


# --- what is missing ------------------------------------------------------------------------------


def parameters(function):
    found = list(inspect.signature(function).parameters.values())
    return found[1:] if found and found[0].name in ("self", "cls") else found


def raised(function):
    """Give the errors of ours that a function raises, or that its helpers say they raise."""
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(getattr(node.exc.func, "id", ""))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            helper = function.__globals__.get(node.func.id)
            if inspect.isfunction(helper) and is_ours(helper):
                found |= entries(doc_of(helper), "Raises") - {"InvalidInput"}
    return found & set(errors.__all__)


def faults_of_function(path, function, doc, twin=None):
    if not doc:
        yield f"{path}: no docstring"
    signature = inspect.signature(function)
    if signature.return_annotation is signature.empty:
        yield f"{path}: no type hint for what it returns"
    known = entries(doc, "Args") | (entries(doc_of(twin), "Args") if twin else set())
    names = {parameter.name for parameter in parameters(function)}
    for parameter in parameters(function):
        if parameter.annotation is parameter.empty:
            yield f"{path}: no type hint for {parameter.name}"
        if parameter.name not in known and not (twin and parameter.name == "db"):
            yield f"{path}: Args does not explain {parameter.name}"
    for name in entries(doc, "Args") - names:
        yield f"{path}: Args explains {name}, which is no parameter"
    said = entries(doc, "Raises") | (entries(doc_of(twin), "Raises") if twin else set())
    kinds = tuple(getattr(errors, name) for name in said if name in errors.__all__)
    for name in raised(function):
        if not issubclass(getattr(errors, name), kinds):
            yield f"{path}: Raises does not name {name}"


def faults_of_example(path, name):
    if not example(path):
        yield f"{path}: no example"
    elif not re.search(rf"\b{name}\b", example(path)):
        yield f"{path}: its example does not name it"
    elif not any(each.want for each in EXAMPLES[path]):
        yield f"{path}: its example does not show what comes of it"


def faults_of_free_function(function):
    path, doc = path_of(function), doc_of(function)
    twin = twin_of(doc)
    yield from faults_of_function(path, function, doc, twin)
    if twin is None:
        yield from faults_of_example(path, function.__name__)


def faults_of_member(member):
    function = function_of(member)
    if is_field(member):
        if not explained(member):
            yield f"{member.path}: not explained"
    elif is_property(member):
        if not doc_of(member.value):
            yield f"{member.path}: no docstring"
        getter = getattr(member.value, "fget", None)
        if getter is not None and inspect.signature(getter).return_annotation is inspect._empty:
            yield f"{member.path}: no type hint"
        if not shown_by_class(member):
            yield f"{member.path}: the example of the class does not show it"
    elif isinstance(function, types.MethodDescriptorType):
        for name in {parameter.name for parameter in parameters(function)}:
            if name not in entries(doc_of(function), "Args"):
                yield f"{member.path}: Args does not explain {name}"
        if not shown_by_class(member):
            yield f"{member.path}: the example of the class does not show it"
    elif function is not None:
        doc = doc_of(function)
        twin = twin_of(doc)
        yield from faults_of_function(member.path, function, doc, twin)
        trivial = not parameters(function) and shown_by_class(member)
        is_free = function in FUNCTIONS
        if not (twin or trivial or is_free or is_protocol(member.definer)):
            yield from faults_of_example(member.path, member.name)


def faults_of_class(kind):
    path, doc = path_of(kind), doc_of(kind)
    if not doc or doc.startswith(f"{kind.__name__}("):  # which a dataclass gives itself
        yield f"{path}: no docstring"
    shown = path_of(DbError) if issubclass(kind, DbError) else path
    if not any(each.want for each in EXAMPLES.get(shown, ())):
        yield f"{path}: no example that shows what comes of it"
    made = "__init__" in vars(kind) and not dataclasses.is_dataclass(kind)
    if made and entries(doc, "Args"):
        yield from faults_of_function(path, kind.__init__, doc)


def faults_of_value(path, value):
    module = importlib.import_module(path.rpartition(".")[0])
    wrapped = getattr(value, "__wrapped__", None)  # of a fixture
    if path.rpartition(".")[2] not in texts_below(tree(module).body) and not doc_of(wrapped):
        yield f"{path}: no text below it"


# --- the promise ----------------------------------------------------------------------------------


def test_what_is_public_has_hints_a_docstring_and_an_example():
    assert len(CLASSES) > 60
    assert len(MEMBERS) > 300
    faults = set()
    for function in FUNCTIONS:
        faults |= set(faults_of_free_function(function))
    for kind in CLASSES:
        faults |= set(faults_of_class(kind))
    for member in MEMBERS.values():
        faults |= set(faults_of_member(member))
    for path, value in VALUES.items():
        faults |= set(faults_of_value(path, value))
    assert not faults, "\n".join(["", *sorted(faults)])


def test_what_is_native_is_in_the_stub_with_hints_and_the_same_docstring():
    stub = ast.parse((PACKAGE / "embedded_db" / "_native.pyi").read_text(encoding="utf-8"))
    stubs = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    native = [kind for kind in CLASSES if kind.__module__ == NATIVE]
    assert {"Edge", "Embedding", "Node"} <= {kind.__name__ for kind in native}
    faults = []
    for kind in native:
        entry = stubs[kind.__name__]
        if ast.get_docstring(entry) != doc_of(kind):
            faults.append(f"{kind.__name__}: another docstring than in the stub")
        functions = {node.name: node for node in entry.body if isinstance(node, ast.FunctionDef)}
        for member in members(kind):
            found = functions.get(member.name)
            if found is None:
                faults.append(f"{member.path}: not in the stub")
                continue
            hinted = [argument.annotation for argument in found.args.args[1:]]
            if found.returns is None or None in hinted:
                faults.append(f"{member.path}: no type hint in the stub")
            if ast.get_docstring(found) != doc_of(member.value):
                faults.append(f"{member.path}: another docstring than in the stub")
    assert not faults, "\n".join(["", *faults])


def planted(known: int, forgotten, *, other: str):
    """Do something.

    Args:
        known: a number.
        gone: nothing any more.

    Raises:
        AlreadyExists: sometimes.
    """
    raise NotFound(f"{known}, {forgotten}, {other}")


class Planted:
    """Something."""

    field: int

    @property
    def length(self):
        return 0

    def of(self, base: "int") -> "int":
        return base


def test_what_is_missing_is_seen():
    """So that a rule which no longer sees anything does not pass for success."""
    path = path_of(planted)
    assert set(faults_of_free_function(planted)) == {
        f"{path}: no type hint for what it returns",
        f"{path}: no type hint for forgotten",
        f"{path}: Args does not explain forgotten",
        f"{path}: Args does not explain other",
        f"{path}: Args explains gone, which is no parameter",
        f"{path}: Raises does not name NotFound",
        f"{path}: no example",
    }
    path = path_of(Planted)
    Planted.of.__module__ = "embedded_db"
    found = {name: Member(Planted, name, vars(Planted).get(name)) for name in ("length", "of")}
    assert set(faults_of_class(Planted)) == {f"{path}: no example that shows what comes of it"}
    assert set(faults_of_member(found["length"])) == {
        f"{path}.length: no docstring",
        f"{path}.length: no type hint",
        f"{path}.length: the example of the class does not show it",
    }
    assert set(faults_of_member(found["of"])) == {
        f"{path}.of: no docstring",
        f"{path}.of: Args does not explain base",
        f"{path}.of: no example",
    }
    assert set(faults_of_member(Member(Planted, "field", None))) == {f"{path}.field: not explained"}
    assert set(faults_of_value(f"{embedded_db.__name__}.nothing", 7)) == {
        "embedded_db.nothing: no text below it"
    }
