"""The executor as a process: it starts, learns its worlds, survives what happens to processes, and gives way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, lease_pb2
from qmtl_foundation.process import EXIT_UNAVAILABLE
from qmtl_sdk.local import service
from qmtl_sdk.local.issuer import ISSUER, open_issuer
from tests.support.beside import free_port
from tests.support.executor_rig import Rig, open_rig, outcomes
from tests.support.simulated_venue import Exchange, SimulatedVenue
from tests.support.stack import ROOT
from tests.support.waiting import eventually
from tests.support.world_double import Said, answering

BAR = datetime(2012, 3, 1, 21, tzinfo=UTC)  # of the built-in preset
STOP_SECONDS = 15.0


@dataclass(slots=True)
class Desk:
    """Reach the world, and what its executor says."""

    rig: Rig
    said: Said
    variables: dict[str, str]
    log: Path

    def tell(self) -> None:
        """Let renewals say where the world stands."""
        world = self.rig.world
        number, position = world.enrolment
        self.said.worlds[world.name] = lease_pb2.WorldPlace(
            world=world.name,
            epoch=world.epoch,
            is_open=world.is_open,
            enrolment=number,
            enrolment_position=position,
        )

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run one start of the executor."""
        ports = {"QMTL_LISTEN": f"127.0.0.1:{free_port()}", "QMTL_METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
        self.variables |= ports
        environment = {**os.environ, **self.variables, "PYTHONPATH": str(ROOT)}
        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                (sys.executable, "-m", "qmtl_executor"), env=environment, cwd=ROOT, stdout=log, stderr=log
            ) as running,
        ):
            try:
                yield running
            finally:
                running.send_signal(signal.SIGCONT)
                running.terminate()
                try:
                    running.wait(STOP_SECONDS)
                finally:
                    running.kill()

    async def trade(self, target: float, bar: int) -> int:
        """Send an intent and return its place."""
        bar_time = BAR + timedelta(days=bar)
        return (await self.rig.world.send(self.rig.world.intent(target, bar_time=bar_time)))[0]


@pytest.fixture
async def desk(migrated_dsn: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(open_rig(migrated_dsn, nats_url, lambda _: SimulatedVenue(Exchange())))
        address, said = await stack.enter_async_context(answering())
        issuer = open_issuer(tmp_path / "auth")
        variables = {
            "QMTL_AUTH_JWKS": str(issuer.jwks),
            "QMTL_AUTH_ISSUER": ISSUER,
            "QMTL_TOKEN_FILE": str(issuer.service_token("executor")),
            "QMTL_POSTGRES_DSN": migrated_dsn,
            "QMTL_NATS_URL": nats_url,
            "QMTL_WORLD_ADDRESS": address,
            "QMTL_GATEWAY_ADDRESS": address,
            "QMTL_NAME": rig.executor,
            "QMTL_CACHE_DIR": str(tmp_path / "cache"),
        }
        desk = Desk(rig, said, variables, tmp_path / "executor.log")
        await rig.world.fence()
        await rig.world.open()
        desk.tell()
        yield desk


async def test_a_process_learns_its_world_fills_on_paper_and_says_what_it_holds(desk: Desk) -> None:
    desk.said.refuse_acknowledgements = 1
    with desk.process():
        await desk.rig.until_at(await desk.trade(0.5, 0))
        assert outcomes(await desk.rig.reports(2)) == ["working", "filled"]
        await eventually(lambda: len(desk.said.acknowledged) == 2)
        assert service.healthy(desk.variables["QMTL_LISTEN"])
        assert _metric(desk, "orders_executed_total") == 1.0
        assert (_metric(desk, "executor_open"), _metric(desk, "executor_epoch")) == (1.0, 1.0)
        await eventually(lambda: _positions(desk))
    phases = [each.phase for each in desk.said.acknowledged]
    assert phases == [acknowledgement_pb2.APPLY_PHASE_FREEZE, acknowledgement_pb2.APPLY_PHASE_UNFREEZE]
    newest = desk.said.renewals[-1]
    assert (newest.participant, newest.worlds[0].mark, newest.worlds[0].epoch) == (desk.rig.executor, 2, 1)


async def test_a_killed_process_is_followed_by_one_that_goes_on_where_it_was(desk: Desk) -> None:
    with desk.process() as first:
        for bar in range(5):
            position = await desk.trade(0.1 * (bar + 1), bar)
        await desk.rig.until_at(position - 2)
        first.kill()
    with desk.process():
        await desk.rig.until_at(await desk.trade(0.9, 5))
        orders = await desk.rig.orders()
    assert len(orders) == 6
    assert "sending" not in orders.values()


async def test_a_paused_process_that_wakes_behind_its_successor_writes_nothing_and_says_why(desk: Desk) -> None:
    with desk.process() as older:
        await desk.rig.until_at(await desk.trade(0.3, 0))
        older.send_signal(signal.SIGSTOP)
        with desk.process():
            position = await desk.trade(0.4, 1)
            await desk.rig.until_at(position)
            older.send_signal(signal.SIGCONT)
            await eventually(lambda: older.poll() is not None)
            await desk.rig.until_at(await desk.trade(0.5, 2))
    assert older.returncode == EXIT_UNAVAILABLE
    assert f"a newer start of executor '{desk.rig.executor}' has taken over" in desk.log.read_text()
    assert len(await desk.rig.orders()) == 3


def _metric(desk: Desk, name: str) -> float:
    with urlopen(f"http://{desk.variables['QMTL_METRICS_LISTEN']}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    (line,) = [each for each in lines if each.startswith(f"{name}{{") and f'"{desk.rig.world.name}"' in each]
    return float(line.rpartition(" ")[2])


def _positions(desk: Desk) -> list[str]:
    worlds = desk.said.renewals[-1].worlds
    return [each.symbol for each in worlds[0].positions] if worlds else []
