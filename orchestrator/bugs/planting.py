"""A planted bug: a small named change of the running program's own source, and its undoing.

Rules: a bug names functions, the text in each that is replaced, and what takes its place. The
changed function's code object is put into the original, so that every reference to it has the bug.
Where the text is gone, planting fails loudly: a bug that changes nothing would prove nothing.
"""

import builtins
import dis
import importlib
import inspect
import textwrap
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from ..errors import OrchestratorError


class PlantingFailed(OrchestratorError):  # noqa: N818 - named for the fact
    """The program has changed under a bug: look at the two again, and bring the bug up to date."""


@dataclass(frozen=True)
class Edit:
    """Replace ``old``, which occurs exactly once in the source of ``target``, by ``new``.

    ``target`` is a function, a method or a property as ``package.module:Class.name``.
    """

    target: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """One mistake.

    Attributes:
        name: what goes wrong, in a few words; unique.
        rows: rows of the catalogue of failures in which it is known, such as ``A4``.
        rule: what it breaks, with the section of the paper where there is one.
        edits: the change.
        world: the kind of world in which it is hunted, a name of ``draw.PROFILES``.
    """

    name: str
    rows: tuple[str, ...]
    rule: str
    edits: tuple[Edit, ...]
    world: str = "swarm"

    @property
    def area(self) -> str:
        """The package in which it is planted, such as ``raft``."""
        return self.edits[0].target.split(".")[1]


class Planted:
    """Bugs in the running program; :meth:`remove` takes them out again."""

    def __init__(self, bug: Bug) -> None:
        """Plant a bug.

        Raises:
            PlantingFailed: the text that it replaces is not there, or not there once.
        """
        self._originals: list[tuple[FunctionType, CodeType]] = []
        sources: dict[FunctionType, str] = {}
        for edit in bug.edits:
            function = function_of(bug, edit.target)
            source = sources.get(function) or textwrap.dedent(inspect.getsource(function))
            found = source.count(edit.old)
            if found != 1:
                raise PlantingFailed(
                    f"bug `{bug.name}`: {edit.old!r} occurs {found} times in {edit.target}, and "
                    f"must occur once: bring the bug up to date with the code"
                )
            sources[function] = source.replace(edit.old, edit.new)
        for function, source in sources.items():
            changed = _compiled(bug, function, source)
            self._originals.append((function, function.__code__))
            function.__code__ = changed

    def remove(self) -> None:
        """Make the program what it was."""
        while self._originals:
            function, code = self._originals.pop()
            function.__code__ = code


def function_of(bug: Bug, target: str) -> FunctionType:
    """Return the function that a target names.

    Raises:
        PlantingFailed: there is none.
    """
    module_name, _, path = target.partition(":")
    found: Any = importlib.import_module(module_name)
    try:
        for name in path.split("."):
            found = inspect.getattr_static(found, name)
    except AttributeError as error:
        raise PlantingFailed(
            f"bug `{bug.name}`: there is no {target} any more: bring the bug up to date"
        ) from error
    found = _plain(found)
    if not isinstance(found, FunctionType):
        raise PlantingFailed(f"bug `{bug.name}`: {target} is no function")
    return found


def _plain(found: Any) -> Any:
    """Return the function within a property, a static method or a class method."""
    if isinstance(found, property):
        return found.fget
    return found.__func__ if isinstance(found, staticmethod | classmethod) else found


def _compiled(bug: Bug, function: FunctionType, source: str) -> CodeType:
    try:
        module = compile(source, f"<bug: {bug.name}>", "exec")
    except SyntaxError as error:
        raise PlantingFailed(f"bug `{bug.name}`: what it puts in is no Python: {error}") from error
    # The function's code is a constant of the module's: nothing has to be executed to get at it.
    changed = next(
        constant
        for constant in module.co_consts
        if isinstance(constant, CodeType) and constant.co_name == function.__name__
    )
    unknown = sorted(_globals_in(changed) - {*function.__globals__} - {*dir(builtins)})
    if unknown:
        # Whatever runs into that notices, and has noticed nothing of what was to be planted.
        raise PlantingFailed(
            f"bug `{bug.name}`: {function.__module__} knows no {', '.join(unknown)}: bring the bug "
            f"up to date"
        )
    return changed


def _globals_in(code: CodeType) -> set[str]:
    """Return the names that code looks up in its module, those within it included."""
    found = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname == "LOAD_GLOBAL"
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _globals_in(constant)
    return found
