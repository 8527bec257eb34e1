"""Every metric, label and value that an alert or a dashboard asks for is exposed by a stack in which something goes on.

That is: a strategy is evaluated, one world is held, a run of another waits, a runner follows, an order is refused.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2, run_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2_grpc
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2, order_service_pb2_grpc
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from qmtl_sdk.local.stack import up
from qmtl_world.apply.place import ASTRAY
from tests.support.alerts import Asked as AskedFor
from tests.support.alerts import asked_by_alerts, asked_by_boards
from tests.support.credentials import Bearing, token_of
from tests.support.desk import CALL_SECONDS, Asked, Desk, dial, evaluate, make_world, refusal, request_id
from tests.support.gateway_scene import Runner
from tests.support.intents import order_intent
from tests.support.striking import stopped
from tests.support.waiting import wait_until

OF_PROMETHEUS = {"up", "ALERTS"}
LABELS_OF_PROMETHEUS = {"job", "instance"}
HOLD = ("world_held", "reason", ASTRAY)  # under which no world of this stack is held
CODES = {("rpc_duration_ms_count", "code", each.name) for each in grpc.StatusCode}  # not all of them are met here

Samples = set[tuple[str, str, str]]


def exposed(process: ProcessStatus) -> Samples:
    """Return the samples that a process exposes: name, and each label with its value, the name alone with none."""
    with urlopen(f"http://{process.metrics_address}/metrics", timeout=CALL_SECONDS) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    return {(each.name, "", "") for each in samples} | {
        (each.name, label, value) for each in samples for label, value in each.labels.items()
    }


def freeze(desk: Desk, world: str) -> None:
    desk.applies.FreezeWorld(apply_service_pb2.FreezeWorldRequest(world=world, hold="drill", request_id=request_id()))


@dataclass(frozen=True, slots=True)
class Door:
    """Reach the sessions of a gateway, as a runner does."""

    sessions: Any


@asynccontextmanager
async def following(stack: StackStatus, world: str) -> AsyncIterator[Runner]:
    """Yield a runner that follows a world."""
    async with grpc.aio.insecure_channel(stack.gateway_address) as channel:
        yield Runner(
            Door(session_service_pb2_grpc.SessionServiceStub(Bearing(channel, token_of(stack.state_dir)))), world
        )


@contextmanager
def run_that_waits(desk: Desk, world: str, stack: StackStatus) -> Iterator[None]:
    """Let a run wait for an executor that stands still; it goes on at the end."""
    with stopped(stack, "executor"):
        desk.applies.StartApply(apply_service_pb2.StartApplyRequest(world=world, run_id="waits", plan=run_pb2.Plan()))
        yield


@pytest.fixture(scope="module")
async def found(lasting_dir: Path) -> Samples:
    """Return what the services of a stack expose meanwhile."""
    stack = up(lasting_dir)
    services = {each.name: each for each in stack.processes if each.metrics_address}
    found = Samples()
    with dial(stack.gateway_address, token_of(stack.state_dir)) as desk:
        held, waiting = make_world(desk), make_world(desk)
        evaluate(desk, Asked(held))
        orders = order_service_pb2_grpc.OrderServiceStub(desk.channel)
        refusal(lambda: orders.PublishIntents(order_service_pb2.PublishIntentsRequest(intents=[order_intent()])))
        async with following(stack, held) as runner:
            await runner.hello()
            freeze(desk, held)
            await runner.acknowledge(await runner.event())
            wait_until(lambda: "activation_skew_seconds_count" in names(exposed(services["gateway"])))
            for each in services.values():
                found |= exposed(each)
        with run_that_waits(desk, waiting, stack):
            wait_until(lambda: {"apply_ack_outstanding", "world_held"} <= names(exposed(services["world"])))
            found |= exposed(services["world"])
    return found


def names(samples: Samples) -> set[str]:
    return {name for name, *_ in samples}


def lacking(wanted: Sequence[AskedFor], found: Samples) -> list[str]:
    """Return what is asked for and is not among the samples."""
    known = found | CODES | {HOLD}
    labels = {(name, label) for name, label, _ in known}
    return [
        text
        for each in wanted
        if each.metric not in OF_PROMETHEUS
        for text in (
            *([each.metric] if each.metric not in names(found) else ()),
            *(
                f"{each.metric}{{{label}}}"
                for label in each.labels - LABELS_OF_PROMETHEUS
                if (each.metric, label) not in labels
            ),
            *(
                f"{each.metric}{{{label}={pattern}}}"
                for label, pattern in each.values
                if label not in LABELS_OF_PROMETHEUS
                and not any(
                    (name, other) == (each.metric, label) and re.fullmatch(pattern, value)
                    for name, other, value in known
                )
            ),
        )
    ]


def test_what_the_alerts_ask_for_is_exposed(found: Samples) -> None:
    assert lacking(asked_by_alerts(), found) == []


@pytest.mark.parametrize("uid", sorted(asked_by_boards()))
def test_what_a_dashboard_asks_for_is_exposed(found: Samples, uid: str) -> None:
    assert lacking(asked_by_boards()[uid], found) == []


@pytest.mark.parametrize(
    ("metric", "labels", "values", "lacks"),
    [
        ("runner_sessions", set(), set(), []),
        ("runners", set(), set(), ["runners"]),
        ("world_held", {"world", "reason"}, {("reason", "drill")}, []),
        ("world_held", {"desk"}, set(), ["world_held{desk}"]),
        ("apply_runs_total", {"outcome"}, {("outcome", "undone")}, ["apply_runs_total{outcome=undone}"]),
        (
            "rpc_duration_ms_bucket",
            {"method"},
            {("method", "qmtl.apply.v2.*")},
            ["rpc_duration_ms_bucket{method=qmtl.apply.v2.*}"],
        ),
    ],
)
def test_what_is_not_exposed_is_named(
    found: Samples, metric: str, labels: set[str], values: set[tuple[str, str]], lacks: list[str]
) -> None:
    assert lacking([AskedFor(metric, frozenset(labels), frozenset(values))], found) == lacks
