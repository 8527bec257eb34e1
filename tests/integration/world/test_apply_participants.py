"""Participants of apply runs: what they may say, when they are waited for, and what becomes of those that see more."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import nats
import pytest

from qmtl_foundation.jetstream.streams import CONTROL, event_subject
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import lease_pb2, run_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from tests.support.applies import (
    PlayedGateway,
    is_open,
    over,
    read,
    ready_world,
    resume,
    start,
    told,
    trading_world,
    weights,
)
from tests.support.credentials import nats_url_of, token_of
from tests.support.desk import Asked, Desk, Refusal, dial, evaluate, make_world, refusal, returns
from tests.support.waiting import wait_until

PAPER, LIVE = execution_pb2.EFFECTIVE_MODE_PAPER, execution_pb2.EFFECTIVE_MODE_LIVE
EXECUTOR = ack_pb.PARTICIPANT_KIND_EXECUTOR


@pytest.fixture(scope="module")
def service(parts: dict[str, ProcessStatus], stack: StackStatus) -> Iterator[Desk]:
    """Give a client of the world service itself, as gateways and executors have one."""
    with dial(parts["world"].address, token_of(stack.state_dir)) as client:
        yield client


def renew(service: Desk, executor: str, incarnation: str, **held: Any) -> pb.RenewLeaseResponse:
    """Renew an executor's lease."""
    answer: pb.RenewLeaseResponse = service.applies.RenewLease(
        pb.RenewLeaseRequest(
            kind=EXECUTOR, participant=executor, incarnation=incarnation, worlds=[held] if held else []
        )
    )
    return answer


def enrol(desk: Desk, world: str, executor: str, mode: execution_pb2.EffectiveMode = LIVE) -> Any:
    """Enrol an executor, and return the enrolment."""
    request = pb.EnrolExecutorRequest(world=world, executor=executor, mode=mode)
    return desk.applies.EnrolExecutor(request).enrolment


def deregister(desk: Desk, world: str, executor: str) -> Any:
    """Let an executor leave, and return the enrolment as it ended."""
    return desk.applies.DeregisterExecutor(pb.DeregisterExecutorRequest(world=world, executor=executor)).enrolment


def passed(service: Desk, **stated: Any) -> None:
    """Say that an executor passed a mark."""
    said = ack_pb.Acknowledgement(kind=EXECUTOR, **{"phase": ack_pb.APPLY_PHASE_FREEZE, **stated})
    service.applies.AcknowledgeActivation(pb.AcknowledgeActivationRequest(acknowledgement=said))


def refused(desk: Desk, played: PlayedGateway, world: str, **changes: Any) -> Refusal:
    """Return how an acknowledgement with changes is refused; nothing has changed."""
    before = read(desk, world)
    answer = refusal(lambda: played.acknowledge(desk, world, **changes))
    after = read(desk, world)
    assert (after.phase, list(after.timeline)) == (before.phase, list(before.timeline))
    assert played.name not in [each.name for each in after.acknowledged]
    return answer


@pytest.fixture
def slow() -> str:
    """Name an executor that only the test starts."""
    return f"slow-{uuid.uuid4().hex[:8]}"


def test_an_acknowledgement_of_what_is_not_awaited_is_refused_and_changes_nothing(
    desk: Desk, played: PlayedGateway
) -> None:
    world = ready_world(desk)
    start(desk, world, {"ann/A": 0.25})
    run = played.lead(desk, world, run_pb2.RUN_PHASE_SWITCHING)
    wait_until(lambda: told(desk, world).phase == ack_pb.APPLY_PHASE_SWITCH)
    sequence = told(desk, world).activation_set.sequence
    wrong = {
        "epoch": run.epoch - 1,
        "run_id": "another",
        "sequence": sequence - 1,
        "phase": ack_pb.APPLY_PHASE_FREEZE,
        "incarnation": "forged",
    }
    for name, value in wrong.items():
        answer = refused(desk, played, world, **{name: value})
        assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACKNOWLEDGEMENT_MISMATCH")
        assert answer.metadata["field"] == name
    stranger = refused(desk, played, world, participant="stranger")
    assert stranger.reason == "ACKNOWLEDGEMENT_MISMATCH"
    runner = refused(desk, played, world, kind=ack_pb.PARTICIPANT_KIND_RUNNER)
    assert (runner.code, runner.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("acknowledgement.kind",))
    played.finish(desk, world)


def test_an_executor_is_heard_of_its_own_marks_from_its_newest_start_only(desk: Desk, service: Desk, slow: str) -> None:
    world = make_world(desk)
    mark = enrol(desk, world, slow).mark
    renew(service, slow, "one")
    wait_until(lambda: renew(service, slow, "one").worlds[0].enrolment_position > 0)
    epoch = renew(service, slow, "one").worlds[0].epoch
    own = {"world": world, "participant": slow, "incarnation": "one", "epoch": epoch, "mark": mark}
    silent = refusal(lambda: passed(service, **{**own, "participant": "never"}))
    assert (silent.reason, "is not registered" in silent.message) == ("FOREIGN_INCARNATION", True)
    renew(service, "stranger", "one")
    assert refusal(lambda: passed(service, **{**own, "participant": "stranger"})).metadata["field"] == "executor"
    assert refusal(lambda: passed(service, **{**own, "mark": mark - 1 or mark + 99})).metadata["field"] == "mark"
    assert refusal(lambda: passed(service, **{**own, "epoch": epoch + 1})).metadata["field"] == "epoch"
    early = refusal(lambda: passed(service, **{**own, "phase": ack_pb.APPLY_PHASE_UNFREEZE}))
    assert early.metadata["field"] == "mark"
    switch = refusal(lambda: passed(service, **{**own, "phase": ack_pb.APPLY_PHASE_SWITCH}))
    assert switch.fields == ("acknowledgement.phase",)
    assert fenced(desk, world, slow) == 0
    passed(service, **own)
    assert fenced(desk, world, slow) == epoch
    renew(service, slow, "two")
    for call in (lambda: passed(service, **own), lambda: renew(service, slow, "one")):
        assert refusal(call).reason == "FOREIGN_INCARNATION"
    deregister(desk, world, slow)


def fenced(desk: Desk, world: str, executor: str) -> int:
    """Return the epoch of the Fence that an executor acknowledged."""
    found = desk.applies.ListExecutors(pb.ListExecutorsRequest(world=world)).enrolments
    return next(int(each.fenced_epoch) for each in found if each.executor == executor)


def test_every_enrolled_executor_is_waited_for_whatever_its_lease(desk: Desk, service: Desk, slow: str) -> None:
    world = ready_world(desk)
    mark = enrol(desk, world, slow).mark
    renew(service, slow, "one")
    run = start(desk, world, {"ann/A": 0.25})
    wait_until(lambda: [each.name for each in read(desk, world).awaited] == [slow])
    own = {"world": world, "participant": slow, "incarnation": "one", "epoch": run.epoch}
    passed(service, **own, mark=mark + 1)
    wait_until(lambda: read(desk, world).phase == run_pb2.RUN_PHASE_UNFREEZING)
    wait_until(lambda: [each.name for each in read(desk, world).awaited] == [slow])
    passed(service, **own, mark=mark + 2, phase=ack_pb.APPLY_PHASE_UNFREEZE)
    assert over(desk, world).phase == run_pb2.RUN_PHASE_COMPLETED
    assert list(read(desk, world).unopened) == []


def test_a_gateway_whose_lease_ends_is_not_waited_for_any_more(desk: Desk, played: PlayedGateway) -> None:
    world = ready_world(desk)
    start(desk, world, {"ann/A": 0.25})
    played.lead(desk, world, run_pb2.RUN_PHASE_SWITCHING)
    wait_until(lambda: [each.name for each in read(desk, world).awaited] == [played.name])
    assert read(desk, world).awaited[0].HasField("lease_expire_time")
    played.fall_silent()
    run = over(desk, world)
    assert (run.phase, run.reason) == (run_pb2.RUN_PHASE_COMPLETED, "")
    back = refusal(lambda: played.acknowledge(desk, world))
    assert back.reason == "ACKNOWLEDGEMENT_MISMATCH"


def test_an_executor_is_enrolled_once_for_one_mode(desk: Desk, slow: str) -> None:
    world = make_world(desk)
    first = enrol(desk, world, slow)
    assert enrol(desk, world, slow) == first
    other = refusal(lambda: enrol(desk, world, slow, PAPER))
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EXECUTOR_EXISTS")
    taken = refusal(lambda: enrol(desk, world, "second"))
    assert (taken.reason, taken.metadata["executor"]) == ("EXECUTOR_EXISTS", slow)
    none = refusal(lambda: enrol(desk, world, "third", execution_pb2.EFFECTIVE_MODE_VALIDATE))
    assert none.fields == ("mode",)
    assert deregister(desk, world, slow).mark == first.mark
    assert refusal(lambda: deregister(desk, world, slow)).reason == "EXECUTOR_NOT_FOUND"
    assert enrol(desk, world, slow).mark > first.mark


def test_an_executor_that_serves_an_open_world_cannot_leave(desk: Desk) -> None:
    world = trading_world(desk)
    serving = refusal(lambda: deregister(desk, world, "paper"))
    assert serving.reason == "NO_EXECUTOR"
    assert serving.metadata["strategy_id"] in weights(desk, world)
    desk.applies.FreezeWorld(pb.FreezeWorldRequest(world=world))
    assert deregister(desk, world, "paper").executor == "paper"
    unrouted = refusal(lambda: resume(desk, world))
    assert unrouted.reason == "NO_EXECUTOR"
    enrol(desk, world, "paper", PAPER)
    assert resume(desk, world, run_id="again").phase == run_pb2.RUN_PHASE_COMPLETED


def test_nobody_is_enrolled_or_let_go_during_a_run(desk: Desk, played: PlayedGateway, slow: str) -> None:
    world = ready_world(desk)
    start(desk, world, {"ann/A": 0.25})
    played.lead(desk, world, run_pb2.RUN_PHASE_SWITCHING)
    for call in (lambda: enrol(desk, world, slow), lambda: deregister(desk, world, "paper")):
        assert refusal(call).reason == "RUN_IN_PROGRESS"
    played.finish(desk, world)


@pytest.mark.parametrize("kind", ["gateway", "executor"])
def test_a_world_of_which_a_participant_has_seen_more_is_held_until_reseeded_above_it(
    desk: Desk, service: Desk, played: PlayedGateway, kind: str, slow: str
) -> None:
    world = ready_world(desk)
    enrol(desk, world, slow)
    before = told(desk, world).activation_set
    ahead: dict[str, Any] = {"world": world, "epoch": before.epoch + 40, "sequence": before.sequence + 90}

    def claim() -> None:
        if kind == "gateway":
            played.renew(**ahead)
        else:
            renew(service, slow, "one", **{**ahead, "sequence": 0, "mark": 77})

    claim()
    assert list(told(desk, world).holds) == ["stream_astray"]
    assert refusal(lambda: resume(desk, world, "stream_astray")).reason == "WORLD_HELD"
    answer = desk.applies.ReseedWorld(pb.ReseedWorldRequest(world=world))
    assert (answer.epoch, list(answer.holds)) == (ahead["epoch"] + 1, ["reseeded"])
    if kind == "gateway":
        assert answer.sequence == ahead["sequence"] + 1
    claim()
    assert list(told(desk, world).holds) == ["reseeded"]
    wait_until(lambda: told(desk, world).activation_set.sequence == answer.sequence)
    deregister(desk, world, slow)
    desk.applies.ResumeWorld(pb.ResumeWorldRequest(world=world, run_id="resume", hold="reseeded"))
    assert played.finish(desk, world, "resume").phase == run_pb2.RUN_PHASE_COMPLETED
    wait_until(lambda: is_open(desk, world))
    again = refusal(lambda: desk.applies.ReseedWorld(pb.ReseedWorldRequest(world=world)))
    assert again.reason == "HOLD_NOT_FOUND"


async def test_a_world_whose_control_stream_was_purged_is_held_until_reseeded(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = trading_world(desk)
    wait_until(lambda: is_open(desk, world))
    before = told(desk, world).activation_set
    client = await nats.connect(nats_url_of(parts["nats"]))
    await client.jetstream().purge_stream(CONTROL, subject=event_subject(world))
    await client.close()
    start(desk, world, {"ann/A": 0.75})
    run = over(desk, world)
    assert (run.phase, list(run.holds)) == (run_pb2.RUN_PHASE_ROLLED_BACK, ["stream_astray"])
    answer = desk.applies.ReseedWorld(pb.ReseedWorldRequest(world=world))
    assert answer.epoch > before.epoch
    assert resume(desk, world, "reseeded").phase == run_pb2.RUN_PHASE_COMPLETED
    wait_until(lambda: is_open(desk, world))
    assert told(desk, world).activation_set.state_hash == before.state_hash
    evaluate(desk, Asked(world, "C"), returns(seed=9))
    wait_until(lambda: "ann/C" in weights(desk, world), 30.0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": ack_pb.PARTICIPANT_KIND_RUNNER}, "kind"),
        ({"participant": "No Name"}, "participant"),
        ({"incarnation": ""}, "incarnation"),
        ({"worlds": [lease_pb2.HeldPlace(world="w", epoch=-1)]}, "worlds.epoch"),
        ({"worlds": [lease_pb2.HeldPlace(world="w", position=-1)]}, "worlds.position"),
    ],
)
def test_a_lease_that_cannot_be_is_refused_by_field(service: Desk, changes: dict[str, Any], field: str) -> None:
    stated = {"kind": EXECUTOR, "participant": "slow", "incarnation": "one", **changes}
    answer = refusal(lambda: service.applies.RenewLease(pb.RenewLeaseRequest(**stated)))
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))
