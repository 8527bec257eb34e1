"""Every metric and label that an alert asks for is exposed by a stack with a held world and a run that waits."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2, run_pb2
from qmtl_sdk.local.progress import ProcessStatus
from qmtl_sdk.local.stack import up
from qmtl_world.apply.place import ASTRAY
from tests.support.alerts import asked, rules
from tests.support.credentials import token_of
from tests.support.desk import CALL_SECONDS, Asked, Desk, dial, evaluate, make_world, request_id
from tests.support.waiting import wait_until

OF_PROMETHEUS = {"up"}
HOLD = ("reason", ASTRAY)  # under which no world of this stack is held


def exposed(process: ProcessStatus) -> set[tuple[str, str, str]]:
    """Return the samples that a process exposes: name, and each label with its value, the name alone with none."""
    with urlopen(f"http://{process.metrics_address}/metrics", timeout=CALL_SECONDS) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    return {(each.name, "", "") for each in samples} | {
        (each.name, label, value) for each in samples for label, value in each.labels.items()
    }


def freeze(desk: Desk, world: str) -> None:
    desk.applies.FreezeWorld(apply_service_pb2.FreezeWorldRequest(world=world, hold="drill", request_id=request_id()))


def test_every_metric_and_label_of_an_alert_is_exposed(lasting_dir: Path) -> None:
    stack = up(lasting_dir)
    wanted = [each for rule in rules() for each in asked(rule["expr"]) if each.metric not in OF_PROMETHEUS]
    services = {each.name: each for each in stack.processes if each.metrics_address}
    world = services["world"]
    executor, found = services["executor"].pid, set()
    assert executor is not None
    with dial(stack.gateway_address, token_of(stack.state_dir)) as desk:
        held, waiting = make_world(desk), make_world(desk)
        evaluate(desk, Asked(held))
        freeze(desk, held)
        for each in services.values():
            found |= exposed(each)
        os.kill(executor, signal.SIGSTOP)  # whom a run of the other world awaits
        try:
            desk.applies.StartApply(
                apply_service_pb2.StartApplyRequest(world=waiting, run_id="waits", plan=run_pb2.Plan())
            )
            wait_until(lambda: {"apply_ack_outstanding", "world_held"} <= {name for name, *_ in exposed(world)})
            found |= exposed(world)
        finally:
            os.kill(executor, signal.SIGCONT)
    assert {each.metric for each in wanted} - {name for name, *_ in found} == set()
    labels = {(name, label) for name, label, _ in found}
    assert {(each.metric, label) for each in wanted for label in each.labels} - labels == set()
    assert {(each.metric, *value) for each in wanted for value in each.values if value != HOLD} - found == set()
