"""The world service killed in each phase of a run: a replica ends the run, and the world goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2
from qmtl_sdk.local.stack import up
from tests.support.applies import (
    PHASES,
    is_open,
    over,
    played_gateway,
    read,
    ready_world,
    resume,
    start,
    told,
)
from tests.support.beside import another
from tests.support.credentials import token_of
from tests.support.desk import dial
from tests.support.stack import guarded_directory
from tests.support.waiting import wait_until

TERMS = "{freeze_timeout_ms: 6000, switch_timeout_ms: 6000, unfreeze_timeout_ms: 6000, rollback_timeout_ms: 6000}"
BOTH = {"ann/A": 0.25, "ann/B": 0.25}


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Path]:
    """Give the directory of a stack whose world service may be killed; each test heals it first."""
    with guarded_directory() as directory:
        yield directory


@pytest.mark.parametrize("phase", PHASES, ids=run_pb2.RunPhase.Name)
def test_a_run_ends_at_a_replica_when_the_world_service_is_killed(own_stack: Path, phase: run_pb2.RunPhase) -> None:
    stack = up(own_stack)
    killed = next(each for each in stack.processes if each.name == "world")
    assert killed.pid is not None
    with dial(stack.gateway_address, token_of(own_stack)) as desk:
        world = ready_world(desk, TERMS)
        start(desk, world, BOTH, "first")
        over(desk, world, "first")
        wait_until(lambda: is_open(desk, world))
        before = told(desk, world).activation_set
    with another(stack, "world") as replica, dial(replica.address, token_of(own_stack)) as other:
        with played_gateway(replica.address, token_of(own_stack)) as played:
            start(other, world, {"ann/A": 0.75})
            played.lead(other, world, phase)
            os.kill(killed.pid, signal.SIGKILL)
            run = played.finish(other, world)
        assert run.HasField("end_time")
        assert read(other, world).revision == run.revision
        stands = run.planned_state_hash if run.phase == run_pb2.RUN_PHASE_COMPLETED else before.state_hash
        wait_until(lambda: told(other, world).activation_set.state_hash == stands)
    stack = up(own_stack)
    with dial(stack.gateway_address, token_of(own_stack)) as desk:
        for number, hold in enumerate(list(told(desk, world).holds)):
            assert resume(desk, world, hold, f"resume-{number}").phase == run_pb2.RUN_PHASE_COMPLETED
        start(desk, world, {"ann/B": 0.5}, "last")
        last = over(desk, world, "last")
        assert (last.phase, list(last.unopened)) == (run_pb2.RUN_PHASE_COMPLETED, [])
        wait_until(lambda: is_open(desk, world))
        assert told(desk, world).activation_set.epoch > before.epoch + 1
