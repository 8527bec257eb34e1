"""Wires an executor: settings -> pool -> bus -> channels -> journal -> followers -> server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from qmtl_executor.counters import Counters
from qmtl_executor.executor import Executor
from qmtl_executor.follow import Me
from qmtl_executor.follower import expose
from qmtl_executor.journal import Journal
from qmtl_executor.lease import Lease
from qmtl_executor.messages import to_acknowledgement
from qmtl_executor.model import Passed
from qmtl_executor.paper import PaperVenue
from qmtl_executor.passage import Ground
from qmtl_executor.prices import NoPrices, PresetPrices, Prices
from qmtl_executor.retention import aged
from qmtl_executor.settings import ExecutorSettings
from qmtl_executor.trader import Market
from qmtl_executor.world import WorldClient
from qmtl_foundation.clock import utc_now
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.jetstream.streams import order_stream, report_stream
from qmtl_foundation.postgres import open_pool, ping
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.postgres.retention import sweeping
from qmtl_foundation.rpc.admission import open_admission
from qmtl_foundation.rpc.channel import ServiceToken, open_channel
from qmtl_foundation.rpc.credentials import server_credentials
from qmtl_foundation.rpc.health import Probe
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.telemetry import exposing_metrics
from qmtl_foundation.tls import open_certificates
from qmtl_sdk.settings import cache_dir

SCHEMA = "executor"
IDLE_TRANSACTION_SECONDS = 3.0  # a start that was paused within one must not hold up its successor


@asynccontextmanager
async def running(settings: ExecutorSettings) -> AsyncIterator[int]:
    """Yield the port of a running executor."""
    incarnation, token = uuid.uuid4().hex, ServiceToken(settings.token_file)
    async with (
        open_certificates(settings.tls) as certificates,
        open_pool(settings.postgres_dsn, SCHEMA, IDLE_TRANSACTION_SECONDS) as pool,
        open_bus(settings.nats_url.value, "executor", certificates) as bus,
        open_admission(settings.auth) as admission,
        open_channel(settings.world_address, token, certificates) as world,
        open_channel(settings.gateway_address, token, certificates) as gateway,
    ):
        credentials = server_credentials(certificates, mutual=True)
        await bus.ensure_stream(order_stream(settings.nats_replicas))
        await bus.ensure_stream(report_stream(settings.nats_replicas))
        client = WorldClient(world, gateway, settings.name, incarnation)
        journal = Journal(pool, settings.name, incarnation, utc_now)
        await journal.begin()

        async def acknowledge(of: str, passed: Passed) -> None:
            await client.acknowledge(to_acknowledgement(passed, of, settings.name, incarnation))

        with exposing_metrics(settings.metrics_listen, certificates) as meter:
            ground = Ground(
                me=Me(settings.name, EffectiveMode(settings.mode)),
                journal=journal,
                bus=bus,
                lease=Lease(),
                open_market=PaperMarkets(pool, settings.name, client).open,
                acknowledge=acknowledge,
                counters=Counters(meter),
                clock=utc_now,
            )
            executor = Executor(ground, client)
            expose(meter, executor.followers)
            probes: dict[str, Probe] = {"postgres": partial(ping, pool), "nats": bus.ping}
            # When the executor ends the process ends: a newer start has taken over.
            async with asyncio.TaskGroup() as group:
                task = group.create_task(executor.run())
                forgetting = group.create_task(sweeping(pool, aged(settings.keep_days), utc_now))
                async with serving(
                    settings.listen,
                    [],
                    probes,
                    [admission, Permissions()],
                    credentials,
                    health_listen=settings.health_listen,
                ) as port:
                    yield port
                task.cancel()
                forgetting.cancel()


class PaperMarkets:
    """Open the paper venue of worlds; the bars of a data preset are read once for all worlds that have it."""

    def __init__(self, pool: Pool, executor: str, client: WorldClient) -> None:
        self._pool = pool
        self._executor = executor
        self._client = client
        self._prices: dict[bytes, PresetPrices] = {}

    async def open(self, world: str) -> Market:
        """Return where a world's orders go, by its terms of now."""
        terms = await self._client.terms(world)
        prices = NoPrices() if terms.preset is None else self._of(terms.preset)
        return Market(PaperVenue(self._pool, self._executor, world, terms.model, prices), terms.model)

    def _of(self, preset: bytes) -> Prices:
        if preset not in self._prices:
            self._prices[preset] = PresetPrices.of(preset, cache_dir())
        return self._prices[preset]
