"""The apply protocol under everything that can go wrong: random schedules with a manual clock, judged at every step."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import Activation
from qmtl_world.apply.place import Enrol, Place, RollBack, Start, Stop, SwitchFailed, TimePassed
from tests.support.apply_world import EXECUTOR, SECOND, STRATEGIES, Bug, World, plan

GATEWAYS: Final = st.integers(0, 1)
PLANS: Final = st.sampled_from([plan(), plan(STRATEGIES[0]), plan(STRATEGIES[1]), plan(*STRATEGIES)])
ANY: Final = st.integers(0, 100)
TRADES: Final = ("", "decided", "let in", "arrives", "sent", "sent", "unanswered")
PAUSED: Final = ("", "relay", "slow relay", "slow relay", "executor", "g1", "g2")
FAULTS: Final = ("relay dies", "mark lost", "mark repeated", "event lost", "lease ends", "gateway killed", "renewal")
STEPS: Final = 50
SHORT: Final = 60  # examples within `make test`; each has up to STEPS steps
LONG: Final = 3_000  # within `make faults`
STEPS_AT_LEAST: Final = 100_000  # of the long ones together
UNTIL_FOUND: Final = 5_000
SUBTLE: Final = frozenset(
    {
        *(Bug.SKIP_EXECUTOR, Bug.SNAPSHOT_AHEAD, Bug.UNFREEZE_BEFORE_OPEN, Bug.RESTORE_WITHOUT_FENCE),
        *(Bug.OPEN_LATE, Bug.APPLY_ACROSS_GAP),
    }
)


class Schedules(RuleBasedStateMachine):
    """Let anything happen next."""

    bug = Bug.NONE
    steps = 0  # of all examples

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.bug)
        self.runs = 0
        self.seen: list[tuple[int, Place] | None] = [None, None]

    @initialize()
    def open(self) -> None:
        """Begin with an enrolled executor and a world that trades."""
        self.world.commit(Enrol(EXECUTOR, EffectiveMode.PAPER))
        self.start(plan(STRATEGIES[0]))
        self.world.settle()

    # ---- What should happen, in any order and at any speed

    @rule(wanted=PLANS)
    def start(self, wanted: tuple[Activation, ...]) -> None:
        self.runs += 1
        self.world.commit(Start(f"run-{self.runs}", wanted, frozenset(self.world.live)))

    @rule()
    def resume(self) -> None:
        if self.world.place.holds:
            self.runs += 1
            hold = min(self.world.place.holds)
            self.world.commit(Start(f"run-{self.runs}", None, frozenset(self.world.live), clears=hold))

    @rule(rows=st.sampled_from([1, 1, 2, 4]))
    def relay(self, rows: int) -> None:
        for _ in range(rows):
            self.world.publish()

    @rule(which=GATEWAYS, events=st.integers(0, 3), trade=st.sampled_from(TRADES), acknowledges=st.booleans())
    def gateway(self, which: int, events: int, trade: str, acknowledges: bool) -> None:
        if not self.world.gateways[which].synced:
            self.world.resync(which)
        for _ in range(events):
            self.world.deliver(which)
        if trade in ("decided", "sent", "unanswered"):
            self.world.decide(which)
        if trade in ("let in", "sent", "unanswered"):
            self.world.accept(which)
        if trade in ("arrives", "sent", "unanswered"):
            self.world.send(which, unanswered=trade == "unanswered")
        if acknowledges:
            self.world.acknowledge(which)

    @rule(entries=st.integers(1, 4))
    def execute(self, entries: int) -> None:
        for _ in range(entries):
            self.world.execute()
        self.world.acknowledge_marks()

    @rule(index=ANY, keep=st.booleans())
    def read_mail(self, index: int, keep: bool) -> None:
        self.world.read_mail(index, keep=keep)

    @rule(but=st.sampled_from(PAUSED), trades=st.booleans())
    def everybody(self, but: str, trades: bool) -> None:
        self.world.everybody(but, trades=trades)

    # ---- Two coordinators: each reads, and may commit much later

    @rule(which=GATEWAYS)
    def read(self, which: int) -> None:
        self.seen[which] = (self.world.version, self.world.place)

    @rule(which=GATEWAYS)
    def act(self, which: int) -> None:
        self.world.commit(TimePassed(), self.seen[which])
        self.seen[which] = None

    # ---- What should not

    @rule(seconds=st.sampled_from([1, 5, 31]))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds * SECOND

    @rule(how=st.sampled_from(["roll back", "switch raises", "stop"]))
    def interrupt(self, how: str) -> None:
        if how == "stop":
            self.stop()
        elif how == "roll back":
            self.world.commit(RollBack(self.run_id(), "asked for", frozenset(self.world.live)))
        else:
            self.world.commit(SwitchFailed(self.run_id(), "it raised"))

    @rule(which=GATEWAYS, fault=st.sampled_from(FAULTS), index=ANY)
    def fail(self, which: int, fault: str, index: int) -> None:
        match fault:
            case "relay dies":
                self.world.publish(dies=True)
            case "mark lost":
                self.world.publish(loses=True)
            case "mark repeated":
                self.world.repeat_mark(index)
            case "event lost":
                self.world.deliver(which, lost=True)
            case "lease ends":
                self.world.end_lease(which)
            case "gateway killed":
                self.world.restart(which)
            case _:
                self.world.renew(which)

    def run_id(self) -> str:
        return self.world.place.run.run_id if self.world.place.run is not None else ""

    def stop(self) -> None:
        before = self.world.place.epoch
        assert self.world.commit(Stop("operator", "asked for")), "a stop was refused"
        assert self.world.place.epoch > before, "an epoch went back, or stood still"
        assert not self.world.place.is_open, "S2: stopped, and open"

    @invariant()
    def one_line(self) -> None:
        type(self).steps += 1
        told = [each.sequence for each in self.world.control]
        assert told == list(range(1, len(told) + 1)), "S5: events are not one line"

    def teardown(self) -> None:
        self.world.settle()


def walk(bug: Bug, examples: int) -> int:
    """Run random schedules, with one rule broken; return how many steps they had."""
    made: Any = type(f"Schedules_{bug.name}", (Schedules,), {"bug": bug})
    quiet = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(made, settings=quiet)
    return made.steps


def test_no_schedule_breaks_an_invariant() -> None:
    walk(Bug.NONE, SHORT)


@pytest.mark.faults
def test_none_of_many_schedules_breaks_an_invariant() -> None:
    assert walk(Bug.NONE, LONG) >= STEPS_AT_LEAST


@pytest.mark.parametrize(
    "bug",
    [pytest.param(bug, marks=[pytest.mark.faults] if bug in SUBTLE else []) for bug in Bug if bug is not Bug.NONE],
)
def test_each_broken_rule_is_found(bug: Bug) -> None:
    with pytest.raises(AssertionError, match=r"^(S\d+|L1|an epoch went back)"):
        walk(bug, UNTIL_FOUND)
