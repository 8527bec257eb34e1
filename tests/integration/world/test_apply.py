"""Apply runs on the whole stack: through all phases, once for each request, one at a time, to a plan that may be."""

from __future__ import annotations

from typing import Any

import grpc
import nats
import pytest

from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.jetstream.streams import CONTROL, ORDERS, event_subject, mark_subject
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2 as event_pb
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_pb2
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_sdk.local.progress import ProcessStatus
from tests.support.applies import (
    PlayedGateway,
    is_open,
    listed,
    over,
    plan_of,
    read,
    ready_world,
    roll_back,
    start,
    stop,
    timeline,
    told,
    trading_world,
    weights,
)
from tests.support.credentials import nats_url_of
from tests.support.desk import (
    POLICY,
    Asked,
    Desk,
    evaluate,
    make_world,
    refusal,
    request_id,
    returns,
    world_status,
)
from tests.support.waiting import wait_until

WHOLE_RUN = ["requested", "freeze", "switch", "unfreeze", "completed"]


async def stored(parts: dict[str, ProcessStatus], stream: str, subject: str) -> list[Any]:
    """Return the messages of a subject, oldest first."""
    client = await nats.connect(nats_url_of(parts["nats"]))
    messages: list[Any] = []
    sequence = 1
    try:
        while True:
            try:
                found = await client.jetstream().get_msg(stream, seq=sequence, subject=subject, next=True)
            except nats.js.errors.NotFoundError:
                return messages
            messages.append(found)
            sequence = int(found.seq or 0) + 1
    finally:
        await client.close()


def test_a_run_goes_through_all_phases_with_gateway_and_executor(desk: Desk) -> None:
    world = trading_world(desk)
    before = told(desk, world).activation_set
    start(desk, world, {"ann/A": 0.75}, reason="less of B")
    run = over(desk, world)
    assert (run.phase, timeline(run)) == (run_pb2.RUN_PHASE_COMPLETED, WHOLE_RUN)
    assert (run.prior_state_hash, run.epoch) == (before.state_hash, before.epoch + 1)
    assert (run.timeline[0].actor, run.timeline[0].reason) == ("ann", "less of B")
    assert [each.sequence - before.sequence for each in run.timeline] == [0, 1, 2, 3, 3]
    assert not list(run.unopened)
    assert not list(run.awaited)
    wait_until(lambda: is_open(desk, world))
    assert weights(desk, world) == {"ann/A": 0.75}
    assert told(desk, world).activation_set.state_hash == run.planned_state_hash


async def test_marks_and_events_stand_in_their_streams_in_order(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    world = trading_world(desk)
    start(desk, world, {"ann/A": 0.25})
    run = over(desk, world)
    wait_until(lambda: is_open(desk, world))
    raw = await stored(parts, CONTROL, event_subject(world))
    events = [event_pb.ActivationEvent.FromString(each.data) for each in raw]
    marks = [mark_pb2.Mark.FromString(each.data) for each in await stored(parts, ORDERS, mark_subject(world))]
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert [each.number for each in marks] == list(range(1, len(marks) + 1))
    hashes = [bytes_id(EVENT_CONTEXT, each.data) for each in raw]
    assert [each.previous_event_hash for each in events] == ["", *hashes[:-1]]
    own = [each for each in events if each.run_id == "run"]
    assert [(each.kind, each.epoch) for each in own] == [
        (event_pb.ACTIVATION_EVENT_KIND_FREEZE, run.epoch),
        (event_pb.ACTIVATION_EVENT_KIND_SWITCH, run.epoch),
        (event_pb.ACTIVATION_EVENT_KIND_UNFREEZE, run.epoch),
    ]
    fence = next(each for each in marks if each.epoch == run.epoch)
    opening = next(each for each in marks if each.epoch == run.epoch and each.kind == mark_pb2.MARK_KIND_OPEN)
    assert fence.kind == mark_pb2.MARK_KIND_FENCE
    assert opening.activation_set.state_hash == run.planned_state_hash
    assert fence.create_time.ToNanoseconds() <= own[0].create_time.ToNanoseconds()


async def test_a_mark_is_told_before_its_event(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    world = trading_world(desk)
    start(desk, world, {"ann/A": 0.25})
    run = over(desk, world)
    wait_until(lambda: is_open(desk, world))
    marks: list[tuple[Any, str, Any]] = [
        (each.time, "mark", mark_pb2.Mark.FromString(each.data))
        for each in await stored(parts, ORDERS, mark_subject(world))
    ]
    events: list[tuple[Any, str, Any]] = [
        (each.time, "event", event_pb.ActivationEvent.FromString(each.data))
        for each in await stored(parts, CONTROL, event_subject(world))
    ]
    ordered = sorted([*marks, *events], key=lambda each: each[0])
    own = [(kind, message.kind) for _, kind, message in ordered if message.epoch == run.epoch]
    fence, opening = ("mark", mark_pb2.MARK_KIND_FENCE), ("mark", mark_pb2.MARK_KIND_OPEN)
    assert own.index(fence) < own.index(("event", event_pb.ACTIVATION_EVENT_KIND_FREEZE))
    assert own.index(opening) < own.index(("event", event_pb.ACTIVATION_EVENT_KIND_UNFREEZE))


def test_the_same_request_is_the_same_run_and_another_one_is_refused(desk: Desk) -> None:
    world = trading_world(desk)
    first = start(desk, world, {"ann/A": 0.25})
    over(desk, world)
    again = start(desk, world, {"ann/A": 0.25})
    assert (again.epoch, again.phase) == (first.epoch, run_pb2.RUN_PHASE_COMPLETED)
    other = refusal(lambda: start(desk, world, {"ann/A": 0.5}))
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RUN_EXISTS")
    assert other.metadata == {"world": world, "run_id": "run"}


def test_a_resume_under_the_id_of_a_start_is_another_request(desk: Desk) -> None:
    world = trading_world(desk)
    desk.applies.StartApply(pb.StartApplyRequest(world=world, run_id="run"))
    over(desk, world)
    request = pb.ResumeWorldRequest(world=world, run_id="run")
    assert refusal(lambda: desk.applies.ResumeWorld(request)).reason == "RUN_EXISTS"


def test_ids_of_the_runs_of_rounds_cannot_be_taken(desk: Desk) -> None:
    world = trading_world(desk)
    refused = refusal(lambda: start(desk, world, {"ann/A": 0.25}, "round-9"))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("run_id",))
    assert read(desk, world, listed(desk, world)[0].run_id).phase == run_pb2.RUN_PHASE_COMPLETED


def test_a_second_run_is_refused_or_waits_for_its_turn(desk: Desk, played: PlayedGateway) -> None:
    world = waiting_world(desk, played)
    refused = refusal(lambda: start(desk, world, {"ann/B": 0.5}, "second"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_IN_PROGRESS")
    assert refused.metadata["run_id"] == "run"
    queued = start(desk, world, {"ann/B": 0.5}, "second", queue=True)
    moved = start(
        desk, world, {"ann/B": 0.1}, "third", queue=True, base_state_hash=told(desk, world).activation_set.state_hash
    )
    assert (queued.phase, moved.phase) == (run_pb2.RUN_PHASE_QUEUED, run_pb2.RUN_PHASE_QUEUED)
    assert [each.run_id for each in listed(desk, world)][:3] == ["third", "second", "run"]
    assert played.finish(desk, world).phase == run_pb2.RUN_PHASE_COMPLETED
    second = played.finish(desk, world, "second")
    assert (second.phase, timeline(second)) == (run_pb2.RUN_PHASE_COMPLETED, ["queued", *WHOLE_RUN])
    third = read(desk, world, "third")
    assert (third.phase, timeline(third)) == (run_pb2.RUN_PHASE_ABORTED, ["queued", "aborted"])
    assert "has changed since the plan was made" in third.reason
    wait_until(lambda: weights(desk, world) == {"ann/B": 0.5})


def test_a_queued_run_that_is_asked_back_never_begins(desk: Desk, played: PlayedGateway) -> None:
    world = waiting_world(desk, played)
    start(desk, world, {"ann/B": 0.5}, "second", queue=True)
    assert roll_back(desk, world, "second").phase == run_pb2.RUN_PHASE_ABORTED
    assert played.finish(desk, world).phase == run_pb2.RUN_PHASE_COMPLETED
    second = read(desk, world, "second")
    assert (timeline(second), second.reason) == (["queued", "aborted"], "second thoughts")
    assert second.timeline[-1].actor == "ann"


def waiting_world(desk: Desk, played: PlayedGateway) -> str:
    """Make a world whose run is in FREEZING, and stays there."""
    world = ready_world(desk)
    start(desk, world, {"ann/A": 0.25})
    played.lead(desk, world, run_pb2.RUN_PHASE_FREEZING)
    return world


def test_a_rehearsal_shows_the_run_and_changes_nothing(desk: Desk) -> None:
    world = trading_world(desk)
    before, runs = told(desk, world), len(listed(desk, world))
    run = start(desk, world, {"ann/A": 0.25}, validate_only=True)
    assert (run.phase, run.epoch) == (run_pb2.RUN_PHASE_FREEZING, before.activation_set.epoch + 1)
    assert (told(desk, world), len(listed(desk, world))) == (before, runs)
    refused = refusal(lambda: read(desk, world))
    assert refused.reason == "RUN_NOT_FOUND"
    assert start(desk, world, {"ann/A": 0.25}).epoch == run.epoch
    assert over(desk, world).phase == run_pb2.RUN_PHASE_COMPLETED


@pytest.mark.parametrize("stated", [{"ann/A": 0.7, "ann/B": 0.4}, {"ann/A": 1.5}, {"ann/A": 0.0}])
def test_a_plan_of_more_than_the_equity_is_refused(desk: Desk, stated: dict[str, float]) -> None:
    world = make_world(desk)
    refused = refusal(lambda: start(desk, world, stated))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields[0].startswith("plan.activations")


def test_a_plan_of_what_may_not_trade_is_refused_by_name(desk: Desk) -> None:
    world = trading_world(desk)
    unknown = refusal(lambda: start(desk, world, {"ann/Nobody": 0.5}))
    assert (unknown.reason, unknown.metadata["strategy_id"]) == ("STRATEGY_NOT_FOUND", "ann/Nobody")
    failed = evaluation_pb2.ProofReport(status=evaluation_pb2.PROOF_STATUS_FAILED, coverage=1.0)
    evaluate(desk, Asked(world, "Seer"), returns(seed=7), proofs=failed)
    unproven = refusal(lambda: start(desk, world, {"ann/Seer": 0.5}))
    assert unproven.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert "ann/Seer" in unproven.message
    assert set(weights(desk, world)) == {"ann/A", "ann/B"}


def test_a_manual_policy_proposes_and_a_start_without_plan_applies_it(desk: Desk) -> None:
    world = make_world(desk, f"{POLICY}apply: manual\n")
    nothing = refusal(lambda: desk.applies.StartApply(pb.StartApplyRequest(world=world, run_id="run")))
    assert nothing.reason == "NOTHING_PLANNED"
    evaluate(desk, Asked(world, "A"))
    assert listed(desk, world) == []
    desk.applies.StartApply(pb.StartApplyRequest(world=world, run_id="run"))
    assert over(desk, world).phase == run_pb2.RUN_PHASE_COMPLETED
    wait_until(lambda: set(weights(desk, world)) == {"ann/A"})


def test_a_world_without_executor_says_so_and_trades_once_one_is_enrolled(desk: Desk) -> None:
    world = make_world(desk)
    desk.applies.DeregisterExecutor(pb.DeregisterExecutorRequest(world=world, executor="paper"))
    evaluate(desk, Asked(world, "A"))
    assert "no executor is named for the orders of ann/A" in world_status(desk, world).waits_for
    assert listed(desk, world) == []
    desk.applies.EnrolExecutor(
        pb.EnrolExecutorRequest(world=world, executor="paper", mode=execution_pb2.EFFECTIVE_MODE_PAPER)
    )
    wait_until(lambda: set(weights(desk, world)) == {"ann/A"}, 30.0)
    assert world_status(desk, world).waits_for == ""


def test_a_held_world_takes_what_its_round_said_once_it_is_resumed(desk: Desk) -> None:
    world = make_world(desk)
    stop(desk, world)
    evaluate(desk, Asked(world, "A"))
    assert "is held by operator" in world_status(desk, world).waits_for
    desk.applies.ResumeWorld(pb.ResumeWorldRequest(world=world, run_id="resume"))
    wait_until(lambda: set(weights(desk, world)) == {"ann/A"}, 30.0)


def test_a_world_is_not_deleted_under_its_run(desk: Desk, played: PlayedGateway) -> None:
    world = make_world(desk)
    desk.applies.StartApply(pb.StartApplyRequest(world=world, run_id="run", plan=plan_of({})))
    played.lead(desk, world, run_pb2.RUN_PHASE_SWITCHING)
    etag = desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world)).world.etag
    request = world_service_pb2.DeleteWorldRequest(request_id=request_id(), world=world, etag=etag)
    refused = refusal(lambda: desk.worlds.DeleteWorld(request))
    assert (refused.reason, refused.metadata["run_id"]) == ("RUN_IN_PROGRESS", "run")
    played.finish(desk, world)
    desk.worlds.DeleteWorld(request)
