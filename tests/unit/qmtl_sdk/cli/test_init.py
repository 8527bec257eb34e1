"""``qmtl init``: what it writes is ready to be submitted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qmtl_sdk.cli.init import POLICY, STRATEGY
from qmtl_sdk.cli.loading import load_strategy
from qmtl_sdk.cli.main import run
from qmtl_sdk.strategy.program import OutputKind, build
from qmtl_world.evaluation.policy import parse_policy

Captured = pytest.CaptureFixture[str]


def test_example_is_a_strategy_of_ten_lines(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "mine")]) == 0
    program = build(load_strategy(str(tmp_path / "mine" / "strategy.py")))
    assert program.output.kind is OutputKind.TARGET
    assert len([line for line in STRATEGY.splitlines() if line.strip()]) <= 10


def test_example_policy_is_valid() -> None:
    assert [gate.name for gate in parse_policy(POLICY.encode()).gates] == ["sharpe", "drawdown"]


def test_says_the_next_three_commands(tmp_path: Path, capsys: Captured) -> None:
    run(["init", str(tmp_path), "--output", "json"])
    answer = json.loads(capsys.readouterr().out)
    assert [command.split()[:2] for command in answer["next"]] == [
        ["qmtl", "up"],
        ["qmtl", "world"],
        ["qmtl", "submit"],
    ]


def test_overwrites_nothing(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "policy.yaml").write_text("mine")
    assert run(["init", str(tmp_path)]) == 1
    assert "policy.yaml exists and is not overwritten" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["policy.yaml"]


def test_unwritable_place_is_refused(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").write_text("")
    assert run(["init", str(tmp_path / "file" / "below")]) == 1
    assert "cannot be written" in capsys.readouterr().err
