"""One function, the trees that Python 3.8 to 3.13 build of it, one normal form.

``trees/python3.x.json`` were written by those interpreters (dump_tree.py); the running one is asked again.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import dis
import inspect
import json
import shutil
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from qmtl_sdk.strategy.code import CodeIdentityError
from qmtl_sdk.strategy.code.scope import Use, outside
from qmtl_sdk.strategy.code.syntax import FIELDS, normal_tree

HERE = Path(__file__).parent
TREES = sorted((HERE / "trees").glob("python3.*.json"))
SAMPLE = (HERE / "trees" / "sample.py.txt").read_text()


def revived(plain: Any) -> Any:
    """Build a tree of this interpreter's classes with the node types and fields of another's."""
    if isinstance(plain, list):
        return [revived(item) for item in plain]
    if "constant" in plain:
        return eval(plain["constant"])  # noqa: S307  # the repr of a literal, from our own file
    base = getattr(ast, plain["type"], ast.AST)
    base = base if base is not ast.AST and plain["type"] not in ("Index", "ExtSlice") else ast.expr
    kind: Any = type(plain["type"], (base,), {"_fields": tuple(name for name, _ in plain["fields"])})
    node = kind.__new__(kind)
    for name, value in plain["fields"]:
        setattr(node, name, revived(value))
    return node


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_trees_of_other_pythons_have_the_same_normal_form(path: Path) -> None:
    other, here = revived(json.loads(path.read_text())), ast.parse(SAMPLE).body[0]
    assert normal_tree(other) == normal_tree(here)
    assert set(outside(other).uses) == set(outside(here).uses)


def test_the_other_pythons_trees_do_differ() -> None:
    assert {path.stem for path in TREES} >= {"python3.8", "python3.11", "python3.12", "python3.13"}
    texts = [path.read_text() for path in TREES]
    assert len(set(texts)) == len(texts)
    assert ["type_params" in text for text in texts] == [False, True, True, False]  # 3.11, 3.12, 3.13, 3.8
    assert '"Index"' in texts[-1]


def test_this_interpreter_still_builds_what_is_on_file() -> None:
    written = subprocess.run([sys.executable, str(HERE / "dump_tree.py")], capture_output=True, check=True).stdout
    assert normal_tree(revived(json.loads(written))) == normal_tree(ast.parse(SAMPLE).body[0])


def test_the_sample_uses_names_from_outside_only() -> None:
    names = {use.name for use in outside(ast.parse(SAMPLE).body[0]).uses}
    project = {name for name in names if not hasattr(builtins, name)}
    assert project == {"helpers", "GAIN", "open_it", "other"}
    assert Use("helpers", ("deeper", "fn")) in outside(ast.parse(SAMPLE).body[0]).uses


def test_nodes_of_before_python_3_8_read_as_constants() -> None:
    old = type("Num", (ast.expr,), {"_fields": ("n",)})()
    old.n = 3
    tree = ast.parse("lambda: 3", mode="eval").body
    assert isinstance(tree, ast.Lambda)
    expected = normal_tree(tree)
    tree.body = old
    assert normal_tree(tree) == expected


def test_a_construct_that_the_table_does_not_know_is_refused_by_name() -> None:
    tree = ast.parse("lambda: x", mode="eval").body
    assert isinstance(tree, ast.Lambda)
    tree.body = type("TemplateStr", (ast.expr,), {"_fields": ("values",)})()
    with pytest.raises(CodeIdentityError, match="syntax 'TemplateStr' has no canonical form"):
        normal_tree(tree)
    kind: Any = type("Call", (ast.Call,), {"_fields": ("func", "args", "keywords", "lazily")})
    newer = kind.__new__(kind)
    newer.func, newer.args, newer.keywords, newer.lazily = ast.Name("f", ast.Load()), [], [], True
    tree.body = newer
    with pytest.raises(CodeIdentityError, match=r"syntax 'Call.lazily' has no canonical form"):
        normal_tree(tree)


def test_every_field_of_this_python_is_written_or_known_to_be_silent() -> None:
    silent = {"annotation", "ctx", "kind", "returns", "type_comment", "type_params", "simple"}
    for name, fields in FIELDS.items():
        known = getattr(ast, name)._fields if hasattr(ast, name) else fields
        assert set(fields) <= set(known), name
        assert set(known) - set(fields) <= silent, name


@pytest.mark.parametrize("module", [statistics, inspect, shutil, dataclasses, ast], ids=lambda module: module.__name__)
def test_outside_names_are_those_that_the_compiler_finds(module: ModuleType) -> None:
    """Compare with the bytecode's global and closure names over whole modules of the standard library."""
    compared = 0
    for function in vars(module).values():
        if not isinstance(function, FunctionType) or function.__module__ != module.__name__:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        try:
            found = outside(tree)
        except CodeIdentityError:
            continue
        code = function.__code__
        expected = set(global_names(code)) | set(code.co_freevars)
        assert {use.name for use in found.uses} - set(found.imports) - {"__debug__"} == expected - {"AssertionError"}
        compared += 1
    assert compared > 5


def global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from global_names(item)
