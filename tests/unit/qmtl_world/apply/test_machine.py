"""Each transition of the apply protocol, each refusal, and who is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.machine import REMIND_AFTER, REPEAT_AFTER, awaited, next_due, step
from qmtl_world.apply.model import Activation
from qmtl_world.apply.place import (
    OPERATOR,
    ROLLED_BACK_HOLD,
    SWITCH_FAILED,
    UNDRAINED,
    AckPhase,
    Deregister,
    Effect,
    Enrol,
    Event,
    ExecutorAcknowledged,
    ExecutorClosed,
    Gateway,
    GatewayAcknowledged,
    GatewayLost,
    MarkKind,
    Phase,
    Place,
    RollBack,
    Run,
    Start,
    Stop,
    SwitchFailed,
    Timeouts,
    TimePassed,
    Told,
)

EXECUTOR = "paper-1"
G1, G2 = Gateway("g1", "g1-a"), Gateway("g2", "g2-a")
OLD = (Activation("ann/Trend", "v1", 0.5, "long", EffectiveMode.PAPER, "f"),)
NEW = (Activation("bob/Carry", "v1", 0.5, "long", EffectiveMode.PAPER, "f"),)
LONG = timedelta(seconds=60)


class Scene:
    """Hold a world, and what it has told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, tzinfo=UTC)
        self.place = Place("equity")
        self.told: list[Effect] = []

    @property
    def run(self) -> Run:
        assert self.place.run is not None
        return self.place.run

    def do(self, *events: Event) -> list[str]:
        """Take events; return what was told, as ``KIND epoch``."""
        said: list[str] = []
        for event in events:
            self.place, effects = step(self.place, event, self.now)
            self.told.extend(effects)
            said += [f"{each.kind.value} {each.epoch}" for each in effects]
        return said

    def fenced(self) -> list[str]:
        return self.do(ExecutorAcknowledged(EXECUTOR, MarkKind.FENCE, self.place.epoch))

    def opened(self) -> list[str]:
        return self.do(ExecutorAcknowledged(EXECUTOR, MarkKind.OPEN, self.place.epoch))

    def acknowledged(self, phase: AckPhase, *gateways: Gateway) -> list[str]:
        run, epoch = self.run, self.place.epoch
        return self.do(*(GatewayAcknowledged(each, run.run_id, phase, epoch, run.sequence) for each in gateways))

    def later(self, passed: timedelta = LONG) -> list[str]:
        self.now += passed
        return self.do(TimePassed())

    def apply(self, run_id: str, plan: tuple[Activation, ...]) -> None:
        """Carry a run through."""
        self.do(Start(run_id, plan, frozenset({G1, G2})))
        self.reach(Phase.COMPLETED)

    def reach(self, phase: Phase) -> None:
        """Let everybody answer until the run is in a phase."""
        ways = {
            Phase.FREEZING: lambda: (self.fenced(), self.acknowledged(AckPhase.FREEZE, G1, G2)),
            Phase.SWITCHING: lambda: self.acknowledged(AckPhase.SWITCH, G1, G2),
            Phase.UNFREEZING: lambda: (self.opened(), self.acknowledged(AckPhase.UNFREEZE, G1, G2)),
            Phase.DRAINING: lambda: (self.fenced(), self.acknowledged(AckPhase.FREEZE, G1, G2)),
            Phase.REOPENING: lambda: (self.opened(), self.acknowledged(AckPhase.UNFREEZE, G1, G2)),
        }
        while self.run.phase is not phase:
            ways[self.run.phase]()

    def refused(self, event: Event) -> QmtlError:
        """Return the refusal of an event, which must have changed nothing."""
        before = self.place
        with pytest.raises(QmtlError) as caught:
            self.do(event)
        assert self.place == before
        return caught.value


@pytest.fixture
def scene() -> Scene:
    """Return a world that trades OLD at epoch 2, an executor enrolled."""
    made = Scene()
    made.do(Enrol(EXECUTOR))
    made.apply("run-0", OLD)
    assert (made.place.epoch, made.place.is_open, made.place.activations) == (2, True, OLD)
    return made


@pytest.fixture
def started(scene: Scene) -> Scene:
    """Return the world just after a run towards NEW was started."""
    scene.do(Start("run-1", NEW, frozenset({G1, G2})))
    return scene


# ---- Forward


def test_a_start_fences_before_it_tells_of_the_freeze(scene: Scene) -> None:
    assert scene.do(Start("run-1", NEW, frozenset({G1, G2}))) == ["fence 3", "freeze 3"]
    assert (scene.run.phase, scene.place.is_open, scene.place.activations) == (Phase.FREEZING, False, OLD)
    assert awaited(scene.place) == (("g1", "g2"), (EXECUTOR,))


def test_the_set_changes_once_everybody_is_closed_and_not_before(started: Scene) -> None:
    assert started.acknowledged(AckPhase.FREEZE, G1) == []
    assert started.fenced() == []
    assert started.place.activations == OLD
    assert started.acknowledged(AckPhase.FREEZE, G2) == ["switch 3"]
    assert (started.run.phase, started.place.activations, started.place.is_open) == (Phase.SWITCHING, NEW, False)
    told = started.told[-1]
    assert isinstance(told, Told)
    assert (told.activations, told.run_id) == (NEW, "run-1")


def test_an_executor_is_awaited_whatever_happens_to_gateways(started: Scene) -> None:
    started.do(GatewayLost(G1), GatewayLost(G2))
    assert (started.run.phase, awaited(started.place)) == (Phase.FREEZING, ((), (EXECUTOR,)))


def test_a_gateway_without_a_lease_is_not_awaited(started: Scene) -> None:
    started.fenced()
    started.acknowledged(AckPhase.FREEZE, G1)
    assert started.do(GatewayLost(G2)) == ["switch 3"]


def test_the_world_opens_by_its_mark_before_the_event(started: Scene) -> None:
    started.reach(Phase.SWITCHING)
    started.acknowledged(AckPhase.SWITCH, G1)
    assert started.acknowledged(AckPhase.SWITCH, G2) == ["open 3", "unfreeze 3"]
    assert (started.run.phase, started.place.is_open) == (Phase.UNFREEZING, True)


def test_a_run_is_complete_once_everybody_is_open(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.opened()
    assert started.run.phase is Phase.UNFREEZING
    started.acknowledged(AckPhase.UNFREEZE, G1, G2)
    assert (started.run.phase, started.run.unopened, next_due(started.place)) == (Phase.COMPLETED, (), None)


def test_a_run_is_complete_without_those_that_do_not_open_in_time_and_names_them(started: Scene) -> None:
    started.reach(Phase.UNFREEZING)
    started.acknowledged(AckPhase.UNFREEZE, G1)
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


# ---- Back


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
    started.acknowledged(AckPhase.FREEZE, G1, G2)
    assert started.place.activations == NEW
    assert started.fenced() == ["switch 4"]
    assert (started.run.phase, started.place.activations) == (Phase.ROLLED_BACK, OLD)
    assert (started.place.holds, started.place.is_open) == ({ROLLED_BACK_HOLD}, False)


def test_a_rollback_after_the_opening_awaits_a_gateway_that_came_back_meanwhile(started: Scene) -> None:
    started.do(GatewayLost(G1))
    started.fenced()
    started.acknowledged(AckPhase.FREEZE, G2)
    started.acknowledged(AckPhase.SWITCH, G2)
    again = Gateway("g1", "g1-b")
    started.do(RollBack("run-1", "asked for", frozenset({again, G2})))
    started.acknowledged(AckPhase.FREEZE, G2)
    started.fenced()
    assert (started.run.phase, awaited(started.place)) == (Phase.DRAINING, (("g1",), ()))
    assert started.acknowledged(AckPhase.FREEZE, again) == ["switch 4"]


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
    each = Timeouts(*(timedelta(seconds=count) for count in (1, 2, 3, 4)))
    scene.do(Start("run-1", NEW, frozenset({G1, G2}), timeouts=each))
    scene.reach({Phase.REOPENING: Phase.FREEZING, Phase.DRAINING: Phase.UNFREEZING}.get(phase, phase))
    if scene.run.phase is not phase:
        scene.do(RollBack("run-1", "asked for", frozenset({G1, G2})))
    assert (scene.run.phase, scene.run.deadline) == (phase, scene.now + timedelta(seconds=seconds))


def test_a_switch_that_is_committed_cannot_be_said_to_have_failed(started: Scene) -> None:
    started.reach(Phase.SWITCHING)
    assert started.refused(SwitchFailed("run-1", "disk full")).reason is Reason.RUN_NOT_REVERSIBLE


# ---- Stop and resume


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
    started.acknowledged(AckPhase.FREEZE, G1, G2)
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


# ---- Marks and executors


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
    assert started.acknowledged(AckPhase.FREEZE, G1, G2) == []
    assert started.fenced() == ["switch 3"]
    assert started.do(ExecutorClosed(EXECUTOR)) == ["fence 3"]
    assert awaited(started.place) == (("g1", "g2"), ())  # it is closed, and needs no set


def test_an_executor_enrols_behind_marks_that_act_on_it_alone(scene: Scene) -> None:
    assert scene.do(Enrol("paper-2")) == ["fence 2", "open 2"]
    assert (scene.place.epoch, scene.place.is_open, scene.place.is_settled) == (2, True, False)
    scene.do(ExecutorAcknowledged("paper-2", MarkKind.OPEN, 2))
    assert scene.place.is_settled


def test_the_first_executor_of_a_world_is_fenced_by_an_epoch_of_its_own() -> None:
    scene = Scene()
    assert scene.do(Enrol(EXECUTOR)) == ["fence 1"]


def test_executors_come_and_go_between_runs_only(started: Scene) -> None:
    for event in (Enrol("paper-2"), Deregister(EXECUTOR)):
        assert started.refused(event).reason is Reason.RUN_IN_PROGRESS
    started.reach(Phase.COMPLETED)
    started.do(Deregister(EXECUTOR))
    assert started.place.executors == frozenset()


def test_an_executor_that_comes_back_has_acknowledged_nothing(scene: Scene) -> None:
    scene.do(Deregister(EXECUTOR), Enrol(EXECUTOR))
    assert (scene.place.fenced, scene.place.opened, scene.place.is_settled) == (frozenset(), frozenset(), False)


def test_what_passed_an_open_passed_its_fence(scene: Scene) -> None:
    assert (scene.place.opened, scene.place.fenced) == ({EXECUTOR}, {EXECUTOR})
    scene.do(Enrol("paper-2"), ExecutorAcknowledged("paper-2", MarkKind.OPEN, 2))
    assert scene.place.fenced == {EXECUTOR, "paper-2"}


# ---- Refusals


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
    scene.do(Deregister(EXECUTOR))
    error = scene.refused(Start("run-1", NEW, frozenset()))
    assert (error.reason, error.metadata["strategy_id"]) == (Reason.NO_EXECUTOR, "bob/Carry")


def test_a_run_that_is_over_or_of_another_name_cannot_go_back(started: Scene) -> None:
    assert started.refused(RollBack("run-9", "asked for", frozenset({G1, G2}))).reason is Reason.RUN_NOT_REVERSIBLE
    started.reach(Phase.COMPLETED)
    assert started.refused(RollBack("run-1", "asked for", frozenset({G1, G2}))).reason is Reason.RUN_NOT_REVERSIBLE


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("run_id", {"run_id": "run-9"}),
        ("epoch", {"epoch": 2}),
        ("phase", {"phase": AckPhase.SWITCH}),
        ("sequence", {"sequence": 1}),
        ("incarnation", {"gateway": Gateway("g1", "g1-b")}),
    ],
)
def test_an_acknowledgement_of_something_else_changes_nothing(
    started: Scene, field: str, changed: dict[str, object]
) -> None:
    right = GatewayAcknowledged(G1, "run-1", AckPhase.FREEZE, started.place.epoch, started.run.sequence)
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
    started.acknowledged(AckPhase.FREEZE, G1, G1)
    assert started.run.acked == {G1}
