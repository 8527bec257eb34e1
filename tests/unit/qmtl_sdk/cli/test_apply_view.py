"""What people and programs see of apply runs and executors."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from qmtl_foundation.errors import QmtlError
from qmtl_sdk._pb.qmtl.apply.v1 import (
    Activation,
    ApplyRecord,
    ApplyRun,
    Enrolment,
    ExecutorPosition,
    Participant,
    ParticipantKind,
    RunPhase,
)
from qmtl_sdk.cli.applies import parse_plan, read_plan_file
from qmtl_sdk.cli.apply_documents import enrolment_document, exit_code_of_run, run_document
from qmtl_sdk.cli.apply_view import RunBoard, changes, run_view, shown_run
from qmtl_sdk.cli.exits import ExitCode

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GATEWAY = Participant(
    kind=ParticipantKind.GATEWAY, name="gw1", incarnation="i1", lease_expire_time=NOON + timedelta(seconds=4)
)
OTHER = Participant(kind=ParticipantKind.GATEWAY, name="gw2", incarnation="i2")
PAPER = Participant(kind=ParticipantKind.EXECUTOR, name="paper")
REQUESTED = ApplyRecord(event="requested", actor="ana", reason="go live", create_time=NOON)
FREEZE = ApplyRecord(event="freeze", actor="world service", create_time=NOON + timedelta(milliseconds=20))
FREEZING = ApplyRun(
    world="w",
    run_id="r1",
    phase=RunPhase.FREEZING,
    epoch=4,
    plan=[Activation(strategy_id="ana/Trend", weight=0.25)],
    awaited=[GATEWAY, PAPER],
    acknowledged=[OTHER],
    deadline=NOON + timedelta(seconds=30),
    timeline=[REQUESTED, FREEZE],
    revision=2,
)
ENDED = replace(
    FREEZING,
    phase=RunPhase.COMPLETED,
    awaited=[],
    acknowledged=[],
    deadline=None,
    unopened=["paper"],
    holds=["operator"],
    reason="not all opened",
    end_time=NOON + timedelta(seconds=31),
    timeline=[REQUESTED, FREEZE, ApplyRecord(event="completed", actor="world service", create_time=NOON)],
    revision=5,
)


def drawn(shown: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def names(message: object) -> set[str]:
    assert dataclasses.is_dataclass(message)
    return {field.name for field in dataclasses.fields(message) if not field.name.startswith("_")}


def test_run_and_enrolment_have_every_field_of_the_contract() -> None:
    run = run_document(FREEZING)
    assert set(run) == names(FREEZING)
    assert set(run["plan"][0]) == names(Activation())
    assert set(run["awaited"][0]) == names(Participant())
    assert set(run["timeline"][0]) == names(ApplyRecord())
    enrolment = enrolment_document(Enrolment(positions=[ExecutorPosition(quantity=-1.5)]))
    assert set(enrolment) == names(Enrolment())
    assert set(enrolment["positions"][0]) == names(ExecutorPosition())
    assert (run["phase"], run["awaited"][0]["kind"]) == ("freezing", "gateway")


def test_view_has_phases_participants_and_how_long_they_are_waited_for() -> None:
    text = drawn(run_view(FREEZING, NOON + timedelta(milliseconds=1_520)))
    for part in (
        "run r1 of w: freezing, epoch 4",
        "requested 12:00:00.000    20 ms by ana: go live",
        "freeze    12:00:00.020 1,500 ms by world service",
        "ana/Trend 25.0%",
        "gateway gw1, its lease lasts 2.5 s",
        "executor paper",
        "acknowledged  gateway gw2",
        "in 28 s",
    ):
        assert part in text


def test_lease_that_is_over_is_said() -> None:
    assert "gateway gw1, its lease is over" in drawn(run_view(FREEZING, NOON + timedelta(seconds=5)))


def test_view_of_an_ended_run_says_how_it_ended() -> None:
    text = drawn(run_view(ENDED, NOON))
    for part in ("completed, epoch 4 (not all opened)", "held by", "operator", "not opened", "paper"):
        assert part in text
    assert "deadline" not in text


def test_board_counts_down_between_states() -> None:
    now = [NOON]
    board = RunBoard(clock=lambda: now[0])
    assert drawn(board).strip() == ""
    board.take(FREEZING)
    assert "in 30 s" in drawn(board)
    now[0] = NOON + timedelta(seconds=10)
    assert "in 20 s" in drawn(board)


def test_each_change_is_a_line_and_no_change_is_none() -> None:
    assert changes(ApplyRun(), FREEZING) == [
        "12:00:00.000 requested by ana: go live",
        "12:00:00.020 freeze by world service",
        "freezing: awaited gateway gw1, executor paper",
        "freezing: acknowledged gateway gw2",
    ]
    renewed = replace(GATEWAY, lease_expire_time=NOON + timedelta(seconds=5))
    assert changes(FREEZING, replace(FREEZING, awaited=[renewed, PAPER])) == []
    came = replace(FREEZING, awaited=[PAPER], acknowledged=[OTHER, GATEWAY])
    assert changes(FREEZING, came) == ["freezing: awaited executor paper", "freezing: acknowledged gateway gw1"]
    assert changes(came, ENDED) == [
        "12:00:00.000 completed by world service",
        "held by operator",
        "run r1 of w: completed, epoch 4 (not all opened)",
        "not opened: paper",
    ]
    assert changes(replace(FREEZING, holds=["operator"]), FREEZING) == ["held by nothing any more"]


@pytest.mark.parametrize(("is_terminal", "seen"), [(True, "deadline"), (False, "freezing: awaited")])
def test_run_is_drawn_on_a_terminal_and_told_in_lines_elsewhere(is_terminal: bool, seen: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    with shown_run(console) as take:
        take(FREEZING)
    assert isinstance(console.file, io.StringIO)
    assert seen in console.file.getvalue()


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (RunPhase.COMPLETED, ExitCode.OK),
        (RunPhase.ROLLED_BACK, ExitCode.NOT_VALID),
        (RunPhase.ABORTED, ExitCode.NOT_VALID),
    ],
)
def test_exit_code_says_whether_the_run_completed(phase: RunPhase, code: ExitCode) -> None:
    assert exit_code_of_run(ApplyRun(phase=phase)) == code


def test_plan_of_options_is_what_is_stated() -> None:
    plan = parse_plan(["ana/Trend=0.5", "bo/Carry=1e-1"])
    assert plan is not None
    assert [(each.strategy_id, each.weight) for each in plan.activations] == [("ana/Trend", 0.5), ("bo/Carry", 0.1)]
    assert parse_plan([]) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("activations: [", "is not YAML"),
        ("[]", "holds no plan"),
        ("activations: {}", "is no list"),
        ("activations: [], more: 1", "is not YAML"),
        ("{activations: [], more: 1}", "holds no plan"),
        ("activations: [ana/Trend]", "activations[0]"),
        ("activations: [{strategy_id: ana/Trend}]", "activations[0]"),
        ("activations: [{strategy_id: ana/Trend, weight: 1, side: long}]", "activations[0]"),
        ("activations: [{strategy_id: 5, weight: 1}]", "activations[0].strategy_id is 5"),
        ("activations: [{strategy_id: ana/Trend, weight: yes}]", "activations[0].weight is True"),
        ("activations: [{strategy_id: ana/Trend, weight: 1" + "0" * 400 + "}]", "activations[0].weight"),
        ("activations: [{strategy_id: ana/Trend, weight: 1, strategy_version: 3}]", "strategy_version is 3"),
    ],
)
def test_bad_plan_file_names_what_is_wrong(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(QmtlError, match="plan_file") as refused:
        read_plan_file(file)
    assert told in refused.value.message


def test_plan_file_states_version_too(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("activations: [{strategy_id: ana/Trend, weight: 1, strategy_version: 'blake3:0'}]")
    [planned] = read_plan_file(file).activations
    assert (planned.weight, planned.strategy_version) == (1.0, "blake3:0")
