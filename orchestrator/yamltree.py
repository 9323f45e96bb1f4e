"""YAML text into a tree in which everything knows its line and column.

Only plain data: no tags, no anchors, no aliases, no repeated keys, one document, 20 levels, 1 MB.
The tree is built from PyYAML's events one by one, so a hostile text is refused at the point where
it becomes one, and nothing is ever expanded or constructed (failure F16).
"""

from typing import TypeAlias

import msgspec
import yaml

TEXT_BYTES_MAX = 1_000_000
DEPTH_MAX = 20
PROBLEMS_MAX = 20


class Mark(msgspec.Struct, frozen=True, order=True):
    """A place in the text; both count from 1, as editors do."""

    line: int = 1
    column: int = 1


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong, and where."""

    mark: Mark
    message: str


class Scalar(msgspec.Struct, frozen=True):
    """A single value, as written; ``quoted`` when it stood in quotes or a block."""

    mark: Mark
    text: str
    quoted: bool


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    mark: Mark
    items: list["Node"]


class Mapping(msgspec.Struct, frozen=True):
    """Keys, with their own places, and values, in the order of the text."""

    mark: Mark
    items: dict[str, tuple[Mark, "Node"]]


Node: TypeAlias = Scalar | Sequence | Mapping


class MalformedText(Exception):  # noqa: N818 - named for what was found
    """The text is no YAML of the kind we take; ``problem`` says where and why."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(mark, message)


def parse(data: bytes) -> Node | None:
    """Parse one document; None when there is nothing in it but comments.

    Raises:
        MalformedText: with the place and the reason.
    """
    text = _decode(data)
    try:
        return _Builder().build(text)
    except yaml.MarkedYAMLError as error:
        raise _from_yaml(error, text) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character U+{int(error.character):04X} is not allowed here"
        raise MalformedText(Mark(line, 1), message) from error


def _decode(data: bytes) -> str:
    if len(data) > TEXT_BYTES_MAX:
        raise MalformedText(Mark(), f"{len(data):,} bytes; a configuration has at most 1 MB")
    try:
        # A byte order mark and Windows line ends are what editors leave behind; they mean nothing.
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MalformedText(
            Mark(line, 1), "this line is not UTF-8; save the file as UTF-8"
        ) from None


def _from_yaml(error: yaml.MarkedYAMLError, text: str) -> MalformedText:
    place = error.problem_mark or error.context_mark
    mark = Mark() if place is None else Mark(place.line + 1, place.column + 1)
    lines = text.split("\n")
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    if "\t" in line[: mark.column]:
        return MalformedText(mark, "a tab; YAML is indented with spaces only")
    message = error.problem or "this is not YAML"
    if error.context:
        message += f" ({error.context})"
    return MalformedText(mark, message)


class _Builder:
    """Makes the tree from events, its open collections on a stack of its own: no recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.documents = 0
        self.open: list[Sequence | Mapping] = []
        self.keys: list[Scalar | None] = []  # of each open mapping: the key that waits for a value

    def build(self, text: str) -> Node | None:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            self.on_event(event)
        return self.root

    def on_event(self, event: yaml.Event) -> None:
        place = event.start_mark
        mark = Mark() if place is None else Mark(place.line + 1, place.column + 1)
        match event:
            case yaml.AliasEvent():
                raise MalformedText(mark, "an alias (*name); write the value out instead")
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise MalformedText(mark, "a second document; there can be only one")
            case yaml.ScalarEvent():
                self.refuse_extras(event, mark)
                self.add(Scalar(mark, event.value, quoted=event.style is not None))
            case yaml.SequenceStartEvent():
                self.refuse_extras(event, mark)
                self.begin(Sequence(mark, []))
            case yaml.MappingStartEvent():
                self.refuse_extras(event, mark)
                self.begin(Mapping(mark, {}))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self.open.pop()
                self.keys.pop()
            case _:
                pass

    def refuse_extras(self, event: yaml.NodeEvent, mark: Mark) -> None:
        if event.anchor is not None:
            raise MalformedText(mark, "an anchor (&name); write the value out where it is needed")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise MalformedText(mark, "a tag (!name); only plain values are taken")

    def begin(self, node: Sequence | Mapping) -> None:
        if len(self.open) == DEPTH_MAX:
            raise MalformedText(node.mark, f"nested more than {DEPTH_MAX} levels deep")
        self.add(node)
        self.open.append(node)
        self.keys.append(None)

    def add(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        key = self.keys[-1]
        if key is not None:
            parent.items[key.text] = (key.mark, node)
            self.keys[-1] = None
        elif not isinstance(node, Scalar):
            raise MalformedText(node.mark, "a key must be a single word")
        elif node.text in parent.items:
            first = parent.items[node.text][0].line
            raise MalformedText(node.mark, f"'{node.text}' is here twice; first in line {first}")
        else:
            self.keys[-1] = node
