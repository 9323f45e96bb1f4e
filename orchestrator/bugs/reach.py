"""Which runs come to what a bug changes: in all others it can't be noticed.

Up to the moment at which a changed line, or a changed condition with another outcome, is come to,
a run is the same with the bug and without. So one sound run of a seed tells for all bugs at once
which of them are worth running there; and a bug to which no run comes says which world is missing.
"""

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final

from .difference import Difference, difference, is_other
from .planting import Bug, Edit, function_of

_MARK: Final = "_planted_bug_is_reached"
_COMPARE: Final = "_planted_bug_differs"


class Probes:
    """Marks at the places of many bugs in the running program, which stays sound.

    Args:
        bugs: whose places are looked at.
    """

    def __init__(self, bugs: Iterable[Bug]) -> None:
        self._reached: set[str] = set()
        self._originals: list[tuple[FunctionType, CodeType]] = []
        places: dict[FunctionType, list[tuple[str, Edit]]] = {}
        for bug in bugs:
            for edit in bug.edits:
                if not edit.old.startswith("assert "):  # In a sound run, it holds.
                    places.setdefault(function_of(bug, edit.target), []).append((bug.name, edit))
        setattr(builtins, _MARK, self._reached.add)
        setattr(builtins, _COMPARE, self._compare)
        for function, marks in places.items():
            self._originals.append((function, function.__code__))
            function.__code__ = _Marker(function).marked(marks)

    def take(self) -> frozenset[str]:
        """Return the names of the bugs whose places were come to since the last call."""
        reached = frozenset(self._reached)
        self._reached.clear()
        return reached

    def remove(self) -> None:
        """Make the program what it was."""
        while self._originals:
            function, code = self._originals.pop()
            function.__code__ = code
        delattr(builtins, _MARK)
        delattr(builtins, _COMPARE)

    def _compare(self, name: str, value: Any, compute: Callable[[], Any]) -> Any:
        if name not in self._reached and is_other(value, compute):
            self._reached.add(name)
        return value


class _Marker:
    """Puts marks into one function."""

    def __init__(self, function: FunctionType) -> None:
        self._function = function
        self._source = textwrap.dedent(inspect.getsource(function))
        self._tree = ast.parse(self._source)
        (definition,) = self._tree.body
        assert isinstance(definition, ast.FunctionDef), "planting has looked for a function"
        self._definition = definition
        self._wanted: dict[int, set[str]] = {}
        """By line, from 1: who is to be marked there."""
        self._found: dict[int, set[str]] = {}
        """By line: who was."""
        self._compared: dict[int, list[tuple[str, Difference]]] = {}
        """By the identity of an expression: who has another one in its place."""

    def marked(self, marks: Iterable[tuple[str, Edit]]) -> CodeType:
        """Return the function's code with marks for all of these."""
        for name, edit in marks:
            changed = ast.parse(self._source.replace(edit.old, edit.new))
            found = difference(self._tree, changed)
            if found is not None:
                self._compared.setdefault(id(found.node), []).append((name, found))
            else:
                for line in _lines_of(self._source, edit.old):
                    self._wanted.setdefault(line, set()).add(name)
        self._mark_block(self._definition.body)
        # What belongs to no statement, such as an `except` clause, counts as come to at once.
        entry = {
            name
            for line, names in self._wanted.items()
            for name in names - self._found.get(line, set())
        }
        self._definition.body[:0] = [_mark(name) for name in sorted(entry)]
        tree = _Comparing(self._compared).visit(self._tree)
        module = compile(ast.fix_missing_locations(tree), "<probed>", "exec")
        return next(one for one in module.co_consts if isinstance(one, CodeType))

    def _mark_block(self, block: list[ast.stmt]) -> None:
        """Put a mark before each statement that begins or goes on in a wanted line."""
        for statement in list(block):
            inner = list(_blocks_of(statement))
            last = statement.end_lineno or statement.lineno
            if inner:  # Its own lines end where its first block begins.
                last = max(statement.lineno, min(part[0].lineno for part in inner) - 1)
            for part in inner:
                self._mark_block(part)
            names: set[str] = set()
            for line in range(statement.lineno, last + 1):
                names |= self._wanted.get(line, set())
                self._found.setdefault(line, set()).update(self._wanted.get(line, set()))
            position = block.index(statement)
            block[position:position] = [_mark(name) for name in sorted(names)]


class _Comparing(ast.NodeTransformer):
    """Puts a comparison around each expression that some bug has otherwise."""

    def __init__(self, compared: dict[int, list[tuple[str, Difference]]]) -> None:
        self._compared = compared

    def visit(self, node: ast.AST) -> Any:
        """Return a node, or what takes its place."""
        found = self._compared.get(id(node), [])
        self.generic_visit(node)
        for name, one in found:
            value: Any = node
            other: ast.expr = one.other
            if one.is_test:
                value, other = _call("bool", value), _call("bool", other)
            nobody = ast.arguments([], [], None, [], [], None, [])
            node = _call(_COMPARE, ast.Constant(name), value, ast.Lambda(nobody, other))
        return node


def _lines_of(source: str, old: str) -> Iterator[int]:
    """Yield the lines, from 1, on which the text that is replaced has something to say."""
    start = source.index(old)
    first = source.count("\n", 0, start) + 1
    for number, line in enumerate(old.rstrip("\n").split("\n")):
        if line.strip():
            yield first + number


def _blocks_of(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for _, value in ast.iter_fields(statement):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield value
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, ast.ExceptHandler | ast.match_case):
                    yield part.body


def _mark(name: str) -> ast.stmt:
    return ast.copy_location(
        ast.Expr(_call(_MARK, ast.Constant(name))), ast.Pass(lineno=1, col_offset=0)
    )


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
