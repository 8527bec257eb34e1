"""A stop in every phase, and the resumes that end its hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.machine import awaited, step
from qmtl_world.apply.model import Activation
from qmtl_world.apply.place import (
    ASTRAY,
    OPERATOR,
    RESEEDED,
    ROLLED_BACK_HOLD,
    EventKind,
    Mark,
    Phase,
    Place,
    Reseed,
    RollBack,
    Start,
    Stop,
    Told,
)
from tests.support.apply_scene import EXECUTOR, G1, G2, NEW, OLD, Scene

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("phase", "end", "kept"),
    [
        (Phase.FREEZING, Phase.ROLLED_BACK, OLD),
        (Phase.SWITCHING, Phase.ROLLED_BACK, OLD),
        (Phase.UNFREEZING, Phase.COMPLETED, NEW),
        (Phase.COMPLETED, Phase.COMPLETED, NEW),
    ],
)
def test_a_stop_in_any_phase_leaves_the_world_frozen_and_held(
    started: Scene, phase: Phase, end: Phase, kept: tuple[Activation, ...]
) -> None:
    started.reach(phase)
    said = started.do(Stop(OPERATOR, "asked for"))
    assert said[:2] == ["fence 4", "freeze 4"]
    assert (started.run.phase, started.place.activations) == (end, kept)
    assert (started.place.is_open, started.place.holds) == (False, {OPERATOR})


def test_a_stop_while_a_rollback_opens_leaves_the_world_held_with_the_prior_set(started: Scene) -> None:
    started.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    assert started.do(Stop(OPERATOR, "asked for")) == ["fence 5", "freeze 5"]
    assert (started.run.phase, started.place.activations, started.place.is_open) == (Phase.ROLLED_BACK, OLD, False)


def test_a_stop_while_a_rollback_drains_lets_it_drain_behind_the_newer_fence(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    started.acknowledged(EventKind.FREEZE, G1, G2)
    assert started.do(Stop(OPERATOR, "asked for")) == ["fence 5", "freeze 5"]
    assert (started.run.phase, awaited(started.place)) == (Phase.DRAINING, (("g1", "g2"), (EXECUTOR,)))
    assert started.run.sequence == started.place.sequence
    started.reach(Phase.ROLLED_BACK)
    assert (started.place.activations, started.place.holds) == (OLD, {OPERATOR, ROLLED_BACK_HOLD})


def test_a_stop_of_a_world_that_never_opened_holds_it() -> None:
    scene = Scene()
    assert scene.do(Stop(OPERATOR, "asked for")) == ["fence 1", "freeze 1"]
    assert scene.place.holds == {OPERATOR}


def test_a_resume_ends_its_hold_in_the_switch_and_opens_the_same_set(scene: Scene) -> None:
    scene.do(Stop(OPERATOR, "asked for"))
    before = scene.place.state_hash
    scene.do(Start("run-1", None, frozenset({G1, G2}), clears=OPERATOR))
    assert scene.place.holds == {OPERATOR}
    scene.reach(Phase.COMPLETED)
    assert (scene.place.holds, scene.place.is_open, scene.place.state_hash) == (frozenset(), True, before)


def test_a_resume_of_one_of_two_holds_opens_nothing(scene: Scene) -> None:
    scene.do(Stop(OPERATOR, "asked for"), Stop("restored", "a backup"))
    scene.do(Start("run-1", None, frozenset({G1, G2}), clears=OPERATOR))
    scene.reach(Phase.COMPLETED)
    assert (scene.place.holds, scene.place.is_open) == ({"restored"}, False)


def test_a_resume_that_is_rolled_back_is_held_again(scene: Scene) -> None:
    scene.do(Stop(OPERATOR, "asked for"))
    scene.do(Start("run-1", None, frozenset({G1, G2}), clears=OPERATOR))
    scene.reach(Phase.SWITCHING)
    scene.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    assert (scene.run.phase, scene.place.holds, scene.place.is_open) == (Phase.ROLLED_BACK, {OPERATOR}, False)


def test_a_world_is_closed_until_a_run_opens_it() -> None:
    assert (Place("equity").is_open, Place("equity").activations) == (False, ())


def test_a_stop_is_the_reason_of_the_run_that_it_ends_and_a_held_world_waits_for_nobody(started: Scene) -> None:
    started.do(Stop(OPERATOR, "flood"))
    assert (started.run.reason, started.run.unopened) == ("flood", ())


def test_a_resume_opens_nothing_live_that_the_world_no_longer_allows(scene: Scene) -> None:
    live = tuple(replace(each, mode=EffectiveMode.LIVE) for each in OLD)
    scene.place = replace(scene.place, activations=live)
    scene.do(Stop(OPERATOR, "asked for"), Start("run-1", None, frozenset({G1, G2}), clears=OPERATOR))
    scene.reach(Phase.COMPLETED)
    assert [each.mode for each in scene.place.activations] == [EffectiveMode.COMPUTE_ONLY]


def test_a_stop_between_runs_belongs_to_none(scene: Scene) -> None:
    scene.do(Stop(OPERATOR, "asked for"))
    told = scene.told[-1]
    assert isinstance(told, Told)
    assert told.run_id == ""


def test_no_run_begins_while_streams_and_database_disagree_not_even_the_resume_of_another_hold() -> None:
    place = Place("equity", epoch=4, holds=frozenset({ASTRAY, OPERATOR}))
    for clears in (OPERATOR, ASTRAY):
        with pytest.raises(QmtlError, match="reseed it instead") as caught:
            step(place, Start("run-2", None, frozenset(), clears), NOW)
        assert caught.value.reason is Reason.WORLD_HELD


def test_a_reseeded_world_stands_above_everything_seen_fenced_and_held() -> None:
    place = Place("equity", epoch=4, sequence=9, mark=7, is_open=False, holds=frozenset({ASTRAY, OPERATOR}))
    after, effects = step(place, Reseed(6, 8, 12), NOW)
    assert (after.epoch, after.sequence, after.mark, after.is_open) == (7, 10, 13, False)
    assert after.holds == {RESEEDED, OPERATOR}
    assert [type(each) for each in effects] == [Mark, Told]
    with pytest.raises(QmtlError, match="nothing to reseed"):
        step(after, Reseed(9, 9, 9), NOW)


def test_a_world_is_not_reseeded_under_its_run(started: Scene) -> None:
    started.place = replace(started.place, holds=frozenset({ASTRAY}))
    assert started.refused(Reseed(9, 9, 9)).reason is Reason.RUN_IN_PROGRESS
