"""Runs forward and back: each transition, who is waited for, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from qmtl_foundation.errors import Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.machine import REPEAT_AFTER, awaited, next_due
from qmtl_world.apply.model import RunTerms
from qmtl_world.apply.place import (
    OPERATOR,
    ROLLED_BACK_HOLD,
    SWITCH_FAILED,
    UNDRAINED,
    Enrol,
    EventKind,
    Gateway,
    GatewayLost,
    Phase,
    Place,
    RollBack,
    Start,
    Stop,
    SwitchFailed,
    Timeouts,
    TimePassed,
    Told,
)
from tests.support.apply_scene import EXECUTOR, G1, G2, NEW, OLD, Scene


def test_a_start_fences_before_it_tells_of_the_freeze(scene: Scene) -> None:
    assert scene.do(Start("run-1", NEW, frozenset({G1, G2}))) == ["fence 3", "freeze 3"]
    assert (scene.run.phase, scene.place.is_open, scene.place.activations) == (Phase.FREEZING, False, OLD)
    assert awaited(scene.place) == (("g1", "g2"), (EXECUTOR,))


def test_the_set_changes_once_everybody_is_closed_and_not_before(started: Scene) -> None:
    assert started.acknowledged(EventKind.FREEZE, G1) == []
    assert started.fenced() == []
    assert started.place.activations == OLD
    assert started.acknowledged(EventKind.FREEZE, G2) == ["switch 3"]
    assert (started.run.phase, started.place.activations, started.place.is_open) == (Phase.SWITCHING, NEW, False)
    told = started.told[-1]
    assert isinstance(told, Told)
    assert (told.activations, told.run_id) == (NEW, "run-1")


def test_each_phase_awaits_acknowledgements_of_its_own_event() -> None:
    scene = Scene()
    scene.do(Enrol(EXECUTOR, EffectiveMode.PAPER), Start("run-1", OLD, frozenset({G1, G2})))
    assert awaited(scene.place) == (("g1", "g2"), (EXECUTOR,))
    scene.fenced()
    scene.acknowledged(EventKind.FREEZE, G1, G2)
    assert (scene.run.phase, awaited(scene.place)) == (Phase.SWITCHING, (("g1", "g2"), ()))
    scene.acknowledged(EventKind.SWITCH, G1, G2)
    assert (scene.run.phase, awaited(scene.place)) == (Phase.UNFREEZING, (("g1", "g2"), (EXECUTOR,)))


def test_a_set_is_put_in_as_a_whole_by_its_switch() -> None:
    scene = Scene()
    scene.do(Enrol(EXECUTOR, EffectiveMode.PAPER), Start("run-1", (*OLD, *NEW), frozenset({G1})))
    scene.fenced()
    assert scene.place.activations == ()
    assert scene.acknowledged(EventKind.FREEZE, G1) == ["switch 2"]
    assert scene.place.activations == (*OLD, *NEW)


def test_an_executor_is_awaited_whatever_happens_to_gateways(started: Scene) -> None:
    started.do(GatewayLost(G1), GatewayLost(G2))
    assert (started.run.phase, awaited(started.place)) == (Phase.FREEZING, ((), (EXECUTOR,)))


def test_a_gateway_without_a_lease_is_not_awaited(started: Scene) -> None:
    started.fenced()
    started.acknowledged(EventKind.FREEZE, G1)
    assert started.do(GatewayLost(G2)) == ["switch 3"]


def test_the_world_opens_by_its_mark_before_the_event(started: Scene) -> None:
    started.reach(Phase.SWITCHING)
    started.acknowledged(EventKind.SWITCH, G1)
    assert started.acknowledged(EventKind.SWITCH, G2) == ["open 3", "unfreeze 3"]
    assert (started.run.phase, started.place.is_open) == (Phase.UNFREEZING, True)


def test_a_run_is_complete_once_everybody_is_open(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.opened()
    assert started.run.phase is Phase.UNFREEZING
    started.acknowledged(EventKind.UNFREEZE, G1, G2)
    assert (started.run.phase, started.run.unopened, next_due(started.place)) == (Phase.COMPLETED, (), None)


def test_a_run_is_complete_without_those_that_do_not_open_in_time_and_names_them(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.acknowledged(EventKind.UNFREEZE, G1)
    started.later()
    assert (started.run.phase, started.run.unopened) == (Phase.COMPLETED, ("g2", EXECUTOR))
    assert started.run.reason == "unfreezing: no acknowledgement of g2, paper-1 in time"


def test_sequence_and_marks_have_no_gap(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.do(Stop(OPERATOR, "asked for"))
    events = [each.sequence for each in started.told if isinstance(each, Told)]
    marks = [each.number for each in started.told if not isinstance(each, Told)]
    assert events == list(range(1, len(events) + 1))
    assert marks == list(range(1, len(marks) + 1))


@pytest.mark.parametrize("phase", [Phase.FREEZING, Phase.SWITCHING, Phase.UNFREEZING])
def test_the_newest_event_is_the_one_to_be_acknowledged(started: Scene, phase: Phase) -> None:
    started.reach(phase)
    assert started.run.sequence == started.place.sequence


def test_nobody_to_wait_for_is_not_waited_for(started: Scene) -> None:
    started.do(GatewayLost(G1), GatewayLost(G2))
    assert started.fenced() == ["switch 3", "open 3", "unfreeze 3"]
    assert next_due(started.place) == started.now + REPEAT_AFTER
    started.opened()
    assert started.run.phase is Phase.COMPLETED


def test_a_run_of_a_world_without_participants_is_over_at_once() -> None:
    scene = Scene()
    assert scene.do(Start("run-1", (), frozenset())) == ["fence 1", "freeze 1", "switch 1", "open 1", "unfreeze 1"]
    assert (scene.run.phase, next_due(scene.place)) == (Phase.COMPLETED, None)


def test_a_run_is_due_at_its_deadline_once_marks_are_passed(started: Scene) -> None:
    assert next_due(started.place) == started.now + REPEAT_AFTER
    started.fenced()
    assert next_due(started.place) == started.run.deadline == started.now + started.run.timeouts.freeze
    started.now = started.run.deadline - timedelta(microseconds=1)
    assert started.do(TimePassed()) == []
    started.now = started.run.deadline
    assert started.do(TimePassed()) == ["fence 4", "open 4", "unfreeze 4"]


def test_nothing_is_awaited_without_a_run() -> None:
    assert (awaited(Place("equity")), next_due(Place("equity"))) == (((), ()), None)


def test_a_freeze_that_does_not_converge_opens_as_before_under_a_newer_epoch(started: Scene) -> None:
    before = started.place.state_hash
    assert started.later() == ["fence 4", "open 4", "unfreeze 4"]
    assert (started.run.phase, started.place.is_open) == (Phase.REOPENING, True)
    assert "no acknowledgement of g1, g2, paper-1" in started.run.reason
    started.reach(Phase.ROLLED_BACK)
    assert (started.place.state_hash, started.place.holds) == (before, frozenset())


def test_a_switch_that_raises_ends_held_with_the_prior_set(started: Scene) -> None:
    assert started.do(SwitchFailed("run-1", "disk full")) == ["fence 4", "freeze 4"]
    assert (started.run.phase, started.run.reason) == (Phase.ROLLED_BACK, "disk full")
    assert (started.place.holds, started.place.activations, started.place.is_open) == ({SWITCH_FAILED}, OLD, False)


def test_a_switch_that_is_not_acknowledged_in_time_ends_held_with_the_prior_set(started: Scene) -> None:
    started.reach(Phase.SWITCHING)
    assert started.later() == ["fence 4", "switch 4", "freeze 4"]
    assert (started.run.phase, started.place.holds, started.place.activations) == (
        Phase.ROLLED_BACK,
        {SWITCH_FAILED},
        OLD,
    )


def test_a_rollback_of_a_switch_restores_before_it_opens(started: Scene) -> None:
    started.reach(Phase.SWITCHING)
    said = started.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    assert said == ["fence 4", "switch 4", "open 4", "unfreeze 4"]
    assert (started.place.activations, started.place.is_open) == (OLD, True)
    started.reach(Phase.ROLLED_BACK)


def test_a_rollback_after_the_opening_restores_only_what_is_drained_and_holds(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    assert started.do(RollBack("run-1", "asked for", frozenset({G1, G2}))) == ["fence 4", "freeze 4"]
    assert (started.run.phase, started.place.activations) == (Phase.DRAINING, NEW)
    started.acknowledged(EventKind.FREEZE, G1, G2)
    assert started.place.activations == NEW
    assert started.fenced() == ["switch 4"]
    assert (started.run.phase, started.place.activations) == (Phase.ROLLED_BACK, OLD)
    assert (started.place.holds, started.place.is_open) == ({ROLLED_BACK_HOLD}, False)


def test_a_rollback_after_the_opening_awaits_a_gateway_that_came_back_meanwhile(started: Scene) -> None:
    started.do(GatewayLost(G1))
    started.fenced()
    started.acknowledged(EventKind.FREEZE, G2)
    started.acknowledged(EventKind.SWITCH, G2)
    again = Gateway("g1", "g1-b")
    started.do(RollBack("run-1", "asked for", frozenset({again, G2})))
    started.acknowledged(EventKind.FREEZE, G2)
    started.fenced()
    assert (started.run.phase, awaited(started.place)) == (Phase.DRAINING, (("g1",), ()))
    assert started.acknowledged(EventKind.FREEZE, again) == ["switch 4"]


def test_a_rollback_that_is_not_drained_in_time_keeps_the_set_and_holds(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    started.later()
    assert (started.run.phase, started.place.activations) == (Phase.COMPLETED, NEW)
    assert (started.place.holds, started.place.is_open) == ({UNDRAINED}, False)


def test_a_rollback_that_does_not_open_in_time_is_over_all_the_same(started: Scene) -> None:
    started.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    started.later()
    assert (started.run.phase, started.run.unopened) == (Phase.ROLLED_BACK, ("g1", "g2", EXECUTOR))


def test_a_mode_that_is_no_longer_allowed_is_not_switched_in(scene: Scene) -> None:
    scene.place = replace(scene.place, allow_live=True)
    live = tuple(replace(each, mode=EffectiveMode.LIVE) for each in NEW)
    scene.do(Start("run-1", live, frozenset({G1, G2})))
    scene.place = replace(scene.place, allow_live=False)
    scene.reach(Phase.SWITCHING)
    assert [(each.mode, each.executor) for each in scene.place.activations] == [(EffectiveMode.COMPUTE_ONLY, "")]


def test_a_mode_is_not_restored_above_what_the_world_allows_today(scene: Scene) -> None:
    live = tuple(replace(each, mode=EffectiveMode.LIVE) for each in OLD)
    scene.place = replace(scene.place, allow_live=True)
    scene.apply("run-1", live)
    scene.do(Start("run-2", NEW, frozenset({G1, G2})))
    scene.reach(Phase.SWITCHING)
    scene.place = replace(scene.place, allow_live=False)
    scene.do(RollBack("run-2", "asked for", frozenset({G1, G2})))
    assert [each.mode for each in scene.place.activations] == [EffectiveMode.COMPUTE_ONLY]


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [
        (Phase.FREEZING, 1),
        (Phase.SWITCHING, 2),
        (Phase.UNFREEZING, 3),
        (Phase.REOPENING, 4),
        (Phase.DRAINING, 4),
    ],
)
def test_each_phase_has_its_own_time(scene: Scene, phase: Phase, seconds: int) -> None:
    each = Timeouts.of(RunTerms(1_000, 2_000, 3_000, 4_000))
    scene.do(Start("run-1", NEW, frozenset({G1, G2}), timeouts=each))
    scene.reach({Phase.REOPENING: Phase.FREEZING, Phase.DRAINING: Phase.UNFREEZING}.get(phase, phase))
    if scene.run.phase is not phase:
        scene.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    assert (scene.run.phase, scene.run.deadline) == (phase, scene.now + timedelta(seconds=seconds))


def test_a_switch_that_is_committed_cannot_be_said_to_have_failed(started: Scene) -> None:
    started.reach(Phase.SWITCHING)
    assert started.refused(SwitchFailed("run-1", "disk full")).reason is Reason.RUN_NOT_REVERSIBLE
