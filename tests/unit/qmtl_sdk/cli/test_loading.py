"""Strategies by name: files, modules, and what can be wrong with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.cli.loading import load_class, load_strategy, parse_grid
from qmtl_sdk.strategy.program import build

ONE = "from qmtl_sdk import Strategy\nclass Only(Strategy):\n    fast: int = 10\n    def setup(self): pass\n"


def refusal(named: str, *parameters: str) -> QmtlError:
    with pytest.raises(QmtlError) as refused:
        load_strategy(named, parameters)
    return refused.value


def written(folder: Path, text: str, name: str = "momentum_under_test.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_only_strategy_of_a_file_needs_no_name(tmp_path: Path) -> None:
    assert load_strategy(written(tmp_path, ONE)).display_name == "Only"


def test_strategy_of_a_file_is_found_by_name(tmp_path: Path) -> None:
    two = ONE + "class Other(Only):\n    pass\n"
    assert load_strategy(written(tmp_path, two) + ":Other").display_name == "Other"


def test_imported_strategies_and_hidden_bases_are_not_counted(tmp_path: Path) -> None:
    written(tmp_path, ONE.replace("Only", "Base"), "base_under_test.py")
    text = "from base_under_test import Base\nclass _Hidden(Base):\n    pass\nclass Mine(_Hidden):\n    pass\n"
    assert load_strategy(written(tmp_path, text)).display_name == "Mine"


def test_helper_beside_the_file_is_found(tmp_path: Path) -> None:
    written(tmp_path, "FAST = 7\n", "helper_under_test.py")
    text = "from helper_under_test import FAST\n" + ONE.replace("= 10", "= FAST")
    assert load_strategy(written(tmp_path, text)).parameters == {"fast": 7}


def test_relative_import_within_a_package_works(tmp_path: Path) -> None:
    package = tmp_path / "desk_under_test"
    package.mkdir()
    written(package, "", "__init__.py")
    written(package, "FAST = 8\n", "shared.py")
    text = "from .shared import FAST\n" + ONE.replace("= 10", "= FAST")
    assert load_strategy(written(package, text, "trend.py")).parameters == {"fast": 8}


def test_module_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, ONE)
    monkeypatch.chdir(tmp_path)
    assert load_strategy("momentum_under_test:Only").display_name == "Only"


def test_parameters_are_typed_by_the_strategy(tmp_path: Path) -> None:
    text = ONE + "    share: float = 1.0\n    on: bool = False\n    label: str = ''\n"
    given = ("fast=5", "share=2", "on=true", "label=a=b")
    found = load_strategy(written(tmp_path, text), given)
    assert found.parameters == {"fast": 5, "share": 2.0, "on": True, "label": "a=b"}


@pytest.mark.parametrize(
    ("parameter", "field", "told"),
    [
        ("fast=x", "fast", "'x' is no int; write such as fast=5"),
        ("fats=1", "fats", "its parameters are: fast"),
        ("fast", "param", "is not name=value"),
        ("=5", "param", "is not name=value"),
    ],
)
def test_bad_parameter_names_field_and_mend(parameter: str, field: str, told: str, tmp_path: Path) -> None:
    error = refusal(written(tmp_path, ONE), parameter)
    assert error.violations[0].field == field
    assert told in error.message


def test_parameter_given_twice_is_refused(tmp_path: Path) -> None:
    assert "'fast' is given twice" in refusal(written(tmp_path, ONE), "fast=1", "fast=2").message


def test_missing_file_names_those_there_are(tmp_path: Path) -> None:
    written(tmp_path, ONE)
    assert "there is momentum_under_test.py" in refusal(str(tmp_path / "momentun.py")).message


def test_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "desk.py").mkdir()
    assert "is a folder" in refusal(str(tmp_path / "desk.py")).message


@pytest.mark.parametrize("named", ["no_such_module_here", "no_such.module_here:Only"])
def test_missing_module_is_refused(named: str) -> None:
    assert "there is no module" in refusal(named).message


@pytest.mark.parametrize(("named", "told"), [("", "names no file"), ("a b", "neither a file")])
def test_what_is_no_name_is_refused(named: str, told: str) -> None:
    assert told in refusal(named).message


def test_file_name_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    assert "rename it" in refusal(written(tmp_path, ONE, "my-strategy.py")).message


def test_file_that_has_the_name_of_another_module_is_refused(tmp_path: Path) -> None:
    assert "has the name of another module, json" in refusal(written(tmp_path, ONE, "json.py")).message


def test_syntax_error_names_its_line(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "x = 1\ny = = 2\n"))
    assert error.reason is Reason.INVALID_STRATEGY
    assert "momentum_under_test.py, line 2: invalid syntax: y = = 2" in error.message


def test_import_error_names_what_is_missing(tmp_path: Path) -> None:
    assert (
        "imports 'not_there_at_all', which is not there"
        in refusal(written(tmp_path, "import not_there_at_all")).message
    )


@pytest.mark.parametrize(("text", "told"), [("1 / 0", "ZeroDivisionError"), ("raise SystemExit('no')", "SystemExit")])
def test_file_that_raises_names_the_line(text: str, told: str, tmp_path: Path) -> None:
    error = refusal(written(tmp_path, f"import sys\n{text}\n"))
    assert f"raises {told} when imported" in error.message
    assert "momentum_under_test.py, line 2" in error.message


def test_missing_class_names_the_strategies_there_are(tmp_path: Path) -> None:
    assert "has no 'Onyl'; its strategies: Only" in refusal(written(tmp_path, ONE) + ":Onyl").message


def test_what_is_no_strategy_is_refused(tmp_path: Path) -> None:
    text = ONE + "class Plain:\n    pass\n"
    assert "not as a strategy, 'Plain'; its strategies: Only" in refusal(written(tmp_path, text) + ":Plain").message


def test_several_strategies_without_a_name_are_refused(tmp_path: Path) -> None:
    text = ONE + "class Other(Strategy):\n    pass\n"
    assert "has 2 strategies (Only, Other); name one" in refusal(written(tmp_path, text)).message


def test_file_without_strategy_is_refused(tmp_path: Path) -> None:
    assert "has no strategy; derive a class" in refusal(written(tmp_path, "x = 1")).message


def test_strategy_that_raises_in_setup_is_named(tmp_path: Path) -> None:
    strategy = load_strategy(written(tmp_path, ONE.replace("pass", "1 / 0")))
    with pytest.raises(QmtlError, match="setup of Only raised ZeroDivisionError: division by zero"):
        build(strategy)


def test_grid_has_the_values_of_each_parameter_in_order(tmp_path: Path) -> None:
    typed = ONE.replace("    def", "    share: float = 1.0\n    def")
    strategy = load_class(written(tmp_path, typed))
    assert parse_grid(strategy, ["share=0.5,1", "fast=10,5"]) == {"share": [0.5, 1.0], "fast": [10, 5]}


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["fast"], "'fast' is not name=value,value; write such as fast=5,10"),
        (["fast=5", "fast=6"], "'fast' is given twice"),
        (["fast=5,"], "'' is no int; write such as fast=5"),
        (["fst=5"], "fst: is no parameter of Only; its parameters are: fast"),
    ],
)
def test_bad_grid_is_refused_by_its_name(texts: list[str], told: str, tmp_path: Path) -> None:
    strategy = load_class(written(tmp_path, ONE))
    with pytest.raises(QmtlError, match=re.escape(told)):
        parse_grid(strategy, texts)
