"""Apply runs that do not come through: too slow, broken, asked back or stopped, in each phase."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2
from qmtl_sdk.local.progress import ProcessStatus
from tests.support.applies import (
    PHASES,
    PlayedGateway,
    execute,
    is_open,
    over,
    read,
    ready_world,
    resume,
    roll_back,
    start,
    stop,
    timeline,
    told,
    trading_world,
    weights,
)
from tests.support.desk import Desk, make_world, refusal, request_id
from tests.support.waiting import wait_until

BOTH = {"ann/A": 0.25, "ann/B": 0.25}
NAMES = {
    run_pb2.RUN_PHASE_FREEZING: "freezing",
    run_pb2.RUN_PHASE_SWITCHING: "switching",
    run_pb2.RUN_PHASE_UNFREEZING: "unfreezing",
}


@pytest.fixture
def world(desk: Desk) -> str:
    """Make a world in which A and B trade, by a run of its own."""
    name = ready_world(desk)
    start(desk, name, BOTH, "first")
    over(desk, name, "first")
    wait_until(lambda: is_open(desk, name))
    return name


def set_hash(desk: Desk, world: str) -> str:
    """Return the identity of what may trade, by the newest event."""
    return str(told(desk, world).activation_set.state_hash)


def test_a_freeze_that_does_not_converge_is_rolled_back_and_opens_as_before(desk: Desk, played: PlayedGateway) -> None:
    world = ready_world(desk, "{freeze_timeout_ms: 1500}")
    start(desk, world, BOTH, "first")
    played.finish(desk, world, "first")
    before = set_hash(desk, world)
    start(desk, world, {"ann/A": 0.75})
    wait_until(lambda: read(desk, world).phase == run_pb2.RUN_PHASE_REOPENING)
    run = played.finish(desk, world)
    assert run.phase == run_pb2.RUN_PHASE_ROLLED_BACK
    assert timeline(run) == ["requested", "freeze", "rollback", "unfreeze", "rolled_back"]
    assert played.name in run.reason
    wait_until(lambda: is_open(desk, world))
    assert (set_hash(desk, world), list(told(desk, world).holds)) == (before, [])
    assert told(desk, world).activation_set.epoch == run.epoch + 1


def test_a_switch_that_is_not_acknowledged_in_time_is_undone_and_held(desk: Desk, played: PlayedGateway) -> None:
    world = ready_world(desk, "{switch_timeout_ms: 1000}")
    start(desk, world, BOTH)
    played.lead(desk, world, run_pb2.RUN_PHASE_SWITCHING)
    run = over(desk, world)
    assert (run.phase, list(run.holds)) == (run_pb2.RUN_PHASE_ROLLED_BACK, ["switch_failed"])
    assert timeline(run) == ["requested", "freeze", "switch", "rollback", "switch", "freeze", "rolled_back"]
    wait_until(lambda: set_hash(desk, world) == run.prior_state_hash)
    assert weights(desk, world) == {}


def test_a_gateway_that_does_not_open_in_time_is_named(desk: Desk, played: PlayedGateway) -> None:
    world = ready_world(desk, "{unfreeze_timeout_ms: 1000}")
    start(desk, world, BOTH)
    played.lead(desk, world, run_pb2.RUN_PHASE_UNFREEZING)
    run = over(desk, world)
    assert (run.phase, list(run.unopened)) == (run_pb2.RUN_PHASE_COMPLETED, [played.name])
    assert is_open(desk, world)


@contextmanager
def broken_switch(dsn: str, world: str) -> Iterator[None]:
    """Let the database refuse the SWITCH events of one world."""
    asyncio.run(
        execute(
            dsn,
            "CREATE FUNCTION world.refuse_switch() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no switch today'; END $$",
            "CREATE TRIGGER refuse_switch BEFORE INSERT ON world.outbox FOR EACH ROW "
            f"WHEN (NEW.world = '{world}' AND NEW.kind = 'event' AND position('\\x2802'::bytea IN NEW.payload) > 0) "
            "EXECUTE FUNCTION world.refuse_switch()",
        )
    )
    try:
        yield
    finally:
        asyncio.run(execute(dsn, "DROP TRIGGER refuse_switch ON world.outbox", "DROP FUNCTION world.refuse_switch()"))


def test_a_switch_that_the_database_refuses_leaves_the_prior_set_held_until_resumed(
    desk: Desk, parts: dict[str, ProcessStatus], world: str
) -> None:
    before = set_hash(desk, world)
    with broken_switch(parts["postgres"].address, world):
        start(desk, world, {"ann/A": 0.75})
        run = over(desk, world)
    assert (run.phase, list(run.holds)) == (run_pb2.RUN_PHASE_ROLLED_BACK, ["switch_failed"])
    assert timeline(run) == ["requested", "freeze", "rollback", "freeze", "rolled_back"]
    assert "the switch failed: RaiseError" in run.reason
    wait_until(lambda: told(desk, world).activation_set.epoch == run.epoch + 1)
    assert (set_hash(desk, world), is_open(desk, world)) == (before, False)
    refused = refusal(lambda: start(desk, world, {"ann/A": 0.75}, "next"))
    assert (refused.reason, refused.metadata["holds"]) == ("WORLD_HELD", "switch_failed")
    resumed = resume(desk, world, "switch_failed")
    assert (resumed.phase, list(resumed.holds)) == (run_pb2.RUN_PHASE_COMPLETED, [])
    wait_until(lambda: is_open(desk, world))
    assert set_hash(desk, world) == before


@pytest.mark.parametrize("phase", PHASES, ids=run_pb2.RunPhase.Name)
def test_an_emergency_stop_in_each_phase_holds_the_world_until_resumed(
    desk: Desk, world: str, played: PlayedGateway, phase: run_pb2.RunPhase
) -> None:
    before = set_hash(desk, world)
    start(desk, world, {"ann/A": 0.75})
    run = played.lead(desk, world, phase)
    answer = stop(desk, world)
    assert answer.epoch > run.epoch
    assert list(answer.holds) == ["operator"]
    run = played.finish(desk, world)
    completed = phase == run_pb2.RUN_PHASE_UNFREEZING
    assert run.phase == (run_pb2.RUN_PHASE_COMPLETED if completed else run_pb2.RUN_PHASE_ROLLED_BACK)
    assert "stopped" in timeline(run)
    wait_until(lambda: set_hash(desk, world) == (run.planned_state_hash if completed else before))
    wait_until(lambda: told(desk, world).activation_set.epoch >= answer.epoch)
    assert not is_open(desk, world)
    for number, hold in enumerate(sorted(told(desk, world).holds, reverse=True)):
        run_id = f"resume-{number}"
        desk.applies.ResumeWorld(pb.ResumeWorldRequest(world=world, run_id=run_id, hold=hold))
        assert played.finish(desk, world, run_id).phase == run_pb2.RUN_PHASE_COMPLETED
    wait_until(lambda: is_open(desk, world))
    assert list(told(desk, world).holds) == []
    assert set_hash(desk, world) == (run.planned_state_hash if completed else before)


@pytest.mark.parametrize("phase", NAMES, ids=NAMES.get)
def test_a_run_that_is_asked_back_ends_as_before(
    desk: Desk, world: str, played: PlayedGateway, phase: run_pb2.RunPhase
) -> None:
    before = set_hash(desk, world)
    start(desk, world, {"ann/A": 0.75})
    played.lead(desk, world, phase)
    back = roll_back(desk, world)
    assert timeline(roll_back(desk, world)) == timeline(back)
    run = played.finish(desk, world)
    assert (run.phase, run.reason) == (run_pb2.RUN_PHASE_ROLLED_BACK, "second thoughts")
    rollback = next(each for each in run.timeline if each.event == "rollback")
    assert (rollback.actor, rollback.reason) == ("ann", "second thoughts")
    held = ["rolled_back"] if phase == run_pb2.RUN_PHASE_UNFREEZING else []
    wait_until(lambda: set_hash(desk, world) == before)
    assert list(run.holds) == held
    wait_until(lambda: is_open(desk, world) == (not held))
    assert told(desk, world).activation_set.epoch == run.epoch + 1


def test_a_rollback_that_is_not_drained_in_time_keeps_the_new_set_held(desk: Desk, played: PlayedGateway) -> None:
    world = ready_world(desk, "{rollback_timeout_ms: 1000}")
    start(desk, world, BOTH)
    played.lead(desk, world, run_pb2.RUN_PHASE_DRAINING)
    run = over(desk, world)
    assert (run.phase, list(run.holds)) == (run_pb2.RUN_PHASE_COMPLETED, ["rollback_undrained"])
    wait_until(lambda: weights(desk, world) == BOTH)
    assert not is_open(desk, world)


def test_a_run_that_is_over_cannot_be_asked_back(desk: Desk, world: str) -> None:
    refused = refusal(lambda: roll_back(desk, world, "first"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_REVERSIBLE")
    assert refusal(lambda: roll_back(desk, world, "never")).reason == "RUN_NOT_FOUND"


def test_holds_of_several_names_each_need_their_own_resume(desk: Desk) -> None:
    world = trading_world(desk)
    stop(desk, world)
    assert list(stop(desk, world, "risk").holds) == ["operator", "risk"]
    foreign = refusal(lambda: resume(desk, world, "nobody"))
    assert (foreign.reason, foreign.metadata["hold"]) == ("HOLD_NOT_FOUND", "nobody")
    assert list(resume(desk, world, "risk", "one").holds) == ["operator"]
    assert not is_open(desk, world)
    assert list(resume(desk, world, "", "two").holds) == []
    wait_until(lambda: is_open(desk, world))


def test_a_stop_that_is_repeated_under_its_id_stops_once_while_its_hold_stands(desk: Desk) -> None:
    world, mine = trading_world(desk), request_id()
    asked = pb.FreezeWorldRequest(world=world, reason="fire", request_id=mine)
    first = desk.applies.FreezeWorld(asked)
    assert desk.applies.FreezeWorld(asked) == first
    assert stop(desk, world, "risk").epoch == first.epoch + 1
    resume(desk, world, "risk", "one")
    resume(desk, world, "", "two")
    wait_until(lambda: is_open(desk, world))
    assert desk.applies.FreezeWorld(asked).epoch > first.epoch + 1  # the answer of then would be none to what is now
    wait_until(lambda: not is_open(desk, world))


def test_a_stop_that_is_repeated_under_its_id_stops_the_resume_of_its_hold(
    desk: Desk, world: str, played: PlayedGateway
) -> None:
    mine = request_id()
    asked = pb.FreezeWorldRequest(world=world, reason="fire", request_id=mine)
    first = desk.applies.FreezeWorld(asked)
    desk.applies.ResumeWorld(pb.ResumeWorldRequest(world=world, run_id="early"))
    assert desk.applies.FreezeWorld(asked).epoch == first.epoch + 2
    run = read(desk, world, "early")
    assert (run.phase, list(run.holds)) == (run_pb2.RUN_PHASE_ROLLED_BACK, ["operator"])


@pytest.mark.parametrize("used", [True, False])
def test_no_request_id_refuses_a_stop(desk: Desk, used: bool) -> None:
    world, mine = trading_world(desk), request_id()
    stated = mine if used else "not a request id " * 10
    if used:
        other = pb.FreezeWorldRequest(world=world, hold="risk", request_id=mine)
        desk.applies.FreezeWorld(other)
    answer = desk.applies.FreezeWorld(pb.FreezeWorldRequest(world=world, request_id=stated))
    assert "operator" in answer.holds


def test_a_deregistration_is_repeated_under_its_id(desk: Desk) -> None:
    world, mine = make_world(desk), request_id()
    asked = pb.DeregisterExecutorRequest(world=world, executor="paper", request_id=mine)
    first = desk.applies.DeregisterExecutor(asked)
    assert desk.applies.DeregisterExecutor(asked) == first
    asked.reason = "another"
    assert refusal(lambda: desk.applies.DeregisterExecutor(asked)).reason == "REQUEST_ID_REUSED"
    asked.request_id = request_id()
    assert refusal(lambda: desk.applies.DeregisterExecutor(asked)).reason == "EXECUTOR_NOT_FOUND"


def test_the_name_that_keeps_the_relay_still_is_none_for_a_stop(desk: Desk) -> None:
    world = trading_world(desk)
    refused = refusal(lambda: stop(desk, world, "stream_astray"))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("hold",))
    assert is_open(desk, world)
