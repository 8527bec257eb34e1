"""The syntax tree that a function was compiled from: files, notebook cells, several lambdas on one line.

The source is compiled again and compared with the function's bytecode, so a file that was edited after its import
is refused instead of hashed for code that does not run.
"""

from __future__ import annotations
import __future__

import ast
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Final

from qmtl_sdk.strategy.code.constants import constant
from qmtl_sdk.strategy.code.errors import CodeIdentityError

FunctionTree = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_FUTURE_FLAGS: Final = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})
_CACHED_MODULES: Final = 64


@dataclass(frozen=True, slots=True)
class _Source:
    functions: dict[int, list[FunctionTree]]  # by first line, that of the first decorator
    codes: dict[int, list[CodeType]]


def function_tree(function: FunctionType) -> FunctionTree:
    """Return the tree of a Python function.

    Raises CodeIdentityError when it has no source, when the source is not what was compiled, and when several
    lambdas cannot be told apart.
    """
    code = function.__code__
    subject = f"function {function.__qualname__!r}"
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    if not text:
        raise CodeIdentityError(subject, "has no source", "define it in a file or in a notebook cell")
    try:
        source = _parsed(text, code.co_flags & _FUTURE_FLAGS)
    except SyntaxError as error:
        raise _changed(subject) from error
    if not any(_same_code(code, other) for other in source.codes.get(code.co_firstlineno, [])):
        raise _changed(subject)
    trees = [tree for tree in source.functions.get(code.co_firstlineno, []) if _name(tree) == code.co_name]
    return trees[0] if len(trees) == 1 else _by_position(trees, code, subject)


@lru_cache(maxsize=_CACHED_MODULES)
def _parsed(text: str, flags: int) -> _Source:
    tree = ast.parse(text)
    functions: dict[int, list[FunctionTree]] = {}
    for node in ast.walk(tree):
        if isinstance(node, FunctionTree):
            first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
            functions.setdefault(first, []).append(node)
    codes: dict[int, list[CodeType]] = {}
    # A notebook compiles each statement of a cell by itself, and the compiler emits other instructions for names that
    # are imported in the same unit: both are what the source says.
    units: list[ast.Module | str] = [text, *(ast.Module([statement], []) for statement in tree.body)]
    for unit in units:
        for code in _codes(compile(unit, "<source>", "exec", flags=flags, dont_inherit=True)):
            codes.setdefault(code.co_firstlineno, []).append(code)
    return _Source(functions, codes)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield item
            yield from _codes(item)


def _same_code(one: CodeType, other: CodeType) -> bool:
    """Compare what runs, not where it lies; ``==`` on code objects would also compare quickened instructions."""
    return (
        one.co_code == other.co_code
        and one.co_name == other.co_name
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and one.co_freevars == other.co_freevars
        and one.co_cellvars == other.co_cellvars
        and len(one.co_consts) == len(other.co_consts)
        and all(_same_constant(*pair) for pair in zip(one.co_consts, other.co_consts, strict=True))
    )


def _same_constant(one: object, other: object) -> bool:
    if isinstance(one, CodeType):
        return isinstance(other, CodeType) and _same_code(one, other)
    return not isinstance(other, CodeType) and constant(one) == constant(other)


def _name(tree: FunctionTree) -> str:
    return "<lambda>" if isinstance(tree, ast.Lambda) else tree.name


def _by_position(trees: list[FunctionTree], code: CodeType, subject: str) -> FunctionTree:
    """Pick the innermost tree whose body holds every position of the bytecode (PEP 657)."""
    spans = [
        ((line, column), (end_line, end_column))
        for line, end_line, column, end_column in code.co_positions()
        if None not in (line, end_line, column, end_column) and (column, end_column) != (0, 0)
    ]
    inside = [tree for tree in trees if spans and all(_holds(tree, *span) for span in spans)]
    if not inside:
        mend = "put each on a line of its own"
        raise CodeIdentityError(subject, "cannot be told from others on its line", mend)
    return max(inside, key=lambda tree: _body_start(tree))


def _holds(tree: FunctionTree, start: tuple[object, object], end: tuple[object, object]) -> bool:
    last = tree.body if isinstance(tree, ast.Lambda) else tree.body[-1]
    finish = (last.end_lineno or 0, last.end_col_offset or 0)
    return _body_start(tree) <= start and end <= finish


def _body_start(tree: FunctionTree) -> tuple[int, int]:
    first = tree.body if isinstance(tree, ast.Lambda) else tree.body[0]
    return (first.lineno, first.col_offset)


def _changed(subject: str) -> CodeIdentityError:
    problem = "is not what its source says: the source changed after it was loaded"
    return CodeIdentityError(subject, problem, "import it again, or restart the kernel")
