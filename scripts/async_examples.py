"""Docstrings of asynchronous twins: the names of the twins, and examples that await."""

import ast
import doctest
import re

# Names that plain objects have too: only of these is it a call of the database.
HANDLES = {"db", "tx", "woven", "scratch", "again", "other", "repaired", "snapshot", "s", "before"}
COMMON = {
    "add": HANDLES | {"friends", "near"},
    "append": {"answer"},
    "count": HANDLES | {"on", "where", "ann"},
    "delete": None,
    "first": None,
    "get": HANDLES,
    "remove": {"near"},
    "to_openai": {"chat", "talk"},
    "update": {"on", "where"},
}
WIDTH = 92
ENTRY = re.compile(r"\s+\*{0,2}\w+: ")
BLOCKS = {"transaction", "batch", "snapshot"}
FIELDS = {"text": {"document"}, "status": {"message", "chat", "late", "one", "node"}}
PROSE = [
    ("``with db.", "``async with db."),
    ("The state at the call", "The state at the first step"),
    ("the state at the call", "the state at the first step"),
]


def folded(text: str) -> str:
    """Move what is too long for a line to the next."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if len(line) > WIDTH:
            kept, _, moved = line[: WIDTH + 1].rpartition(" ")
            indent = len(line) - len(line.lstrip()) + (4 if ENTRY.match(line) else 0)
            after = lines[at + 1] if at + 1 < len(lines) else ""
            moved = " " * indent + moved + line[WIDTH + 1 :]
            lines[at] = kept
            if after.strip() and not ENTRY.match(after):
                lines[at + 1] = f"{moved} {after.lstrip()}"
            else:
                lines.insert(at + 1, moved)
    return "\n".join(lines)


def renamed(name: str, twins: set[str]) -> str:
    """Give what a class is called as a twin."""
    return f"Async{name}" if name in twins else name


class Examples:
    """Turns the texts of one module."""

    def __init__(self, twins: set[str], reading: set[str], methods: dict[str, set[str]]) -> None:
        self.twins = twins
        self.reading = reading
        self.methods = methods

    def document(self, text: str, owner: str) -> str:
        """Give the text of a twin."""
        for before, after in PROSE:
            text = text.replace(before, after)
        parts, awaiting = [], _Awaiting(self)
        for part in doctest.DocTestParser().parse(text):
            if isinstance(part, str):
                part = re.sub(r"(?<=(?<!`)`)\w+(?=[.`(])", self._named, part)
                parts.append(folded(re.sub(r"\b([Aa]) (?=`Async)", r"\1n ", part)))
            else:
                parts.append(self._example(part, awaiting))
        return "".join(parts).rstrip()

    def _named(self, match: re.Match[str]) -> str:
        return renamed(match[0], self.twins)

    def _example(self, example: doctest.Example, awaiting: "_Awaiting") -> str:
        before = ast.parse(example.source)
        after = ast.fix_missing_locations(awaiting.visit(ast.parse(example.source)))
        source = example.source
        if ast.dump(before) != ast.dump(after):
            source = "\n".join(map(self._statement, after.body))
        first, *rest = source.rstrip("\n").splitlines()
        pad = " " * example.indent
        lines = [f"{pad}>>> {first}", *(f"{pad}... {line}" for line in rest)]
        want = example.want
        if example.exc_msg is None:
            want = re.sub(r"\b(?<!<)([A-Z]\w+)(?=\()", self._named, want)
        lines += [f"{pad}{line}" for line in want.splitlines()]
        return "\n".join(lines) + "\n"

    def _statement(self, node: ast.stmt) -> str:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Tuple):
            return ", ".join(map(ast.unparse, node.value.elts))
        return ast.unparse(node)


class _Awaiting(ast.NodeTransformer):
    """Puts `await` and `async` where the twins want them, in the examples of one docstring."""

    def __init__(self, of: Examples) -> None:
        self.of = of
        self.streams: set[str] = set()

    # ------------------------------------------------------------------ names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = renamed(node.id, self.of.twins - {"Path"})  # that is pathlib's
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        node.name = renamed(node.name, self.of.twins - {"Path"})
        return node

    # ------------------------------------------------------------------ calls

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = getattr(node.func, "attr", "")
        plain = getattr(node.func, "id", "")
        is_stream = len(node.args) == 1 and self.is_stream(node.args[0])
        awaited = name in self.of.methods["awaited"] and self.is_ours(node.func, name)
        if isinstance(node.func, ast.Attribute):
            node.func.value = self.visit(node.func.value)
        else:
            node.func = self.visit(node.func)
        node.args = [self.visit(each) for each in node.args]
        node.keywords = [self.visit(each) for each in node.keywords]
        if plain in ("list", "next") and is_stream:
            stream = node.args[0]
            if plain == "next":
                return ast.Await(ast.Call(ast.Name("anext"), [stream], []))
            return collected(stream)
        node.args = [listed(each) if len(node.args) == 1 else each for each in node.args]
        return ast.Await(node) if awaited else node

    def is_ours(self, function: ast.Attribute, name: str) -> bool:
        """Tell whether an attribute of a name that others have too is one of the database's."""
        if name not in COMMON or COMMON[name] is None:
            return True
        value = function.value
        called = value.func if isinstance(value, ast.Call) else value
        last = getattr(called, "attr", getattr(called, "id", ""))
        return last in COMMON[name] or (isinstance(value, ast.Call) and name in ("count", "update"))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = node.value
        receiver = getattr(value, "id", getattr(value, "attr", ""))
        node.value = self.visit(value)
        if node.attr not in self.of.reading or isinstance(node.ctx, ast.Store):
            return node
        if node.attr in FIELDS and receiver not in FIELDS[node.attr]:
            is_new = isinstance(value, ast.Call) and getattr(value.func, "attr", "").startswith(
                "create"
            )
            if not (node.attr == "status" and is_new):
                return node
        return ast.Await(ast.Call(node, [], []))

    # ------------------------------------------------------------------ iterating

    def is_stream(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.streams
        if isinstance(node, ast.Attribute):
            return node.attr in ("friends", "near", "known_by")
        name = getattr(getattr(node, "func", None), "attr", "")
        return name in self.of.methods["streams"] and name != "text"

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if self.is_stream(node.value) and isinstance(node.targets[0], ast.Name):
            self.streams.add(node.targets[0].id)
        unpacked = self.is_stream(node.value) and not isinstance(node.targets[0], ast.Name)
        node = self.generic_visit(node)
        if unpacked:
            node.value = collected(node.value)
        elif getattr(getattr(node.value, "func", None), "attr", "") == "snapshot":
            node.value = ast.Await(node.value)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        node.is_async = int(self.is_stream(node.iter))
        return self.generic_visit(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        is_stream = self.is_stream(node.iter)
        node = self.generic_visit(node)
        if not is_stream:
            return node
        return ast.AsyncFor(node.target, node.iter, node.body, node.orelse)

    def visit_With(self, node: ast.With) -> ast.AST:
        call = node.items[0].context_expr
        name = getattr(
            getattr(call, "func", None), "attr", getattr(getattr(call, "func", None), "id", "")
        )
        node = self.generic_visit(node)
        if name in BLOCKS or name == "EmbeddedDB":
            return ast.AsyncWith(node.items, node.body)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node = self.generic_visit(node)
        if not any(isinstance(part, ast.Await) for part in ast.walk(node)):
            return node
        return ast.AsyncFunctionDef(
            node.name, node.args, node.body, node.decorator_list, node.returns
        )


def collected(stream: ast.expr) -> ast.expr:
    """Give a list of what is iterated over."""
    one = ast.Name("each")
    return ast.ListComp(one, [ast.comprehension(one, stream, [], 1)])


def listed(node: ast.expr) -> ast.expr:
    """Give a list for a generator that awaits: plain functions take no asynchronous ones."""
    if not isinstance(node, ast.GeneratorExp):
        return node
    awaits = any(isinstance(part, ast.Await) for part in ast.walk(node))
    if awaits or any(each.is_async for each in node.generators):
        return ast.ListComp(node.elt, node.generators)
    return node
