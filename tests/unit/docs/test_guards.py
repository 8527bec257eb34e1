"""The table of guards: each text is in the code once, each test is there, and the page on the protocol names it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.guards.guard import PLACES, Guard
from tests.guards.guards import GUARDS, INVARIANTS

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"^\| (S\d+|L1) \|(.*)\|$", re.MULTILINE)
COLUMNS = dict(
    zip(PLACES.values(), range(1, 1 + len(PLACES)), strict=True)
)  # of the page's table, behind the statement
NAME = re.compile(r"`([^`]+)`")

each_file = pytest.mark.parametrize("file", sorted({guard.file for guard in GUARDS}))


@cache
def source(file: str) -> str:
    return (ROOT / file).read_text()


@cache
def cells() -> dict[tuple[str, str], str]:
    """Return what the page says holds an invariant, by invariant and place; nothing where nothing does."""
    found = {}
    for invariant, rest in ROW.findall(source("docs/architecture/apply.md")):
        row = rest.split("|")
        found.update({(invariant, place): row[column].strip() for place, column in COLUMNS.items()})
    return found


@each_file
def test_each_guard_is_in_the_code_once_and_can_be_taken_out(file: str) -> None:
    for guard in GUARDS:
        if guard.file == file:
            without = guard.removed(source(file))
            assert ast.parse(without)
            assert without != source(file), guard.what


@pytest.mark.parametrize("test", sorted({test for guard in GUARDS for test in guard.tests}))
def test_tests_of_guards_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {re.escape(name)}\(", source(file), re.MULTILINE)


@pytest.mark.parametrize("at", cells(), ids=" ".join)
def test_page_names_each_guard_and_nothing_else_as_one(at: tuple[str, str]) -> None:
    named = {name.rpartition(".")[2] for name in NAME.findall(cells()[at])}
    held = [guard for guard in GUARDS if (guard.invariant, guard.place) == at]
    assert named == {guard.where(source(guard.file)).rpartition(".")[2] for guard in held}


def test_every_invariant_has_a_guard_at_each_place_that_holds_it() -> None:
    stated = {at for at, cell in cells().items() if cell}
    assert stated == {(guard.invariant, guard.place) for guard in GUARDS}
    assert {invariant for invariant, _ in stated} == set(INVARIANTS)


def test_table_of_the_page_on_reliability_has_each_guard_and_what_goes_red_without_it() -> None:
    table = source("docs/reliability.md").partition("<!-- guards -->")[2].partition("<!-- /guards -->")[0]
    rows = [line for line in table.splitlines() if line.startswith(("| S", "| L"))]
    assert len(rows) == len(GUARDS)
    for row, guard in zip(rows, GUARDS, strict=True):
        stated = guard.row(source(guard.file))
        assert row.startswith(stated), f"`python -m tests.guards.check {guard.invariant}` writes {stated}"
        test = row.removeprefix(stated)
        assert any(f"`{split_id(each)[1]}" in test and f"(../{split_id(each)[0]})" in test for each in guard.tests), row


def split_id(node: str) -> tuple[str, str]:
    file, _, name = node.partition("::")
    return file, name


def test_text_that_is_not_there_once_is_refused() -> None:
    guard = Guard("S1", "a thing", "qmtl_world/thing.py", "x = 1\n", "", ())
    with pytest.raises(ValueError, match="stands there 0 times"):
        guard.removed("y = 1\n")
    with pytest.raises(ValueError, match="stands there 2 times"):
        guard.removed("x = 1\nx = 1\n")


def test_guard_is_named_by_what_it_stands_in() -> None:
    code = "A = 1\n\n\nclass B:\n    c: int = 2\n\n    def d(self) -> int:\n        if A:\n            return 3\n"
    for text, where in (("A = 1", "A"), ("c: int", "B.c"), ("return 3", "B.d"), ("if A:\n", "B.d")):
        assert Guard("S1", "a thing", "qmtl_world/b.py", text, "", ()).where(code) == where
