"""What a guard is: text of the code that holds one invariant, and the tests that notice when it is gone."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from typing import Final

# The places that hold invariants, by the package that is theirs.
PLACES: Final = {
    "qmtl_world": "world service",
    "qmtl_gateway": "gateway",
    "qmtl_executor": "executor",
    "qmtl_sdk": "runner",
}


@dataclass(frozen=True, slots=True)
class Guard:
    """Hold one guard: ``before`` is its text in ``file``, once, and ``after`` what stands there without it.

    ``tests`` are node ids of pytest, functions or files; at least one of them fails without the guard.
    """

    invariant: str
    what: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    @property
    def place(self) -> str:
        """Return which process holds it."""
        return PLACES[self.file.partition("/")[0]]

    def removed(self, source: str) -> str:
        """Return a file's source without the guard; raise ValueError where its text is not there once."""
        count = source.count(self.before)
        if count != 1:
            message = f"{self.file}: the text of {self.what!r} stands there {count} times, not once"
            raise ValueError(message)
        return source.replace(self.before, self.after)

    def where(self, source: str) -> str:
        """Return what of a file's source has the guard: ``_Draft.fence``, ``judge``, or a constant's name."""
        first = source[: source.index(self.before)].count("\n") + 1
        first += len(self.before) - len(self.before.lstrip("\n"))
        return ".".join(_names(_parsed(source), first))

    def row(self, source: str) -> str:
        """Return its row in the table of guards, as far as the test that goes red without it."""
        module = self.file.rpartition("/")[2].removesuffix(".py")
        return f"| {self.invariant} | {self.place} | {self.what}: `{module}.{self.where(source)}` |"


@cache
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _names(within: ast.AST, line: int) -> list[str]:
    """Return the class and function, or the constant or field, that a line is in; what is assigned within functions
    has no name."""
    for node in ast.iter_child_nodes(within):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            if isinstance(node, ast.ClassDef):
                return [node.name, *_names(node, line)]
            return [_name(node)]
    return []


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""
