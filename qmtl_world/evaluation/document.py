"""YAML with positions: a small, plain part of YAML 1.2, each key and value with its line and column.

Refused: anchors and aliases, tags, several documents, duplicate keys, texts that are too large or too deep. Plain
scalars follow the YAML 1.2 core schema, less its octal, hexadecimal and non-finite forms: ``no``, ``on``, ``1:30`` and
``010`` are texts, ``1e3`` is a number. PyYAML scans; its YAML 1.1 resolver is not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

MAX_BYTES: Final = 65_536
MAX_DEPTH: Final = 8
MAX_NODES: Final = 2_000

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

Path = tuple[str | int, ...]
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Say what is wrong with which field, and where."""

    field: str
    position: Position
    reason: str


class DocumentError(ValueError):
    """Refuse a text that is not plain YAML, with all faults found."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(fault.reason for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Scalar:
    """Where a text value stands: ``style`` is YAML's (empty for a plain one), ``lines`` those of the document."""

    start: Position
    style: str
    one_line: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Hold the plain data of a text, and where each key and value of it stands."""

    data: Plain
    keys: dict[Path, Position]
    values: dict[Path, Position]
    scalars: dict[Path, Scalar]

    def locate(self, path: Path, *, key: bool = False) -> Position:
        """Return where the value (or the key) of a path stands, else where the nearest value around it does."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Position(1, 1))

    def locate_inside(self, path: Path, line: int, column: int) -> Position | None:
        """Return where a line and column of a text value stand in the document; None where YAML folds the text."""
        scalar = self.scalars.get(path)
        if scalar is None:
            return None
        if scalar.style == "|":
            below = scalar.lines[scalar.start.line :]  # the text begins on the line below the indicator
            first = next((text for text in below if text.strip()), "")
            return Position(scalar.start.line + line, len(first) - len(first.lstrip(" ")) + column)
        if scalar.one_line and line == 1:
            return Position(scalar.start.line, scalar.start.column + len(scalar.style) + column - 1)
        return None


def field_name(path: Path) -> str:
    """Return a path as a field name: ``gates[1].rule``; the document itself is ``policy``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "policy"


def read_document(content: bytes) -> Document:
    """Return the data of a YAML text in UTF-8, with positions, or raise DocumentError with the faults found."""
    text = _decode(content)
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "not YAML"
        raise _refusal(_position(mark), f"not YAML: {reason}") from None
    except yaml.reader.ReaderError as error:
        position = _position_of(text, error.position)
        raise _refusal(position, f"character #x{ord(text[error.position]):04x} has no place in YAML") from None
    builder = _Builder(tuple(text.splitlines()))
    data = builder.build(root, ()) if root is not None else None
    if builder.faults:
        raise DocumentError(tuple(builder.faults))
    return Document(data, builder.keys, builder.values, builder.scalars)


class _Builder:
    """Turn PyYAML's nodes into plain data, and note where everything stands."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self.scalars: dict[Path, Scalar] = {}
        self.faults: list[Fault] = []

    def build(self, node: yaml.Node, path: Path) -> Plain:
        """Return the data of a node."""
        self.values[path] = _position(node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode):
            raise TypeError(f"PyYAML composed a {type(node).__name__}")
        value = _plain(node.value) if node.style is None else node.value
        if isinstance(value, str):
            self.scalars[path] = self._scalar(node)
        return value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Plain]:
        data: dict[str, Plain] = {}
        for key, child in node.value:
            position = _position(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(Fault(field_name(path), position, "a key must be a plain name"))
                continue
            inner = (*path, key.value)
            if key.value in data:
                first = self.keys[inner].line
                reason = f"stated twice, first on line {first}; remove one"
                self.faults.append(Fault(field_name(inner), position, reason))
                continue
            self.keys[inner] = position
            data[key.value] = self.build(child, inner)
        return data

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        start = _position(node.start_mark)
        quotes = len(node.style or "") * 2
        one_line = node.start_mark.line == node.end_mark.line
        # An escape or a doubled quote makes the text shorter than what stands in the document.
        verbatim = node.end_mark.index - node.start_mark.index == len(node.value) + quotes
        return Scalar(start, node.style or "", one_line and verbatim, self.lines)


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _refusal(Position(1, 1), f"{len(content)} bytes, at most {MAX_BYTES}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        raise _refusal(_position_of(before, len(before)), "not UTF-8; save the file as UTF-8") from None


def _check_events(text: str) -> None:
    """Refuse, before anything is built, what could grow beyond its text or nest without end."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        reason = ""
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            reason = _refused_node(event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if documents > 1:
            reason = "a second document; a policy is one"
        elif depth > MAX_DEPTH:
            reason = f"nested deeper than {MAX_DEPTH} levels"
        elif nodes > MAX_NODES:
            reason = f"more than {MAX_NODES} values"
        if reason:
            raise _refusal(_position(event.start_mark), reason)


def _refused_node(event: yaml.NodeEvent) -> str:
    if isinstance(event, yaml.AliasEvent):
        return f"the alias *{event.anchor} is refused; write the value out"
    if event.anchor is not None:
        return f"the anchor &{event.anchor} is refused; write the value out where it is needed"
    tag = getattr(event, "tag", None)
    return f"the tag {tag} is refused; remove it" if tag is not None else ""


def _plain(text: str) -> Plain:
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _position(mark: Any) -> Position:
    """Return the place of one of PyYAML's marks, whose types its stubs leave open."""
    if mark is None:
        return Position(1, 1)
    return Position(mark.line + 1, mark.column + 1)


def _position_of(text: str, index: int) -> Position:
    line = text.count("\n", 0, index)
    return Position(line + 1, index - (text.rfind("\n", 0, index) + 1) + 1)


def _refusal(position: Position, reason: str) -> DocumentError:
    return DocumentError((Fault("policy", position, reason),))
