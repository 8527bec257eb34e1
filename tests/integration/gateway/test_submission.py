"""Submissions: taken once on any gateway, worked off once, refused for good at need, never above the world."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import grpc
import nats
import pytest

from qmtl_foundation.execution_domain import DowngradeReason
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2 as pb
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from qmtl_sdk.local.state import Endpoint
from tests.support.beside import another_gateway
from tests.support.credentials import nats_url_of, token_of
from tests.support.desk import (
    AS_OF,
    CALL_SECONDS,
    FINGERPRINT,
    Asked,
    Desk,
    dial,
    document,
    ended,
    evaluate,
    fresh,
    make_world,
    metrics,
    refusal,
    register_preset,
    relayed_set,
    request_id,
    submit,
    update_world,
    version_of,
)

METRIC = "strategy_compute_context_downgrade_total"
READY = submission_pb2.SUBMISSION_STATE_READY
REJECTED = submission_pb2.SUBMISSION_STATE_REJECTED
BURST = 200


@pytest.fixture(scope="module")
def other(stack: StackStatus) -> Iterator[Endpoint]:
    """Give a second gateway beside the stack's."""
    with another_gateway(stack) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def other_desk(other: Endpoint, stack: StackStatus) -> Iterator[Desk]:
    """Give a client of the second gateway."""
    with dial(other.address, token_of(stack.state_dir)) as client:
        yield client


def reasons(context: execution_pb2.ComputeContext) -> list[str]:
    names = [execution_pb2.DowngradeReason.Name(each) for each in context.downgrade_reasons]
    return [name.removeprefix("DOWNGRADE_REASON_").lower() for name in names]


def resolve(desk: Desk, world: str, name: str = "Trend", **fields: str) -> pb.ResolveContextResponse:
    stated = {"as_of": AS_OF, "dataset_fingerprint": FINGERPRINT, "strategy_version": version_of(), **fields}
    request = pb.ResolveContextRequest(world=world, strategy_id=f"ann/{name}", **stated)
    return desk.submissions.ResolveContext(request, timeout=CALL_SECONDS)


async def await_empty_ingest(parts: dict[str, ProcessStatus]) -> None:
    client = await nats.connect(nats_url_of(parts["nats"]))
    try:
        async with asyncio.timeout(10):
            while (await client.jetstream().stream_info("ingest")).state.messages:
                pass
    finally:
        await client.close()


async def test_a_submission_is_pending_then_ready_with_nodes_decision_and_context(desk: Desk) -> None:
    world = make_world(desk)
    accepted = desk.submissions.Submit(Asked(world).request()).submission
    assert accepted.state in {submission_pb2.SUBMISSION_STATE_PENDING, READY}
    ready = ended(desk, accepted.submission_id)
    assert (ready.state, ready.strategy_id) == (READY, "ann/Trend")
    assert len(ready.nodes) == 2
    assert all(each.queue.startswith("node.") for each in ready.nodes)
    assert ready.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_VALIDATE
    context = ready.context
    assert (context.execution_domain, context.as_of) == (execution_pb2.EXECUTION_DOMAIN_BACKTEST, AS_OF)
    assert (context.downgraded, context.safe_mode, reasons(context)) == (False, False, [])
    assert context.expire_time == ready.decision.expire_time
    request = pb.GetSubmissionRequest(submission_id=accepted.submission_id)
    assert desk.submissions.GetSubmission(request).submission == ready


def test_one_request_id_on_two_gateways_at_once_is_one_submission(desk: Desk, other_desk: Desk) -> None:
    world = make_world(desk)
    for _ in range(10):
        request = Asked(world, request_id=request_id()).request()
        with ThreadPoolExecutor(8) as threads:
            desks = (desk, other_desk) * 4
            answers = list(threads.map(lambda each, sent=request: each.submissions.Submit(sent), desks))
        assert len({each.submission.submission_id for each in answers}) == 1
        request.name = "Another"
        for each in (desk, other_desk):
            found = refusal(lambda each=each, sent=request: each.submissions.Submit(sent))  # type: ignore[misc]  # bound
            assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


def test_a_submission_is_followed_on_another_gateway(desk: Desk, other_desk: Desk) -> None:
    world = make_world(desk)
    for period in range(2, 7):
        accepted = desk.submissions.Submit(Asked(world, period=period).request()).submission
        assert ended(other_desk, accepted.submission_id).state == READY


async def test_of_a_burst_none_is_lost_and_the_stream_is_empty_at_the_end(
    desk: Desk, other_desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = make_world(desk)

    def send(number: int) -> submission_pb2.Submission:
        client = (desk, other_desk)[number % 2]
        accepted = client.submissions.Submit(Asked(world, f"S{number}", number + 2).request(), timeout=60.0)
        return ended(client, accepted.submission.submission_id, 60.0)

    with ThreadPoolExecutor(50) as threads:
        done = list(threads.map(send, range(BURST)))
    assert {each.state for each in done} == {READY}
    assert len({each.submission_id for each in done}) == BURST
    connection = await asyncpg.connect(parts["postgres"].address)
    counted = await connection.fetchval("SELECT count(*) FROM dagmgr.strategy_version WHERE world = $1", world)
    await connection.close()
    assert counted == BURST
    await await_empty_ingest(parts)


async def test_a_message_that_names_no_submission_is_dropped(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    client = await nats.connect(nats_url_of(parts["nats"]))
    for content in (b"\xff\xfe", b"", b"unknown"):
        await client.jetstream().publish("ingest.submission", content)
    await client.close()
    assert submit(desk, Asked(make_world(desk))).state == READY
    await await_empty_ingest(parts)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Asked("nowhere"), "WORLD_NOT_FOUND"),
        (Asked("", data_preset="nothing"), "PRESET_NOT_FOUND"),
    ],
)
def test_what_names_nothing_is_rejected_for_good(desk: Desk, asked: Asked, reason: str) -> None:
    world = asked.world or make_world(desk)
    found = submit(desk, Asked(world, data_preset=asked.data_preset))
    assert (found.state, found.error.reason) == (REJECTED, reason)
    assert found.error.message
    assert found.HasField("end_time")
    assert not found.HasField("context")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_id", ""),
        ("request_id", "x" * 65),
        ("world", "No"),
        ("author", ""),
        ("name", "a/b"),
        ("mode", "x" * 41),
        ("mode", "new\nline"),
        ("data_preset", "Not A Name"),
        ("as_of", "yesterday"),
        ("as_of", "2013-03-01"),
        ("as_of", "9999-12-31T23:59:59-23:00"),
        ("dataset_fingerprint", "blake3:00"),
        ("params", b"[]"),
        ("params", b"{"),
    ],
)
def test_a_bad_field_is_refused_at_once(desk: Desk, field: str, value: Any) -> None:
    request = Asked("somewhere").request()
    setattr(request, field, value)
    found = refusal(lambda: desk.submissions.Submit(request))
    assert (found.code, found.reason, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", (field,))


def test_ten_megabytes_of_params_are_too_large(desk: Desk) -> None:
    request = Asked("somewhere").request()
    request.params = b'{"x":"' + b"y" * 10_000_000 + b'"}'
    found = refusal(lambda: desk.submissions.Submit(request))
    assert (found.reason, found.metadata) == ("TOO_LARGE", {"field": "params", "limit": "65536"})


def test_a_strategy_of_returns_only_has_no_nodes(desk: Desk) -> None:
    request = Asked(make_world(desk)).request()
    request.dag = document([])
    ready = ended(desk, desk.submissions.Submit(request).submission.submission_id)
    assert (ready.state, len(ready.nodes)) == (READY, 0)


def test_nodes_are_known_once_any_strategy_has_brought_them(desk: Desk) -> None:
    world, period = make_world(desk), 4_711
    first = submit(desk, Asked(world, "First", period))
    again = submit(desk, Asked(world, "First", period))
    second = submit(desk, Asked(world, "Second", period))
    assert first.nodes[1].known is False
    assert list(again.nodes) == list(first.nodes)
    assert [each.known for each in second.nodes] == [True, True]
    assert [each.queue for each in second.nodes] == [each.queue for each in first.nodes]


def test_every_reason_is_exported_as_a_number_from_the_start(other: Endpoint) -> None:
    exposed = metrics(other.metrics_address)
    assert {f"{METRIC}/{reason.value}" for reason in DowngradeReason} <= set(exposed)
    assert exposed["nodeid_crc_mismatch_total"] == 0
    assert {"gateway_submissions_total/ready", "gateway_submissions_total/rejected"} <= set(exposed)


class TestDowngrades:
    """Each reason, provoked through the contract; it stands in the answer and on ``/metrics``."""

    @pytest.fixture(autouse=True)
    def _addresses(self, parts: dict[str, ProcessStatus], other: Endpoint) -> None:
        self.addresses = (parts["gateway"].metrics_address, other.metrics_address)

    def counted(self, reason: str) -> float:
        """Return how often both gateways have counted a reason: either may work a submission off."""
        return sum(metrics(address)[f"{METRIC}/{reason}"] for address in self.addresses)

    def active(self, desk: Desk, **fields: Any) -> str:
        """Make a world in which ann/Trend is active."""
        world = make_world(desk, **fields)
        assert evaluate(desk, Asked(world)).activation.active
        relayed_set(desk, world, 1)
        return world

    @pytest.mark.parametrize(
        ("reason", "fields", "mode"),
        [
            ("unknown_mode", {"mode": "turbo"}, execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY),
            ("hint_above_decision", {"mode": "live"}, execution_pb2.EFFECTIVE_MODE_PAPER),
            ("hint_above_decision", {"mode": "shadow"}, execution_pb2.EFFECTIVE_MODE_PAPER),
            ("missing_as_of", {"as_of": ""}, execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY),
            ("missing_fingerprint", {"dataset_fingerprint": ""}, execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY),
        ],
    )
    def test_what_the_caller_states_or_leaves_out(
        self, desk: Desk, reason: str, fields: dict[str, str], mode: int
    ) -> None:
        world = self.active(desk)
        before = self.counted(reason)
        context = resolve(desk, world, **fields).context
        assert (context.downgraded, reasons(context), context.effective_mode) == (True, [reason], mode)
        assert context.safe_mode is (reason != "hint_above_decision")
        assert self.counted(reason) == before + 1

    def test_a_hint_lowers(self, desk: Desk) -> None:
        context = resolve(desk, self.active(desk), mode="compute-only").context
        assert context.effective_mode == execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY
        assert not context.downgraded

    def test_an_alias_names_its_mode(self, desk: Desk) -> None:
        context = resolve(desk, self.active(desk), mode="sim").context
        assert context.effective_mode == execution_pb2.EFFECTIVE_MODE_PAPER
        assert context.execution_domain == execution_pb2.EXECUTION_DOMAIN_DRYRUN
        assert not context.downgraded

    def test_live_that_no_owner_allows(self, desk: Desk) -> None:
        world = self.active(desk, mode=execution_pb2.EFFECTIVE_MODE_LIVE)
        before = self.counted("live_not_allowed")
        context = resolve(desk, world).context
        assert reasons(context) == ["live_not_allowed"]
        assert context.execution_domain == execution_pb2.EXECUTION_DOMAIN_BACKTEST
        assert self.counted("live_not_allowed") == before + 1

    def test_live_that_an_owner_allows_and_no_apply_run_has_given(self, desk: Desk) -> None:
        world = self.active(desk)
        update_world(desk, world, mode=execution_pb2.EFFECTIVE_MODE_LIVE, allow_live=True)
        context = resolve(desk, world).context
        assert context.execution_domain == execution_pb2.EXECUTION_DOMAIN_BACKTEST
        assert reasons(context) == ["live_not_allowed"]

    def test_only_the_very_version_in_force_does_as_the_world_says(self, desk: Desk) -> None:
        world = self.active(desk)
        submit(desk, Asked(world, period=9))
        assert resolve(desk, world).context.effective_mode == execution_pb2.EFFECTIVE_MODE_PAPER
        newer = resolve(desk, world, strategy_version=version_of(9)).context
        assert newer.effective_mode == execution_pb2.EFFECTIVE_MODE_VALIDATE

    def test_a_submission_without_a_snapshot(self, desk: Desk) -> None:
        preset = fresh("bare")
        register_preset(desk, preset)
        before = self.counted("missing_as_of")
        ready = submit(desk, Asked(make_world(desk, preset=preset), as_of=""))
        assert (ready.state, reasons(ready.context), ready.context.as_of) == (READY, ["missing_as_of"], "")
        assert self.counted("missing_as_of") == before + 1

    def test_no_snapshot_is_named_so_the_newest_one_counts(self, desk: Desk) -> None:
        ready = submit(desk, Asked(make_world(desk), as_of=""))
        assert (ready.context.as_of, ready.context.downgraded) == (AS_OF, False)

    def test_a_world_that_is_gone_is_an_error_not_a_downgrade(self, desk: Desk) -> None:
        assert refusal(lambda: resolve(desk, "nowhere")).reason == "WORLD_NOT_FOUND"
        world = make_world(desk)
        assert refusal(lambda: resolve(desk, world, "Nobody")).reason == "STRATEGY_NOT_FOUND"

    def test_the_gateway_and_the_world_give_the_same_decision(self, desk: Desk) -> None:
        world = self.active(desk)
        request = world_service_pb2.GetDecisionRequest(
            world=world, strategy_id="ann/Trend", strategy_version=version_of()
        )
        decision = desk.worlds.GetDecision(request).decision
        passed_on = resolve(desk, world).decision
        assert (passed_on.etag, passed_on.effective_mode) == (decision.etag, decision.effective_mode)
