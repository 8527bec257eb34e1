"""Marks and those who pass them; what the protocol refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qmtl_foundation.errors import Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.machine import REMIND_AFTER, REPEAT_AFTER, awaited, next_due
from qmtl_world.apply.place import (
    OPERATOR,
    Deregister,
    Enrol,
    EventKind,
    ExecutorAcknowledged,
    ExecutorClosed,
    Gateway,
    GatewayAcknowledged,
    MarkKind,
    Phase,
    RollBack,
    Start,
    Stop,
)
from tests.support.apply_scene import EXECUTOR, G1, G2, NEW, OLD, Scene


def test_marks_are_written_again_until_the_executor_has_passed_them(started: Scene) -> None:
    assert started.later(REPEAT_AFTER) == ["fence 3"]
    assert started.later(REPEAT_AFTER) == ["fence 3"]
    started.fenced()
    assert started.later(REPEAT_AFTER) == []


def test_after_a_run_marks_are_written_again_more_slowly(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.later()
    assert started.run.phase is Phase.COMPLETED
    started.later(REPEAT_AFTER)  # was still due by the run's own pace
    assert started.later(REPEAT_AFTER) == []
    assert started.later(REMIND_AFTER) == ["fence 3", "open 3"]
    started.opened()
    assert next_due(started.place) is None


def test_an_executor_that_missed_a_mark_gets_the_marks_again_until_it_has_passed_them(scene: Scene) -> None:
    assert scene.place.is_settled
    assert scene.do(ExecutorClosed(EXECUTOR)) == ["fence 2", "open 2"]
    assert (scene.place.is_settled, scene.do(ExecutorClosed(EXECUTOR))) == (False, [])
    scene.opened()
    assert scene.place.is_settled


def test_a_run_waits_again_for_an_executor_that_missed_a_mark(started: Scene) -> None:
    started.fenced()
    assert started.do(ExecutorClosed(EXECUTOR)) == ["fence 3"]
    assert started.acknowledged(EventKind.FREEZE, G1, G2) == []
    assert started.fenced() == ["switch 3"]
    assert started.do(ExecutorClosed(EXECUTOR)) == ["fence 3"]
    assert awaited(started.place) == (("g1", "g2"), ())  # it is closed, and needs no set


def test_an_executor_enrols_behind_marks_that_act_on_it_alone(scene: Scene) -> None:
    assert scene.do(Enrol("paper-2", EffectiveMode.PAPER)) == ["fence 2", "open 2"]
    assert (scene.place.epoch, scene.place.is_open, scene.place.is_settled) == (2, True, False)
    scene.do(ExecutorAcknowledged("paper-2", MarkKind.OPEN, 2))
    assert scene.place.is_settled


def test_the_first_executor_of_a_world_is_fenced_by_an_epoch_of_its_own() -> None:
    scene = Scene()
    assert scene.do(Enrol(EXECUTOR, EffectiveMode.PAPER)) == ["fence 1"]


def test_executors_come_and_go_between_runs_only(started: Scene) -> None:
    for event in (Enrol("paper-2", EffectiveMode.PAPER), Deregister(EXECUTOR)):
        assert started.refused(event).reason is Reason.RUN_IN_PROGRESS
    started.reach(Phase.COMPLETED)
    started.do(Enrol("paper-2", EffectiveMode.PAPER))
    assert started.place.executors == {EXECUTOR, "paper-2"}
    started.do(Deregister("paper-2"))
    assert started.place.executors == {EXECUTOR}


def test_an_executor_leaves_an_open_world_only_when_no_orders_go_to_it(scene: Scene) -> None:
    scene.do(Enrol("paper-2", EffectiveMode.PAPER))
    error = scene.refused(Deregister(EXECUTOR))
    assert (error.reason, error.metadata["strategy_id"]) == (Reason.NO_EXECUTOR, "ann/Trend")
    scene.do(Deregister("paper-2"), Stop(OPERATOR, "asked for"), Deregister(EXECUTOR))
    assert scene.place.executors == frozenset()


def test_the_only_executor_leaves_an_open_world_without_orders(scene: Scene) -> None:
    validated = tuple(replace(each, mode=EffectiveMode.VALIDATE, executor="") for each in OLD)
    scene.apply("run-1", validated)
    scene.do(Deregister(EXECUTOR))
    assert (scene.place.is_open, scene.place.executors) == (True, frozenset())


def test_a_resume_waits_for_the_executor_of_its_set_to_be_enrolled_again(scene: Scene) -> None:
    scene.do(Stop(OPERATOR, "asked for"), Deregister(EXECUTOR), Enrol("paper-2", EffectiveMode.PAPER))
    resume = Start("run-1", None, frozenset({G1, G2}), clears=OPERATOR)
    assert scene.refused(resume).reason is Reason.NO_EXECUTOR
    scene.do(Enrol(EXECUTOR, EffectiveMode.PAPER), resume)
    assert scene.run.phase is Phase.FREEZING


def test_an_executor_that_comes_back_has_acknowledged_nothing(scene: Scene) -> None:
    scene.do(Enrol("paper-2", EffectiveMode.PAPER), ExecutorAcknowledged("paper-2", MarkKind.OPEN, 2))
    assert scene.place.is_settled
    scene.do(Deregister("paper-2"), Enrol("paper-2", EffectiveMode.PAPER))
    assert (scene.place.fenced, scene.place.opened, scene.place.is_settled) == ({EXECUTOR}, {EXECUTOR}, False)


def test_what_passed_an_open_passed_its_fence(scene: Scene) -> None:
    assert (scene.place.opened, scene.place.fenced) == ({EXECUTOR}, {EXECUTOR})
    scene.do(Enrol("paper-2", EffectiveMode.PAPER), ExecutorAcknowledged("paper-2", MarkKind.OPEN, 2))
    assert scene.place.fenced == {EXECUTOR, "paper-2"}


def test_a_second_run_is_refused_by_the_name_of_the_first(started: Scene) -> None:
    error = started.refused(Start("run-2", OLD, frozenset()))
    assert (error.reason, error.metadata["run_id"], error.metadata["phase"]) == (
        Reason.RUN_IN_PROGRESS,
        "run-1",
        "freezing",
    )


def test_a_run_of_a_held_world_is_refused_by_its_holds(scene: Scene) -> None:
    scene.do(Stop(OPERATOR, "asked for"))
    error = scene.refused(Start("run-1", NEW, frozenset()))
    assert (error.reason, error.metadata["holds"]) == (Reason.WORLD_HELD, OPERATOR)
    assert scene.refused(Start("run-1", None, frozenset(), clears="flood")).reason is Reason.HOLD_NOT_FOUND


def test_a_plan_made_on_another_set_is_refused(scene: Scene) -> None:
    error = scene.refused(Start("run-1", NEW, frozenset(), base="blake3:other"))
    assert (error.reason, error.metadata["expected"]) == (Reason.STALE_ETAG, scene.place.state_hash)


def test_orders_without_an_executor_and_live_without_leave_are_refused(scene: Scene) -> None:
    live = tuple(replace(each, mode=EffectiveMode.LIVE) for each in NEW)
    assert scene.refused(Start("run-1", live, frozenset())).reason is Reason.LIVE_NOT_ALLOWED
    bare = Scene()
    error = bare.refused(Start("run-1", NEW, frozenset()))
    assert (error.reason, error.metadata["strategy_id"]) == (Reason.NO_EXECUTOR, "bob/Carry")


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (
            "paper-2",
            "executor 'paper-2' is not enrolled for the orders of bob/Carry in world 'equity'; enrol and name one",
        ),
        ("", "no executor is named for the orders of bob/Carry in world 'equity'; enrol and name one"),
    ],
)
def test_orders_to_an_executor_that_is_not_enrolled_are_refused(scene: Scene, executor: str, message: str) -> None:
    plan = (*OLD, *(replace(each, executor=executor) for each in NEW))
    error = scene.refused(Start("run-1", plan, frozenset()))
    assert (error.reason, str(error)) == (Reason.NO_EXECUTOR, message)
    assert error.metadata == {"world": "equity", "strategy_id": "bob/Carry", "executor": executor}


def test_a_resume_states_no_plan(scene: Scene) -> None:
    scene.do(Stop(OPERATOR, "asked for"))
    error = scene.refused(Start("run-1", NEW, frozenset(), clears=OPERATOR))
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, "plan")


def test_a_run_that_is_over_or_of_another_name_cannot_go_back(started: Scene) -> None:
    assert started.refused(RollBack("run-9", "asked for", frozenset({G1, G2}))).reason is Reason.RUN_NOT_REVERSIBLE
    started.reach(Phase.COMPLETED)
    assert started.refused(RollBack("run-1", "asked for", frozenset({G1, G2}))).reason is Reason.RUN_NOT_REVERSIBLE


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("run_id", {"run_id": "run-9"}),
        ("epoch", {"epoch": 2}),
        ("phase", {"phase": EventKind.SWITCH}),
        ("sequence", {"sequence": 1}),
        ("incarnation", {"gateway": Gateway("g1", "g1-b")}),
    ],
)
def test_an_acknowledgement_of_something_else_changes_nothing(
    started: Scene, field: str, changed: dict[str, Any]
) -> None:
    right = GatewayAcknowledged(G1, "run-1", EventKind.FREEZE, started.place.epoch, started.run.sequence)
    error = started.refused(replace(right, **changed))
    assert (error.reason, error.metadata["field"]) == (Reason.ACKNOWLEDGEMENT_MISMATCH, field)


@pytest.mark.parametrize(
    ("field", "acknowledged"),
    [
        ("executor", ExecutorAcknowledged("forged", MarkKind.FENCE, 3)),
        ("epoch", ExecutorAcknowledged(EXECUTOR, MarkKind.FENCE, 2)),
        ("mark", ExecutorAcknowledged(EXECUTOR, MarkKind.OPEN, 3)),
    ],
)
def test_an_executor_s_acknowledgement_of_something_else_changes_nothing(
    started: Scene, field: str, acknowledged: ExecutorAcknowledged
) -> None:
    error = started.refused(acknowledged)
    assert (error.reason, error.metadata["field"]) == (Reason.ACKNOWLEDGEMENT_MISMATCH, field)


def test_an_acknowledgement_twice_is_one(started: Scene) -> None:
    started.acknowledged(EventKind.FREEZE, G1, G1)
    assert started.run.acked == {G1}
