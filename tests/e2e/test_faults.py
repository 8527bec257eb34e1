"""Processes killed, stopped or drained in the middle of work: what was answered is kept, what is repeated is one."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import nats
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2 as pb
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_sdk.local.progress import StackStatus
from tests.support.beside import another_gateway
from tests.support.credentials import nats_url_of, token_of
from tests.support.desk import (
    AS_OF,
    CALL_SECONDS,
    FINGERPRINT,
    Asked,
    Desk,
    dial,
    ended,
    evaluate,
    evaluation_request,
    make_world,
    read_refusal,
    refusal,
    relayed_set,
    returns,
    submit,
    version_of,
    world_status,
)
from tests.support.striking import heal, kill, part, stopped
from tests.support.waiting import wait_until

PENDING = submission_pb2.SUBMISSION_STATE_PENDING
READY = submission_pb2.SUBMISSION_STATE_READY
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REPEATED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
REDELIVERY_SECONDS = 30.0
ANSWER_SECONDS = 60.0
WORLD_KILLS = 3


@pytest.fixture
def stack(lasting_dir: Path) -> StackStatus:
    """Give the module's stack, whole."""
    return heal(lasting_dir)


@pytest.fixture
def desk(stack: StackStatus) -> Iterator[Desk]:
    """Give a client of the gateway."""
    with dial(stack.gateway_address, token_of(stack.state_dir)) as client:
        yield client


def resolve(client: Desk, world: str) -> execution_pb2.ComputeContext:
    terms = {
        "strategy_id": "ann/Trend",
        "strategy_version": version_of(),
        "as_of": AS_OF,
        "dataset_fingerprint": FINGERPRINT,
    }
    return client.submissions.ResolveContext(pb.ResolveContextRequest(world=world, **terms)).context


def persistently(call: Any, request: Any, done: threading.Event) -> Any:
    """Repeat a call under its one request id until it is answered, as the SDK's client does."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while not done.is_set() and time.monotonic() < deadline:
        try:
            return call(request, timeout=5.0)
        except grpc.RpcError as error:
            if read_refusal(error).code not in REPEATED:
                raise
            done.wait(0.05)
    raise AssertionError(f"no answer within {ANSWER_SECONDS:g} s, or the test ended first")


async def rows(stack: StackStatus, query: str, *arguments: str) -> int:
    async with asyncio.timeout(CALL_SECONDS):
        connection = await asyncpg.connect(part(stack, "postgres").address)
        try:
            return int(await connection.fetchval(query, *arguments))
        finally:
            await connection.close()


async def messages_in(stack: StackStatus, stream: str) -> int:
    async with asyncio.timeout(CALL_SECONDS):
        client = await nats.connect(nats_url_of(part(stack, "nats")))
        try:
            return int((await client.jetstream().stream_info(stream)).state.messages)
        finally:
            await client.close()


async def await_empty_ingest(stack: StackStatus) -> None:
    """Wait until every message is acknowledged: what a killed gateway had ended is delivered to its successor first."""
    deadline = time.monotonic() + REDELIVERY_SECONDS
    while left := await messages_in(stack, "ingest"):
        assert time.monotonic() < deadline, f"{left} messages stayed in ingest for {REDELIVERY_SECONDS:g} s"


async def test_a_gateway_killed_after_its_answers_ends_each_submission_once(stack: StackStatus) -> None:
    with dial(stack.gateway_address, token_of(stack.state_dir)) as desk:
        world = make_world(desk)
        orders = [Asked(world, f"S{number}", number + 2).request() for number in range(20)]
        with ThreadPoolExecutor(10) as threads:
            accepted = list(threads.map(lambda order: desk.submissions.Submit(order).submission, orders))
        kill(stack, "gateway")
    healed = heal(stack.state_dir)
    with dial(healed.gateway_address, token_of(healed.state_dir)) as desk:
        found = [ended(desk, each.submission_id, REDELIVERY_SECONDS) for each in accepted]
        assert {each.state for each in found} == {READY}
        again = [desk.submissions.Submit(order).submission for order in orders]
        assert [each.submission_id for each in again] == [each.submission_id for each in accepted]
    count = "SELECT count(*) FROM dagmgr.strategy_version WHERE world = $1"
    assert await rows(healed, count, world) == len(orders)
    await await_empty_ingest(healed)


def test_without_the_world_service_submissions_wait_and_the_last_decision_holds_until_it_expires(
    stack: StackStatus, desk: Desk
) -> None:
    lasting, brief = make_world(desk), make_world(desk, decision_ttl_s=1)
    for world in (lasting, brief):
        assert evaluate(desk, Asked(world)).activation.active
        relayed_set(desk, world, 1)
        assert not resolve(desk, world).downgraded
    kill(stack, "world")
    waiting = desk.submissions.Submit(Asked(lasting, "Later").request()).submission

    wait_until(lambda: list(resolve(desk, brief).downgrade_reasons) == [execution_pb2.DOWNGRADE_REASON_DECISION_STALE])
    assert resolve(desk, brief).effective_mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY
    assert resolve(desk, lasting).effective_mode == execution_pb2.EFFECTIVE_MODE_PAPER
    with another_gateway(stack) as other, dial(other.address, token_of(stack.state_dir)) as client:
        context = resolve(client, lasting)
        assert list(context.downgrade_reasons) == [execution_pb2.DOWNGRADE_REASON_DECISION_UNAVAILABLE]
        assert context.safe_mode
        assert context.execution_domain == execution_pb2.EXECUTION_DOMAIN_BACKTEST
    found = refusal(lambda: desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=lasting)))
    assert (found.reason, found.metadata) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "world service"})
    request = pb.GetSubmissionRequest(submission_id=waiting.submission_id)
    assert desk.submissions.GetSubmission(request).submission.state == PENDING
    heal(stack.state_dir)
    assert ended(desk, waiting.submission_id, REDELIVERY_SECONDS).state == READY


def test_a_world_service_killed_while_it_evaluates_evaluates_once(stack: StackStatus, desk: Desk) -> None:
    chance, done = random.Random(7), threading.Event()  # noqa: S311  # moments, not secrets
    worlds = [make_world(desk) for _ in range(WORLD_KILLS)]
    with ThreadPoolExecutor(1) as threads:
        try:
            for world in worlds:
                healed = heal(stack.state_dir)
                request = evaluation_request(submit(desk, Asked(world)))
                answer = threads.submit(persistently, desk.evaluations.Evaluate, request, done)
                done.wait(chance.uniform(0.0, 0.5))
                kill(healed, "world")
                heal(stack.state_dir)
                first, again = answer.result(ANSWER_SECONDS), desk.evaluations.Evaluate(request)
                for each in (first, again):
                    each.ClearField("decision")  # what holds now: it follows the control stream
                assert again == first
                assert (first.activation.epoch, first.activation.sequence) == (2, 3)
        finally:
            done.set()
    for world in worlds:
        listed = desk.evaluations.ListEvaluations(evaluation_service_pb2.ListEvaluationsRequest(world=world))
        assert len(listed.evaluations) == 1
        assert relayed_set(desk, world, 1).sequence == world_status(desk, world).sequence == 3


def test_workers_that_are_killed_are_replaced_and_the_evaluation_is_one(stack: StackStatus, desk: Desk) -> None:
    world, done = make_world(desk), threading.Event()
    request = evaluation_request(submit(desk, Asked(world)))
    service = psutil.Process(part(stack, "world").pid)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(persistently, desk.evaluations.Evaluate, request, done)
        try:
            for _ in range(3):
                for worker in service.children():
                    with suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
                        worker.kill()
            assert answer.result(ANSWER_SECONDS).activation.sequence == 3
        finally:
            done.set()
    assert world_status(desk, world).trials == 1
    assert part(heal(stack.state_dir), "world").pid == service.pid


def test_workers_do_not_outlive_their_service(stack: StackStatus) -> None:
    workers = psutil.Process(part(stack, "world").pid).children(recursive=True)
    assert workers
    kill(stack, "world")
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


async def test_runs_begun_while_nats_is_down_go_on_when_it_is_back_and_are_told_once_by_whoever_comes_after(
    stack: StackStatus, desk: Desk
) -> None:
    world = make_world(desk)
    submissions = [submit(desk, Asked(world, name)) for name in "ABC"]
    before = await messages_in(stack, "control")
    with stopped(stack, "nats"):
        for seed, submission in enumerate(submissions):
            desk.evaluations.Evaluate(evaluation_request(submission, returns(seed=seed + 11)), timeout=20.0)
        assert world_status(desk, world).sequence == 1
    kill(stack, "world")
    heal(stack.state_dir)
    told = relayed_set(desk, world, 2)
    assert (told.sequence, len(told.activations)) == (6, 3)  # the first one's run, and then what the last round says
    assert await messages_in(stack, "control") == before + 6


def test_readiness_follows_nats_and_postgres(stack: StackStatus) -> None:
    addresses = [part(stack, name).address for name in ("gateway", "world", "dagmgr")]

    def all_are(status: int) -> bool:
        for address in addresses:
            with dial(address, "") as client:
                if client.health() != status:
                    return False
        return True

    assert all_are(SERVING)
    with stopped(stack, "nats"):
        wait_until(lambda: all_are(NOT_SERVING))
        with dial(addresses[0], "") as client:  # which says what is away
            assert (client.health("nats"), client.health("postgres")) == (NOT_SERVING, SERVING)
    wait_until(lambda: all_are(SERVING))
    kill(stack, "postgres")
    wait_until(lambda: all_are(NOT_SERVING))
    heal(stack.state_dir)
    wait_until(lambda: all_are(SERVING))


def test_a_world_service_that_stands_still_does_not_hold_its_callers(stack: StackStatus, desk: Desk) -> None:
    world = make_world(desk)
    with stopped(stack, "world"):
        found = refusal(lambda: desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world), timeout=0.5))
        assert found.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert desk.worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world), timeout=5.0).world.name == world


def test_a_service_that_is_told_to_end_goes_unready_first_and_ends_its_calls(stack: StackStatus, desk: Desk) -> None:
    world = make_world(desk)
    requests = [evaluation_request(submit(desk, Asked(world, f"S{n}")), returns(seed=n)) for n in range(8)]
    gateway = psutil.Process(part(stack, "gateway").pid)
    before = part(stack, "gateway").log.read_text()
    with ThreadPoolExecutor(len(requests)) as threads:
        states = health_pb2_grpc.HealthStub(desk.channel).Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(states).status == SERVING
        running = [threads.submit(desk.evaluations.Evaluate, each, timeout=20.0) for each in requests]
        wait_until(lambda: world_status(desk, world).sequence >= 1)
        gateway.terminate()
        assert next(states).status == NOT_SERVING
        states.cancel()
        answers = [each.result() for each in running]
    assert {each.evaluation.status for each in answers} == {"valid"}
    gone, _ = psutil.wait_procs([gateway], timeout=15)
    assert gone
    said = part(stack, "gateway").log.read_text().removeprefix(before)
    assert "draining" in said
    assert "Traceback" not in said
